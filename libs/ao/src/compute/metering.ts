/**
 * Bounds what compiled code does, inside the code itself. Each call of a function, each pass of a loop and each stretch of 256 instructions
 * takes one from a counter that is refilled from outside, and at nothing left the code traps: so everything it does ends, at the same step
 * everywhere. What else could differ between two runs is fixed or refused: memory has a largest size, what is kept outside of it can be put
 * back, and nothing passes that is not known.
 */

import { Operands } from './operands.js';

/** Name under which the counter (a mutable i32) is exported. */
export const FUEL = 'isthmus_fuel';
/** Name under which the depth of the stack (a mutable i32, 0 between calls) is exported, when it is counted. */
export const STACK = 'isthmus_stack';
/** Beginning of the names under which the module's own mutable globals are exported: what it keeps there is no part of its memory. */
export const GLOBAL = 'isthmus_global_';
/** Most instructions, on any way through the code, between two steps of the counter. */
const STRETCH = 256;
/** Bytes of a memory.copy or memory.fill that cost one. */
export const BYTES_PER_UNIT_LOG2 = 6;
/** Steps that what runs while a module is instantiated may take: before its counter can be filled from outside. */
const FIRST_FUEL = 600_000_000;
/** What a call takes of the stack beside its locals, in slots of 8 bytes: where to return to, what is being computed. */
const FRAME_SLOTS = 16;
/** What memory.grow costs: it asks the operating system. */
const GROW_COST = 64;
/** What a call of the host costs: it is far slower than the code's own calls. */
const HOST_COST = 64;
/** Instructions that others count for, which take far longer than most: divisions, roots, calls through a table. */
const SLOW: ReadonlyMap<number, number> = new Map([
  ...[0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3].map((op): [number, number] => [op, 8]),
  [0x11, 8],
]);
/** Most functions of a module, and most times it is asked which of them go round: an aos module has 600, and takes 20. */
const MAX_FUNCTIONS = 50_000;
const MAX_ROUNDS = 64;
/** Most elements of a table, as every instance has its own. */
const MAX_TABLE = 65_536;
const PAGE_BYTES = 65_536;

const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  element: 9,
  code: 10,
};
const [I32, I64, F32, F64] = [0x7f, 0x7e, 0x7d, 0x7c];
const END = 0x0b;

/** A module that may not run, and why. */
export class ModuleRefused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'ModuleRefused';
  }
}

export interface Metering {
  /** Most memory an instance may have, where the memory is its own. */
  maxMemoryBytes: number;
  /** Memory an instance begins with, when it declares more than it needs: all of it is looked through again and again. */
  firstMemoryBytes?: number;
  /**
   * Locals and frames that may be on the stack at once, counted where functions go round; beyond it the code traps, before the host's own
   * stack ends, which is not the same size everywhere. Whoever lets an exception pass through the code puts the depth back.
   */
  stackSlots?: number;
}

/**
 * The same WebAssembly module, metered. @param binary of a module for 32-bit or 64-bit memories, without SIMD, threads or exceptions
 * @throws ModuleRefused for what it does not know: nothing passes that is not counted
 */
export function metered(binary: Uint8Array, options: Metering): Uint8Array {
  const sections = sectionsOf(binary);
  const body = (id: number): Reader => new Reader(sections.find((s) => s.id === id)?.body ?? Buffer.from([0]));
  for (const id of [SECTION.global, SECTION.export, SECTION.code])
    if (!sections.some((s) => s.id === id)) throw new ModuleRefused('A module has globals, exports and code.');
  const imports = list(body(SECTION.import), imported);
  const ownMemory = list(body(SECTION.memory), limits)[0];
  const importedCount = imports.filter(({ kind }) => kind === KIND.global).length;
  const globals = globalsOf(body(SECTION.global));
  const signatures = list(body(SECTION.type), signature);
  const host = imports.filter(({ kind }) => kind === KIND.function);
  const tabled = tabledFunctions(body(SECTION.element), host.length);
  const types = list(body(SECTION.function), (r) => r.number());
  const meter: Meter = {
    fuel: importedCount + globals.length,
    stackSlots: options.stackSlots ?? null,
    imported: host.map(({ name, type }) => hostFunction(name, signatures[type] ?? NOTHING)),
    wide: (ownMemory ?? imports.find(({ memory }) => memory)?.memory)?.wide ?? false,
    types: signatures,
    signatureOf: (index) => signatures[types[index] ?? -1] ?? NOTHING,
  };
  const mutable = globals.flatMap((isMutable, i) => (isMutable ? [importedCount + i] : []));
  const parts = sections.flatMap(({ id, body: bytes }) => {
    const changed = rewritten(id, new Reader(bytes), meter, mutable, tabled, options) ?? bytes;
    return [Buffer.from([id]), unsigned(changed.length), changed];
  });
  return Buffer.concat([binary.subarray(0, 8), ...parts]);
}

