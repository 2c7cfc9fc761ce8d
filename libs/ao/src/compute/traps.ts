/**
 * Why a message failed, in words of our own: they are part of its result, which is the same on every host, whatever its engine calls the same thing.
 * What is not known to come of the code itself is a failure of the host, and no result at all.
 */

/** The host could not give what it always gives (memory, say): no result of the message, which another host handles well. */
export class HostFailure extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'HostFailure';
  }
}

/** The code, or what runs it, ended the message for a reason of its own: its text is a result. */
export class ProcessError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ProcessError';
  }
}

/** It takes longer than somebody in a hurry waits: nothing of it had an effect, and it is no result. */
export class TakesLong extends Error {
  constructor() {
    super('This takes longer than there is time for now.');
    this.name = 'TakesLong';
  }
}

export const OUT_OF_WORK = 'out of work';
export const STACK_OVERFLOW = 'stack overflow';
export const OUT_OF_BOUNDS = 'memory access out of bounds';
export const BAD_RESULT = 'The answer is no JSON.';
const UNCAUGHT_LONGJMP = 'a jump to nowhere';

/** longjmp as the compiler's runtime has it: a thrown Infinity, caught where setjmp was. */
export const LONGJMP = Infinity;

/** WebAssembly's traps (Core 2.0, 4.4) by words that engines have for them, and the one word they have here. */
const TRAPS: readonly (readonly [RegExp, string])[] = [
  [/unreachable/, 'unreachable'],
  [/memory access out of bounds|out of bounds memory|data segment.* out of bounds/, OUT_OF_BOUNDS],
  [/divide by zero|remainder by zero/, 'integer divide by zero'],
  [/divide result unrepresentable|integer overflow/, 'integer overflow'],
  [/float unrepresentable|invalid conversion/, 'invalid conversion to integer'],
  [/table index|undefined element|signature mismatch|null function|indirect call/, 'indirect call to no such function'],
];

/** Why a message failed, when that is its result. @throws HostFailure when it may be the host's doing */
export function reasonOf(error: unknown): string {
  if (error instanceof ProcessError) return error.message;
  if (error === LONGJMP) return UNCAUGHT_LONGJMP;
  if (error instanceof WebAssembly.RuntimeError) {
    const known = TRAPS.find(([words]) => words.test(error.message));
    if (known) return known[1];
  }
  if (error instanceof HostFailure) throw error;
  throw new HostFailure(`This host failed a process: ${String(error)}`);
}
