/**
 * Bounds what compiled code does, inside the code itself. Each call of a function, each pass of a loop and each 32 instructions take one from
 * a counter that is refilled from outside, and at nothing left the code traps: so everything it does ends, at the same step everywhere. What else could differ between two runs is fixed or refused: memory has a largest size, what is kept outside of it can be put
 * back, and nothing passes that is not known.
 */

import { isAccess, narrowData, narrowedAddress, narrowedGrowth, narrowedRange, storedBy } from './narrow.js';
import { Operands } from './operands.js';
import { recursionSlots, type Calls } from './recursion.js';
import {
  constant,
  END,
  F32,
  F64,
  I32,
  I64,
  indexed,
  LEAST_I32,
  list,
  ModuleRefused,
  NO_RESULT,
  NOTHING,
  Reader,
  signed,
  unsigned,
  type Signature,
} from './wasm-code.js';

/** Name under which the counter (a mutable i32) is exported. */
export const FUEL = 'isthmus_fuel';
/** Name under which the depth of the stack (a mutable i32, 0 between calls) is exported, when it is counted. */
export const STACK = 'isthmus_stack';
/** Beginning of the names under which the module's own mutable globals are exported: what it keeps there is no part of its memory. */
export const GLOBAL = 'isthmus_global_';
/** Beginning of the names of functions that call a function in the table for the host, by the number of the import that stands for such a call. */
export const INVOKE = 'isthmus_invoke_';
/** What the counter is set to when the host could not give memory that the code may have: no code of its own brings it there. */
export const NO_MEMORY = -(2 ** 31);
/** Instructions that one of the counter pays for, on any way through the code. */
export const PER_STEP = 32;
/** Most instructions, on any way, before they are paid for. */
const STRETCH = 256;
/** Bytes of a memory.copy or memory.fill that cost one. */
export const BYTES_PER_UNIT_LOG2 = 4;
/** Steps that what runs while a module is instantiated may take: before its counter can be filled from outside. */
const FIRST_FUEL = 1_000_000_000;
/** What a call takes of the stack beside its locals, in slots of 8 bytes: where to return to, what is being computed. */
const FRAME_SLOTS = 16;
/** What a call of the host takes of the stack, which may call the module in its turn, and so on: frames of JavaScript, each argument in several. */
const HOST_SLOTS = 256;
const HOST_ARGUMENT_SLOTS = 8;
/** What memory.grow costs: it asks the operating system. */
const GROW_COST = 1000;
/** What a call of the host costs: it is far slower than the code's own calls. */
const HOST_COST = 128;
/** Instructions that others count for, which take far longer than most: divisions, roots, calls through a table. */
const SLOW: ReadonlyMap<number, number> = new Map([
  ...[0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3].map((op): [number, number] => [op, 8]),
  [0x11, 8],
]);
/**
 * Most of everything that takes work to read, several times what real modules have (aos, AO's module with SQLite, QuickJS: 2 MB, 3,000 functions of
 * at most 60 KB, 105 types of at most 13 parameters, 165 exports).
 */
const MAX_MODULE_BYTES = 4 * 1024 * 1024;
const MAX_BODY_BYTES = 128 * 1024;
const MAX_FUNCTIONS = 20_000;
const MAX_TYPES = 5000;
const MAX_PARAMS = 64;
const MAX_IMPORTS = 500;
const MAX_EXPORTS = 5000;
const MAX_GLOBALS = 1000;
const MAX_LOCALS = 4096;
/** Locals and operands there are where blocks begin, of all blocks together: an engine that compiles them has a place for each. Real modules have 520,000. */
const MAX_HELD = 8_000_000;
/** Beginning of all names of ours: a module that has one of them already would have it twice, or be taken for what it is not. */
const OURS = 'isthmus_';
/** Bytes that metered code has for each byte of the module's, which real ones have 1.2 of. */
const MAX_GROWTH = 2;
const MIN_OUTPUT_BYTES = 1024 * 1024;
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
  start: 8,
  element: 9,
  code: 10,
  data: 11,
};

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
  /** Exports that a function of the host calls while the module waits for it, by its name. */
  hostCalls?: (name: string) => readonly string[];
}

/**
 * The same WebAssembly module, metered. @param binary of a module for 32-bit or 64-bit memories, without SIMD, threads or exceptions
 * @throws ModuleRefused for what it does not know: nothing passes that is not counted
 */
