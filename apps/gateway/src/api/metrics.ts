/**
 * The bridge's figures for Prometheus.
 *
 * isthmus_gateway_transfers{direction,state}              transfers by where they are
 * isthmus_gateway_oldest_waiting_seconds{direction}       age of the oldest transfer that is not done; 0 when none waits
 * isthmus_gateway_books_difference{asset}                 locked + releasedUnattested - supply - inFlight, base units: below 0 is a breach
 * isthmus_gateway_paused{asset}                           1 while the guardians have paused it, on AO or at the vault
 * isthmus_gateway_relayer_balance{chain,address,unit}     what the relayer of a chain pays with, in that unit
 * isthmus_gateway_relayer_low{chain,address}              1 while that is below its alarm level
 * isthmus_gateway_head_slot{process}                      newest slot in the schedule of a token process
 * isthmus_gateway_unread_figures_total{figure}            times a figure could not be read; it then has no value
 *
 * A gauge is a floating-point number: amounts are exact here up to 2^53 and only for watching.
 */
import type { AoEngine } from '@isthmus/ao';
import type { DataSource } from 'typeorm';
import type { Registry } from 'prom-client';
import type { Homes } from '../homes/homes.js';
import type { BookKeeper } from '../transfers/book-keeper.js';
import { bounded, Figures, type Reading } from './figures.js';

const DONE = `('minted', 'refused', 'released', 'held')`;

export interface MetricsSources {
  registry: Registry;
  database: DataSource;
  books: BookKeeper;
  engine: Pick<AoEngine, 'head'>;
  homes: Homes;
}

export function registerMetrics({ registry, database, books, engine, homes }: MetricsSources): void {
  const { figure, figureOfEach } = new Figures(registry, 'isthmus_gateway');
  const { assets } = homes;
  figure('transfers', 'Transfers by direction and state', ['direction', 'state'], () => countTransfers(database));
  figure('oldest_waiting_seconds', 'Age of the oldest transfer that is not done', ['direction'], () =>
    oldest(database),
  );
  figureOfEach(
    'books_difference',
    'What the vault holds above what is owed, base units',
    ['asset'],
    assets,
    async (asset) => {
      const { locked, releasedUnattested, supply, inFlight } = await books.of(asset);
      return { labels: { asset: asset.id }, value: Number(locked + releasedUnattested - supply - inFlight) };
    },
  );
  figure('paused', '1 while an asset is paused', ['asset'], async () => {
    const paused = await books.pausedAssets(assets);
    return assets.map(({ id }) => ({ labels: { asset: id }, value: paused.has(id) ? 1 : 0 }));
  });
  const purses = homes.all.flatMap(({ chain, purse }) => (purse ? [{ chain: chain.id, purse }] : []));
  figureOfEach(
    'relayer_balance',
    'What the relayer of a chain pays with, in that unit',
    ['chain', 'address', 'unit'],
    purses,
    async ({ chain, purse }) => {
      const { address, unit } = purse;
      return { labels: { chain, address, unit }, value: Number(await purse.balance()) };
    },
  );
  figureOfEach(
    'relayer_low',
    '1 while what the relayer of a chain pays with is below its alarm level',
    ['chain', 'address'],
    purses.filter(({ purse }) => purse.alarm > 0n),
    async ({ chain, purse }) => {
      const isLow = (await purse.balance()) < purse.alarm;
      return { labels: { chain, address: purse.address }, value: isLow ? 1 : 0 };
    },
  );
  figureOfEach('head_slot', 'Newest slot of a token process', ['process'], assets, async ({ process }) => {
    const { scheduled } = await engine.head(process);
    return { labels: { process }, value: scheduled };
  });
}

async function countTransfers(database: DataSource): Promise<Reading> {
  const rows = await bounded<{ direction: string; state: string; count: string }[]>(
    database,
    'select direction, state, count(*) as count from transfer group by direction, state',
  );
  return rows.map(({ direction, state, count }) => ({ labels: { direction, state }, value: Number(count) }));
}

async function oldest(database: DataSource): Promise<Reading> {
  const rows = await bounded<{ direction: string; age: string | null }[]>(
    database,
    `select d.direction, (select greatest(extract(epoch from now() - min(t.created_at)), 0) from transfer t
       where t.direction = d.direction and t.state not in ${DONE}) as age
     from unnest(array['deposit', 'withdrawal']) as d(direction)`,
  );
  return rows.map(({ direction, age }) => ({ labels: { direction }, value: Number(age ?? 0) }));
}
