/** What a compute unit cannot answer, said so that the asker knows what to do. */
export type ComputeErrorCode =
  | 'unknown-process'
  | 'unknown-message'
  | 'not-ready'
  | 'too-long'
  | 'overloaded'
  | 'stopped';

export class ComputeError extends Error {
  constructor(
    readonly code: ComputeErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ComputeError';
  }
}

/**
 * A process goes no further here for now: a message of it, or opening it, ended its thread, or no machine here runs its module. That is no result,
 * since another host may be quick enough, or have the machine; it is tried again after a while.
 */
export class ProcessStopped extends Error {
  constructor(
    readonly process: string,
    /** The slot it does not get past; null when it does not open. */
    readonly slot: number | null,
    /** It took longer than the clock allows, or crashed, or its Module-Format is not known here. */
    readonly code: 'too-long' | 'crash' | 'unknown-format',
    reason: string,
  ) {
    super(`Process ${process} stopped ${slot === null ? 'while it was opened' : `at slot ${slot}`}: ${reason}`);
    this.name = 'ProcessStopped';
  }
}
