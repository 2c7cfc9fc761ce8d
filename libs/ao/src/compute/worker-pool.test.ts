/** The pool of compute threads: whoever hangs harms itself, and nobody who waits behind it. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import type { EvaluationResult, MemoryImage, ProcessEnv, VmMessage } from '../types.js';
import { changedImage, sameImage } from './image.js';
import { LUA_FORMAT } from './lua/lua-vm.js';
import { TooManyReads, WorkerLost, WorkerPool } from './worker-pool.js';
import { HANGING_WORKER } from './hanging-worker.js';

const env: ProcessEnv = { Process: { Id: '', Owner: '', Tags: [] }, Module: { Id: '', Owner: '', Tags: [] } };
const message = (action: string, data = ''): VmMessage => ({
  Id: '',
  Owner: '',
  From: '',
  Target: '',
  Anchor: '',
  Data: data,
  Tags: [{ name: 'Action', value: action }],
  Module: '',
  Epoch: 0,
  Nonce: 0,
  Timestamp: 0,
  'Block-Height': '',
  'Hash-Chain': '',
  Cron: false,
});
const TIMEOUT_MS = 1000;
let folder: string;
let pool: WorkerPool;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-pool-'));
  fs.writeFileSync(path.join(folder, 'worker.cjs'), HANGING_WORKER);
});
afterAll(() => fs.rmSync(folder, { recursive: true }));
beforeEach(() => {
  pool = new WorkerPool(1, TIMEOUT_MS, TIMEOUT_MS, path.join(folder, 'worker.cjs'));
});
afterEach(() => pool.stop());

const open = (process: string, format = LUA_FORMAT) => pool.open(process, Buffer.alloc(0), format, env, null);
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof WorkerLost ? error.fault : String(error)),
  );

it('I13 a request that hangs is at fault alone: time that others wait behind it is not theirs', async () => {
  await open('evil');
  for (const process of ['a', 'b']) await open(process);
  const outcomes = [
    outcome(pool.handle('evil', [message('Loop')])),
    outcome(pool.handle('a', [message('Count')])),
    outcome(pool.handle('b', [message('Count')])),
    outcome(pool.handle('evil', [message('Count')])),
  ];
  expect(await Promise.all(outcomes)).toEqual(['too-long', 'other', 'other', 'other']);
  expect(pool.isOpen('a')).toBe(false);
  await open('a');
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('1');
});

it('I13 one that hangs while it is opened, or has hung before, is opened apart from all others', async () => {
  const hangs = () => outcome(pool.open('evil', Buffer.from('Hang'), LUA_FORMAT, env, null));
  expect(await hangs()).toBe('too-long');
  await open('a');
  const again = hangs();
  expect(await counted('a')).toBe('1'); // in no thread that waits for it
  expect(await again).toBe('too-long');
  expect(await counted('a')).toBe('2');
  // And so is one that hung at a message: what it does next is its own affair.
  await open('other');
  expect(await outcome(pool.handle('other', [message('Hang')]))).toBe('too-long');
  for (const process of ['a', 'other']) await open(process);
  expect(await outcome(pool.handle('other', [message('Hang')]))).toBe('too-long');
  expect(await counted('a')).toBe('1');
});

it('I12 what is asked of a process that moves twice waits for both', async () => {
  await open('a');
  const opened = (Reflect.get(pool, 'opened') as Map<string, { moving: Promise<void> | null }>).get('a');
  if (!opened) throw new Error('not open');
  let [first, second] = [() => {}, () => {}];
  const moved = new Promise<void>((resolve) => (second = resolve)).then(() => void (opened.moving = null));
  opened.moving = new Promise<void>((resolve) => (first = resolve)).then(() => void (opened.moving = moved));
  const asked: string[] = [];
  const handling = counted('a').then(() => asked.push('handled'));
  first();
  await open('b');
  await counted('b'); // in the same thread, behind what was asked before
  asked.push('moved');
  second();
  await handling;
  expect(asked).toEqual(['moved', 'handled']);
});

it('I13 A7 one whose dry-runs hang is read apart from the others', async () => {
  for (const process of ['evil', 'a']) await open(process);
  expect(await outcome(pool.dryRun('evil', message('Hang')))).toBe('too-long');
  await pool.dryRun('a', message('Count'));
  const again = outcome(pool.dryRun('evil', message('Hang')));
  for (let i = 0; i < 20; i += 1) expect((await pool.dryRun('a', message('Count'))).Messages[0]?.Data).toBe('1');
  expect(await again).toBe('too-long');
  expect((await pool.dryRun('a', message('Count'))).Messages[0]?.Data).toBe('1');
});

it('I13 a worker that crashes is the fault of who ran, and nobody’s verdict', async () => {
  for (const process of ['evil', 'a']) await open(process);
  const outcomes = [outcome(pool.handle('evil', [message('Crash')])), outcome(pool.handle('a', [message('Count')]))];
  expect(await Promise.all(outcomes)).toEqual(['crash', 'other']);
});

it('I13 each process has its turn, however much another has asked', async () => {
  for (const process of ['flood', 'a']) await open(process);
  const order: string[] = [];
  const flood = Array.from({ length: 5 }, () =>
    pool.handle('flood', [message('Count')]).then(() => order.push('flood')),
  );
  const other = pool.handle('a', [message('Count')]).then(() => order.push('a'));
  await Promise.all([...flood, other]);
  expect(order.indexOf('a')).toBeLessThanOrEqual(2);
});

it('I13 what does not count its work lives apart from what does', async () => {
  await open('aos', 'not-counted');
  await open('a');
  const hanging = outcome(pool.handle('aos', [message('Hang')]));
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('1');
  expect(await hanging).toBe('too-long');
  expect(pool.isOpen('a')).toBe(true);
});

it('A7 I13 a dry-run that hangs harms no evaluation, not even of its own process', async () => {
  await open('a');
  await pool.handle('a', [message('Count')]);
  const hanging = outcome(pool.dryRun('a', message('Hang')));
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('2');
  expect(await hanging).toBe('too-long');
  expect(pool.isOpen('a')).toBe(true);
  // On the newest state, and without a trace.
  for (let i = 0; i < 2; i += 1) expect((await pool.dryRun('a', message('Count'))).Messages[0]?.Data).toBe('3');
  expect((await pool.handle('a', [message('Count')]))[0]?.Messages[0]?.Data).toBe('3');
});

it('A7 dry-runs beyond what may wait are refused at once, other processes’ are not', async () => {
  for (const process of ['evil', 'a']) await open(process);
  const asked = Array.from({ length: 80 }, () => pool.dryRun('evil', message('Count')).catch((e: unknown) => e));
  expect((await pool.dryRun('a', message('Count'))).Messages[0]?.Data).toBe('1');
  const refused = (await Promise.all(asked)).filter((r) => r instanceof TooManyReads);
  expect(refused).toHaveLength(16);
  expect((await pool.dryRun('evil', message('Count'))).Messages[0]?.Data).toBe('1');
});

const counted = async (process: string) => (await pool.handle(process, [message('Count')]))[0]?.Messages[0]?.Data;

it('I13 who has had least of a thread’s time is next: a process of long messages does not hold up one of short ones', async () => {
  for (const process of ['long', 'short']) await open(process);
  const order: string[] = [];
  const ask = (process: string, m: VmMessage) => pool.handle(process, [m]).then(() => order.push(process));
  const long = Array.from({ length: 4 }, () => ask('long', message('Work', '40')));
  const short = Array.from({ length: 30 }, () => ask('short', message('Count')));
  await Promise.all([...long, ...short]);
  expect(order.lastIndexOf('short')).toBeLessThanOrEqual(31); // at most two of the long ones before
  // Who was idle has saved no time for later: the other one is not kept waiting for all that it did meanwhile.
  const [again, late] = [ask('short', message('Work', '40')), ask('long', message('Count'))];
  await Promise.all([again, late]);
  expect(order.at(-1)).toBe('long');
});

it('I13 a process whose messages take long moves to its like, with all it is; then not even what hangs it harms the others', async () => {
  for (const process of ['evil', 'a']) await open(process);
  await pool.handle('evil', [message('Count'), message('Count')]);
  await pool.handle('evil', [message('Work', '400')]);
  expect(await counted('evil')).toBe('3');
  expect(pool.threads()).toMatchObject({ quick: 1, slow: 1 });
  // What changed before it moved is not forgotten.
  const { changed } = await pool.checkpoint('evil');
  expect(changed.map(([page, bytes]) => [page, bytes?.[0]])).toEqual([[0, 3]]);
  expect(await outcome(pool.handle('evil', [message('Hang')]))).toBe('too-long');
  expect(pool.isOpen('a')).toBe(true);
  expect(await counted('a')).toBe('1');
  await open('evil');
  expect(await counted('evil')).toBe('1');
});

it('I13 of two busy processes in one thread, one moves to a thread with less to do', async () => {
  await pool.stop();
  pool = new WorkerPool(2, 5000, 5000, path.join(folder, 'worker.cjs'));
  for (const process of ['busy', 'idle', 'evil']) await open(process); // the first and the third in one thread
  const work = (process: string) => pool.handle(process, [message('Count'), message('Work', '20')]);
  const end = performance.now() + 1500;
  let rounds = 0;
  for (; performance.now() < end; rounds += 1) await Promise.all([work('busy'), work('evil')]);
  expect(await outcome(pool.handle('evil', [message('Crash')]))).toBe('crash');
  expect(pool.isOpen('busy')).toBe(true);
  expect(await counted('busy')).toBe(String(rounds + 1));
});

it('A14 X11 a worker has nothing of the environment its gateway was started with', async () => {
  await open('a');
  expect((await pool.handle('a', [message('Environment')]))[0]?.Output).toBe('');
});

describe('on the lean machine', () => {
  const SOURCE = `local n = 0
function handle(msg)
  if msg.Tags.Action == "Count" then n = n + 1 elseif msg.Tags.Action == "Fail" then n = n + 100 error("no") end
  ao.send({ Data = tostring(n) })
end`;
  const PROCESSES = ['a', 'b'];
  type Step =
    | { kind: 'handle'; process: string; actions: string[] }
    | { kind: 'read'; process: string; action: string }
    | { kind: 'checkpoint' | 'reopen'; process: string };
  const action = fc.constantFrom('Count', 'Fail', 'Get');
  const process = fc.constantFrom(...PROCESSES);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant('handle' as const),
      process,
      actions: fc.array(action, { minLength: 1, maxLength: 50 }),
    }),
    fc.record({ kind: fc.constant('read' as const), process, action }),
    fc.record({ kind: fc.constantFrom('checkpoint' as const, 'reopen' as const), process }),
  );
  const said = (result: EvaluationResult | undefined) => result?.Error ?? result?.Messages[0]?.Data;

  it('I11 A7 what is read is what has been handled, failed messages and earlier reads leave no trace, checkpoints add up to the state', async () => {
    const real = new WorkerPool(1);
    const begin = (name: string, image: MemoryImage | null) =>
      real.open(name, Buffer.from(SOURCE), LUA_FORMAT, env, image);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
        const counts = new Map<string, number>();
        const images = new Map<string, MemoryImage | null>();
        const after = (name: string, what: string) => (counts.get(name) ?? 0) + (what === 'Count' ? 1 : 0);
        const expected = (name: string, what: string) =>
          (what === 'Fail' ? expect.stringContaining('no') : String(after(name, what))) as unknown;
        const checkpoint = async (name: string) => {
          images.set(name, changedImage(images.get(name) ?? null, await real.checkpoint(name)));
          expect(sameImage(images.get(name) as MemoryImage, await real.snapshot(name))).toBe(true);
        };
        for (const name of PROCESSES) await begin(name, null);
        for (const { kind, process: name, ...more } of steps) {
          if (kind === 'handle') {
            const { actions } = more as { actions: string[] };
            const answers = actions.map((what) => {
              const answer = expected(name, what);
              if (what === 'Count') counts.set(name, after(name, what));
              return answer;
            });
            expect(
              (
                await real.handle(
                  name,
                  actions.map((what) => message(what)),
                )
              ).map(said),
            ).toEqual(answers);
          } else if (kind === 'read') {
            const what = (more as { action: string }).action;
            const answer = expected(name, what);
            expect(said(await real.dryRun(name, message(what)))).toEqual(answer);
          } else {
            await checkpoint(name);
            if (kind === 'reopen') await begin(name, images.get(name) ?? null);
          }
        }
        for (const name of PROCESSES) await real.close(name);
      }),
      { numRuns: 25, interruptAfterTimeLimit: 8000 },
    );
    await real.stop();
  });

  it('I13 A7 copies for dry-runs are counted, and hold so much together and no more; what is read is right all the same', async () => {
    const real = new WorkerPool(1);
    const source = Buffer.from(`local kept, n = ("x"):rep(1000000), 0
function handle(msg) if msg.Tags.Action == "Count" then n = n + 1 end ao.send({ Data = tostring(n) }) end`);
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) {
      await real.open(name, source, LUA_FORMAT, env, null);
      await real.handle(name, [message('Count')]);
    }
    const sum = () => [...real.usage().values()].reduce((all, bytes) => all + bytes, 0);
    const without = sum();
    const one = real.sizeOf('a');
    real.boundCopies(2.5 * one);
    for (let round = 0; round < 3; round += 1) {
      const reads = await Promise.all(names.map((name) => real.dryRun(name, message('Get'))));
      expect(reads.map(said)).toEqual(names.map(() => '1'));
    }
    const copies = sum() - without;
    expect([copies >= one, copies <= 2.5 * one]).toEqual([true, true]);
    // A single one may be larger than all may be together; each then has its turn.
    real.boundCopies(1);
    for (let round = 0; round < 5; round += 1)
      expect((await Promise.all(names.map((name) => real.dryRun(name, message('Get'))))).map(said)).toEqual(
        names.map(() => '1'),
      );
    expect(said(await real.dryRun('c', message('Get')))).toBe('1');
    expect(said(await real.dryRun('d', message('Get')))).toBe('1');
    expect(real.usage().get('d')).toBeGreaterThan(real.sizeOf('d'));
    expect(real.usage().get('c')).toBe(real.sizeOf('c'));
    await real.stop();
  });

  it('I12 what changed in a thread that a slow process has left is part of its next checkpoint', async () => {
    const real = new WorkerPool(1);
    const kept = 'x'.repeat(100_000);
    const source = `local n, kept = 0, {}
function handle(msg)
  if msg.Tags.Action == "Keep" then n = n + 1 kept[n] = msg.Data .. n end
  if msg.Tags.Action == "Work" then for i = 1, 3e7 do n = n + 0 end end
  ao.send({ Data = tostring(n) })
end`;
    for (const name of ['slow', 'a']) await real.open(name, Buffer.from(source), LUA_FORMAT, env, null);
    const before = changedImage(null, await real.checkpoint('slow'));
    await real.handle('slow', [message('Keep', kept)]);
    for (let i = 0; i < 10 && real.threads().slow === 0; i += 1) await real.handle('slow', [message('Work')]);
    expect(real.threads()).toMatchObject({ quick: 1, slow: 1 });
    expect(said((await real.handle('slow', [message('Keep', kept)]))[0])).toBe('2');
    expect(sameImage(changedImage(before, await real.checkpoint('slow')), await real.snapshot('slow'))).toBe(true);
    await real.stop();
  });

  it('I13 A16 what turns out to take long is given up where others wait, and done apart: new endless processes hold up nobody', async () => {
    const real = new WorkerPool(1);
    const source = `local n = 0
function handle(msg)
  n = n + 1
  if msg.Tags.Action == "Loop" then while true do end end
  if msg.Tags.Action == "Work" then for i = 1, 5e6 do n = n + 0 end end
  ao.send({ Data = tostring(n) })
end`;
    const endless = ['endless 0', 'endless 1'];
    for (const name of [...endless, 'long', 'quick']) await real.open(name, Buffer.from(source), LUA_FORMAT, env, null);
    const order: string[] = [];
    const ask = async (name: string, what: string) => {
      const [result] = await real.handle(name, [message(what)]);
      order.push(name);
      return result;
    };
    const asked = [...endless.map((name) => ask(name, 'Loop')), ask('long', 'Work'), ask('quick', 'Count')];
    const results = await Promise.all(asked);
    expect(order[0]).toBe('quick');
    expect(results.slice(0, 2).map((r) => r?.Error)).toEqual(endless.map(() => 'out of work'));
    // What was given up has had no effect, and its result is the one it has anywhere.
    expect(results[2] && said(results[2])).toBe('1');
    for (const name of ['endless 0', 'long'])
      expect(said((await real.handle(name, [message('Count')]))[0])).toBe(name === 'long' ? '2' : '1');
    await real.stop();
  });

  it('I13 A16 so is a module that takes long to load', async () => {
    const real = new WorkerPool(1);
    const endless = Buffer.from('while true do end');
    await real.open('quick', Buffer.from(SOURCE), LUA_FORMAT, env, null);
    const order: string[] = [];
    const opening = [0, 1].map(async (i) => {
      await real.open(`endless ${i}`, endless, LUA_FORMAT, env, null);
      order.push('endless');
    });
    const count = real.handle('quick', [message('Count')]).then(() => order.push('quick'));
    await Promise.all([...opening, count]);
    expect(order[0]).toBe('quick');
    const [result] = await real.handle('endless 1', [message('Count')]);
    expect(result?.Error).toBe('The module does not load: out of work');
    await real.stop();
  });

  it('A7 dry-runs while the process goes on see all that was answered before they were asked', async () => {
    const real = new WorkerPool(1);
    await real.open('a', Buffer.from(SOURCE), LUA_FORMAT, env, null);
    let answered = 0;
    const reads: number[] = [];
    const writing = (async () => {
      for (let round = 0; reads.length < 8; round += 1) {
        const count = round % 3 === 0 ? 100 : 2; // more than a copy follows, and fewer
        await real.handle(
          'a',
          Array.from({ length: count }, () => message('Count')),
        );
        answered += count;
      }
    })();
    while (reads.length < 8) {
      const before = answered;
      reads.push(Number(said(await real.dryRun('a', message('Get')))));
      expect(reads.at(-1)).toBeGreaterThanOrEqual(before);
    }
    await writing;
    expect(said(await real.dryRun('a', message('Get')))).toBe(String(answered));
    await real.stop();
  });
});
