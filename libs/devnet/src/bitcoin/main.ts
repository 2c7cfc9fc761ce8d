/** The local Bitcoin as a process of its own, under the supervisor of the stack. */
import { endWhenTold, exitFailed, loadConfig } from '@isthmus/store';
import { z } from 'zod';
import { Purse, startBitcoin } from './index.js';

const schema = z.strictObject({
  dir: z.string().min(1),
  port: z.int().min(1).max(65_535),
  /** None: blocks come by `generatetoaddress` only. */
  blockMs: z.int().min(10).max(3_600_000).optional(),
  /** `user:password` of those who ask. */
  credentials: z.string().regex(/^[^:\s]+:[^:\s]+$/),
  /** Words its wallet follows from; whoever knows them can spend what is in it. */
  wallet: z.string().min(1),
  /** Satoshis per 1,000 virtual bytes that `estimatesmartfee` says; none: it has not seen enough. */
  feeEstimate: z
    .string()
    .regex(/^[0-9]{1,12}$/)
    .optional(),
});

async function main(): Promise<void> {
  const { dir, port, blockMs, credentials, wallet, feeEstimate } = loadConfig(
    schema,
    process.env['ISTHMUS_CONFIG'] ?? 'bitcoin.json',
  );
  const bitcoin = await startBitcoin({
    dir,
    port,
    credentials,
    wallet: Purse.of(wallet),
    ...(blockMs === undefined ? {} : { blockMs }),
  });
  if (feeEstimate !== undefined) bitcoin.fees.estimate = BigInt(feeEstimate);
  endWhenTold(() => bitcoin.stop());
}

main().catch(exitFailed);
