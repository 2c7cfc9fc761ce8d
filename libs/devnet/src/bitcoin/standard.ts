/** Which transactions are relayed: Core's rules of standardness, as of version 27. They are policy, not consensus: a block may hold others. */
import { script as scripts, type Transaction } from 'bitcoinjs-lib';

export type OutputType =
  | 'pubkey'
  | 'pubkeyhash'
  | 'scripthash'
  | 'multisig'
  | 'nulldata'
  | 'witness_v0_keyhash'
  | 'witness_v0_scripthash'
  | 'witness_v1_taproot'
  | 'witness_unknown'
  | 'nonstandard';

const OP_RETURN = 0x6a;
const OP_16 = 0x60;
const OP_CHECKSIG = 0xac;
const OP_CHECKMULTISIG = 0xae;

const MAX_WEIGHT = 400_000;
const MAX_VERSION = 2;
const MAX_SCRIPT_SIG = 1_650;
/** An OP_RETURN output: opcode, push, 80 bytes. */
const MAX_DATA_CARRIER = 83;
/** Satoshis per 1,000 virtual bytes at which spending an output must be worth it. */
const DUST_RATE = 3_000n;

/** What kind an output script is, in Core's words. */
export function outputType(script: Uint8Array): OutputType {
  const [first = 0, second = 0] = script;
  const { length } = script;
  if (length === 22 && first === 0 && second === 20) return 'witness_v0_keyhash';
  if (length === 34 && first === 0 && second === 32) return 'witness_v0_scripthash';
  if (length === 34 && first === 0x51 && second === 32) return 'witness_v1_taproot';
  if (first >= 0x51 && first <= 0x60 && length >= 4 && length <= 42 && second === length - 2) return 'witness_unknown';
  if (
    length === 25 &&
    first === 0x76 &&
    second === 0xa9 &&
    script[2] === 20 &&
    script[23] === 0x88 &&
    script[24] === 0xac
  )
    return 'pubkeyhash';
  if (length === 23 && first === 0xa9 && second === 20 && script[22] === 0x87) return 'scripthash';
  if (first === OP_RETURN && pushesOnly(script.subarray(1))) return 'nulldata';
  const chunks = scripts.decompile(script);
  if (chunks === null) return 'nonstandard';
  const last = chunks.at(-1);
  if (chunks.length === 2 && last === OP_CHECKSIG && isKey(chunks[0])) return 'pubkey';
  const keys = chunks.slice(1, -2);
  if (last === OP_CHECKMULTISIG && keys.length > 0 && keys.length <= 3 && keys.every(isKey)) return 'multisig';
  return 'nonstandard';
}

/** Why a transaction is not relayed; null when it is. */
export function unstandard(tx: Transaction): string | null {
  if (tx.version < 1 || tx.version > MAX_VERSION) return 'version';
  if (tx.weight() > MAX_WEIGHT) return 'tx-size';
  if (tx.byteLength(false) < 65) return 'tx-size-small';
  for (const { script } of tx.ins) {
    if (script.length > MAX_SCRIPT_SIG) return 'scriptsig-size';
    if (!pushesOnly(script)) return 'scriptsig-not-pushonly';
  }
  let carriers = 0;
  for (const { script, value } of tx.outs) {
    const type = outputType(script);
    if (type === 'nonstandard' || (type === 'nulldata' && script.length > MAX_DATA_CARRIER)) return 'scriptpubkey';
    if (type === 'nulldata') carriers += 1;
    else if (value < dustLimit(script)) return 'dust';
  }
  return carriers > 1 ? 'multi-op-return' : null;
}

/** Least satoshis of an output that is relayed. */
function dustLimit(script: Uint8Array): bigint {
  const witness = outputType(script).startsWith('witness');
  const size = 8 + 1 + script.length + 32 + 4 + 1 + (witness ? Math.floor(107 / 4) : 107) + 4;
  return (BigInt(size) * DUST_RATE) / 1_000n;
}

function pushesOnly(script: Uint8Array): boolean {
  const chunks = scripts.decompile(script);
  return chunks !== null && chunks.every((c) => typeof c !== 'number' || c <= OP_16);
}

const isKey = (chunk: unknown): boolean => chunk instanceof Uint8Array && scripts.isCanonicalPubKey(chunk);
