/** The local Arweave as a process of its own, under the supervisor of the stack. */
import { endWhenTold, exitFailed, loadConfig } from '@isthmus/store';
import { z } from 'zod';
import { startArweave } from './index.js';

const schema = z.strictObject({
  dir: z.string().min(1),
  port: z.int().min(1).max(65_535),
  /** None: blocks come by `/devnet/mine` only. */
  blockMs: z.int().min(10).max(3_600_000).optional(),
  /** Winstons by address, given once. */
  fund: z.record(z.string(), z.string().regex(/^[0-9]{1,25}$/)).default({}),
});

async function main(): Promise<void> {
  const { dir, port, blockMs, fund } = loadConfig(schema, process.env['ISTHMUS_CONFIG'] ?? 'arweave.json');
  const arweave = await startArweave({
    dir,
    port,
    ...(blockMs === undefined ? {} : { blockMs }),
    fund: Object.fromEntries(Object.entries(fund).map(([address, winston]) => [address, BigInt(winston)])),
  });
  endWhenTold(() => arweave.stop());
}

main().catch(exitFailed);
