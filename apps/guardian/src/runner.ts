/** Drives a guardian round after round, keeps what each part last came to, and says it in health and metrics. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@isthmus/store';
import { Counter, Gauge, Registry } from 'prom-client';
import type { SignRefusal } from './custody.js';
import type { Guardian } from './guardian.js';

const PARTS = ['watch', 'follow', 'attest', 'sign', 'decide', 'send'] as const;
type Part = (typeof PARTS)[number];

/** What a runner drives: a guardian's steps, and what they came to. */
export type Steps = Pick<Guardian, Part | 'height' | 'serving' | 'outbox' | 'lostDeposits'>;

export interface PartHealth {
  ok: boolean;
  /** Typed reason while it is not. */
  code?: string;
  detail?: string;
  /** How many withdrawals wait for this guardian's signature, by reason. */
  waiting?: Partial<Record<SignRefusal, number>>;
  at: string;
}

const MAX_BACKOFF_MS = 30_000;
/** What is looked at often is tried again often: never later than this many rounds would have taken. */
const MAX_BACKOFF_ROUNDS = 30;
/** What fails for one asset does not make the others wait longer than this. */
const MAX_PARTIAL_BACKOFF_MS = 2_000;
/** A round that ended longer ago than this says nothing about now. */
const STALE_MS = 120_000;

/** Milliseconds until the next round, after this many failed in a row; `partial` when some assets are still served. */
export function backoffMs(pollMs: number, failedRounds: number, partial: boolean): number {
  const most = Math.max(
    pollMs,
    Math.min(pollMs * MAX_BACKOFF_ROUNDS, partial ? MAX_PARTIAL_BACKOFF_MS : MAX_BACKOFF_MS),
  );
  return Math.min(pollMs * 2 ** Math.min(failedRounds, 20), most);
}

/** What all rounds of a guardian count, by home chain. */
export class GuardianMetrics {
  readonly registry = new Registry();
  readonly failures = new Counter({
    name: 'isthmus_guardian_failures_total',
    help: 'Failed steps by home chain, part and reason',
    labelNames: ['chain', 'part', 'code'],
    registers: [this.registry],
  });
  readonly seconds = new Counter({
    name: 'isthmus_guardian_seconds_total',
    help: 'Time spent in each part',
    labelNames: ['chain', 'part'],
    registers: [this.registry],
  });
  readonly height = new Gauge({
    name: 'isthmus_guardian_height',
    help: 'Last final block or slot scanned',
    labelNames: ['chain'],
    registers: [this.registry],
  });
  readonly outbox = new Gauge({
    name: 'isthmus_guardian_outbox',
    help: 'Messages the schedule does not hold yet',
    labelNames: ['chain'],
    registers: [this.registry],
  });
  readonly lostDeposits = new Gauge({
    name: 'isthmus_guardian_lost_deposits',
    help: 'Deposits that were minted and that the home chain has taken back for good',
    labelNames: ['chain'],
    registers: [this.registry],
  });
  private readonly sources = new Map<string, () => number>();
  private readonly calls: Gauge<'chain'> = new Gauge({
    name: 'isthmus_guardian_rpc_calls',
    help: 'Calls made to RPC sources since the start',
    labelNames: ['chain'],
    registers: [this.registry],
    collect: (): void => {
      for (const [chain, count] of this.sources) this.calls.set({ chain }, count());
    },
  });

  /** Counts the calls made to a chain's sources. */
  countCalls(chain: string, calls: () => number): void {
    this.sources.set(chain, calls);
  }
}

export class Runner {
  readonly health: Partial<Record<Part, PartHealth>> = {};
  private readonly stopping = new AbortController();
  private done: Promise<void> = Promise.resolve();
  private readonly log: Logger;

  /** @param chain CAIP-2 name of the home chain this round is about */
  constructor(
    private readonly guardian: Steps,
    readonly chain: string,
    private readonly pollMs: number,
    private readonly metrics: GuardianMetrics,
    log: Logger,
  ) {
    this.log = log.child({ chain });
  }

  /** Every part of the last round went well, and lately. `now` in milliseconds since 1970. */
  isReady(now = Date.now()): boolean {
    return PARTS.every((part) => {
      const health = this.health[part];
      return health?.ok === true && now - Date.parse(health.at) < STALE_MS;
    });
  }

  start(): void {
    this.done = this.loop();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.done;
  }

  private async loop(): Promise<void> {
    let failedRounds = 0;
    while (!this.stopping.signal.aborted) {
      const good = await this.round();
      failedRounds = good ? 0 : failedRounds + 1;
      const wait = backoffMs(this.pollMs, failedRounds, this.guardian.serving);
      await delay(wait, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }

  /** One round: see, follow, say, sign, decide, send. Says whether all went well. */
  async round(): Promise<boolean> {
    const { chain } = this;
    let good = true;
    for (const part of PARTS) {
      if (this.stopping.signal.aborted) return good;
      const began = performance.now();
      try {
        const done = await this.guardian[part]();
        const waiting = done instanceof Map ? { waiting: countReasons(done) } : {};
        this.health[part] = { ok: true, ...waiting, at: new Date().toISOString() };
      } catch (error) {
        good = false;
        this.report(part, error);
      }
      this.metrics.seconds.inc({ chain, part }, (performance.now() - began) / 1000);
      // Without a sound view of both sides of at least one asset there is nothing to say or sign.
      if (part === 'watch' ? !good : part === 'follow' && !this.guardian.serving) return false;
    }
    this.metrics.height.set({ chain }, Number(this.guardian.height));
    this.metrics.lostDeposits.set({ chain }, this.guardian.lostDeposits);
    this.metrics.outbox.set({ chain }, await this.guardian.outbox().catch(() => Number.NaN));
    return good;
  }

  private report(part: Part, error: unknown): void {
    const code = typeof (error as { code?: unknown }).code === 'string' ? (error as { code: string }).code : 'failed';
    const detail = error instanceof Error ? error.message : String(error);
    const before = this.health[part];
    this.health[part] = { ok: false, code, detail, at: new Date().toISOString() };
    this.metrics.failures.inc({ chain: this.chain, part, code });
    if (before?.detail !== detail) this.log.warn({ part, code, detail }, 'a step failed and is tried again');
  }
}

function countReasons(refused: ReadonlyMap<string, SignRefusal>): Partial<Record<SignRefusal, number>> {
  const counts: Partial<Record<SignRefusal, number>> = {};
  for (const reason of refused.values()) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}