interface HostFunction {
  signature: Signature;
  /** Type of what it calls through the module's table, if anything. */
  through: Signature | null;
}

/** Of emscripten's functions only these call the module in their turn: what setjmp guards, given by its place in the table. */
function hostFunction(name: string, its: Signature): HostFunction {
  const { params, results } = its;
  return { signature: its, through: name.startsWith('invoke_') ? { params: params.slice(1), results } : null };
}

const typeKey = ({ params, results }: Signature): string => `${params.join()}:${results.join()}`;

interface Meter {
  /** Index of the counter; the next global is the depth of the stack. */
  fuel: number;
  stackSlots: number | null;
  /** The first functions are the host's. */
  imported: readonly HostFunction[];
  /** Whether memory has 64-bit addresses. */
  wide: boolean;
  types: readonly Signature[];
  signatureOf: (index: number) => Signature;
}

function sectionsOf(binary: Uint8Array): { id: number; body: Uint8Array }[] {
  const reader = new Reader(binary);
  if (!Buffer.from(binary.subarray(0, 8)).equals(Buffer.from('\0asm\x01\0\0\0', 'latin1')))
    throw new ModuleRefused('This is no WebAssembly module.');
  reader.skip(8);
  const sections: { id: number; body: Uint8Array }[] = [];
  while (!reader.done) {
    const id = reader.byte();
    const body = reader.take(reader.number());
    if (id !== SECTION.custom) sections.push({ id, body }); // names and the like are of no use here
  }
  return sections;
}

function rewritten(
  id: number,
  reader: Reader,
  meter: Meter,
  mutable: readonly number[],
  tabled: readonly number[],
  options: Metering,
): Uint8Array | null {
  switch (id) {
    case SECTION.table:
      checkTables(reader);
      return null;
    case SECTION.memory:
      return boundedMemory(reader, options);
    case SECTION.global:
      return appended(reader, [
        Buffer.concat([Buffer.from([I32, 1]), constant(FIRST_FUEL), Buffer.from([END])]),
        Buffer.from([I32, 1, 0x41, 0, END]),
      ]);
    case SECTION.export:
      return appended(reader, [
        exportOf(FUEL, meter.fuel),
        ...(meter.stackSlots === null ? [] : [exportOf(STACK, meter.fuel + 1)]),
        ...mutable.map((index, i) => exportOf(`${GLOBAL}${i}`, index)),
      ]);
    case SECTION.code:
      return meteredCode(reader, meter, tabled);
    default:
      return null;
  }
}

function meteredCode(reader: Reader, meter: Meter, tabled: readonly number[]): Uint8Array {
  const codes = list(reader, (r) => r.take(r.number()));
  if (codes.length > MAX_FUNCTIONS) throw new ModuleRefused(`A module has at most ${MAX_FUNCTIONS} functions.`);
  const plain = codes.map(
    (code, i) => new MeteredBody(new Reader(code), { ...meter, stackSlots: null }, meter.signatureOf(i)),
  );
  const slots = meter.stackSlots === null ? new Map<number, number>() : recursionSlots(plain, meter, tabled);
  const bodies = plain.map((body, i) => {
    const code = new Reader(codes[i] as Uint8Array);
    const taken = slots.get(i);
    const { bytes } = taken === undefined ? body : new MeteredBody(code, meter, meter.signatureOf(i), taken);
    return Buffer.concat([unsigned(bytes.length), bytes]);
  });
  return Buffer.concat([unsigned(bodies.length), ...bodies]);
}

