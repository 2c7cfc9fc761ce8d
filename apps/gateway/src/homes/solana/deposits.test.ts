/** Deposits on Solana as people meet them, over real HTTP and the real runtime: quote, wallet, confirmed, final, minted; forks, and what is for nobody. */
import { depositId, depositReference, isSolanaAddress, type DepositObservation } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import { VersionedTransaction } from '@solana/web3.js';
import { until } from '../../../harness.js';
import { createLogger } from '@isthmus/store';
import { HOLDER, SolanaStage } from '../../../solana-stage.js';
import type { DepositQuote, TransferDetail } from '../../api/schemas.js';
import { DecisionStore } from '../../transfers/decision-store.js';
import { TransferStore } from '../../transfers/transfer-store.js';
import { isSolana } from '../config.js';
import type { SolanaPayment, SolanaTransactionAnswer } from './answers.js';
import { openSolanaHome } from './home.js';

let stage: SolanaStage;
beforeAll(async () => {
  stage = await SolanaStage.open();
});
afterAll(() => stage.close());

type Refusal = { status: number; code?: string; detail?: string };
async function ask<T>(route: string, body?: unknown): Promise<T & Refusal> {
  const init =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(`${stage.url}${route}`, init);
  return { ...((await response.json()) as T), status: response.status };
}
const quote = (over: Record<string, unknown> = {}) =>
  ask<DepositQuote & SolanaPayment>('/v1/quotes', {
    direction: 'deposit',
    asset: stage.sol,
    amount: '70000000',
    recipient: HOLDER,
    ...over,
  });
const sender = (): string => stage.world.user.publicKey.toBase58();
const idOf = (signature: string, path = '0') => depositId(depositReference({ chain: stage.chain, signature, path }));

const state = (id: string, wanted: string): Promise<TransferDetail> =>
  until(`${id} is ${wanted}`, async () => {
    const detail = await ask<TransferDetail>(`/v1/transfers/${id}`);
    return detail.status === 200 && detail.state === wanted ? detail : null;
  });

async function minted(signature: string, amount: bigint): Promise<TransferDetail> {
  const reference = depositReference({ chain: stage.chain, signature, path: '0' });
  const deposit: DepositObservation = {
    id: depositId(reference),
    reference,
    txHash: signature,
    sender: sender(),
    recipient: HOLDER,
    amount,
    tags: '-',
  };
  for (const guardian of [0, 1]) await stage.attest(guardian, deposit);
  return state(deposit.id, 'minted');
}

describe('a deposit of SOL', () => {
  test('goes from its quote by a wallet to confirmed, final and minted', async () => {
    const quoted = await quote({ sender: sender() });
    expect(quoted).toMatchObject({
      status: 200,
      receive: '70000000',
      chain: stage.chain,
      vault: stage.world.sol.address,
    });
    const signature = await stage.signAndSend(quoted.transaction ?? '');
    await stage.world.chain.tick(2);
    const seen = await state(idOf(signature), 'confirming');
    expect(seen).toMatchObject({ amount: '70000000', sender: sender(), recipient: HOLDER, sourceTx: signature });
    expect(seen.timeline).toMatchObject([{ kind: 'seen', proof: { tx: signature, commitment: 'confirmed' } }]);
    await stage.finalize();
    const final = await state(idOf(signature), 'attesting');
    expect(final.timeline.at(-1)).toMatchObject({ kind: 'final', proof: { commitment: 'finalized' } });
    expect((await minted(signature, 70_000_000n)).timeline.map((s) => s.kind)).toEqual([
      'seen',
      'final',
      'attested',
      'attested',
      'minted',
    ]);
    const found = await ask<{ transfers: { id: string }[] }>(`/v1/transfers?source=${signature}`);
    expect(found.transfers.map((t) => t.id)).toEqual([idOf(signature)]);
    const { books } = await ask<{ books: { asset: string; locked: string; ok: boolean }[] }>('/v1/books');
    expect(books[0]).toMatchObject({ asset: stage.sol, locked: '70000000', supply: '70000000', ok: true });
  });

  test('is told as instructions without a name: what is the sender’s own is left open', async () => {
    const { transaction, instructions, memo } = await quote();
    expect([transaction, memo]).toEqual([null, `ao:${HOLDER}`]);
    expect(instructions.map((i) => i.accounts)).toEqual([
      [
        { role: 'sender', address: null, signer: true, writable: true },
        { role: 'vault', address: stage.world.sol.address, signer: false, writable: true },
      ],
      [],
    ]);
    expect(Buffer.from(instructions[1]?.data ?? '', 'base64').toString()).toBe(memo);
    const named = await quote({ asset: stage.token, sender: sender() });
    const roles = named.instructions[0]?.accounts.map((a) => [a.role, a.address]);
    expect(roles).toEqual([
      ['sender-account', stage.world.account(stage.world.user.publicKey).toBase58()],
      ['mint', stage.world.token.mint],
      ['vault', stage.world.token.address],
      ['sender', sender()],
    ]);
  });

  test('S13 a confirmed deposit that a fork drops is shown as orphaned, and comes back when it is sent again', async () => {
    const { transaction } = await quote({ amount: '123456', sender: sender() });
    const signature = await stage.signAndSend(transaction ?? '');
    await stage.world.chain.tick(2);
    await state(idOf(signature), 'confirming');
    stage.world.chain.fork([signature]);
    expect((await state(idOf(signature), 'orphaned')).waiting).toMatchObject({ reason: 'reorg' });
    expect(await stage.signAndSend(transaction ?? '')).toBe(signature);
    await stage.finalize();
    await state(idOf(signature), 'attesting');
    await minted(signature, 123_456n);
  });

  test('one without a memo is shown as refused with its reason, and found by its transaction', async () => {
    const [transfer] = stage.world.instructions(stage.world.sol, 4_321n);
    const signature = await stage.world.run(transfer ? [transfer] : []);
    await stage.finalize();
    const refused = await state(idOf(signature), 'refused');
    expect(refused).toMatchObject({ recipient: '-', amount: '4321', waiting: null });
    expect(refused.timeline.at(-1)).toMatchObject({ kind: 'refused', proof: { tx: signature, reason: 'no-memo' } });
  });

  test('S15 one with two memos is refused by that name', async () => {
    const [transfer, memo] = stage.world.instructions(stage.world.sol, 4_322n);
    const signature = await stage.world.run(transfer && memo ? [transfer, memo, memo] : []);
    await stage.finalize();
    expect((await state(idOf(signature), 'refused')).timeline.at(-1)?.proof['reason']).toBe('two-memos');
  });
});

