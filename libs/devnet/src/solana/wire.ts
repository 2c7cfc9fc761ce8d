/** A transaction as it came in: its bytes, taken apart once. */
import { toBase58 } from '@isthmus/bridge';
import { ComputeBudgetProgram, SystemProgram, VersionedTransaction, type PublicKey } from '@solana/web3.js';
import { CODE, RpcRefusal } from './error.js';

/** The cluster's packet limit. */
export const MAX_WIRE = 1_232;
const SIGNATURE_FEE = 5_000n;
const DEFAULT_UNITS = 200_000n;
const MAX_UNITS = 1_400_000n;
const ADVANCE_NONCE = 4;
/** Precompiles, whose signatures are paid for as well. */
const PRECOMPILES = new Set([
  'Ed25519SigVerify111111111111111111111111111',
  'KeccakSecp256k11111111111111111111111111111',
  'Secp256r1SigVerify1111111111111111111111111',
]);

export interface Instruction {
  program: string;
  programIdIndex: number;
  accounts: number[];
  data: Buffer;
}

export interface Wire {
  bytes: Buffer;
  signature: string;
  transaction: VersionedTransaction;
  blockhash: string;
  /** Addresses in the message itself; those of lookup tables come after them. */
  staticKeys: string[];
  instructions: Instruction[];
  /** When it begins by advancing a nonce: which, and who signs for that. */
  nonce: { address: string; signers: string[] } | null;
}

/** @throws RpcRefusal for bytes that are no transaction, or too many */
export function readWire(bytes: Buffer): Wire {
  if (bytes.length > MAX_WIRE)
    throw new RpcRefusal(
      CODE.params,
      `decoded solana_transaction too large: ${bytes.length} bytes (max: ${MAX_WIRE} bytes)`,
    );
  let transaction: VersionedTransaction;
  try {
    transaction = VersionedTransaction.deserialize(bytes);
    if (!Buffer.from(transaction.serialize()).equals(bytes)) throw new Error('bytes are left over');
  } catch (error) {
    throw new RpcRefusal(CODE.params, `failed to deserialize solana_transaction: ${said(error)}`);
  }
  const { message, signatures } = transaction;
  const [first] = signatures;
  if (first === undefined || signatures.length !== message.header.numRequiredSignatures)
    throw new RpcRefusal(CODE.params, 'invalid transaction: Transaction failed to sanitize accounts offsets correctly');
  const staticKeys = message.staticAccountKeys.map((key: PublicKey) => key.toBase58());
  const instructions = message.compiledInstructions.map((one) => ({
    program: staticKeys[one.programIdIndex] ?? '',
    programIdIndex: one.programIdIndex,
    accounts: [...one.accountKeyIndexes],
    data: Buffer.from(one.data),
  }));
  return {
    bytes,
    transaction,
    signature: toBase58(first),
    blockhash: message.recentBlockhash,
    staticKeys,
    instructions,
    nonce: nonceOf(instructions[0], staticKeys, message.header.numRequiredSignatures),
  };
}

/** What a transaction pays: its signatures, and the price of the compute units it asks for. */
export function feeOf({ transaction, instructions }: Wire): bigint {
  let units: bigint | null = null;
  let price = 0n;
  let signatures = transaction.message.header.numRequiredSignatures;
  for (const { program, data } of instructions) {
    if (PRECOMPILES.has(program)) signatures += data[0] ?? 0;
    if (program !== ComputeBudgetProgram.programId.toBase58()) continue;
    if (data[0] === 2 && data.length >= 5) units = BigInt(data.readUInt32LE(1));
    if (data[0] === 3 && data.length >= 9) price = data.readBigUInt64LE(1);
  }
  const own = instructions.filter((i) => i.program !== ComputeBudgetProgram.programId.toBase58()).length;
  const asked = units ?? DEFAULT_UNITS * BigInt(own);
  const limit = asked < MAX_UNITS ? asked : MAX_UNITS;
  return SIGNATURE_FEE * BigInt(signatures) + (limit * price + 999_999n) / 1_000_000n;
}

function nonceOf(first: Instruction | undefined, keys: readonly string[], signing: number): Wire['nonce'] {
  if (first?.program !== SystemProgram.programId.toBase58() || first.data.length < 4) return null;
  if (first.data.readUInt32LE(0) !== ADVANCE_NONCE) return null;
  const address = keys[first.accounts[0] ?? -1];
  const signers = first.accounts.filter((i) => i < signing).map((i) => keys[i] ?? '');
  return address === undefined ? null : { address, signers };
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));