/**
 * What functions take of the stack, of those where that is counted: so many that no way leads round past all of them. Each takes what the
 * heaviest way through others takes as well, up to the next of its kind.
 * @param tabled functions that may be called through a table, by whoever calls their type
 */
function recursionSlots(
  bodies: readonly MeteredBody[],
  meter: Meter,
  tabled: readonly number[],
): ReadonlyMap<number, number> {
  const ofType = new Map<string, number[]>();
  for (const index of tabled) {
    const type = typeKey(meter.signatureOf(index));
    ofType.set(type, [...(ofType.get(type) ?? []), index]);
  }
  // The functions of a type are a node of their own, so that there are not as many ways as callers times callees.
  const types = [...ofType.keys()];
  const ways = [
    ...bodies.map(({ callees, types: called }) => [
      ...callees,
      ...[...called].map((type) => types.indexOf(type)).flatMap((at) => (at < 0 ? [] : [bodies.length + at])),
    ]),
    ...types.map((type) => ofType.get(type) ?? []),
  ];
  const counted = new Set<number>();
  let rounds = 0;
  for (let parts = cyclicParts(ways, counted); parts.length > 0; parts = cyclicParts(ways, counted)) {
    rounds += 1;
    for (const part of parts) {
      if (rounds < MAX_ROUNDS) counted.add(mostTravelled(part, ways, bodies.length));
      else for (const node of part) if (node < bodies.length) counted.add(node);
    }
  }
  const heaviest = heaviestWays(ways, counted, (node) => bodies[node]?.slots ?? 0);
  return new Map([...counted].map((node) => [node, heaviest(node)]));
}

/** The function of a part that most ways go through. */
function mostTravelled(part: readonly number[], ways: readonly (readonly number[])[], functions: number): number {
  const within = new Set(part);
  const ends = new Map<number, number>();
  for (const node of part)
    for (const target of ways[node] ?? []) if (within.has(target)) ends.set(target, (ends.get(target) ?? 0) + 1);
  const score = (node: number): number =>
    (ends.get(node) ?? 0) * (ways[node] ?? []).filter((target) => within.has(target)).length;
  return part.filter((node) => node < functions).reduce((a, b) => (score(b) > score(a) ? b : a));
}

/** Weight of the heaviest way from each node, that node included, past no node of `ends`. There is no way round without them. */
function heaviestWays(
  ways: readonly (readonly number[])[],
  ends: ReadonlySet<number>,
  weightOf: (node: number) => number,
): (node: number) => number {
  const known = new Map<number, number>();
  const weigh = (node: number): number =>
    weightOf(node) +
    (ways[node] ?? []).reduce((most, target) => Math.max(most, ends.has(target) ? 0 : (known.get(target) ?? 0)), 0);
  for (let start = 0; start < ways.length; start += 1) {
    const path = [start];
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      const open = known.has(node)
        ? undefined
        : (ways[node] ?? []).find((target) => !ends.has(target) && !known.has(target));
      if (open !== undefined) path.push(open);
      else known.set(path.pop() as number, weigh(node));
    }
  }
  return (node) => known.get(node) ?? 0;
}

