/** Items over HTTP: found by what they are, shown to whoever asks, and refused with a reason when they are none. */
import fc from 'fast-check';
import { getIntrospectionQuery } from 'graphql';
import { testWallet } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { UnitsStage } from '../../harness.js';
import {
  AoPipeline,
  arweaveSigner,
  createItem,
  ed25519Signer,
  ethereumSigner,
  parseItem,
  type Item,
  type Signer,
} from '../index.js';
import { publishLocation } from '../scheduler/location.js';
import { MAX_ITEM_BYTES } from '../items/index.js';
import { answerGraphql } from './graphql.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const BOB = ed25519Signer(Buffer.alloc(32, 4));
const PUBLIC = 'https://gateway.example';

let stage: UnitsStage;
let database: DataSource;
let pipeline: AoPipeline;
let url: string;
let module: Item;
let processes: string[];
let anchor = 0;
let clock = 0;

const tagged = (tags: Record<string, string>) =>
  Object.entries({ 'Data-Protocol': 'ao', ...tags }).map(([name, value]) => ({ name, value }));
const post = (path: string, body: Uint8Array | string) =>
  fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': 'application/octet-stream' } });
const make = (tags: Record<string, string>, signer: Signer = ALICE, target = '', data = 'data') =>
  createItem({ target, anchor: String((anchor += 1)).padStart(32, '0'), tags: tagged(tags), data }, signer);
async function place(tags: Record<string, string>, signer?: Signer, target?: string): Promise<Item> {
  const item = await make(tags, signer, target);
  expect((await post('/mu', item.raw)).status).toBe(202);
  return item;
}

beforeAll(async () => {
  stage = await UnitsStage.open({
    schedulerSigner: SCHEDULER,
    messengerSigner: ed25519Signer(Buffer.alloc(32, 2)),
    publicUrl: PUBLIC,
    now: () => (clock = Math.max(Date.now(), clock + 1)), // no two at once: what came first is known
  });
  ({ database, pipeline, url } = stage);
  module = await make({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }, ALICE, '', 'function handle() end');
  expect((await post('/mu', module.raw)).status).toBe(202);
  const spawn = (Name: string) => place({ Type: 'Process', Module: module.id, Scheduler: SCHEDULER.address, Name });
  processes = [(await spawn('one')).id, (await spawn('two')).id];
});
afterAll(() => stage.close());

interface Answer {
  data?: Record<
    string,
    { pageInfo: { hasNextPage: boolean }; edges: { cursor: string; node: Record<string, unknown> }[] }
  >;
  errors?: { message: string }[];
}
async function ask(query: string, variables: Record<string, unknown> = {}): Promise<Answer> {
  await pipeline.index.settle();
  const answer = await post('/graphql', JSON.stringify({ query, variables }));
  expect(answer.status).toBe(200);
  return (await answer.json()) as Answer;
}
const found = async (arguments_: string): Promise<unknown[]> => {
  const { data, errors } = await ask(`{ transactions(${arguments_}) { edges { node { id } } } }`);
  expect(errors).toBeUndefined();
  return (data?.['transactions']?.edges ?? []).map((e) => e.node['id']);
};

