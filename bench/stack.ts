/** A local stack of its own for a measurement, its guardians down until it begins them; gone afterwards. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startStack, type Stack, type StackPorts } from '@isthmus/devnet';
import { freePort, freePorts, guardianNames } from '@isthmus/store';
import { compileContracts } from '../contracts/ethereum/compile.js';

/** Milliseconds between two blocks of the local Arweave, where there is one. */
const ARWEAVE_BLOCK_MS = 500;

export interface StackWish {
  /** Milliseconds between two looks of gateway and guardians. */
  pollMs: number;
  /** Home chains besides Ethereum. */
  homes?: Partial<Pick<StackPorts, 'bitcoin' | 'solana'>>;
  /** Has everything settled on a local Arweave. */
  settles?: boolean;
}

/** @param measure is given the stack, and the port of its first guardian */
export async function onStack<T>(
  { pollMs, homes = {}, settles = false }: StackWish,
  measure: (stack: Stack, firstGuardian: number) => Promise<T>,
): Promise<T> {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-bench-'));
  fs.chmodSync(home, 0o755);
  const ports = {
    ...homes,
    gateway: await freePort(),
    anvil: await freePort(),
    postgres: await freePort(),
    ...(settles ? { arweave: await freePort() } : {}),
    guardians: await freePorts(guardianNames().length),
  };
  const contracts = compileContracts();
  const stack = await startStack({
    home,
    ports,
    contracts,
    pollMs,
    ...(settles ? { arweaveBlockMs: ARWEAVE_BLOCK_MS } : {}),
  });
  try {
    for (const guardian of stack.guardians) await guardian.stop();
    return await measure(stack, ports.guardians);
  } finally {
    await stack.stop();
    fs.rmSync(home, { recursive: true, force: true });
  }
}