/** Parts of a graph, without the nodes left out, in each of which every node leads to every other, and round (Tarjan's algorithm, without recursion). */
function cyclicParts(ways: readonly (readonly number[])[], without: ReadonlySet<number>): number[][] {
  const [order, low] = [new Int32Array(ways.length), new Int32Array(ways.length)];
  const finished = new Uint8Array(ways.length);
  const parts: number[][] = [];
  const members: number[] = [];
  let count = 0;
  const enter = (node: number): { node: number; next: number } => {
    order[node] = low[node] = count += 1;
    members.push(node);
    return { node, next: 0 };
  };
  const lower = (node: number, to: number): void => {
    low[node] = Math.min(low[node] as number, to);
  };
  for (let root = 0; root < ways.length; root += 1) {
    if (order[root] || without.has(root)) continue;
    const path = [enter(root)];
    for (let at = path.at(-1); at; at = path.at(-1)) {
      const { node } = at;
      const target = ways[node]?.[at.next];
      at.next += 1;
      if (target === undefined) {
        path.pop();
        const above = path.at(-1)?.node;
        if (above !== undefined) lower(above, low[node] as number);
        if (low[node] !== order[node]) continue;
        const part = members.splice(members.lastIndexOf(node));
        for (const member of part) finished[member] = 1;
        if (part.length > 1 || ways[node]?.includes(node)) parts.push(part);
      } else if (without.has(target)) continue;
      else if (!order[target]) path.push(enter(target));
      else if (!finished[target]) lower(node, order[target] as number);
    }
  }
  return parts;
}

/** A block that is open, and the most instructions since a step of the counter with which its end is reached; -1: not at all. */
interface Block {
  kind: 'block' | 'loop' | 'if';
  end: number;
  /** On the way that passes over what an `if` holds. */
  otherwise: number;
}

/** One function: read instruction by instruction and written with its steps. */
class MeteredBody {
  private readonly out: Uint8Array[] = [];
  /** Bytes before this one are written. */
  private written: number;
  private readonly open: Block[] = [{ kind: 'block', end: -1, otherwise: -1 }];
  /** Most instructions since a step of the counter, on any way to here; -1 where no way leads. */
  private since = 0;
  private readonly groups: Uint8Array[];
  /** What it calls: functions by their numbers, and functions in tables by their types. */
  readonly callees = new Set<number>();
  readonly types = new Set<string>();
  private locals: number;
  private readonly operands = new Operands();
  /** Locals the function has more than it brought, by what they are for: as many as it needs, since each takes room on the stack. */
  private readonly own = new Map<string, { index: number; type: number }>();

  constructor(
    private readonly reader: Reader,
    private readonly meter: Meter,
    { params, results }: Signature,
    private readonly taken = 0,
  ) {
    this.locals = params.length;
    this.groups = list(reader, (r) => {
      const start = r.at;
      this.locals += r.number();
      r.byte();
      return r.between(start);
    });
    this.written = reader.at;
    this.operands.enter(0, results.length);
    if (meter.stackSlots === null) this.step();
    else this.begin(meter.stackSlots, results);
    while (this.open.length > 0) this.next();
    if (!reader.done) throw new ModuleRefused('A function goes on after its end.');
    this.copy();
    if (meter.stackSlots !== null) this.out.push(this.giveStack(), Buffer.from([END]));
  }

  /** What a call of it takes of the stack, alone. */
  get slots(): number {
    return this.locals + this.operands.most + FRAME_SLOTS;
  }

  get bytes(): Uint8Array {
    const own = Array.from(this.own.values(), ({ type }) => Buffer.from([1, type]));
    return Buffer.concat([unsigned(this.groups.length + own.length), ...this.groups, ...own, ...this.out]);
  }

  /** A step, and slots of the stack. The body becomes a block, so that whatever branches to its end passes by what gives them back. */
  private begin(limit: number, results: readonly number[]): void {
    if (results.length > 1) throw new ModuleRefused('Functions with several results cannot be metered.');
    const { fuel } = this.meter;
    const [left, depth] = [this.local('left', I32), this.local('depth', I32)];
    this.out.push(
      indexed(0x23, fuel),
      Buffer.from([0x41, 1, 0x6b]),
      indexed(0x22, left),
      indexed(0x24, fuel),
      indexed(0x23, fuel + 1),
      constant(this.taken),
      Buffer.from([0x6a]),
      indexed(0x22, depth),
      indexed(0x24, fuel + 1),
      constant(limit),
      indexed(0x20, depth),
      Buffer.from([0x6b]),
      indexed(0x20, left),
      Buffer.from([0x72]), // below zero when one of both is
      TRAP_BELOW_ZERO,
      Buffer.from([0x02, results[0] ?? NO_RESULT]),
    );
  }

