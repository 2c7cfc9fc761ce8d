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
/** Those a guardian passes besides where keys alone hold the vault, and releases are proposed. */
export const PROPOSAL_CRASH_POINTS = ['propose.before-commit', 'propose.after-commit'] as const;
export type CrashPoint = (typeof CRASH_POINTS | typeof PROPOSAL_CRASH_POINTS)[number];
/** Is told of each durable step as it is passed; what it throws ends the work there. */
export type OnStep = (point: CrashPoint) => void;

/** Ends this process when a test says so. */
export const crashPoint: OnStep = crashAt;
