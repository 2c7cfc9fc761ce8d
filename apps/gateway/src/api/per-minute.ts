/** Counts what costs others something each time: so much of it a minute, and then a moment's wait. */
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { Problem } from './problem.js';

const WINDOW_SECONDS = 60;

export class PerMinute {
  private readonly limiter: RateLimiterMemory;

  constructor(
    private readonly most: number,
    /** What is counted and for whom, as people read it behind the number. */
    private readonly what: string,
  ) {
    this.limiter = new RateLimiterMemory({ points: most, duration: WINDOW_SECONDS });
  }

  /** @throws Problem `too-many-requests` */
  async take(key: string): Promise<void> {
    await this.limiter.consume(key).catch(() => {
      throw new Problem('too-many-requests', `At most ${this.most} ${this.what}; wait a moment.`);
    });
  }
}
