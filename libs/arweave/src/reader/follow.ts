/**
 * How bundles and the schedules in them go on from one another: each seal names the one before, each range begins where its process' last
 * one ended, on its hash chain, at no earlier time. Pure; it remembers some 300 bytes of each process, however long the history is.
 */
import { checkPlace, ReplicaError, tagOf, TickCheck, type ScheduleEntry, type ScheduleHead } from '@isthmus/ao';
import type { SettledBundle, SettledRange } from '../format/index.js';
import { SettlementFinding, type FindingKind } from './finding.js';

interface Followed extends ScheduleHead {
  /** Follows its clocks. */
  ticks: TickCheck;
}

/** The last seal taken. */
export interface LastSeal {
  sequence: number;
  id: string;
}

export class Follower {
  private readonly processes = new Map<string, Followed>();
  private seal: LastSeal | null = null;

  constructor(private readonly scheduler: string) {}

  get last(): LastSeal | null {
    return this.seal;
  }

  /** Takes the next bundle, whose items are as they were sealed. @throws SettlementFinding, and nothing of it counts */
  take({ seal, ranges }: SettledBundle): void {
    const { sequence, previous, item } = seal;
    const expected = (this.seal?.sequence ?? 0) + 1;
    if (sequence !== expected)
      throw new SettlementFinding('reordered', `Bundle ${sequence} stands where bundle ${expected} belongs.`);
    if (previous !== (this.seal?.id ?? null))
      throw new SettlementFinding(
        'forked-settlement',
        `Bundle ${sequence} builds on seal ${previous ?? 'none'}, not on ${this.seal?.id ?? 'none'}: the scheduler has sealed two histories.`,
        { bundle: sequence, item: item.id },
      );
    for (const range of ranges) this.begins(range);
    const after = ranges.map((range) => [range.process, this.through(range)] as const);
    for (const [process, followed] of after) this.processes.set(process, followed);
    this.seal = { sequence, id: item.id };
  }

  /** Last slot taken of a process; -1 before its first. */
  at(process: string): number {
    return this.processes.get(process)?.nonce ?? -1;
  }

  /** Takes a slot that is in no bundle yet: everything about its place is looked at. @throws SettlementFinding, and it does not count */
  takeUnsettled(entry: ScheduleEntry): void {
    const before = this.processes.get(entry.process) ?? null;
    const head = this.placed(entry, before);
    const ticks = before?.ticks.copy() ?? TickCheck.of(entry);
    assertTick(ticks, entry);
    this.processes.set(entry.process, { ...head, ticks });
  }

  /** @throws SettlementFinding when a range does not begin where its process has come to */
  private begins({ process, from }: SettledRange): void {
    const next = (this.processes.get(process)?.nonce ?? -1) + 1;
    if (from > next)
      throw new SettlementFinding('missing-slot', `Slots ${next} to ${from - 1} of ${process} were not settled.`, {
        process,
        slot: next,
      });
    if (from < next)
      throw new SettlementFinding('doubled', `Slot ${from} of ${process} was settled before.`, { process, slot: from });
  }

  private through({ process, entries }: SettledRange): Followed {
    const before = this.processes.get(process) ?? null;
    let head: ScheduleHead | null = before;
    const ticks = before?.ticks ?? TickCheck.of(entries[0] as ScheduleEntry); // slot 0, since there is no other before
    for (const [i, entry] of entries.entries()) {
      head = i === 0 ? this.placed(entry, head) : onwards(entry, head as ScheduleHead);
      assertTick(ticks, entry);
    }
    return { ...(head as ScheduleHead), ticks };
  }

  /** The first of a range builds on another bundle: everything about its place is looked at. */
  private placed(entry: ScheduleEntry, head: ScheduleHead | null): ScheduleHead {
    try {
      return checkPlace(entry.process, this.scheduler, entry.assignment, entry.message, head);
    } catch (error) {
      if (!(error instanceof ReplicaError)) throw error;
      throw new SettlementFinding(KINDS[error.code] ?? 'forged', error.message, placeOf(entry));
    }
  }
}

/** A process' clock strikes when its spawn says. @throws SettlementFinding */
function assertTick(ticks: TickCheck, entry: ScheduleEntry): void {
  const wrong = ticks.next(entry);
  if (wrong !== null)
    throw new SettlementFinding('forged', `Slot ${entry.nonce} of ${entry.process} ${wrong}.`, placeOf(entry));
}

const KINDS: { readonly [code in ReplicaError['code']]?: FindingKind } = {
  'broken-chain': 'broken-chain',
  'wrong-scheduler': 'forged',
  'wrong-place': 'reordered',
};

/** The head after an entry whose place in its range was checked when the bundle was opened; left is that time does not run backwards. */
function onwards(entry: ScheduleEntry, previous: ScheduleHead): ScheduleHead {
  const { nonce, assignment } = entry;
  const timestamp = Number(tagOf(assignment, 'Timestamp'));
  if (!Number.isSafeInteger(timestamp) || timestamp < previous.timestamp)
    throw new SettlementFinding(
      'reordered',
      `Time runs backwards at slot ${nonce} of ${entry.process}.`,
      placeOf(entry),
    );
  return { nonce, assignmentId: assignment.id, hashChain: tagOf(assignment, 'Hash-Chain'), timestamp };
}

const placeOf = ({ process, nonce, message }: ScheduleEntry) => ({ process, slot: nonce, item: message.id });
