/**
 * Counts what compiled code does, inside the code itself: each pass of a loop and each call of a function takes one from a counter that is
 * refilled from outside, and at nothing left the code traps. So everything it does is bounded, and ends at the same step everywhere.
 */

/** Name under which the counter (a mutable i32) is exported. */
export const FUEL = 'isthmus_fuel';
/** Name under which the depth of the stack (a mutable i32, 0 between calls) is exported, when it is counted. */
export const STACK = 'isthmus_stack';
/** What a call takes of the stack beside its locals, in slots of 8 bytes: where to return to, what is being computed. */
const FRAME_SLOTS = 16;
/** Bytes of a memory.copy or memory.fill that cost one. */
const BYTES_PER_UNIT_LOG2 = 6;

const SECTION = { type: 1, import: 2, function: 3, global: 6, export: 7, code: 10 };

const I32 = 0x7f;
const END = 0x0b;

/**
 * The same WebAssembly module, metered. @param binary of a module for 32-bit memories, without SIMD, threads or exceptions
 * @param stackSlots locals and frames that may be on the stack at once; beyond it the code traps, before the host's own stack ends, which is
 * not the same size everywhere. Only for code that no exception of its host passes through.
 * @throws Error for instructions it does not know: nothing passes that is not counted
 */
export function metered(binary: Uint8Array, stackSlots: number | null = null): Uint8Array {
  const reader = new Reader(binary);
  reader.skip(8); // magic and version
  const sections: { id: number; body: Uint8Array }[] = [];
  while (!reader.done) {
    const id = reader.byte();
    sections.push({ id, body: reader.take(reader.number()) });
  }
  const body = (id: number): Reader => new Reader(sections.find((s) => s.id === id)?.body ?? Buffer.from([0]));
  const signatures = list(body(SECTION.type), signature);
  const imported = importedGlobals(body(SECTION.import));
  const fuel = imported + body(SECTION.global).number();
  const types = list(body(SECTION.function), (r) => r.number());
  const parts = sections.flatMap(({ id, body: bytes }) => {
    const changed = rewritten(
      id,
      bytes,
      { fuel, stackSlots },
      (index) => signatures[types[index] as number] as Signature,
    );
    return [Buffer.from([id]), unsigned(changed.length), changed];
  });
  return Buffer.concat([binary.subarray(0, 8), ...parts]);
}

interface Meters {
  /** Index of the counter; the stack's depth comes after it. */
  fuel: number;
  stackSlots: number | null;
}

function rewritten(
  id: number,
  bytes: Uint8Array,
  meters: Meters,
  signatureOf: (index: number) => Signature,
): Uint8Array {
  const reader = new Reader(bytes);
  const { fuel, stackSlots } = meters;
  if (id === SECTION.global) {
    // What runs while the module is instantiated runs before its counter can be filled from outside.
    const globals = [Buffer.from([I32, 1, 0x41, ...signed(0x7fffffff), END])];
    if (stackSlots !== null) globals.push(Buffer.from([I32, 1, 0x41, 0, END]));
    return appended(reader, globals);
  }
  if (id === SECTION.export) {
    const exported = (name: string, index: number) =>
      Buffer.concat([unsigned(name.length), Buffer.from(name), Buffer.from([3]), unsigned(index)]);
    return appended(reader, [exported(FUEL, fuel), ...(stackSlots === null ? [] : [exported(STACK, fuel + 1)])]);
  }
  if (id !== SECTION.code) return bytes;
  const count = reader.number();
  const bodies = Array.from({ length: count }, (_, i) => {
    const body = meteredBody(reader.take(reader.number()), meters, signatureOf(i));
    return Buffer.concat([unsigned(body.length), body]);
  });
  return Buffer.concat([unsigned(count), ...bodies]);
}

/** A vector with more elements at its end. */
function appended(reader: Reader, elements: readonly Uint8Array[]): Uint8Array {
  const count = reader.number();
  return Buffer.concat([unsigned(count + elements.length), reader.rest(), ...elements]);
}

function meteredBody(bytes: Uint8Array, { fuel, stackSlots }: Meters, { params, result }: Signature): Uint8Array {
  const reader = new Reader(bytes);
  let locals = params;
  const groups = list(reader, (r) => {
    const start = r.at;
    locals += r.number();
    r.byte();
    return r.between(start);
  });
  // One more local, for the length of what is copied.
  const out: Uint8Array[] = [unsigned(groups.length + 1), ...groups, Buffer.from([1, I32])];
  const one = Buffer.from([0x41, 1]);
  const payOne = pay(fuel, one);
  const payLength = Buffer.concat([
    Buffer.concat([Buffer.from([0x22]), unsigned(locals)]), // local.tee: the length stays where it is
    pay(fuel, Buffer.concat([Buffer.from([0x20]), unsigned(locals), Buffer.from([0x41, BYTES_PER_UNIT_LOG2, 0x76])])),
  ]);
  out.push(payOne);
  const stack = stackSlots === null ? null : stackPass(fuel + 1, locals + FRAME_SLOTS, stackSlots);
  // The body becomes a block, so that whatever branches to its end passes by what gives its slots back.
  if (stack) out.push(stack.enter, Buffer.from([0x02, result]));
  while (!reader.done) {
    const start = reader.at;
    const kind = instruction(reader);
    if (kind === 'bulk') out.push(payLength);
    if (stack && kind === 'return') out.push(stack.leave);
    out.push(reader.between(start));
    if (kind === 'loop') out.push(payOne);
  }
  if (stack) out.push(stack.leave, Buffer.from([END]));
  return Buffer.concat(out);
}

