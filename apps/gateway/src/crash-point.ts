/** Places between durable steps where a test ends the process as a power cut would (I12). */
import { PIPELINE_STEPS } from '@isthmus/ao';
import { SETTLEMENT_STEPS } from '@isthmus/arweave';
import { crashAt } from '@isthmus/store';

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
/** Those of the AO pipeline: leases, results with outbox and public state, checkpoints, deliveries and spawns. */
export const PIPELINE_CRASH_POINTS = PIPELINE_STEPS.map((step) => `ao.${step}` as const);
export type PipelineCrashPoint = (typeof PIPELINE_CRASH_POINTS)[number];
/** Of these the ones that every run of the tests passes; all others take their minute in the soak. */
export const COMMON_CRASH_POINTS: readonly PipelineCrashPoint[] = ['ao.results.before-commit', 'ao.spawn.before-mark'];
/** Those of settlement. */
export const SETTLEMENT_CRASH_POINTS = SETTLEMENT_STEPS.map((step) => `settle.${step}` as const);
export type SettlementCrashPoint = (typeof SETTLEMENT_CRASH_POINTS)[number];
export type CrashPoint = (typeof CRASH_POINTS)[number] | PipelineCrashPoint | SettlementCrashPoint;

/** Ends this process when a test says so. */
export const crashPoint: (point: CrashPoint) => void = crashAt;
