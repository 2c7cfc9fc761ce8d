/** Places between durable steps where a test ends the process as a power cut would (I12). */

export const CRASH_POINTS = [
  'index.before-commit',
  'index.after-commit',
  'project.before-commit',
  'project.after-commit',
  'relay.after-sign',
  'relay.after-broadcast',
  'relay.before-mined',
  'relay.after-mined',
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

/** Ends this process at once when ISTHMUS_CRASH_AT names the point; otherwise nothing. */
export function crashPoint(point: CrashPoint): void {
  if (process.env['ISTHMUS_CRASH_AT'] === point) process.kill(process.pid, 'SIGKILL');
}
