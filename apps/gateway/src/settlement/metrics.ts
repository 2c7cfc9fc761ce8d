/**
 * Figures of settlement for Prometheus. Alarms: `oldest_waiting_seconds` beyond the configured behindSeconds, `wallet_days` below minDays, and
 * `isthmus_gateway_failures_total{part="settlement"}` that grows; all three show in /health as the part `settlement`.
 *
 *   isthmus_settlement_leads                      1: this gateway settles, of those on its database
 *   isthmus_settlement_waiting{kind}              what is in no bundle yet: slots, items of no schedule; as the gateway that settles saw it last
 *   isthmus_settlement_oldest_waiting_seconds     age of the oldest slot or bundle that is not confirmed; 0 when there is none
 *   isthmus_settlement_bundles{state}             bundles: sealed, posted, confirmed, final
 *   isthmus_settlement_bytes{state}               their bytes
 *   isthmus_settlement_lost_bundles               final bundles that were gone or other when they were looked at last: alarm above 0
 *   isthmus_settlement_spot_checks                final bundles this gateway has looked at since it started
 *   isthmus_settlement_bytes_per_day              bytes sealed in the last 24 hours
 *   isthmus_settlement_wallet_balance_winston     what the wallet has; without a value where a bundling service is paid
 *   isthmus_settlement_price_winston_per_mib      what a MiB costs now
 *   isthmus_settlement_wallet_days                days the wallet lasts at that pace and price
 */
import { BUNDLE_STATES } from '@isthmus/arweave';
import type { Registry } from 'prom-client';
import { Figures, shared, type Reading } from '../api/figures.js';
import type { SettlementParts } from './tokens.js';

export function registerSettlementMetrics(registry: Registry, { store, settler }: SettlementParts): void {
  const { figure } = new Figures(registry, 'isthmus_settlement');
  const one = (value: number): Reading => [{ labels: {}, value }];
  const totals = shared(() => store.totals());
  const byState = async (pick: 'bundles' | 'bytes'): Promise<Reading> => {
    const found = await totals();
    return BUNDLE_STATES.map((state) => ({
      labels: { state },
      value: found.find((t) => t.state === state)?.[pick] ?? 0,
    }));
  };
  /** Nothing to show is no figure, not zero. */
  const ofFunds = (
    name: string,
    help: string,
    pick: (funds: NonNullable<typeof settler.status.funds>) => number | null,
  ) =>
    figure(name, help, [], () => {
      const { funds } = settler.status;
      const value = funds && pick(funds);
      return Promise.resolve(value === null ? [] : one(value));
    });
  figure('leads', 'Whether this gateway settles', [], () => Promise.resolve(one(settler.status.leads ? 1 : 0)));
  figure('waiting', 'What is in no bundle yet', ['kind'], () => {
    const { slots, others } = settler.status.backlog;
    return Promise.resolve([
      { labels: { kind: 'slots' }, value: slots },
      { labels: { kind: 'items' }, value: others },
    ]);
  });
  figure('oldest_waiting_seconds', 'Age of the oldest that is not confirmed', [], async () => {
    const since = await settler.oldestUnconfirmed();
    return one(since === null ? 0 : Math.max(0, (Date.now() - since) / 1000));
  });
  figure('bundles', 'Bundles', ['state'], () => byState('bundles'));
  figure('bytes', 'Bytes of bundles', ['state'], () => byState('bytes'));
  figure('lost_bundles', 'Final bundles that are gone or other', [], async () => one((await store.lost(1)).count));
  figure('spot_checks', 'Final bundles looked at since the start', [], () =>
    Promise.resolve(one(settler.status.spotChecks)),
  );
  ofFunds('bytes_per_day', 'Bytes sealed in the last 24 hours', (f) => f.bytesPerDay);
  ofFunds('wallet_balance_winston', 'What the wallet has', (f) => Number(f.balance));
  ofFunds('price_winston_per_mib', 'What a MiB costs now', (f) => Number(f.pricePerMiB));
  ofFunds('wallet_days', 'Days the wallet lasts', (f) => f.days);
}
