/** Bitcoin's bytes: read strictly from the front, hashed twice; hashes are shown in reverse. */
import { createHash } from 'node:crypto';
import { BitcoinError } from './errors.js';

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Scripts and keys as they are written and kept. */
export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** SHA-256 of SHA-256, what Bitcoin names everything by. */
export const hash256 = (bytes: Uint8Array): Buffer => sha256(sha256(bytes));

/** A hash as people read it. */
export function shown(hash: Uint8Array): string {
  return Buffer.from(hash.toReversed()).toString('hex');
}

/** The inverse of `shown`. @throws BitcoinError `bad-bytes` */
export function unshown(text: string): Buffer {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new BitcoinError('bad-bytes', 'A hash has 64 digits of small hex.');
  return Buffer.from(Buffer.from(text, 'hex').toReversed());
}

/** Bytes of small hex. @throws BitcoinError `bad-bytes` */
export function unhex(text: unknown, what = 'Bytes'): Buffer {
  if (typeof text !== 'string' || !/^(?:[0-9a-f]{2})*$/.test(text))
    throw new BitcoinError('bad-bytes', `${what} are written in small hex.`);
  return Buffer.from(text, 'hex');
}

/** Reads from the front; what runs out is refused. */
export class Reader {
  at = 0;
  constructor(readonly bytes: Buffer) {}

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  take(length: number): Buffer {
    const end = this.at + length;
    if (end > this.bytes.length) throw new BitcoinError('bad-bytes', 'The bytes end too early.');
    const taken = this.bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }
  u32(): number {
    return this.take(4).readUInt32LE();
  }
  i32(): number {
    return this.take(4).readInt32LE();
  }
  u64(): bigint {
    return this.take(8).readBigUInt64LE();
  }

  /** A count or length, in its shortest form, of things that take at least `each` bytes: no more of them than there are bytes. */
  count(each = 1): number {
    const first = this.u8();
    const value =
      first < 0xfd
        ? first
        : first === 0xfd
          ? this.take(2).readUInt16LE()
          : first === 0xfe
            ? this.u32()
            : Number(this.u64());
    const least = first < 0xfd ? 0 : first === 0xfd ? 0xfd : first === 0xfe ? 0x10000 : 0x100000000;
    if (value < least) throw new BitcoinError('bad-bytes', 'A count is not in its shortest form.');
    if (value * each > this.bytes.length - this.at) throw new BitcoinError('bad-bytes', 'The bytes end too early.');
    return value;
  }
}
