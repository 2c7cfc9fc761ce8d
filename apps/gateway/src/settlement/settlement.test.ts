/** A gateway that settles, as its users and its operator see it: on a local Arweave, with a real deposit. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ArweaveSource, readBundles } from '@isthmus/arweave';
import { depositId, type DepositObservation } from '@isthmus/bridge';
import { addressOfWallet, devAccount, devKey, startArweave, walletOf, type LocalArweave } from '@isthmus/devnet';
import { writeKeyFile } from '@isthmus/store';
import { CHAIN, COIN_ID, GatewayStage, until } from '../../harness.js';
import { gatewaySchema } from '../config.js';
import type { SettledBundlePage, SettledView, SettlementAnswer } from './schemas.js';

const OPERATOR = `0x${'9'.repeat(64)}` as const;
const ALICE = devAccount(5).address;
let world: GatewayStage;
let arweave: LocalArweave;
let folder: string;
let wallet: string;

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-settle-'));
  const walletFile = path.join(folder, 'wallet.json');
  const [jwk, started] = await Promise.all([walletOf(walletFile), startArweave({ dir: path.join(folder, 'arweave') })]);
  arweave = started;
  wallet = addressOfWallet(jwk);
  await arweave.mint(wallet, 10n ** 15n);
  const settlement = {
    arweaveUrl: arweave.url,
    walletFile,
    bundleSeconds: 0.2,
    confirmations: 2,
    finalConfirmations: 5,
    pollMs: 50,
    minBalance: '1000',
    behindSeconds: 3600,
    indexSeconds: 0,
    releaseAbove: { [COIN_ID]: '2000' },
  };
  writeKeyFile(path.join(folder, 'operator.key'), OPERATOR);
  world = await GatewayStage.open((config) => ({
    ...config,
    operatorKeyFile: path.join(folder, 'operator.key'),
    settlement: gatewaySchema.parse({
      databaseUrl: 'x',
      publicUrl: config.publicUrl,
      ao: config.ao,
      homes: [],
      settlement,
    }).settlement,
  }));
});
afterAll(async () => {
  await world.close();
  await arweave.stop();
  fs.rmSync(folder, { recursive: true });
});

interface Detail {
  state: string;
  timeline: { kind: string; proof: Record<string, unknown>; settlement: SettledView | null }[];
}
interface Journey {
  settlement: SettledView | null;
  places: { settlement: SettledView | null }[];
}
const health = async () =>
  (await world.get<{ parts: Record<string, { ok: boolean; code?: string; advisory?: boolean }> }>('/health')).parts[
    'settlement'
  ];

async function minted(amount: bigint): Promise<{ deposit: DepositObservation; messages: string[] }> {
  const receipt = await world.stage.deposit(amount, ALICE, '0x');
  const sequence = await world.stage.read<bigint>('sequence');
  const reference = `${CHAIN}:${world.stage.vault}:${sequence}`;
  const deposit: DepositObservation = {
    id: depositId(reference),
    reference,
    txHash: receipt.transactionHash,
    sender: world.stage.account.address,
    recipient: ALICE,
    amount,
    tags: '-',
  };
  const messages = [await world.attest(0, deposit), await world.attest(1, deposit)];
  await until('it is minted', async () => {
    const found = await world.get<Detail>(`/v1/transfers/${deposit.id}`).catch(() => null);
    return found?.state === 'minted';
  });
  return { deposit, messages };
}

it('I10 shows where each message of a transfer is on Arweave, from the bundle to its confirmation', async () => {
  const { deposit, messages } = await minted(5_000n);
  const settled = (wanted: string) =>
    until(`its steps are ${wanted}`, async () => {
      const { timeline } = await world.get<Detail>(`/v1/transfers/${deposit.id}`);
      const steps = timeline.filter((s) => 'message' in s.proof);
      return steps.length > 0 && steps.every((s) => s.settlement?.state === wanted) ? timeline : null;
    });
  await settled('posted');
  await arweave.mine(2);
  const timeline = await settled('confirmed');
  for (const step of timeline) if (!('message' in step.proof)) expect(step.settlement).toBeNull();
  const { settlement } = timeline.find((s) => s.proof['message'] === messages[0]) ?? {};
  // The bundle is there, holds the message, and is what the API says.
  const scheduler = world.gateway.engine.scheduler;
  const source = new ArweaveSource(arweave.url);
  const found = new Map<string, { bundle: number; tx: string; seal: string }>();
  for await (const { tx, seal, ranges } of readBundles({ source, scheduler }))
    for (const { message } of ranges.flatMap((r) => r.entries))
      found.set(message.id, { bundle: seal.sequence, tx, seal: seal.item.id });
  const { tx, ...place } = found.get(messages[0] ?? '') ?? { tx: '' };
  expect(settlement).toEqual({ ...place, transaction: tx, state: 'confirmed' });
  const journey = await world.get<Journey>(`/v1/ao/messages/${messages[0]}`);
  expect(journey.settlement).toEqual(settlement);
  expect(journey.places.map((p) => p.settlement)).toEqual([settlement]);
});

it('tells its state, its bundles by pages, and its wallet', async () => {
  const { deposit } = await minted(6_000n);
  const status = await until('all is final', async () => {
    await arweave.mine();
    // With what was placed last: that may not have been looked at yet.
    const { timeline } = await world.get<Detail>(`/v1/transfers/${deposit.id}`);
    if (!timeline.every((s) => !('message' in s.proof) || s.settlement?.state === 'final')) return null;
    const answer = await world.get<SettlementAnswer>('/v1/settlement');
    return answer.bundles.every((b) => b.state === 'final') ? answer : null;
  });
  expect(status).toMatchObject({
    scheduler: world.gateway.engine.scheduler,
    settles: true,
    confirmations: 2,
    wallet: { address: wallet, balance: expect.stringMatching(/^[1-9][0-9]*$/) as unknown },
  });
  const all: number[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: SettledBundlePage = await world.get(`/v1/settlement/bundles?limit=1${cursor && `&cursor=${cursor}`}`);
    expect(page.bundles).toHaveLength(1);
    all.push(...page.bundles.map((b) => b.sequence));
    cursor = page.nextCursor;
  }
  expect(all).toEqual(Array.from({ length: status.newest }, (_, i) => status.newest - i));
  const metrics = await (await fetch(`${world.url}/metrics`)).text();
  expect(metrics).toContain(`isthmus_settlement_bundles{state="final"} ${status.newest}`);
  expect(metrics).toMatch(/isthmus_settlement_wallet_balance_winston [1-9]/);
  expect(metrics).toContain('isthmus_settlement_oldest_waiting_seconds 0');
});

it('I10 says of a large withdrawal that it waits for settlement, until it is confirmed', async () => {
  await minted(50_000n);
  const withdraw = (amount: string) =>
    world.message(devKey(5), {
      Action: 'Withdraw',
      Quantity: amount,
      Recipient: devAccount(6).address,
      'Max-Fee': '1',
    });
  const [large, small] = [await withdraw('2001'), await withdraw('2000')];
  interface Page {
    transfers: { id: string; waiting: { reason: string } | null }[];
  }
  const reasonOf = async (message: string) => {
    const [found] = (await world.get<Page>(`/v1/transfers?message=${message}`)).transfers;
    if (!found) return null;
    const alone = await world.get<Page['transfers'][number]>(`/v1/transfers/${found.id}`);
    return alone.waiting?.reason === found.waiting?.reason ? found.waiting?.reason : null;
  };
  await until('the large one waits', async () => (await reasonOf(large)) === 'settlement');
  await until('the small one does not', async () => (await reasonOf(small)) === 'signatures');
  await until('it is settled', async () => {
    await arweave.mine();
    return (await reasonOf(large)) === 'signatures';
  });
});

it.each(['limit=0', 'limit=101', 'cursor=x', 'more=1'])('X14 refuses the page %s', async (query) => {
  const response = await fetch(`${world.url}/v1/settlement/bundles?${query}`);
  expect(response.status).toBe(400);
});

it('says so when Arweave is away, and the bridge goes on', async () => {
  await until('all is well', async () => (await health())?.ok === true);
  arweave.faults.fail();
  const { deposit } = await minted(7_000n);
  await until('settlement is unwell', async () => (await health())?.code === 'unreachable');
  expect(await health()).toMatchObject({ ok: false, advisory: true });
  expect((await fetch(`${world.url}/ready`)).status).toBe(200);
  arweave.faults.heal();
  await until('it goes on', async () => {
    const { timeline } = await world.get<Detail>(`/v1/transfers/${deposit.id}`);
    const steps = timeline.filter((s) => 'message' in s.proof);
    return steps.every((s) => s.settlement?.state === 'posted') && (await health())?.ok === true;
  });
});

it('posts a final bundle again for its operator alone; one that is on its way already is', async () => {
  const ask = (bundle: string, key: string = OPERATOR, body: unknown = {}) =>
    fetch(`${world.url}/v1/settlement/bundles/${bundle}/repost`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const first = async () => (await world.get<SettledBundlePage>('/v1/settlement/bundles?limit=1&cursor=2')).bundles[0];
  await until('the first bundle is final', async () => {
    await arweave.mine(5);
    return (await first())?.state === 'final';
  });
  const before = await first();
  expect((await ask('1', OPERATOR.replace('9', '8'))).status).toBe(401);
  for (const none of ['0', '01', 'x', '999999']) expect((await ask(none)).status).toBe(404);
  expect((await first())?.state).toBe('final');
  const unseen = await ask('1');
  expect([unseen.status, await unseen.json()]).toEqual([
    409,
    expect.objectContaining({
      code: 'not-lost',
      detail: expect.stringMatching(/^Bundle 1 was not seen lost: its \d+ bytes would be paid for a second time/),
    }),
  ]);
  expect((await ask('1', OPERATOR, { force: 'yes' })).status).toBe(400);
  expect(await first()).toEqual(before);
  const answer = await ask('1', OPERATOR, { force: true });
  expect([answer.status, await answer.json()]).toEqual([
    200,
    expect.objectContaining({ sequence: 1, state: 'sealed', lost: null }),
  ]);
  const again = await until('it is posted', async () => {
    const now = await first();
    return now?.state === 'posted' ? now : null;
  });
  expect(again).toMatchObject({ seal: before?.seal, sha256: before?.sha256, carriers: (before?.carriers ?? 0) + 1 });
  expect(again.transaction).not.toBe(before?.transaction);
  const refused = async (state: string) => {
    const twice = await ask('1');
    expect([twice.status, await twice.json()]).toEqual([
      409,
      expect.objectContaining({
        code: 'on-its-way',
        detail: expect.stringMatching(`^Bundle 1 is ${state}, posted again at 2.*: it is on its way until it is final`),
      }),
    ]);
  };
  await refused('posted');
  await arweave.mine(2);
  await until('it is confirmed', async () => (await first())?.state === 'confirmed');
  await refused('confirmed');
  expect((await first())?.carriers).toBe(again.carriers);
});

it('never shows the wallet’s key', () => {
  const key = JSON.parse(fs.readFileSync(path.join(folder, 'wallet.json'), 'utf8')) as { d: string; p: string };
  const logged = GatewayStage.logged.join('\n');
  for (const secret of [key.d, key.p]) expect(logged).not.toContain(secret);
});

describe('configuration', () => {
  const good = { arweaveUrl: 'https://arweave.example', walletFile: 'w.json' };
  const embedded = { engine: 'embedded', schedulerKeyFile: 's.key', messengerKeyFile: 'm.key' };
  const read = (settlement: object, ao: object = embedded) =>
    gatewaySchema.safeParse({
      databaseUrl: 'postgres://x',
      publicUrl: 'https://gateway.example',
      ao,
      homes: [],
      settlement,
    });

  it('takes what may be left out', () => {
    expect(read(good).data?.settlement).toMatchObject({ bundleMiB: 8, confirmations: 10, finalConfirmations: 50 });
  });

  it.each<[string, object, object]>([
    ['settlement.arweaveUrl', { ...good, arweaveUrl: 'ftp://x' }, embedded],
    ['settlement.walletFile', { ...good, walletFile: '' }, embedded],
    ['settlement.finalConfirmations', { ...good, confirmations: 10, finalConfirmations: 10 }, embedded],
    ['settlement.minBalance', { ...good, minBalance: 1 }, embedded],
    ['settlement.releaseAbove.x', { ...good, releaseAbove: { x: '01' } }, embedded],
    ['settlement', { ...good, more: 1 }, embedded],
    [
      'settlement',
      good,
      {
        engine: 'core',
        nodeUrls: ['https://node.example'],
        gatewayUrl: 'https://arweave.example',
        scheduler: 'A'.repeat(43),
        messenger: 'A'.repeat(43),
      },
    ],
  ])('names a wrong %s', (key, settlement, ao) => {
    expect(read(settlement, ao).error?.issues.map((i) => i.path.join('.'))).toContain(key);
  });
});
