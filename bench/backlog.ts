/**
 * A backlog of deposits: they wait on a home chain while every guardian is down; then three guardians come up, see, attest and mint them
 * all. Measured from the guardians' start to the last mint, on the real processes.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { devAccount, type Stack, type StackPorts } from '@isthmus/devnet';
import { atLeast, atMost, type Figure } from './figure.js';
import { onStack } from './stack.js';

export interface Backlog {
  /** Of its figures. */
  area: string;
  deposits: number;
  /** Home chains the stack has besides Ethereum. */
  homes: Partial<Pick<StackPorts, 'bitcoin' | 'solana'>>;
  /** Calls to a source that each deposit takes in any case: reading its transaction, where there is no cheaper way to see it. */
  callsOfEach: number;
  /** Puts the deposits on the chain, final. */
  fill: (stack: Stack) => Promise<void>;
  /** The token process that mints them. */
  processOf: (stack: Stack) => string;
}

const PATIENCE_MS = 300_000;
const PARTS = ['watch', 'follow', 'attest', 'sign', 'decide', 'send'];

export async function measureBacklog(backlog: Backlog): Promise<Figure[]> {
  const { area, deposits, callsOfEach } = backlog;
  return onStack({ pollMs: 200, homes: backlog.homes }, async (stack, firstGuardian) => {
    await backlog.fill(stack);
    const began = performance.now();
    for (const guardian of stack.guardians) guardian.launch();
    await untilMinted(stack, backlog, began);
    const seconds = (performance.now() - began) / 1000;
    await sayWhere(stack, firstGuardian, `${deposits} deposits in ${seconds.toFixed(1)} s`);
    const pids = [stack.gateway, ...stack.guardians].flatMap((c) => (c.pid === undefined ? [] : [c.pid]));
    const calls = await Promise.all(
      stack.guardians.map((_, i) => metric(firstGuardian + i, 'isthmus_guardian_rpc_calls')),
    );
    const each = Math.max(...calls) / deposits - callsOfEach;
    return [
      atLeast(area, 'backlog.per_second', deposits / seconds, 'deposits/s', 300),
      atMost(area, 'backlog.rpc_per_deposit', each, 'calls', 0.05),
      atMost(area, 'backlog.peak_mb', Math.max(...pids.map(peakMegabytes)), 'MB in one process', 1024),
    ];
  });
}

/** Waits until the token process has counted them all. */
async function untilMinted(stack: Stack, { deposits, processOf }: Backlog, began: number): Promise<void> {
  while ((await mintedCount(stack, processOf(stack))) < deposits) {
    if (performance.now() - began > PATIENCE_MS) throw new Error('The backlog was not minted in time.');
    await delay(100);
  }
}

/** Where the time goes: each guardian's parts, in seconds of the clock, and what each process took of the two cores. */
async function sayWhere(stack: Stack, firstPort: number, what: string): Promise<void> {
  console.error(`  ${what}`);
  for (const [i, { pid }] of stack.guardians.entries()) {
    const spent = PARTS.map(async (part) => {
      const took = await metric(firstPort + i, 'isthmus_guardian_seconds_total', `part="${part}"`);
      return `${part} ${took.toFixed(1)}`;
    });
    console.error(`  guardian_${i + 1}: ${(await Promise.all(spent)).join('  ')}  cpu ${cpuSeconds(pid)}`);
  }
  const homes = stack.homes.map((h): [string, number | undefined] => [h.name, h.child.pid]);
  for (const [name, pid] of [['gateway', stack.gateway.pid] as const, ['anvil', stack.anvil.pid] as const, ...homes])
    console.error(`  ${name}: cpu ${cpuSeconds(pid)}`);
}

const mintedCount = async (stack: Stack, process: string): Promise<number> =>
  Number((await bridgeInfo(stack, process))['deposits'] ?? 0);

/** What a token process says of itself. */
export async function bridgeInfo(stack: Stack, process: string): Promise<Record<string, unknown>> {
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
  return JSON.parse(Messages[0]?.Data ?? '{}') as Record<string, unknown>;
}

/** A figure a guardian tells of itself, over all its home chains; `label` is one it must have. */
async function metric(port: number, name: string, label = ''): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = metrics.split('\n').filter((l) => l.startsWith(`${name}{`) && l.includes(label));
  if (lines.length === 0) throw new Error(`A guardian tells nothing of ${name}.`);
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
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
