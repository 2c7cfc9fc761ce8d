/**
 * Opening a process. A module that does not load for a reason of its own (its syntax, what it asks for, what its code does while it loads) does not
 * load anywhere: that is the result of its spawn and of every later message, in each copy of the process. Only what the host could not do is tried again.
 */
import type { EvaluationResult, MemoryChange, MemoryImage, ProcessEnv, Vm, VmInstance } from '../types.js';
import { failed } from './bounds.js';
import { reasonOf, TakesLong } from './traps.js';

/** What a process without a memory counts for: the thread keeps its environment, whose tags are 4 KiB, and a few objects. */
const EMPTY_BYTES = 64 * 1024;

/** A process, whether its module loads or not. @throws HostFailure; TakesLong, only in a hurry */
export async function loadProcess(
  machine: Vm,
  module: Uint8Array,
  format: string,
  env: ProcessEnv,
  image: MemoryImage | null,
  inHurry = false,
): Promise<VmInstance> {
  // The image of what did not load is empty: it does not load this time either.
  const from = image && image.size > 0 ? image : null;
  try {
    return await machine.load(module, format, env, from, inHurry);
  } catch (error) {
    if (error instanceof TakesLong) throw error;
    if (from) throw error; // it has loaded before
    return new UnloadedProcess(reasonOf(error));
  }
}

/** A process whose module does not load: it has no state, and every message fails with the reason. */
class UnloadedProcess implements VmInstance {
  constructor(private readonly reason: string) {}

  handle(): Promise<EvaluationResult> {
    return Promise.resolve(failed(`The module does not load: ${this.reason}`));
  }

  dryRun(): Promise<EvaluationResult> {
    return this.handle();
  }

  snapshot(): Promise<MemoryImage> {
    return Promise.resolve({ size: 0, pages: new Map() });
  }

  checkpoint(): Promise<MemoryChange> {
    return Promise.resolve({ size: 0, changed: [] });
  }

  usage(): number {
    return EMPTY_BYTES;
  }

  close(): Promise<void> {
    return Promise.resolve(); // it holds nothing
  }
}
