/**
 * All bundles of one scheduler, in order, each checked before it is given: its seal is the scheduler's, on the seal before, over exactly
 * these items; each message and other item is signed by its owner; each slot follows the one before. Bundles are fetched and checked ahead
 * of who takes them, so many and no more.
 */
import { hash } from 'node:crypto';
import { verifyItem } from '@isthmus/ao';
import { openSettledBundle, sealAtStart, SettlementError, type Seal, type SettledBundle } from '../format/index.js';
import { diagnose } from './diagnosis.js';
import { SettlementFinding } from './finding.js';
import { Follower } from './follow.js';
import { MAX_BUNDLE_BYTES, SourceError, type BundleSource, type Candidate } from './source.js';

export interface ReadOptions {
  source: BundleSource;
  /** Address of the scheduler whose bundles are read. */
  scheduler: string;
  /** Number of the last bundle to read; all there are unless told. */
  upTo?: number | undefined;
  /** Goes on behind what this one has taken; what is read is taken by it too. */
  follower?: Follower | undefined;
}

/** A bundle of which everything was checked but what evaluating shows. */
export interface ReadBundle extends SettledBundle {
  tx: string;
  /** Bytes of it, and their sha256, hexadecimal. */
  bytes: number;
  sha256: string;
}

/** Numbers asked for at once. */
const WINDOW = 50;
/** Bundles fetched and checked ahead, and about how many bytes of them. */
const AHEAD = 3;
const AHEAD_BYTES = MAX_BUNDLE_BYTES;

/** @throws SettlementFinding naming what is wrong first, SourceError when the gateway cannot be asked */
export async function* readBundles(options: ReadOptions): AsyncGenerator<ReadBundle> {
  const follower = options.follower ?? new Follower(options.scheduler);
  const coming = new Coming(options, follower.last?.sequence ?? 0);
  for (;;) {
    const bundle = await coming.next();
    if (!bundle) return;
    const { tx, seal } = bundle;
    try {
      follower.take(bundle);
    } catch (error) {
      throw error instanceof SettlementFinding ? error.at({ bundle: seal.sequence, tx }) : error;
    }
    yield bundle;
  }
}

interface UnderWay {
  bundle: Promise<ReadBundle | null>;
  size: number;
}

/** Bundles by number, the next ones under way. */
class Coming {
  private readonly queue: UnderWay[] = [];
  /** What the numbers of one window are said to be carried by. */
  private known = new Map<number, Candidate[]>();
  private window = -1;
  private ended = false;
  private filling: Promise<void> = Promise.resolve();

  /** @param begun number of the last one that is not wanted */
  constructor(
    private readonly options: ReadOptions,
    private begun: number,
  ) {}

  /** The next bundle, or null after the last. */
  async next(): Promise<ReadBundle | null> {
    if (this.queue.length === 0) await this.fill();
    const bundle = (await this.queue.shift()?.bundle) ?? null;
    void this.fill().catch(() => undefined); // tried again, and met, when there is nothing else to give
    return bundle;
  }

  /** One at a time: what one finds under way the next one does not begin. */
  private fill(): Promise<void> {
    this.filling = this.filling.catch(() => undefined).then(() => this.begin());
    return this.filling;
  }

  private async begin(): Promise<void> {
    while (!this.ended && this.begun < (this.options.upTo ?? Infinity) && this.hasRoom()) {
      const sequence = this.begun + 1;
      const candidates = await this.candidatesOf(sequence);
      this.begun = sequence;
      this.ended = candidates.length === 0;
      const bundle = this.prepare(sequence, candidates);
      bundle.catch(() => undefined); // met when it is this one's turn
      this.queue.push({ bundle, size: candidates[0]?.size ?? 0 });
    }
  }

  private hasRoom(): boolean {
    const bytes = this.queue.reduce((sum, { size }) => sum + size, 0);
    return this.queue.length === 0 || (this.queue.length <= AHEAD && bytes < AHEAD_BYTES);
  }

  private async candidatesOf(sequence: number): Promise<Candidate[]> {
    const { source, scheduler } = this.options;
    const window = Math.floor((sequence - 1) / WINDOW);
    if (window !== this.window) {
      const from = window * WINDOW + 1;
      this.known = await source.candidates(scheduler, from, from + WINDOW - 1);
      this.window = window;
    }
    return this.known.get(sequence) ?? [];
  }

  private async prepare(sequence: number, candidates: readonly Candidate[]): Promise<ReadBundle | null> {
    if (candidates.length === 0) {
      await this.refuseGap(sequence);
      return null;
    }
    const chosen = await this.genuine(sequence, candidates);
    let wrong: SettlementFinding | SourceError | null = null;
    for (const candidate of chosen) {
      const read = await this.read(sequence, candidate).catch(unreadable);
      if (!(read instanceof Error)) return read;
      wrong ??= read;
    }
    if (await this.isNobodys(sequence, chosen)) return null;
    throw wrong ?? missing(sequence);
  }

