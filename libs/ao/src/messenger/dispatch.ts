/**
 * From results to the outbox: what processes send, spawn and assign becomes deliveries, in the transaction that stores the results. One
 * signed message leads to so much and no more; what is beyond that, or cannot be carried, is written down as a dead letter with its reason.
 */
import type { EntityManager } from 'typeorm';
import type { ResultBatch } from '../compute/result-sink.js';
import { ItemError } from '../items/index.js';
import { tagOf } from '../items/tags.js';
import type { Item, OutboundMessage, ScheduleEntry, Signer } from '../types.js';
import { allOf, countAnswers, countSpawns, shareKey, type Share } from './counts.js';
import type { Delivery, Outbox } from './outbox.js';
import {
  hopsOf,
  ID,
  MAX_HOPS,
  pushedMessage,
  pushedSpawn,
  sentBy,
  spawnedMessage,
  type Sent,
  type SetAsideReason,
  type Speaker,
} from './sent.js';

/**
 * Most messages a process sends in answer to one other process (or to whoever signed) on the way from one signed message. By that other
 * one, since a process that answers a flood must go on answering the rest. A guardian's largest message mints 1,000 times.
 */
export const MAX_ANSWERS = 5000;
/**
 * Most messages, spawns and assignments that come of one signed message, whoever sends them: answers are bounded by pair, and n processes that
 * answer each other are n² pairs. A guardian's largest message leads to some thousands.
 */
export const MAX_PUSHES_OF_ROOT = 50_000;
/** Most processes that come of one signed message, whoever spawns them on the way: each is a schedule and a memory for good. */
export const MAX_SPAWNS_OF_ROOT = 1000;
/** Most processes one process spawns in its life without the operator's leave. */
export const MAX_SPAWNS_OF_PROCESS = 10_000;

export interface DispatchBounds {
  answers: number;
  pushesOfRoot: number;
  spawnsOfRoot: number;
  spawnsOfProcess: number;
}

export interface DispatchOptions extends DispatchBounds {
  outbox: Outbox;
  /** Signs what is pushed. */
  signer: Signer;
  /** Address of the scheduler that things are delivered to. */
  scheduler: string;
}

/** Items signed at once: an RSA key signs on other threads. */
const SIGNED_AT_ONCE = 32;

/** One thing that is to go out. */
interface Outgoing {
  sent: Sent;
  nonce: number;
  speaker: Speaker;
  share: Share;
}

interface SetAside {
  reason: SetAsideReason;
  error: string;
}

/** Which one it is, from 1: in answer to one process, and of its root. */
interface Pushes {
  ofPair: number;
  ofRoot: number;
}

interface Allowed {
  out: Outgoing;
  /** Why it is written down as a dead letter instead. */
  excess?: SetAside;
}

type Beginning = Pick<Share, 'root' | 'cause'> & { hops: number };

/** Processes remembered to be on this scheduler; they never leave it. */
const MAX_REMEMBERED = 50_000;

export class Dispatch {
  private readonly remembered = new Set<string>();

  constructor(private readonly options: DispatchOptions) {}

  /** Writes down what results ask for (or some of it), within the bounds. Returns the processes that have something to be delivered. */
  async take(manager: EntityManager, batches: readonly ResultBatch[], wanted = all): Promise<Set<string>> {
    const outgoing = (await this.outgoing(manager, batches)).filter(({ sent }) => wanted(sent));
    const here = await this.processesHere(manager, outgoing);
    const allowed = await this.withinBounds(manager, outgoing.filter(isFor(here)));
    const deliveries = await this.write(allowed, here);
    await this.options.outbox.add(manager, deliveries);
    return new Set(deliveries.map((d) => d.process));
  }

  /** Writes down, whatever the bounds, those parts of results that an operator wants sent: what was dead goes out, what went out stays. */
  async sendAnyway(manager: EntityManager, batch: ResultBatch, wanted: (sent: Sent) => boolean): Promise<void> {
    const outgoing = (await this.outgoing(manager, [batch])).filter(({ sent }) => wanted(sent));
    const here = await this.processesHere(manager, outgoing);
    const out = outgoing.filter(isFor(here)).map((one) => ({ out: one }));
    await this.options.outbox.add(manager, await this.write(out, here), true);
  }

