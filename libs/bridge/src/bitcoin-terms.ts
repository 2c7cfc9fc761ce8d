/**
 * The terms of a home on Bitcoin: what decides whether, when and with how much a payment is credited. They stand in the spawn of its token process, so that
 * guardians, gateways and auditors have the same and need not be told.
 */
import { formatAmount, parseAmount } from './amount.js';
import { BridgeError } from './errors.js';

/** How many confirmations so much money waits for. */
export interface FinalityStep {
  /** Satoshis up to which this many are enough; null: any amount. */
  upTo: bigint | null;
  confirmations: number;
}

/** In rising order; the last step is for any amount. */
export type FinalityPolicy = readonly FinalityStep[];

export interface BitcoinTerms {
  /** Nothing is credited that was paid in a block before it. */
  startHeight: number;
  /** Satoshis; a payment of less is not credited. */
  minDeposit: bigint;
  /** Satoshis an output is credited with less than it holds: what it costs the vault to move it later. */
  sweepFee: bigint;
  /** Blocks before a refund opens in which nothing is credited any more: guardians could lose the race. */
  sweepMargin: number;
  /** Least confirmations after which a deposit address may be taken back from: what has fewer is none. Not below `leastRefundOf`. */
  leastRefund: number;
  finality: FinalityPolicy;
}

/** Guardians' tips differ by some blocks: what is due to one may not be yet to another. */
export const BLOCKS_APART = 6;

/** The spawn's tag that has them. */
export const TERMS_TAG = 'Isthmus-Home-Terms';

const MAX_HEIGHT = 2 ** 31 - 1;
const MAX_MARGIN = 10_000;
/** BIP 68 counts blocks in 16 bits. */
const MAX_REFUND = 65_535;
const MAX_CONFIRMATIONS = 144;
const MAX_STEPS = 16;

const BLOCKS = '(0|[1-9][0-9]{0,9})';
const SATOSHIS = '(0|[1-9][0-9]{0,15})';
const FORM = new RegExp(
  `^start=${BLOCKS} least=${SATOSHIS} fee=${SATOSHIS} margin=${BLOCKS} refund=${BLOCKS} final=([0-9:,*]{1,512})$`,
);

/** Reads terms in their one form. @throws BridgeError `bad-terms` */
export function parseBitcoinTerms(text: string): BitcoinTerms {
  const [, start, least = '', fee = '', margin, refund, final = ''] = FORM.exec(text) ?? [];
  if (start === undefined) throw bad('they read start=… least=… fee=… margin=… refund=… final=…');
  const terms: BitcoinTerms = {
    startHeight: Number(start),
    minDeposit: parseAmount(least),
    sweepFee: parseAmount(fee),
    sweepMargin: Number(margin),
    leastRefund: Number(refund),
    finality: final.split(',').map(parseStep),
  };
  checkTerms(terms);
  return terms;
}

/** The inverse of `parseBitcoinTerms`. @throws BridgeError `bad-terms` for terms that cannot be */
export function encodeBitcoinTerms(terms: BitcoinTerms): string {
  checkTerms(terms);
  const { startHeight, minDeposit, sweepFee, sweepMargin, leastRefund, finality } = terms;
  const steps = finality.map((s) => `${s.upTo === null ? '*' : formatAmount(s.upTo)}:${s.confirmations}`);
  return `start=${startHeight} least=${formatAmount(minDeposit)} fee=${formatAmount(sweepFee)} margin=${sweepMargin} refund=${leastRefund} final=${steps.join(',')}`;
}

/** The terms a token process was spawned with. @throws BridgeError `bad-terms` when it has none, or two, or what is in them is none */
export function bitcoinTermsOf(tags: readonly { name: string; value: string }[]): BitcoinTerms {
  const [tag, another] = tags.filter(({ name }) => name === TERMS_TAG);
  if (!tag || another) throw bad(`the process was spawned without exactly one tag ${TERMS_TAG}`);
  return parseBitcoinTerms(tag.value);
}

/** What an output of this value is credited with; null when it is too small. */
export function creditedOf(value: bigint, { minDeposit, sweepFee }: BitcoinTerms): bigint | null {
  return value < minDeposit ? null : value - sweepFee;
}

/** Confirmations after which nothing is taken back: what the most money waits for. */
export function deepestOf({ finality }: Pick<BitcoinTerms, 'finality'>): number {
  return finality.at(-1)?.confirmations ?? MAX_CONFIRMATIONS;
}

/**
 * The earliest refund that terms may allow, in confirmations: whatever may be registered can be credited, however much it is, and has as many blocks
 * left to be swept in as before it is credited no more, on every guardian's clock.
 */
export function leastRefundOf(terms: Pick<BitcoinTerms, 'sweepMargin' | 'finality'>): number {
  return 2 * terms.sweepMargin + deepestOf(terms) + BLOCKS_APART;
}

/** @throws BridgeError `bad-terms` unless each step is for more money and at least as many confirmations as the one before, and the last for any */
export function checkFinality(policy: FinalityPolicy): void {
  const rising = policy.every((step, i) => {
    const before = policy[i - 1];
    const { upTo, confirmations } = step;
    if (!Number.isInteger(confirmations) || confirmations < 1 || confirmations > MAX_CONFIRMATIONS) return false;
    if ((upTo === null) !== (i === policy.length - 1)) return false;
    if (!before) return upTo === null || upTo > 0n;
    return confirmations >= before.confirmations && (upTo === null || upTo > (before.upTo ?? 0n));
  });
  if (policy.length === 0 || policy.length > MAX_STEPS || !rising)
    throw bad('finality rises in money and confirmations, and its last step is for any amount');
}

function parseStep(text: string): FinalityStep {
  const [, upTo = '', confirmations] = /^(\*|[1-9][0-9]{0,15}):([1-9][0-9]{0,2})$/.exec(text) ?? [];
  if (confirmations === undefined) throw bad('a step of finality is <satoshis or *>:<confirmations>');
  return { upTo: upTo === '*' ? null : parseAmount(upTo), confirmations: Number(confirmations) };
}

function checkTerms(terms: BitcoinTerms): void {
  const { startHeight, minDeposit, sweepFee, sweepMargin, leastRefund, finality } = terms;
  checkFinality(finality);
  if (!within(startHeight, 1, MAX_HEIGHT)) throw bad('the start height is a block after the first');
  // A deposit that brought nothing would still cost a mint.
  if (sweepFee < 0n || minDeposit <= sweepFee) throw bad('the least deposit is above the sweep fee');
  if (!within(sweepMargin, 1, MAX_MARGIN)) throw bad(`the sweep margin has 1 to ${MAX_MARGIN} blocks`);
  const least = leastRefundOf(terms);
  if (!within(leastRefund, least, MAX_REFUND))
    throw bad(`a refund is possible after ${least} blocks at the least, with this margin and finality`);
}

const within = (n: number, least: number, most: number): boolean => Number.isInteger(n) && n >= least && n <= most;

const bad = (what: string): BridgeError => new BridgeError('bad-terms', `The terms of the home are none: ${what}.`);
