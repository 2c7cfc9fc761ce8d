/** A real Ethereum node for development: anvil, from npm's binary, on loopback. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '@isthmus/store';

const START_TIMEOUT_MS = 20_000;

export interface AnvilOptions {
  /** 0 or none picks a free one. */
  port?: number;
  /** Seconds between blocks; none mines a block per transaction. */
  blockTime?: number;
  /** File the chain is kept in, written every second and at the end. */
  stateFile?: string;
  chainId?: number;
}

export interface Anvil {
  url: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
}

/** Starts anvil. @throws Error saying what to change. */
export async function startAnvil({ port, blockTime, stateFile, chainId = 31_337 }: AnvilOptions = {}): Promise<Anvil> {
  const at = port || (await freePort());
  const args = [
    '--host',
    '127.0.0.1',
    '--port',
    String(at),
    '--chain-id',
    String(chainId),
    '--slots-in-an-epoch',
    '1',
    '--silent',
  ];
  if (blockTime !== undefined) args.push('--block-time', String(blockTime), '--mixed-mining');
  if (stateFile !== undefined) args.push('--state', stateFile, '--state-interval', '1', '--preserve-historical-states');
  // Own process group: a Ctrl-C in the terminal reaches the supervisor, which stops the chain in its turn.
  const child = spawn(binary(), args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-2048)));
  const url = `http://127.0.0.1:${at}`;
  const until = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(url))) {
    if (child.exitCode !== null || Date.now() > until) {
      await end(child);
      throw new Error(`anvil did not start on port ${at}: ${complaint.trim() || 'no answer'}`);
    }
    await delay(20); // asked again until START_TIMEOUT_MS
  }
  return { url, port: at, pid: child.pid ?? 0, stop: () => end(child) };
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

async function answers(url: string): Promise<boolean> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] });
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body }).then(
    (r) => r.ok,
    () => false,
  );
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(late);
}

/** Anvil's own funded accounts, from its well-known test mnemonic. */
export const DEV_MNEMONIC = 'test test test test test test test test test test test junk';
