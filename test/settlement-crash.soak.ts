/** I12: a kill -9 of the real gateway at durable steps of settlement loses and doubles nothing on Arweave. All steps are stepped through in libs/arweave. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createItem, ed25519Signer, type Item } from '@isthmus/ao';
import { ArweaveSource, readBundles } from '@isthmus/arweave';
import { addressOfWallet, startArweave, walletOf, type LocalArweave } from '@isthmus/devnet';
import { freePort, testCluster, type TestCluster } from '@isthmus/store';
import type { SettlementCrashPoint } from '../apps/gateway/src/crash-point.js';
import { KilledGateway, until, writeKeys } from './killed-gateway.js';

const ALICE = ed25519Signer(Buffer.alloc(32, 3));
const SCHEDULER = ed25519Signer(Buffer.alloc(32, 0x11)).address;
const MESSAGES = 6;

let cluster: TestCluster;
let folder: string;
let walletFile: string;
let wallet: string;

beforeAll(async () => {
  cluster = await testCluster();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-settle-crash-'));
  writeKeys(folder);
  walletFile = path.join(folder, 'wallet.json');
  wallet = addressOfWallet(await walletOf(walletFile));
});
afterAll(async () => {
  await cluster.close();
  fs.rmSync(folder, { recursive: true });
});

const item = (tags: Record<string, string>, more: { target?: string; data?: string } = {}): Promise<Item> =>
  createItem(
    {
      tags: Object.entries({ 'Data-Protocol': 'ao', ...tags }).map(([name, value]) => ({ name, value })),
      data: '',
      ...more,
    },
    ALICE,
  );

/** How the gateway settles on this Arweave, whose index never lags. */
const settlementOn = (arweaveUrl: string) => ({
  arweaveUrl,
  walletFile,
  bundleSeconds: 0.2,
  confirmations: 2,
  finalConfirmations: 5,
  indexSeconds: 0,
  pollMs: 100,
  minDays: 0,
});

/** What is on Arweave, bundle after bundle, checked as a stranger would. */
async function settledMessages(arweave: LocalArweave): Promise<string[]> {
  const source = new ArweaveSource(arweave.url);
  const ids: string[] = [];
  for await (const { ranges } of readBundles({ source, scheduler: SCHEDULER }))
    ids.push(...ranges.flatMap((r) => r.entries.map((e) => e.message.id)));
  return ids;
}

const POINTS: readonly SettlementCrashPoint[] = ['settle.sign.after-commit', 'settle.post.before-mark'];

it.each(POINTS)('I12 X4 the gateway killed at %s', async (point) => {
  const dir = path.join(folder, point);
  const arweave = await startArweave({ dir });
  await arweave.mint(wallet, 10n ** 15n);
  const gateway = new KilledGateway({
    folder,
    port: await freePort(),
    databaseUrl: await cluster.fresh(),
    more: { settlement: settlementOn(arweave.url) },
    crashAt: [point],
  });
  try {
    const module = await item(
      { Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' },
      { data: 'function handle() end' },
    );
    const process = await item({ Type: 'Process', Module: module.id });
    const messages: Item[] = [];
    for (let i = 0; i < MESSAGES; i += 1)
      messages.push(await item({ Type: 'Message', Number: String(i) }, { target: process.id }));
    for (const one of [module, process, ...messages]) await gateway.send(one);
    await until('all is final', async () => {
      await arweave.mine();
      const answer = await fetch(`${gateway.url}/v1/settlement`);
      const { waiting, newest, bundles } = (await answer.json()) as {
        waiting: { since: string | null };
        newest: number;
        bundles: { state: string }[];
      };
      return newest > 0 && waiting.since === null && bundles.every((b) => b.state === 'final') && gateway.kills === 1;
    });
    const sent = [process, ...messages].map((m) => m.id);
    expect(await settledMessages(arweave)).toEqual(sent);
  } finally {
    await gateway.end();
    await arweave.stop();
  }
});