describe('GraphQL', () => {
  it('gives the fields that are asked for, and no others', async () => {
    const said = await place({ Type: 'Message', Action: 'Shown', 'Content-Type': 'text/plain' }, BOB, processes[0]);
    const fields =
      'id anchor recipient signature owner { address key } data { size type } tags { name value } block { height timestamp } fee { winston }';
    const { data } = await ask(`query ($ids: [ID!]!) { transactions(ids: $ids) { edges { node { ${fields} } } } }`, {
      ids: [said.id],
    });
    expect(data?.['transactions']?.edges.map((e) => e.node)).toEqual([
      {
        id: said.id,
        anchor: said.anchor,
        recipient: processes[0],
        signature: said.signature.toString('base64url'),
        owner: { address: BOB.address, key: BOB.publicKey.toString('base64url') },
        data: { size: '4', type: 'text/plain' },
        tags: said.tags,
        block: { height: 0, timestamp: expect.any(Number) },
        fee: { winston: '0' },
      },
    ]);
    const one = await ask(`{ transaction(id: "${module.id}") { owner { address } block { height } } }`);
    expect(one.data).toEqual({ transaction: { owner: { address: expect.stringMatching(/^.{43}$/) }, block: null } });
    expect((await ask(`{ transaction(id: "${'A'.repeat(43)}") { id } }`)).data).toEqual({ transaction: null });
  });

  it('finds modules and processes by their tags, the newest first, and messages by who, to whom and for whom', async () => {
    const [one, two] = processes as [string, string];
    expect(await found('tags: [{ name: "Type", values: ["Process"] }]')).toEqual([two, one]);
    expect(await found('tags: [{ name: "Type", values: ["Process"] }], sort: HEIGHT_ASC')).toEqual([one, two]);
    expect(
      await found('tags: [{ name: "Type", values: ["Process", "Module"] }, { name: "Name", values: ["two"] }]'),
    ).toEqual([two]);
    expect(
      await found(
        'tags: [{ name: "Type", values: ["Module"] }, { name: "Module-Format", values: ["isthmus-lua-5.4"] }]',
      ),
    ).toEqual([module.id]);
    const first = await place({ Type: 'Message', Action: 'A', 'Pushed-For': 'x'.repeat(43) }, BOB, two);
    const second = await place({ Type: 'Message', Action: 'B', 'From-Process': one }, BOB, two);
    expect(await found(`recipients: ["${two}"]`)).toEqual([second.id, first.id]);
    expect(await found(`recipients: ["${two}"], tags: [{ name: "Action", values: ["A"] }]`)).toEqual([first.id]);
    expect(await found(`recipients: ["${two}"], tags: [{ name: "Action", values: ["A"], op: NEQ }]`)).toEqual([
      second.id,
    ]);
    expect(await found(`tags: [{ name: "From-Process", values: ["${one}"] }]`)).toEqual([second.id]);
    expect(
      await found(`tags: [{ name: "Pushed-For", values: ["${'x'.repeat(43)}"] }, { name: "Action", values: ["A"] }]`),
    ).toEqual([first.id]);
    expect(await found('tags: [{ name: "Type", values: ["Message"] }], first: 2')).toEqual([second.id, first.id]);
    expect(await found('tags: [{ name: "Action", values: ["A"] }], sort: HEIGHT_ASC')).toEqual([first.id]);
    expect(await found('tags: [{ name: "Action", values: ["C"] }]')).toEqual([]);
    expect(await found(`owners: ["${BOB.address}"], recipients: ["${two}"], first: 1`)).toEqual([second.id]);
    expect(await found(`owners: ["${ALICE.address}"], recipients: ["${two}"]`)).toEqual([]);
  });

  it('an owner goes by the hash of his key and by his address', async () => {
    const said = await place({ Type: 'Message' }, ALICE, processes[0]);
    const { data } = await ask(`{ transactions(ids: ["${said.id}"]) { edges { node { owner { address } } } } }`);
    const owner = data?.['transactions']?.edges[0]?.node['owner'] as { address: string } | undefined;
    const hash = owner?.address ?? '';
    expect(hash).not.toBe(ALICE.address);
    for (const name of [hash, ALICE.address])
      expect(await found(`owners: ["${name}"], recipients: ["${processes[0]}"], first: 1`)).toEqual([said.id]);
  });

  it('goes on page by page, to the end, without gaps or repeats', async () => {
    const author = ed25519Signer(Buffer.alloc(32, 9));
    const sent: string[] = [];
    for (let i = 0; i < 7; i += 1) sent.push((await place({ Type: 'Message' }, author, processes[i % 2])).id);
    for (const [sort, expected] of [
      ['HEIGHT_DESC', sent.toReversed()],
      ['HEIGHT_ASC', sent],
    ] as const) {
      const pages: unknown[] = [];
      for (let after: string | null = ''; after !== null;) {
        const { data } = await ask(
          `{ transactions(owners: ["${author.address}"], first: 3, sort: ${sort}, after: "${after}") { pageInfo { hasNextPage } edges { cursor node { id } } } }`,
        );
        const page = data?.['transactions'];
        pages.push(...(page?.edges ?? []).map((e) => e.node['id']));
        expect(page?.edges.length).toBeLessThanOrEqual(3);
        after = page?.pageInfo.hasNextPage ? (page.edges.at(-1)?.cursor ?? null) : null;
      }
      expect(pages).toEqual(expected);
    }
    const ids = [...sent, 'unknown'].map((id) => `"${id}"`).join();
    const { data } = await ask(
      `{ transactions(ids: [${ids}], first: 5) { pageInfo { hasNextPage } edges { cursor } } }`,
    );
    expect(data?.['transactions']?.pageInfo.hasNextPage).toBe(true);
    expect(await found(`ids: [${ids}], first: 5, after: "${data?.['transactions']?.edges.at(-1)?.cursor}"`)).toEqual(
      sent.slice(5),
    );
  });

  it('what is only assigned is found once, and an index that begins again finds no more and no less', async () => {
    const said = await place({ Type: 'Message' }, BOB, processes[0]);
    expect((await post(`/su?process-id=${processes[1]}&assign=${said.id}`, '')).status).toBe(200);
    const all = `owners: ["${BOB.address}"], first: 100`;
    const before = await found(all);
    expect(before.filter((id) => id === said.id)).toHaveLength(1);
    await database.query('truncate index_progress, item_key, indexed_item');
    const again = new AoPipeline({
      database,
      schedulerSigner: SCHEDULER,
      messengerSigner: SCHEDULER,
      workers: 1,
      onFailure: () => undefined,
    });
    await again.index.settle();
    expect(new Set(await found(all))).toEqual(new Set(before));
    expect(await found('tags: [{ name: "Type", values: ["Module", "Scheduler-Location"] }]')).toHaveLength(2);
    await again.stop();
  });

  it('X14 refuses what would cost too much, or would find only some of what there is', async () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => `"${i}"`).join();
    const refused = async (query: string) => (await ask(query)).errors?.[0]?.message;
    expect(await refused(`{ transactions(ids: [${many(101)}]) { edges { cursor } } }`)).toMatch(/At most 100 ids/);
    expect(await refused(`{ transactions(owners: [${many(21)}]) { edges { cursor } } }`)).toMatch(/At most 20 values/);
    const rare = '{ transactions(tags: [{ name: "Action", values: ["A"] }]) { edges { cursor } } }';
    expect(await refused(rare)).toBeUndefined();
    // As many newer items as one request looks at, none of which is asked for.
    await database.query("insert into indexed_item (id) select 'filler' from generate_series(1, 1000)");
    expect(await refused(rare)).toMatch(/^Fewer than 10 of the 1000 items looked at/);
    await database.query("delete from indexed_item where id = 'filler'");
    expect(await refused(`{ transactions(owners: ["x"], after: "nonsense") { edges { cursor } } }`)).toMatch(
      /no cursor/,
    );
    for (const broken of [
      '{ blocks { id } }',
      '{ transactions(ids: [',
      '{ transactions(ids: {a: 1}) { edges { cursor } } }',
      '{ transactions(owners: ["x"]) }',
      `{ ${'transactions { edges { node { id } } } '.repeat(400)} }`,
      `{ transactions(owners: ["x"]) { edges { node { ${'id '.repeat(4000)} } } } }`,
      '{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } }',
    ]) {
      const answer = await post('/graphql', JSON.stringify({ query: broken }));
      expect([broken.slice(0, 60), answer.status]).toEqual([broken.slice(0, 60), 400]);
      const { errors, ...rest } = (await answer.json()) as { errors: unknown[] };
      expect([rest, errors.length > 0]).toEqual([{}, true]);
      for (const error of errors) expect(error).toMatchObject({ message: expect.any(String) });
    }
    for (const body of ['', '{', '[]', '{"query":1}']) {
      const answer = await post('/graphql', body);
      expect([body, answer.status, await answer.json()]).toEqual([
        body,
        400,
        { errors: [{ message: expect.any(String) }] },
      ]);
    }
  });

  it('what is wrong with a document is said with its place, as GraphQL has it', async () => {
    const wrong = async (query: string) =>
      ((await (await post('/graphql', JSON.stringify({ query }))).json()) as Answer).errors;
    expect(await wrong('{ transactions(owners: ["x"]) { count } }')).toMatchObject([
      { message: expect.stringContaining('Cannot query field "count"') },
    ]);
    expect(await wrong('{ transactions(')).toMatchObject([
      { message: expect.stringContaining('Syntax Error'), locations: [{ line: 1, column: 16 }] },
    ]);
  });

  it('a search in the URL is answered as one in a body is', async () => {
    const get = (asked: Record<string, string>) => fetch(`${url}/graphql?${new URLSearchParams(asked).toString()}`);
    const query = 'query ($ids: [ID!]) { transactions(ids: $ids) { edges { node { id } } } }';
    const answer = await get({ query, variables: JSON.stringify({ ids: [processes[0]] }) });
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { data: { transactions: { edges: [{ node: { id: processes[0] } }] } } },
    ]);
    for (const bad of [{}, { query: '{ nothing }' }, { query, variables: '{' }, { query, variables: '7' }]) {
      const refused = await get(bad as Record<string, string>);
      expect([refused.status, await refused.json()]).toEqual([
        400,
        { errors: expect.arrayContaining([expect.anything()]) },
      ]);
    }
  });
});