  private giveStack(): Uint8Array {
    const depth = indexed(0x20, this.local('depth', I32));
    return Buffer.concat([depth, constant(this.taken), Buffer.from([0x6b]), indexed(0x24, this.meter.fuel + 1)]);
  }

  private local(purpose: string, type: number): number {
    const known = this.own.get(purpose);
    if (known) return known.index;
    const index = this.locals + this.own.size;
    this.own.set(purpose, { index, type });
    return index;
  }

  private next(): void {
    const { reader } = this;
    const start = reader.at;
    const op = reader.byte();
    if (this.since >= STRETCH) {
      this.copy(start);
      this.step();
    }
    if (this.since >= 0) this.since += SLOW.get(op) ?? 1;
    if (op >= 0x02 && op <= 0x05) this.enter(op);
    else if (op === END) this.leave();
    else if (op >= 0x0c && op <= 0x0f) this.branch(op, start);
    else if (op === 0x00) this.away();
    else if (op === 0x40) this.grow(start);
    else if (op === 0x10) this.call(start);
    else if (op === 0x11) this.callIndirect();
    else if (op === 0xfc) this.extended(start);
    else {
      immediates(op, reader);
      this.operands.plain(op);
    }
    const computed = COMPUTED.get(op);
    if (computed) {
      this.copy();
      this.out.push(this.canonical(computed));
    }
  }

  /** Type of an address. */
  private get word(): number {
    return this.meter.wide ? I64 : I32;
  }

  /** What was read and not written yet goes out as it is. */
  private copy(until = this.reader.at): void {
    this.out.push(this.reader.bytes.subarray(this.written, until));
    this.written = until;
  }

  private step(): void {
    this.out.push(this.pay(constant(1)));
    if (this.since >= 0) this.since = 0;
  }

  private grow(start: number): void {
    this.reader.number();
    this.payBefore(start, GROW_COST);
  }

  private call(start: number): void {
    const host = this.meter.imported;
    const index = this.reader.number();
    const imports = host[index];
    const { params, results } = imports?.signature ?? this.meter.signatureOf(index - host.length);
    this.operands.take(params.length, results.length);
    if (!imports) {
      this.callees.add(index - host.length);
      return;
    }
    if (imports.through) this.types.add(typeKey(imports.through));
    this.payBefore(start, HOST_COST);
  }

  /** Through a table. */
  private callIndirect(): void {
    const type = this.meter.types[this.reader.number()] ?? NOTHING;
    this.types.add(typeKey(type));
    this.operands.take(type.params.length + 1, type.results.length);
    this.reader.number();
  }

  /** Puts a cost before the instruction that began at `start`. */
  private payBefore(start: number, cost: number): void {
    const until = this.reader.at;
    this.copy(start);
    this.out.push(this.pay(constant(cost)));
    this.copy(until);
  }

  private enter(op: number): void {
    const inner = this.open.at(-1) as Block;
    if (op === 0x05) {
      if (inner.kind !== 'if') throw new ModuleRefused('An else without its if.');
      inner.end = Math.max(inner.end, this.since);
      this.since = inner.otherwise;
      inner.otherwise = -1;
      this.operands.otherwise();
      return;
    }
    if (op === 0x04) this.operands.take(1, 0);
    const { params, results } = this.blockType();
    this.operands.enter(params.length, results.length);
    const kind = op === 0x03 ? 'loop' : op === 0x04 ? 'if' : 'block';
    this.open.push({ kind, end: -1, otherwise: kind === 'if' ? this.since : -1 });
    if (kind !== 'loop') return;
    this.copy();
    this.step();
  }

  /** Nothing, the type of one result, or the index of a type: only the last is never negative, as LEB128 has it. */
  private blockType(): Signature {
    const first = this.reader.bytes[this.reader.at] ?? 0;
    const type = this.reader.number();
    if (first === NO_RESULT) return NOTHING;
    return first > NO_RESULT && first < 0x80 ? { params: [], results: [first] } : (this.meter.types[type] ?? NOTHING);
  }

