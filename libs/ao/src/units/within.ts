/** A client is kept waiting so long and no longer. */
import { ComputeError } from '../compute/error.js';

/** Longest a client is kept waiting; the evaluation goes on after that. */
const WAIT_MS = 25_000;

/** @throws ComputeError `not-ready` when the work takes longer; it goes on all the same */
export async function within<T>(work: Promise<T>, waitMs = WAIT_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new ComputeError('not-ready', 'The evaluation is still under way: ask again.')),
      waitMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
