/** How each part of the gateway does; fed by the loops, read by /health, /ready and /metrics. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@isthmus/store';
import { BaseError } from 'viem';
import { collectDefaultMetrics, Counter, Registry } from 'prom-client';
import type { PartHealth } from './api/schemas.js';

const MAX_BACKOFF_MS = 30_000;
/** What is done often is tried again often: never later than it would have been done this many times. */
const MAX_BACKOFF_STEPS = 30;

export class Health {
  readonly registry = new Registry();
  readonly parts: Record<string, PartHealth> = {};
  /** isthmus_gateway_failures_total{part,code}; the bridge's own figures are in api/metrics.ts. */
  private readonly failures = new Counter({
    name: 'isthmus_gateway_failures_total',
    help: 'Failed steps by part and reason',
    labelNames: ['part', 'code'],
    registers: [this.registry],
  });
  private readonly stopping = new AbortController();
  private readonly loops: Promise<void>[] = [];

  /** Parts the bridge does not wait for: they show in /health, and /ready does without them. */
  private readonly advisory = new Set<string>();

  constructor(private readonly log: Logger) {
    collectDefaultMetrics({ register: this.registry });
  }

  good(part: string): void {
    this.set(part, { ok: true });
  }

  /** What failed goes again; a part that never failed is not listed for it. */
  recovered(part: string): void {
    if (this.parts[part]?.ok === false) this.good(part);
  }

  bad(part: string, error: unknown): void {
    const code = typeof (error as { code?: unknown }).code === 'string' ? (error as { code: string }).code : 'failed';
    const detail = wordsOf(error);
    if (this.parts[part]?.detail !== detail) this.log.warn({ part, code, detail }, 'a step failed and is tried again');
    this.set(part, { ok: false, code, detail });
    this.failures.inc({ part, code });
  }

  /** Runs `step` again and again; a failure shows in health and slows it down until it works. `advisory`: the bridge does not wait for it. */
  loop(part: string, everyMs: number, step: () => Promise<void>, { advisory = false } = {}): void {
    if (advisory) this.advisory.add(part);
    this.set(part, { ok: false, detail: 'has not run yet' });
    this.loops.push(this.run(part, everyMs, step));
  }

  private set(part: string, health: Omit<PartHealth, 'at' | 'advisory'>): void {
    const advisory = this.advisory.has(part) ? { advisory: true } : {};
    this.parts[part] = { ...health, ...advisory, at: new Date().toISOString() };
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.loops);
  }

  private async run(part: string, everyMs: number, step: () => Promise<void>): Promise<void> {
    let failed = 0;
    while (!this.stopping.signal.aborted) {
      try {
        await step();
        this.good(part);
        failed = 0;
      } catch (error) {
        this.bad(part, error);
        failed += 1;
      }
      const wait = Math.min(everyMs * Math.min(2 ** Math.min(failed, 10), MAX_BACKOFF_STEPS), MAX_BACKOFF_MS);
      await delay(wait, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }
}

/** viem's whole message names the URL that was asked, and that may hold a provider's key. */
function wordsOf(error: unknown): string {
  if (error instanceof BaseError) return error.shortMessage;
  return error instanceof Error ? error.message : String(error);
}
