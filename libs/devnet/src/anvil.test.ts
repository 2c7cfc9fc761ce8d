/** The local chain against the real node: what is final outlives kill -9, and another's node is never taken for ours. */
import fs from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startAnvil, type Anvil } from './anvil.js';
import { hexNumber, rpc } from './chain-keeper.js';
import { devAccount } from './accounts.js';

const QUICK = 0.02;
let folder: string;
let running: Anvil[];

interface Block {
  number: string;
  hash: string;
}

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-anvil-'));
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((a) => a.stop()));
  fs.rmSync(folder, { recursive: true, force: true });
});

const stateFile = (): string => path.join(folder, 'chain.json');

async function start(options: Parameters<typeof startAnvil>[0] = {}): Promise<Anvil> {
  const anvil = await startAnvil(options);
  running.push(anvil);
  return anvil;
}

const block = (url: string, which: string): Promise<Block> =>
  rpc(url, 'eth_getBlockByNumber', [which, false]) as Promise<Block>;

/** Sends a coin and waits until it is final. */
async function pay(url: string): Promise<{ txHash: string; final: Block }> {
  const [from, to] = [devAccount(0).address, devAccount(5).address];
  const txHash = (await rpc(url, 'eth_sendTransaction', [{ from, to, value: '0x1' }])) as string;
  for (;;) {
    const receipt = (await rpc(url, 'eth_getTransactionReceipt', [txHash])) as { blockNumber: string } | null;
    const final = await block(url, 'finalized');
    if (receipt && hexNumber(final.number) >= hexNumber(receipt.blockNumber)) return { txHash, final };
    await delay(10); // asked again until the test's own limit
  }
}

it('I12 keeps every final block, receipt and balance through kill -9', async () => {
  const first = await start({ blockTime: QUICK, stateFile: stateFile() });
  const { txHash, final } = await pay(first.url);
  process.kill(first.pid, 'SIGKILL');
  await first.stop(); // who was saving has ended too
  fs.writeFileSync(`${stateFile()}.new`, '{"half'); // what a kill in the middle of saving leaves

  const second = await start({ blockTime: QUICK, stateFile: stateFile() });
  expect((await block(second.url, final.number)).hash).toBe(final.hash);
  expect(await rpc(second.url, 'eth_getTransactionReceipt', [txHash])).toMatchObject({ status: '0x1' });
  const now = await block(second.url, 'finalized');
  expect(hexNumber(now.number)).toBeGreaterThanOrEqual(hexNumber(final.number));
  // The state of the final block itself is readable at once: guardians read balances there.
  expect(BigInt((await rpc(second.url, 'eth_getBalance', [devAccount(5).address, 'finalized'])) as string)).toBe(
    10_000n * 10n ** 18n + 1n,
  );
  await pay(second.url);
});

it('keeps the chain over an ordinary stop, also when the node mines by itself', async () => {
  const first = await start({ stateFile: stateFile() });
  const [from, to] = [devAccount(0).address, devAccount(5).address];
  const txHash = await rpc(first.url, 'eth_sendTransaction', [{ from, to, value: '0x1' }]);
  while (!(await rpc(first.url, 'eth_getTransactionReceipt', [txHash]))) await delay(10); // asked again until the test's own limit
  const head = await block(first.url, 'latest');
  await first.stop();
  const second = await start({ stateFile: stateFile() });
  expect((await block(second.url, head.number)).hash).toBe(head.hash);
});

it('names a port in use and the setting that changes it, rather than take another node for its own', async () => {
  const other = await start();
  await expect(startAnvil({ port: other.port })).rejects.toThrow(
    `Port ${other.port} (anvil) on 127.0.0.1 is in use: free it, or set another with ISTHMUS_ANVIL_PORT.`,
  );
  const mute = net.createServer().listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const { port } = mute.address() as net.AddressInfo;
  await expect(startAnvil({ port })).rejects.toThrow('in use');
  mute.close();
});

it('says what is wrong with a state it cannot read', async () => {
  fs.writeFileSync(stateFile(), '{"half');
  await expect(startAnvil({ stateFile: stateFile() })).rejects.toThrow(/anvil did not start.*chain\.json/);
});
