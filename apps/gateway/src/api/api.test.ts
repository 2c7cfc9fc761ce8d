/** The gateway as its users meet it, over real HTTP: a deposit and a withdrawal from first sight to the end, and every request nobody should make. */
import net from 'node:net';
import { depositId, packSignature, releaseTypedData, type DepositObservation } from '@isthmus/bridge';
import { devAccount, devKey } from '@isthmus/devnet';
import { AgreementLost, RpcPool, vaultAbi, VaultWatcher } from '@isthmus/chains';
import { createLogger } from '@isthmus/store';
import { jest } from '@jest/globals';
import { Registry } from 'prom-client';
import { decodeFunctionData, zeroAddress, type Hex } from 'viem';
import { z } from 'zod';
import { CHAIN, COIN_ID, GatewayStage, guardianKey, until } from '../../harness.js';
import { startGateway } from '../app.js';
import type { GatewayConfig } from '../config.js';
import { BookKeeper } from '../transfers/book-keeper.js';
import type { TransferRow } from '../transfers/transfer-store.js';
import { paceOf } from '../homes/ethereum/pace.js';
import { VaultBooks } from '../homes/ethereum/vault-books.js';
import type { Home } from '../homes/home.js';
import { Homes } from '../homes/homes.js';
import { depositSeconds, withdrawalSeconds } from './estimate.js';
import { assetQuery, readQuery } from './input.js';
import { registerMetrics } from './metrics.js';
import { transferView, type TransferView } from './transfer-view.js';

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

/** An answer of the gateway in JSON. */
interface Answered {
  method: string;
  path: string;
  status: number;
  type: string;
  body: string;
}
const answered: Answered[] = [];
const liveData: string[] = [];

/** Keeps every JSON answer of the gateway's own routes, to hold it against the documentation in the end. */
function keepAnswers(): void {
  const real = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const response = await real(input, init);
    const { origin, pathname } = new URL(input instanceof Request ? input.url : input);
    const [type = ''] = (response.headers.get('content-type') ?? '').split(';');
    if (origin === world.url && type.endsWith('json'))
      answered.push({
        method: (init?.method ?? 'GET').toLowerCase(),
        path: pathname,
        status: response.status,
        type,
        body: await response.clone().text(),
      });
    return response;
  };
}
const figures = async (): Promise<string> => (await fetch(`${world.url}/metrics`)).text();

