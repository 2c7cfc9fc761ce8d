/** A checkpoint on Arweave: the memory of a process after one slot, signed by the scheduler, from which a replay may begin. */
import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants } from 'node:zlib';
import {
  createItem,
  decodeImage,
  encodeImage,
  hashOf,
  tagOf,
  type Item,
  type MemoryImage,
  type Signer,
} from '@isthmus/ao';
import { SettlementError } from './error.js';

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);

/** A memory is 512 MiB at most (protocol, section 5). */
const MAX_MEMORY_BYTES = 512 * 1024 * 1024;
/** Half as large as the fastest way's, a third as slow as the best one's. */
const QUALITY = 5;

export interface CheckpointLabel {
  process: string;
  module: string;
  /** The memory is as after this slot. */
  nonce: number;
  /** Of the assignment of that slot. */
  hashChain: string;
  /** r(nonce) of the results chain, base64url. */
  results: string;
}

export interface SettledCheckpoint extends CheckpointLabel {
  /** Its signature is checked by who reads it, as is that the owner is the scheduler. */
  item: Item;
  /** `hashOf` the memory, hexadecimal. */
  sha256: string;
  /** Bytes of the memory. */
  size: number;
}

/** Makes and signs a checkpoint. @throws ItemError `too-large` when its pages, compressed, are more than an item may have */
export async function createCheckpoint(label: CheckpointLabel, image: MemoryImage, signer: Signer): Promise<Item> {
  const { process, module, nonce, hashChain, results } = label;
  const pages = new Map([...image.pages].sort(([a], [b]) => a - b));
  const data = await compress(encodeImage({ size: image.size, pages }), {
    params: { [constants.BROTLI_PARAM_QUALITY]: QUALITY },
  });
  const tags = [
    { name: 'Data-Protocol', value: 'ao' },
    { name: 'Variant', value: 'ao.TN.1' },
    { name: 'Type', value: 'Checkpoint' },
    { name: 'Process', value: process },
    { name: 'Module', value: module },
    { name: 'Nonce', value: String(nonce) },
    { name: 'Hash-Chain', value: hashChain },
    { name: 'SHA-256', value: hashOf(image) },
    { name: 'Size', value: String(image.size) },
    { name: 'Results', value: results },
    { name: 'Content-Encoding', value: 'br' },
  ];
  return createItem({ tags, data }, signer);
}

/** What an item says it is a checkpoint of; null when it is none. Its memory is not looked at. @throws SettlementError `bad-checkpoint` */
export function readCheckpoint(item: Item): SettledCheckpoint | null {
  if (tagOf(item, 'Type') !== 'Checkpoint' || tagOf(item, 'Data-Protocol') !== 'ao') return null;
  const [nonce, size] = [numberOf(item, 'Nonce'), numberOf(item, 'Size')];
  if (size > MAX_MEMORY_BYTES) throw bad(item, `is of more than ${MAX_MEMORY_BYTES} bytes`);
  if (tagOf(item, 'Content-Encoding') !== 'br') throw bad(item, 'is not compressed as checkpoints are');
  return {
    item,
    process: tagOf(item, 'Process'),
    module: tagOf(item, 'Module'),
    nonce,
    hashChain: tagOf(item, 'Hash-Chain'),
    results: tagOf(item, 'Results'),
    sha256: tagOf(item, 'SHA-256'),
    size,
  };
}

/** The memory of a checkpoint. @throws SettlementError `bad-checkpoint` when it is not the one its tags name */
export async function imageOf({ item, size, sha256 }: SettledCheckpoint): Promise<MemoryImage> {
  const image = await unpacked(item, size);
  if (image.size !== size || hashOf(image) !== sha256) throw bad(item, 'holds another memory than its tags say');
  return image;
}

async function unpacked(item: Item, size: number): Promise<MemoryImage> {
  try {
    // Each page of 64 KiB after four bytes of its number, and four of the size: what is beyond is never unpacked.
    return decodeImage(await decompress(item.data, { maxOutputLength: 4 + size + 4 * (size / 65_536) }));
  } catch {
    throw bad(item, 'cannot be unpacked');
  }
}

function numberOf(item: Item, name: string): number {
  const text = tagOf(item, name);
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || String(value) !== text) throw bad(item, `has no ${name}`);
  return value;
}

const bad = (item: Item, why: string): SettlementError =>
  new SettlementError('bad-checkpoint', `Checkpoint ${item.id} ${why}.`);
