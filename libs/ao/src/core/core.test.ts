/** AO-Core over real HTTP: its own client, unmodified; answers and requests that are verifiable; requests no client would make. */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { connect, createSigner } from '@permaweb/aoconnect';
import { testWallet } from '@isthmus/store';
import { httpbis } from 'http-message-signatures';
import { UnitsStage } from '../../harness.js';
import {
  AoPipeline,
  arweaveSigner,
  contentDigest,
  createItem,
  ed25519Signer,
  ethereumSigner,
  HttpSignatureError,
  verifyAnswer,
  type EvaluationResult,
  type Item,
} from '../index.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const WALLET = testWallet();
const BOB = arweaveSigner(WALLET).address;
const ED25519 = generateKeyPairSync('ed25519');
const ED25519_KEY = {
  id: (ED25519.publicKey.export({ format: 'jwk' }) as { x: string }).x,
  alg: 'ed25519',
  sign: async (data: Buffer) => sign(null, data, ED25519.privateKey),
};
const BOOK = `
local balances, list = {}, {}
function handle(msg)
  if msg.Id == ao.id then return ao.send({ device = "patch@1.0", Name = "Book", balances = {} }) end
  local a = msg.Tags.Action
  if a == "Credit" then
    local account = msg.Tags.Account or msg.From
    balances[account] = tostring((tonumber(balances[account]) or 0) + tonumber(msg.Tags.Quantity))
    ao.send({ device = "patch@1.0", balances = { [account] = balances[account] }, holders = { last = account, count = 1, ok = true } })
  elseif a == "Balance" then
    ao.send({ Target = msg.From, Data = (balances[msg.Tags.Account or msg.From] or "0") .. "|" .. msg.Data })
  elseif a == "Fail" then
    ao.send({ device = "patch@1.0", balances = { [msg.From] = "999" } })
    error("on purpose")
  elseif a == "Show" then
    ao.send({ device = "patch@1.0", shown = load and "" or msg.Data })
  elseif a == "Many" then
    local many = {}
    for i = 1, 6000 do many["k" .. i] = tostring(i) end
    ao.send({ device = "patch@1.0", many = many })
  end
  return "said " .. tostring(a)
end`;

/** The part of the client used here; its own types say `any`. */
interface Client {
  spawn(a: object): Promise<string>;
  message(a: object): Promise<number | string | EvaluationResult>;
  result(a: object): Promise<EvaluationResult>;
  results(a: object): Promise<{ edges: { cursor: string; node: EvaluationResult }[] }>;
  dryrun(a: object): Promise<EvaluationResult>;
  request(a: object): Promise<Response>;
}

