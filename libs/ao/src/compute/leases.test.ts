/** Leases between gateways of which one stands still in the middle of what it does: it holds up its own process, for a while, and nobody else's. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, projectRoot, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { Leases, type Lease } from './leases.js';

const quiet = { placed: () => undefined, stored: () => undefined, lost: () => undefined, failed: () => undefined };
/** Far above what a look takes: the one who stands still must still be there then. */
const IDLE_MS = 1500;
const LEASE_MS = 300;

let cluster: TestCluster;
let url: string;
let database: DataSource;
let leases: Leases;

beforeAll(async () => {
  cluster = await testCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  url = await cluster.fresh(gatewayMigrations);
  database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'test' });
  leases = new Leases(database, quiet);
});
afterEach(async () => {
  await leases.stop();
  await database.destroy();
});

/** Processes as far as leases look at them. */
const processes = (...ids: string[]) =>
  database.query(
    `with m as (insert into module (id, format, item) values ('m', 'f', ''))
     insert into process (id, item, module, nonce, assignment_id, hash_chain, timestamp)
     select id, '', 'm', 0, 'a', 'h', 0 from unnest($1::text[]) as id`,
    [ids],
  );
/** Asks again until the lease is to be had. */
async function taken(process: string): Promise<Lease> {
  let lease: Lease | null = null;
  await until(async () => (lease = await leases.acquire(process)) !== null);
  return lease as unknown as Lease;
}
async function until(so: () => Promise<boolean>): Promise<void> {
  while (!(await so())) await new Promise((resolve) => setTimeout(resolve, 20));
}

it('I13 X5 a gateway that stands still in a transaction keeps its own process only, until the database ends its session', async () => {
  await processes('held', 'given', 'new');
  const hung = await openDatabase({ url, migrations: [], applicationName: 'hung', idleInTransactionMs: IDLE_MS });
  const others = new Leases(hung, quiet);
  const [held, given] = [await others.acquire('held'), await others.acquire('given')];
  await others.stop(); // its leases are free: what is left of it is the transaction
  await leases.start(); // nothing is left to do then but to ask
  const runner = hung.createQueryRunner();
  await runner.startTransaction();
  await runner.query('update progress set evaluated = 0 where process = $1', ['held']);
  const all = await Promise.all(['held', 'given', 'new'].map((process) => leases.acquire(process)));
  expect(all.map((lease) => lease?.token ?? null)).toEqual([null, String(Number(given?.token) + 1), '1']);
  expect(await taken('held')).toEqual({ process: 'held', token: String(Number(held?.token) + 1), evaluated: -1 });
  await expect(runner.query('select 1')).rejects.toThrow();
  await runner.release();
  await hung.destroy();
});

it('X5 who waits for what another begins gives up, and asks again', async () => {
  await processes('begun', 'new');
  const runner = database.createQueryRunner();
  await runner.startTransaction();
  await runner.query(`insert into progress (process) values ('begun')`);
  await expect(leases.acquire('begun')).rejects.toThrow('lock timeout');
  expect(await leases.acquire('new')).toMatchObject({ process: 'new' });
  await runner.rollbackTransaction();
  await runner.release();
  expect(await leases.acquire('begun')).toMatchObject({ process: 'begun', token: '1' });
});

it('X5 who could not say in time that it lives leaves nothing behind that says so', async () => {
  let [lost, failed] = [0, 0];
  const events = { ...quiet, lost: () => (lost += 1), failed: () => (failed += 1) };
  const late = new Leases(database, events, { leaseMs: 60_000, beatMs: 10 });
  await late.start();
  const holders = async () =>
    (await database.query<{ id: number }[]>('select id from compute_holder')).map((h) => h.id);
  const first = await holders();
  expect(first).toHaveLength(1);
  await database.query('alter table compute_holder rename to elsewhere');
  await until(() => Promise.resolve(lost > 0 && failed > 0));
  await database.query('alter table elsewhere rename to compute_holder');
  // Of this database: others of the server have holders as well.
  const alive = async () =>
    (
      await database.query(
        `select 1 from pg_locks l join pg_database d on d.oid = l.database
         where locktype = 'advisory' and granted and d.datname = current_database()`,
      )
    ).length;
  // another number than the first, which the second may have swept away by now
  await until(async () => (await holders()).some((id) => !first.includes(id)));
  await until(async () => (await alive()) <= 1);
  expect([await alive(), lost]).toEqual([1, 1]);
  await late.stop();
  await until(async () => (await alive()) === 0);
});

describe('a gateway in a process of its own', () => {
  let child: ChildProcess;
  afterEach(() => child.kill('SIGKILL'));

  /** Holds two leases, and stands in the middle of storing results of the first. */
  const CHILD = `
    const [root, url] = process.argv.slice(1);
    const { openDatabase } = await import(root + '/dist/libs/store/src/index.js');
    const { Leases } = await import(root + '/dist/libs/ao/src/compute/leases.js');
    const { ResultWriter } = await import(root + '/dist/libs/ao/src/compute/result-writer.js');
    const database = await openDatabase({ url, migrations: [], applicationName: 'child', idleInTransactionMs: ${IDLE_MS} });
    const none = () => undefined;
    const leases = new Leases(database, { placed: none, stored: none, lost: none, failed: none }, { leaseMs: ${LEASE_MS}, beatMs: 100 });
    const [held] = [await leases.acquire('held'), await leases.acquire('other')];
    const writer = new ResultWriter(database, [{ take: () => (process.stdout.write('storing'), new Promise(none)) }]);
    const result = { Messages: [], Spawns: [], Assignments: [], Output: '' };
    const entry = { process: 'held', nonce: 0, message: { id: 'm' } };
    await writer.store(held, -1, { process: 'held', module: 'm', results: [{ entry, result }] });`;

  it('I13 X3 X5 one stopped while it stores gives all its processes up, and what it stored half is nothing', async () => {
    await processes('held', 'other', 'new');
    child = spawn(process.execPath, ['--input-type=module', '-e', CHILD, projectRoot(), url], { stdio: 'pipe' });
    await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data');
    child.kill('SIGSTOP');
    expect(await leases.acquire('new')).toMatchObject({ token: '1' });
    expect(await taken('other')).toMatchObject({ token: '2' });
    expect(await taken('held')).toMatchObject({ token: '2', evaluated: -1 });
    expect(await database.query('select 1 from result')).toEqual([]);
  });
});