it.each(['/GraphQL', '/graphql/', '/mu/', '/MU', '/Su', '/su/', '/cu/Dry-Run', '/cu/dry-run/'])(
  'X14 %s reads its body as the route it is, bounded',
  async (path) => {
    const item = await make({ Type: 'Message' }, BOB, processes[0]);
    const own = /graphql/i.test(path) ? JSON.stringify({ query: '{ __typename }' }) : item.raw;
    const dry = /cu/.test(path);
    const asked = dry ? `${path}?process-id=${processes[0]}` : path;
    const answer = await post(asked, dry ? JSON.stringify({ Tags: [] }) : own);
    expect([path, answer.ok]).toEqual([path, true]);
    const large = await post(asked, Buffer.alloc(MAX_ITEM_BYTES + 1, 32));
    expect([path, large.status]).toEqual([path, 413]);
  },
);

describe('X14 GraphQL whose answer is far longer than its question', () => {
  const BYTES = 4 * 1024 * 1024;
  const times = (n: number, one: (i: number) => string): string =>
    Array.from({ length: n }, (_, i) => one(i)).join(' ');
  const search = (fields: string, more = '') => `transactions(owners: ["x"]${more}) { edges { node { ${fields} } } }`;
  const refused = async (query: string, variables: object = {}) => {
    const answer = await post('/graphql', JSON.stringify({ query, variables }));
    return [answer.status, ((await answer.json()) as { errors?: { message: string }[] }).errors?.[0]?.message];
  };

  it.each([
    [
      'aliases',
      `{ ${search(
        times(60, (i) => `t${i}: tags { name }`),
        ', first: 100',
      )} }`,
      /may come to \d+ values/,
    ],
    [
      'fragments in fragments',
      `{ transactions(owners: ["x"], first: 2) { ${times(40, (i) => `e${i}: edges { ...E }`)} } }
       fragment E on TransactionEdge { ${times(40, (i) => `n${i}: node { ...N }`)} }
       fragment N on Transaction { ${times(40, (i) => `o${i}: owner { key }`)} }`,
      /may come to \d+ values/,
    ],
    [
      'fragments at the top',
      `{ ...Q } fragment Q on Query { ${times(6, (i) => `a${i}: transaction(id: "x") { id }`)} }`,
      /5 searches/,
    ],
    ['searches', `{ ${times(6, (i) => `a${i}: transaction(id: "x") { id }`)} }`, /5 searches/],
    ['a circle', '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }', /inside itself/],
    ['depth', `{ ${'a { '.repeat(17)} a ${'} '.repeat(17)} }`, /16 levels/],
    ['an aliased schema', `{ __schema { ${times(50, (i) => `t${i}: types { name }`)} } }`, /without aliases/],
  ])('is refused before any of it is done: %s', async (_, query, reason) => {
    expect(query.length).toBeLessThan(3000);
    expect(await refused(query)).toEqual([400, expect.stringMatching(reason)]);
  });

  it('counts `first` as it is given: in a variable too, and as the most there is when it is not known', async () => {
    const query = `query ($n: Int = 100) { ${search(
      times(3, (i) => `t${i}: tags { name value }`),
      ', first: $n',
    )} }`;
    for (const variables of [{ n: 100 }, {}, { n: 'x' }])
      expect(await refused(query, variables)).toEqual([400, expect.stringMatching(/may come to/)]);
    expect((await ask(query, { n: 10 })).errors).toBeUndefined();
  });

  it('is refused when its bytes come to too much, short as its values are many or long', async () => {
    const author = ed25519Signer(Buffer.alloc(32, 11));
    const long = {
      Type: 'Message',
      ...Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`L${i}`, '\x01'.repeat(2500)])),
    };
    const sent = await Promise.all(Array.from({ length: 20 }, () => place(long, author, processes[0])));
    const by = `owners: ["${author.address}"], first: 20`;
    const whole = await ask(`{ transactions(${by}) { edges { node { id tags { name value } } } } }`);
    expect(whole.data?.['transactions']?.edges).toHaveLength(sent.length);
    const fields = times(4, (i) => `t${i}: tags { value }`);
    expect(await refused(`{ transactions(${by}) { edges { node { ${fields} } } } }`)).toEqual([
      400,
      expect.stringContaining(`${BYTES} bytes`),
    ]);
    // Names alone: they come with every item.
    const [item] = sent;
    const ids = Array.from({ length: 100 }, (_, i) => String(i));
    const heads = () =>
      Promise.resolve(new Map(ids.map((id) => [id, { item: item as Item, dataBytes: 0, placed: null }])));
    const named = (name: string) => ({
      query: `query ($ids: [ID!]!) { ${times(5, (i) => `s${i}: transactions(ids: $ids, first: 100) { edges { node { ...N } } }`)} } fragment N on Transaction { ${times(17, (i) => `${name}${i}: recipient`)} }`,
      variables: { ids },
    });
    const source = { heads, search: () => Promise.resolve([]) };
    expect((await answerGraphql(named('n'), source)).errors).toBeUndefined();
    await expect(answerGraphql(named('n'.repeat(500)), source)).rejects.toThrow(`${BYTES} bytes`);
  });

  it('is looked for among so many items and no more, all searches together', async () => {
    let looked = 0;
    const source = {
      heads: () => Promise.resolve(new Map()),
      search: ({ limit }: { limit: number }) => {
        looked += limit;
        return Promise.resolve(Array.from({ length: limit }, (_, i) => ({ seq: String(i), id: 'x' })));
      },
    };
    const query = `{ ${times(5, (i) => `a${i}: ${search('id')}`)} }`;
    const { errors } = await answerGraphql({ query }, source);
    expect([looked, errors?.length]).toEqual([1000, 1]);
  });

  it('is answered when it is what tools ask for: a page of everything, the schema', async () => {
    const everything =
      'id anchor signature recipient owner { address key } fee { winston ar } quantity { winston ar } data { size type } tags { name value } block { id timestamp height previous } parent { id } bundledIn { id }';
    const page = `query ($n: Int) { transactions(recipients: ["${processes[0]}"], first: $n) { pageInfo { hasNextPage } edges { cursor node { ${everything} } } } }`;
    expect((await ask(page, { n: 100 })).errors).toBeUndefined();
    expect((await ask(getIntrospectionQuery())).errors).toBeUndefined();
  });
});

