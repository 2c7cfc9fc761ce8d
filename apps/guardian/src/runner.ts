/** Drives a guardian round after round, keeps what each part last came to, and says it in health and metrics. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@isthmus/store';
import { Counter, Gauge, Registry } from 'prom-client';
import type { Guardian } from './guardian.js';

const PARTS = ['watch', 'follow', 'attest', 'sign', 'send'] as const;
type Part = (typeof PARTS)[number];

export interface PartHealth {
  ok: boolean;
  /** Typed reason while it is not. */
  code?: string;
  detail?: string;
  at: string;
}

const MAX_BACKOFF_MS = 30_000;

export class Runner {
  readonly registry = new Registry();
  readonly health: Partial<Record<Part, PartHealth>> = {};
  private readonly failures = new Counter({
    name: 'isthmus_guardian_failures_total',
    help: 'Failed steps by part and reason',
    labelNames: ['part', 'code'],
    registers: [this.registry],
  });
  private readonly height = new Gauge({
    name: 'isthmus_guardian_height',
    help: 'Last final block scanned',
    registers: [this.registry],
  });
  private readonly stopping = new AbortController();
  private done: Promise<void> = Promise.resolve();

  constructor(
    private readonly guardian: Guardian,
    private readonly pollMs: number,
    private readonly log: Logger,
    rpcCalls: () => number,
  ) {
    const calls: Gauge = new Gauge({
      name: 'isthmus_guardian_rpc_calls',
      help: 'Calls made to RPC sources since the start',
      registers: [this.registry],
      collect: (): void => calls.set(rpcCalls()),
    });
  }

  /** Every part of the last round went well. */
  get ready(): boolean {
    return PARTS.every((part) => this.health[part]?.ok);
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
      const wait = good ? this.pollMs : Math.min(this.pollMs * 2 ** Math.min(failedRounds, 10), MAX_BACKOFF_MS);
      await delay(wait, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }

  /** One round: see, follow, say, sign, send. A part that fails keeps those after it from nothing they can do without it. */
  private async round(): Promise<boolean> {
    let good = true;
    for (const part of PARTS) {
      if (this.stopping.signal.aborted) return good;
      try {
        await this.guardian[part]();
        this.health[part] = { ok: true, at: new Date().toISOString() };
      } catch (error) {
        good = false;
        this.report(part, error);
        // Signing needs a sound view of both sides: without it nothing is signed in this round.
        if (part === 'watch' || part === 'follow') return false;
      }
    }
    this.height.set(Number(this.guardian.height));
    return good;
  }

  private report(part: Part, error: unknown): void {
    const code = typeof (error as { code?: unknown }).code === 'string' ? (error as { code: string }).code : 'failed';
    const detail = error instanceof Error ? error.message : String(error);
    const before = this.health[part];
    this.health[part] = { ok: false, code, detail, at: new Date().toISOString() };
    this.failures.inc({ part, code });
    if (before?.detail !== detail) this.log.warn({ part, code, detail }, 'a step failed and is tried again');
  }
}
