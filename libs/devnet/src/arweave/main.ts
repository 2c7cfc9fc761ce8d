/** The local Arweave as a process of its own, under the supervisor of the stack. */
import { loadConfig, plainMessage } from '@isthmus/store';
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
  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    await arweave.stop();
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop());
  process.on('SIGINT', () => void stop());
  // A supervisor that dies, however it dies, closes this pipe: nobody is left behind.
  if (process.env['ISTHMUS_SUPERVISED'] === '1') process.stdin.resume().on('end', () => void stop());
}

main().catch((error: unknown) => {
  console.error(plainMessage(error) ?? error);
  process.exit(1);
});
