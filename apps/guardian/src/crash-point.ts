/** Places between durable steps where a test ends the process as a power cut would (I12). */
import { crashAt } from '@isthmus/store';

export const CRASH_POINTS = [
  'scan.before-commit',
  'scan.after-commit',
  'attest.before-commit',
  'attest.after-commit',
  'post.before-send',
  'post.after-send',
  'follow.before-keep',
  'follow.after-keep',
  'sign.before-commit',
  'sign.after-commit',
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

/** Ends this process when a test says so. */
export const crashPoint: (point: CrashPoint) => void = crashAt;
