/** Transactions of Arweave (format 2): signed over the root of their data, which is sent after them in chunks. */
import { hash } from 'node:crypto';
import { deepHash, type Signer, type Tag } from '@isthmus/ao';
import { generateTransactionChunks } from 'arweave/node/lib/merkle.js';

/** A signed transaction without its data, as nodes take it. */
export interface TransactionHeader {
  format: 2;
  id: string;
  last_tx: string;
  owner: string;
  tags: Tag[];
  target: string;
  quantity: string;
  data: '';
  data_size: string;
  data_root: string;
  reward: string;
  signature: string;
}

/** A part of a transaction's data with the proof of its place, as nodes take it. */
export interface Chunk {
  data_root: string;
  data_size: string;
  data_path: string;
  offset: string;
  chunk: string;
}

const encode = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
const encodeText = (text: string): string => Buffer.from(text).toString('base64url');

/** Signs a transaction that does nothing but keep data. `anchor` and `reward` (winston) are what the network asks for now. */
export async function signTransaction(
  data: Uint8Array,
  tags: readonly Tag[],
  { anchor, reward }: { anchor: string; reward: bigint },
  wallet: Signer,
): Promise<TransactionHeader> {
  const { data_root } = await generateTransactionChunks(data);
  const text = (value: string) => Buffer.from(value);
  const message = deepHash([
    text('2'),
    wallet.publicKey,
    Buffer.alloc(0),
    text('0'),
    text(String(reward)),
    Buffer.from(anchor, 'base64url'),
    tags.map(({ name, value }) => [text(name), text(value)]),
    text(String(data.length)),
    data_root,
  ]);
  const signature = await wallet.sign(message);
  return {
    format: 2,
    id: hash('sha256', signature, 'base64url'),
    last_tx: anchor,
    owner: encode(wallet.publicKey),
    tags: tags.map(({ name, value }) => ({ name: encodeText(name), value: encodeText(value) })),
    target: '',
    quantity: '0',
    data: '',
    data_size: String(data.length),
    data_root: encode(data_root),
    reward: String(reward),
    signature: encode(signature),
  };
}

/** The data in chunks, in order, each put together when it is asked for; `from`: so many are left out. */
export async function* chunksOf(data: Uint8Array, from = 0): AsyncGenerator<Chunk> {
  const { data_root, chunks, proofs } = await generateTransactionChunks(data);
  for (const [i, { minByteRange, maxByteRange }] of chunks.entries()) {
    const proof = proofs[i];
    if (i < from || !proof) continue;
    yield {
      data_root: encode(data_root),
      data_size: String(data.length),
      data_path: encode(proof.proof),
      offset: String(proof.offset),
      chunk: encode(data.subarray(minByteRange, maxByteRange)),
    };
  }
}