describe('where a transaction stands', () => {
  const standing = (signature: string) => ask<SolanaTransactionAnswer>(`/v1/solana/transactions/${signature}`);
  /** Asked at a page's pace until it is as wanted: an answer serves for a second, and who asks too often must wait. */
  const stands = (signature: string, wanted: string): Promise<SolanaTransactionAnswer> =>
    until(`${signature} is ${wanted}`, async () => {
      const answer = await standing(signature);
      if (answer.state === wanted) return answer;
      await new Promise((resolve) => setTimeout(resolve, 500));
      return null;
    });
  const pay = async (amount: string): Promise<{ signature: string; transaction: string }> => {
    const { transaction } = await quote({ amount, sender: sender() });
    return { signature: await stage.signAndSend(transaction ?? ''), transaction: transaction ?? '' };
  };

  test('it is told from processed on, before the bridge knows of it, up to the deposit it made', async () => {
    const { signature } = await pay('80000001');
    const slot = stage.world.chain.ledger.open.slot;
    const nowhere = { signature, chain: stage.chain, transfers: [] };
    expect(await standing(signature)).toMatchObject({ ...nowhere, state: 'processed', slot, confirmations: 0 });
    await stage.world.chain.tick(2);
    expect(await stands(signature, 'confirmed')).toMatchObject({ slot, confirmations: 2 });
    await stage.finalize();
    expect(await stands(signature, 'finalized')).toMatchObject({ slot, confirmations: null });
    await minted(signature, 80_000_001n);
    expect((await standing(signature)).transfers).toEqual([{ id: idOf(signature), state: 'minted' }]);
  });

  test('S13 what a fork drops is told as dropped, by whoever saw it, and as what it is when it comes again', async () => {
    const { signature, transaction } = await pay('80000002');
    await stands(signature, 'processed');
    stage.world.chain.fork([signature]);
    expect(await stands(signature, 'dropped')).toMatchObject({ slot: null, confirmations: null, transfers: [] });
    expect(await stage.signAndSend(transaction)).toBe(signature);
    await stands(signature, 'processed');
    const unasked = await pay('80000003');
    await stage.world.chain.tick(2);
    await state(idOf(unasked.signature), 'confirming');
    stage.world.chain.fork([unasked.signature]);
    await state(idOf(unasked.signature), 'orphaned');
    expect((await standing(unasked.signature)).state).toBe('dropped'); // by the books: nobody had asked for it
    await stage.finalize();
    await stands(signature, 'finalized');
  });

  test('S1 one that failed is told as failed, and makes no deposit', async () => {
    const { world } = stage;
    const tooMuch = world.instructions(world.sol, 10n ** 15n, { recipient: HOLDER });
    const signature = await world.run(tooMuch, [], true);
    expect(await standing(signature)).toMatchObject({ state: 'failed', transfers: [] });
    await stage.finalize();
    expect(await standing(signature)).toMatchObject({ state: 'failed', transfers: [] });
  });

  test('X13 a signature nobody has seen is unknown; what can be none is refused; whoever asks too often waits', async () => {
    const unseen = solana.signatureOfWire(Buffer.alloc(65, 9));
    expect(await standing(unseen)).toEqual({
      status: 200,
      signature: unseen,
      chain: stage.chain,
      state: 'unknown',
      slot: null,
      confirmations: null,
      transfers: [],
    });
    for (const none of ['1', unseen.slice(1), `0x${'ab'.repeat(32)}`, sender()])
      expect(await standing(none)).toMatchObject({ status: 400, code: 'bad-request' });
    const many = await Promise.all(Array.from({ length: 121 }, () => standing(unseen)));
    expect(many.some(({ status, code }) => status === 429 && code === 'too-many-requests')).toBe(true);
  });
});

