/** Public state: what patches say, merged into the same leaves whatever the batches, read exactly and within bounds. */
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import fc from 'fast-check';
import type { DataSource } from 'typeorm';
import type { EvaluationResult, ScheduleEntry } from '../types.js';
import { MAX_LEAVES_OF_MESSAGE, patchesOf, readPath, UNSET, writePath, type Change } from './patch.js';
import { PublicState } from './public-state.js';

type Table = Record<string, unknown>;

const resultOf = (...patches: Table[]): EvaluationResult => ({
  Messages: patches.map((patch) => ({
    Anchor: '',
    Data: '',
    Tags: Object.entries({ device: 'patch@1.0', ...patch }).map(([name, value]) => ({
      name,
      value: typeof value === 'string' ? value : JSON.stringify(value),
    })),
  })),
  Spawns: [],
  Assignments: [],
  Output: '',
});
const changes = (patch: Table): Change[] => {
  const patched = patchesOf(resultOf(patch));
  if (!patched || patched.refused !== null) throw new Error(patched?.refused ?? 'no patch');
  return patched.changes;
};

describe('what a patch says', () => {
  it('tables become paths; lists, and what is empty, are values; null and the word for it take away', () => {
    expect(
      changes({ totalsupply: '5', balances: { a: '1', b: { c: 2 } }, list: ['x', { y: 1 }], none: {}, nil: [] }),
    ).toEqual([
      { path: ['totalsupply'], value: '"5"' },
      { path: ['balances', 'a'], value: '"1"' },
      { path: ['balances', 'b', 'c'], value: '2' },
      { path: ['list'], value: '["x",{"y":1}]' },
      { path: ['none'], value: '{}' },
      { path: ['nil'], value: '{}' },
    ]);
    expect(changes({ a: UNSET, b: { c: null, d: UNSET } })).toEqual([
      { path: ['a'], value: null },
      { path: ['b', 'c'], value: null },
      { path: ['b', 'd'], value: null },
    ]);
    expect(changes({ text: '{not json', more: '[1' })).toHaveLength(2);
  });

  it('only messages without a target and with the device are patches, and only of results that did not fail', () => {
    const result = resultOf({ a: '1' });
    expect(patchesOf(result)?.changes).toHaveLength(1);
    expect(patchesOf({ ...result, Error: 'no' })).toBeNull();
    expect(patchesOf({ ...result, Messages: result.Messages.map((m) => ({ ...m, Target: 'x' })) })).toBeNull();
    expect(patchesOf(resultOf({ a: '1', device: 'patch@2.0' }))).toBeNull();
    expect(changes({ device: 'x', Method: 'PATCH', a: '1' })).toEqual([{ path: ['a'], value: '"1"' }]);
    const named = { Type: 'Message', Variant: 'x', Reference: '7', 'Data-Protocol': 'ao', Device: 'patch@1.0' };
    expect(changes({ ...named, type: 'kept' })).toEqual([{ path: ['type'], value: '"kept"' }]);
  });

  it.each<[string, Table]>([
    ['too deep', { a: JSON.parse(`${'{"k":'.repeat(20)}1${'}'.repeat(20)}`) as unknown }],
    ['a list too deep', { a: `${'['.repeat(100_000)}${']'.repeat(100_000)}` }],
    ['a path too long', { a: { ['é'.repeat(400)]: 1 } }],
    ['a value too long', { a: { b: 'x'.repeat(70_000) } }],
    ['a key of nothing', { a: { '': 1 } }],
    ['too many', { a: Object.fromEntries(Array.from({ length: MAX_LEAVES_OF_MESSAGE + 1 }, (_, i) => [`k${i}`, 1])) }],
  ])('A16 %s is refused whole, and says why', (_, patch) => {
    expect(patchesOf(resultOf({ fine: '1', ...patch }, { next: '1' }))).toEqual({
      changes: [{ path: ['next'], value: '"1"' }],
      refused: expect.any(String),
    });
  });

  it('a path may hold anything and comes back exactly', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, unit: 'binary' }), { minLength: 1, maxLength: 5 }), (path) => {
        expect(readPath(writePath(path))).toEqual(path);
        expect(writePath(path)).toMatch(/^[\x21-\x7e]+$/);
      }),
    );
  });
});

