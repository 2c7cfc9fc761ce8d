/** A real Ethereum node for development: anvil, from npm's binary, on loopback. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort, portInUse } from '@isthmus/store';
import { ChainKeeper, hexNumber, rpc } from './chain-keeper.js';

const START_TIMEOUT_MS = 20_000;

export interface AnvilOptions {
  /** 0 or none picks a free one. */
  port?: number;
  /** Seconds from one block to the next while something waits for finality; none mines a block per transaction, and none besides. */
  blockTime?: number;
  /** File the chain is kept in; whatever is final is in it. */
  stateFile?: string;
  chainId?: number;
}

export interface Anvil {
  url: string;
  port: number;
  pid: number;
  /** Saves the chain and ends the node. */
  stop(): Promise<void>;
}

/** Starts anvil, going on from `stateFile` when it is there. @throws Error saying what to change. */
export async function startAnvil({ port, blockTime, stateFile, chainId = 31_337 }: AnvilOptions = {}): Promise<Anvil> {
  const at = port ? await assertFree(port) : await freePort();
  const kept = stateFile !== undefined && fs.existsSync(stateFile);
  const args = ['--host', '127.0.0.1', '--port', String(at), '--chain-id', String(chainId)];
  args.push('--slots-in-an-epoch', '1', '--silent');
  if (blockTime !== undefined) args.push('--no-mining');
  if (kept) args.push('--load-state', stateFile);
  // Own process group: a Ctrl-C in the terminal reaches the supervisor, which stops the chain in its turn.
  const child = spawn(binary(), args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const url = `http://127.0.0.1:${at}`;
  await untilReady(child, url, at);
  // Anvil forgets the state of all blocks but the newest when it loads: two more make that one readable as the final block.
  if (kept) for (let i = 0; i < 2; i += 1) await rpc(url, 'evm_mine');
  const keeper = new ChainKeeper({
    url,
    ...(blockTime === undefined ? {} : { blockTimeMs: blockTime * 1000 }),
    ...(stateFile === undefined ? {} : { stateFile }),
  });
  if (blockTime !== undefined || stateFile !== undefined)
    await keeper.start(hexNumber(await rpc(url, 'eth_blockNumber')));
  const stop = async (): Promise<void> => {
    await keeper.stop();
    await end(child);
  };
  return { url, port: at, pid: child.pid ?? 0, stop };
}

async function untilReady(child: ChildProcess, url: string, port: number): Promise<void> {
  let complaint = '';
  child.on('error', (error) => (complaint += error.message));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-2048)));
  const until = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(url))) {
    if (child.exitCode !== null || child.pid === undefined || Date.now() > until) {
      await end(child);
      throw new Error(`anvil did not start on port ${port}: ${firstLine(complaint) || 'no answer'}`);
    }
    await delay(20); // asked again until START_TIMEOUT_MS
  }
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

/** Another node on the port would answer in anvil's place. */
async function assertFree(port: number): Promise<number> {
  if (await portInUse(port))
    throw new Error(`Port ${port} (anvil) on 127.0.0.1 is in use: free it, or set another with ISTHMUS_ANVIL_PORT.`);
  return port;
}

function binary(): string {
  const platform = process.platform === 'win32' ? 'win32' : process.platform;
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `@foundry-rs/anvil-${platform}-${arch}/bin/anvil${platform === 'win32' ? '.exe' : ''}`;
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    throw new Error(`No anvil for ${process.platform}-${process.arch}: give the RPC URL of an Ethereum node instead.`);
  }
}

function answers(url: string): Promise<boolean> {
  return rpc(url, 'eth_chainId').then(
    () => true,
    () => false,
  );
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(late);
}

/** Anvil's own funded accounts, from its well-known test mnemonic. */
export const DEV_MNEMONIC = 'test test test test test test test test test test test junk';