  private async outgoing(manager: EntityManager, batches: readonly ResultBatch[]): Promise<Outgoing[]> {
    const asked = batches.flatMap(({ module, results }) =>
      results.map(({ entry, result }) => ({ entry, module, sent: sentBy(result) })).filter((a) => a.sent.length > 0),
    );
    const assigned = await this.assigners(
      manager,
      asked.map((a) => a.entry).filter((entry) => !isAddressed(entry)),
    );
    return asked.flatMap(({ entry, module, sent }) => {
      const { process, nonce } = entry;
      const { root, cause, hops } = assigned.get(entry) ?? this.beginning(entry);
      const speaker = { process, module, root, hops: hops + 1 };
      return sent.map((one) => ({ sent: one, nonce, speaker, share: { root, process, cause } }));
    });
  }

  /** The signed message at the beginning. Only this messenger's own word counts: else anyone could speak for another's message. */
  private beginning(entry: ScheduleEntry): Beginning {
    const { message, assignment } = entry;
    // Whoever assigns another's message over HTTP begins anew, and spends nothing of that message's.
    if (!isAddressed(entry)) return { root: assignment.id, cause: '', hops: 0 };
    const pushedFor = message.ownerAddress === this.options.signer.address ? tagOf(message, 'Pushed-For') : '';
    const cause = tagOf(message, 'From-Process');
    return { root: pushedFor || message.id, cause: ID.test(cause) ? cause : '', hops: hopsOf(message) };
  }

  /** Of messages that a process here has assigned: they are that process' doing, not their author's. */
  private async assigners(
    manager: EntityManager,
    entries: readonly ScheduleEntry[],
  ): Promise<Map<ScheduleEntry, Beginning>> {
    if (entries.length === 0) return new Map();
    const rows: { target: string; item_id: string; process: string; root: string; hops: number }[] =
      await manager.query(
        `select distinct on (o.target, o.item_id) o.target, o.item_id, o.process, o.root, o.hops
         from outbox o join unnest($1::text[], $2::text[]) as e(target, item_id) on o.target = e.target and o.item_id = e.item_id
         where o.kind = 'assignment' order by o.target, o.item_id, o.id`,
        [entries.map((e) => e.process), entries.map((e) => e.message.id)],
      );
    const found = new Map(rows.map((r) => [`${r.target} ${r.item_id}`, r]));
    return new Map(
      entries.flatMap((entry): [ScheduleEntry, Beginning][] => {
        const row = found.get(`${entry.process} ${entry.message.id}`);
        return row ? [[entry, { root: row.root, cause: row.process, hops: row.hops }]] : [];
      }),
    );
  }

  /** Which of the processes that something is for are on this scheduler. */
  private async processesHere(manager: EntityManager, outgoing: readonly Outgoing[]): Promise<ReadonlySet<string>> {
    const targets = new Set(outgoing.map(({ sent }) => targetOf(sent)).filter((target) => ID.test(target)));
    const asked = [...targets].filter((target) => !this.remembered.has(target));
    if (asked.length === 0) return targets;
    const rows: { id: string }[] = await manager.query('select id from process where id = any($1)', [asked]);
    const found = new Set(rows.map((r) => r.id));
    for (const target of asked) if (!found.has(target)) targets.delete(target);
    if (this.remembered.size + found.size > MAX_REMEMBERED) this.remembered.clear();
    for (const id of found) this.remembered.add(id);
    return targets;
  }

  /** What may go out, each with why it may not: one dead letter says so for all of its slot that follow. */
  private async withinBounds(manager: EntityManager, outgoing: readonly Outgoing[]): Promise<Allowed[]> {
    const pushes = await this.countedPushes(manager, outgoing);
    const spawns = await this.countedSpawns(manager, outgoing);
    const told = new Set<string>();
    return outgoing.flatMap((out): Allowed[] => {
      const excess = this.excess(out, pushes(out), out.sent.kind === 'spawn' && spawns(out));
      if (!excess) return [{ out }];
      const key = `${excess.reason} ${out.speaker.process} ${out.nonce}`;
      if (told.has(key)) return [];
      told.add(key);
      return [{ out, excess }];
    });
  }

