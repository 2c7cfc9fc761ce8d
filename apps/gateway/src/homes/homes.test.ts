/** Several homes behind one gateway: each by itself, so that one whose chain is away keeps no other back. */
import { depositId, withdrawalId } from '@isthmus/bridge';
import { devAccount } from '@isthmus/devnet';
import type { DataSource } from 'typeorm';
import { zeroAddress, type Hex } from 'viem';
import { CHAIN, COIN_ID, GatewayStage, until } from '../../harness.js';
import { TransferStore } from '../transfers/transfer-store.js';
import { isEthereum } from './config.js';

const AWAY = 'eip155:31338';
const AWAY_COIN = `${AWAY}/slip44:60`;
/** Nobody has spawned it. */
const AWAY_PROCESS = `${'A'.repeat(42)}E`;
const HOLDER = devAccount(5).address;
let world: GatewayStage;

interface Health {
  parts: Record<string, { ok: boolean } | undefined>;
}
const isWell = async (part: string) => (await world.get<Health>('/health')).parts[part]?.ok;
const stateOf = async (id: Hex) => (await world.get<{ state: string }>(`/v1/transfers/${id}`)).state;
const quoteOf = async (asset: string, recipient: string, direction = 'deposit') => {
  const response = await fetch(`${world.url}/v1/quotes`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ direction, asset, amount: '5000', recipient }),
  });
  return (await response.json()) as { code?: string; chain?: string };
};

beforeAll(async () => {
  world = await GatewayStage.open((config) => ({
    ...config,
    homes: config.homes.filter(isEthereum).flatMap(({ chain, assets }) => [
      {
        chain: { ...chain, id: AWAY, name: 'away', rpcUrls: ['http://127.0.0.1:9'] },
        assets: assets.map((a) => ({ ...a, id: AWAY_COIN, process: AWAY_PROCESS })),
      },
      { chain, assets },
    ]),
  }));
});
afterAll(async () => world.close());

/** Transfers of the home that is away, as they were when it still was there. */
async function leftBehind(database: DataSource): Promise<{ deposit: Hex; withdrawal: Hex }> {
  const reference = `${AWAY}:${world.stage.vault}:1`;
  const ids = { deposit: depositId(reference), withdrawal: withdrawalId(AWAY_PROCESS, 1n) };
  const shared = { asset: AWAY_COIN, process: AWAY_PROCESS, sender: HOLDER, recipient: HOLDER, at: new Date() };
  const store = new TransferStore(database);
  await store.transaction(async (manager) => {
    const place = { reference, txHash: `0x${'1'.repeat(64)}`, blockNumber: 1_000_000n };
    await store.addDeposits(manager, [{ ...shared, ...place, id: ids.deposit, state: 'confirming', amount: 7n }]);
    await store.addWithdrawals(manager, [{ ...shared, id: ids.withdrawal, amount: 7n, maxFee: 1n, number: 1n }]);
    await store.move(manager, [ids.withdrawal], ['queued'], 'submitted', new Date());
  });
  return ids;
}

it('X10 a home whose chain is away stands still alone: what is of it stays as it is, and the others go on', async () => {
  const left = await leftBehind(world.gateway.database);
  await until('each part says how it does', async () => {
    const [away, here] = [await isWell(`chain ${AWAY}`), await isWell(`chain ${CHAIN}`)];
    return away === false && here && (await isWell(`relayer ${AWAY}`)) === false && (await isWell(`relayer ${CHAIN}`));
  });
  await world.stage.deposit(5_000n, HOLDER, '0x');
  const id = depositId(`${CHAIN}:${world.stage.vault}:${await world.stage.read<bigint>('sequence')}`);
  await until('it is seen', async () => (await fetch(`${world.url}/v1/transfers/${id}`)).status === 200);
  await world.mine(5);
  await until('it is final', async () => (await stateOf(id)) === 'attesting');
  // Neither the other's index nor its relayer has touched them: it does not have them, and so would say they are gone.
  expect([await stateOf(left.deposit), await stateOf(left.withdrawal)]).toEqual(['confirming', 'submitted']);
});

it('says what each home is, and shows the books of those that can be read', async () => {
  expect(await world.get('/v1/chains')).toMatchObject({ chains: [{ id: AWAY, name: 'away' }, { id: CHAIN }] });
  expect(await world.get('/v1/assets')).toMatchObject({
    assets: [
      { id: AWAY_COIN, chain: AWAY, address: zeroAddress },
      { id: COIN_ID, chain: CHAIN, address: zeroAddress },
    ],
  });
  expect(await world.get('/v1/books')).toMatchObject({
    books: [{ asset: COIN_ID }],
    unread: [{ asset: AWAY_COIN, detail: expect.any(String) as string }],
  });
  expect((await fetch(`${world.url}/v1/books?asset=${encodeURIComponent(AWAY_COIN)}`)).ok).toBe(false);
  expect(await world.get(`/v1/books?asset=${COIN_ID}`)).toMatchObject({ books: [{ asset: COIN_ID }], unread: [] });
});

it('sells what can be carried, by the rules of its home', async () => {
  expect(await quoteOf(COIN_ID, HOLDER)).toMatchObject({ chain: CHAIN });
  expect(await quoteOf(AWAY_COIN, HOLDER)).toMatchObject({ code: 'engine-not-ready' });
  // The other home's token process is as little a recipient as its own.
  expect(await quoteOf(COIN_ID, AWAY_PROCESS)).toMatchObject({ code: 'forbidden-recipient' });
  expect(await quoteOf(COIN_ID, 'nobody', 'withdrawal')).toMatchObject({ code: 'bad-request' });
});

it('has figures of each home that can be read, and counts those that cannot', async () => {
  const text = await (await fetch(`${world.url}/metrics`)).text();
  expect(text).toMatch(new RegExp(`^isthmus_gateway_books_difference\\{asset="${COIN_ID}"\\}`, 'm'));
  expect(text).not.toContain(`isthmus_gateway_books_difference{asset="${AWAY_COIN}"}`);
  expect(text).toMatch(new RegExp(`^isthmus_gateway_relayer_balance\\{chain="${CHAIN}",.*unit="wei"\\} `, 'm'));
  expect(text).not.toContain(`isthmus_gateway_relayer_balance{chain="${AWAY}"`);
  const counted = await (await fetch(`${world.url}/metrics`)).text(); // by the scrape before
  for (const figure of ['books_difference', 'relayer_balance'])
    expect(counted).toMatch(new RegExp(`^isthmus_gateway_unread_figures_total\\{figure="${figure}"\\} [1-9]`, 'm'));
});