  /** Whether nothing but tags that anybody may write says that there is such a bundle: then the last one is the one before it. */
  private async isNobodys(sequence: number, candidates: readonly Candidate[]): Promise<boolean> {
    if (candidates.some((c) => c.isIndexed)) return false;
    for (const candidate of candidates) if (await this.sealOf(candidate, sequence)) return false;
    return (await this.later(sequence)) === null;
  }

  /** Nothing is shown for this number: then there must be nothing of the scheduler's behind it either. @throws SettlementFinding */
  private async refuseGap(sequence: number): Promise<void> {
    const later = await this.later(sequence);
    if (later) throw missing(sequence, ` Bundle ${later.sequence} is there, at ${later.tx}.`);
  }

  /** A bundle of the scheduler's behind this number. */
  private async later(than: number): Promise<{ sequence: number; tx: string } | null> {
    const { source, scheduler } = this.options;
    for (const [sequence, candidates] of await source.later(scheduler, than))
      for (const candidate of candidates)
        if (isSeal(await this.sealOf(candidate, sequence).catch(unreadable))) return { sequence, tx: candidate.tx };
    return null;
  }

  /**
   * Those that carry the one seal there is of this number; all of them when none can be told from the others. Anybody may post what says it
   * carries a bundle: what the scheduler has not signed is passed over. @throws SettlementFinding `forked-settlement`
   */
  private async genuine(sequence: number, candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    const seals = new Set(candidates.map((c) => c.seal));
    if (seals.size === 1) return candidates;
    const found = new Map<string, Candidate>();
    for (const candidate of candidates) {
      if (found.has(candidate.seal)) continue;
      if (isSeal(await this.sealOf(candidate, sequence).catch(unreadable))) found.set(candidate.seal, candidate);
    }
    const [first, second] = [...found.values()];
    if (!first) return candidates;
    if (second)
      throw new SettlementFinding(
        'forked-settlement',
        `The scheduler has sealed bundle ${sequence} twice: ${first.seal} at ${first.tx}, ${second.seal} at ${second.tx}.`,
        { bundle: sequence, tx: second.tx, item: second.seal },
      );
    return candidates.filter((c) => c.seal === first.seal);
  }

  /** The seal a candidate carries, if it is the scheduler's and of this number. */
  private async sealOf(candidate: Candidate, sequence: number): Promise<Seal | null> {
    const { source, scheduler } = this.options;
    const start = await source.start(candidate);
    const seal = start && sealAtStart(start);
    if (seal?.sequence !== sequence) return null;
    const { item } = seal;
    return item.id === candidate.seal && item.ownerAddress === scheduler && (await verifyItem(item)) ? seal : null;
  }

  private async read(sequence: number, candidate: Candidate): Promise<ReadBundle | SettlementFinding> {
    const { source, scheduler } = this.options;
    const { tx, seal } = candidate;
    const bytes = await source.bytes(candidate);
    if (!bytes) return missing(sequence, ` ${tx} is named for it, and has no data.`, tx);
    const expected = { scheduler, sequence, seal, tx };
    try {
      const bundle = openSettledBundle(bytes);
      const { item } = bundle.seal;
      if (item.id !== seal || item.ownerAddress !== scheduler || !(await allSigned(bundle)))
        return await diagnose(bytes, expected, new SettlementError('wrong-digest', 'It is not as it was signed.'));
      if (bundle.seal.sequence !== sequence)
        return new SettlementFinding(
          'reordered',
          `What ${tx} says is bundle ${sequence} is bundle ${bundle.seal.sequence}.`,
          { bundle: sequence, tx, item: seal },
        );
      return { ...bundle, tx, bytes: bytes.length, sha256: hash('sha256', bytes, 'hex') };
    } catch (error) {
      if (!(error instanceof SettlementError)) throw error;
      return diagnose(bytes, expected, error);
    }
  }
}

/** One that a gateway cannot give may be anybody's, and its silence must not hide the others. */
function unreadable(error: unknown): SourceError {
  if (error instanceof SourceError) return error;
  throw error;
}

const isSeal = (seal: Seal | SourceError | null): boolean => seal !== null && !(seal instanceof SourceError);

function missing(sequence: number, more = '', tx: string | null = null): SettlementFinding {
  return new SettlementFinding('missing-bundle', `Nobody shows bundle ${sequence}.${more}`, { bundle: sequence, tx });
}

/** The seal's own signature vouches for the assignments; everything else in the bundle is signed by somebody else, or for another time. */
async function allSigned({ seal, others, ranges }: SettledBundle): Promise<boolean> {
  const messages = ranges.flatMap(({ entries }) => entries.map((e) => e.message));
  const good = await Promise.all([seal.item, ...others, ...messages].map((item) => verifyItem(item)));
  return good.every(Boolean);
}
