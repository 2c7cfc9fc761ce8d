/** What a guardian's ledger keeps of a schedule: each message once, and read back in pages that fit into memory. */
import {
  arweaveSigner,
  assign,
  createItem,
  ed25519Signer,
  ethereumSigner,
  type ScheduleEntry,
  type ScheduleHead,
} from '@isthmus/ao';
import { guardianMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, testWallet, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { Ledger } from './ledger.js';

const PROCESS = 'P'.repeat(42) + 'A';
const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);

let cluster: TestCluster;
let database: DataSource;
let ledger: Ledger;

beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  const url = await cluster.fresh();
  database = await openDatabase({ url, migrations: guardianMigrations, applicationName: 'test' });
  await runMigrations(database);
  ledger = new Ledger(database);
});
afterEach(() => database.destroy());

/** Entries of a schedule with messages of these sizes. */
async function schedule(sizes: readonly number[], signer = ALICE): Promise<ScheduleEntry[]> {
  const entries: ScheduleEntry[] = [];
  let head: ScheduleHead | null = null;
  for (const [nonce, size] of sizes.entries()) {
    const anchor = String(nonce).padStart(32, '0');
    const message = await createItem({ target: PROCESS, anchor, tags: [], data: Buffer.alloc(size) }, signer);
    const assigned = await assign(PROCESS, message.id, head, { timestamp: nonce, blockHeight: 0 }, SCHEDULER);
    head = assigned.head;
    entries.push({ process: PROCESS, nonce, assignment: assigned.item, message });
  }
  return entries;
}

it('I13 A6 large messages come in pages that fit into memory, one at least, none left out', async () => {
  const MIB = 1024 * 1024;
  const entries = await schedule([0, ...Array.from({ length: 9 }, () => 9 * MIB), 10]);
  for (const entry of entries) await ledger.append(PROCESS, [entry]);
  const lengths: number[] = [];
  for (let at = 0; at < entries.length;) {
    const page = await ledger.entries(PROCESS, at, 500);
    expect(page.map((e) => e.nonce)).toEqual(page.map((_, i) => at + i));
    expect(page.length === 1 || page.reduce((n, e) => n + e.message.raw.length, 0) <= 32 * MIB).toBe(true);
    lengths.push(page.length);
    at += page.length;
  }
  expect(lengths).toEqual([4, 3, 4]);
  expect(await ledger.entries(PROCESS, entries.length, 500)).toEqual([]);
});

it('A6 knows every message it has accepted, and takes none twice', async () => {
  const entries = await schedule([0, 1, 2]);
  await ledger.append(PROCESS, entries);
  const ids = entries.map((e) => e.message.id);
  expect(await ledger.has(PROCESS, [...ids, 'other'])).toEqual(new Set(ids));
  expect(await ledger.has('other', ids)).toEqual(new Set());
  const [, again] = entries as [ScheduleEntry, ScheduleEntry];
  await expect(ledger.append(PROCESS, [{ ...again, nonce: 3 }])).rejects.toThrow(/schedule_entry_message/);
});

it('A6 messages accepted before that was known are known too, of each kind of signer', async () => {
  const kinds = await Promise.all(
    [ALICE, SCHEDULER, arweaveSigner(testWallet())].map((signer) => schedule([3], signer)),
  );
  const entries = kinds.map(([entry], nonce) => ({ ...(entry as ScheduleEntry), nonce }));
  await ledger.append(PROCESS, entries);
  // Back to before each message was kept by its id.
  const isLater = async (): Promise<boolean> =>
    (await database.query("select 1 from migrations where name = 'MessageOnce1700000000300'")).length > 0;
  while (await isLater()) await database.undoLastMigration();
  await runMigrations(database);
  const ids = entries.map((e) => e.message.id);
  expect(await ledger.has(PROCESS, ids)).toEqual(new Set(ids));
});