  private excess({ speaker }: Outgoing, pushes: Pushes, tooManySpawns: boolean): SetAside | null {
    const most = this.options;
    const left = 'this and what follows in its slot are not sent.';
    if (speaker.hops > MAX_HOPS)
      return { reason: 'hops', error: `More than ${MAX_HOPS} hops from the message that was signed: ${left}` };
    if (pushes.ofRoot > most.pushesOfRoot)
      return { reason: 'pushes', error: `More than ${most.pushesOfRoot} pushes come of one signed message: ${left}` };
    if (pushes.ofPair > most.answers)
      return {
        reason: 'answers',
        error: `More than ${most.answers} answers to one process on the way from one signed message: ${left}`,
      };
    if (!tooManySpawns) return null;
    const error = `More than ${most.spawnsOfRoot} processes come of one signed message, or ${most.spawnsOfProcess} of one process: ${left}`;
    return { reason: 'spawns', error };
  }

  /** Numbers each thing among the answers it belongs to, and among all that its root has led to. */
  private async countedPushes(
    manager: EntityManager,
    outgoing: readonly Outgoing[],
  ): Promise<(out: Outgoing) => Pushes> {
    const asked = new Map<string, { share: Share; count: number }>();
    for (const share of outgoing.flatMap((out) => [out.share, allOf(out.share)])) {
      const group = asked.get(shareKey(share)) ?? { share, count: 0 };
      asked.set(shareKey(share), { share, count: group.count + 1 });
    }
    const counts = await countAnswers(manager, asked);
    return ({ share }) => ({
      ofPair: next(counts, shareKey(share)),
      ofRoot: next(counts, shareKey(allOf(share))),
    });
  }

  /** Says of each spawn, in order, whether it is one too many. */
  private async countedSpawns(
    manager: EntityManager,
    outgoing: readonly Outgoing[],
  ): Promise<(out: Outgoing) => boolean> {
    const asked = new Map<string, { scope: 'root' | 'process'; id: string; count: number }>();
    const scopes = ({ share }: Outgoing) => [
      { scope: 'root' as const, id: share.root },
      { scope: 'process' as const, id: share.process },
    ];
    for (const out of outgoing.filter(({ sent }) => sent.kind === 'spawn')) {
      for (const { scope, id } of scopes(out)) {
        const key = `${scope} ${id}`;
        asked.set(key, { scope, id, count: (asked.get(key)?.count ?? 0) + 1 });
      }
    }
    const counts = await countSpawns(manager, asked);
    return (out) => {
      const [ofRoot, ofProcess] = scopes(out).map(({ scope, id }) => next(counts, `${scope} ${id}`)) as [
        number,
        number,
      ];
      return ofRoot > this.options.spawnsOfRoot || ofProcess > this.options.spawnsOfProcess;
    };
  }

  /** Lays out what goes out; what no item can carry, or nobody here can take, is dead from the start. */
  private async write(allowed: readonly Allowed[], here: ReadonlySet<string>): Promise<Delivery[]> {
    const made = new Map<Outgoing, Delivery[]>();
    const toSign = allowed.flatMap(({ out, excess }) => (!excess && isSigned(out.sent) ? [out] : []));
    for (let at = 0; at < toSign.length; at += SIGNED_AT_ONCE) {
      const some = toSign.slice(at, at + SIGNED_AT_ONCE);
      const deliveries = await Promise.all(some.map((out) => this.sign(out)));
      some.forEach((out, i) => made.set(out, deliveries[i] ?? []));
    }
    const messages = new Map(
      [...made.values()]
        .flat()
        .flatMap((d) => (d.kind === 'message' && !d.dead ? [[placeOf(d, d.position), d.itemId]] : [])),
    );
    return allowed.flatMap(({ out, excess }) =>
      excess ? [{ ...blank(out), dead: excess }] : (made.get(out) ?? [assignmentOf(out, here, messages)]),
    );
  }

