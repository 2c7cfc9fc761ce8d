/**
 * Payments out of a vault that M of N guardians hold by SPL's own multisig. A plan has exactly one message: whoever has the plan makes the same
 * bytes, and a guardian signs nothing it has not made itself. Each message begins by using up a durable nonce, so it takes effect once.
 */
import { createHash } from 'node:crypto';
import { isSolanaAddress, toBase58 } from '@isthmus/bridge';
import {
  ACCOUNT_SIZE,
  AuthorityType,
  createAssociatedTokenAccountIdempotentInstruction,
  createCloseAccountInstruction,
  createInitializeAccount3Instruction,
  createSetAuthorityInstruction,
  createSyncNativeInstruction,
  createTransferCheckedInstruction,
  createTransferInstruction,
  getAssociatedTokenAddressSync,
  NATIVE_MINT,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import {
  ComputeBudgetProgram,
  PublicKey,
  SystemProgram,
  TransactionMessage,
  type TransactionInstruction,
} from '@solana/web3.js';
import type { DepositVault } from './build.js';
import { releaseMemo, type ReleaseName } from './memo.js';
import { isNative, memoInstruction, seeded, TOKEN, TOKEN_2022 } from './programs.js';

/** Who holds a vault: an SPL multisig of the vault's token program. */
export interface Custody {
  multisig: string;
  /** In the multisig's order. */
  guardians: readonly string[];
  threshold: number;
}

/** A durable nonce account with the value it must have. The relayer is its authority. */
export interface Nonce {
  account: string;
  value: string;
}

export interface Payout extends ReleaseName {
  /** The wallet that is paid: itself for SOL, by its associated account for a token. */
  recipient: string;
  /** What was burned, base units. */
  amount: bigint;
  /** What of it the relayer keeps. */
  fee: bigint;
  /** Makes the recipient's token account first; nothing happens when it is there and theirs. */
  create: boolean;
}

export interface TransactionPlan {
  vault: DepositVault;
  custody: Custody;
  /** Which guardians sign: exactly `threshold` indices, ascending. */
  signers: readonly number[];
  /** Pays the cluster, and signs as the nonce's authority. */
  relayer: string;
  nonce: Nonce;
  /** Micro-lamports for a compute unit. */
  price: bigint;
}

export interface ReleasePlan extends TransactionPlan {
  payouts: readonly Payout[];
}

/** A plan that no transaction can be made of, or that guardians must not sign. */
export class BadPlan extends Error {
  readonly code = 'bad-plan';
}

/** The cluster's limit for a transaction. */
export const MAX_WIRE = 1_232;
/** SPL's limit for a multisig. */
const MAX_GUARDIANS = 11;
/** What a compute unit may cost: at 100,000 units that is 0.001 SOL. */
export const MAX_PRICE = 10_000_000n;
/** Rent of a token account, paid by the relayer while SOL is unwrapped and given back by the same transaction. */
const TOKEN_ACCOUNT_RENT = 2_039_280n;

/** Compute units each step may use: twice what the runtime uses and more, for the cluster charges by the limit. */
const UNITS = { base: 3_000, unwrap: 3_000, pay: 2_000, pay2022: 12_000, create: 40_000 } as const;

/** The message of a plan, the same bytes for everybody. @throws BadPlan */
export function releaseMessage(plan: ReleasePlan): Uint8Array {
  checkPlan(plan);
  checkPayouts(plan);
  const instructions = isNative(plan.vault) ? solPayments(plan) : tokenPayments(plan);
  return message(plan, unitsOf(plan), instructions);
}

/** Hands a vault over to another multisig: what was signed under the old one is worthless from then on. @throws BadPlan */
export function rotationMessage(plan: TransactionPlan, to: string): Uint8Array {
  checkPlan(plan);
  if (!isSolanaAddress(to) || to === plan.custody.multisig)
    throw new BadPlan('A vault is handed over to another multisig.');
  const { vault, custody } = plan;
  const handOver = createSetAuthorityInstruction(
    key(vault.address),
    key(custody.multisig),
    AuthorityType.AccountOwner,
    key(to),
    signersOf(plan),
    key(vault.program),
  );
  return message(plan, UNITS.base + UNITS.pay2022, [handOver]);
}

/** Bytes of the transaction with all its signatures. */
export function wireSize(plan: TransactionPlan, bytes: Uint8Array): number {
  return 1 + 64 * (plan.signers.length + 1) + bytes.length;
}

/** Splits payouts, in order, into as few plans as hold them; each for its own nonce. @throws BadPlan when one alone does not fit */
export function pack(plan: TransactionPlan, payouts: readonly Payout[]): Payout[][] {
  const packed: Payout[][] = [];
  for (const payout of payouts) {
    const open = packed.at(-1);
    if (open !== undefined && fits({ ...plan, payouts: [...open, payout] })) open.push(payout);
    else {
      releaseMessage({ ...plan, payouts: [payout] });
      packed.push([payout]);
    }
  }
  return packed;
}

/** What a compute unit should cost by what was paid lately: the upper quarter's least, within bounds. */
export function priceOf(recent: readonly number[]): bigint {
  const sorted = recent.toSorted((a, b) => a - b);
  const price = BigInt(sorted[Math.floor(sorted.length * 0.75)] ?? 0);
  return price < MAX_PRICE ? price : MAX_PRICE;
}

/** Where a recipient is paid. */
export function paidAt(vault: DepositVault, recipient: string): string {
  return isNative(vault)
    ? recipient
    : getAssociatedTokenAddressSync(key(vault.mint), key(recipient), true, key(vault.program)).toBase58();
}

function fits(plan: ReleasePlan): boolean {
  try {
    releaseMessage(plan);
    return true;
  } catch (error) {
    if (error instanceof BadPlan) return false;
    throw error;
  }
}

function checkPlan({ custody, signers, relayer, nonce, price, vault }: TransactionPlan): void {
  const { guardians, threshold, multisig } = custody;
  const addresses = [multisig, relayer, nonce.account, vault.address, vault.mint, ...guardians];
  if (!addresses.every(isSolanaAddress) || !isSolanaAddress(nonce.value))
    throw new BadPlan('A plan names Solana addresses.');
  if (guardians.length > MAX_GUARDIANS || threshold < 1 || threshold > guardians.length)
    throw new BadPlan(`A multisig has 1 to ${MAX_GUARDIANS} guardians, and a threshold among them.`);
  const ascending = signers.every((s, i) => Number.isInteger(s) && s > (signers[i - 1] ?? -1) && s < guardians.length);
  if (signers.length !== threshold || !ascending)
    throw new BadPlan(`Exactly ${threshold} guardians sign, named in their order.`);
  if (new Set([...guardians, relayer]).size !== guardians.length + 1)
    throw new BadPlan('The relayer is no guardian, and no guardian is named twice.');
  if (price < 0n || price > MAX_PRICE) throw new BadPlan(`A compute unit costs 0 to ${MAX_PRICE} micro-lamports.`);
}

function checkPayouts({ payouts, vault, custody }: ReleasePlan): void {
  if (payouts.length === 0) throw new BadPlan('A release pays somebody.');
  const names = new Set(payouts.map(({ process, number }) => `${process} ${number}`));
  if (names.size !== payouts.length) throw new BadPlan('A withdrawal is paid once in a transaction.');
  for (const { recipient, amount, fee } of payouts) {
    if (!isSolanaAddress(recipient) || [vault.address, vault.mint, custody.multisig].includes(recipient))
      throw new BadPlan('A release pays a wallet, and never the vault itself.');
    if (fee < 0n || amount <= fee || amount >= 2n ** 64n)
      throw new BadPlan('A payout is above its fee and below 2^64.');
  }
}

function message(plan: TransactionPlan, units: number, instructions: TransactionInstruction[]): Uint8Array {
  const { nonce, relayer, price } = plan;
  const authorizedPubkey = key(relayer);
  const all = [
    SystemProgram.nonceAdvance({ noncePubkey: key(nonce.account), authorizedPubkey }),
    ComputeBudgetProgram.setComputeUnitLimit({ units }),
    ...(price > 0n ? [ComputeBudgetProgram.setComputeUnitPrice({ microLamports: price })] : []),
    ...instructions,
  ];
  // Compiled in the order of first use, which no locale changes.
  const compiled = new TransactionMessage({
    payerKey: authorizedPubkey,
    recentBlockhash: nonce.value,
    instructions: all,
  }).compileToLegacyMessage();
  const bytes = compiled.serialize();
  const size = wireSize(plan, bytes);
  if (size > MAX_WIRE)
    throw new BadPlan(`The transaction has ${size} bytes, more than ${MAX_WIRE}: name fewer payouts.`);
  return bytes;
}

function unitsOf({ vault, payouts }: ReleasePlan): number {
  const each = vault.program === TOKEN_2022 ? UNITS.pay2022 : UNITS.pay;
  const unwrap = isNative(vault) ? UNITS.unwrap : 0;
  const steps = payouts.reduce(
    (sum, { create, fee }) => sum + each * (fee > 0n && !isNative(vault) ? 2 : 1) + (create ? UNITS.create : 0),
    0,
  );
  return UNITS.base + unwrap + steps;
}

/** Each payout's transfer with its memo right behind it; what the relayer keeps of all of them comes last. */
function tokenPayments(plan: ReleasePlan): TransactionInstruction[] {
  const { vault, relayer, payouts } = plan;
  const fees = payouts.reduce((sum, { fee }) => sum + fee, 0n);
  return [
    ...payouts.flatMap((payout) => [
      ...(payout.create ? [accountOf(plan, payout.recipient)] : []),
      tokenTransfer(plan, paidAt(vault, payout.recipient), payout.amount - payout.fee),
      memoInstruction(releaseMemo(payout)),
    ]),
    ...(fees > 0n ? [tokenTransfer(plan, paidAt(vault, relayer), fees)] : []),
  ];
}

/**
 * SOL leaves as exact SOL: it is unwrapped through an account of the relayer's that lives within this transaction only, and goes on to the
 * recipients in it. The relayer cannot keep it: either all of this happens, or nothing.
 */
function solPayments(plan: ReleasePlan): TransactionInstruction[] {
  const { vault, custody, relayer, payouts, nonce } = plan;
  const payer = key(relayer);
  const seed = createHash('sha256').update(nonce.value).digest('hex').slice(0, 32);
  const passing = key(seeded(relayer, seed, TOKEN));
  const total = payouts.reduce((sum, { amount }) => sum + amount, 0n);
  return [
    createSyncNativeInstruction(key(vault.address)), // deposits may have come as plain SOL
    // Its address is known before: created at once it would fail when somebody has sent a lamport there.
    SystemProgram.transfer({ fromPubkey: payer, toPubkey: passing, lamports: Number(TOKEN_ACCOUNT_RENT) }),
    SystemProgram.allocate({
      accountPubkey: passing,
      basePubkey: payer,
      seed,
      space: ACCOUNT_SIZE,
      programId: TOKEN_PROGRAM_ID,
    }),
    createInitializeAccount3Instruction(passing, NATIVE_MINT, payer),
    createTransferInstruction(key(vault.address), passing, key(custody.multisig), total, signersOf(plan)),
    createCloseAccountInstruction(passing, payer, payer),
    ...payouts.flatMap((payout) => [
      SystemProgram.transfer({
        fromPubkey: payer,
        toPubkey: key(payout.recipient),
        lamports: payout.amount - payout.fee,
      }),
      memoInstruction(releaseMemo(payout)),
    ]),
  ];
}

function tokenTransfer(plan: ReleasePlan, to: string, amount: bigint): TransactionInstruction {
  const { vault, custody } = plan;
  return createTransferCheckedInstruction(
    key(vault.address),
    key(vault.mint),
    key(to),
    key(custody.multisig),
    amount,
    vault.decimals,
    signersOf(plan),
    key(vault.program),
  );
}

function accountOf({ vault, relayer }: ReleasePlan, recipient: string): TransactionInstruction {
  const at = key(paidAt(vault, recipient));
  return createAssociatedTokenAccountIdempotentInstruction(
    key(relayer),
    at,
    key(recipient),
    key(vault.mint),
    key(vault.program),
  );
}

function signersOf({ custody, signers }: TransactionPlan): PublicKey[] {
  return signers.map((i) => key(custody.guardians[i] ?? ''));
}

const key = (address: string): PublicKey => new PublicKey(address);

/** A transaction's id: its first signature. */
export function signatureOfWire(wire: Uint8Array): string {
  return toBase58(wire.subarray(1, 65));
}
