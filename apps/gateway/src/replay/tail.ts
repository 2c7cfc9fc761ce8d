/**
 * Slots that were placed and not settled yet, as guardians have kept them: read from guardians or files, checked like what was settled (each
 * signature, each place, the hash chain), and handed on in order. What a tail shows of slots that are known must be what is known.
 */
import fs from 'node:fs';
import {
  EngineError,
  ItemError,
  MAX_TAIL_LINE,
  readTailLine,
  tagOf,
  TAIL_PAGE,
  TailClient,
  verifyItem,
  type Item,
  type ScheduleEntry,
} from '@isthmus/ao';
import { SettlementFinding, type Follower } from '@isthmus/arweave';
import { ReplayError } from './error.js';

/** Characters of a file's lines that are checked and written together. */
const CHARACTERS_AT_ONCE = 16 * 1024 * 1024;
/** Modules kept for the spawns behind them: a process' own comes right before it. */
const MODULES_KEPT = 16;

/** What is known already, and where new slots go. */
export interface TailTaker {
  /** Ids of the assignments of these slots, all of which are known. */
  assignments(process: string, from: number, to: number): Promise<string[]>;
  /** Takes the next slots of one process, checked; `module` is what its spawn names, when the tail shows it. */
  take(process: string, entries: readonly ScheduleEntry[], module: Item | null): Promise<void>;
}

/** The slots that tails had of a process beyond what was settled. */
export interface TakenTail {
  process: string;
  from: number;
  to: number;
}

/** One place to have tails from. */
export interface TailSource {
  name: string;
  /** Lines, some at a time, of each process from the last slot known on; what is given is taken before more is asked for. */
  lines(at: (process: string) => number): AsyncIterable<string[]>;
}