export function metered(binary: Uint8Array, options: Metering): Uint8Array {
  if (binary.length > MAX_MODULE_BYTES) throw new ModuleRefused(`A module has at most ${MAX_MODULE_BYTES} bytes.`);
  // Before anything is added: what the module itself has not may not become something of ours, the counter first.
  if (!WebAssembly.validate(Uint8Array.from(binary))) throw new ModuleRefused('This is no valid WebAssembly module.');
  const sections = sectionsOf(binary);
  const body = bodies(sections);
  for (const id of [SECTION.global, SECTION.export, SECTION.code])
    if (!sections.some((s) => s.id === id)) throw new ModuleRefused('A module has globals, exports and code.');
  const imports = list(body(SECTION.import), imported, MAX_IMPORTS, 'imports');
  const memory = list(body(SECTION.memory), limits)[0] ?? imports.find((i) => i.memory)?.memory;
  if (imports.some((i) => i.memory?.wide))
    throw new ModuleRefused('A memory with 64-bit addresses may not be imported.');
  const importedCount = imports.filter(({ kind }) => kind === KIND.global).length;
  const globals = globalsOf(body(SECTION.global));
  const types = new Types(body(SECTION.type));
  const exported = exportedFunctions(body(SECTION.export));
  const wanted = imports.filter(({ kind }) => kind === KIND.function);
  if ([...exported.values()].some((index) => index < wanted.length))
    throw new ModuleRefused('A function of the host may not be exported.');
  const host = wanted.map(({ name, type }) => {
    const calls = (options.hostCalls?.(name) ?? []).flatMap((callee) => exported.get(callee) ?? []);
    return { ...hostFunction(name, type, types), calls: calls.map((index) => index - wanted.length) };
  });
  const functions = list(body(SECTION.function), (r) => r.number(), MAX_FUNCTIONS, 'functions');
  const meter: Meter = {
    fuel: importedCount + globals.length,
    stackSlots: options.stackSlots ?? null,
    imported: host,
    tabled: tabledFunctions(body(SECTION.element), host.length),
    hasTable: sections.some(({ id }) => id === SECTION.table),
    wide: memory?.wide ?? false,
    mostPages: mostPages(memory, options),
    types,
    functions,
    mutable: globals.flatMap((isMutable, i) => (isMutable ? [importedCount + i] : [])),
    mostOutput: MAX_GROWTH * binary.length + MIN_OUTPUT_BYTES,
  };
  const parts = sections.flatMap(({ id, body: bytes }) => {
    const changed = rewritten(id, new Reader(bytes), meter, options) ?? bytes;
    return [Buffer.from([id]), unsigned(changed.length), changed];
  });
  return Buffer.concat([binary.subarray(0, 8), ...parts]);
}

const bodies =
  (sections: readonly { id: number; body: Uint8Array }[]) =>
  (id: number): Reader =>
    new Reader(sections.find((s) => s.id === id)?.body ?? Buffer.from([0]));

/** Types of functions. Those that are the same have the number of the first of them. */
class Types {
  private readonly signatures: Signature[];
  private readonly first = new Map<string, number>();
  private readonly numbers: number[];

  constructor(reader: Reader) {
    this.signatures = list(reader, signature, MAX_TYPES, 'types');
    this.numbers = this.signatures.map((its, index) => {
      const key = typeKey(its);
      const number = this.first.get(key) ?? index;
      this.first.set(key, number);
      return number;
    });
  }

  of(index: number): Signature {
    return this.signatures[index] ?? NOTHING;
  }

  number(index: number): number {
    return this.numbers[index] ?? -1;
  }

  /** Number of a type; null when no function can have it. */
  find(its: Signature): number | null {
    return this.first.get(typeKey(its)) ?? null;
  }
}

const typeKey = ({ params, results }: Signature): string => `${params.join()}:${results.join()}`;

interface HostFunction {
  type: number;
  signature: Signature;
  /** Whether it calls a function in the module's table, and the number of that one's type, when there is one. */
  invokes: boolean;
  through: number | null;
  /** Own functions that it calls beside. */
  calls: readonly number[];
}

