export type ScheduleErrorCode =
  | 'bad-signature'
  | 'bad-type'
  | 'too-large'
  | 'unknown-process'
  | 'unknown-message'
  | 'unknown-module'
  | 'unknown-format'
  | 'id-taken'
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

/** An id names one item: what would be found by it must not depend on where one looks. */
export const idTaken = (id: string): ScheduleError =>
  new ScheduleError('id-taken', `The id ${id} is that of another item here: sign yours anew.`);