describe('the scheduler’s location', () => {
  const query = (owner: string) =>
    `{ transactions(owners: ["${owner}"], tags: [{ name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Scheduler-Location"] }], first: 1, sort: HEIGHT_DESC) { edges { node { tags { name value } } } } }`;
  const said = async () => {
    const { data } = await ask(query(SCHEDULER.address));
    const tags = data?.['transactions']?.edges[0]?.node['tags'] as { name: string; value: string }[] | undefined;
    return tags?.find((t) => t.name === 'Url')?.value;
  };

  it('is published at start, once for each address, the newest first', async () => {
    expect(await said()).toBe(`${PUBLIC}/su`);
    const publish = (to: string) => publishLocation(pipeline.scheduler, pipeline.index, SCHEDULER, to);
    const again = await publish(`${PUBLIC}/su`);
    expect(await publish(`${PUBLIC}/su`)).toBe(again);
    await publish('https://other.example/su');
    expect(await said()).toBe('https://other.example/su');
    expect(await publish(`${PUBLIC}/su`)).not.toBe(again);
    expect(await said()).toBe(`${PUBLIC}/su`);
  });

  it('A13 is nobody else’s word', async () => {
    const forged = await make({ Type: 'Scheduler-Location', Url: 'https://evil.example' }, BOB);
    expect((await post('/mu', forged.raw)).status).toBe(400);
    expect((await ask(query(BOB.address))).data?.['transactions']?.edges).toEqual([]);
  });
});

