/** What answers about a chain, an asset and a deposit have on Solana only. */
import { z } from 'zod';
import { assetId, chainId, hash, STATES, transaction } from '../../api/fields.js';

const address = (what: string) =>
  z
    .string()
    .regex(/^[1-9A-HJ-NP-Za-km-z]{32,44}$/)
    .describe(what);
const base64 = (what: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9+/]*={0,2}$/)
    .describe(what);

export const solanaChain = {
  relayer: address('Who pays for releases: fee payer, and authority of the nonces'),
  nonces: z.array(address('A durable nonce account')).describe('Its pool of nonces, for guardians to configure'),
  vaults: z
    .array(
      z.strictObject({
        asset: assetId,
        vault: address('The token account'),
        multisig: address('Who owns it: an SPL multisig'),
        guardianKeys: z.array(address('A signer')).describe('In their order in the multisig'),
        threshold: z.int().describe('How many of them move money'),
      }),
    )
    .describe(
      'Who holds each vault, as it was last read in final state; one that was not, or must not be bridged, is left out',
    ),
};

export const solanaAsset = {
  vault: address('The token account that guardians hold together'),
  mint: address('Its mint').nullable().describe('Null for SOL'),
};

const ROLES = ['sender', 'sender-account', 'vault', 'mint'] as const;

export const solanaPayment = {
  vault: address('Where it goes: a token account; for SOL too, by a plain transfer'),
  memo: z.string().describe('What the second instruction says: whose it is on AO'),
  instructions: z
    .array(
      z.strictObject({
        program: address('The program that is called'),
        accounts: z.array(
          z.strictObject({
            role: z.enum(ROLES).describe('sender: your wallet; sender-account: its token account of the mint'),
            address: address('The account').nullable().describe('Null for yours while no sender is named'),
            signer: z.boolean(),
            writable: z.boolean(),
          }),
        ),
        data: base64('What it is called with, base64'),
      }),
    )
    .describe('In this order and with nothing between: a transfer, and its memo'),
  transaction: base64('The whole transaction without signatures, base64')
    .nullable()
    .describe('Ready to be signed by the sender; null while none is named'),
  link: z
    .string()
    .nullable()
    .describe(
      'Solana Pay transaction request: a wallet that opens it asks for the transaction here. Null when this gateway is not reached by https.',
    ),
};

const progressShape = {
  state: z
    .enum(['processed', 'confirmed', 'finalized', 'failed', 'dropped', 'unknown'])
    .describe(
      'By the word of one source, for showing. processed: a fork may drop it; finalized: it stays; failed: it paid nothing; dropped: it was seen and is gone, and may come again; unknown: no source has seen it, and what no block takes within about a minute never comes',
    ),
  slot: z.int().nullable().describe('The slot it is in; null while it is in none'),
  confirmations: z.int().nullable().describe('Blocks on top; null from finality on, and while it is in none'),
};
export const solanaTransaction = z.strictObject({
  signature: transaction('What was asked for'),
  chain: chainId,
  ...progressShape,
  transfers: z
    .array(z.strictObject({ id: hash('Its id'), state: z.enum(STATES) }))
    .describe('Deposits it made, as soon as this gateway has them: GET /v1/transfers/<id>'),
});

type Fields<S extends z.ZodRawShape> = z.infer<z.ZodObject<S>>;
export type SolanaChainFields = Fields<typeof solanaChain>;
export type TransactionProgress = Fields<typeof progressShape>;
export type SolanaTransactionAnswer = z.infer<typeof solanaTransaction>;
export type SolanaAssetFields = Fields<typeof solanaAsset>;
export type SolanaPayment = Fields<typeof solanaPayment>;
