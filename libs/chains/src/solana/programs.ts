/** The programs a vault has to do with, and the few of their instructions that move what it holds. */
import { createHash } from 'node:crypto';
import { NATIVE_MINT, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID } from '@solana/spl-token';
import { PublicKey, SystemProgram, TransactionInstruction } from '@solana/web3.js';
import type { Instruction } from './transaction.js';

export const TOKEN = TOKEN_PROGRAM_ID.toBase58();
export const TOKEN_2022 = TOKEN_2022_PROGRAM_ID.toBase58();
export const SYSTEM = SystemProgram.programId.toBase58();
export const NATIVE = NATIVE_MINT.toBase58();
/** Both versions of the memo program write memos that count; ours are of the second. */
export const MEMO_PROGRAMS: readonly string[] = [
  'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr',
  'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo',
];
const [MEMO = ''] = MEMO_PROGRAMS;

/** A token account that guardians hold together, and what is in it. */
export interface VaultAccount {
  address: string;
  mint: string;
  /** The token program the mint is of. */
  program: string;
}

/** SOL is held as wrapped SOL: its account's lamports are what it holds. */
export const isNative = ({ mint, program }: VaultAccount): boolean => mint === NATIVE && program === TOKEN;

/** Value that an instruction moves from one account to another. */
export interface Movement {
  from: string;
  to: string;
  /** Who said so: the source's owner, or its delegate. */
  authority: string;
  amount: bigint;
}

const TRANSFER = 3;
const TRANSFER_CHECKED = 12;
const SYSTEM_TRANSFER = 2;
const SYSTEM_TRANSFER_WITH_SEED = 11;

/** A plain transfer of the vault's token, or of lamports to a vault of SOL; null for every other instruction. */
export function movementOf({ program, accounts, data }: Instruction, vault: VaultAccount): Movement | null {
  const bytes = Buffer.from(data);
  if (program === vault.program) return tokenMovement(accounts, bytes);
  return program === SYSTEM && isNative(vault) ? systemMovement(accounts, bytes) : null;
}

function tokenMovement(accounts: readonly string[], data: Buffer): Movement | null {
  if (data[0] !== TRANSFER && data[0] !== TRANSFER_CHECKED) return null;
  const [from, to, authority] = data[0] === TRANSFER ? accounts : [accounts[0], accounts[2], accounts[3]];
  return data.length < 9 ? null : movement(from, to, authority, data.readBigUInt64LE(1));
}

function systemMovement(accounts: readonly string[], data: Buffer): Movement | null {
  if (data.length < 12) return null;
  const kind = data.readUInt32LE(0);
  if (kind === SYSTEM_TRANSFER) return movement(accounts[0], accounts[1], accounts[0], data.readBigUInt64LE(4));
  if (kind !== SYSTEM_TRANSFER_WITH_SEED) return null;
  return movement(accounts[0], accounts[2], accounts[1], data.readBigUInt64LE(4));
}

function movement(from: string | undefined, to: string | undefined, authority: string | undefined, amount: bigint) {
  return from === undefined || to === undefined || authority === undefined ? null : { from, to, authority, amount };
}

/** A memo instruction without signers: what it says is under the transaction's own signatures. */
export function memoInstruction(text: Uint8Array): TransactionInstruction {
  return new TransactionInstruction({ programId: new PublicKey(MEMO), keys: [], data: Buffer.from(text) });
}

/** The address that follows from another and a text, as the system program makes it. */
export function seeded(base: string, seed: string, program: string): string {
  const parts = [new PublicKey(base).toBuffer(), Buffer.from(seed), new PublicKey(program).toBuffer()];
  return new PublicKey(createHash('sha256').update(Buffer.concat(parts)).digest()).toBase58();
}
