/** The gateway as its users meet it, over real HTTP: a deposit and a withdrawal from first sight to the end, and every request nobody should make. */
import net from 'node:net';
import { depositId, packSignature, releaseTypedData, type DepositObservation } from '@isthmus/bridge';
import { devAccount, devKey } from '@isthmus/devnet';
import { decodeFunctionData, type Hex } from 'viem';
import { vaultAbi } from '@isthmus/chains';
import { CHAIN, COIN_ID, GatewayStage, guardianKey, until } from '../../harness.js';
import type { TransferView } from './transfer-view.js';

type Detail = TransferView & { timeline: { kind: string; at: string; proof: Record<string, string> }[] };
interface Page {
  transfers: TransferView[];
  nextCursor: string | null;
}
interface Books {
  books: { locked: string; supply: string; inFlight: string; releasedUnattested: string; ok: boolean }[];
}

const ALICE = devAccount(5).address;
const ALICE_KEY = devKey(5);
const NASTY = `<script>alert(1)</script>'; drop table transfer; --`;
let world: GatewayStage;

beforeAll(async () => {
  world = await GatewayStage.open();
});
afterAll(async () => world.close());

const state = (id: string, wanted: string) =>
  until(`${id} is ${wanted}`, async () => {
    const response = await fetch(`${world.url}/v1/transfers/${id}`);
    if (response.status === 404) return null;
    const detail = (await response.json()) as Detail;
    return detail.state === wanted ? detail : null;
  });

async function deposited(amount: bigint, tags: Hex = '0x'): Promise<DepositObservation> {
  const receipt = await world.stage.deposit(amount, ALICE, tags);
  const sequence = await world.stage.read<bigint>('sequence');
  const reference = `${CHAIN}:${world.stage.vault}:${sequence}`;
  return {
    id: depositId(reference),
    reference,
    txHash: receipt.transactionHash,
    sender: world.stage.account.address,
    recipient: ALICE,
    amount,
    tags: tags === '0x' ? '-' : (tags.slice(2) as DepositObservation['tags']),
  };
}

async function minted(amount: bigint, tags: Hex = '0x'): Promise<DepositObservation> {
  const deposit = await deposited(amount, tags);
  for (const guardian of [0, 1]) await world.attest(guardian, deposit);
  await state(deposit.id, 'minted');
  return deposit;
}

async function problem(route: string, init: RequestInit = {}): Promise<[status: number, code: string]> {
  const response = await fetch(`${world.url}${route}`, init);
  const text = await response.text();
  expect([route, response.headers.get('content-type')]).toEqual([
    route,
    expect.stringContaining('application/problem+json'),
  ]);
  const body = JSON.parse(text) as Record<string, unknown>;
  expect(body).toEqual({
    type: `urn:isthmus:problem:${String(body['code'])}`,
    title: expect.any(String),
    status: response.status,
    detail: expect.any(String),
    instance: expect.any(String),
    code: expect.any(String),
  });
  expect(text).not.toMatch(/node_modules|at .*\.ts|select |QueryFailed/);
  return [response.status, body['code'] as string];
}
const quote = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

/** Live events of a route, as they come. */
async function listen(route: string, last?: string) {
  const stop = new AbortController();
  const headers: Record<string, string> = last === undefined ? {} : { 'last-event-id': last };
  const response = await fetch(`${world.url}${route}`, { headers, signal: stop.signal });
  expect(response.status).toBe(200);
  const events: { id: string; transfer: string; state: string }[] = [];
  const read = async (): Promise<void> => {
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1] ?? '';
        if (field('event') === 'transfer')
          events.push({ id: field('id'), ...(JSON.parse(field('data')) as { transfer: string; state: string }) });
      }
    }
  };
  const done = read().catch(() => undefined); // ends by `stop`
  return { events, close: async () => (stop.abort(), done) };
}