/** Of emscripten's functions only these call what setjmp guards, given by its place in the table. */
function hostFunction(name: string, type: number, types: Types): Omit<HostFunction, 'calls'> {
  const its = types.of(type);
  const { params, results } = its;
  const invokes = name.startsWith('invoke_');
  if (invokes && params[0] !== I32 && params[0] !== I64) throw new ModuleRefused(`${name} is given no function.`);
  return { type, signature: its, invokes, through: invokes ? types.find({ params: params.slice(1), results }) : null };
}

interface Meter {
  /** Index of the counter; the next global is the depth of the stack. */
  fuel: number;
  stackSlots: number | null;
  /** The first functions are the host's. */
  imported: readonly HostFunction[];
  /** Own functions that may be called through a table, by whoever calls their type. */
  tabled: ReadonlySet<number>;
  hasTable: boolean;
  /** Whether memory has 64-bit addresses, and its largest size. */
  wide: boolean;
  mostPages: number;
  types: Types;
  /** Index of each own function's type. */
  functions: readonly number[];
  /** Own globals that can change. */
  mutable: readonly number[];
  mostOutput: number;
}

const signatureOf = ({ types, functions }: Meter, index: number): Signature => types.of(functions[index] ?? -1);

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

function rewritten(id: number, reader: Reader, meter: Meter, options: Metering): Uint8Array | null {
  switch (id) {
    case SECTION.function:
      return appended(
        reader,
        invokers(meter).map(({ type }) => unsigned(type)),
      );
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
        exportOf(FUEL, GLOBAL_EXPORT, meter.fuel),
        ...(meter.stackSlots === null ? [] : [exportOf(STACK, GLOBAL_EXPORT, meter.fuel + 1)]),
        ...meter.mutable.map((index, i) => exportOf(`${GLOBAL}${i}`, GLOBAL_EXPORT, index)),
        ...invokers(meter).map(({ position }, i) =>
          exportOf(`${INVOKE}${position}`, 0, meter.imported.length + meter.functions.length + i),
        ),
      ]);
    case SECTION.code:
      return meteredCode(reader, meter);
    case SECTION.data:
      return meter.wide ? narrowData(reader) : null;
    default:
      return null;
  }
}

/** Imports that call through the table, each with its place among all. */
const invokers = ({ imported: host }: Meter): (HostFunction & { position: number })[] =>
  host.flatMap((its, position) => (its.invokes ? [{ ...its, position }] : []));

/**
 * The call through the table that the host makes for an import: a function in WebAssembly, which sees the callee's type, and gives it no NaN that has been
 * through JavaScript, where its bits may have changed.
 */
function invoker({ signature: { params }, through }: HostFunction, { hasTable }: Meter): Uint8Array {
  if (through === null || !hasTable) return Buffer.from([0, 0x00, END]);
  const given = params.slice(1).flatMap((type, i) => {
    const get = indexed(0x20, i + 1);
    return type === F32 || type === F64 ? [get, orNan(type, get)] : [get];
  });
  const index = [indexed(0x20, 0), Buffer.from(params[0] === I64 ? [0xa7] : [])];
  return Buffer.concat([Buffer.from([0]), ...given, ...index, indexed(0x11, through), Buffer.from([0, END])]);
}

function meteredCode(reader: Reader, meter: Meter): Uint8Array {
  const codes = list(
    reader,
    (r) => {
      const size = r.number();
      if (size > MAX_BODY_BYTES) throw new ModuleRefused(`A function has at most ${MAX_BODY_BYTES} bytes.`);
      return r.take(size);
    },
    MAX_FUNCTIONS,
    'functions',
  );
  let [output, held] = [0, 0];
  const read = (code: Uint8Array, i: number, its: Meter, taken = 0): MeteredBody => {
    const body = new MeteredBody(new Reader(code), its, signatureOf(meter, i), taken);
    output += body.bytes.length;
    if (output > meter.mostOutput) throw new ModuleRefused('Counting this module takes too much code.');
    return body;
  };
  const plain = codes.map((code, i) => {
    const body = read(code, i, { ...meter, stackSlots: null });
    held += body.held;
    if (held > MAX_HELD) throw new ModuleRefused('The blocks of this module hold too many locals and operands.');
    return body;
  });
  const slots = meter.stackSlots === null ? new Map<number, number>() : countedSlots(plain, meter, meter.stackSlots);
  output = 0;
  const counted = plain.map(({ bytes }, i) => {
    const taken = slots.get(i);
    if (taken === undefined) output += bytes.length;
    return taken === undefined ? bytes : read(codes[i] as Uint8Array, i, meter, taken).bytes;
  });
  const all = [...counted, ...invokers(meter).map((its) => invoker(its, meter))];
  return Buffer.concat([unsigned(all.length), ...all.flatMap((bytes) => [unsigned(bytes.length), bytes])]);
}

