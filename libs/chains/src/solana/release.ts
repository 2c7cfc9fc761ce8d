/**
 * Payments out of a vault that M of N guardians hold by SPL's own multisig. A plan has exactly one message: whoever has the plan makes the same
 * bytes, and a guardian signs nothing it has not made itself. Each message begins by using up a durable nonce, so it takes effect once.
 */
import { createHash } from 'node:crypto';
import { isSolanaAddress, toBase58 } from '@isthmus/bridge';
import {
  ACCOUNT_SIZE,
  ASSOCIATED_TOKEN_PROGRAM_ID,
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
  Message,
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

/**
 * Compute units each step may use: twice what the runtime uses and more, for the cluster charges by the limit. Whoever makes an account looks for
 * its address from bump 255 down, at 1,500 units a try; each try that fails is paid for, so that no recipient's address takes from what others need.
 */
const UNITS = { base: 3_000, unwrap: 3_000, pay: 2_000, pay2022: 12_000, create: 40_000, bump: 1_500 } as const;
/** The runtime's limit for a transaction. An account whose bump is 0 takes 422,500 of it. */
const MAX_UNITS = 1_400_000;
const MAX_BUMP = 255;

/** Before the first transfer of a Token-2022 release. */
const MEMO_BEFORE = 'isthmus';

/**
 * Whether these guardians could hold a vault: each has a key of its own that can sign, so one on the curve, and none has the relayer's, whose signature
 * every transaction has for its fee.
 */
export function canHold({ guardians, threshold }: Omit<Custody, 'multisig'>, relayer: string): boolean {
  const each = new Set(guardians).size === guardians.length && guardians.every((g) => g !== relayer && canSign(g));
  return each && guardians.length <= MAX_GUARDIANS && threshold >= 1 && threshold <= guardians.length;
}

const canSign = (address: string): boolean =>
  isSolanaAddress(address) && PublicKey.isOnCurve(new PublicKey(address).toBytes());

/** The message of a plan, the same bytes for everybody. @throws BadPlan */
export function releaseMessage(plan: ReleasePlan): Uint8Array {
  checkPlan(plan);
  checkPayouts(plan);
  const steps = stepsOf(plan).map((s) => s.instruction);
  return message(plan, unitsOf(plan), steps);
}

/** Why a transaction would fail: by the index of the instruction that does, or of the account that would be left below rent. */
export type Failure = { instruction: number } | { account: number } | { other: string };

/** Which payment makes a plan fail; null when none does: the relayer cannot pay, the nonce is another, the vault has not enough for anybody. */
export function blamedFor(plan: ReleasePlan, failure: Failure): Payout | null {
  if ('other' in failure) return null;
  if ('instruction' in failure) return stepsOf(plan)[failure.instruction - headOf(plan, 0).length]?.payout ?? null;
  const account = Message.from(releaseMessage(plan)).accountKeys[failure.account]?.toBase58();
  return plan.payouts.find(({ recipient }) => paidAt(plan.vault, recipient) === account) ?? null;
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

/** As many payouts, from the first, as one transaction of this form holds, and those passed over that none can ever make. */
export function together(
  plan: TransactionPlan,
  payouts: readonly Payout[],
): { together: Payout[]; impossible: Payout[] } {
  const held: Payout[] = [];
  const impossible: Payout[] = [];
  for (const payout of payouts) {
    if (fits({ ...plan, payouts: [...held, payout] })) held.push(payout);
    else if (fits({ ...plan, payouts: [payout] })) break;
    else impossible.push(payout);
  }
  return { together: held, impossible };
}

/** What a compute unit should cost by what was paid lately: the upper quarter's least, within bounds. */
export function priceOf(recent: readonly number[]): bigint {
  const sorted = recent.toSorted((a, b) => a - b);
  const price = BigInt(sorted[Math.floor(sorted.length * 0.75)] ?? 0);
  return price < MAX_PRICE ? price : MAX_PRICE;
}

/** Prices by what several sources say was paid, each once, the lowest first. */
export function pricesOf(answers: readonly (readonly number[])[]): bigint[] {
  return answers.map(priceOf).toSorted((a, b) => (a < b ? -1 : 1));
}

/** What to offer by what several sources say: the middle of their prices, which one of three does not move; 0 when none says anything. */
export function offeredPrice(answers: readonly (readonly number[])[]): bigint {
  const prices = pricesOf(answers);
  return prices[Math.floor((prices.length - 1) / 2)] ?? 0n;
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
  // Compiled in the order of first use, which no locale changes.
  const compiled = new TransactionMessage({
    payerKey: key(plan.relayer),
    recentBlockhash: plan.nonce.value,
    instructions: [...headOf(plan, units), ...instructions],
  }).compileToLegacyMessage();
  const bytes = compiled.serialize();
  const size = wireSize(plan, bytes);
  if (size > MAX_WIRE)
    throw new BadPlan(`The transaction has ${size} bytes, more than ${MAX_WIRE}: name fewer payouts.`);
  return bytes;
}

/** What every message begins with. */
function headOf({ nonce, relayer, price }: TransactionPlan, units: number): TransactionInstruction[] {
  return [
    SystemProgram.nonceAdvance({ noncePubkey: key(nonce.account), authorizedPubkey: key(relayer) }),
    ComputeBudgetProgram.setComputeUnitLimit({ units }),
    ...(price > 0n ? [ComputeBudgetProgram.setComputeUnitPrice({ microLamports: price })] : []),
  ];
}

/** @throws BadPlan when the runtime gives one transaction less */
function unitsOf({ vault, payouts }: ReleasePlan): number {
  const each = vault.program === TOKEN_2022 ? UNITS.pay2022 : UNITS.pay;
  const unwrap = isNative(vault) ? UNITS.unwrap : 0;
  const steps = payouts.reduce(
    (sum, { create, fee, recipient }) =>
      sum + each * (fee > 0n && !isNative(vault) ? 2 : 1) + (create ? unitsToCreate(vault, recipient) : 0),
    0,
  );
  const units = UNITS.base + unwrap + steps;
  if (units > MAX_UNITS)
    throw new BadPlan(`The transaction needs ${units} compute units, more than ${MAX_UNITS}: name fewer payouts.`);
  return units;
}

function unitsToCreate({ mint, program }: DepositVault, recipient: string): number {
  const seeds = [key(recipient), key(program), key(mint)].map((k) => k.toBuffer());
  const [, bump] = PublicKey.findProgramAddressSync(seeds, ASSOCIATED_TOKEN_PROGRAM_ID);
  return UNITS.create + UNITS.bump * (MAX_BUMP - bump);
}

/** An instruction of a release, and whom it pays. */
interface Step {
  instruction: TransactionInstruction;
  payout: Payout | null;
}

function stepsOf(plan: ReleasePlan): Step[] {
  return isNative(plan.vault) ? solPayments(plan) : tokenPayments(plan);
}

const shared = (instruction: TransactionInstruction): Step => ({ instruction, payout: null });

/**
 * Accounts that are missing come first, then each payout's transfer with its memo right behind it; what the relayer keeps of all of them comes
 * last. An account of Token-2022 may want a memo right before what it gets: each transfer has one there, the first a line of its own.
 */
function tokenPayments(plan: ReleasePlan): Step[] {
  const { vault, relayer, payouts } = plan;
  const fees = payouts.reduce((sum, { fee }) => sum + fee, 0n);
  return [
    ...payouts.flatMap((payout) => (payout.create ? [{ instruction: accountOf(plan, payout.recipient), payout }] : [])),
    ...(vault.program === TOKEN_2022 ? [shared(memoInstruction(Buffer.from(MEMO_BEFORE)))] : []),
    ...payouts.flatMap((payout) => [
      { instruction: tokenTransfer(plan, paidAt(vault, payout.recipient), payout.amount - payout.fee), payout },
      { instruction: memoInstruction(releaseMemo(payout)), payout },
    ]),
    ...(fees > 0n ? [shared(tokenTransfer(plan, paidAt(vault, relayer), fees))] : []),
  ];
}

/**
 * SOL leaves as exact SOL: it is unwrapped through an account of the relayer's that lives within this transaction only, and goes on to the
 * recipients in it. The relayer cannot keep it: either all of this happens, or nothing.
 */
function solPayments(plan: ReleasePlan): Step[] {
  const { vault, custody, relayer, payouts, nonce } = plan;
  const payer = key(relayer);
  const seed = createHash('sha256').update(nonce.value).digest('hex').slice(0, 32);
  const passing = key(seeded(relayer, seed, TOKEN));
  const total = payouts.reduce((sum, { amount }) => sum + amount, 0n);
  const unwrap = [
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
  ];
  const pay = ({ recipient, amount, fee }: Payout): TransactionInstruction =>
    SystemProgram.transfer({ fromPubkey: payer, toPubkey: key(recipient), lamports: amount - fee });
  return [
    ...unwrap.map(shared),
    ...payouts.flatMap((payout) => [
      { instruction: pay(payout), payout },
      { instruction: memoInstruction(releaseMemo(payout)), payout },
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