describe('a deposit', () => {
  it('I10 says at each step where it is, why it waits, until when, and proves each step', async () => {
    const live = await listen('/v1/events');
    const deposit = await deposited(5_000n);
    const confirming = await state(deposit.id, 'confirming');
    expect(confirming).toMatchObject({
      amount: '5000',
      waiting: { reason: 'confirmations' },
      sourceTx: deposit.txHash,
    });
    expect(Date.parse(confirming.waiting?.expected ?? '')).not.toBeNaN();
    expect(confirming.timeline).toMatchObject([{ kind: 'seen', proof: { tx: deposit.txHash } }]);

    await world.mine(3);
    const final = await state(deposit.id, 'attesting');
    expect(final).toMatchObject({ waiting: { reason: 'attestations' } });
    expect(final.timeline.map((s) => s.kind)).toEqual(['seen', 'final']);
    const first = await world.attest(0, deposit);
    const second = await world.attest(1, deposit);
    const done = await state(deposit.id, 'minted');
    expect(done.waiting).toBeNull();
    expect(done.timeline.map((s) => s.kind).toSorted()).toEqual(['attested', 'attested', 'final', 'minted', 'seen']);
    const proofs = done.timeline.filter((s) => s.kind === 'attested').map((s) => s.proof['message']);
    expect(new Set(proofs)).toEqual(new Set([first, second]));
    expect(done.timeline.find((s) => s.kind === 'minted')?.proof).toMatchObject({ message: second, amount: '5000' });

    await until('events', async () => live.events.length >= 3);
    await live.close();
    expect(live.events.map((e) => e.state)).toEqual(['confirming', 'attesting', 'minted']);
    for (const mark of [`source=${deposit.txHash}`, `message=${second}`, `address=${ALICE}&state=minted`]) {
      const { transfers } = await world.get<Page>(`/v1/transfers?${mark}`);
      expect([mark, transfers.map((t) => t.id)]).toEqual([mark, [deposit.id]]);
    }

    const resumed = await listen('/v1/events', live.events[0]?.id);
    await until('the rest', async () => resumed.events.length >= 2);
    await resumed.close();
    expect(resumed.events).toEqual(live.events.slice(1));
    const own = await listen(`/v1/transfers/${deposit.id}/events`);
    await until('its own', async () => own.events.length >= 3);
    await own.close();
    expect(own.events).toEqual(live.events);
  });

  it('E6 a reorg that drops it is shown, and so is its return', async () => {
    const snapshot = await world.stage.chain.snapshot();
    const deposit = await deposited(7_000n);
    await state(deposit.id, 'confirming');
    await world.stage.chain.revert({ id: snapshot });
    await world.mine(2);
    expect(await state(deposit.id, 'orphaned')).toMatchObject({ waiting: { reason: 'reorg' } });
    const again = await deposited(8_000n); // takes the same sequence number
    expect(again.id).toBe(deposit.id);
    expect(await state(deposit.id, 'confirming')).toMatchObject({ amount: '8000', sourceTx: again.txHash });
    for (const guardian of [0, 1]) await world.attest(guardian, again);
    expect(await state(deposit.id, 'minted')).toMatchObject({ amount: '8000' });
  });

  it('X13 tags that are SQL, HTML or log lines are only text', async () => {
    const tags = Buffer.from(`X-Note=${NASTY}`).toString('hex');
    const before = (await world.get<Page>('/v1/transfers?limit=100')).transfers.length;
    const deposit = await minted(1_234n, `0x${tags}`);
    expect((await world.get<Page>('/v1/transfers?limit=100')).transfers).toHaveLength(before + 1);
    expect((await world.get<Detail>(`/v1/transfers/${deposit.id}`)).state).toBe('minted');
    for (const line of GatewayStage.logged) expect(() => JSON.parse(line) as unknown).not.toThrow();
  });
});

