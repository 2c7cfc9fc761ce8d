/** Clocks: when they strike is arithmetic on the spawn, and a replica takes no tick that is not of it. */
import fc from 'fast-check';
import { environmentOf, messageOf } from '../compute/message.js';
import { createItem, ed25519Signer, ethereumSigner, type ItemContent } from '../items/index.js';
import { assign } from '../scheduler/assignment.js';
import type { Item, ScheduleEntry, Signer, Tag } from '../types.js';
import { assertKeepable, cronsOf, MAX_CLOCKS, nextTick, TickCheck, tickOf, ticksBetween, tickTags } from './cron.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const PARENT = 'P'.repeat(43);
const tags = (...pairs: [string, string][]): Tag[] => pairs.map(([name, value]) => ({ name, value }));
const CLOCKS = tags(
  ['Type', 'Process'],
  ['Cron-Interval', '10-seconds'],
  ['Cron-Tag-Action', 'Cron'],
  ['Cron-Tag-From', PARENT],
  ['Cron-Tag-Owner', PARENT],
  ['Cron-Tag-From-Process', PARENT],
  ['Cron-Interval', '1-minute'],
  ['Cron-Tag-Action', 'Minute'],
);

describe('intervals', () => {
  it.each([
    ['10-seconds', 10_000],
    ['1-second', 1000],
    ['5-minutes', 300_000],
    ['1-Hour', 3_600_000],
    ['1-day', 86_400_000],
    ['2-weeks', 1_209_600_000],
    ['2500-milliseconds', 2000],
    [' 3 - minute ', 180_000],
  ])('%s', (text, interval) => {
    expect(cronsOf(tags(['Cron-Interval', text]))).toEqual([{ interval, tags: [] }]);
  });

  it('A8 of one process are so many, and strike once a second together at most', () => {
    const of = (...seconds: number[]) =>
      cronsOf(seconds.map((n) => ({ name: 'Cron-Interval', value: `${n}-seconds` })));
    const tooOften = expect.objectContaining({ code: 'too-often' });
    for (const kept of [[1], [2, 2], [3, 3, 3], Array<number>(7).fill(7), Array<number>(MAX_CLOCKS).fill(60), []])
      expect(() => assertKeepable(of(...kept))).not.toThrow();
    for (const refused of [[1, 60], [1, 1], [2, 2, 604_800], Array<number>(MAX_CLOCKS + 1).fill(604_800)])
      expect(() => assertKeepable(of(...refused))).toThrow(tooOften);
  });

  it.each([
    ['10-blocks', 'blocks'],
    ['1-block', 'blocks'],
    ['0-seconds', 'bad-interval'],
    ['999-milliseconds', 'bad-interval'],
    ['1-month', 'bad-interval'],
    ['-1-seconds', 'bad-interval'],
    ['1.5-seconds', 'bad-interval'],
    ['9999999999-seconds', 'bad-interval'],
    ['seconds', 'bad-interval'],
    ['', 'bad-interval'],
  ])('A8 refuses %j with a reason', (text, code) => {
    expect(() => cronsOf(tags(['Cron-Interval', text]))).toThrow(expect.objectContaining({ code }));
  });

  it('A8 tags belong to the interval before them, and to none is an error', () => {
    expect(cronsOf(CLOCKS).map((c) => c.tags.map((t) => t.value))).toEqual([
      ['Cron', PARENT, PARENT, PARENT],
      ['Minute'],
    ]);
    expect(() => cronsOf(tags(['Cron-Tag-Action', 'x'], ['Cron-Interval', '1-second']))).toThrow(/no Cron-Interval/);
    expect(cronsOf(tags(['Name', 'x']))).toEqual([]);
  });
});

it('strikes at multiples from the spawn on, each once, and after an outage only the last', () => {
  const seconds = fc.integer({ min: 1, max: 10_000 }).map((n) => n * 1000);
  fc.assert(
    fc.property(
      fc.array(seconds, { minLength: 1, maxLength: 4 }),
      fc.nat(1e9),
      fc.array(fc.integer({ min: 1, max: 3e7 }), { minLength: 1, maxLength: 20 }),
      (intervals, origin, steps) => {
        const crons = intervals.map((interval) => ({ interval, tags: [] }));
        const last = crons.map(() => origin);
        let now = origin;
        for (const step of steps) {
          const due = nextTick(crons, origin, now);
          const after = now;
          now += step;
          const ticks = ticksBetween(crons, origin, after, now);
          expect(ticks.length > 0).toBe(due <= now);
          for (const { cron, time } of ticks) {
            const interval = intervals[cron] as number;
            expect((time - origin) % interval).toBe(0);
            expect(time).toBeGreaterThan(last[cron] as number);
            expect(now - time).toBeLessThan(interval);
            last[cron] = time;
          }
          expect(new Set(ticks.map((t) => t.cron)).size).toBe(ticks.length);
        }
      },
    ),
  );
});

