/** Whether AO carries an asset now: nobody is sold a call or a message whose other end stands still. */
import type { AoEngine } from '@isthmus/ao';
import type { Health } from '../health.js';
import type { HomeAsset } from '../homes/asset-config.js';
import { Problem } from './problem.js';

export class Selling {
  constructor(
    private readonly engine: Pick<AoEngine, 'running' | 'head'>,
    private readonly health: Pick<Health, 'parts'>,
  ) {}

  /** @throws Problem `engine-not-ready`, `asset-stopped`: nothing of what is under way is lost by either */
  async assertCarried({ process }: HomeAsset): Promise<void> {
    if (!this.engine.running)
      throw new Problem('engine-not-ready', 'AO is not carried here now; try again in a moment.');
    const { parts } = this.health;
    const { evaluated } = await this.engine.head(process);
    if (evaluated < 0)
      throw new Problem('engine-not-ready', `Nothing of process ${process} is known here yet; try again in a moment.`);
    const stopped = [`compute ${process}`, 'projector'].find((part) => parts[part]?.ok === false);
    if (stopped !== undefined)
      throw new Problem(
        'asset-stopped',
        `This asset stands still here: ${parts[stopped]?.detail ?? 'not yet ready'} Nothing under way is lost; GET /ready says when it goes on.`,
      );
  }
}
