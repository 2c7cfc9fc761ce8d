/** COPY as it is written here: what goes in comes out, and what the database refuses is refused whole. */
import { randomBytes } from 'node:crypto';
import { DataSource } from 'typeorm';
import { copyInto, CopyRows } from './copy.js';
import { testCluster, type TestCluster } from './test-database.js';

let cluster: TestCluster;
let database: DataSource;

beforeAll(async () => {
  cluster = await testCluster();
  database = await new DataSource({ type: 'postgres', url: await cluster.fresh() }).initialize();
  await database.query('create table kept (id text primary key, number bigint, flag boolean, bytes bytea, words text)');
});
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});

it('rows come out as they went in, also more than the first room holds, and the connection goes on', async () => {
  const large = randomBytes(700_000);
  const rows = new CopyRows();
  for (let i = 0; i < 5; i += 1)
    rows
      .row(5)
      .text(`ü${i}`)
      .bigint(-(2 ** 40) + i)
      .boolean(i % 2 === 0)
      .raw(large)
      .raw(Buffer.from('„Wort“'));
  const runner = database.createQueryRunner();
  await copyInto(runner, 'kept', ['id', 'number', 'flag', 'bytes', 'words'], rows);
  await copyInto(runner, 'kept', ['id'], new CopyRows());
  await copyInto(runner, 'kept', ['id', 'number'], new CopyRows().row(2).text('last').bigint(7));
  const [{ bytes, ...rest }] = (await runner.query('select * from kept order by number limit 1')) as [
    { bytes: Buffer },
  ];
  expect(bytes.equals(large)).toBe(true);
  expect(rest).toEqual({ id: 'ü0', number: String(-(2 ** 40)), flag: true, words: '„Wort“' });
  expect(await runner.query('select count(*)::int as n from kept')).toEqual([{ n: 6 }]);
  await runner.release();
});

it('what the database refuses is refused whole, and the connection goes on', async () => {
  const runner = database.createQueryRunner();
  const twice = new CopyRows().row(1).text('new').row(1).text('last');
  await expect(copyInto(runner, 'kept', ['id'], twice)).rejects.toThrow(/kept_pkey/);
  const nul = new CopyRows().row(1).text('a\0b');
  await expect(copyInto(runner, 'kept', ['id'], nul)).rejects.toThrow(/invalid byte sequence/);
  await expect(copyInto(runner, 'nothing', ['id'], new CopyRows().row(1).text('x'))).rejects.toThrow(/nothing/);
  expect(await runner.query(`select count(*)::int as n from kept where id = 'new'`)).toEqual([{ n: 0 }]);
  await runner.release();
});
