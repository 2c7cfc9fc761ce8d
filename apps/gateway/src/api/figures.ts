/** Figures for Prometheus that are read when they are scraped, at most once in `FRESH_MS` however many scrape. What cannot be read has no value. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { DataSource } from 'typeorm';

const FRESH_MS = 1_000;
/** A count that takes longer is left out rather than kept waiting for. */
const QUERY_MS = 2_000;

export interface Value {
  labels: Record<string, string>;
  value: number;
}
export type Reading = Value[];

/** Gauges whose names begin with `prefix`; `<prefix>_unread_figures_total{figure}` counts what could not be read. */
export class Figures {
  private readonly unread: Counter;

  constructor(
    private readonly registry: Registry,
    private readonly prefix: string,
  ) {
    this.unread = new Counter({
      name: `${prefix}_unread_figures_total`,
      help: 'Times a figure could not be read',
      labelNames: ['figure'],
      registers: [registry],
    });
  }

  /** Adds a gauge. */
  readonly figure = (name: string, help: string, labelNames: string[], read: () => Promise<Reading>): void => {
    const fresh = shared(read);
    const { unread } = this;
    const gauge = new Gauge({
      name: `${this.prefix}_${name}`,
      help,
      labelNames,
      registers: [],
      async collect() {
        const reading = await fresh().catch(() => {
          unread.inc({ figure: name });
          return [];
        });
        this.reset();
        for (const { labels, value } of reading) this.set(labels, value);
      },
    });
    this.registry.registerMetric(gauge);
  };

  /** Adds a gauge with a value for each of these; one that cannot be read leaves out no other. */
  readonly figureOfEach = <T>(
    name: string,
    help: string,
    labelNames: string[],
    each: readonly T[],
    read: (one: T) => Promise<Value>,
  ): void =>
    this.figure(name, help, labelNames, async () => {
      const readings = await Promise.allSettled(each.map((one) => read(one)));
      return readings.flatMap((r) => {
        if (r.status === 'fulfilled') return [r.value];
        this.unread.inc({ figure: name });
        return [];
      });
    });
}

/** One reading for all who ask at once or soon after. */
export function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let kept: { at: number; reading: Promise<T> } | undefined;
  return () => {
    if (!kept || Date.now() - kept.at >= FRESH_MS) kept = { at: Date.now(), reading: read() };
    return kept.reading;
  };
}

/** A query that ends by itself when it takes too long. */
export function bounded<T>(database: DataSource, sql: string, values: unknown[] = []): Promise<T> {
  return database.transaction(async (manager) => {
    await manager.query(`set local statement_timeout = ${QUERY_MS}`);
    return manager.query<T>(sql, values);
  });
}