beforeAll(async () => {
  world = await GatewayStage.open();
  keepAnswers();
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

async function problem(route: string, init: RequestInit = {}): Promise<[status: number, code: string, detail: string]> {
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
    instance: new URL(route, world.url).pathname,
    code: expect.any(String),
    ...(body['errors'] === undefined ? {} : { errors: expect.any(Array) }),
  });
  expect(text).not.toMatch(/node_modules|at .*\.ts|select |QueryFailed/);
  return [response.status, body['code'] as string, body['detail'] as string];
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
        if (field('event') !== 'transfer') continue;
        liveData.push(field('data'));
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

  it('I10 I4 waits for a conflict while guardians say different things of it, and goes on when enough say the same', async () => {
    const deposit = await deposited(6_000n);
    await world.attest(0, { ...deposit, amount: 60_000n });
    expect(await state(deposit.id, 'attesting')).toMatchObject({ waiting: { reason: 'attestations' } });
    await world.attest(1, deposit);
    const waiting = await until('a conflict', async () => {
      const t = await world.get<Detail>(`/v1/transfers/${deposit.id}`);
      return t.waiting?.reason === 'conflict' && t;
    });
    expect(waiting).toMatchObject({ state: 'attesting', waiting: { expected: null } });
    expect(waiting.timeline.map((s) => s.kind)).toContain('conflict');
    const { transfers } = await world.get<Page>('/v1/transfers?limit=1');
    expect(transfers).toMatchObject([{ id: deposit.id, waiting: { reason: 'conflict' } }]);
    await world.attest(2, deposit);
    expect(await state(deposit.id, 'minted')).toMatchObject({ amount: '6000', waiting: null });
  });

  it('I10 X10 says that the sources of the chain do not agree while they do not, and expects nothing then', async () => {
    const deposit = await deposited(6_000n);
    await state(deposit.id, 'confirming');
    const reason = (wanted: string) =>
      until(wanted, async () => {
        const t = await world.get<Detail>(`/v1/transfers/${deposit.id}`);
        return t.waiting?.reason === wanted && t.waiting;
      });
    const lost = jest.spyOn(world.home, 'look').mockRejectedValue(new AgreementLost('the block', 1, 2, []));
    expect(await reason('rpc-agreement')).toMatchObject({ expected: null });
    lost.mockRestore();
    expect((await reason('confirmations')).expected).not.toBeNull();
    for (const guardian of [0, 1]) await world.attest(guardian, deposit);
    await state(deposit.id, 'minted');
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
    const attest = (i: number) =>
      world.message(guardianKey(i), { Action: 'Attest-Release' }, `1 ${sent.releaseTx} ${fee} paid`);
    await attest(0);
    await until('waits for attestations', async () => {
      const t = await world.get<Detail>(`/v1/transfers/${queued.id}`);
      return t.state === 'submitted' && t.waiting?.reason === 'release-attestations';
    });
    await attest(1);
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

  it('minds a recipient that also reads as an address of Solana, where nobody could spend on AO', async () => {
    const noteFor = async (recipient: string): Promise<unknown> => {
      const response = await fetch(`${world.url}/v1/quotes`, quote({ ...good, recipient }));
      return ((await response.json()) as { recipientNote: unknown }).recipientNote;
    };
    // Base58 of the SHA-256 of "solana 81", which is base64url of 32 bytes as well; its own SHA-256 is the AO address.
    expect(await noteFor('uas7wsFy7hTnerZVJdS7zqfXvc9CKsaV8BtJ4zhN1no')).toContain(
      'there its key goes by kUxOFBiB9TSYpHNFKzapQPP6w7tVSscjqXR_a3hIHSg.',
    );
    expect(await noteFor('kUxOFBiB9TSYpHNFKzapQPP6w7tVSscjqXR_a3hIHSg')).toBeNull();
    expect(await noteFor(ALICE)).toBeNull();
  });

  const WRONG = ALICE.replace(/[a-f]/, (c) => c.toUpperCase());
  it.each<[string, unknown, string, string]>([
    [
      'a lower-case recipient',
      { ...good, recipient: ALICE.toLowerCase() },
      'recipient',
      `wrong checksum; as EIP-55 writes it: ${ALICE}`,
    ],
    ['a wrong checksum', { ...out, recipient: WRONG }, 'recipient', `wrong checksum; as EIP-55 writes it: ${ALICE}`],
    ['the zero address', { ...good, recipient: zeroAddress }, 'recipient', 'the zero address'],
    [
      'half an address',
      { ...good, recipient: '0x12' },
      'recipient',
      'neither a 43-character AO address nor an Ethereum address',
    ],
    [
      'an address of Solana',
      { ...good, recipient: '9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu' },
      'recipient',
      'on AO its key goes by ajgD1fBZkCocba-8m6RykhL3yqwIY0zDrnaydSnwOCc',
    ],
    ['an AO address on Ethereum', { ...out, recipient: 'P'.repeat(42) + 'A' }, 'recipient', 'not an Ethereum address'],
    ['a point', { ...good, amount: '1.5' }, 'amount', 'decimal digits without leading zeros or a point'],
    ['no amount', { ...good, amount: undefined }, 'amount', 'decimal digits without leading zeros or a point'],
    ['no direction', { ...good, direction: undefined }, 'direction', 'write "deposit" or "withdrawal"'],
    ['no asset', { ...good, asset: undefined }, 'asset', 'GET /v1/assets'],
    ['a wrong checksum in the asset', { ...good, asset: `${CHAIN}/erc20:${WRONG}` }, 'asset', ALICE],
  ])('says of %s what to write instead', async (_, body, name, reason) => {
    const [status, code, detail] = await problem('/v1/quotes', quote(body));
    expect([status, code, detail]).toEqual([400, 'bad-request', expect.stringMatching(new RegExp(`^${name}: `))]);
    expect(detail).toContain(reason);
  });

  it.each([
    ['no content type', {}],
    ['another content type', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
  ])('says of %s what to send', async (_, headers: Record<string, string>) => {
    const body = Buffer.from(JSON.stringify(good)); // bytes, so that none is set by itself
    const answer = await problem('/v1/quotes', { method: 'POST', headers, body });
    expect(answer).toEqual([
      415,
      'unsupported-media-type',
      expect.stringContaining('send content-type: application/json'),
    ]);
  });

  it('takes JSON with a charset', async () => {
    const init = { ...quote(good), headers: { 'content-type': 'application/json; charset=utf-8' } };
    expect((await fetch(`${world.url}/v1/quotes`, init)).status).toBe(200);
  });

  it('refuses recipients where money would be stuck, and takes others', async () => {
    const forbidden = (body: unknown) => problem('/v1/quotes', quote(body));
    for (const body of [
      { ...out, recipient: world.stage.vault },
      { ...good, recipient: world.stage.vault },
      { ...good, recipient: world.process },
    ])
      expect((await forbidden(body)).slice(0, 2)).toEqual([400, 'forbidden-recipient']);
    const other = { ...good, recipient: `${'P'.repeat(42)}A` };
    expect((await fetch(`${world.url}/v1/quotes`, quote(other))).status).toBe(200);
  });

  const assetView = async () => (await world.get<{ assets: { paused: boolean }[] }>('/v1/assets')).assets[0];
  const bookView = async () => (await world.get<{ books: { paused: boolean }[] }>('/v1/books')).books[0];
  const withdrawal = { ...out, amount: String(10n ** 17n), recipient: devAccount(6).address };
  const offered = async (body: unknown) => {
    const response = await fetch(`${world.url}/v1/quotes`, quote(body));
    return response.status === 200 ? 'offered' : ((await response.json()) as { code: string }).code;
  };
  const expectPaused = async (paused: boolean) => {
    const answer = paused ? 'paused' : 'offered';
    expect([await offered(good), await offered(withdrawal)]).toEqual([answer, answer]);
    expect([await assetView(), await bookView()]).toMatchObject([{ paused }, { paused }]);
    await until('the figure follows', async () =>
      (await figures()).includes(`isthmus_gateway_paused{asset="${COIN_ID}"} ${paused ? 1 : 0}`),
    );
  };

  it('sells nothing while the vault is paused, and goes on after', async () => {
    await expectPaused(false);
    await world.stage.pause();
    await expectPaused(true);
    const [status, , detail] = await problem('/v1/quotes', quote(good));
    expect(status).toBe(409);
    const link = /GET (\/v1\/decisions\?asset=\S+) shows it/.exec(detail)?.[1] ?? '';
    expect(await world.get(link)).toEqual({ decisions: expect.any(Array) });
    await world.stage.unpause();
    await expectPaused(false);
  });

  it('sells nothing while the token process is paused, and goes on after', async () => {
    const say = (guardian: number, nonce: number, line: string) =>
      world.message(guardianKey(guardian), { Action: 'Attest-Decision', 'Decision-Nonce': String(nonce) }, line);
    const shown = (paused: boolean) => until(`paused: ${paused}`, async () => (await assetView())?.paused === paused);
    await say(0, 1, 'pause');
    await shown(true);
    await expectPaused(true);
    for (const guardian of [0, 1]) await say(guardian, 2, 'unpause');
    await shown(false);
    await expectPaused(false);
  });

  it.each(['compute', 'projector'])(
    'sells nothing while the asset stands still (%s), and goes on after',
    async (kind) => {
      const part = kind === 'compute' ? `compute ${world.process}` : kind;
      world.gateway.health.bad(part, new Error('it was not as signed.'));
      for (const body of [good, withdrawal]) {
        const [status, code, detail] = await problem('/v1/quotes', quote(body));
        expect([status, code]).toEqual([503, 'asset-stopped']);
        expect(detail).toContain('it was not as signed.');
      }
      world.gateway.health.recovered(part);
      expect([await offered(good), await offered(withdrawal)]).toEqual(['offered', 'offered']);
    },
  );

  it('sells nothing while another asset’s standstill is not its own', async () => {
    world.gateway.health.bad('compute another', new Error('x'));
    expect(await offered(good)).toBe('offered');
    world.gateway.health.recovered('compute another');
  });

  it('sells nothing once the engine is stopped, nor before a process is known, nor when others’ units are away', async () => {
    const asked = async (change: (config: GatewayConfig) => GatewayConfig, stopFirst = false) => {
      const config = change({ ...world.config, databaseUrl: await world.cluster.fresh() });
      const gateway = await startGateway(config, createLogger('gateway', { write: () => undefined }));
      if (stopFirst) await gateway.engine.stop();
      const code = async (): Promise<unknown> => {
        const body = (await (await fetch(`${gateway.url}/v1/quotes`, quote(good))).json()) as { code?: string };
        return body.code;
      };
      const first = await code();
      await until('its failure is known', async () =>
        stopFirst || config.ao.engine === 'embedded'
          ? true
          : gateway.health.parts[`compute ${world.process}`]?.ok === false,
      );
      const then = await code();
      await gateway.stop();
      return [first, then];
    };
    const closed = 'http://127.0.0.1:9';
    const { scheduler, messenger } = world.gateway.engine;
    const places = {
      schedulerUrl: closed,
      messengerUrl: closed,
      gatewayUrl: closed,
      computeUrls: [closed],
      agreement: 1,
    };
    const remote = (config: GatewayConfig): GatewayConfig => ({
      ...config,
      ao: { engine: 'remote', ...places, scheduler, messenger },
    });
    const refused = ['engine-not-ready', 'engine-not-ready'];
    expect(await asked((c) => c)).toEqual(refused);
    expect(await asked((c) => c, true)).toEqual(refused);
    expect(await asked(remote)).toEqual(refused);
    expect(await asked(remote, true)).toEqual(refused);
  });

  it('sells no deposit of an asset whose listing is closed, and goes on when it is open', async () => {
    await world.stage.list(zeroAddress, { open: false });
    expect((await problem('/v1/quotes', quote(good))).slice(0, 2)).toEqual([409, 'asset-closed']);
    expect(await offered(withdrawal)).toBe('offered');
    await world.stage.list(zeroAddress);
    expect(await offered(good)).toBe('offered');
  });

  it('asks for what the vault itself asks for: its least deposit and its limit', async () => {
    await world.stage.list(zeroAddress, { minDeposit: 5_000n, limit: 10n ** 18n });
    expect(await problem('/v1/quotes', quote({ ...good, amount: '4999' }))).toEqual([
      400,
      'below-minimum',
      'The least deposit is 0.000000000000005 <b>aETH</b>.',
    ]);
    expect(await offered({ ...good, amount: '5000' })).toBe('offered');
    expect(await offered({ ...withdrawal, amount: String(10n ** 18n) })).toBe('offered');
    expect(await offered({ ...withdrawal, amount: String(10n ** 18n + 1n) })).toBe('above-limit');
    await world.stage.list(zeroAddress);
    expect(await offered({ ...good, amount: '4999' })).toBe('offered');
  });

  it('offers a deposit up to the vault’s capacity and not one unit more', async () => {
    const room = 2n ** 112n - 1n - (await world.stage.read<bigint>('locked', [zeroAddress]));
    expect(await offered({ ...good, amount: String(room) })).toBe('offered');
    expect(await offered({ ...good, amount: String(room + 1n) })).toBe('above-capacity');
    expect(await offered({ ...good, amount: '9'.repeat(39) })).toBe('above-capacity');
  });

  it('while the chain cannot be read nothing is sold, and a pause is shown as it was last', async () => {
    const { database, engine, homes } = world.gateway;
    const options = { agreement: 1, chainId: 31337, finality: { confirmations: 3 } };
    const pool = new RpcPool({ ...options, urls: [world.stage.anvil.url] });
    const [asset] = homes.assets;
    if (!asset) throw new Error('The gateway has an asset.');
    const vault = new VaultBooks(pool, new VaultWatcher(pool, world.stage.vault));
    const home = Object.create(world.home, {
      paused: { value: () => vault.paused() },
      standing: { value: () => vault.standing({ address: zeroAddress }) },
    }) as Home;
    const books = new BookKeeper(database, engine, new Homes([home]));
    await world.stage.pause();
    expect(await books.standing(asset)).toMatchObject({ paused: true, open: true });
    await world.stage.unpause();
    pool.latest = () => Promise.reject(new AgreementLost('the latest block', 0, 1, []));
    await expect(books.standing(asset)).rejects.toThrow(AgreementLost);
    expect(await books.pausedAssets([asset])).toEqual(new Set([COIN_ID]));
  });

  it('expects what finality, a block and a few looks take', async () => {
    const local = paceOf({ finality: { tag: 'finalized' }, finalitySeconds: 3 }, 500);
    expect(depositSeconds(local)).toBe(4);
    expect(withdrawalSeconds(local)).toBe(5);
    const mainnet = paceOf({ finality: { tag: 'finalized' }, finalitySeconds: 768 }, 2_000);
    expect(mainnet).toEqual({ finality: 768, block: 12, look: 2 });
    expect(depositSeconds(mainnet)).toBe(782);
    expect(paceOf({ finality: { confirmations: 3 }, finalitySeconds: 36 }, 1_000)).toEqual({
      finality: 36,
      block: 12,
      look: 1,
    });
    const response = await fetch(`${world.url}/v1/quotes`, quote(good));
    expect(await response.json()).toMatchObject({ expectedSeconds: depositSeconds(world.home.pace) });
  });
});

describe('what a transfer waits for', () => {
  const at = new Date('2100-01-01T00:00:00Z');
  const row = {
    created_at: at,
    updated_at: at,
    process: 'p',
    waits: null,
    required: null,
    block_number: null,
    told: [] as TransferRow['told'],
  } as TransferRow;
  const expected = (change: Partial<TransferRow>, paused: string[] = [], bridged = true) =>
    transferView(
      { ...row, ...change },
      { placeOf: () => (bridged ? placeOf() : null), paused: new Set(paused), unsettled: new Set() },
    ).waiting?.expected;
  const placeOf = () => ({ name: 'anvil', pace: world.home.pace, agreement: true, tip: null });
  const after = (seconds: number) => new Date(at.getTime() + seconds * 1000).toISOString();

  it('I10 is expected when finality, a block and the next look are over, and not when it is up to others', () => {
    expect(expected({ state: 'confirming' })).toBe(after(3.02));
    expect(expected({ state: 'attesting' })).toBe(after(0.02));
    expect(expected({ state: 'ready' })).toBe(after(0.02));
    expect(expected({ state: 'submitted' })).toBe(after(4.02));
    for (const waits of ['limit', 'fee-too-low', 'paused']) expect(expected({ state: 'ready', waits })).toBeNull();
    expect(expected({ state: 'attesting' }, ['p'])).toBeNull();
    expect(expected({ state: 'attesting' }, [], false)).toBeNull();
    expect(expected({ state: 'minted' })).toBeUndefined();
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

  it.each([
    ['address', 'write a 43-character Arweave address, or 0x and 40 hex digits'],
    ['source', 'write 0x and 64 hex digits, or'],
    ['release', 'write 0x and 64 hex digits, or'],
    ['message', 'write the 43 characters of an AO message id'],
    ['asset', 'write a CAIP-19 id'],
  ])('X13 garbage as %s is refused with what to write, SQL too', async (mark, reason) => {
    for (const garbage of ["'or(1=1)--", '0x12', 'a', '0x', 'P'.repeat(44)]) {
      const answer = await problem(`/v1/transfers?${mark}=${encodeURIComponent(garbage)}`);
      expect(answer).toEqual([400, 'bad-request', expect.stringContaining(`query parameter ${mark}: ${reason}`)]);
    }
  });

  it('an address is found however its letters are written, but not under a wrong checksum', async () => {
    const ids = async (address: string) =>
      (await world.get<Page>(`/v1/transfers?address=${address}&limit=100`)).transfers.map((t) => t.id);
    const found = await ids(ALICE);
    expect(found.length).toBeGreaterThan(0);
    const digits = ALICE.slice(2);
    for (const spelling of [digits.toLowerCase(), digits.toUpperCase()])
      expect(await ids(`0x${spelling}`)).toEqual(found);
    const wrong = ALICE.replace(/[a-f]/, (c) => c.toUpperCase());
    const [status, , detail] = await problem(`/v1/transfers?address=${wrong}`);
    expect([status, detail]).toEqual([400, `query parameter address: wrong checksum; as EIP-55 writes it: ${ALICE}`]);
  });

  it('hashes and ids are found in capitals too, and not when they are others', async () => {
    const [first] = (await world.get<Page>('/v1/transfers?state=minted')).transfers;
    const shout = (hash: string) => `0x${hash.slice(2).toUpperCase()}`;
    expect(await world.get<Page>(`/v1/transfers?source=${shout(first?.sourceTx ?? '')}`)).toMatchObject({
      transfers: [{ id: first?.id }],
    });
    expect(await world.get<Detail>(`/v1/transfers/${shout(first?.id ?? '')}`)).toMatchObject({ id: first?.id });
    expect(await world.get<Page>(`/v1/transfers?release=${shout(first?.sourceTx ?? '')}`)).toMatchObject({
      transfers: [],
    });
  });

  it('an unknown asset is 404, however its token is written, and a known one is found', async () => {
    const id = `${CHAIN}/erc20:${ALICE}`;
    for (const asset of ['eip155:1/slip44:60', id, id.toLowerCase()])
      for (const route of ['transfers', 'books', 'decisions'])
        expect((await problem(`/v1/${route}?asset=${asset}`)).slice(0, 2)).toEqual([404, 'unknown-asset']);
    expect(readQuery(assetQuery, { asset: id.toLowerCase() })).toEqual({ asset: id });
    expect((await world.get<Page>(`/v1/transfers?asset=${COIN_ID}`)).transfers.length).toBeGreaterThan(0);
    expect((await world.get<Books>(`/v1/books?asset=${COIN_ID}`)).books).toHaveLength(1);
  });

  it.each([
    ['/v1/decisions', 'query parameter asset: '],
    ['/v1/decisions?asset=', 'query parameter asset: '],
    ['/v1/transfers?limit=0', 'query parameter limit: '],
    ['/v1/transfers?state=rich', 'query parameter state: write one of seen, '],
    ['/v1/transfers?unknown=1', 'query: '],
    ['/v1/transfers?cursor=MA', 'query parameter cursor: '],
    ['/v1/books?asset=a&asset=b', 'query parameter asset: '],
  ])('%s is refused by the name of its parameter', async (route, words) => {
    const [status, , detail] = await problem(route);
    expect(status).toBe(400);
    expect(detail.startsWith(words)).toBe(true);
    expect(detail).not.toContain('body');
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
    expect(headers['keep-alive']).toBe('timeout=65'); // longer than a proxy's own
    for (const file of ['app.js', 'amount.js', 'words.js', 'style.css', 'icon.svg'])
      expect([file, (await fetch(`${world.url}/${file}`)).status]).toEqual([file, 200]);
  });

  it('says which routes it has, and where guardians begin and whom they pin', async () => {
    const { routes } = await world.get<{ routes: { method: string; path: string; summary: string }[] }>('/v1');
    expect(routes).toEqual(
      expect.arrayContaining([
        { method: 'POST', path: '/v1/quotes', summary: expect.stringContaining('costs') },
        { method: 'GET', path: '/v1/transfers/{id}', summary: expect.any(String) },
      ]),
    );
    expect(routes.every((r) => r.summary !== '')).toBe(true);
    const { scheduler, messenger } = world.pipeline;
    expect(await world.get('/v1/chains')).toMatchObject({
      chains: [{ id: CHAIN, deployBlock: 0, vault: world.stage.vault }],
      ao: { scheduler: scheduler.address, messenger: messenger.address },
    });
  });

  it('is ready', async () => {
    expect(await world.get('/health')).toMatchObject({ ok: true });
    expect(await world.get('/ready')).toMatchObject({ ready: true });
  });
});

describe('figures', () => {
  const valueOf = async (name: string): Promise<number> => {
    const line = (await figures()).split('\n').find((l) => l.startsWith(`${name} `));
    return Number(line?.split(' ').at(-1) ?? NaN);
  };

  it('show the bridge as it is', async () => {
    await minted(3_000n);
    const { books } = await world.get<Books>('/v1/books');
    const [book] = books;
    const difference = BigInt(book?.locked ?? 0) - BigInt(book?.supply ?? 0) - BigInt(book?.inFlight ?? 0);
    await until(
      'the books',
      async () => (await valueOf(`isthmus_gateway_books_difference{asset="${COIN_ID}"}`)) === Number(difference),
    );
    const { transfers } = await world.get<Page>('/v1/transfers?state=minted&limit=100');
    await until(
      'the count',
      async () => (await valueOf('isthmus_gateway_transfers{direction="deposit",state="minted"}')) === transfers.length,
    );
    expect(await valueOf('isthmus_gateway_oldest_waiting_seconds{direction="withdrawal"}')).toBe(0);
    const { address } = devAccount(9);
    const balance = await world.stage.client.getBalance({ address });
    expect(await valueOf(`isthmus_gateway_relayer_balance{chain="${CHAIN}",address="${address}",unit="wei"}`)).toBe(
      Number(balance),
    );
    expect(await valueOf(`isthmus_gateway_head_slot{process="${world.process}"}`)).toBeGreaterThan(0);
    expect(await figures()).toContain('isthmus_gateway_failures_total');
  });

  it('that cannot be read have no value, are counted, and keep no other from being read', async () => {
    const registry = new Registry();
    const fail = () => Promise.reject(new Error('the chain is away'));
    const away = Object.create(world.home, {
      purse: { value: { address: zeroAddress, unit: 'wei', balance: fail } },
    }) as Home;
    registerMetrics({
      registry,
      database: world.gateway.database,
      books: { of: fail, pausedAssets: fail } as unknown as BookKeeper,
      engine: { head: fail },
      homes: new Homes([away]),
    });
    const text = await registry.metrics();
    for (const name of ['books_difference', 'paused', 'relayer_balance', 'head_slot'])
      expect(text).not.toMatch(new RegExp(`^isthmus_gateway_${name}\\{`, 'm'));
    expect(text).toMatch(/^isthmus_gateway_transfers\{/m);
    expect(await registry.metrics()).toContain('isthmus_gateway_unread_figures_total{figure="relayer_balance"}');
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
  // Also those that were minted before.
  await until('all final', async () =>
    (await dump()).every((d) => d.direction !== 'deposit' || d.timeline.some((s) => s.startsWith('["final"'))),
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

describe('the documentation', () => {
  interface Documented {
    paths: Record<
      string,
      Record<
        string,
        {
          summary?: string;
          responses: Record<string, { content?: Record<string, { schema?: object }> }>;
          parameters?: { description?: string }[];
          requestBody?: { content: Record<string, { examples: Record<string, { value: object }> }> };
        }
      >
    >;
    components: { schemas: object };
  }
  let document: Documented;
  beforeAll(async () => {
    document = await world.get<Documented>('/docs-json');
  });

  /** The documented schema, as something that validates. */
  function documented(schema: object): z.ZodType {
    const text = JSON.stringify({ ...schema, definitions: document.components.schemas });
    const whole = JSON.parse(
      text.replaceAll('#/components/schemas/', '#/definitions/'),
    ) as z.core.JSONSchema.JSONSchema;
    return z.fromJSONSchema(whole, { defaultTarget: 'openapi-3.0' });
  }
  const routeOf = ({ method, path }: Answered) =>
    Object.entries(document.paths).find(
      ([route, operations]) => method in operations && new RegExp(`^${route.replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
    )?.[1][method];
  const schemaOf = (answer: Answered): object | undefined => {
    const operation = routeOf(answer);
    return (operation?.responses[String(answer.status)] ?? operation?.responses['default'])?.content?.[answer.type]
      ?.schema;
  };

  it('has a summary, an answer’s schema and described parameters for every route of /v1', () => {
    const routes = Object.entries(document.paths).filter(([route]) => route.startsWith('/v1'));
    expect(routes.length).toBeGreaterThan(8);
    for (const [route, operations] of routes)
      for (const { summary, responses, parameters = [] } of Object.values(operations)) {
        expect([route, summary]).toEqual([route, expect.stringMatching(/./)]);
        expect(Object.values(responses['200']?.content ?? {})).toEqual([{ schema: { $ref: expect.any(String) } }]);
        expect(responses['default']?.content).toHaveProperty(['application/problem+json']);
        for (const { description } of parameters)
          expect([route, description]).toEqual([route, expect.stringMatching(/./)]);
      }
    for (const route of ['/health', '/ready', '/metrics', '/su']) expect(document.paths).toHaveProperty([route]);
  });

  it('is true of every answer these tests have had', () => {
    // AO's units answer as AO's own do.
    const known = answered.filter((a) => /^\/(v1|health|ready)\b/.test(a.path) && routeOf(a));
    const routes = new Set(known.map((a) => `${a.method} ${a.path.replace(/0x\w+/, ':id')} ${a.status}`));
    for (const must of [
      'get /v1 200',
      'get /v1/chains 200',
      'get /v1/assets 200',
      'get /v1/books 200',
      'get /v1/decisions 200',
      'post /v1/quotes 200',
      'post /v1/quotes 409',
      'get /v1/transfers 200',
      'get /v1/transfers/:id 200',
      'get /v1/transfers 400',
      'get /health 200',
      'get /ready 200',
    ])
      expect(routes).toContain(must);
    const validators = new Map<string, z.ZodType>();
    for (const answer of known) {
      const schema = schemaOf(answer);
      const key = JSON.stringify(schema);
      const validator = validators.get(key) ?? documented(schema ?? {});
      validators.set(key, validator);
      const { error } = validator.safeParse(JSON.parse(answer.body));
      expect([answer.method, answer.path, schema === undefined, error?.issues]).toEqual([
        answer.method,
        answer.path,
        false,
        undefined,
      ]);
    }
    const live = documented({ $ref: '#/components/schemas/LiveEvent' });
    expect(liveData.length).toBeGreaterThan(3);
    for (const data of liveData) expect(live.safeParse(JSON.parse(data)).error).toBeUndefined();
  });

  it('is not true of answers that are others', () => {
    const page = answered.find((a) => a.path === '/v1/transfers' && a.status === 200 && a.body.includes('"minted"'));
    const schema = documented(schemaOf(page as Answered) ?? {});
    const body = page?.body ?? '';
    expect(schema.safeParse(JSON.parse(body)).success).toBe(true);
    const others = [
      body.replace('"minted"', '"rich"'),
      body.replace('"fee":', '"tip":'),
      body.replace(/"amount":"(\d+)"/, '"amount":$1'),
      '{}',
      '[]',
    ];
    for (const other of others)
      expect([other.slice(0, 80), schema.safeParse(JSON.parse(other)).success]).toEqual([other.slice(0, 80), false]);
  });

  it('shows quotes that are good but for the asset', async () => {
    const { examples } = document.paths['/v1/quotes']?.['post']?.requestBody?.content['application/json'] ?? {};
    const request = documented({ $ref: '#/components/schemas/QuoteRequest' });
    expect(Object.keys(examples ?? {})).toEqual(['deposit', 'withdrawal']);
    for (const { value } of Object.values(examples ?? {})) {
      expect(request.safeParse(value).success).toBe(true);
      expect((await fetch(`${world.url}/v1/quotes`, quote({ ...value, asset: COIN_ID }))).status).toBe(200);
      expect(request.safeParse({ ...value, amount: 1 }).success).toBe(false);
    }
  });
});
