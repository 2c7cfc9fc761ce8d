/**
 * A backlog of deposits: they wait on the chain while every guardian is down; then three guardians come up, see, attest and mint them
 * all. Measured from the guardians' start to the last mint, on the real processes.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { aoAddressToBytes } from '@isthmus/bridge';
import { encodeCoinDeposit } from '@isthmus/chains';
import { devAccount, guardianNames, startStack, type Stack } from '@isthmus/devnet';
import { freePort, freePorts } from '@isthmus/store';
import { zeroAddress } from 'viem';
import { compileContracts } from '../contracts/ethereum/compile.js';
import type { Figure } from './figure.js';

const DEPOSITS = 10_000;
const PER_BLOCK = 20;
const VALUE = 10n ** 15n;
const PATIENCE_MS = 300_000;
const PARTS = ['watch', 'follow', 'attest', 'sign', 'decide', 'send'];

export async function run(): Promise<Figure[]> {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-bench-'));
  fs.chmodSync(home, 0o755);
  const ports = {
    gateway: await freePort(),
    anvil: await freePort(),
    postgres: await freePort(),
    guardians: await freePorts(guardianNames().length),
  };
  const stack = await startStack({ home, ports, contracts: compileContracts(), pollMs: 200 });
  try {
    for (const guardian of stack.guardians) await guardian.stop();
    await fill(stack);
    const began = performance.now();
    for (const guardian of stack.guardians) guardian.launch();
    await untilMinted(stack, began);
    const seconds = (performance.now() - began) / 1000;
    await sayWhere(stack, ports.guardians, seconds);
    const pids = [stack.gateway, ...stack.guardians].flatMap((c) => (c.pid === undefined ? [] : [c.pid]));
    const calls = await Promise.all(
      stack.guardians.map((_, i) => metric(ports.guardians + i, 'isthmus_guardian_rpc_calls')),
    );
    return [
      figure('backlog.per_second', DEPOSITS / seconds, 'deposits/s', '>=', 300),
      figure('backlog.rpc_per_deposit', Math.max(...calls) / DEPOSITS, 'calls', '<=', 0.05),
      figure('backlog.peak_mb', Math.max(...pids.map(peakMegabytes)), 'MB in one process', '<=', 1024),
    ];
  } finally {
    await stack.stop();
    fs.rmSync(home, { recursive: true, force: true });
  }
}

/** Puts the deposits on the chain, twenty to a block, and enough blocks on top to make them final. */
async function fill(stack: Stack): Promise<void> {
  const from = devAccount(0).address;
  const data = encodeCoinDeposit(aoAddressToBytes(devAccount(1).address), new Uint8Array());
  await rpc(stack, [{ method: 'evm_setAutomine', params: [false] }]);
  const [count] = await rpc(stack, [{ method: 'eth_getTransactionCount', params: [from, 'latest'] }]);
  let nonce = Number(count);
  for (let sent = 0; sent < DEPOSITS; sent += PER_BLOCK) {
    const calls = Array.from({ length: PER_BLOCK }, () => ({
      method: 'eth_sendTransaction',
      params: [
        {
          from,
          to: stack.deployment.vault,
          value: `0x${VALUE.toString(16)}`,
          data,
          gas: '0x1d4c0',
          nonce: `0x${(nonce++).toString(16)}`,
        },
      ],
    }));
    await rpc(stack, [...calls, { method: 'evm_mine', params: [] }]);
  }
  await rpc(stack, [{ method: 'anvil_mine', params: ['0x3'] }]);
}

async function rpc(stack: Stack, calls: readonly { method: string; params: unknown[] }[]): Promise<unknown[]> {
  const body = JSON.stringify(calls.map((call, id) => ({ jsonrpc: '2.0', id, ...call })));
  const response = await fetch(stack.rpcUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const answers = (await response.json()) as { result?: unknown; error?: { message: string } }[];
  const failed = answers.find((a) => a.error);
  if (failed?.error) throw new Error(`The chain refused the load: ${failed.error.message}`);
  return answers.map((a) => a.result);
}

/** Waits until the token process has counted them all. */
async function untilMinted(stack: Stack, began: number): Promise<void> {
  const coin = stack.deployment.assets.find((a) => a.address === zeroAddress);
  while ((await mintedCount(stack, coin?.process ?? '')) < DEPOSITS) {
    if (performance.now() - began > PATIENCE_MS) throw new Error('The backlog was not minted in time.');
    await delay(100);
  }
}

/** Where the time goes: each guardian's parts, in seconds of the clock, and what each process took of the two cores. */
async function sayWhere(stack: Stack, firstPort: number, seconds: number): Promise<void> {
  console.error(`  ${DEPOSITS} deposits in ${seconds.toFixed(1)} s`);
  for (const [i, { pid }] of stack.guardians.entries()) {
    const spent = PARTS.map(async (part) => {
      const took = await metric(firstPort + i, `isthmus_guardian_seconds_total{part="${part}"}`);
      return `${part} ${took.toFixed(1)}`;
    });
    console.error(`  guardian_${i + 1}: ${(await Promise.all(spent)).join('  ')}  cpu ${cpuSeconds(pid)}`);
  }
  const rest = { gateway: stack.gateway.pid, anvil: stack.anvil.pid };
  for (const [name, pid] of Object.entries(rest)) console.error(`  ${name}: cpu ${cpuSeconds(pid)}`);
}

async function mintedCount(stack: Stack, process: string): Promise<number> {
  const body = JSON.stringify({
    Id: 'x',
    Target: process,
    Owner: devAccount(5).address,
    Data: '',
    Tags: [{ name: 'Action', value: 'Bridge-Info' }],
  });
  const response = await fetch(`${stack.gatewayUrl}/cu/dry-run?process-id=${process}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const { Messages } = (await response.json()) as { Messages: { Data: string }[] };
  return (JSON.parse(Messages[0]?.Data ?? '{}') as { deposits?: number }).deposits ?? 0;
}

async function metric(port: number, name: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = metrics.split('\n').find((l) => l.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? Number.NaN);
}

/** Processor seconds of a process so far, from the kernel, which counts in hundredths. */
function cpuSeconds(pid: number | undefined): string {
  const fields =
    fs
      .readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8')
      .split(') ')[1]
      ?.split(' ') ?? [];
  return ((Number(fields[11]) + Number(fields[12])) / 100).toFixed(1);
}

/** Peak resident memory of a process, from the kernel. */
function peakMegabytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;
}

function figure(name: string, value: number, unit: string, relation: '>=' | '<=', target: number): Figure {
  const ok = relation === '>=' ? value >= target : value <= target;
  const ratio = value / target;
  return { area: 'deposits', name, value, unit, against: 'the target', ratio, target: `${relation} ${target}`, ok };
}
