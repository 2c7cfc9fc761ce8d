/** How requests are read: each value in its one spelling, and for each that is wrong, what to write instead. */
import {
  BITCOIN_PREFIXES,
  decodeTags,
  isArweaveAddress,
  isSolanaAddress,
  isTransaction,
  readBitcoinAddress,
} from '@isthmus/bridge';
import { z } from 'zod';
import type { HomeAsset } from '../homes/asset-config.js';
import { isHexAddress, spelled, wrongChecksum } from '../homes/ethereum/address.js';
import type { Homes } from '../homes/homes.js';
import { recipientFault } from './ao-recipient.js';
import { STATES } from './fields.js';
import { cursor, limit, POSITION } from './paging.js';
import { Problem, read } from './problem.js';

const HASH = /^0[xX][0-9a-fA-F]{64}$/;
const CAIP19 = /^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}\/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}$/;
const TOKEN = /^(eip155:[0-9]+\/erc20:)(0[xX][0-9a-fA-F]{40})$/;

/** Of letters in one case only, which carry no checksum that could be wrong. */
const isOneCase = (text: string): boolean => {
  const digits = text.slice(2);
  return digits === digits.toLowerCase() || digits === digits.toUpperCase();
};

/** Of any network: what was paid to it is looked up, nothing is sent. */
const isBitcoinAddress = (text: string): boolean =>
  Object.values(BITCOIN_PREFIXES).some((prefixes) => readBitcoinAddress(text, prefixes) !== null);

/** What to look up for an address somebody wrote, or why it is none. */
function lookUpAddress(text: string): { value: string } | { fault: string } {
  if (isArweaveAddress(text) || isBitcoinAddress(text) || isSolanaAddress(text)) return { value: text };
  if (!isHexAddress(text)) return { fault: 'write a 43-character Arweave address, or 0x and 40 hex digits' };
  if (isOneCase(text) || spelled(text) === text) return { value: spelled(text) };
  return { fault: wrongChecksum(text) };
}

function lookUpAsset(text: string): { value: string } | { fault: string } {
  const [, kind, token] = TOKEN.exec(text) ?? [];
  if (kind !== undefined && token !== undefined) {
    const found = lookUpAddress(token);
    return 'fault' in found ? found : { value: kind + found.value };
  }
  return CAIP19.test(text) ? { value: text } : { fault: 'write a CAIP-19 id, such as eip155:1/slip44:60' };
}

/** A field read by a function that gives its one spelling or says what is wrong. */
function spelledBy(look: (text: string) => { value: string } | { fault: string }) {
  return z.string({ error: 'write it once, as a string' }).transform((text, context) => {
    const found = look(text);
    if ('value' in found) return found.value;
    context.addIssue({ code: 'custom', message: found.fault });
    return z.NEVER;
  });
}

/** What to look up for a transaction somebody wrote: hex digits in any case, base58 only as it is. */
function lookUpTransaction(text: string): { value: string } | { fault: string } {
  const value = /^(0[xX])?[0-9a-fA-F]{64}$/.test(text) ? text.toLowerCase() : text;
  if (isTransaction(value)) return { value };
  return { fault: 'write 0x and 64 hex digits, or a transaction as Bitcoin or Solana writes it' };
}

const transaction = spelledBy(lookUpTransaction);
const asset = spelledBy(lookUpAsset);

