/** Databases for tests: each of its own, as its migrations leave one, and gone with the file that asked. */
import pg from 'pg';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { Databases } from './databases.js';
import { testCluster } from './test-database.js';

class Kept1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create table kept (id int primary key)');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table kept');
  }
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

it('every database is one of its own, also when several are asked for at once and none was migrated before', async () => {
  const cluster = await testCluster();
  const urls = await Promise.all([1, 2, 3].map(() => cluster.fresh([Kept1700000000000])));
  for (const url of urls) await query(url, 'insert into kept values (1)'); // a second 1 would be refused
  expect(new Set(urls).size).toBe(3);
  expect(await query(await cluster.fresh([Kept1700000000000]), 'select * from kept')).toEqual([]);
  await expect(query(await cluster.fresh(), 'select * from kept')).rejects.toThrow(/"kept" does not exist/);
  await cluster.close();
});

it('they are dropped at the end, whoever is connected; those of others stay', async () => {
  const [mine, other] = await Promise.all([testCluster(), testCluster()]);
  const [url, stays] = await Promise.all([mine.fresh(), other.fresh()]);
  const client = new pg.Client({ connectionString: url });
  const told = new Promise<Error>((resolve) => client.on('error', resolve));
  await client.connect();
  await mine.close();
  expect((await told).message).toMatch(/terminat/);
  await expect(query(url, 'select 1')).rejects.toMatchObject({ code: '3D000' });
  expect(await query(stays, 'select 1 as one')).toEqual([{ one: 1 }]);
  await other.close();
});

it('a name is plain, or refused; one that is taken is not given again', async () => {
  const cluster = await testCluster();
  const databases = new Databases(await cluster.fresh());
  for (const name of ['', 'A', 'x; drop table y', '1x', 'x'.repeat(64)]) {
    await expect(databases.create(name)).rejects.toThrow('plain database name');
    await expect(databases.drop([name])).rejects.toThrow('plain database name');
  }
  const [one, two] = await Promise.all([cluster.fresh(), cluster.fresh()]);
  const nameOf = (url: string) => new URL(url).pathname.slice(1);
  expect(await databases.rename(nameOf(one), nameOf(two))).toBe(false);
  await cluster.close();
});

it('a name that another is just taking is taken: who wants it too is told, when that is so', async () => {
  const cluster = await testCluster();
  const server = await cluster.fresh();
  const nameOf = (url: string) => new URL(url).pathname.slice(1);
  const [one, two] = [nameOf(await cluster.fresh()), nameOf(await cluster.fresh())];
  const first = new pg.Client({ connectionString: server });
  await first.connect();
  await first.query('begin');
  await first.query(`alter database ${one} rename to ${one}_wanted`);
  const second = new Databases(server).rename(two, `${one}_wanted`);
  const waits = `select from pg_stat_activity where wait_event_type = 'Lock' and query like 'alter database ${two} %'`;
  while ((await query(server, waits)).length === 0); // each look is a connection of its own: within one, what is seen stays
  await first.query('commit');
  expect(await second).toBe(false);
  await first.end();
  await new Databases(server).drop([`${one}_wanted`]);
  await cluster.close();
});