describe('Solana Pay', () => {
  const endpoint = async (over: Record<string, unknown> = {}): Promise<string> => {
    const { link } = await quote(over);
    const url = new URL(decodeURIComponent((link ?? '').replace(/^solana:/, '')));
    return `${url.pathname}${url.search}`;
  };

  test('the link of a quote is answered with who asks, and for an account with the same transaction as the quote', async () => {
    const tags = [{ name: 'X-Note', value: 'a&b=c' }];
    const route = await endpoint({ tags });
    expect(await ask(route)).toEqual({ status: 200, label: 'Isthmus', icon: 'http://localhost:4600/icon.svg' });
    const paid = await ask<{ transaction: string; message: string }>(route, { account: sender() });
    expect(paid.message).toBe(`Deposit 0.07 <b>SOL</b> for ${HOLDER} on AO`);
    const { message } = VersionedTransaction.deserialize(Buffer.from(paid.transaction, 'base64'));
    const { instructions } = await quote({ sender: sender(), tags });
    const datas = message.compiledInstructions.map((i) => Buffer.from(i.data).toString('base64'));
    expect(datas).toEqual(instructions.map((i) => i.data));
    const signature = await stage.signAndSend(paid.transaction);
    await stage.finalize();
    expect(await state(idOf(signature), 'attesting')).toMatchObject({ amount: '70000000' });
  });

  test('pages of other origins may read it, refusals too', async () => {
    const route = await endpoint();
    const preflight = await fetch(`${stage.url}${route}`, { method: 'OPTIONS' });
    expect([preflight.status, preflight.headers.get('access-control-allow-headers')]).toEqual([
      204,
      expect.stringContaining('content-type'),
    ]);
    for (const answer of [preflight, await fetch(`${stage.url}${route}`), await fetch(`${stage.url}/v1/solana/pay`)])
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect((await fetch(`${stage.url}/v1/chains`)).headers.get('access-control-allow-origin')).toBeNull();
  });

  test.each([
    ['', { account: 'x' }, 400, 'bad-request'],
    ['account', { account: 'nobody' }, 400, 'account: not a Solana address'],
    ['account', {}, 400, 'account: write the wallet’s address'],
    ['account', { account: 'x'.repeat(200) }, 400, 'account'],
    ['amount=1', { account: '' }, 400, 'below-minimum'],
    ['amount=-5', { account: '' }, 400, 'amount'],
    ['recipient=nobody', { account: '' }, 400, 'recipient'],
    ['tags=no+tags', { account: '' }, 400, 'tags'],
    ['asset=eip155:1/slip44:60', { account: '' }, 404, 'unknown-asset'],
    ['other=1', { account: '' }, 400, 'bad-request'],
  ])('X13 refuses %s %j', async (change, body, status, reason) => {
    const route = change === '' ? '/v1/solana/pay' : await endpoint();
    const url = new URL(route, stage.url);
    const [name = '', value] = change.split('=');
    if (value !== undefined) url.searchParams.set(name, value.replaceAll('+', ' '));
    const answer = await ask(
      `${url.pathname}${url.search}`,
      'account' in body && body.account === '' ? { account: sender() } : body,
    );
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer)).toContain(reason);
  });
});

