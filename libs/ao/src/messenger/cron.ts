/**
 * A process' clock. Its spawn says `Cron-Interval` (each one clock of its own) and after it the tags of that clock's messages as
 * `Cron-Tag-<name>`. A tick is an entry of the schedule like any other, signed by the scheduler, that says only which clock and when; what
 * the process sees is read from its spawn, so that the scheduler puts no words into anyone's mouth and the log alone says everything.
 */
import { tagOf } from '../items/tags.js';
import type { Item, ScheduleEntry, Tag } from '../types.js';

/** One clock of a process. */
export interface Cron {
  /** Milliseconds, whole seconds. */
  interval: number;
  /** What its messages carry. */
  tags: Tag[];
}

/** When a clock has struck. */
export interface Tick {
  /** Which of the process' clocks, from 0. */
  cron: number;
  /** Milliseconds: the spawn's timestamp and a multiple of the interval. */
  time: number;
}

export type CronErrorCode = 'blocks' | 'bad-interval' | 'too-often';

/** A spawn asks for a clock that is not kept here. */
export class CronError extends Error {
  constructor(
    readonly code: CronErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'CronError';
  }
}

/** Most clocks of one process: each is looked at whenever one strikes. */
export const MAX_CLOCKS = 16;
/** Most ticks of all clocks of one process together, as one that strikes every second: each is an entry of its schedule for good. */
const MAX_TICKS_A_SECOND = 1;

const UNITS: ReadonlyMap<string, number> = new Map([
  ['millisecond', 1],
  ['second', 1000],
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
  ['week', 604_800_000],
]);
const INTERVAL = /^\s*([0-9]{1,9})\s*-\s*([a-z]{1,12}?)s?\s*$/i;
const TAG = /^Cron-Tag-(.+)$/s;
/** The clocks a spawn asks for; none when it asks for none. @throws CronError when it asks for what is not done here */
export function cronsOf(tags: readonly Tag[]): Cron[] {
  const crons: Cron[] = [];
  for (const { name, value } of tags) {
    if (name === 'Cron-Interval') crons.push({ interval: intervalOf(value), tags: [] });
    const named = TAG.exec(name)?.[1];
    if (named === undefined) continue;
    const cron = crons.at(-1);
    if (!cron) throw new CronError('bad-interval', `The tag ${name} has no Cron-Interval before it.`);
    cron.tags.push({ name: named, value });
  }
  return crons;
}

/** Whether a gateway can keep these for one process. @throws CronError `too-often` */
export function assertKeepable(crons: readonly Cron[]): void {
  const rate = crons.reduce((sum, { interval }) => sum + 1000 / interval, 0);
  // Three clocks of three seconds are one tick a second, whatever binary fractions make of thirds.
  if (crons.length <= MAX_CLOCKS && rate <= MAX_TICKS_A_SECOND + 1e-9) return;
  throw new CronError(
    'too-often',
    `A process has at most ${MAX_CLOCKS} clocks, which together strike at most once a second: this one asks for ${crons.length}, ${rate.toFixed(2)} times a second.`,
  );
}

function intervalOf(text: string): number {
  const [, count, unit] = INTERVAL.exec(text) ?? [];
  if (unit?.toLowerCase() === 'block')
    throw new CronError('blocks', `Cron-Interval ${text}: clocks that go by blocks are not done here; name a time.`);
  const length = UNITS.get(unit?.toLowerCase() ?? '');
  const seconds = length === undefined ? 0 : Math.floor((Number(count) * length) / 1000);
  if (seconds >= 1) return seconds * 1000;
  throw new CronError(
    'bad-interval',
    `Cron-Interval ${text}: write <number>-<seconds, minutes, hours, days or weeks>, a second at least.`,
  );
}

/** When the next of these clocks strikes after a moment. */
export function nextTick(crons: readonly Cron[], origin: number, after: number): number {
  return Math.min(...crons.map(({ interval }) => strikeBefore(origin, interval, after) + interval));
}

