/**
 * A long history: what a message costs after 1,000 slots and after 200,000; how fast a process comes back from its schedule alone; how
 * soon a gateway with 200,000 assignments serves again, and that all of them evaluated again from slot 0 come to what is stored.
 */
import { ed25519Signer, replayFromNothing, WorkerPool, type Item, type Signer } from '@isthmus/ao';
import { atLeast, atMost, median, type Figure } from '../figure.js';
import { aosModule } from './aos.js';
import { Bench, COUNTER, GUARDIANS, message, pipelineOn } from './load.js';

const EARLY = 1_000;
const LATE = 200_000;
const SAMPLE = 4_000;
const BATCH = 4_000;
const RESTARTED = 20;
const AOS_MESSAGES = 2_000;
const DRY_RUNS = 60;
const SENDER = ed25519Signer(Buffer.alloc(32, 9));
const count = (process: string): Promise<Item> => message(process, { Action: 'Count' }, SENDER);

export async function growthFigures(): Promise<Figure[]> {
  const bench = await Bench.open();
  try {
    const module = await bench.module(COUNTER);
    const process = await bench.spawn(module);
    const others = await Promise.all(
      Array.from({ length: RESTARTED }, (_, i) => bench.spawn(module, { N: String(i) })),
    );
    for (const other of others) await bench.through(await Promise.all(Array.from({ length: 50 }, () => count(other))));
    let slots = 0;
    const load = async (messages: number): Promise<number> => {
      let took = 0;
      for (let left = messages; left > 0; left -= BATCH) {
        const items = await Promise.all(Array.from({ length: Math.min(left, BATCH) }, () => count(process)));
        took += await bench.through(items);
      }
      slots += messages;
      return (took / messages) * 1000;
    };
    await load(EARLY);
    const early = [await load(SAMPLE), await load(SAMPLE), await load(SAMPLE)];
    await load(LATE - slots - 3 * SAMPLE);
    const late = [await load(SAMPLE), await load(SAMPLE), await load(SAMPLE)];
    const [before, after] = [median(early), median(late)];
    const ready = await restart(bench, [process, ...others], String(slots));
    await assertReplays(bench, process, slots);
    const lua = await catchUp(bench, process, slots);
    console.error(
      `  a message costs ${before.toFixed(0)} µs after ${EARLY} slots, ${after.toFixed(0)} µs after ${LATE}; ready ${ready.toFixed(2)} s after a restart; back from slot 0 at ${lua.toFixed(0)} messages/s`,
    );
    return [
      atMost('ao', 'growth.message_cost', after / before, 'x', 1.3, `the cost after ${EARLY} slots`),
      atMost('ao', 'restart.ready_s', ready, 's', 10),
      atLeast('ao', 'catchup.lua', lua, 'messages/s', 20_000),
    ];
  } finally {
    await bench.close();
  }
}

/** Seconds from a new pipeline on the old database until every process asked answers with its newest state. */
async function restart(bench: Bench, processes: readonly string[], expected: string): Promise<number> {
  await bench.pipeline.stop();
  const began = performance.now();
  bench.pipeline = pipelineOn(bench.database);
  await bench.pipeline.start();
  const outputs = await Promise.all(processes.map((p) => read(bench, p)));
  if (outputs[0] !== String(Number(expected) + 2))
    throw new Error(`Back after a restart it counts ${outputs[0]}, not ${expected}.`);
  return (performance.now() - began) / 1000;
}

/** Every result and the memory of the newest checkpoint must be what evaluating from slot 0 gives. */
async function assertReplays(bench: Bench, process: string, slots: number): Promise<void> {
  const workers = new WorkerPool(1);
  try {
    const { database, pipeline } = bench;
    const replay = await replayFromNothing({ database, scheduler: pipeline.scheduler, workers, process });
    if (!replay.equal || !replay.checkpoint || replay.slots <= slots)
      throw new Error(`A full replay does not check out equal: ${JSON.stringify(replay).slice(0, 1000)}`);
  } finally {
    await workers.stop();
  }
}

/** Messages a second of a process that comes back with no checkpoint. */
async function catchUp(bench: Bench, process: string, slots: number): Promise<number> {
  await bench.pipeline.stop();
  await bench.database.query('delete from checkpoint where process = $1', [process]);
  bench.pipeline = pipelineOn(bench.database);
  const began = performance.now();
  await read(bench, process);
  return (slots / (performance.now() - began)) * 1000;
}

/** aos: back from its schedule, and dry-runs right after messages. */
export async function aosGrowthFigures(): Promise<Figure[]> {
  const bench = await Bench.open();
  try {
    const machine = aosModule();
    const process = await bench.spawn(await bench.module(machine.module as Buffer, machine.format), { Authority: 'x' });
    const evaluate = await message(process, { Action: 'Eval' }, GUARDIANS[0] as Signer, COUNT_ON_AOS);
    await bench.through([evaluate]);
    const dryRuns = await dryRunsAfterMessages(bench, process);
    for (let done = 0; done < AOS_MESSAGES; done += 500)
      await bench.through(await Promise.all(Array.from({ length: 500 }, () => count(process))));
    const rate = await catchUp(bench, process, AOS_MESSAGES + DRY_RUNS + 2);
    console.error(
      `  aos comes back at ${rate.toFixed(0)} messages/s; a dry-run right after a message takes ${dryRuns.toFixed(1)} ms`,
    );
    return [atLeast('ao', 'catchup.aos', rate, 'messages/s', 500), atMost('ao', 'dryrun.p50_ms', dryRuns, 'ms', 5)];
  } finally {
    await bench.close();
  }
}

const COUNT_ON_AOS = `n = 0
Handlers.add("count", "Count", function(m) n = n + 1 end)
Handlers.add("get", "Get", function(m) ao.send({ Target = m.From, Data = tostring(n) }) end)`;

/** Each dry-run must show the message just before it. */
async function dryRunsAfterMessages(bench: Bench, process: string): Promise<number> {
  const took: number[] = [];
  for (let i = 1; i <= DRY_RUNS; i += 1) {
    await bench.through([await count(process)]);
    const began = performance.now();
    const seen = await read(bench, process);
    took.push(performance.now() - began);
    if (seen !== String(i)) throw new Error(`A dry-run after message ${i} saw ${seen}: it is stale.`);
  }
  return median(took);
}

/** What a counter has counted. */
async function read(bench: Bench, process: string): Promise<string> {
  const result = await bench.pipeline.compute.dryRun(process, {
    Id: 'read',
    Owner: 'reader',
    From: 'reader',
    Target: process,
    Anchor: '',
    Data: '',
    Tags: [{ name: 'Action', value: 'Get' }],
    Timestamp: Date.now(),
    'Block-Height': '0',
  });
  if (result.Error !== undefined) throw new Error(result.Error);
  return result.Messages[0]?.Data || String(result.Output);
}