/** What each function takes that counts the stack. @throws ModuleRefused when a way past none of them may take more than there is */
function countedSlots(plain: readonly MeteredBody[], meter: Meter, most: number): Map<number, number> {
  const { slots, heaviest } = recursionSlots(callsOf(plain, meter));
  if (heaviest > most) throw new ModuleRefused('Calls of this module, one in the other, take too much of the stack.');
  return slots;
}

/** What a call of the host takes of the stack, when it may be one of many at once. */
const hostSlots = ({ calls, invokes, signature: { params } }: HostFunction): number =>
  invokes || calls.length > 0 ? HOST_SLOTS + HOST_ARGUMENT_SLOTS * params.length : 0;

/**
 * Who calls whom: own functions, then the host's, which call the module in their turn, then each type of functions in the table as a node of its own, so
 * that there are not as many ways as callers times callees.
 */
function callsOf(own: readonly MeteredBody[], meter: Meter): Calls {
  const { imported: host, tabled, functions, types } = meter;
  const ofType = new Map<number, number[]>();
  for (const index of tabled) {
    const type = types.number(functions[index] ?? -1);
    const known = ofType.get(type);
    if (known) known.push(index);
    else ofType.set(type, [index]);
  }
  const places = new Map([...ofType.keys()].map((type, i) => [type, own.length + host.length + i]));
  const through = (type: number | null): number[] => {
    const place = type === null ? undefined : places.get(type);
    return place === undefined ? [] : [place];
  };
  return {
    functions: own.length,
    ways: [
      ...own.map(({ callees, hosts, types: asked }) => [
        ...callees,
        ...[...hosts].map((position) => own.length + position),
        ...[...asked].flatMap(through),
      ]),
      ...host.map(({ calls, through: type }) => [...calls, ...through(type)]),
      ...ofType.values(),
    ],
    weights: [...own.map(({ slots }) => slots), ...host.map(hostSlots)],
  };
}

/** A block that is open, and the most instructions not paid for with which its end is reached; -1: not at all. */
interface Block {
  kind: 'block' | 'loop' | 'if';
  end: number;
  /** On the way that passes over what an `if` holds. */
  otherwise: number;
  /** Of a loop: instructions not paid for where it begins, the most with which its beginning is reached again, and where each pass pays. */
  begun: number;
  again: number;
  price: number;
}

/**
 * One function: read instruction by instruction and written with its steps. Instructions are counted on the longest way to where they are paid for:
 * at the end of a stretch, or before they are done, where a function and each pass of a loop begin.
 */