/** fuel = fuel - cost; traps below zero. `cost` leaves an i32 from 0 to 2^26 on the stack. */
function pay(fuel: number, cost: Uint8Array): Buffer {
  const [get, set] = [0x23, 0x24].map((op) => Buffer.concat([Buffer.from([op]), unsigned(fuel)])) as [Buffer, Buffer];
  const subtract = Buffer.from([0x6b]);
  const trapBelowZero = Buffer.from([0x41, 0, 0x48, 0x04, 0x40, 0x00, END]);
  return Buffer.concat([get, cost, subtract, set, get, trapBelowZero]);
}

/** What takes slots of the stack when a function begins, trapping above the limit, and what gives them back. */
function stackPass(global: number, slots: number, limit: number): { enter: Buffer; leave: Buffer } {
  const [get, set] = [0x23, 0x24].map((op) => Buffer.from([op, ...unsigned(global)])) as [Buffer, Buffer];
  const constant = (value: number) => Buffer.from([0x41, ...signed(value)]);
  const trapAboveLimit = Buffer.concat([get, constant(limit), Buffer.from([0x4a, 0x04, 0x40, 0x00, END])]);
  const move = (op: number) => Buffer.concat([get, constant(slots), Buffer.from([op]), set]);
  return { enter: Buffer.concat([move(0x6a), trapAboveLimit]), leave: move(0x6b) };
}

/** Passes over one instruction with its immediates. */
function instruction(r: Reader): 'plain' | 'loop' | 'bulk' | 'return' {
  const op = r.byte();
  if (op === 0x02 || op === 0x03 || op === 0x04) {
    r.number(); // a block's type: one byte, or the index of a type
    return op === 0x03 ? 'loop' : 'plain';
  }
  if (op === 0xfc) return extended(r);
  if (op === 0x0f) return 'return';
  if (op === 0x0e) for (let targets = r.number() + 1; targets > 0; targets -= 1) r.number();
  else if (op === 0x11) r.numbers(2); // call_indirect: type, table
  else if (op === 0x1c) for (let types = r.number(); types > 0; types -= 1) r.byte();
  else if (op >= 0x28 && op <= 0x3e) r.numbers(2); // loads and stores: alignment, offset
  else if (op === 0x43) r.skip(4);
  else if (op === 0x44) r.skip(8);
  else if (ONE_NUMBER.has(op)) r.number();
  else if (!(op <= 0x01 || op === 0x05 || op === END || op === 0x1a || op === 0x1b || (op >= 0x45 && op <= 0xc4)))
    throw unknown(op);
  return 'plain';
}

/** br, br_if, call; locals, globals, tables; memory.size and memory.grow; i32.const and i64.const. */
const ONE_NUMBER: ReadonlySet<number> = new Set([
  0x0c, 0x0d, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x3f, 0x40, 0x41, 0x42,
]);

function extended(r: Reader): 'plain' | 'bulk' {
  const op = r.number();
  if (op <= 7) return 'plain'; // truncations that saturate
  if (op === 0x0a) r.numbers(2);
  else if (op === 0x0b) r.number();
  else throw unknown(op);
  return 'bulk';
}

const unknown = (op: number): Error => new Error(`Instruction 0x${op.toString(16)} cannot be metered.`);

/** How many parameters a function takes, and its result as the type of a block. */
interface Signature {
  params: number;
  result: number;
}

const NO_RESULT = 0x40;

function signature(r: Reader): Signature {
  r.byte();
  const params = r.number();
  r.skip(params);
  const results = r.take(r.number());
  if (results.length > 1) throw new Error('Functions with several results cannot be metered.');
  return { params, result: results[0] ?? NO_RESULT };
}

function importedGlobals(reader: Reader): number {
  const kinds = list(reader, (r) => {
    r.skip(r.number());
    r.skip(r.number());
    const kind = r.byte();
    if (kind === 0) r.number();
    else if (kind === 3) r.skip(2);
    else if (kind === 2) r.numbers((r.byte() & 1) === 1 ? 2 : 1); // a memory: its limits
    else throw new Error('Only functions, globals and memories may be imported.');
    return kind;
  });
  return kinds.filter((kind) => kind === 3).length;
}

function list<T>(reader: Reader, read: (reader: Reader) => T): T[] {
  return Array.from({ length: reader.number() }, () => read(reader));
}

/** LEB128 */
function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** LEB128 of an i32 that is not negative. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x3f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

class Reader {
  at = 0;
  constructor(private readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw new Error('The WebAssembly module ends too early.');
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
    if (this.at + count > this.bytes.length) throw new Error('The WebAssembly module ends too early.');
    return this.bytes.subarray(this.at, (this.at += count));
  }

  between(start: number): Uint8Array {
    return this.bytes.subarray(start, this.at);
  }

  rest(): Uint8Array {
    return this.take(this.bytes.length - this.at);
  }
}
