export type ScheduleErrorCode =
  | 'bad-signature'
  | 'bad-type'
  | 'too-large'
  | 'unknown-process'
  | 'unknown-message'
  | 'unknown-module'
  | 'overloaded';

/** A message that gets no place; the message says what to do. */
export class ScheduleError extends Error {
  constructor(
    readonly code: ScheduleErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ScheduleError';
  }
}
