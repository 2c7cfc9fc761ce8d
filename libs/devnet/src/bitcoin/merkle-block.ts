/** The proof of `gettxoutproof`: a block's header and the part of its merkle tree that leads to some of its transactions (BIP 37's merkleblock). */
import { crypto } from 'bitcoinjs-lib';

/** `ids` are of all transactions, in the order of the bytes; `wanted` says which are proved. */
export function merkleBlock(header: Uint8Array, ids: readonly Uint8Array[], wanted: readonly boolean[]): Buffer {
  const levels: Uint8Array[][] = [[...ids]];
  const matched: boolean[][] = [[...wanted]];
  for (let level = 0; (levels[level]?.length ?? 0) > 1; level += 1) {
    const [below = [], hit = []] = [levels[level], matched[level]];
    levels.push(pairs(below, (a, b = a) => crypto.hash256(Buffer.concat([a, b]))));
    matched.push(pairs(hit, (a, b = false) => a || b));
  }
  const bits: boolean[] = [];
  const hashes: Uint8Array[] = [];
  const walk = (level: number, at: number): void => {
    const hit = matched[level]?.[at] ?? false;
    bits.push(hit);
    if (level === 0 || !hit) {
      hashes.push(levels[level]?.[at] as Uint8Array); // walked only within each level's length
      return;
    }
    walk(level - 1, at * 2);
    if (at * 2 + 1 < (levels[level - 1]?.length ?? 0)) walk(level - 1, at * 2 + 1);
  };
  walk(levels.length - 1, 0);
  const flags = Buffer.alloc(Math.ceil(bits.length / 8));
  for (const [i, bit] of bits.entries()) if (bit) flags[i >> 3] = (flags[i >> 3] as number) | (1 << (i & 7));
  const count = Buffer.alloc(4);
  count.writeUInt32LE(ids.length);
  return Buffer.concat([header, count, length(hashes.length), ...hashes, length(flags.length), flags]);
}

function pairs<T>(items: readonly T[], join: (a: T, b?: T) => T): T[] {
  const joined: T[] = [];
  for (let i = 0; i < items.length; i += 2) joined.push(join(items[i] as T, items[i + 1]));
  return joined;
}

function length(count: number): Buffer {
  if (count < 0xfd) return Buffer.of(count);
  const bytes = Buffer.alloc(3, 0xfd);
  bytes.writeUInt16LE(count, 1); // a block has fewer than 65,536 transactions
  return bytes;
}
