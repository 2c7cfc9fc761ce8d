/**
 * Settlement: what waits in a real PostgreSQL is read, hashed, sealed and stored as bundles; beside it @dha-team/arbundles, which only puts the
 * same items, signed already and in memory, into bundles.
 */
import { bundleAndSignData, DataItem, EthereumSigner } from '@dha-team/arbundles';
import { assign, createItem, ed25519Signer, ethereumSigner, type ScheduleHead } from '@isthmus/ao';
import { ArweaveClient, ArweaveSource, SettlementStore, Settler, type Poster } from '@isthmus/arweave';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { atLeast, atMost, median, type Figure } from './figure.js';
import { lifeFigures } from './settlement/life.js';
import { replayFigures } from './settlement/replay.js';

const AREA = 'settlement';
const PROCESSES = 50;
const SLOTS_EACH = 1000;
/** Messages as holders send them: a transfer's tags, signed by an Ethereum key. */
const DISTINCT_MESSAGES = 200;
/** Items the peer bundles at once, several times: it slows down with more. */
const PEER_ITEMS = 5000;
const PEER_RUNS = 3;
const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const HOLDER_KEY = `0x${'2'.repeat(64)}` as const;

/** Nothing is sent in this area: sealing is. */
const NOBODY: Poster = {
  wallet: SCHEDULER.address,
  sign: () => Promise.reject(new Error('Nothing is sent here.')),
  send: () => Promise.reject(new Error('Nothing is sent here.')),
  status: () => Promise.resolve({ state: 'unknown' }),
  price: () => Promise.resolve(null),
  balance: () => Promise.resolve(null),
};

export async function run(): Promise<Figure[]> {
  return [...(await bundleFigures()), ...(await replayFigures()), ...(await lifeFigures())];
}

async function bundleFigures(): Promise<Figure[]> {
  const cluster = await testCluster();
  const database = await openDatabase({
    url: await cluster.fresh(),
    migrations: gatewayMigrations,
    applicationName: 'bench',
  });
  try {
    await runMigrations(database);
    const sample = await fill(database);
    const sealed = await seal(database);
    const peer = await peerItemsPerSecond(sample);
    return [
      {
        ...atLeast(AREA, 'bundle.items_per_second', sealed.itemsPerSecond, 'items/s', 5000),
        against: 'arbundles bundleAndSignData of the same items, signed and in memory',
        ratio: sealed.itemsPerSecond / peer,
      },
      atMost(AREA, 'bundle.overhead', sealed.overhead, 'x', 1.3, 'the bytes of the items'),
    ];
  } finally {
    await database.destroy();
    await cluster.close();
  }
}

/** Schedules with results, as a gateway has them; gives some of their items. */
async function fill(database: DataSource): Promise<Buffer[]> {
  const author = ethereumSigner(HOLDER_KEY);
  const target = Buffer.alloc(32, 7).toString('base64url');
  const tags = [
    ['Data-Protocol', 'ao'],
    ['Variant', 'ao.TN.1'],
    ['Type', 'Message'],
    ['Action', 'Transfer'],
    ['Recipient', target],
    ['Quantity', '1000000000000'],
  ].map(([name, value]) => ({ name: name ?? '', value: value ?? '' }));
  const messages = await Promise.all(
    Array.from({ length: DISTINCT_MESSAGES }, (_, i) => createItem({ target, tags, data: `${i}` }, author)),
  );
  const module = await createItem({ tags: [{ name: 'Type', value: 'Module' }], data: 'code' }, author);
  await database.query("insert into module (id, format, item) values ($1, 'f', $2)", [module.id, module.raw]);
  const outcome = JSON.stringify({ Messages: [{ Target: target, Tags: tags, Data: '' }], Spawns: [], Output: '' });
  const sample: Buffer[] = [];
  for (let p = 0; p < PROCESSES; p += 1) {
    const process = Buffer.alloc(32, p + 1).toString('base64url');
    const rows: { id: string; item: Buffer; message: (typeof messages)[number] }[] = [];
    let head: ScheduleHead | null = null;
    for (let nonce = 0; nonce < SLOTS_EACH; nonce += 1) {
      const message = messages[nonce % messages.length] as (typeof messages)[number];
      const made: Awaited<ReturnType<typeof assign>> = await assign(
        process,
        message.id,
        head,
        { timestamp: nonce, blockHeight: 0 },
        SCHEDULER,
      );
      head = made.head;
      rows.push({ id: made.item.id, item: made.item.raw, message });
      if (sample.length < PEER_ITEMS) sample.push(made.item.raw, message.raw);
    }
    await database.query(
      `insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp) values ($1, $2, '', $3, $4, '', 0)`,
      [process, module.id, SLOTS_EACH - 1, head?.assignmentId],
    );
    // The message's id is of the slot here, so that one message can be in a schedule many times.
    await database.query(
      `insert into assignment (process, nonce, id, message_id, timestamp, item, message)
       select $1, (n - 1), id, id, 0, item, message from unnest($2::text[], $3::bytea[], $4::bytea[]) with ordinality as e(id, item, message, n)`,
      [process, rows.map((r) => r.id), rows.map((r) => r.item), rows.map((r) => r.message.raw)],
    );
    await database.query(
      'insert into result (process, nonce, message_id, outcome) select $1, (n - 1), id, $3 from unnest($2::text[]) with ordinality as e(id, n)',
      [process, rows.map((r) => r.id), outcome],
    );
    await database.query('insert into progress (process, evaluated) values ($1, $2)', [process, SLOTS_EACH - 1]);
  }
  await database.query('analyze');
  return sample;
}

async function seal(database: DataSource): Promise<{ itemsPerSecond: number; overhead: number }> {
  const store = new SettlementStore(database);
  const { sealer } = new Settler({
    database,
    store,
    signer: SCHEDULER,
    client: new ArweaveClient('http://127.0.0.1:9'),
    source: new ArweaveSource('http://127.0.0.1:9'),
    poster: NOBODY,
    policy: {
      bundleBytes: 8 * 1024 * 1024,
      bundleMs: 0,
      confirmations: 10,
      finalConfirmations: 50,
      dropMs: 60_000,
      checkpointSlots: 10_000,
      indexMs: 0,
      spotCheckMs: 0,
      behindMs: 60_000,
      minBalance: 0n,
      minDays: 0,
    },
  });
  const began = performance.now();
  while (await sealer.seal());
  const seconds = (performance.now() - began) / 1000;
  const bundles = await store.page(null, 10_000);
  const sum = (pick: (b: (typeof bundles)[number]) => number): number => bundles.reduce((all, b) => all + pick(b), 0);
  const items = sum((b) => b.items);
  if (items !== 2 * PROCESSES * SLOTS_EACH + 1) throw new Error(`${items} items were sealed.`);
  return { itemsPerSecond: items / seconds, overhead: sum((b) => b.bytes) / sum((b) => b.itemBytes) };
}

async function peerItemsPerSecond(items: readonly Buffer[]): Promise<number> {
  const signer = new EthereumSigner(HOLDER_KEY.slice(2));
  const rates: number[] = [];
  for (let turn = 0; turn < PEER_RUNS; turn += 1) {
    const theirs = items.map((raw) => new DataItem(raw));
    // Told so that it sees that they are signed: else it would sign them anew, which takes far longer than bundling.
    for (const item of theirs) await item.setSignature(item.rawSignature);
    const began = performance.now();
    const bundle = await bundleAndSignData(theirs, signer);
    const ids = bundle.items.length;
    rates.push(ids / ((performance.now() - began) / 1000));
  }
  return median(rates);
}