describe('a withdrawal', () => {
  it('is released by the relayer for at most Max-Fee, and the books hold throughout', async () => {
    await minted(10n ** 18n);
    const [asset] = (await world.get<{ assets: { process: string }[] }>('/v1/assets')).assets;
    expect(asset?.process).toBe(world.process);
    const amount = 5n * 10n ** 17n;
    const recipient = devAccount(6).address;
    const offer = await fetch(
      `${world.url}/v1/quotes`,
      quote({ direction: 'withdrawal', asset: COIN_ID, amount: String(amount), recipient }),
    );
    const { message, maxFee, receiveAtLeast } = (await offer.json()) as {
      message: { target: string; tags: { name: string; value: string }[] };
      maxFee: string;
      receiveAtLeast: string;
    };
    expect(message.target).toBe(world.process);
    expect(BigInt(receiveAtLeast)).toBe(amount - BigInt(maxFee));
    await world.message(ALICE_KEY, Object.fromEntries(message.tags.map((t) => [t.name, t.value])));
    const queued = await until('a withdrawal', async () =>
      (await world.get<Page>(`/v1/transfers?address=${recipient}`)).transfers.at(0),
    );
    expect(queued).toMatchObject({ state: 'queued', waiting: { reason: 'signatures' }, number: '1' });
    expect((await world.get<Books>('/v1/books')).books[0]).toMatchObject({ ok: true, inFlight: String(amount) });

    const statement = world.stage.statement({
      process: world.process,
      recipient,
      amount,
      maxFee: BigInt(maxFee),
    });
    // The liar's signature counts on AO and is worth nothing on the chain: the relayer waits for a third.
    const good = async (i: number) =>
      packSignature(i, await world.stage.guardians[i]!.signTypedData(releaseTypedData(world.stage.domain, statement)));
    const sign = (i: number, signature: string) =>
      world.message(guardianKey(i), { Action: 'Sign-Release' }, `1 1 ${signature}`);
    await sign(0, await good(0));
    await sign(1, `0x01${'ab'.repeat(64)}`);
    await until('waits for signatures', async () => {
      const t = await world.get<Detail>(`/v1/transfers/${queued.id}`);
      return t.state === 'ready' && t.waiting?.reason === 'signatures';
    });
    await sign(2, await good(2));
    const sent = await until('mined', async () => {
      const t = await world.get<Detail>(`/v1/transfers/${queued.id}`);
      return t.releaseTx === null ? null : t;
    });
    expect(sent).toMatchObject({ state: 'submitted', waiting: { reason: 'finality' } });
    expect((await world.get<Books>('/v1/books')).books[0]).toMatchObject({
      ok: true,
      releasedUnattested: String(amount),
    });
    const balance = await world.stage.client.getBalance({ address: recipient });
    const paid = balance - 10_000n * 10n ** 18n;
    expect(paid >= amount - BigInt(maxFee) && paid < amount).toBe(true);
    const fee = amount - paid;
    for (const i of [0, 1])
      await world.message(guardianKey(i), { Action: 'Attest-Release' }, `1 ${sent.releaseTx} ${fee} paid`);
    const done = await state(queued.id, 'released');
    expect(done).toMatchObject({ fee: String(fee), releaseTx: sent.releaseTx, waiting: null });
    expect(done.timeline.map((s) => s.kind)).toEqual(
      expect.arrayContaining(['queued', 'signed', 'submitted', 'mined', 'release-attested', 'released']),
    );
    expect(await world.get<Page>(`/v1/transfers?release=${sent.releaseTx}`)).toMatchObject({
      transfers: [{ id: queued.id }],
    });
    expect((await world.get<Books>('/v1/books')).books[0]).toMatchObject({ ok: true, inFlight: '0' });
  });
});