/** Before anything is begun: what cannot be had then is not there at the end of it either. @throws ReplayError */
export function openTails(names: readonly string[]): Promise<TailSource[]> {
  return Promise.all(names.map((name) => (/^https?:\/\//.test(name) ? openGuardian(name) : openFile(name))));
}

async function openGuardian(url: string): Promise<TailSource> {
  const client = new TailClient(url);
  const heads = await client.heads().catch(refused);
  async function* lines(at: (process: string) => number): AsyncIterable<string[]> {
    for (const { process, slot } of heads)
      for (let next = Math.max(0, at(process)); next <= slot; next = at(process) + 1) {
        yield await client.page(process, next).catch(refused);
        if (at(process) < next)
          throw badTail(url, `it shows no slot ${next} of ${process}, and says it has slot ${slot}`);
      }
  }
  return { name: url, lines };
}

async function openFile(file: string): Promise<TailSource> {
  await fs.promises.access(file, fs.constants.R_OK).catch(() => {
    throw new ReplayError(
      'bad-request',
      `--tail: ${file} cannot be read: give a guardian's address, or a file made with isthmus tail.`,
    );
  });
  return { name: file, lines: () => linesOf(fs.createReadStream(file, 'utf8'), file) };
}

async function* linesOf(stream: AsyncIterable<string>, name: string): AsyncIterable<string[]> {
  let lines: string[] = [];
  let characters = 0;
  let rest = '';
  for await (const chunk of stream) {
    const pieces = chunk.split('\n');
    pieces[0] = rest + (pieces[0] ?? '');
    rest = pieces.pop() ?? '';
    if (rest.length > MAX_TAIL_LINE) throw badTail(name, 'it has a line that is longer than two items');
    for (const line of pieces) {
      if (line.trim() === '') continue;
      lines.push(line);
      characters += line.length;
      if (lines.length < TAIL_PAGE && characters < CHARACTERS_AT_ONCE) continue;
      yield lines;
      [lines, characters] = [[], 0];
    }
  }
  if (rest.trim() !== '') lines.push(rest);
  if (lines.length > 0) yield lines;
}

/**
 * Takes all that tails have beyond what `follower` has followed. @throws SettlementFinding naming what is wrong with one of them, and where;
 * ReplayError when one cannot be read to its end
 */
export async function takeTails(
  tails: readonly TailSource[],
  scheduler: string,
  follower: Follower,
  taker: TailTaker,
): Promise<TakenTail[]> {
  const taken = new Map<string, TakenTail>();
  for (const tail of tails) {
    const reading = new TailReading(tail.name, scheduler, follower, taker, taken);
    for await (const lines of tail.lines((process) => follower.at(process))) await reading.take(lines);
  }
  return [...taken.values()].sort((a, b) => (a.process < b.process ? -1 : 1));
}

class TailReading {
  private readonly modules = new Map<string, Item>();

  constructor(
    private readonly name: string,
    private readonly scheduler: string,
    private readonly follower: Follower,
    private readonly taker: TailTaker,
    private readonly taken: Map<string, TakenTail>,
  ) {}

  async take(lines: readonly string[]): Promise<void> {
    const of = new Map<string, ScheduleEntry[]>();
    for (const line of lines) {
      const read = this.read(line);
      if (read.kind === 'module') await this.keepModule(read.module);
      else of.set(read.entry.process, [...(of.get(read.entry.process) ?? []), read.entry]);
    }
    for (const [process, entries] of of) await this.takeSlots(process, entries);
  }

  private read(line: string): { kind: 'module'; module: Item } | { kind: 'slot'; entry: ScheduleEntry } {
    try {
      const read = readTailLine(line);
      if (read.kind === 'module') return read;
      const { assignment, message } = read;
      const nonce = /^(0|[1-9][0-9]{0,14})$/.test(tagOf(assignment, 'Nonce'))
        ? Number(tagOf(assignment, 'Nonce'))
        : NaN;
      if (Number.isNaN(nonce)) throw new ItemError('bad-tags', `item ${assignment.id} is the assignment of no slot`);
      return { kind: 'slot', entry: { process: tagOf(assignment, 'Process'), nonce, assignment, message } };
    } catch (error) {
      if (error instanceof ItemError) throw badTail(this.name, error.message);
      throw error;
    }
  }

  private async keepModule(module: Item): Promise<void> {
    if (!(await verifyItem(module)))
      throw this.wrong('forged', `Module ${module.id} is not signed by its owner.`, { item: module.id });
    this.modules.set(module.id, module);
    for (const oldest of [...this.modules.keys()].slice(0, -MODULES_KEPT)) this.modules.delete(oldest);
  }

  private async takeSlots(process: string, entries: readonly ScheduleEntry[]): Promise<void> {
    const last = this.follower.at(process);
    await this.compare(
      process,
      entries.filter((e) => e.nonce <= last),
    );
    const fresh = entries.filter((e) => e.nonce > last);
    const [first] = fresh;
    if (!first) return;
    await Promise.all(fresh.map((entry) => this.assertSigned(entry)));
    for (const entry of fresh) this.follow(entry);
    const module = first.nonce === 0 ? (this.modules.get(tagOf(first.message, 'Module')) ?? null) : null;
    await this.taker.take(process, fresh, module);
    const to = fresh.at(-1)?.nonce ?? first.nonce;
    this.taken.set(process, { process, from: this.taken.get(process)?.from ?? first.nonce, to });
  }

  /** Slots that are known: another assignment in one of them, signed by the scheduler, is another history. */
  private async compare(process: string, entries: readonly ScheduleEntry[]): Promise<void> {
    const slots = entries.map((e) => e.nonce);
    const [from, to] = [Math.min(...slots), Math.max(...slots)];
    const known = entries.length === 0 ? [] : await this.taker.assignments(process, from, to);
    for (const entry of entries) {
      if (known[entry.nonce - from] === entry.assignment.id) continue;
      await this.assertSigned(entry);
      throw this.wrong(
        'forked-schedule',
        `Slot ${entry.nonce} of ${process} is ${entry.assignment.id} there, and ${known[entry.nonce - from]} in what was settled or another tail has: the scheduler has signed two histories.`,
        placeOf(entry),
      );
    }
  }

  private async assertSigned(entry: ScheduleEntry): Promise<void> {
    const { assignment, message, nonce, process } = entry;
    const where = `of slot ${nonce} of ${process}`;
    if (assignment.ownerAddress !== this.scheduler || !(await verifyItem(assignment)))
      throw this.wrong('forged', `The assignment ${where} is not signed by the scheduler.`, placeOf(entry));
    if (!(await verifyItem(message)))
      throw this.wrong('forged', `The message ${where} is not signed by its owner.`, placeOf(entry));
  }

  private follow(entry: ScheduleEntry): void {
    const { process, nonce } = entry;
    const next = this.follower.at(process) + 1;
    if (nonce > next)
      throw this.wrong('missing-slot', `Slots ${next} to ${nonce - 1} of ${process} are neither settled nor there.`, {
        process,
        slot: next,
      });
    if (nonce < next) throw this.wrong('doubled', `Slot ${nonce} of ${process} is there twice.`, placeOf(entry));
    try {
      this.follower.takeUnsettled(entry);
    } catch (error) {
      if (!(error instanceof SettlementFinding)) throw error;
      const { kind, message, ...place } = error.finding;
      throw this.wrong(kind, message, place);
    }
  }

  private wrong(
    kind: SettlementFinding['finding']['kind'],
    message: string,
    place: Partial<SettlementFinding['finding']>,
  ) {
    return new SettlementFinding(kind, `The tail of ${this.name} is refused. ${message}`, place);
  }
}

const placeOf = ({ process, nonce, message }: ScheduleEntry) => ({ process, slot: nonce, item: message.id });

const badTail = (name: string, why: string): ReplayError =>
  new ReplayError('bad-tail', `The tail of ${name} cannot be read: ${why}.`);

/** What a guardian does not give. @throws ReplayError always */
function refused(error: unknown): never {
  throw error instanceof EngineError ? new ReplayError('bad-tail', `--tail: ${error.message}`) : error;
}
