/**
 * The port to an AO network: all that gateway and guardians need of one, whoever runs its units. The embedded pipeline gives it, and so does
 * a network of others' units; what they say is checked the same either way.
 */
import type { ScheduleHead } from './scheduler/assignment.js';
import type { EvaluationResult, Item, Tag } from './types.js';

export type EngineErrorCode =
  /** Nobody answers, or not in time. */
  | 'unreachable'
  /** A unit answered what is no answer. */
  | 'malformed'
  /** A unit will not do what was asked. */
  | 'refused'
  /** Compute units do not agree on what a message came to. */
  | 'disagreement'
  /** An item cannot be had as its author signed it. */
  | 'not-as-signed'
  /** Another gateway on this database has gone on with the same process. */
  | 'overtaken';

/** What an AO network did not do; the message says which unit and why. */
export class EngineError extends Error {
  constructor(
    readonly code: EngineErrorCode,
    message: string,
    /** The HTTP status of a refusal. */
    readonly status?: number,
  ) {
    super(message);
    this.name = 'EngineError';
  }
}

/** A place and the message that has it, as some unit shows them: nothing about them is checked yet. */
export interface ShownEntry {
  assignment: Item;
  message: Item;
}

/** Where signed things are read and written. Whoever reads trusts nobody: ids, signatures and places are for the reader to check. */
export interface AoNetwork {
  /**
   * The schedule of a process from `head` on, the head's own entry first (so that another history for it is seen), from slot 0 without one.
   * At most about `limit` entries; none when the process is not known. @throws EngineError, ItemError
   */
  schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]>;
  /** The item with this id, or null when it is not known. @throws EngineError, ItemError */
  item(id: string): Promise<Item | null>;
  /** Hands over a signed item; the same item again changes nothing. @throws EngineError */
  send(item: Pick<Item, 'id' | 'raw'>): Promise<void>;
  /**
   * Another way in which an item that does not verify can have been written, as it is signed; null when there is none. For networks that
   * show items as fields, which can be put together in more than one way.
   */
  asSigned?(item: Item): Promise<Item | null>;
}

/** One evaluated slot. */
export interface EngineSlot {
  nonce: number;
  /** Id of the message. */
  message: string;
  /** Milliseconds, as the scheduler signed it. */
  timestamp: number;
  result: EvaluationResult;
}

/** A message evaluated without effect. */
export interface EngineRead {
  /** Who asks. */
  owner: string;
  tags: readonly Tag[];
  data?: string;
}

/** How far a process is known: its newest slot, and the newest one with a result; -1 for none. */
export interface EngineHead {
  scheduled: number;
  evaluated: number;
}

/** What a gateway needs. */
export interface AoEngine {
  /** Addresses that sign assignments and pushed messages. */
  readonly scheduler: string;
  readonly messenger: string;
  /** Whether it has started and was not told to stop: processes go on by themselves. */
  readonly running: boolean;
  /** Slots of a process from a slot on that have results, in order: at most `limit`, and fewer (but one at least) when they are large. */
  slots(process: string, fromNonce: number, limit: number): Promise<EngineSlot[]>;
  /** Calls `listener` after slots of a process got results. */
  onSlots(listener: (process: string) => void): void;
  head(process: string): Promise<EngineHead>;
  /** The spawn item of a process, or null. */
  spawn(process: string): Promise<Item | null>;
  /** A message by its id, as its author signed it; null when it is not known. @throws EngineError */
  message(id: string): Promise<Item | null>;
  /** Has a signed message scheduled; the same one again changes nothing. Its place shows in `slots`. @throws EngineError */
  send(item: Pick<Item, 'id' | 'raw'>): Promise<void>;
  /** @throws ComputeError, EngineError */
  dryRun(process: string, read: EngineRead): Promise<EvaluationResult>;
  start(): Promise<void>;
  stop(): Promise<void>;
}
