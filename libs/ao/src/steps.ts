/** The durable steps of a pipeline, for whoever is to be told of them: tests that end the gateway just there (I12). */
export const PIPELINE_STEPS = [
  /** A process is leased, and nothing of it evaluated yet. */
  'lease.after-commit',
  /** Results, what they send, and the public state are written and not yet there. */
  'results.before-commit',
  'results.after-commit',
  /** Pages and the checkpoint's row are written and not yet there. */
  'checkpoint.before-commit',
  'checkpoint.after-commit',
  /** What was sent is placed, and the outbox does not know it. */
  'delivery.before-mark',
  /** The same, with a process among it. */
  'spawn.before-mark',
  'delivery.after-mark',
] as const;
export type PipelineStep = (typeof PIPELINE_STEPS)[number];

/** Called at each step, on the way: what it throws fails the step. */
export type OnStep = (step: PipelineStep) => void;

export const NOBODY_IS_TOLD: OnStep = () => undefined;