describe('stored', () => {
  let cluster: TestCluster;
  let database: DataSource;
  let count = 0;
  beforeAll(async () => {
    cluster = await testCluster();
    database = await openDatabase({
      url: await cluster.fresh(),
      migrations: gatewayMigrations,
      applicationName: 'test',
    });
    await runMigrations(database);
    await database.query("insert into module (id, format, item) values ('m', 'f', '')");
  });
  afterAll(async () => {
    await database.destroy();
    await cluster.close();
  });

  const state = () => new PublicState(database);
  async function newProcess(): Promise<string> {
    const id = `p${(count += 1)}`;
    await database.query(
      "insert into process (id, module, item, nonce, assignment_id, hash_chain, timestamp) values ($1, 'm', '', 9, '', '', 0)",
      [id],
    );
    await database.query('insert into progress (process, evaluated) values ($1, 9)', [id]);
    return id;
  }
  const take = (to: PublicState, process: string, from: number, results: readonly EvaluationResult[]) =>
    database.transaction((manager) =>
      to.take(manager, [
        {
          process,
          module: 'm',
          results: results.map((result, i) => ({ entry: { nonce: from + i } as ScheduleEntry, result })),
        },
      ]),
    );
  const whole = async (process: string) => {
    const answer = await state().read(process, []);
    return answer?.kind === 'table' ? (JSON.parse(answer.json) as unknown) : answer?.kind;
  };
  const rows = (process: string) =>
    database.query('select path, value, nonce from process_state where process = $1 order by path', [process]);
  const size = async (process: string) =>
    (
      (await database.query(
        `select leaves::int = (select count(*) from process_state where process = $1) and
                bytes = (select coalesce(sum(octet_length(path) + octet_length(value)), 0) from process_state where process = $1) as right
         from process_state_size where process = $1`,
        [process],
      )) as { right: boolean }[]
    )[0]?.right;

  /** What tables merged by hand come to: the reference the database is held against. */
  function merge(into: Map<string, unknown>, patch: Table): void {
    for (const [key, value] of Object.entries(patch)) {
      const before = into.get(key);
      if (value === null || value === UNSET) into.delete(key);
      else if (typeof value === 'object' && Object.keys(value).length > 0) {
        const below = before instanceof Map ? (before as Map<string, unknown>) : new Map<string, unknown>();
        const wasValue = before !== undefined && !(before instanceof Map);
        merge(below, value as Table);
        // A patch that only takes away below a value leaves the value.
        if (below.size > 0 || !wasValue) into.set(key, below);
        if (below.size === 0 && !wasValue) into.delete(key);
      } else into.set(key, typeof value === 'object' ? {} : value);
    }
  }
  const plain = (map: Map<string, unknown>): Table =>
    Object.fromEntries([...map].map(([k, v]) => [k, v instanceof Map ? plain(v as Map<string, unknown>) : v]));

  const key = fc.constantFrom('a', 'b', 'a/b', 'a!', '__proto__', '0', 'é');
  const { table } = fc.letrec<{ table: Table; value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom<unknown>('x', 1, true, '', UNSET, null, {}),
      tie('table'),
    ),
    table: fc
      .uniqueArray(fc.tuple(key, tie('value')), { selector: ([k]) => k, minLength: 1, maxLength: 4 })
      .map(
        (entries) =>
          JSON.parse(`{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join()}}`) as Table,
      ),
  }));

  it('I11 the same leaves whatever the batches, and those a merge by hand gives', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(table, { minLength: 1, maxLength: 6 }), fc.nat(5), async (patches, cut) => {
        const results = patches.map((patch) => resultOf({ s: patch }));
        const [one, two, many] = [await newProcess(), await newProcess(), await newProcess()];
        await take(state(), one, 0, results);
        await take(state(), two, 0, results.slice(0, cut));
        await take(state(), two, cut, results.slice(cut));
        for (const [i, result] of results.entries()) await take(state(), many, i, [result]);
        expect(await rows(two)).toEqual(await rows(one));
        expect(await rows(many)).toEqual(await rows(one));
        expect([await size(one), await size(two), await size(many)]).not.toContain(false);
        const expected = new Map<string, unknown>();
        for (const patch of patches) merge(expected, { s: patch });
        const shown = await whole(one);
        expect(JSON.stringify(sorted(shown === 'nothing' ? {} : shown))).toBe(JSON.stringify(sorted(plain(expected))));
      }),
      { numRuns: 60 },
    );
  });

  it('sizes are written when they change, and only then', async () => {
    const process = await newProcess();
    const written = async (): Promise<unknown> =>
      database.query('select xmin::text, bytes from process_state_size where process = $1', [process]);
    await take(state(), process, 0, [resultOf({ balance: '10' })]);
    const first = await written();
    await take(state(), process, 1, [resultOf({ balance: '20' })]);
    expect(await whole(process)).toEqual({ balance: '20' });
    expect(await written()).toEqual(first);
    await take(state(), process, 2, [resultOf({ balance: '100' })]);
    expect(await written()).not.toEqual(first);
    expect(await size(process)).toBe(true);
  });

  it('several processes of one transaction stay apart', async () => {
    const [one, two] = [await newProcess(), await newProcess()];
    const batch = (process: string, ...patches: Table[]) => ({
      process,
      module: 'm',
      results: patches.map((patch, i) => ({ entry: { nonce: i } as ScheduleEntry, result: resultOf(patch) })),
    });
    const tight = new PublicState(database, { leaves: 2, bytes: 1000 });
    await database.transaction((m) =>
      tight.take(m, [batch(one, { a: { b: '1' } }), batch(two, { a: { b: '2' }, c: '2' })]),
    );
    await database.transaction((m) => tight.take(m, [batch(one, { a: '3' }), batch(two, { d: '4' }, { c: UNSET })]));
    expect([await whole(one), await whole(two)]).toEqual([{ a: '3' }, { a: { b: '2' } }]);
    expect([await size(one), await size(two)]).toEqual([true, true]);
    expect((await tight.read(one, ['x']))?.incomplete).toBeNull();
    expect((await tight.read(two, ['x']))?.incomplete).toMatchObject({ nonce: 0 });
  });

  it('I11 what is refused at the bounds does not depend on the batches either', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(table, { minLength: 2, maxLength: 8 }), fc.nat(7), async (patches, cut) => {
        const results = patches.map((patch) => resultOf({ s: patch }));
        const tight = new PublicState(database, { leaves: 4, bytes: 60 });
        const [one, two, many] = [await newProcess(), await newProcess(), await newProcess()];
        await take(tight, one, 0, results);
        await take(tight, two, 0, results.slice(0, cut));
        await take(tight, two, cut, results.slice(cut));
        for (const [i, result] of results.entries()) await take(tight, many, i, [result]);
        expect(await rows(two)).toEqual(await rows(one));
        expect(await rows(many)).toEqual(await rows(one));
        expect([await size(one), await size(two), await size(many)]).not.toContain(false);
      }),
      { numRuns: 40 },
    );
  });

  it('A16 keys of objects, slashes, NUL and half characters are keys like others, and stay apart', async () => {
    const process = await newProcess();
    const text =
      '{"__proto__":{"x":"1"},"constructor":{"prototype":"2"},"a/b":"3","a":{"b":"4"},"n\\u0000":"v\\u0000","\\ud800":"\\udfff","..":"5","%2f":"6"}';
    await take(state(), process, 0, [resultOf({ s: text })]);
    const at = async (...path: string[]) => {
      const answer = await state().read(process, path);
      return answer?.kind === 'value' ? (JSON.parse(answer.json) as unknown) : answer?.kind;
    };
    expect(await at('s', '__proto__', 'x')).toBe('1');
    expect(await at('s', 'constructor', 'prototype')).toBe('2');
    expect([await at('s', 'a/b'), await at('s', 'a', 'b')]).toEqual(['3', '4']);
    expect(await at('s', 'n\0')).toBe('v\0');
    expect(await at('s', '�')).toBe('�');
    expect([await at('s', '..'), await at('s', '%2f')]).toEqual(['5', '6']);
    expect(await at('s', 'toString')).toBe('nothing');
    expect(({} as Table)['x']).toBeUndefined();
    const answer = await state().read(process, []);
    expect(answer?.kind === 'table' && Object.keys((JSON.parse(answer.json) as { s: Table }).s)).toContain('__proto__');
  });

  it('a table is read in pages, whole only when it is small, and a list by number', async () => {
    const process = await newProcess();
    const balances = Object.fromEntries(
      Array.from({ length: 6001 }, (_, i) => [`k${String(i).padStart(5, '0')}`, String(i)]),
    );
    await take(state(), process, 4, [resultOf({ balances, list: ['x', { y: 2 }], z: '1' })]);
    expect((await state().read(process, ['balances']))?.kind).toBe('too-large');
    expect(await state().read(process, ['balances', 'k00007'])).toEqual({
      slot: 9,
      incomplete: null,
      kind: 'value',
      json: '"7"',
    });
    const all: Table = {};
    let after: string | undefined;
    let pages = 0;
    do {
      const page = await state().read(process, ['balances'], { limit: 1000, after });
      if (page?.kind !== 'table') throw new Error(page?.kind);
      Object.assign(all, JSON.parse(page.json));
      after = page.next ?? undefined;
      pages += 1;
    } while (after !== undefined);
    expect([all, pages]).toEqual([balances, 7]);
    const at = async (...path: string[]) => {
      const answer = await state().read(process, path);
      return answer?.kind === 'value' ? (JSON.parse(answer.json) as unknown) : answer?.kind;
    };
    expect([
      await at('list', '1'),
      await at('list', '2', 'y'),
      await at('list', '3'),
      await at('list', 'length'),
    ]).toEqual(['x', 2, 'nothing', 'nothing']);
    expect(await at('z', 'charAt')).toBe('nothing');
    expect(await state().read('nobody', [])).toBeNull();
  });

  it('A16 what is beyond the bounds is refused and told; what was there goes on being changed', async () => {
    const process = await newProcess();
    const small = new PublicState(database, { leaves: 3, bytes: 1000 });
    await take(small, process, 0, [resultOf({ a: '1', b: '1' }), resultOf({ c: '1', d: '1' })]);
    await take(small, process, 2, [resultOf({ a: '2', e: '1' })]);
    expect(await whole(process)).toEqual({ a: '2', b: '1', c: '1' });
    expect((await small.read(process, ['e']))?.incomplete).toEqual({
      nonce: 2,
      reason: expect.stringContaining('3 values'),
    });
    await take(small, process, 3, [resultOf({ a: UNSET }), resultOf({ f: 'x'.repeat(2000) }), resultOf({ f: 'y' })]);
    expect(await whole(process)).toEqual({ b: '1', c: '1', f: 'y' });
    await take(small, process, 6, [resultOf({ f: 'x'.repeat(2000) }), resultOf({ g: { '': 1 } })]);
    expect(await whole(process)).toEqual({ b: '1', c: '1', f: 'y' });
    expect(await size(process)).toBe(true);
    const fine = await newProcess();
    await take(small, fine, 0, [resultOf({ a: '1' })]);
    expect((await small.read(fine, ['a']))?.incomplete).toBeNull();
  });
});

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => [k, sorted(v)]);
}