describe('ticks in a schedule', () => {
  const ORIGIN = 1_000_500;
  let spawn: ScheduleEntry;

  async function place(message: Item, timestamp: number, nonce = 1): Promise<ScheduleEntry> {
    const process = spawn?.process ?? message.id;
    const previous = nonce === 0 ? null : { nonce: nonce - 1, assignmentId: 'x', hashChain: 'x', timestamp: 0 };
    const { item } = await assign(process, message.id, previous, { timestamp, blockHeight: 7 }, SCHEDULER);
    return { process, nonce, assignment: item, message };
  }
  const born = async (signer: Signer, more: Tag[] = []) => {
    const message = await createItem({ tags: [...CLOCKS, ...more], data: '' }, signer);
    spawn = { process: message.id, nonce: 0, assignment: message, message };
    spawn = await place(message, ORIGIN, 0);
  };
  const tick = async (cron: number, time: number, more: Partial<ItemContent> = {}, signer = SCHEDULER, at = time + 5) =>
    place(await createItem({ target: spawn.process, tags: tickTags({ cron, time }), data: '', ...more }, signer), at);
  const seen = (entry: ScheduleEntry) => messageOf(entry, environmentOf(spawn.message, spawn.message));

  beforeEach(() => born(ALICE));

  it('A1 A8 are what the spawn says, in the name of whoever signed the spawn, and the scheduler adds nothing but the time', async () => {
    expect(seen(await tick(0, ORIGIN + 20_000))).toMatchObject({
      From: ALICE.address,
      Owner: ALICE.address,
      Target: spawn.process,
      Data: '',
      Tags: tags(['Action', 'Cron'], ['From-Process', PARENT], ['Cron-Time', String(ORIGIN + 20_000)]),
      Timestamp: ORIGIN + 20_005,
      Cron: true,
    });
    expect(seen(await tick(0, ORIGIN + 20_000))).not.toHaveProperty('Forwarded-By');
    await born(MESSENGER, tags(['From-Process', PARENT]));
    expect(seen(await tick(1, ORIGIN + 60_000))).toMatchObject({
      From: PARENT,
      Owner: MESSENGER.address,
      'Forwarded-By': MESSENGER.address,
      Cron: true,
    });
  });

  it('A8 what others sign, or what says more than its time, is no tick: a message of its signer like any other', async () => {
    const time = ORIGIN + 10_000;
    const odd = [
      await tick(0, time, {}, ALICE),
      await tick(0, time, { data: 'x' }),
      await tick(0, time, { anchor: 'a'.repeat(32) }),
      await tick(0, time, { tags: [...tickTags({ cron: 0, time }), { name: 'Action', value: 'Mint' }] }),
      await tick(0, time, { tags: tickTags({ cron: 0, time }).toReversed() }),
      await tick(0, Number.NaN, {}, SCHEDULER, time),
      await tick(9, time),
      await tick(-1, time),
      await tick(0, time, { target: PARENT }), // another's tick, assigned here
    ];
    for (const entry of odd) expect(seen(entry)).toMatchObject({ From: entry.message.ownerAddress, Cron: false });
    expect(odd.map((e) => tickOf(e) !== null)).toEqual(odd.map((_, i) => i === 6 || i === 7));
  });

  it('A8 A12 a replica takes each where its clock strikes, when that has come, once, in order', async () => {
    const check = TickCheck.of(spawn);
    const next = async (entry: Promise<ScheduleEntry>) => check.next(await entry);
    const at = (n: number) => ORIGIN + n * 10_000;
    expect(check.next(spawn)).toBeNull();
    expect(await next(tick(0, at(1)))).toBeNull();
    expect(await next(tick(0, at(1)))).toMatch(/again/);
    expect(await next(tick(0, at(3)))).toBeNull();
    expect(await next(tick(0, at(2)))).toMatch(/out of order/);
    expect(await next(tick(0, at(4) + 1))).toMatch(/does not strike/);
    expect(await next(tick(1, at(5)))).toMatch(/does not strike/);
    expect(await next(tick(0, at(0)))).toMatch(/does not strike/);
    expect(await next(tick(0, at(5), {}, SCHEDULER, at(5) - 1))).toMatch(/before that has come/);
    expect(await next(tick(2, at(6)))).toMatch(/does not ask for/);
    expect(await next(tick(0, at(6), { data: 'Mint' }))).toMatch(/says more/);
    const copy = check.copy();
    expect(copy.next(await tick(1, at(6)))).toBeNull();
    expect(await next(tick(1, at(6)))).toBeNull(); // what was only looked at is not remembered
    expect(await next(tick(0, at(7), {}, ALICE))).toBeNull(); // no tick at all
    expect(await next(tick(0, at(7), { target: PARENT }))).toBeNull();
  });
});
