/** What a compute unit cannot answer, said so that the asker knows what to do. */
export type ComputeErrorCode = 'unknown-process' | 'unknown-message' | 'not-ready' | 'too-long' | 'overloaded';

export class ComputeError extends Error {
  constructor(
    readonly code: ComputeErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'ComputeError';
  }
}
