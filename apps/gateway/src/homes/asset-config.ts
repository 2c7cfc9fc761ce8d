/** What is configured of every bridged asset, whatever its home chain: what people are shown; guardians decide what is listed. */
import { isArweaveAddress } from '@isthmus/bridge';
import { z } from 'zod';

export const aoId = z.string().refine(isArweaveAddress, 'an AO id has 43 characters of base64url');
export const amount = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,38})$/, 'write an amount in base units as decimal digits in quotes')
  .transform(BigInt);

/** Fields of an asset's entry; a family adds its own. */
export const sharedAsset = {
  /** CAIP-19 */
  id: z.string().min(1),
  /** Ticker, name and denomination, as the token process says them. */
  symbol: z.string().min(1).max(32),
  name: z.string().min(1).max(128),
  decimals: z.int().min(0).max(36),
  /** Token process on AO. */
  process: aoId,
  /** Least amounts in base units, as vault and process have them: quotes below are refused. */
  minDeposit: amount,
  minWithdrawal: amount,
  /** What one release costs in this asset's base units; absent for the chain's coin, whose cost is the network's own fee. */
  relayFee: amount.optional(),
};

/** An asset as the gateway knows it without knowing its chain. */
export type HomeAsset = z.output<z.ZodObject<typeof sharedAsset>>;

/** Assets of one home. */
export const MAX_ASSETS = 256;
