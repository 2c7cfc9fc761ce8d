/** The local Solana as a process of its own, under the supervisor of the stack. */
import { endWhenTold, exitFailed, loadConfig } from '@isthmus/store';
import { z } from 'zod';
import { Solana } from './index.js';

const schema = z.strictObject({
  dir: z.string().min(1),
  port: z.int().min(1).max(65_534),
  /** Milliseconds from one slot to the next. */
  slotMs: z.int().min(50).max(60_000),
  /** Blocks on top until final; on the cluster 31. */
  finalizedAfter: z.int().min(1).max(1_000),
});

async function main(): Promise<void> {
  const { dir, port, slotMs, finalizedAfter } = loadConfig(schema, process.env['ISTHMUS_CONFIG'] ?? 'solana.json');
  const solana = await Solana.start({ folder: dir, port, slotMs, finalizedAfter });
  endWhenTold(() => solana.stop());
}

main().catch(exitFailed);
