/** A guardian's configuration: one JSON file (ISTHMUS_CONFIG), checked whole at start. */
import { isArweaveAddress, isEthereumAddress } from '@isthmus/bridge';
import { z } from 'zod';

const address = z
  .string()
  .refine(
    (v) => v === '0x0000000000000000000000000000000000000000' || isEthereumAddress(v),
    'write the address with its EIP-55 checksum',
  ) as unknown as z.ZodType<`0x${string}`>;
const aoId = z.string().refine(isArweaveAddress, 'an AO id has 43 characters of base64url');

export const chainSchema = z.strictObject({
  /** CAIP-2 */
  id: z.string().regex(/^eip155:[1-9][0-9]{0,14}$/, 'name the chain as eip155:<chain id>'),
  rpcUrls: z.array(z.url()).min(1).max(16),
  /** How many of rpcUrls must agree on everything. */
  agreement: z.int().min(1).max(16),
  finality: z.union([
    z.strictObject({ tag: z.enum(['finalized', 'safe']) }),
    z.strictObject({ confirmations: z.int().min(1).max(10_000) }),
  ]),
  vault: address,
  /** Block the vault was deployed in. */
  deployBlock: z.int().min(0),
});

export const guardianSchema = z.strictObject({
  /** Shown in logs and health. */
  name: z.string().min(1).max(64),
  /** File with the guardian's key, mode 0600. */
  keyFile: z.string().min(1),
  databaseUrl: z.string().min(1),
  /** Loopback unless metrics are collected from elsewhere. */
  host: z.string().default('127.0.0.1'),
  /** Port of health and metrics. */
  port: z.int().min(0).max(65_535),
  /** The gateway whose schedule is followed and to which messages are sent. */
  gatewayUrl: z.url(),
  /** Address of the only scheduler whose assignments count. */
  scheduler: aoId,
  chain: chainSchema,
  assets: z
    .array(z.strictObject({ id: z.string().min(1), address, process: aoId }))
    .min(1)
    .max(256),
  /** Transfers in one message. */
  batch: z.int().min(1).max(500).default(200),
  /** Milliseconds between two rounds. */
  pollMs: z.int().min(20).max(60_000).default(1000),
});

export type GuardianConfig = z.output<typeof guardianSchema>;
