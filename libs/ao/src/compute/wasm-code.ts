/** WebAssembly's binary format (Core 2.0, chapter 5) as it is read and written here: numbers, lists, the codes of types. */
import { ProcessError } from './traps.js';

export const [I32, I64, F32, F64] = [0x7f, 0x7e, 0x7d, 0x7c];
export const END = 0x0b;

/** A module that may not run, and why. */
export class ModuleRefused extends ProcessError {
  constructor(reason: string) {
    super(reason);
    this.name = 'ModuleRefused';
  }
}

/** Types of what a function takes and gives. */
export interface Signature {
  params: readonly number[];
  results: readonly number[];
}

export const NO_RESULT = 0x40;
export const NOTHING: Signature = { params: [], results: [] };

/** @throws ModuleRefused when there are more than `most` of them */
export function list<T>(reader: Reader, read: (reader: Reader) => T, most = Infinity, what = ''): T[] {
  const items: T[] = [];
  const count = reader.number();
  if (count > most) throw new ModuleRefused(`A module has at most ${most} ${what}.`);
  for (let left = count; left > 0; left -= 1) items.push(read(reader));
  return items;
}

/** LEB128 */
export function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** LEB128 of what may be negative; here it never is. */
export function signed(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x3f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Buffer.from([...bytes, value]);
}

export const indexed = (op: number, index: number): Buffer => Buffer.concat([Buffer.from([op]), unsigned(index)]);

/** i32.const */
export const constant = (value: number): Buffer => Buffer.concat([Buffer.from([0x41]), signed(value)]);

/** -2^31 */
export const LEAST_I32 = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x78]);

export class Reader {
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
