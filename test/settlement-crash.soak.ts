/** I12: a kill -9 of the real gateway at durable steps of settlement loses and doubles nothing on Arweave. All steps are stepped through in libs/arweave. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, ed25519Signer, type Item } from '@isthmus/ao';
import { ArweaveSource, readBundles } from '@isthmus/arweave';
import { addressOfWallet, startArweave, walletOf, type LocalArweave } from '@isthmus/devnet';
import { freePort, projectRoot, testCluster, writeKeyFile, type TestCluster } from '@isthmus/store';
import type { SettlementCrashPoint } from '../apps/gateway/src/crash-point.js';

const ALICE = ed25519Signer(Buffer.alloc(32, 3));
const SCHEDULER = ed25519Signer(Buffer.alloc(32, 0x11)).address;
const MESSAGES = 6;
/** Bound on one wait; far above what anything here takes. */
const PATIENCE_MS = 120_000;

let cluster: TestCluster;
let folder: string;
let walletFile: string;
let wallet: string;

beforeAll(async () => {
  cluster = await testCluster();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-settle-crash-'));
  for (const [name, byte] of Object.entries({ scheduler: '11', messenger: '22', relayer: '33' }))
    writeKeyFile(path.join(folder, `${name}.key`), `0x${byte.repeat(32)}`);
  walletFile = path.join(folder, 'wallet.json');
  wallet = addressOfWallet(await walletOf(walletFile));
});
afterAll(async () => {
  await cluster.close();
  fs.rmSync(folder, { recursive: true });
});

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await look().catch(() => false))) {
    if (Date.now() > end) throw new Error(`It never came that ${what}.`);
    await delay(50);
  }
}

const item = (tags: Record<string, string>, more: { target?: string; data?: string } = {}): Promise<Item> =>
  createItem(
    {
      tags: Object.entries({ 'Data-Protocol': 'ao', ...tags }).map(([name, value]) => ({ name, value })),
      data: '',
      ...more,
    },
    ALICE,
  );

async function send(url: string, { raw }: Item): Promise<void> {
  const headers = { 'content-type': 'application/octet-stream' };
  await until('the gateway takes it', async () => {
    const answer = await fetch(`${url}/mu`, { method: 'POST', headers, body: new Uint8Array(raw) });
    return answer.ok;
  });
}

/** The configuration of a gateway that carries AO, settles on this Arweave, and bridges nothing. */
async function configOf(port: number, arweaveUrl: string): Promise<string> {
  const key = (name: string) => path.join(folder, `${name}.key`);
  const file = path.join(folder, `${port}.json`);
  const config = {
    databaseUrl: await cluster.fresh(),
    migrate: true,
    port,
    publicUrl: 'http://localhost:4600',
    relayerKeyFile: key('relayer'),
    ao: { engine: 'embedded', schedulerKeyFile: key('scheduler'), messengerKeyFile: key('messenger') },
    chain: {
      id: 'eip155:31337',
      name: 'none',
      rpcUrls: ['http://127.0.0.1:9'],
      finality: { confirmations: 1 },
      finalitySeconds: 1,
      vault: `0x${'0'.repeat(40)}`,
      deployBlock: 0,
    },
    assets: [],
    settlement: {
      arweaveUrl,
      walletFile,
      bundleSeconds: 0.2,
      confirmations: 2,
      finalConfirmations: 5,
      pollMs: 100,
      minDays: 0,
    },
  };
  fs.writeFileSync(file, JSON.stringify(config));
  return file;
}

/** A gateway's process that is begun again, whole, when it was killed. */
class Running {
  kills = 0;
  private child: ChildProcess;
  private ending = false;

  constructor(
    private readonly config: string,
    crashAt: string,
  ) {
    this.child = this.launch({ ISTHMUS_CRASH_AT: crashAt });
  }

  private launch(more: Record<string, string> = {}): ChildProcess {
    const main = path.join(projectRoot(), 'dist/apps/gateway/src/main.js');
    const env = { PATH: process.env['PATH'] ?? '', ISTHMUS_CONFIG: this.config, ...more };
    const child = spawn(process.execPath, [main], { env, stdio: 'ignore' });
    child.once('exit', (_, signal) => {
      if (signal === 'SIGKILL') this.kills += 1;
      if (!this.ending) this.child = this.launch();
    });
    return child;
  }

  async end(): Promise<void> {
    this.ending = true;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await gone;
  }
}

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
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const gateway = new Running(await configOf(port, arweave.url), point);
  try {
    const module = await item(
      { Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' },
      { data: 'function handle() end' },
    );
    const process = await item({ Type: 'Process', Module: module.id });
    const messages: Item[] = [];
    for (let i = 0; i < MESSAGES; i += 1)
      messages.push(await item({ Type: 'Message', Number: String(i) }, { target: process.id }));
    for (const one of [module, process, ...messages]) await send(url, one);
    await until('all is final', async () => {
      await arweave.mine();
      const answer = await fetch(`${url}/v1/settlement`);
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