describe('a quote', () => {
  it('names the exact call, which the vault takes as it is', async () => {
    const body = {
      direction: 'deposit',
      asset: COIN_ID,
      amount: '4000',
      recipient: ALICE,
      tags: [{ name: 'X-Note', value: NASTY }],
    };
    const answer = (await (await fetch(`${world.url}/v1/quotes`, quote(body))).json()) as {
      call: { to: Hex; value: string; data: Hex };
    };
    const { to, value, data } = answer.call;
    expect(decodeFunctionData({ abi: vaultAbi, data }).functionName).toBe('deposit');
    const hash = await world.stage.wallet().sendTransaction({ to, value: BigInt(value), data });
    await world.stage.mined(hash);
    const found = await until('seen', async () => (await world.get<Page>(`/v1/transfers?source=${hash}`)).transfers[0]);
    expect(found).toMatchObject({ amount: '4000', recipient: ALICE });
  });

  const good = { direction: 'deposit', asset: COIN_ID, amount: '4000', recipient: ALICE };
  const out = { ...good, direction: 'withdrawal' };
  it.each<[string, unknown, number]>([
    ['an amount as a JSON number', { ...good, amount: 4000 }, 400],
    ['an amount with an exponent', { ...good, amount: '4e3' }, 400],
    ['a hex amount', { ...good, amount: '0xfa0' }, 400],
    ['a leading zero', { ...good, amount: '04000' }, 400],
    ['a sign', { ...good, amount: '-4000' }, 400],
    ['a fraction', { ...good, amount: '4000.0' }, 400],
    ['zero', { ...good, amount: '0' }, 400],
    ['forty digits', { ...good, amount: '9'.repeat(40) }, 400],
    ['less than the least', { ...good, amount: '999' }, 400],
    ['an unknown field', { ...good, fee: '0' }, 400],
    ['a recipient with a wrong checksum', { ...good, recipient: ALICE.toLowerCase() }, 400],
    ['a recipient with a newline', { ...good, recipient: `${ALICE}\n` }, 400],
    ['the zero address', { ...out, recipient: `0x${'0'.repeat(40)}` }, 400],
    ['a tag that is none', { ...good, tags: [{ name: 'Action', value: 'Mint' }] }, 400],
    ['a tag with a newline', { ...good, tags: [{ name: 'X-A', value: 'a\nX-B=c' }] }, 400],
    ['an unknown asset', { ...good, asset: 'eip155:1/slip44:60' }, 404],
    ['another direction', { ...good, direction: 'mint' }, 400],
    ['an array', [good], 400],
    ['broken JSON', '{"direction":', 400],
    ['a NUL', { ...good, recipient: '\u0000' }, 400],
    ['a prototype', '{"__proto__":{"direction":"deposit"}}', 400],
    ['a megabyte', { ...good, recipient: 'a'.repeat(1024 * 1024) }, 413],
  ])('X14 refuses %s', async (_, body, status) => {
    const [got] = await problem('/v1/quotes', quote(body));
    expect(got).toBe(status);
  });

  it('refuses to pay the vault', async () => {
    expect(await problem('/v1/quotes', quote({ ...out, recipient: world.stage.vault }))).toEqual([
      400,
      'bad-recipient',
    ]);
  });
});

