/**
 * When a withdrawal may be signed, and signed again. It is bound to one value of one durable nonce: as many transactions as one likes may be
 * signed with that, at most one of them ever happens. It gets another nonce only when the first is used up, in final state, and the vault's whole
 * history up to then shows no payment.
 */
import { NonceAccount } from '@solana/web3.js';
import type { ReleaseName } from './memo.js';
import { SYSTEM } from './programs.js';
import type { Nonce, Payout, ReleasePlan } from './release.js';
import type { ChainAccount } from './rpc.js';

/** What a guardian has written down before it signed: kept for ever. */
export interface Lease extends ReleaseName {
  nonce: Nonce;
  recipient: string;
  amount: bigint;
  fee: bigint;
}

/** What is known in final state. */
export interface FinalView {
  /** A nonce account's value; null when there is none. */
  nonces: ReadonlyMap<string, string | null>;
  /** Final slot before which the nonces were read. */
  noncesAt: number;
  /** Whether the vault's history shows the payment. */
  paid: (name: ReleaseName) => boolean;
  /** Final slot up to which the vault's history was read. */
  watchedTo: number;
}

/**
 * `open`: may still happen, and may be sent again. `paid`: done. `void`: can never happen any more. `unsure`: the nonce is used up or was not
 * read, and the history must be read on before anything is concluded.
 */
export type LeaseStanding = 'open' | 'paid' | 'void' | 'unsure';

export function standingOf(lease: Lease, view: FinalView): LeaseStanding {
  if (view.paid(lease)) return 'paid';
  const value = view.nonces.get(lease.nonce.account);
  if (value === undefined) return 'unsure';
  if (value === lease.nonce.value) return 'open';
  return view.watchedTo >= view.noncesAt ? 'void' : 'unsure';
}

/** Why a guardian does not sign a plan. */
export type LeaseRefusal = { name: ReleaseName; why: 'paid' | 'bound' | 'unsure' | 'differs' | 'nonce-used' };

/** Checks a plan against all that was signed before; the leases to write down before it is signed, or why not. */
export function leasesFor(plan: ReleasePlan, known: readonly Lease[], view: FinalView): Lease[] | LeaseRefusal {
  const { nonce } = plan;
  const leases: Lease[] = [];
  for (const payout of plan.payouts) {
    const name = { process: payout.process, number: payout.number };
    if (view.paid(name)) return { name, why: 'paid' };
    if (view.nonces.get(nonce.account) !== nonce.value) return { name, why: 'nonce-used' };
    for (const lease of known.filter((l) => l.process === name.process && l.number === name.number)) {
      if (!samePayment(lease, payout)) return { name, why: 'differs' };
      const here = lease.nonce.account === nonce.account && lease.nonce.value === nonce.value;
      const standing = standingOf(lease, view);
      if (!here && standing !== 'void') return { name, why: standing === 'unsure' ? 'unsure' : 'bound' };
    }
    leases.push({ ...name, nonce, recipient: payout.recipient, amount: payout.amount, fee: payout.fee });
  }
  return leases;
}

function samePayment(lease: Lease, payout: Payout): boolean {
  return lease.recipient === payout.recipient && lease.amount === payout.amount && lease.fee >= payout.fee;
}

/** A nonce of the pool that nothing open is bound to; null when all are in use. */
export function freeNonce(pool: readonly Nonce[], known: readonly Lease[], view: FinalView): Nonce | null {
  const busy = new Set(
    known
      .filter((l) => ['open', 'unsure'].includes(standingOf(l, view)))
      .map((l) => `${l.nonce.account} ${l.nonce.value}`),
  );
  return (
    pool.find(({ account, value }) => view.nonces.get(account) === value && !busy.has(`${account} ${value}`)) ?? null
  );
}

const NONCE_SIZE = 80;

/**
 * What a nonce account says; null for anything else. An authority may be given away and back without the value changing: that somebody else
 * has it now does not use the value up.
 */
export function readNonce(account: ChainAccount | null): { value: string; authority: string } | null {
  if (account === null || account.owner !== SYSTEM || account.data.length !== NONCE_SIZE) return null;
  if (account.data.readUInt32LE(0) !== 1 || account.data.readUInt32LE(4) !== 1) return null;
  const { nonce, authorizedPubkey } = NonceAccount.fromAccountData(account.data);
  return { value: nonce, authority: authorizedPubkey.toBase58() };
}

/** The value of a nonce account that the relayer has authority over; null for anything else. */
export function nonceValue(account: ChainAccount | null, relayer: string): string | null {
  const nonce = readNonce(account);
  return nonce?.authority === relayer ? nonce.value : null;
}
