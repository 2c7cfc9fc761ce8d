/** What a host does for metered code counts as the code's own work, and what ended the code is read off its counters: alike in every machine. */
import { NO_MEMORY } from './metering.js';
import { HostFailure, OUT_OF_WORK, ProcessError, STACK_OVERFLOW, TakesLong } from './traps.js';

/**
 * What the host's functions cost beside each call's own price, in steps: measured, at about 1,000 steps a microsecond. A jump unwinds the stack; a
 * part is one of a write.
 */
export const JUMP_COST = 3000;
export const PART_COST = 50;
/** Most parts of one write (IOV_MAX of Linux). */
export const MAX_PARTS = 1024;

/**
 * Slots of 8 bytes that code may have on the stack at once, by count: an eighth of a compute thread's, as the engine's own frames may be larger. What
 * interpreters allow by themselves is met long before: Lua 200 nested C calls, JavaScript some 700 calls, of up to 1,000 slots each by their heaviest way.
 */
export const STACK_SLOTS = 1_000_000;

/**
 * Steps after which what is done in a hurry is given up: a tenth of a second of ordinary work. The token's largest messages but one take fewer on aos
 * (500 attestations 62 million; those that mint 500 at once 149 million), all on the lean machine.
 */
export const HURRY_STEPS = 100_000_000;

/** Steps code may take now, of those it may take at all. */
export const stepsNow = (limit: number, inHurry: boolean): number => (inHurry ? Math.min(limit, HURRY_STEPS) : limit);

interface Counter {
  value: number;
}

/** @throws ProcessError when there are not so many steps left */
export function charge(fuel: Counter, steps: number): void {
  const left = fuel.value - steps;
  fuel.value = Math.max(left, -1);
  if (left < 0) throw new ProcessError(OUT_OF_WORK);
}

/**
 * By which counter the code was ended, in the words of its result; null when by none. @param isAll whether the steps it had were all it may take
 * @throws HostFailure when its host had no memory for it; TakesLong when it may take more steps than it had
 */
export function endOf(fuel: Counter, isAll: boolean, stack?: { depth: Counter; most: number }): string | null {
  if (fuel.value === NO_MEMORY) throw new HostFailure(`${NO_ROOM}.`);
  if (fuel.value < 0 && !isAll) throw new TakesLong();
  if (fuel.value < 0) return OUT_OF_WORK;
  return stack && stack.depth.value > stack.most ? STACK_OVERFLOW : null;
}

const NO_ROOM = 'This host has no memory left for a process';

/** The host could not make a memory larger that may be. */
export const noRoom = (error: unknown): HostFailure => new HostFailure(`${NO_ROOM}: ${String(error)}`);