  /** What follows is not reached from here. */
  private away(): void {
    this.since = -1;
    this.operands.away();
  }

  private leave(): void {
    const isReached = this.since >= 0;
    if (!this.operands.leave() && isReached)
      throw new ModuleRefused('A block ends with other operands than its type has.');
    const { end, otherwise } = this.open.pop() as Block;
    this.since = Math.max(this.since, end, otherwise);
  }

  /** br, br_if, br_table, return. Ways back to a loop's beginning meet its step there. */
  private branch(op: number, start: number): void {
    const { reader } = this;
    if (op === 0x0f && this.meter.stackSlots !== null) {
      this.copy(start);
      this.out.push(this.giveStack());
    }
    const count = op === 0x0e ? reader.number() + 1 : op === 0x0f ? 0 : 1;
    for (let i = 0; i < count; i += 1) {
      const target = this.open.at(-1 - reader.number());
      if (!target) throw new ModuleRefused('A branch leads nowhere.');
      if (target.kind !== 'loop') target.end = Math.max(target.end, this.since);
    }
    if (op === 0x0d) this.operands.take(1, 0);
    else this.away();
  }

  private extended(start: number): void {
    const op = this.reader.number();
    if (op <= 7) return; // truncations that saturate
    this.operands.take(3, 0);
    if (op === 0x0a) this.reader.numbers(2);
    else if (op === 0x0b) this.reader.number();
    else throw unknown(`0xfc ${op}`);
    const until = this.reader.at;
    this.copy(start);
    const length = this.local('length', this.word);
    this.out.push(indexed(0x22, length)); // local.tee: the length stays where it is
    // A length beyond 32 bits is beyond any memory and traps by itself.
    const units = this.meter.wide
      ? [Buffer.from([0x42, BYTES_PER_UNIT_LOG2, 0x88, 0xa7, 0x41]), signed(0x3ff_ffff), Buffer.from([0x71])]
      : [Buffer.from([0x41, BYTES_PER_UNIT_LOG2, 0x76])];
    this.out.push(this.pay(Buffer.concat([indexed(0x20, length), ...units])));
    this.copy(until);
  }

  /** fuel = fuel - cost; traps below zero. `cost` leaves an i32 from 0 to 2^26 on the stack. */
  private pay(cost: Uint8Array): Uint8Array {
    const { fuel } = this.meter;
    const left = this.local('left', I32);
    return Buffer.concat([
      indexed(0x23, fuel),
      cost,
      Buffer.from([0x6b]),
      indexed(0x22, left),
      indexed(0x24, fuel),
      indexed(0x20, left),
      TRAP_BELOW_ZERO,
    ]);
  }

  /** Of the number on top of the stack: itself, or the one NaN there is. */
  private canonical(type: number): Uint8Array {
    const local = this.local(`value ${type}`, type);
    const [nan, equal] = type === F32 ? [NAN_32, 0x5b] : [NAN_64, 0x61];
    const get = indexed(0x20, local);
    return Buffer.concat([indexed(0x22, local), nan, get, get, Buffer.from([equal, 0x1b])]);
  }
}

/** Of the i32 on top of the stack. */
const TRAP_BELOW_ZERO = Buffer.from([0x41, 0, 0x48, 0x04, 0x40, 0x00, END]);
// What x86 makes of 0/0, and so what most units of AO do.
const NAN_32 = Buffer.from([0x43, 0, 0, 0xc0, 0xff]);
const NAN_64 = Buffer.from([0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0xff]);
/**
 * Instructions whose NaN the processor chooses (WebAssembly 2.0, 4.3.3 "NaN propagation"): ceil, floor, trunc, nearest, sqrt, add, sub, mul,
 * div, min and max of both sizes, demotion and promotion. All others, loads and stores first, leave bits as they are, and must: a compiler
 * may carry an integer in a register of numbers, where every negative one looks like a NaN.
 */