describe('items by id', () => {
  it('give their data, and the tags units look for as headers', async () => {
    const answer = await fetch(`${url}/${processes[0]}`);
    expect([answer.status, await answer.text()]).toEqual([200, 'data']);
    const shown = ['data-protocol', 'type', 'module', 'scheduler', 'name'].map((name) => answer.headers.get(name));
    expect(shown).toEqual(['ao', 'Process', module.id, SCHEDULER.address, 'one']);
    expect((await fetch(`${url}/${'A'.repeat(43)}`)).status).toBe(404);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    expect(await (await fetch(`${url}/info`)).json()).toMatchObject({ network: 'ao.isthmus', height: 0 });
    const bytes = Buffer.from(await (await fetch(`${url}/raw/${processes[0]}`)).arrayBuffer());
    expect(parseItem(bytes).id).toBe(processes[0]);
  });

  it('X14 no tag becomes another header, and no data a page', async () => {
    const evil = await make(
      {
        Type: 'Process',
        Module: module.id,
        Name: 'a\r\nSet-Cookie: x=1',
        'Set-Cookie': 'x=1',
        Location: 'https://evil.example',
        'Content-Type': 'text/html',
        Authority: 'ü',
      },
      ALICE,
      '',
      '<script>1</script>',
    );
    await pipeline.scheduler.schedule(evil.raw);
    const answer = await fetch(`${url}/${evil.id}`);
    expect(answer.status).toBe(200);
    for (const name of ['set-cookie', 'location', 'name', 'authority'])
      expect([name, answer.headers.get(name)]).toEqual([name, null]);
    expect(answer.headers.get('content-type')).toMatch(/^application\/octet-stream/);
    expect(answer.headers.get('content-disposition')).toBe('attachment');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('A13 what is no item, or not its owner’s', () => {
  const hex: Signer = { ...BOB, signatureType: 4, sign: (m) => BOB.sign(Buffer.from(Buffer.from(m).toString('hex'))) };
  const signers: [string, Signer][] = [
    ['Arweave', arweaveSigner(testWallet())],
    ['ed25519', BOB],
    ['Ethereum', ALICE],
    ['Solana', hex],
  ];
  const stored = async () =>
    database.query(
      'select (select count(*) from assignment) + (select count(*) from module) + (select count(*) from process) as n',
    );

  it.each(signers)('is refused with its reason, and nothing of it is kept: %s', async (_, signer) => {
    const good = await make({ Type: 'Message', Action: 'Fuzz' }, signer, processes[0]);
    const before = await stored();
    const { raw } = good;
    const bytes = fc.oneof(
      fc.nat({ max: raw.length - 1 }).map((n) => raw.subarray(0, n)),
      fc
        .tuple(fc.nat({ max: raw.length - 1 }), fc.integer({ min: 1, max: 255 }))
        .map(([i, b]) => Buffer.from(raw.map((v, j) => (j === i ? v ^ b : v)))),
      fc.uint8Array({ maxLength: 600 }).map((b) => Buffer.from(b)),
      fc.uint8Array({ minLength: 1, maxLength: 50 }).map((b) => Buffer.concat([raw, b])),
      fc.uint8Array({ minLength: 16, maxLength: 64 }).map((b) => Buffer.concat([raw.subarray(0, raw.length - 80), b])),
    );
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom('/mu', '/su'), async (body, path) => {
        const answer = await post(path, body);
        expect([400, 404, 413]).toContain(answer.status);
        expect(await answer.json()).toEqual({ error: expect.stringMatching(/./) });
      }),
      { numRuns: 60 },
    );
    expect(await stored()).toEqual(before);
    expect((await post('/mu', raw)).status).toBe(202);
  });

  it('tags over their limits, and types no one signs with', async () => {
    const before = await stored();
    const item = await make({ Type: 'Message' }, BOB, processes[0]);
    const head = item.raw.subarray(0, 2 + 64 + 32 + 33 + 33);
    const counted = (count: number, tags: Buffer) => {
      const counts = Buffer.alloc(16);
      counts.writeBigUInt64LE(BigInt(count), 0);
      counts.writeBigUInt64LE(BigInt(tags.length), 8);
      return Buffer.concat([head, counts, tags]);
    };
    const long = (n: number) => (n < 64 ? Buffer.from([n * 2]) : Buffer.from([((n * 2) & 0x7f) | 0x80, (n * 2) >> 7]));
    const pair = (name: number, value: number) =>
      Buffer.concat([long(name), Buffer.alloc(name, 97), long(value), Buffer.alloc(value, 97)]);
    const list = (...pairs: Buffer[]) => Buffer.concat([long(pairs.length), ...pairs, long(0)]);
    const endless = counted(1, Buffer.from([2, 2, 97, 2, 97, 2]));
    const typed = (type: number) => {
      const copy = Buffer.from(item.raw);
      copy.writeUInt16LE(type);
      return copy;
    };
    const bad = [
      counted(129, list(...Array.from({ length: 129 }, () => pair(1, 1)))),
      counted(1, list(pair(1025, 1))),
      counted(1, list(pair(1, 3073))),
      counted(2, list(pair(1, 1))),
      counted(20, Buffer.alloc(16_385)),
      endless,
      ...[0, 5, 6, 7, 101, 65_535].map(typed),
    ];
    for (const [i, body] of bad.entries()) {
      const answer = await post('/su', body);
      expect([i, answer.status]).toEqual([i, 400]);
      expect(await answer.json()).toEqual({ error: expect.stringMatching(/tag|Tags|type|ends/) });
    }
    const large = await make({ Type: 'Message' }, BOB, processes[0], 'x'.repeat(4 * 1024 * 1024));
    expect((await post('/su', large.raw)).status).toBe(413);
    expect(await stored()).toEqual(before);
  });
});
