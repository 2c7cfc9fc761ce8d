/** What else is written when results are stored: sinks are called inside the storing transaction, so what they write is kept exactly when the results are. */
import type { EntityManager } from 'typeorm';
import type { EvaluationResult, ScheduleEntry } from '../types.js';

/** Results of one process that are stored together, in the order of its schedule. */
export interface ResultBatch {
  process: string;
  /** Id of the process' module. */
  module: string;
  results: readonly { entry: ScheduleEntry; result: EvaluationResult }[];
}

/**
 * Called once for each transaction, with batches of different processes; a slot comes once for good, after all slots before it.
 * Only the compute that holds a process' lease gets here, so rows keyed by the process need no locks of their own.
 * A sink writes through `manager` only, in few statements however many batches there are, and refuses nothing that a process may send:
 * what it throws undoes the whole transaction, and the process is evaluated again from there.
 */
export interface ResultSink {
  take(manager: EntityManager, batches: readonly ResultBatch[]): Promise<void>;
}
