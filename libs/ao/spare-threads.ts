/** For tests: compute threads go from one who is done with them to the next. Beginning new ones takes longer than what most tests have them do. */
import { WorkerPool } from './src/index.js';

export class SpareThreads {
  private readonly spare: WorkerPool[] = [];
  /** @param size as of a `WorkerPool` */
  constructor(private readonly size = 1) {}

  /** Threads where nothing is open. */
  take(): WorkerPool {
    return this.spare.pop() ?? new WorkerPool(this.size);
  }

  /** Who gives them back asks nothing of them any more. */
  async give(workers: WorkerPool): Promise<void> {
    if (await emptied(workers)) this.spare.push(workers);
    else await workers.stop();
  }

  async stop(): Promise<void> {
    for (const workers of this.spare.splice(0)) await workers.stop();
  }
}

/** Closes what is open there. @returns whether all is well with the threads */
async function emptied(workers: WorkerPool): Promise<boolean> {
  try {
    for (const process of workers.usage().keys()) await workers.close(process);
    const { slow, apart } = workers.threads();
    return slow + apart === 0;
  } catch {
    return false; // a thread was lost
  }
}
