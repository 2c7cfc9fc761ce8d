/** The durable steps of settlement, for whoever is to be told of them: tests that end the gateway just there (I12). */
export const SETTLEMENT_STEPS = [
  /** A bundle with its ranges is written and not yet there. */
  'seal.before-commit',
  'seal.after-commit',
  /** What carries it is signed and not stored: it was never sent. */
  'sign.before-commit',
  'sign.after-commit',
  /** A part of it was taken, and nothing here knows. */
  'post.before-part',
  'post.after-part',
  /** All of it was taken, and nothing here knows. */
  'post.before-mark',
  'post.after-mark',
  /** It is deep enough, and its bytes came back. */
  'confirm.before-mark',
  'confirm.after-mark',
  'checkpoint.before-commit',
  'checkpoint.after-commit',
] as const;
export type SettlementStep = (typeof SETTLEMENT_STEPS)[number];

/** Called at each step, on the way: what it throws fails the step. */
export type OnSettlementStep = (step: SettlementStep) => void;