const COMPUTED: ReadonlyMap<number, number> = new Map([
  ...[0x8d, 0x8e, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0xb6].map((op): [number, number] => [op, F32]),
  ...[0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xbb].map((op): [number, number] => [op, F64]),
]);

/** Passes over what belongs to an instruction without a block, a branch or a length. */
function immediates(op: number, r: Reader): void {
  if (op === 0x1c) for (let types = r.number(); types > 0; types -= 1) r.byte();
  else if (op >= 0x28 && op <= 0x3e) r.numbers(2); // loads and stores: alignment, offset
  else if (op === 0x43) r.skip(4);
  else if (op === 0x44) r.skip(8);
  else if (ONE_NUMBER.has(op)) r.number();
  else if (!(op === 0x01 || op === 0x1a || op === 0x1b || (op >= 0x45 && op <= 0xc4)))
    throw unknown(`0x${op.toString(16)}`);
}

/** call; locals and globals; memory.size; i32.const and i64.const. Tables stay as they are. */
const ONE_NUMBER: ReadonlySet<number> = new Set([0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x3f, 0x41, 0x42]);

const unknown = (op: string): Error => new ModuleRefused(`Instruction ${op} cannot be metered.`);

const indexed = (op: number, index: number): Buffer => Buffer.concat([Buffer.from([op]), unsigned(index)]);
const constant = (value: number): Buffer => Buffer.concat([Buffer.from([0x41]), signed(value)]);
const exportOf = (name: string, index: number): Buffer =>
  Buffer.concat([unsigned(name.length), Buffer.from(name), Buffer.from([3]), unsigned(index)]);

/** A vector with more elements at its end. */
function appended(reader: Reader, elements: Uint8Array[]): Uint8Array {
  const count = reader.number();
  return Buffer.concat([unsigned(count + elements.length), reader.rest(), ...elements]);
}

interface Limits {
  wide: boolean;
  initial: number;
  maximum: number;
}

function limits(reader: Reader): Limits {
  const flags = reader.byte();
  if ((flags & ~0x05) !== 0) throw new ModuleRefused('A memory may not be shared.');
  const initial = reader.number();
  return { wide: (flags & 4) !== 0, initial, maximum: flags & 1 ? reader.number() : Infinity };
}

/** Most bytes the memory of a module may have by its own word. */
export function largestMemory(binary: Uint8Array): number {
  const own = sectionsOf(binary).find(({ id }) => id === SECTION.memory);
  const [first] = own ? list(new Reader(own.body), limits) : [];
  return (first?.maximum ?? Infinity) * PAGE_BYTES;
}

/** The memory with a largest size, which no instance may exceed. */
function boundedMemory(reader: Reader, { maxMemoryBytes, firstMemoryBytes = Infinity }: Metering): Uint8Array {
  const memories = list(reader, limits).map(({ wide, initial: declared, maximum }) => {
    const most = Math.min(maximum, Math.floor(maxMemoryBytes / PAGE_BYTES));
    const initial = Math.min(declared, Math.ceil(firstMemoryBytes / PAGE_BYTES));
    if (initial > most)
      throw new ModuleRefused(
        `The module begins with ${initial * PAGE_BYTES} bytes of memory; it may have ${most * PAGE_BYTES}.`,
      );
    return Buffer.concat([Buffer.from([wide ? 5 : 1]), unsigned(initial), unsigned(most)]);
  });
  return Buffer.concat([unsigned(memories.length), ...memories]);
}

/** Functions in tables, which are the module's own: a call of the host is always seen, and paid for. */
function tabledFunctions(reader: Reader, importedFunctions: number): number[] {
  const segments = list(reader, (r) => {
    if (r.number() !== 0) throw new ModuleRefused('Only functions, put into the table from the beginning, are known.');
    for (let op = r.byte(); op !== END; op = r.byte()) immediates(op, r);
    return list(r, (element) => element.number() - importedFunctions);
  });
  if (segments.flat().some((index) => index < 0))
    throw new ModuleRefused('A function of the host may not be in a table.');
  return segments.flat();
}