class MeteredBody {
  private readonly out: Uint8Array[] = [];
  /** Bytes before this one are written. */
  private written: number;
  private readonly open: Block[] = [{ kind: 'block', end: -1, otherwise: -1, begun: 0, again: -1, price: 0 }];
  /** Most instructions that are not paid for, on any way to here; -1 where no way leads. */
  private since = 0;
  /** The most with which the function's end is reached. */
  private ended = 0;
  private readonly groups: Uint8Array[];
  /** Locals and operands where its blocks begin, of all of them together. */
  held = 0;
  /** What it calls: own functions and the host's by their numbers, and functions in tables by the numbers of their types. */
  readonly callees = new Set<number>();
  readonly hosts = new Set<number>();
  readonly types = new Set<number>();
  readonly bytes: Uint8Array;
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
      numeric(r.byte());
      if (this.locals > MAX_LOCALS) throw new ModuleRefused(`A function has at most ${MAX_LOCALS} locals.`);
      return r.between(start);
    });
    const zeroed = this.locals - params.length;
    this.written = reader.at;
    this.operands.enter(0, results.length);
    const price = meter.stackSlots === null ? this.pay(NOT_KNOWN) : this.begin(meter.stackSlots, results);
    while (this.open.length > 0) this.next();
    if (!reader.done) throw new ModuleRefused('A function goes on after its end.');
    this.copy();
    this.out[price] = constant(stepsFor(zeroed + this.ended));
    if (meter.stackSlots !== null) this.out.push(this.giveStack(), Buffer.from([END]));
    const own = Array.from(this.own.values(), ({ type }) => Buffer.from([1, type]));
    this.bytes = Buffer.concat([unsigned(this.groups.length + own.length), ...this.groups, ...own, ...this.out]);
  }

  /** What a call of it takes of the stack, alone. */
  get slots(): number {
    return this.locals + this.operands.most + FRAME_SLOTS;
  }

  /**
   * A step, and slots of the stack. The body becomes a block, so that whatever branches to its end passes by what gives them back.
   * @returns where in the code the price of the step is
   */
  private begin(limit: number, results: readonly number[]): number {
    const { fuel } = this.meter;
    const [left, depth] = [this.local('left', I32), this.local('depth', I32)];
    this.out.push(
      indexed(0x23, fuel),
      NOT_KNOWN,
      Buffer.from([0x6b]),
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
    return 1;
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
    if (this.since >= STRETCH) this.settle(start);
    if (this.since >= 0) this.since += SLOW.get(op) ?? 1;
    if (op >= 0x02 && op <= 0x05) this.enter(op, start);
    else if (op === END) this.leave();
    else if (op >= 0x0c && op <= 0x0f) this.branch(op, start);
    else if (op === 0x00) this.away();
    else if (op === 0x40) this.grow(start);
    else if (op === 0x10) this.call(start);
    else if (op === 0x11) this.callIndirect();
    else if (op === 0xfc) this.extended(start);
    else if (this.meter.wide && op === 0x3f) this.narrowSize();
    else if (this.meter.wide && isAccess(op)) this.narrowAccess(op, storedBy(op), start);
    else {
      immediates(op, reader);
      this.operands.plain(op);
    }
    const computed = COMPUTED.get(op);
    if (computed) this.canonize(computed);
  }

  /** The number just computed is the one NaN there is, if it is none. */
  private canonize(type: number): void {
    this.copy();
    const local = this.local(`value ${type}`, type);
    this.out.push(indexed(0x22, local), orNan(type, indexed(0x20, local)));
  }

  /** memory.size, in a module with 64-bit addresses, as it is on the memory with 32-bit ones. */
  private narrowSize(): void {
    immediates(0x3f, this.reader);
    this.operands.plain(0x3f);
    this.copy();
    this.out.push(EXTENDED);
  }

  /** A load or a store, likewise. Its offset is written again: it may take more bytes than one of 32 bits. */
  private narrowAccess(op: number, stores: number | null, start: number): void {
    const { alignment, offset } = memoryOperands(this.reader);
    if (offset >= 2 ** 32) throw new ModuleRefused('An address is beyond what a memory may have.');
    this.operands.plain(op);
    this.copy(start);
    this.hold(1);
    this.written = this.reader.at;
    const access = [Buffer.from([op]), unsigned(alignment), unsigned(offset)];
    const address = narrowedAddress(this.local('at', I64));
    if (stores === null) {
      this.out.push(address, ...access);
      return;
    }
    const stored = this.local(`stored ${stores}`, stores);
    this.out.push(indexed(0x21, stored), address, indexed(0x20, stored), ...access);
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

  /** So many blocks begin here, of the module's own or of what counts it. */
  private hold(blocks: number): void {
    this.held += blocks * (this.locals + this.operands.height);
  }

  /** What is not paid for yet is, before the instruction that begins at `start`. */
  private settle(start: number): void {
    this.copy(start);
    this.pay(constant(stepsFor(this.since)));
    this.since = 0;
  }

  /**
   * Memory the code may have and the host does not give would look to the code like memory it may not have, and it would go on, otherwise than elsewhere:
   * it ends there, and the host is told why.
   */
  private grow(start: number): void {
    this.reader.number();
    const { wide, mostPages: most, fuel } = this.meter;
    const until = this.reader.at;
    this.copy(start);
    this.pay(constant(GROW_COST));
    this.hold(2);
    const [wanted, got] = [this.local('wanted', this.word), this.local('got', this.word)];
    const code = wide
      ? { constant: 0x42, equal: 0x51, less: 0x7d, enough: 0x5a }
      : { constant: 0x41, equal: 0x46, less: 0x6b, enough: 0x4f };
    this.out.push(indexed(0x22, wanted));
    if (wide) this.out.push(narrowedGrowth(wanted));
    this.copy(until);
    if (wide) this.out.push(SIGN_EXTENDED);
    this.out.push(
      indexed(0x22, got),
      indexed(0x20, got),
      Buffer.from([code.constant, 0x7f, code.equal, 0x04, 0x40]), // -1
      Buffer.concat([
        Buffer.from([code.constant]),
        signed(most),
        Buffer.from([0x3f, 0]),
        wide ? EXTENDED : NO_CODE,
        Buffer.from([code.less]),
      ]),
      indexed(0x20, wanted),
      Buffer.from([code.enough, 0x04, 0x40]),
      Buffer.concat([Buffer.from([0x41]), LEAST_I32, indexed(0x24, fuel), Buffer.from([0x00, END, END])]),
    );
  }

  private call(start: number): void {
    const host = this.meter.imported;
    const index = this.reader.number();
    const imports = host[index];
    const { params, results } = imports?.signature ?? signatureOf(this.meter, index - host.length);
    this.operands.take(params.length, results.length);
    if (!imports) {
      this.callees.add(index - host.length);
      return;
    }
    this.hosts.add(index);
    const until = this.reader.at;
    this.copy(start);
    this.pay(constant(HOST_COST));
    this.copy(until);
    if (results[0] === F32 || results[0] === F64) this.canonize(results[0]); // it has been through JavaScript
  }

  /** Through a table. */
  private callIndirect(): void {
    const index = this.reader.number();
    const type = this.meter.types.of(index);
    this.types.add(this.meter.types.number(index));
    this.operands.take(type.params.length + 1, type.results.length);
    this.reader.number();
  }

  private enter(op: number, start: number): void {
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
    const kind = op === 0x03 ? 'loop' : op === 0x04 ? 'if' : 'block';
    // What came before a loop is paid for before it, when it is so much that the end of its stretch would come within, where it is paid for in each pass.
    if (kind === 'loop' && this.since > STRETCH / 2) this.settle(start);
    const { params, results } = this.blockType();
    this.operands.enter(params.length, results.length);
    const otherwise = kind === 'if' ? this.since : -1;
    const block: Block = { kind, end: -1, otherwise, begun: this.since, again: -1, price: -1 };
    this.open.push(block);
    this.hold(1);
    if (kind !== 'loop') return;
    this.copy();
    block.price = this.pay(NOT_KNOWN);
  }

  /** Nothing, the type of one result, or the index of a type: only the last is never negative, as LEB128 has it. */
  private blockType(): Signature {
    const first = this.reader.bytes[this.reader.at] ?? 0;
    const type = this.reader.number();
    if (first === NO_RESULT) return NOTHING;
    if (first > NO_RESULT && first < 0x80) return { params: [], results: [first] };
    const its = this.meter.types.of(type);
    if (its.params.length > 0) throw new ModuleRefused('A block that takes operands cannot be metered.');
    return its;
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
    const { kind, end, otherwise, begun, again, price } = this.open.pop() as Block;
    this.since = Math.max(this.since, end, otherwise);
    if (kind === 'loop') this.out[price] = constant(stepsFor(again - begun));
    if (this.open.length === 0) this.ended = Math.max(this.ended, this.since);
  }

  /** br, br_if, br_table, return. Ways back to a loop's beginning are paid for there. */
  private branch(op: number, start: number): void {
    const { reader } = this;
    if (op === 0x0f && this.meter.stackSlots !== null) {
      this.copy(start);
      this.out.push(this.giveStack());
    }
    if (op === 0x0f) this.ended = Math.max(this.ended, this.since);
    const count = op === 0x0e ? reader.number() + 1 : op === 0x0f ? 0 : 1;
    for (let i = 0; i < count; i += 1) {
      const target = this.open.at(-1 - reader.number());
      if (!target) throw new ModuleRefused('A branch leads nowhere.');
      if (target.kind === 'loop') target.again = Math.max(target.again, this.since);
      else target.end = Math.max(target.end, this.since);
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
    // A length beyond 32 bits is beyond any memory, and traps.
    const units = this.meter.wide
      ? [Buffer.from([0x42, BYTES_PER_UNIT_LOG2, 0x88, 0xa7, 0x41]), signed(0x3ff_ffff), Buffer.from([0x71])]
      : [Buffer.from([0x41, BYTES_PER_UNIT_LOG2, 0x76])];
    this.pay(Buffer.concat([indexed(0x20, length), ...units]));
    if (this.meter.wide) {
      this.hold(1);
      const from = op === 0x0a ? I64 : I32; // where to copy from, what to fill with
      this.out.push(
        narrowedRange(this.local('at', I64), { index: this.local(`from ${from}`, from), type: from }, length),
      );
    }
    this.copy(until);
  }

  /** fuel = fuel - cost; traps below zero. `cost` leaves an i32 from 0 to 2^26 on the stack. @returns where in the code it is */
  private pay(cost: Uint8Array): number {
    this.hold(1);
    const { fuel } = this.meter;
    const left = this.local('left', I32);
    const get = indexed(0x23, fuel);
    const rest = [Buffer.from([0x6b]), indexed(0x22, left), indexed(0x24, fuel), indexed(0x20, left), TRAP_BELOW_ZERO];
    return this.out.push(get, cost, Buffer.concat(rest)) - 2;
  }
}

const NO_CODE = Buffer.alloc(0);
/** In the place of a price that is not known yet. */
const NOT_KNOWN = NO_CODE;
/** i64.extend_i32_u and i64.extend_i32_s */
const [EXTENDED, SIGN_EXTENDED] = [Buffer.from([0xad]), Buffer.from([0xac])];
const stepsFor = (instructions: number): number => Math.max(1, Math.ceil(instructions / PER_STEP));

/** Behind a number on the stack: it, or the one NaN there is. @param get the same number again */
function orNan(type: number, get: Uint8Array): Uint8Array {
  const [nan, equal] = type === F32 ? [NAN_32, 0x5b] : [NAN_64, 0x61];
  return Buffer.concat([nan, get, get, Buffer.from([equal, 0x1b])]);
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
  else if (op >= 0x28 && op <= 0x3e) memoryOperands(r);
  else if (op === 0x43) r.skip(4);
  else if (op === 0x44) r.skip(8);
  else if (ONE_NUMBER.has(op)) r.number();
  else if (!(op === 0x01 || op === 0x1a || op === 0x1b || (op >= 0x45 && op <= 0xc4)))
    throw unknown(`0x${op.toString(16)}`);
}

/** The largest there is. */
const MAX_ALIGNMENT_LOG2 = 3;

/** What belongs to a load or a store. Beyond the largest alignment there is more to read, in engines that know several memories. */
function memoryOperands(r: Reader): { alignment: number; offset: number } {
  const alignment = r.number();
  if (alignment > MAX_ALIGNMENT_LOG2) throw new ModuleRefused('A module has one memory.');
  return { alignment, offset: r.number() };
}

/** call; locals and globals; memory.size; i32.const and i64.const. Tables stay as they are. */
const ONE_NUMBER: ReadonlySet<number> = new Set([0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x3f, 0x41, 0x42]);

const unknown = (op: string): Error => new ModuleRefused(`Instruction ${op} cannot be metered.`);

const GLOBAL_EXPORT = 3;
const exportOf = (name: string, kind: number, index: number): Buffer =>
  Buffer.concat([unsigned(name.length), Buffer.from(name), Buffer.from([kind]), unsigned(index)]);

/** Own functions that are exported, by name. */
function exportedFunctions(reader: Reader): Map<string, number> {
  const entries = list(
    reader,
    (r): [string, number, number] => [Buffer.from(r.take(r.number())).toString('utf8'), r.byte(), r.number()],
    MAX_EXPORTS,
    'exports',
  );
  const taken = entries.find(([name]) => name.startsWith(OURS));
  if (taken)
    throw new ModuleRefused(`A module may not export ${taken[0]}: such names are given to what is added to it.`);
  return new Map(entries.flatMap(([name, kind, index]) => (kind === KIND.function ? [[name, index]] : [])));
}

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

/** The memory of a module by its own word. */
export function memoryOf(binary: Uint8Array): { wide: boolean; maximumBytes: number } {
  const [own] = list(bodies(sectionsOf(binary))(SECTION.memory), limits);
  return { wide: own?.wide ?? false, maximumBytes: (own?.maximum ?? Infinity) * PAGE_BYTES };
}

/** Whether a module runs something by itself when it is instantiated. */
export const hasStart = (binary: Uint8Array): boolean => sectionsOf(binary).some(({ id }) => id === SECTION.start);

const mostPages = (memory: Limits | null | undefined, { maxMemoryBytes }: Metering): number =>
  Math.min(memory?.maximum ?? Infinity, Math.floor(maxMemoryBytes / PAGE_BYTES));

/** Of a memory: it has a largest size, and addresses of 32 bits. */
const HAS_MOST = 1;

/** The memory with a largest size, which no instance may exceed. */
function boundedMemory(reader: Reader, options: Metering): Uint8Array {
  const { firstMemoryBytes = Infinity } = options;
  const memories = list(reader, limits).map((declares) => {
    const most = mostPages(declares, options);
    const initial = Math.min(declares.initial, Math.ceil(firstMemoryBytes / PAGE_BYTES));
    if (initial > most)
      throw new ModuleRefused(
        `The module begins with ${initial * PAGE_BYTES} bytes of memory; it may have ${most * PAGE_BYTES}.`,
      );
    return Buffer.concat([Buffer.from([HAS_MOST]), unsigned(initial), unsigned(most)]);
  });
  return Buffer.concat([unsigned(memories.length), ...memories]);
}

/** Functions in tables, which are the module's own: a call of the host is always seen, and paid for. */
function tabledFunctions(reader: Reader, importedFunctions: number): Set<number> {
  const tabled = new Set<number>();
  let elements = 0;
  list(reader, (r) => {
    if (r.number() !== 0) throw new ModuleRefused('Only functions, put into the table from the beginning, are known.');
    for (let op = r.byte(); op !== END; op = r.byte()) immediates(op, r);
    const count = r.number();
    elements += 1 + count;
    if (elements > MAX_TABLE) throw new ModuleRefused(`Tables have at most ${MAX_TABLE} elements.`);
    for (let i = 0; i < count; i += 1) {
      const index = r.number() - importedFunctions;
      if (index < 0) throw new ModuleRefused('A function of the host may not be in a table.');
      tabled.add(index);
    }
  });
  return tabled;
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

function signature(r: Reader): Signature {
  if (r.byte() !== 0x60) throw new ModuleRefused('Only types of functions are known.');
  const values = (most: number, what: string) => list(r, (its) => numeric(its.byte()), most, `${what} of a function`);
  return { params: values(MAX_PARAMS, 'parameters'), results: values(1, 'results') };
}

function numeric(type: number): number {
  if (type < F64 || type > I32) throw new ModuleRefused('Only values that are numbers are known.');
  return type;
}

/** Of each own global, whether it can change. */
function globalsOf(reader: Reader): boolean[] {
  const global = (r: Reader): boolean => {
    numeric(r.byte());
    const mutable = r.byte() === 1;
    for (let op = r.byte(); op !== END; op = r.byte()) immediates(op, r);
    return mutable;
  };
  return list(reader, global, MAX_GLOBALS, 'globals');
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

/** The own functions a module exports, by name. */
export function exportsOf(binary: Uint8Array): Map<string, Signature> {
  const body = bodies(sectionsOf(binary));
  const types = new Types(body(SECTION.type));
  const host = list(body(SECTION.import), imported).filter(({ kind }) => kind === KIND.function).length;
  const functions = list(body(SECTION.function), (r) => r.number());
  const entries = [...exportedFunctions(body(SECTION.export))];
  return new Map(entries.map(([name, index]) => [name, types.of(functions[index - host] ?? -1)]));
}

/** The functions a module asks for, in order. @throws ModuleRefused when it asks for anything else */
export function importsOf(binary: Uint8Array): { module: string; name: string; signature: Signature }[] {
  const body = bodies(sectionsOf(binary));
  const types = new Types(body(SECTION.type));
  return list(body(SECTION.import), imported, MAX_IMPORTS, 'imports').map(({ module, name, kind, type }) => {
    if (kind !== KIND.function)
      throw new ModuleRefused(`${module}.${name} is no function: nothing else may be imported.`);
    return { module, name, signature: types.of(type) };
  });
}