let stage: UnitsStage;
let pipeline: AoPipeline;
let url: string;
let module: Item;
let client: Client;
let process_: string;

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${url}${path}`, { headers });
const tagsOf = (tags: Record<string, string>) => Object.entries(tags).map(([name, value]) => ({ name, value }));
const send = (tags: Record<string, string>, data = 'x') =>
  client.message({ process: process_, tags: tagsOf(tags), data });
const clientOf = (options: object): Client => connect({ MODE: 'mainnet', URL: url, ...options } as never) as never;

beforeAll(async () => {
  stage = await UnitsStage.open({ schedulerSigner: SCHEDULER, messengerSigner: MESSENGER });
  ({ pipeline, url } = stage);
  const tags = tagsOf({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  module = await createItem({ tags, data: BOOK }, ALICE);
  await pipeline.scheduler.schedule(module.raw);
  client = clientOf({ signer: createSigner(WALLET) });
  process_ = await client.spawn({ module: module.id, tags: tagsOf({ Name: 'Book' }) });
});
afterAll(() => stage.close());

describe("AO's own client in its mainnet mode", () => {
  it('spawns, sends, reads results, evaluates without effect', async () => {
    expect(process_).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await (await get(`/su/processes/${process_}`)).json()).toMatchObject({
      tags: expect.arrayContaining([{ name: 'Scheduler', value: SCHEDULER.address }]),
    });
    const slot = await send({ Action: 'Credit', Quantity: '5' });
    expect(slot).toBe(1);
    expect(await client.result({ process: process_, slot })).toMatchObject({ Output: 'said Credit', Error: undefined });
    const id = (await client.message({
      process: process_,
      tags: tagsOf({ Action: 'Balance' }),
      data: 'hello',
      returnMessageId: true,
    })) as string;
    expect(id).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect((await client.result({ process: process_, message: id })).Messages).toMatchObject([
      { Target: BOB, Data: '5|hello' },
    ]);
    const full = await client.message({
      process: process_,
      tags: tagsOf({ Action: 'Balance' }),
      opts: { fullResponse: true },
    });
    expect(full).toMatchObject({ Messages: [{ Data: '5|1984' }] });
    const { edges } = await client.results({ process: process_ });
    expect(edges).toMatchObject([{ cursor: '3', node: { Messages: [{ Data: '5|1984' }] } }]);
    const read = await client.dryrun({
      process: process_,
      tags: tagsOf({ Action: 'Balance', Account: BOB }),
      data: 'a b',
    });
    expect(read.Messages).toMatchObject([{ Target: BOB, Data: '5|a b' }]);
    await client.dryrun({ process: process_, tags: tagsOf({ Action: 'Credit', Quantity: '7' }) });
    expect((await client.dryrun({ process: process_, tags: tagsOf({ Action: 'Balance' }) })).Messages[0]?.Data).toBe(
      '5|1984',
    );
    expect(await (await get(`/${process_}/slot/current`)).text()).toBe('3');
  });
});

describe('public state', () => {
  it('a leaf is text, a table is JSON, in any of the ways to ask; what failed left nothing', async () => {
    const key = 'a/b "c"&=?#%é';
    await send({ Action: 'Credit', Quantity: '3', Account: key });
    const before = Number(await (await get(`/${process_}/slot/current`)).text());
    expect(await send({ Action: 'Fail' })).toBe(before + 1);
    const base = `/${process_}~process@1.0`;
    for (const verb of ['compute', 'now']) {
      const leaf = await get(`${base}/${verb}/balances/${BOB}`);
      expect([leaf.status, leaf.headers.get('content-type'), await leaf.text()]).toEqual([
        200,
        'text/plain; charset=utf-8',
        '5',
      ]);
      expect(leaf.headers.get('at-slot')).toBe(String(before + 1));
      expect(await (await get(`${base}/${verb}/balances`)).json()).toEqual({ [BOB]: '5', [key]: '3' });
      expect(await (await get(`${base}/${verb}/balances/${encodeURIComponent(key)}`)).text()).toBe('3');
      expect(await (await get(`/${process_}/${verb}/holders/`)).json()).toEqual({ last: key, count: 1, ok: true });
      expect(await (await get(`${base}/${verb}/at-slot`)).text()).toBe(String(before + 1));
    }
    expect(await (await get(`${base}/compute`)).json()).toMatchObject({ Name: 'Book', holders: { ok: true } });
    const asked = [
      get(`${base}/compute/Name?accept=application/json`),
      get(`${base}/compute/Name?require-codec=application/json`),
      get(`${base}/compute/Name`, { accept: 'application/json' }),
      get(`${base}/compute/Name/~json@1.0/serialize`),
      get(`${base}/compute/Name/serialize~json@1.0`),
    ];
    for (const answer of await Promise.all(asked)) expect(await answer.text()).toBe('"Book"');
    expect(await (await get(`${base}/compute/holders/count`)).text()).toBe('1');
    const nothing = [
      `balances/${SCHEDULER.address}`,
      'name',
      'constructor',
      '__proto__',
      'balances/toString',
      `Name/x`,
    ];
    for (const path of nothing) expect([path, (await get(`${base}/compute/${path}`)).status]).toEqual([path, 404]);
  });

  it('/now waits for what is placed', async () => {
    const item = await createItem(
      {
        target: process_,
        tags: tagsOf({ 'Data-Protocol': 'ao', Type: 'Message', Action: 'Credit', Quantity: '1', Account: 'late' }),
        data: '',
      },
      ALICE,
    );
    const { nonce } = await pipeline.scheduler.schedule(item.raw);
    const answer = await get(`/${process_}~process@1.0/now/balances/late`);
    expect([await answer.text(), Number(answer.headers.get('at-slot'))]).toEqual(['1', nonce]);
  });

  it('a large table is refused whole and read in pages', async () => {
    await send({ Action: 'Many' });
    const whole = await get(`/${process_}/compute/many`);
    expect([whole.status, await whole.json()]).toEqual([413, { error: expect.stringContaining('?limit=') }]);
    const all: Record<string, string> = {};
    let next: string | undefined = `/${process_}/compute/many?limit=2500`;
    let pages = 0;
    while (next) {
      const page: Response = await get(next);
      Object.assign(all, await page.json());
      next = /^<(.*)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
      pages += 1;
    }
    expect([Object.keys(all).length, pages, all['k6000']]).toEqual([6000, 3, '6000']);
    for (const query of ['limit=0', 'limit=5001', 'limit=x', 'limit=-1'])
      expect((await get(`/${process_}/compute/many?${query}`)).status).toBe(400);
  });

  it('A16 hostile patches harm nobody', async () => {
    const texts = [
      '{"__proto__":{"polluted":"1"}}',
      '{"constructor":{"prototype":{"polluted":"1"}}}',
      `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`,
      '\u0000',
      '"<script>"',
    ];
    for (const text of texts) await send({ Action: 'Show' }, text);
    expect(({} as Record<string, string>)['polluted']).toBeUndefined();
    const shown = await get(`/${process_}/now/shown`);
    expect([
      await shown.text(),
      shown.headers.get('content-type'),
      shown.headers.get('x-content-type-options'),
    ]).toEqual(['"<script>"', 'text/plain; charset=utf-8', 'nosniff']);
    // What was refused is told where something could be missing.
    const missing = await get(`/${process_}/compute/nowhere`);
    expect([missing.status, await missing.json()]).toEqual([507, { error: expect.stringContaining('keys deep') }]);
  });
});

describe('signed answers and requests', () => {
  /** A request by hand, and the proof of what came back. */
  async function ask(
    path: string,
    { method = 'GET', body, headers = {} }: { method?: string; body?: Buffer; headers?: Record<string, string> } = {},
  ) {
    const answer = await fetch(`${url}${path}`, { method, headers, ...(body ? { body } : {}) });
    return {
      request: { method, target: path, fields: headers, ...(body ? { body } : {}) },
      answer: {
        status: answer.status,
        fields: Object.fromEntries(answer.headers),
        body: Buffer.from(await answer.arrayBuffer()),
      },
      publicKey: SCHEDULER.publicKey.toString('base64url'),
    };
  }

  it('every answer is bound to its request, and shows any change', async () => {
    const message = await createItem(
      { target: process_, tags: tagsOf({ 'Data-Protocol': 'ao', Type: 'Message' }), data: 'hi' },
      ALICE,
    );
    const proofs = [
      await ask(`/${process_}~process@1.0/compute/balances/${BOB}`),
      await ask(`/${process_}/compute/balances?limit=1`),
      await ask(`/${process_}/compute/balances/nobody`),
      await ask(`/${process_}/push`, { method: 'POST', body: message.raw }),
      await ask('/~meta@1.0/info'),
      await ask('/~snp@1.0/generate'),
      await ask(`/${process_}/slot/current`, {
        headers: { 'content-digest': 'sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:' },
      }),
    ];
    expect(proofs.map((p) => p.answer.status)).toEqual([200, 200, 507, 200, 200, 501, 200]);
    for (const proof of proofs) {
      const { request, answer } = proof;
      expect(Math.abs(verifyAnswer(proof) - Date.now())).toBeLessThan(60_000);
      const other = Buffer.concat([answer.body, Buffer.from(' ')]);
      const changes = [
        { ...proof, answer: { ...answer, body: other } },
        {
          ...proof,
          answer: { ...answer, body: other, fields: { ...answer.fields, 'content-digest': contentDigest(other) } },
        },
        { ...proof, answer: { ...answer, status: 201 } },
        { ...proof, request: { ...request, method: 'PUT' } },
        { ...proof, request: { ...request, target: `${request.target}x` } },
        { ...proof, request: { ...request, body: Buffer.from('other') } },
        { ...proof, answer: { ...answer, fields: { ...answer.fields, 'content-type': 'text/html' } } },
        { ...proof, publicKey: MESSENGER.publicKey.toString('base64url') },
        { ...proof, answer: { ...answer, fields: { ...answer.fields, signature: '', 'signature-input': '' } } },
        { ...proof, maxAgeMs: 1000, now: Date.now() + 60_000 },
      ];
      for (const changed of changes) expect(() => verifyAnswer(changed)).toThrow(HttpSignatureError);
      if (answer.fields['at-slot'])
        expect(() =>
          verifyAnswer({ ...proof, answer: { ...answer, fields: { ...answer.fields, 'at-slot': '0' } } }),
        ).toThrow('not over');
    }
  });

  it('the key is published, and answers verify by an implementation of others', async () => {
    const { keys } = (await (await get('/~meta@1.0/info/keys')).json()) as { keys: { x: string; kid: string }[] };
    expect(keys).toMatchObject([{ kty: 'OKP', crv: 'Ed25519', x: SCHEDULER.publicKey.toString('base64url') }]);
    expect(await (await get('/~meta@1.0/info/address')).text()).toBe(SCHEDULER.address);
    const path = `/${process_}/slot/current?x=1`;
    const { answer } = await ask(path);
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: keys[0]?.x ?? '' }, format: 'jwk' });
    const checked = await httpbis.verifyMessage(
      {
        keyLookup: async () => ({
          algs: ['ed25519'],
          verify: async (data, signature) => verify(null, data, key, signature),
        }),
      },
      { status: answer.status, headers: answer.fields },
      { method: 'GET', url: `${url}${path}`, headers: {} },
    );
    expect(checked).toBe(true);
  });

  it('reads signed by RFC 9421, by the client itself and by others, are checked and bound to their answers', async () => {
    const read = await client.request({
      path: `/${process_}~process@1.0/compute/balances/${BOB}`,
      method: 'GET',
      'require-codec': 'application/json',
    });
    expect([read.status, await read.text()]).toEqual([200, '"5"']);
    expect(read.headers.get('signature-input')).toMatch(/"signature";req;key="http-sig-[0-9a-f]{16}"/);
    const dry = await client.request({
      path: `/${process_}~process@1.0/as=execution/compute&Action=Balance`,
      method: 'GET',
    });
    expect(((await dry.json()) as { raw: EvaluationResult }).raw.Messages).toMatchObject([{ Target: BOB, Data: '5|' }]);
    const path = `/${process_}/slot/current`;
    const signed = (await httpbis.signMessage(
      { key: ED25519_KEY, fields: ['@method', '@path', '@query', 'x-note'] },
      { method: 'GET', url: `${url}${path}`, headers: { 'x-note': 'hi' } },
    )) as unknown as { headers: Record<string, string> };
    const headers = Object.fromEntries(
      Object.entries(signed.headers).map(([name, value]) => [name.toLowerCase(), value]),
    );
    const proof = await ask(path, { headers });
    expect(proof.answer.status).toBe(200);
    verifyAnswer(proof);
    const { signature: _, 'signature-input': __, ...unsigned } = headers;
    const bound = {
      ...proof.request,
      fields: { ...headers, signature: `sig=:${Buffer.alloc(64).toString('base64')}:` },
    };
    expect(() => verifyAnswer({ ...proof, request: bound })).toThrow(HttpSignatureError);
    expect(() => verifyAnswer({ ...proof, request: { ...proof.request, fields: unsigned } })).toThrow(
      HttpSignatureError,
    );
    const broken: Record<string, string>[] = [
      { ...headers, 'x-note': 'ho' },
      { ...unsigned, signature: headers['signature'] ?? '' },
      { ...headers, 'signature-input': 'x=1' },
      { ...headers, signature: 'nonsense(' },
      { ...headers, 'content-digest': 'sha-256=:AAAA:' },
      { ...headers, 'content-digest': 'md5=:AAAA:' },
      { ...headers, 'signature-input': (headers['signature-input'] ?? '').replace('"@path"', '"@status"') },
      { ...headers, 'signature-input': (headers['signature-input'] ?? '').replace('"@path"', '"missing"') },
      { ...headers, 'signature-input': (headers['signature-input'] ?? '').replace('"@path"', '"@method"') },
      { ...headers, 'signature-input': (headers['signature-input'] ?? '').replace('ed25519', 'hmac-sha256') },
      { ...headers, 'signature-input': `${headers['signature-input']};expires=1` },
    ];
    for (const bad of broken) {
      const answer = await get(path, bad);
      expect([bad, answer.status, await answer.json()]).toEqual([bad, 400, { error: expect.any(String) }]);
    }
    expect((await get(`${path}?moved`, headers)).status).toBe(400);
  });

  it('a message signed by RFC 9421 gets no place, since nobody could check it in the schedule', async () => {
    const before = await (await get(`/${process_}/slot/current`)).text();
    const answer = await client.request({
      path: `/${process_}/push`,
      method: 'POST',
      target: process_,
      Type: 'Message',
      'Data-Protocol': 'ao',
      Action: 'Credit',
      Quantity: '9',
    });
    expect([answer.status, await answer.json()]).toEqual([501, { error: expect.stringContaining('RFC 9421') }]);
    expect(await (await get(`/${process_}/slot/current`)).text()).toBe(before);
  });
});

describe('requests no client would make', () => {
  it('bad paths and bodies are answered with a status and {error}', async () => {
    const base = `/${process_}~process@1.0`;
    const nobody = 'A'.repeat(43);
    const statuses: [number, string][] = [
      [404, `/${nobody}/compute/x`],
      [404, `/${nobody}/slot/current`],
      [404, `/${nobody}/now`],
      [404, `/${nobody}/schedule`],
      [404, `/${nobody}/compute/results=0`],
      [404, `/${nobody}/as=execution/compute`],
      [404, `${base}/compute/results=999999`],
      [404, `${base}/compute/results=${nobody}`],
      [400, `${base}/compute/results=x`],
      [400, `${base}/compute/%E0%A4`],
      [404, `${base}/compute/%00`],
      [404, `${base}/compute/balances/${'k/'.repeat(2000)}k`],
      [400, `${base}/as=execution/compute&Action`],
      [400, `${base}/schedule?limit=0`],
      [400, `${base}/schedule?from=x`],
      [501, base],
      [501, `${base}/snapshot`],
      [501, `${base}/compute/balances/~patch@1.0/x`],
      [501, `${base}/compute&slot=1/balances`],
      [501, `${base}/compute/balances?slot=1`],
      [501, `${base}/compute/results/outbox`],
      [501, `/${process_}~token@1.0/compute/x`],
      [501, '/~scheduler@1.0/schedule'],
      [501, '/~meta@1.0/info/wallet'],
      [405, `${base}/push`],
      [405, '/push'],
      [405, '/schedule'],
      [400, '/AAAA~process@1.0/now'],
      [400, '/x~process@1.0/compute'],
    ];
    for (const [status, path] of statuses) {
      const answer = await get(path);
      expect([path, answer.status === 507 ? 404 : answer.status]).toEqual([path, status]);
      expect(await answer.json()).toMatchObject({ error: expect.any(String) });
    }
    const item = await createItem(
      { target: nobody, tags: tagsOf({ 'Data-Protocol': 'ao', Type: 'Message' }), data: 'x' },
      ALICE,
    );
    const forged = Buffer.from(item.raw);
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    const posts: [number, string, Buffer][] = [
      [400, '/push', Buffer.alloc(0)],
      [400, '/push', Buffer.from('[object Object]')],
      [400, '/push', forged],
      [404, '/push', item.raw],
      [400, `${base}/push`, item.raw],
      [400, `${base}/compute/Name`, forged],
      [413, '/push', Buffer.alloc(10 * 1024 * 1024 + 1)],
    ];
    for (const [status, path, body] of posts) {
      const answer = await fetch(`${url}${path}`, { method: 'POST', body });
      expect([path, answer.status, await answer.json()]).toEqual([path, status, { error: expect.any(String) }]);
    }
  });

  it.each(['PUT', 'DELETE', 'PATCH'])('%s is no way to read, nor to place: 405 says which are', async (method) => {
    const base = `/${process_}~process@1.0`;
    for (const [path, allow] of [
      [`${base}/compute/Name`, 'GET, HEAD, POST, OPTIONS'],
      [`/${process_}/slot/current`, 'GET, HEAD, POST, OPTIONS'],
      ['/~meta@1.0/info', 'GET, HEAD, POST, OPTIONS'],
      [`${base}/schedule`, 'GET, HEAD, POST, OPTIONS'],
      [`${base}/push`, 'POST, OPTIONS'],
      ['/schedule', 'POST, OPTIONS'],
    ]) {
      const answer = await fetch(`${url}${path}`, { method });
      expect([path, answer.status, answer.headers.get('allow')]).toEqual([path, 405, allow]);
      expect(answer.headers.get('signature')).not.toBeNull();
      expect(await answer.json()).toEqual({ error: expect.stringContaining(method) });
    }
  });

  it('an Ethereum account in other letters is not there, and the answer says how it is spelled', async () => {
    const book = await client.spawn({ module: module.id, tags: tagsOf({ Name: 'Other' }) });
    const answer = await get(`/${book}/compute/balances/0x${'ab'.repeat(20)}`);
    expect([answer.status, await answer.json()]).toEqual([404, { error: expect.stringContaining('EIP-55') }]);
    const other = await get(`/${book}/compute/balances/nobody`);
    expect([other.status, await other.json()]).toEqual([404, { error: expect.not.stringContaining('EIP-55') }]);
  });

  it('what is not of AO-Core goes on to whoever answers it', async () => {
    expect((await get('/su')).status).toBe(200);
    expect(await (await get(`/raw/${process_}`)).arrayBuffer()).toMatchObject({ byteLength: expect.any(Number) });
    for (const path of ['/compute', '/v1/x', `/${process_}/data`, '/AAAA/now'])
      expect((await get(path)).headers.get('signature')).toBeNull();
    const preflight = await fetch(`${url}/${process_}/push`, { method: 'OPTIONS' });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
  });

  it('reads without a key, and the schedule, are answered like others', async () => {
    const anyone = clientOf({});
    const edges = (await anyone.results({ process: process_ })).edges;
    expect(edges).toHaveLength(1);
    expect(
      (await anyone.dryrun({ process: process_, tags: tagsOf({ Action: 'Balance', Account: BOB }) })).Messages[0]?.Data,
    ).toBe('5|');
    const page = (await (
      await get(`/${process_}~process@1.0/schedule?from=1&to=3&accept=application/aos-2`)
    ).json()) as {
      page_info: { has_next_page: boolean };
      edges: { cursor: string; node: { message: { id: string } } }[];
    };
    expect(page.edges.map((e) => e.cursor)).toEqual(['1', '2', '3']);
    const second = await get(`/${process_}~process@1.0/compute&slot=2/results?require-codec=application/json`);
    expect(((await second.json()) as { raw: EvaluationResult }).raw.Messages[0]?.Data).toBe('5|hello');
    const newest = (await (await get(`/${process_}/now/results`)).json()) as { slot: number };
    expect(newest.slot).toBe(Number(await (await get(`/${process_}/slot/current`)).text()));
  });
});
