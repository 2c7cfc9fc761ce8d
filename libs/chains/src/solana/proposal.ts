/**
 * A plan as guardians propose it on AO (docs/protocol.md, section 3): the anchor is the nonce's value, the content what else a plan has that
 * does not follow from the vault, its custody and the withdrawals. Each plan has one form, and each form one plan.
 */
import { isSolanaAddress } from '@isthmus/bridge';
import type { DepositVault } from './build.js';
import {
  BadPlan,
  releaseMessage,
  rotationMessage,
  type Custody,
  type Nonce,
  type Payout,
  type ReleasePlan,
  type TransactionPlan,
} from './release.js';

/** Hands the vault over to another multisig. */
export interface HandOverPlan extends TransactionPlan {
  to: string;
}

export type VaultPlan = ReleasePlan | HandOverPlan;

/** The fields of a proposal's line that are the chain's own, with the withdrawals it pays. */
export interface ProposalFields {
  /** `<nonce account>:<nonce value>` */
  anchor: string;
  /** Rising. */
  withdrawals: readonly bigint[];
  content: string;
}

interface ProposedTransaction {
  nonce: Nonce;
  signers: readonly number[];
  /** Micro-lamports for a compute unit. */
  price: bigint;
  relayer: string;
}

export interface ProposedPayments extends ProposedTransaction {
  kind: 'payments';
  payouts: readonly Pick<Payout, 'number' | 'fee' | 'create'>[];
}

export interface ProposedHandOver extends ProposedTransaction {
  kind: 'hand-over';
  to: string;
}

/** What a proposal says for itself. */
export type Proposed = ProposedPayments | ProposedHandOver;

/** What whoever makes a plan of a proposal knows for itself. */
export interface PlanFacts {
  vault: DepositVault;
  custody: Custody;
  process: string;
  /** Open withdrawals by number. */
  withdrawals: ReadonlyMap<bigint, { recipient: string; amount: bigint }>;
}

// Guardians by one hex digit each, then the price; of each payment its fee, `c` where an account is made. What ends in an address ends the text,
// or a `0`, which no address has.
const HEAD = 'p([0-9a]{1,11})u(0|[1-9][0-9]{0,19})';
const ADDRESS = '([1-9A-HJ-NP-Za-km-z]{32,44})';
const PAYMENTS = new RegExp(`^${HEAD}((?:[fc](?:0|[1-9][0-9]{0,19}))+)r${ADDRESS}$`);
const HAND_OVER = new RegExp(`^${HEAD.replace('p', 'h')}r${ADDRESS}0${ADDRESS}$`);

/** The anchor of a nonce at its value. */
export function anchorOf({ account, value }: Nonce): string {
  return `${account}:${value}`;
}

/** @throws BadPlan */
export function nonceOf(anchor: string): Nonce {
  const [account, value, ...more] = anchor.split(':');
  if (more.length > 0 || !isSolanaAddress(account) || !isSolanaAddress(value))
    throw new BadPlan('An anchor is the address of a nonce account, a colon, and its value.');
  return { account, value };
}

/** @throws BadPlan for a plan no message can be made of, or whose payouts do not rise by number */
export function encodeProposal(plan: VaultPlan): ProposalFields {
  planMessage(plan);
  const anchor = anchorOf(plan.nonce);
  const signers = plan.signers.map((i) => i.toString(16)).join('');
  if ('to' in plan) return { anchor, withdrawals: [], content: `h${signers}u${plan.price}r${plan.relayer}0${plan.to}` };
  const withdrawals = plan.payouts.map((p) => p.number);
  if (!isRising(withdrawals)) throw new BadPlan('Payouts are proposed in the order of their numbers.');
  if (new Set(plan.payouts.map((p) => p.process)).size > 1) throw new BadPlan('A proposal is of one process.');
  const payouts = plan.payouts.map(({ create, fee }) => `${create ? 'c' : 'f'}${fee}`).join('');
  return { anchor, withdrawals, content: `p${signers}u${plan.price}${payouts}r${plan.relayer}` };
}

/** @throws BadPlan for what is no proposal in the one form it has */
export function decodeProposal({ anchor, withdrawals, content }: ProposalFields): Proposed {
  const nonce = nonceOf(anchor);
  const [, handing = '', handingPrice = '', by, to] = HAND_OVER.exec(content) ?? [];
  if (isSolanaAddress(by) && isSolanaAddress(to)) {
    if (withdrawals.length > 0) throw new BadPlan('What hands a vault over pays nobody.');
    return { kind: 'hand-over', nonce, ...headOf(handing, handingPrice), relayer: by, to };
  }
  const [, signers = '', price = '', fees = '', relayer] = PAYMENTS.exec(content) ?? [];
  if (!isSolanaAddress(relayer)) throw new BadPlan('Not the content of a proposal; docs/solana.md has its form.');
  const each = fees.match(/[fc][0-9]+/g) ?? [];
  if (each.length !== withdrawals.length || !isRising(withdrawals))
    throw new BadPlan('A proposal has a fee for each of the withdrawals it pays, in the order of their numbers.');
  const payouts = withdrawals.map((number, i) => {
    const one = each[i] ?? '';
    return { number, fee: BigInt(one.slice(1)), create: one.startsWith('c') };
  });
  return { kind: 'payments', nonce, ...headOf(signers, price), relayer, payouts };
}

/** The plan a proposal is of, by one's own facts. @throws BadPlan for a withdrawal that is not among them */
export function planOf(proposed: Proposed, { vault, custody, process, withdrawals }: PlanFacts): VaultPlan {
  const { nonce, signers, price, relayer } = proposed;
  const plan: TransactionPlan = { vault, custody, signers, relayer, nonce, price };
  if (proposed.kind === 'hand-over') return { ...plan, to: proposed.to };
  const payouts = proposed.payouts.map(({ number, fee, create }) => {
    const open = withdrawals.get(number);
    if (open === undefined) throw new BadPlan(`Withdrawal ${number} of ${process} is not open.`);
    return { process, number, recipient: open.recipient, amount: open.amount, fee, create };
  });
  return { ...plan, payouts };
}

/** The message of a plan of either kind. @throws BadPlan */
export function planMessage(plan: VaultPlan): Uint8Array {
  return 'to' in plan ? rotationMessage(plan, plan.to) : releaseMessage(plan);
}

function headOf(signers: string, price: string): { signers: number[]; price: bigint } {
  const indices = Array.from(signers, (digit) => parseInt(digit, 16));
  if (!isRising(indices)) throw new BadPlan('A proposal names its signers in their order.');
  return { signers: indices, price: BigInt(price) };
}

function isRising(values: readonly (number | bigint)[]): boolean {
  return values.every((value, i) => i === 0 || value > (values[i - 1] as number | bigint));
}
