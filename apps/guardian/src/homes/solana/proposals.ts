/**
 * What this guardian would have the vault of one asset do: payments, some of them together, and the hand-over to the next set. Which guardians sign
 * is part of a transaction on Solana, so what waits for one that is down is proposed again, over the same anchor, with others.
 */
import type { GuardianSet, OpenProposal, OpenWithdrawal, ProcessView } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import type { Nonces } from './nonces.js';

/** A proposal that can still be, as it was understood. */
export interface LiveProposal {
  proposal: OpenProposal;
  plan: solana.VaultPlan;
  /** Signers, by index, whose good signatures are there. */
  signed: ReadonlySet<number>;
}

/** What plans of one asset's vault are made by. */
export interface Place {
  process: string;
  vault: solana.DepositVault;
  custody: solana.Custody;
  relayer: string;
  nonces: Nonces;
}

/** What is wanted of the vault over one nonce. */
type Wanted = { payouts: readonly solana.Payout[] } | { to: string };

/** How much dearer a compute unit must have become before what is signed is proposed again. */
const DEARER = 2n;

/** An account of the pool that a transaction can be made with now. */
export function usableNonce({ nonces, relayer }: Place, account: string): solana.Nonce | null {
  const read = nonces.at(account);
  return read && read.value !== null && read.authority === relayer ? { account, value: read.value } : null;
}

/** The set's proposals that can still be, over anchors that are not used up, as they came; what cannot be read is nobody's. */
export function liveProposals(place: Place, view: ProcessView, set: GuardianSet): LiveProposal[] {
  const withdrawals = view.open;
  return [...view.proposals.values()].flatMap((proposal): LiveProposal[] => {
    if (proposal.epoch !== set.epoch) return [];
    try {
      const plan = solana.planOf(solana.decodeProposal(proposal), { ...place, withdrawals });
      const { account, value } = plan.nonce;
      if (usableNonce(place, account)?.value !== value) return [];
      const message = solana.planMessage(plan);
      const texts = set.guardians.map((g) => proposal.signatures.get(g));
      const signed = texts.map((text) => (text === undefined ? null : solana.verifyPart(plan, message, text)));
      return [{ proposal, plan, signed: new Set(signed.filter((i) => i !== null)) }];
    } catch (error) {
      if (error instanceof solana.BadPlan) return [];
      throw error;
    }
  });
}

/** The set's proposals that enough have signed to be sent, over values of the pool's nonces that are used up; one honest guardian signed each. */
export function usedUp({ nonces }: Place, view: ProcessView, set: GuardianSet): OpenProposal[] {
  return [...view.proposals.values()].filter(({ epoch, anchor, signatures }) => {
    if (epoch !== set.epoch || signatures.size < set.threshold) return false;
    const account = nonces.accounts.find((a) => anchor.startsWith(`${a}:`));
    const read = account === undefined ? null : nonces.at(account);
    return read !== null && anchor !== `${account}:${read.value}`;
  });
}

/** Withdrawals by the nonce account that pays them: those that may be proposed, and those in a proposal this guardian has signed already. */
export function byNonce(
  place: Place,
  view: ProcessView,
  payable: readonly OpenWithdrawal[],
  own: readonly LiveProposal[],
): Map<string, OpenWithdrawal[]> {
  const numbers = new Set(payable.map((w) => w.number));
  for (const { proposal } of own) for (const n of proposal.withdrawals) numbers.add(n);
  const groups = new Map<string, OpenWithdrawal[]>();
  for (const number of [...numbers].toSorted((a, b) => (a < b ? -1 : 1))) {
    const open = view.open.get(number);
    const account = place.nonces.accountFor(place.process, number);
    if (open) groups.set(account, [...(groups.get(account) ?? []), open]);
  }
  return groups;
}

export interface Author {
  /** AO address and index of who proposes. */
  self: string;
  index: number;
}

/**
 * The line of what is wanted over a nonce, or null when a proposal serves: one that does it and is signed, or is this guardian's own and has
 * not been in the way of a turn of another's.
 */
export function lineFor(
  place: Place,
  set: GuardianSet,
  { self, index }: Author,
  { nonce, price, wanted, live }: { nonce: solana.Nonce; price: bigint; wanted: Wanted; live: readonly LiveProposal[] },
): solana.ProposalFields | null {
  const here = live.filter(({ plan }) => plan.nonce.account === nonce.account);
  const newest = here.at(-1);
  const serves = (one: LiveProposal): boolean =>
    does(one.plan, wanted) &&
    ((one.signed.size === place.custody.threshold && one.plan.price * DEARER >= price) ||
      (one === newest && one.proposal.guardian === self));
  if (here.some(serves)) return null;
  const signers = signersOf(place.custody, index, live, here);
  const { vault, custody, relayer } = place;
  return solana.encodeProposal({ vault, custody, signers, relayer, nonce, price, ...wanted });
}

/** Any M of them: for finding what fits, before it is known who signs. */
export const anySigners = ({ threshold }: solana.Custody): number[] => Array.from({ length: threshold }, (_, i) => i);

/** Whether all that a plan does is still wanted, and can be done as it does it. */
function does(plan: solana.VaultPlan, wanted: Wanted): boolean {
  if ('to' in plan || 'to' in wanted) return 'to' in plan && 'to' in wanted && plan.to === wanted.to;
  return plan.payouts.every((one) => {
    const now = wanted.payouts.find((p) => p.number === one.number);
    return now !== undefined && (one.create || !now.create);
  });
}

/** Who proposes signs; with it those that have signed something lately, and last those named before over this anchor who did not sign. */
function signersOf(
  { guardians, threshold }: solana.Custody,
  self: number,
  live: readonly LiveProposal[],
  here: readonly LiveProposal[],
): number[] {
  const rank = (i: number): number => {
    if (i === self) return 0;
    if (here.some(({ plan, signed }) => plan.signers.includes(i) && !signed.has(i))) return 3;
    return live.some(({ signed }) => signed.has(i)) ? 1 : 2;
  };
  const distance = (i: number): number => (i - self + guardians.length) % guardians.length;
  return guardians
    .map((_, i) => i)
    .toSorted((a, b) => rank(a) - rank(b) || distance(a) - distance(b))
    .slice(0, threshold)
    .toSorted((a, b) => a - b);
}