/** Longer than an address of any chain. */
const MAX_ADDRESS = 128;
const address = z.string({ error: 'write an address as a string' });
const aoRecipient = address
  .superRefine((text, context) => {
    const message = recipientFault(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  })
  .describe('43-character AO address, or an Ethereum address with its EIP-55 checksum');

const AMOUNT = 'write base units above 0 as 1 to 39 decimal digits without leading zeros or a point, in quotes';
const amount = z
  .string({ error: AMOUNT })
  .regex(/^[1-9][0-9]{0,38}$/, AMOUNT)
  .describe('Base units, as decimal digits');
const tag = z.strictObject({ name: z.string().max(64), value: z.string().max(1024) });

const assetField = z.string({ error: 'write the asset’s id as GET /v1/assets gives it' }).pipe(asset);
const depositRequest = z.strictObject({
  direction: z.literal('deposit'),
  asset: assetField.describe('CAIP-19'),
  amount,
  recipient: aoRecipient,
  tags: z.array(tag).max(16).default([]).describe('X- tags that travel along'),
  sender: address
    .max(MAX_ADDRESS)
    .optional()
    .describe(
      'Your address on the asset’s home chain; on Solana the answer then has the transaction ready to be signed',
    ),
});
const withdrawalRequest = z.strictObject({
  direction: z.literal('withdrawal'),
  asset: assetField.describe('CAIP-19'),
  amount,
  recipient: address
    .max(MAX_ADDRESS)
    .describe('Address on the asset’s home chain; on Ethereum with its EIP-55 checksum'),
});
export const quoteRequest = z.discriminatedUnion('direction', [depositRequest, withdrawalRequest], {
  error: (issue) => (issue.code === 'invalid_union' ? 'write "deposit" or "withdrawal"' : undefined),
});
export type QuoteRequest = z.output<typeof quoteRequest>;

/** Longer than any public key or address of one key. */
const refundText = z.string({ error: 'write it as a string' }).max(MAX_ADDRESS);
export const addressRequest = z.strictObject({
  asset: assetField.describe('CAIP-19, of a chain with deposit addresses'),
  recipient: aoRecipient,
  tags: z.array(tag).max(16).default([]).describe('X- tags that travel along'),
  refund: z
    .union([z.strictObject({ key: refundText }), z.strictObject({ address: refundText })], {
      error: 'write { "key": … } with a compressed public key in hex, or { "address": … } with an address of one key',
    })
    .describe('Who may take back what is paid to it'),
  refundAfter: z.int().min(1).max(65_535).optional().describe('Confirmations after which that is possible'),
});

/** Longer than tags that fit into a memo, however they are written in an address. */
const MAX_TAGS = 2_048;
const lines = z
  .string({ error: 'write it once, as lines X-Name=value' })
  .max(MAX_TAGS)
  .transform((text, context) => {
    const tags = decodeTags(Buffer.from(text));
    if (tags !== null) return tags;
    context.addIssue({ code: 'custom', message: 'write lines X-Name=value, as GET /docs has the rules of tags' });
    return z.NEVER;
  });
/** What a Solana Pay link asks for. */
export const payQuery = z.strictObject({
  asset: assetField.describe('CAIP-19, of Solana'),
  amount,
  recipient: aoRecipient,
  tags: lines.optional().describe('X- tags that travel along, as lines X-Name=value'),
});
export const payRequest = z.strictObject({
  account: z
    .string({ error: 'write the wallet’s address as a string' })
    .max(MAX_ADDRESS)
    .describe('The wallet that signs and pays, base58'),
});

/** Schemas of what is taken, by their names in the documentation. */
export const requestSchemas = {
  DepositRequest: depositRequest,
  WithdrawalRequest: withdrawalRequest,
  QuoteRequest: quoteRequest,
  AddressRequest: addressRequest,
  SolanaPayRequest: payRequest,
};

/** As much as a code of error correction M holds of any bytes is 2,331; links are far shorter. */
const MAX_LINK = 1_000;
export const qrQuery = z.strictObject({
  link: z
    .string({ error: 'write it once, as a string' })
    .max(MAX_LINK, `a payment link has at most ${MAX_LINK} characters`)
    .regex(/^(bitcoin|BITCOIN|solana):[!-~]+$/, 'write a payment link of Bitcoin (BIP 21) or Solana (Solana Pay)')
    .describe('A payment link: bitcoin:… (BIP 21) or solana:… (Solana Pay)'),
});

export const assetQuery = z.strictObject({ asset: assetField.describe('CAIP-19') });
export const assetsQuery = z.strictObject({ asset: assetField.optional().describe('CAIP-19; all assets without it') });
export const transfersQuery = z.strictObject({
  address: spelledBy(lookUpAddress)
    .optional()
    .describe('Sender or recipient on either side: 43-character Arweave address, or 0x and 40 hex digits'),
  source: transaction.optional().describe('Deposit transaction, as its chain writes it'),
  release: transaction.optional().describe('Release transaction, as its chain writes it'),
  message: z
    .string({ error: 'write it once, as a string' })
    .refine(isArweaveAddress, 'write the 43 characters of an AO message id')
    .optional()
    .describe('AO message of any step: 43 characters'),
  state: z
    .enum(STATES, { error: `write one of ${STATES.join(', ')}` })
    .optional()
    .describe('Only those in this state'),
  asset: asset.optional().describe('CAIP-19'),
  cursor: cursor(POSITION),
  limit: limit('transfers'),
});

/** The asset of an id as `lookUpAsset` spells it. @throws Problem `unknown-asset` */
export function assetOf(homes: Homes, id: string): HomeAsset {
  const found = homes.asset(id);
  if (!found)
    throw new Problem('unknown-asset', 'This asset is not bridged here; GET /v1/assets lists those that are.');
  return found;
}

/** A transfer's id as it is kept, or null for what can be none. */
export const transferId = (text: string): string | null => (HASH.test(text) ? text.toLowerCase() : null);

export const readQuery = <S extends z.ZodType>(schema: S, query: unknown): z.output<S> => read(schema, query, 'query');
