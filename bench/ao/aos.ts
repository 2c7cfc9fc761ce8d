/** Token transfers on a real aos module: what the pipeline's compute adds to the bare module, and what it saves over the loader's ordinary call. */
import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { WorkerPool, type VmMessage } from '@isthmus/ao';
import { projectRoot } from '@isthmus/store';
import {
  environment,
  GUARDIANS,
  messageTo,
  PROCESS,
  SPAWN_TAGS,
  SPAWNER,
  tokenSource,
} from '../../contracts/ao/harness.js';
import { aosModules, type Machine } from '../../contracts/ao/machines.js';
import { atLeast, atMost, median, type Figure } from '../figure.js';
import { depositLine } from './load.js';
import type { BareOptions } from './bare-aos.js';

const MODULE = 'aos2_0_6.wasm';
const HOLDER = 'H'.repeat(42) + 'A';
const OTHER = 'O'.repeat(42) + 'A';
/** Rounds of so many transfers, taken in turns: a noisy moment of the machine falls on all alike. */
const ROUNDS = 12;
const TRANSFERS = 100;
const COPIED_TRANSFERS = 5;

interface Runner {
  /** Milliseconds these messages take. */
  evaluate(messages: VmMessage[]): Promise<number>;
  stop(): Promise<unknown>;
}

export async function aosFigures(): Promise<Figure[]> {
  const machine = aosModule();
  const runners = [await pooled(machine), bare(machine, false), bare(machine, true)] as const;
  try {
    let nonce = 0;
    const message = (from: string, tags: Record<string, string>, data = ''): VmMessage =>
      messageTo((nonce += 1), from, tags, data);
    const transfer = (): VmMessage => message(HOLDER, { Action: 'Transfer', Recipient: OTHER, Quantity: '10' });
    const boot = [
      { ...message(SPAWNER, SPAWN_TAGS), Id: PROCESS },
      message(SPAWNER, { Action: 'Eval' }, tokenSource().toString()),
      ...GUARDIANS.slice(0, 2).map((g) =>
        message(g, { Action: 'Attest-Deposits' }, depositLine(1, HOLDER, 10n ** 12n)),
      ),
      transfer(),
    ];
    for (const runner of runners) await runner.evaluate(boot);
    const perMessage: number[][] = runners.map(() => []);
    for (let round = 0; round < ROUNDS; round += 1) {
      // Each comes as often as the others after the one that fills the machine's caches with its copies.
      for (let turn = 0; turn < runners.length; turn += 1) {
        const i = (round + turn * (round % 2 === 0 ? 1 : 2)) % runners.length;
        const runner = runners[i] as Runner;
        const count = i === 2 ? COPIED_TRANSFERS : TRANSFERS;
        perMessage[i]?.push((await runner.evaluate(Array.from({ length: count }, transfer))) / count);
      }
    }
    const [ours, hot, copied] = perMessage.map(median) as [number, number, number];
    console.error(
      `  a transfer on ${MODULE}: ${ours.toFixed(2)} ms here, ${hot.toFixed(2)} ms bare, ${copied.toFixed(1)} ms by the loader`,
    );
    return [
      atMost('ao', 'aos.over_bare', ours / hot, 'x', 1.25, 'the bare hot module'),
      atLeast('ao', 'aos.vs_loader', copied / ours, 'x', 40, "the loader's call with copied memory"),
    ];
  } finally {
    await Promise.all(runners.map((r) => r.stop()));
  }
}

export function aosModule(): Machine {
  const machine = aosModules().find((m) => m.name === MODULE);
  if (!machine?.module) throw new Error(`${MODULE} is missing: run node scripts/aos-module.mjs first.`);
  return machine;
}

async function pooled({ module, format }: Machine): Promise<Runner> {
  const pool = new WorkerPool(1);
  await pool.open(PROCESS, module as Buffer, format, environment(), null);
  return {
    async evaluate(messages) {
      const began = performance.now();
      for (const { Error: reason } of await pool.handle(PROCESS, messages))
        if (reason !== undefined) throw new Error(reason);
      return performance.now() - began;
    },
    stop: () => pool.stop(),
  };
}

function bare({ module, format }: Machine, copied: boolean): Runner {
  const options: BareOptions = { module: module as Buffer, format, env: environment(), copied };
  const thread = new Worker(path.join(projectRoot(), 'dist/bench/ao/bare-aos.js'), { workerData: options });
  return {
    async evaluate(messages) {
      thread.postMessage(messages);
      const [took] = (await once(thread, 'message')) as [number];
      return took;
    },
    stop: () => thread.terminate(),
  };
}
