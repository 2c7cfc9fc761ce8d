/** A thread that checks signatures: bundles of items come in, one byte for each goes out. */
import { parentPort } from 'node:worker_threads';
import { isSigned } from './signature.js';

/** Items end to end in `bytes`, of these lengths. */
export interface VerifyBatch {
  bytes: Uint8Array<ArrayBuffer>;
  lengths: readonly number[];
}

const port = parentPort;
if (!port) throw new Error('Signatures are checked in a worker thread.');

port.on('message', ({ bytes, lengths }: VerifyBatch) => {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  port.postMessage(lengths.map((length) => isSigned(all.subarray(at, (at += length)))));
});
