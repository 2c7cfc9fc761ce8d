/** What a quorum may decide about one asset or the guardian set: the one line of an `Attest-Decision`, the same for everyone who agrees. */
import type { Hex } from 'viem';
import { isEthereumAddress } from './address.js';
import { formatAmount, parseAmount } from './amount.js';
import { parseNumber } from './attestation.js';
import { BridgeError } from './errors.js';

export type Decision =
  | { kind: 'pause' }
  | { kind: 'unpause' }
  /** Whether the vault takes deposits of the asset, base units that may leave per window (milliseconds), and the least deposit. */
  | { kind: 'list'; open: boolean; limit: bigint; windowMs: bigint; minDeposit: bigint }
  | ({ kind: 'rotate' } & GuardianSet);

/** N guardians of whom M (`threshold`) decide and K (`pauseThreshold`) may pause. The order is the vault's index. */
export interface GuardianSet {
  epoch: bigint;
  threshold: number;
  pauseThreshold: number;
  guardians: readonly Hex[];
  /** Their keys on the home chain, in the same order, where no contract knows them by their addresses (Bitcoin, Solana); else none. */
  keys: readonly string[];
}

/** Most guardians a set may have: signatures name theirs by one byte, and gas grows with them. */
export const MAX_GUARDIANS = 64;
const KEY = /^[A-Za-z0-9]{32,66}$/;

/** @throws BridgeError `bad-line` when the set could never decide, or one key would count twice. */
export function assertGuardianSet(set: GuardianSet): void {
  const n = set.guardians.length;
  const within = (k: number) => Number.isInteger(k) && k >= 1 && k <= n;
  const distinct = new Set(set.guardians.map((g) => g.toLowerCase())).size === n;
  if (
    n > MAX_GUARDIANS ||
    !within(set.threshold) ||
    !within(set.pauseThreshold) ||
    !distinct ||
    !set.guardians.every(isEthereumAddress) ||
    !areKeys(set)
  ) {
    throw new BridgeError(
      'bad-line',
      'A guardian set has 1 to 64 distinct checksummed addresses, thresholds between 1 and their number, and a key of each or none.',
    );
  }
}

/** Whether these may be keys on some home chain; `isGuardianKeyOn` says it of one. */
function areKeys({ guardians, keys }: GuardianSet): boolean {
  if (keys.length === 0) return true;
  return keys.length === guardians.length && new Set(keys).size === keys.length && keys.every((k) => KEY.test(k));
}

/** What a decision speaks of. */
export type Subject = 'pause' | 'list' | 'rotate';

/** Pausing and unpausing speak of the same thing; so do two listings, and two rotations. Of one subject the newest decision holds. */
export function subjectOf(kind: Decision['kind']): Subject {
  return kind === 'unpause' ? 'pause' : kind;
}

/** First words of the lines of all decisions that speak of the same as this one. */
export function subjectWords(kind: Decision['kind']): readonly Decision['kind'][] {
  return subjectOf(kind) === 'pause' ? ['pause', 'unpause'] : [kind];
}

/** An asset's listing as the vault has it: base units, window in seconds. */
export interface VaultListing {
  open: boolean;
  limit: bigint;
  window: number;
  minDeposit: bigint;
}

/** Whether the vault has the asset listed as decided. */
export function isListedAs(decision: Extract<Decision, { kind: 'list' }>, listing: VaultListing): boolean {
  const { open, limit, windowMs, minDeposit } = decision;
  const same = listing.open === open && listing.limit === limit && listing.minDeposit === minDeposit;
  return same && BigInt(listing.window) * 1000n === windowMs;
}

/** The vault counts windows in whole seconds of 32 bits and amounts in 104. @throws BridgeError `bad-line` */
function assertListing({ limit, windowMs, minDeposit }: Extract<Decision, { kind: 'list' }>): void {
  const fits = (amount: bigint) => amount < 2n ** 104n;
  const whole = windowMs >= 1000n && windowMs % 1000n === 0n && windowMs / 1000n < 2n ** 32n;
  if (limit === 0n || !fits(limit) || !fits(minDeposit) || !whole)
    throw new BridgeError('bad-line', 'A limit is above 0, its window whole seconds, and amounts below 2^104.');
}

export function encodeDecision(decision: Decision): string {
  switch (decision.kind) {
    case 'pause':
    case 'unpause':
      return decision.kind;
    case 'list':
      assertListing(decision);
      return `list ${decision.open ? 'open' : 'closed'} ${formatAmount(decision.limit)} ${decision.windowMs} ${formatAmount(decision.minDeposit)}`;
    case 'rotate':
      assertGuardianSet(decision);
      return rotationLine(decision);
  }
}

function rotationLine({ epoch, threshold, pauseThreshold, guardians, keys }: GuardianSet): string {
  const line = `rotate ${epoch} ${threshold} ${pauseThreshold} ${guardians.join(',')}`;
  return keys.length > 0 ? `${line} ${keys.join(',')}` : line;
}

/** @throws BridgeError `bad-line`, `bad-amount` */
export function parseDecision(line: string): Decision {
  const [kind, ...rest] = line.split(' ');
  const [a = '', b = '', c = '', d = '', e] = rest;
  if ((kind === 'pause' || kind === 'unpause') && rest.length === 0) return { kind };
  if (kind === 'list' && rest.length === 4 && (a === 'open' || a === 'closed')) {
    const decision = {
      kind,
      open: a === 'open',
      limit: parseAmount(b),
      windowMs: parseNumber(c),
      minDeposit: parseAmount(d),
    } as const;
    assertListing(decision);
    return decision;
  }
  if (kind === 'rotate' && (rest.length === 4 || rest.length === 5)) {
    const decision = {
      kind,
      epoch: parseNumber(a),
      threshold: Number(parseNumber(b)),
      pauseThreshold: Number(parseNumber(c)),
      guardians: d.split(',') as Hex[],
      keys: e?.split(',') ?? [],
    } as const;
    assertGuardianSet(decision);
    return decision;
  }
  throw new BridgeError(
    'bad-line',
    'A decision is pause, unpause, list <open|closed> <limit> <window ms> <least deposit> or rotate <epoch> <M> <K> <guardians> [<their keys on the home chain>].',
  );
}