/** What has struck after `after`, up to `now`, in order: of each clock its last only, so that an outage is made up by one tick. */
export function ticksBetween(crons: readonly Cron[], origin: number, after: number, now: number): Tick[] {
  return crons
    .map(({ interval }, cron) => ({ cron, time: strikeBefore(origin, interval, now) }))
    .filter(({ time }) => time > Math.max(after, origin))
    .sort((a, b) => a.time - b.time || a.cron - b.cron);
}

/** The last multiple up to a moment. */
const strikeBefore = (origin: number, interval: number, moment: number): number =>
  origin + Math.max(0, Math.floor((moment - origin) / interval)) * interval;

/** Tags of a scheduled tick, all there is in it. */
export function tickTags({ cron, time }: Tick): Tag[] {
  return [
    { name: 'Data-Protocol', value: 'ao' },
    { name: 'Variant', value: 'ao.TN.1' },
    { name: 'Type', value: 'Cron' },
    { name: 'Cron-Index', value: String(cron) },
    { name: 'Cron-Time', value: String(time) },
  ];
}

/** Whether an entry says it is a tick of its process: only the scheduler's own word is one. */
function isTick({ process, assignment, message }: ScheduleEntry): boolean {
  return (
    tagOf(message, 'Type') === 'Cron' && message.target === process && message.ownerAddress === assignment.ownerAddress
  );
}

/** The tick an entry is, or null when it is none or not of this form. */
export function tickOf(entry: ScheduleEntry): Tick | null {
  return isTick(entry) ? readTick(entry.message) : null;
}

/** Time a tick says; null when the item has not the form of one. Whose word it is, is for the caller to ask. */
export function timeOfTick(item: Item): number | null {
  return tagOf(item, 'Type') === 'Cron' ? (readTick(item)?.time ?? null) : null;
}

function readTick({ tags, anchor, data }: Item): Tick | null {
  const [cron, time] = [Number(tagOf({ tags }, 'Cron-Index')), Number(tagOf({ tags }, 'Cron-Time'))];
  if (anchor !== '' || data.length > 0 || !Number.isSafeInteger(time)) return null;
  return JSON.stringify(tags) === JSON.stringify(tickTags({ cron, time })) ? { cron, time } : null;
}

/** Tags of the message a tick is to its process, or null when its spawn asks for no such clock. */
export function tagsOfTick({ cron, time }: Tick, spawn: readonly Tag[]): Tag[] | null {
  const tags = clocksOf(spawn)[cron]?.tags;
  return tags ? [...tags, { name: 'Cron-Time', value: String(time) }] : null;
}

function clocksOf(spawn: readonly Tag[]): Cron[] {
  try {
    return cronsOf(spawn);
  } catch (error) {
    if (error instanceof CronError) return [];
    throw error;
  }
}

/** Follows the ticks of one schedule: each where its spawn puts it, none in the future, none twice. */
export class TickCheck {
  private constructor(
    private readonly crons: readonly Cron[],
    private readonly origin: number,
    private readonly last: Map<number, number>,
  ) {}

  /** @param spawn slot 0 */
  static of(spawn: { message: Item; assignment: Item }): TickCheck {
    return new TickCheck(clocksOf(spawn.message.tags), timestampOf(spawn.assignment), new Map());
  }

  /** For entries that are not accepted yet. */
  copy(): TickCheck {
    return new TickCheck(this.crons, this.origin, new Map(this.last));
  }

  /** Why the next entry is no tick this process can have; null when it is one, or is none at all. */
  next(entry: ScheduleEntry): string | null {
    if (!isTick(entry)) return null;
    const tick = tickOf(entry);
    if (!tick) return 'is a tick that says more, or less, than its time';
    const clock = this.crons[tick.cron];
    if (!clock) return 'is a tick of a clock that the spawn does not ask for';
    const since = tick.time - this.origin;
    if (since <= 0 || since % clock.interval !== 0) return `is a tick at ${tick.time}, when its clock does not strike`;
    if (tick.time > timestampOf(entry.assignment)) return `is a tick at ${tick.time}, before that has come`;
    if (tick.time <= (this.last.get(tick.cron) ?? 0)) return `is a tick at ${tick.time} again, or out of order`;
    this.last.set(tick.cron, tick.time);
    return null;
  }
}

const timestampOf = (assignment: Item): number => Number(tagOf(assignment, 'Timestamp'));
