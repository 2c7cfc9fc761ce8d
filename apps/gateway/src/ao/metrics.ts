/**
 * The pipeline's figures for Prometheus. Labels are few and fixed: never a process, a signer or a path.
 *
 * of this database (however many gateways share it), read when scraped
 *   isthmus_ao_processes                          processes
 *   isthmus_ao_slots{state}                       slots of all schedules: placed, and of those evaluated
 *   isthmus_ao_lag_slots                          placed and not evaluated
 *   isthmus_ao_oldest_waiting_seconds             how long the first slot without a result has waited; 0 when none does; unknown formats are not counted
 *   isthmus_ao_deliveries_waiting                 what is not yet delivered
 *   isthmus_ao_dead_letters{reason}               what was set aside, by why
 *
 * of this gateway, since it started
 *   isthmus_ao_open_processes{vm}                 processes open here, by their machine; bounded by the machines there are
 *   isthmus_ao_memory_bytes{vm}                   what they hold, with their copies for dry-runs
 *   isthmus_ao_stopped_processes{reason}          processes that ended their compute threads and wait to be tried again: too-long, crash; unknown-format: no machine here runs them
 *   isthmus_ao_threads{kind}                      compute threads: of quick processes, slow ones, ones apart, of machines that cannot give up what takes long, and for dry-runs
 *   isthmus_ao_opened_total, _evicted_total       processes opened, and closed to make room
 *   isthmus_ao_dry_runs_total                     dry-runs evaluated
 *   isthmus_ao_results_total{outcome}             results stored: done, failed
 *   isthmus_ao_sent_total{kind}                   what they sent: message, spawn, assignment
 *   isthmus_ao_deliveries_total{outcome}          tries to deliver: done, failed
 *   isthmus_ao_requests_total{group,status}       requests to the units by what they cost (items, reads, dryRuns, searches) and status (2xx ...)
 */
import type { AoPipeline, HotStatus, ResultBatch } from '@isthmus/ao';
import { Counter, type Registry } from 'prom-client';
import { Figures, shared, type Reading } from '../api/figures.js';
import type { AoStore } from './ao-store.js';

const KINDS = { message: 'Messages', spawn: 'Spawns', assignment: 'Assignments' } as const;

export function registerAoMetrics(registry: Registry, pipeline: AoPipeline, store: AoStore): void {
  const { figure } = new Figures(registry, 'isthmus_ao');
  const backlog = shared(() => store.backlog());
  const one = (value: number) => [{ labels: {}, value }];
  figure('processes', 'AO processes', [], async () => one((await backlog()).processes));
  figure('slots', 'Slots of all schedules', ['state'], async () => {
    const { placed, evaluated } = await backlog();
    return [
      { labels: { state: 'placed' }, value: placed },
      { labels: { state: 'evaluated' }, value: evaluated },
    ];
  });
  figure('lag_slots', 'Slots placed and not evaluated', [], async () => {
    const { placed, evaluated } = await backlog();
    return one(placed - evaluated);
  });
  figure('oldest_waiting_seconds', 'How long the first slot without a result has waited', [], async () =>
    one((await backlog()).waitingMs / 1000),
  );
  figure('deliveries_waiting', 'What is not yet delivered', [], async () => one((await backlog()).waiting));
  figure('dead_letters', 'What was set aside', ['reason'], async () =>
    (await pipeline.messenger.deadLetterCounts()).map(({ reason, count }) => ({ labels: { reason }, value: count })),
  );
  const open = (value: (process: HotStatus) => number) => () => Promise.resolve(byMachine(pipeline, value));
  figure(
    'open_processes',
    'Processes open here',
    ['vm'],
    open(() => 1),
  );
  figure(
    'memory_bytes',
    'Bytes of memory they hold',
    ['vm'],
    open(({ bytes }) => bytes),
  );
  figure(
    'stopped_processes',
    'Processes that ended their compute threads and wait to be tried again, or that no machine here runs',
    ['reason'],
    () => {
      const stopped = pipeline.compute.stopped();
      const count = (reason: string) => stopped.filter((p) => p.reason === reason).length;
      return Promise.resolve(
        ['too-long', 'crash', 'unknown-format'].map((reason) => ({ labels: { reason }, value: count(reason) })),
      );
    },
  );
  figure('threads', 'Compute threads', ['kind'], () =>
    Promise.resolve(Object.entries(pipeline.workers.threads()).map(([kind, value]) => ({ labels: { kind }, value }))),
  );
  countTotals(registry, pipeline);
  countWork(registry, pipeline);
}

function byMachine(pipeline: AoPipeline, value: (process: HotStatus) => number): Reading {
  const sums = new Map<string, number>();
  for (const process of pipeline.compute.status())
    sums.set(process.format, (sums.get(process.format) ?? 0) + value(process));
  return [...sums].map(([vm, sum]) => ({ labels: { vm }, value: sum }));
}

/** What the compute unit counts itself. */
function countTotals(registry: Registry, pipeline: AoPipeline): void {
  const total = (name: string, help: string, read: () => number): void => {
    const counter = new Counter({
      name: `isthmus_ao_${name}_total`,
      help,
      registers: [],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
    registry.registerMetric(counter);
  };
  total('opened', 'Processes opened', () => pipeline.compute.totals().opened);
  total('evicted', 'Processes closed to make room', () => pipeline.compute.totals().evicted);
  total('dry_runs', 'Dry-runs evaluated', () => pipeline.compute.totals().dryRuns);
}

/** Counts what is stored: what a transaction took counts when its process says that results were stored. */
function countWork(registry: Registry, pipeline: AoPipeline): void {
  const counter = (name: string, help: string, label: string) =>
    new Counter({ name: `isthmus_ao_${name}`, help, labelNames: [label], registers: [registry] });
  const results = counter('results_total', 'Results stored', 'outcome');
  const sent = counter('sent_total', 'What results sent', 'kind');
  const deliveries = counter('deliveries_total', 'Tries to deliver', 'outcome');
  pipeline.messenger.onDeliveries((done, failed) => {
    deliveries.inc({ outcome: 'done' }, done);
    deliveries.inc({ outcome: 'failed' }, failed);
  });
  const taken = new Map<string, ResultBatch['results']>();
  pipeline.compute.addSink({
    take(_manager, batches) {
      for (const { process, results: some } of batches) taken.set(process, some);
      return Promise.resolve();
    },
  });
  pipeline.compute.onResults((process) => {
    const stored = taken.get(process) ?? [];
    taken.delete(process);
    for (const { result } of stored) {
      results.inc({ outcome: result.Error === undefined ? 'done' : 'failed' });
      for (const [kind, field] of Object.entries(KINDS)) sent.inc({ kind }, result[field].length);
    }
  });
}
