/** What passes between messages and contracts in Solidity's ABI: texts, lists and structs of them. Reads are bounded, whatever the data points to. */
import { keccak_256 } from '@noble/hashes/sha3.js';

const WORD = 32;

/** A text, a struct or list of arguments, or a list. All of them dynamic, in the ABI's words. */
export type Value = string | { struct: readonly Value[] } | { list: readonly Value[] };

/** First four bytes of a function's call. */
export function selectorOf(signature: string): Buffer {
  return Buffer.from(keccak_256(Buffer.from(signature)).subarray(0, 4));
}

/** First topic of an event, as hex. */
export function topicOf(signature: string): string {
  return Buffer.from(keccak_256(Buffer.from(signature))).toString('hex');
}

/** A call's data. */
export function encodeCall(selector: Buffer, parameters: readonly Value[]): Buffer {
  return Buffer.concat([selector, encode({ struct: parameters })]);
}

function encode(value: Value): Buffer {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    return Buffer.concat([word(bytes.length), bytes, Buffer.alloc(-bytes.length & (WORD - 1))]);
  }
  if ('list' in value) return Buffer.concat([word(value.list.length), encode({ struct: value.list })]);
  const tails = value.struct.map(encode);
  let offset = tails.length * WORD;
  const heads = tails.map((tail) => word((offset += tail.length) - tail.length));
  return Buffer.concat([...heads, ...tails]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(WORD);
  bytes.writeUIntBE(value, WORD - 6, 6);
  return bytes;
}

/** Data is not what its event or error says it is. */
export class AbiError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AbiError';
  }
}

/** Reads arguments. Many offsets may point to one text: what is read is bounded by itself, not by the data. */
export class AbiReader {
  /** @param bytes what is read @param budget bytes of texts, and 32 for each value, that may be read in all */
  constructor(
    private readonly bytes: Uint8Array,
    private budget: number,
  ) {}

  /** What of the budget is left. */
  get left(): number {
    return this.budget;
  }

  /** The text whose offset is the argument at this position, of a struct that begins at `base`. @throws AbiError */
  text(base: number, position: number): string {
    const at = this.dynamic(base, position);
    const size = this.number(at);
    this.spend(size);
    if (at + WORD + size > this.bytes.length) throw new AbiError('A text is cut short.');
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + at + WORD, size).toString('utf8');
  }

  /** What `read` makes of each struct of a list. @throws AbiError */
  list<T>(base: number, position: number, read: (element: number) => T): T[] {
    return this.each(base, position, (start, i) => read(this.dynamic(start, i)));
  }

  /** @throws AbiError */
  texts(base: number, position: number): string[] {
    return this.each(base, position, (start, i) => this.text(start, i));
  }

  private each<T>(base: number, position: number, read: (start: number, i: number) => T): T[] {
    const at = this.dynamic(base, position);
    const length = this.number(at);
    const all: T[] = [];
    for (let i = 0; i < length; i += 1) all.push(read(at + WORD, i));
    return all;
  }

  private dynamic(base: number, position: number): number {
    this.spend(WORD);
    return base + this.number(base + position * WORD);
  }

  /** A word that is an offset or a length: more than the data has is an error anyway. */
  private number(at: number): number {
    const end = at + WORD;
    if (end > this.bytes.length) throw new AbiError('The data is cut short.');
    for (let i = at; i < end - 4; i += 1) if (this.bytes[i] !== 0) throw new AbiError('An offset is out of reach.');
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + end - 4, 4).readUInt32BE();
  }

  private spend(bytes: number): void {
    this.budget -= bytes;
    if (this.budget < 0) throw new AbiError('The data says more than a message may give.');
  }
}