  private async sign(out: Outgoing): Promise<Delivery[]> {
    const { sent, speaker } = out;
    try {
      if (sent.kind === 'spawn') return await this.signSpawn(out, sent.spawn);
      if (sent.kind !== 'message') return [];
      const item = await pushedMessage(speaker, sent.message, this.options.signer);
      return [{ ...blank(out), ...itemParts(item), target: item.target }];
    } catch (error) {
      if (!(error instanceof ItemError)) throw error;
      return [{ ...blank(out), dead: { reason: 'bad-item', error: error.message } }];
    }
  }

  /** A spawn, and what its parent is told once it has its place. */
  private async signSpawn(out: Outgoing, asked: OutboundMessage): Promise<Delivery[]> {
    const { scheduler, signer } = this.options;
    const item = await pushedSpawn(out.speaker, asked, scheduler, signer);
    const named = tagOf(item, 'Scheduler');
    if (named !== scheduler) {
      const what = ID.test(named) ? `the scheduler ${named}` : 'as its scheduler what is no address';
      const error = `The new process names ${what}; this one is ${scheduler}.`;
      return [{ ...blank(out), dead: { reason: 'foreign-scheduler', error } }];
    }
    if (!ID.test(tagOf(item, 'Module')))
      return [{ ...blank(out), dead: { reason: 'bad-item', error: 'The new process names no Module by its id.' } }];
    const told = await spawnedMessage(out.speaker, item, signer);
    return [
      { ...blank(out), ...itemParts(item) },
      { ...blank(out), ...itemParts(told), kind: 'spawned', target: out.speaker.process },
    ];
  }
}

const all = (_: Sent): boolean => true;

const isSigned = (sent: Sent): boolean => sent.kind === 'message' || sent.kind === 'spawn';

function targetOf(sent: Sent): string {
  if (sent.kind === 'message') return sent.message.Target ?? '';
  return sent.kind === 'assignment' ? sent.target : '';
}

/** Whether this is anyone's business here: messages to wallets, and to processes of others, are read from the result. */
const isFor =
  (here: ReadonlySet<string>) =>
  ({ sent }: Outgoing): boolean =>
    sent.kind !== 'message' || here.has(sent.message.Target ?? '');

/** Whether a message was said to the process on whose schedule it is; else it was only assigned to it. */
const isAddressed = ({ process, nonce, message }: ScheduleEntry): boolean => nonce === 0 || message.target === process;

const itemParts = ({ id, raw }: Item): Pick<Delivery, 'itemId' | 'item'> => ({ itemId: id, item: raw });

/** A delivery without its contents. */
function blank({ sent, nonce, speaker: { process, root, hops } }: Outgoing): Delivery {
  const kind = sent.kind === 'malformed' ? 'assignment' : sent.kind;
  return { process, kind, nonce, position: sent.position, itemId: '', item: NOTHING, target: '', root, hops };
}

const NOTHING = Buffer.alloc(0);

/** @param messages ids of the messages sent, by their place */
function assignmentOf(out: Outgoing, here: ReadonlySet<string>, messages: ReadonlyMap<string, string>): Delivery {
  const { sent } = out;
  const dead = (reason: string, error: string): Delivery => ({ ...blank(out), dead: { reason, error } });
  if (sent.kind !== 'assignment') return dead('bad-assignment', sent.kind === 'malformed' ? sent.error : sent.kind);
  const { target, message } = sent;
  if (!here.has(target)) return dead('unknown-process', `There is no process ${target} here to assign to.`);
  const itemId = typeof message === 'string' ? message : messages.get(placeOf(blank(out), message.own));
  if (itemId === undefined) return dead('bad-assignment', 'The message to be assigned is not delivered here itself.');
  return { ...blank(out), target, itemId };
}

const placeOf = ({ process, nonce }: Delivery, position: number): string => `${process} ${nonce} ${position}`;

/** The count after one more. */
function next(counts: Map<string, number>, key: string): number {
  const count = (counts.get(key) ?? 0) + 1;
  counts.set(key, count);
  return count;
}
