/** Blocks and transactions as Bitcoin Core writes them in JSON. Amounts are coins with eight decimals, exact in a double: all there are make 2.1e15 satoshis. */
import { Block, script as scripts, Transaction, type TxOutput } from 'bitcoinjs-lib';
import { reversed, type Entry } from './bcoin.js';
import { addressOf } from './curve.js';
import { outputType } from './standard.js';

type Json = Record<string, unknown>;

const COIN = 100_000_000;
/** Target of difficulty 1. */
const DIFFICULTY_1 = 0xffffn << 208n;

export const coins = (satoshis: bigint | number): number => Number(satoshis) / COIN;
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const idOf = (hash: Uint8Array): string => reversed(hex(hash));

/** Where a block stands, beside what is in its header. */
export interface BlockPlace {
  /** Of the block; -1 when it is not on the chain. */
  confirmations: number;
  mediantime: number;
  next: string | null;
  nTx: number;
}

export function headerJson(entry: Entry, { confirmations, mediantime, next, nTx }: BlockPlace): Json {
  return {
    hash: entry.rhash(),
    confirmations,
    height: entry.height,
    version: entry.version,
    versionHex: (entry.version >>> 0).toString(16).padStart(8, '0'),
    merkleroot: idOf(Buffer.from(entry.merkleRoot, 'hex')),
    time: entry.time,
    mediantime,
    nonce: entry.nonce,
    bits: entry.bits.toString(16).padStart(8, '0'),
    difficulty: difficulty(entry.bits),
    chainwork: entry.chainwork.toString(16, 64),
    nTx,
    ...(entry.height === 0 ? {} : { previousblockhash: idOf(Buffer.from(entry.prevBlock, 'hex')) }),
    ...(next === null ? {} : { nextblockhash: next }),
  };
}

/** A block with its transactions' ids, or the transactions. `fees` are of all but the first. */
export function blockJson(entry: Entry, place: BlockPlace, block: Block, fees: readonly bigint[] | null): Json {
  const txs = block.transactions ?? [];
  const tx = txs.map((t, i) =>
    fees === null ? t.getId() : { ...txJson(t), ...(i === 0 ? {} : { fee: coins(fees[i - 1] ?? 0n) }), hex: t.toHex() },
  );
  return {
    ...headerJson(entry, place),
    strippedsize: block.byteLength(false, false),
    size: block.byteLength(false, true),
    weight: block.weight(),
    tx,
  };
}

export function txJson(tx: Transaction): Json {
  return {
    txid: tx.getId(),
    hash: idOf(tx.getHash(true)),
    version: tx.version,
    size: tx.byteLength(true),
    vsize: tx.virtualSize(),
    weight: tx.weight(),
    locktime: tx.locktime,
    vin: tx.ins.map((input) => ({
      ...(tx.isCoinbase()
        ? { coinbase: hex(input.script) }
        : {
            txid: idOf(input.hash),
            vout: input.index,
            scriptSig: { asm: scripts.toASM(input.script), hex: hex(input.script) },
          }),
      ...(input.witness.length > 0 ? { txinwitness: input.witness.map(hex) } : {}),
      sequence: input.sequence,
    })),
    vout: tx.outs.map((output, n) => outputJson(output, n)),
  };
}

export const outputJson = ({ value, script }: TxOutput, n: number): Json => ({
  value: coins(value),
  n,
  scriptPubKey: scriptJson(script),
});

export function scriptJson(script: Uint8Array): Json {
  const type = outputType(script);
  const address = type === 'pubkey' || type === 'multisig' ? null : addressFor(script);
  return { asm: asm(script), hex: hex(script), ...(address === null ? {} : { address }), type };
}

export function difficulty(bits: number): number {
  const target = BigInt(`0x${hex(Block.calculateTarget(bits))}`);
  // A ratio to show, and never to reckon with.
  return Number((DIFFICULTY_1 * 10n ** 24n) / target) / 1e24;
}

function asm(script: Uint8Array): string {
  try {
    return scripts.toASM(script);
  } catch {
    return '[error]'; // as Core says of a push beyond the end
  }
}

function addressFor(script: Uint8Array): string | null {
  try {
    return addressOf(script);
  } catch {
    return null; // scripts without an address
  }
}
