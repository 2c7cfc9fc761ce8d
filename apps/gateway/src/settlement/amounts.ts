/** Amounts by asset, as configuration writes them. */
import { z } from 'zod';

/** CAIP-19 id: amount in base units. */
export const assetAmounts = z.record(
  z.string().min(1).max(256),
  z
    .string()
    .regex(/^(0|[1-9][0-9]{0,38})$/, 'write an amount in base units as decimal digits in quotes')
    .transform(BigInt),
);