function checkTables(reader: Reader): void {
  const sizes = list(reader, (r) => {
    const [type, flags] = [r.byte(), r.byte()];
    if (type !== 0x70 || flags > 1) throw new ModuleRefused('Only tables of functions are known.');
    const size = r.number();
    if (flags === 1) r.number();
    return size;
  });
  if (sizes.reduce((a, b) => a + b, 0) > MAX_TABLE)
    throw new ModuleRefused(`Tables have at most ${MAX_TABLE} elements.`);
}

/** Types of what a function takes and gives. */
export interface Signature {
  params: readonly number[];
  results: readonly number[];
}

const NO_RESULT = 0x40;
const NOTHING: Signature = { params: [], results: [] };

function signature(r: Reader): Signature {
  if (r.byte() !== 0x60) throw new ModuleRefused('Only types of functions are known.');
  const params = [...r.take(r.number())];
  return { params, results: [...r.take(r.number())] };
}

/** Of each own global, whether it can change. */
function globalsOf(reader: Reader): boolean[] {
  return list(reader, (r) => {
    const type = r.byte();
    if (type < F64 || type > I32) throw new ModuleRefused('Only globals that are numbers are known.');
    const mutable = r.byte() === 1;
    for (let op = r.byte(); op !== END; op = r.byte()) immediates(op, r);
    return mutable;
  });
}

const KIND = { function: 0, memory: 2, global: 3 };

interface Import {
  module: string;
  name: string;
  kind: number;
  /** Index of its type, of a function. */
  type: number;
  memory: Limits | null;
}

function imported(r: Reader): Import {
  const text = () => Buffer.from(r.take(r.number())).toString('utf8');
  const [module, name, kind] = [text(), text(), r.byte()];
  if (!Object.values(KIND).includes(kind))
    throw new ModuleRefused('Only functions, globals and memories may be imported.');
  const type = kind === KIND.function ? r.number() : -1;
  const memory = kind === KIND.memory ? limits(r) : null;
  if (kind === KIND.global) r.skip(2);
  return { module, name, kind, type, memory };
}

/** The functions a module asks for, in order. @throws ModuleRefused when it asks for anything else */
export function importsOf(binary: Uint8Array): { module: string; name: string; signature: Signature }[] {
  const sections = sectionsOf(binary);
  const body = (id: number): Reader => new Reader(sections.find((s) => s.id === id)?.body ?? Buffer.from([0]));
  const signatures = list(body(SECTION.type), signature);
  return list(body(SECTION.import), imported).map(({ module, name, kind, type }) => {
    const its = signatures[type];
    if (kind !== KIND.function || !its)
      throw new ModuleRefused(`${module}.${name} is no function: nothing else may be imported.`);
    return { module, name, signature: its };
  });
}

function list<T>(reader: Reader, read: (reader: Reader) => T): T[] {
  const items: T[] = [];
  for (let left = reader.number(); left > 0; left -= 1) items.push(read(reader));
  return items;
}

/** LEB128 */
function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** LEB128 of what may be negative; here it never is. */
function signed(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x3f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Buffer.from([...bytes, value]);
}

class Reader {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw new ModuleRefused('The WebAssembly module ends too early.');
    this.at += 1;
    return byte;
  }

  /** LEB128 of any sign and width; its value is right for what is not negative. */
  number(): number {
    let [value, factor, byte] = [0, 1, 0];
    do {
      byte = this.byte();
      value += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte > 0x7f);
    return value;
  }

  numbers(count: number): void {
    for (let i = 0; i < count; i += 1) this.number();
  }

  skip(count: number): void {
    this.take(count);
  }

  take(count: number): Uint8Array {
    if (this.at + count > this.bytes.length) throw new ModuleRefused('The WebAssembly module ends too early.');
    return this.bytes.subarray(this.at, (this.at += count));
  }

  between(start: number): Uint8Array {
    return this.bytes.subarray(start, this.at);
  }

  rest(): Uint8Array {
    return this.take(this.bytes.length - this.at);
  }
}
