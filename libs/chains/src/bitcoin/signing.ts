/**
 * Signatures of a batch, one guardian at a time. A guardian signs only what it has built itself; what others send is checked against that, each signature
 * by itself, before any are put together. Every signature is over the whole transaction (SIGHASH_ALL), and nothing else is one.
 */
import { Psbt, script as scripts, Transaction } from 'bitcoinjs-lib';
import * as curve from 'tiny-secp256k1';
import { unsigned, type Batch } from './batch.js';
import { hexOf, unhex } from './bytes.js';
import { BitcoinError } from './errors.js';
import { pairOf } from './keys.js';

/** One guardian's signatures: one for each input, DER with the flag, in hex. */
export interface PartialSignatures {
  /** Compressed key in hex. */
  key: string;
  signatures: readonly string[];
}

/** Base64 of a batch with the most inputs and payouts, signed by all. */
const MAX_PSBT = 1_000_000;

/** @throws BitcoinError `bad-signature` when the key is none of the vault's */
export function signBatch(batch: Batch, secret: Uint8Array): PartialSignatures {
  const pair = pairOf(secret);
  const key = Buffer.from(pair.publicKey).toString('hex');
  checkKey(batch, key);
  const signatures = digests(batch).map((digest) =>
    Buffer.from(scripts.signature.encode(pair.sign(digest), Transaction.SIGHASH_ALL)).toString('hex'),
  );
  return { key, signatures };
}

/** @throws BitcoinError `bad-signature` unless every one of them is this guardian's, over exactly this batch */
export function checkPartial(batch: Batch, { key, signatures }: PartialSignatures): void {
  checkKey(batch, key);
  const wanted = digests(batch);
  if (signatures.length !== wanted.length) throw bad('One signature for each input is needed.');
  for (const [i, digest] of wanted.entries()) checkSignature(unhex(key), unhex(signatures[i], 'Signatures'), digest);
}

/** Puts together what enough guardians signed; the transaction in hex. @throws BitcoinError `bad-signature` when one is bad, or they are too few */
export function combine(batch: Batch, partials: readonly PartialSignatures[]): string {
  for (const partial of partials) checkPartial(batch, partial);
  const byKey = new Map(partials.map((partial) => [partial.key, partial.signatures]));
  // In the order of the keys, as CHECKMULTISIG reads them, and no more than it takes.
  const signers = batch.vault.keys
    .map(hexOf)
    .filter((key) => byKey.has(key))
    .slice(0, batch.vault.threshold);
  if (signers.length < batch.vault.threshold)
    throw bad(`${signers.length} of ${batch.vault.threshold} guardians have signed.`);
  const tx = unsigned(batch);
  for (const [i, { lock, deposit }] of batch.inputs.entries()) {
    const signatures = signers.map((key) => unhex(byKey.get(key)?.[i]));
    tx.setWitness(i, [new Uint8Array(), ...signatures, ...(deposit ? [Uint8Array.of(1)] : []), lock.witnessScript]);
  }
  return tx.toHex();
}

/** The batch as a PSBT, for signers that want one. */
export function toPsbt(batch: Batch): Psbt {
  const tx = unsigned(batch);
  const psbt = new Psbt();
  psbt.setVersion(tx.version);
  for (const [i, { hash, index, sequence }] of tx.ins.entries()) {
    const { lock, value } = batch.inputs[i] as Batch['inputs'][number]; // one for each
    psbt.addInput({
      hash,
      index,
      sequence,
      witnessUtxo: { script: lock.script, value },
      witnessScript: lock.witnessScript,
    });
  }
  for (const { script, value } of tx.outs) psbt.addOutput({ script, value });
  return psbt;
}

/** The signatures in a PSBT that somebody signed. @throws BitcoinError `bad-signature` for any amount, script or flag that is not the batch's own (B17) */
export function readPsbt(batch: Batch, base64: string): PartialSignatures[] {
  const psbt = parsePsbt(base64);
  if (!same(psbt.data.globalMap.unsignedTx.toBuffer(), unsigned(batch).toBuffer()))
    throw bad('The PSBT is of another transaction.');
  const byKey = new Map<string, string[]>();
  for (const [i, coin] of batch.inputs.entries()) {
    const input = psbt.data.inputs[i];
    if (
      !input?.witnessUtxo ||
      input.witnessUtxo.value !== coin.value ||
      !same(input.witnessUtxo.script, coin.lock.script)
    )
      throw bad(`The PSBT says something else of what input ${i} spends.`);
    if (!input.witnessScript || !same(input.witnessScript, coin.lock.witnessScript))
      throw bad(`The PSBT has another script for input ${i}.`);
    if (input.sighashType !== undefined && input.sighashType !== Transaction.SIGHASH_ALL)
      throw bad(`The PSBT wants another kind of signature for input ${i}.`);
    for (const { pubkey, signature } of input.partialSig ?? []) {
      const list = byKey.get(hexOf(pubkey)) ?? [];
      list[i] = hexOf(signature);
      byKey.set(hexOf(pubkey), list);
    }
  }
  const partials = [...byKey].map(([key, signatures]) => ({ key, signatures: Array.from(signatures, (s) => s ?? '') }));
  for (const partial of partials) checkPartial(batch, partial);
  return partials;
}

function digests(batch: Batch): Uint8Array[] {
  const tx = unsigned(batch);
  return batch.inputs.map(({ lock, value }, i) =>
    tx.hashForWitnessV0(i, lock.witnessScript, value, Transaction.SIGHASH_ALL),
  );
}

function checkKey({ vault }: Batch, key: string): void {
  if (!vault.keys.some((k) => hexOf(k) === key)) throw bad('The key is none of the vault’s.');
}

/** One spelling: strict DER, low s, and the flag that covers everything. */
function checkSignature(key: Uint8Array, signature: Uint8Array, digest: Uint8Array): void {
  const read = decode(signature);
  if (read?.hashType !== Transaction.SIGHASH_ALL) throw bad('A signature is over all of the transaction.');
  if (!same(scripts.signature.encode(read.signature, read.hashType), signature))
    throw bad('A signature is in strict DER.');
  if (!curve.verify(digest, key, read.signature, true)) throw bad('A signature is not over this batch by this key.');
}

function decode(signature: Uint8Array): ReturnType<typeof scripts.signature.decode> | null {
  try {
    return scripts.signature.decode(signature);
  } catch {
    return null; // no signature at all
  }
}

function parsePsbt(base64: string): Psbt {
  try {
    if (base64.length <= MAX_PSBT) return Psbt.fromBase64(base64);
  } catch {
    // said below, as of one that is too long
  }
  throw bad('This is no PSBT.');
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const bad = (why: string): BitcoinError => new BitcoinError('bad-signature', why);
