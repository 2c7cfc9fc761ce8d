/** Many processes at once: a thousand against ten, and ten beside one that never ends. */
import type { Item } from '@isthmus/ao';
import { ed25519Signer } from '@isthmus/ao';
import { atLeast, median, type Figure } from '../figure.js';
import { Bench, COUNTER, message } from './load.js';

const MESSAGES = 10_000;
const FEW = 10;
const MANY = 1_000;
const ROUNDS = 3;
const SENDER = ed25519Signer(Buffer.alloc(32, 9));

export async function parallelFigures(): Promise<Figure[]> {
  const bench = await Bench.open();
  try {
    const module = await bench.module(COUNTER);
    const spawned = async (count: number): Promise<string[]> =>
      Promise.all(Array.from({ length: count }, (_, i) => bench.spawn(module, { N: String(i), Of: String(count) })));
    const [few, many] = [await spawned(FEW), await spawned(MANY)];
    await bench.through(await spread(many, MANY)); // all are open
    const rates: { few: number; many: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1)
      rates.push({
        few: await rate(bench, await spread(few, MESSAGES)),
        many: await rate(bench, await spread(many, MESSAGES)),
      });
    const beside = await besideRunaway(bench, few, await bench.spawn(module, { Of: 'runaway' }));
    const [alone, thousand] = [median(rates.map((r) => r.few)), median(rates.map((r) => r.many))];
    console.error(
      `  ${FEW} processes ${alone.toFixed(0)}/s, ${MANY} ${thousand.toFixed(0)}/s, ${FEW} beside an endless loop ${beside.toFixed(0)}/s`,
    );
    return [
      atLeast('ao', 'parallel.1000_over_10', thousand / alone, 'x', 0.7, `${FEW} processes`),
      atLeast('ao', 'parallel.with_runaway', beside / alone, 'x', 0.5, 'the same without: it may take one core of two'),
    ];
  } finally {
    await bench.close();
  }
}

function spread(processes: readonly string[], count: number): Promise<Item[]> {
  return Promise.all(
    Array.from({ length: count }, (_, i) =>
      message(processes[i % processes.length] as string, { Action: 'Count' }, SENDER),
    ),
  );
}

async function rate(bench: Bench, items: readonly Item[]): Promise<number> {
  return (items.length / (await bench.through(items))) * 1000;
}

/** The same load while one process has an endless loop to do, and another after it. */
async function besideRunaway(bench: Bench, few: readonly string[], runaway: string): Promise<number> {
  const loops = await Promise.all(Array.from({ length: 50 }, () => message(runaway, { Action: 'Spin' }, SENDER)));
  for (const loop of loops) await bench.pipeline.scheduler.schedule(loop.raw);
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) rates.push(await rate(bench, await spread(few, MESSAGES)));
  const [slot] = await bench.pipeline.compute.results(runaway, loops.length, 1);
  if (slot) throw new Error('The endless loops were over before the measurement was.');
  return median(rates);
}
