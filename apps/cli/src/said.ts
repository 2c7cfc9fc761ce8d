/** Errors as people read them: those of our own making are one line already, others show where they come from when ISTHMUS_DEBUG is set. */

/** What a command could not do, and what to change. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
  ) {
    super(message);
    this.name = 'CommandError';
  }
}

/** Addresses without their logins: what is printed is seen by others, and kept in logs. */
export const withoutLogins = (text: string): string => text.replaceAll(/(?<=:\/\/)\S*@/g, '');

/** The line to print for an error. */
export const said = (error: unknown): string => withoutLogins(wordsOf(error));

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (process.env['ISTHMUS_DEBUG'] !== undefined) return error.stack ?? error.message;
  const cause = error.cause instanceof Error && error.cause.message ? ` (${error.cause.message})` : '';
  return error.message + cause;
}