describe('requests nobody should make', () => {
  const lists = [
    'limit=0',
    'limit=101',
    'limit=-1',
    'limit=1e1',
    'limit=01',
    'cursor=-1',
    'cursor=MA',
    `cursor=${Buffer.from('0').toString('base64url')}`,
    `cursor=${Buffer.from("1' or 1=1").toString('base64url')}`,
    `cursor=${'A'.repeat(5000)}`,
    'address=%00',
    'address=a%0ab',
    'address[]=a',
    'address=a&address=b',
    `address=${'a'.repeat(201)}`,
    'state=rich',
    'unknown=1',
    'message=%ff',
  ];
  it.each(lists.map((query) => [query.slice(0, 40), query]))('X14 refuses the list ?%s', async (_, query) => {
    expect((await problem(`/v1/transfers?${query}`))[0]).toBe(400);
  });

  it('X14 an id that cannot be and one that is not are alike, and tell nothing', async () => {
    const ids = [
      '1',
      'x',
      `0x${'0'.repeat(64)}`,
      `0x${'F'.repeat(64)}`,
      encodeURIComponent(NASTY),
      '%00',
      `0x${'0'.repeat(65)}`,
    ];
    const answers = await Promise.all(
      ids.flatMap((id) =>
        ['', '/events'].map(async (rest) => {
          const response = await fetch(`${world.url}/v1/transfers/${id}${rest}`);
          const { instance: _, ...body } = (await response.json()) as Record<string, unknown>;
          return body;
        }),
      ),
    );
    expect(new Set(answers.map((a) => JSON.stringify(a))).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 404, code: 'not-found' });
  });

  it.each([
    '/v1/nothing',
    '/nothing',
    '/..%2f..%2fpackage.json',
    '/v1/books?asset=nothing',
    '/app.ts',
    '/v1/transfers/%E0%A4%A',
  ])('X14 answers %s as a problem', async (route) => {
    const [status] = await problem(route);
    expect([400, 404]).toContain(status);
  });

  it('X13 SQL in every mark finds nothing and breaks nothing', async () => {
    const sql = encodeURIComponent("'or(1=1)--");
    for (const mark of ['address', 'source', 'release', 'message', 'asset'])
      expect(await world.get<Page>(`/v1/transfers?${mark}=${sql}`)).toEqual({ transfers: [], nextCursor: null });
  });

  it('X14 pages follow one another without a gap or a repeat, whatever comes in between', async () => {
    const all = (await world.get<Page>('/v1/transfers?limit=100')).transfers.map((t) => t.id);
    expect(all.length).toBeGreaterThan(2);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: Page = await world.get(`/v1/transfers?limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...page.transfers.map((t) => t.id));
      if (seen.length === 2) await deposited(2_000n);
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(all);
  });

  it('X14 a client that sends its body too slowly holds up no one', async () => {
    const { hostname, port } = new URL(world.url);
    const slow = net.connect(Number(port), hostname);
    slow.write(
      'POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{',
    );
    await world.get('/v1/assets');
    slow.destroy();
  });

  it('answers with the headers of safety, and serves the page under them', async () => {
    const response = await fetch(world.url);
    expect(await response.text()).toContain('<title>Isthmus');
    const headers = Object.fromEntries(response.headers);
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });
    expect(headers['content-security-policy']).toMatch(/^default-src 'self';/);
    expect(headers).not.toHaveProperty('x-powered-by');
    for (const file of ['app.js', 'amount.js', 'style.css', 'icon.svg'])
      expect([file, (await fetch(`${world.url}/${file}`)).status]).toEqual([file, 200]);
  });

  it('describes itself', async () => {
    const document = await world.get<{ paths: Record<string, unknown> }>('/docs-json');
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/quotes', '/v1/transfers', '/v1/transfers/{id}', '/v1/books', '/health', '/su']),
    );
    expect(await world.get('/ready')).toMatchObject({ ready: true });
    expect(await (await fetch(`${world.url}/metrics`)).text()).toContain('isthmus_gateway_failures_total');
  });
});

it('I11 a gateway whose index was dropped shows the same transfers after a restart', async () => {
  const dump = async () => {
    const { transfers } = await world.get<Page>('/v1/transfers?limit=100');
    const details = await Promise.all(transfers.map((t) => world.get<Detail>(`/v1/transfers/${t.id}`)));
    // When this gateway itself looked, what it saw on a fork that is gone, and what it did itself are its own; the rest is everyone's.
    const own = new Set(['submitted', 'mined']);
    return details
      .map((d) => ({
        ...d,
        createdAt: '',
        updatedAt: '',
        waiting: d.waiting?.reason,
        timeline: d.timeline
          .filter((s) => !own.has(s.kind) && (s.kind !== 'seen' || s.proof['tx'] === d.sourceTx))
          .map(({ kind, proof }) => JSON.stringify([kind, proof]))
          .toSorted(),
      }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  };
  await world.mine(3);
  await until(
    'all final',
    async () => (await world.get<Page>('/v1/transfers?state=confirming&limit=100')).transfers.length === 0,
  );
  const before = await dump();
  await world.gateway.database.query(
    'truncate transfer, transfer_step, transfer_event, projection, gateway_cursor, submission',
  );
  await world.restart();
  const count = before.length;
  await until('rebuilt', async () => (await world.get<Page>('/v1/transfers?limit=100')).transfers.length === count);
  await until('the same', async () => JSON.stringify(await dump()) === JSON.stringify(before)).catch(() => undefined);
  expect(await dump()).toEqual(before);
});