describe('what is asked and refused', () => {
  test.each([
    [{ sender: 'me' }, 400, 'sender'],
    [{ sender: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' }, 400, 'sender'],
    [{ amount: '999' }, 400, 'below-minimum'],
    [{ amount: String(2n ** 64n) }, 400, 'above-capacity'],
    [{ direction: 'withdrawal', recipient: HOLDER }, 400, 'not a Solana address'],
    [{ direction: 'withdrawal', recipient: '11111111111111111111111111111111' }, 400, 'cannot be paid'],
    [{ direction: 'withdrawal', recipient: 'SysvarC1ock11111111111111111111111111111111' }, 400, 'cannot be paid'],
    [{ tags: [{ name: 'Y-Not', value: 'x' }] }, 400, 'bad-tags'],
  ])('a quote for %j', async (over, status, reason) => {
    const answer = await quote(over);
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer)).toContain(reason);
  });

  test('nobody is sent what would be stuck: the vaults, the mint, the multisig, the relayer', async () => {
    const { world } = stage;
    const own = [
      world.sol.address,
      world.token.address,
      world.token.mint,
      world.multisig.publicKey,
      world.relayer.publicKey,
    ];
    for (const recipient of own.map(String))
      expect(await quote({ direction: 'withdrawal', recipient })).toMatchObject({ code: 'forbidden-recipient' });
    const wallet = await quote({ direction: 'withdrawal', recipient: sender() });
    expect(wallet).toMatchObject({ status: 200, maxFee: '30000' });
  });

  test('S5 S8 an asset is not sold whose mint is none, whose vault one key holds, or whose decimals differ: with the reason', async () => {
    const { world, gateway, config } = stage;
    const own = config.homes.find(isSolana);
    const token = own?.assets[1];
    if (!own || !token) throw new Error('The stage has a token.');
    const plain = await world.makePlainAccount(world.mint.publicKey, world.user.publicKey);
    await stage.finalize();
    const log = createLogger('test', { write: () => undefined });
    const { database, engine } = gateway;
    const work = { database, engine, store: new TransferStore(database), decisions: new DecisionStore(database), log };
    const standing = (over: Partial<typeof token>) => {
      const changed = { ...token, ...over };
      const home = openSolanaHome(
        { ...own, assets: [changed] },
        { ...work, pollMs: 20, stuckMs: 20, publicUrl: stage.url },
      );
      return home.standing(changed);
    };
    expect(await standing({})).toMatchObject({ open: true });
    const closed = (why: string) => ({ open: false, room: 0n, why: expect.stringContaining(why) });
    expect(await standing({ vault: plain.toBase58() })).toMatchObject(closed('held by no multisig'));
    expect(await standing({ decimals: 7 })).toMatchObject(closed('6 decimals on the chain'));
    expect(await standing({ id: `${stage.chain}/token:${sender()}` })).toMatchObject(closed('It is no mint'));
  });

  test('chains and assets say the relayer, its nonces, who holds the vaults, the mint, and what a release costs', async () => {
    const told = () => ask<{ chains: { vaults: unknown[] }[] }>('/v1/chains');
    await until('the vaults are read', async () => (await told()).chains[0]?.vaults.length === 2);
    const { chains } = await told();
    const relayer = stage.world.relayer.publicKey.toBase58();
    const nonces = [0, 1].map((i) => solana.nonceAddress(relayer, i));
    const { sol, token, guardians, multisig } = stage.world;
    const held = {
      multisig: multisig.publicKey.toBase58(),
      guardianKeys: guardians.map((g) => g.publicKey.toBase58()),
      threshold: 2,
    };
    const vaults = [
      { asset: stage.sol, vault: sol.address, ...held },
      { asset: stage.token, vault: token.address, ...held },
    ];
    expect(chains).toEqual([{ id: stage.chain, name: 'local Solana', finalitySeconds: 13, relayer, nonces, vaults }]);
    const { assets } = await ask<{ assets: { vault: string; mint: string | null; relayFee: string | null }[] }>(
      '/v1/assets',
    );
    expect(assets.map((a) => [a.vault, a.mint, a.relayFee])).toEqual([
      [sol.address, null, null],
      [token.address, token.mint, '500'],
    ]);
    const leaving = { direction: 'withdrawal', recipient: sender(), asset: stage.token };
    expect(await quote(leaving)).toMatchObject({ status: 200, relayFee: '500', maxFee: '500' });
    expect(isSolanaAddress(relayer)).toBe(true);
  });
});

test('what came while the gateway was down is there when it is up again', async () => {
  await stage.gateway.stop();
  const signature = await stage.world.deposit(stage.world.token, 777n);
  await stage.finalize();
  await stage.restart();
  expect(await state(idOf(signature), 'attesting')).toMatchObject({ asset: stage.token, amount: '777' });
});
