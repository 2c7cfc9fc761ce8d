/** Everything the API answers and takes, written once: the types of the code and the documentation at /docs both come from here. */
import type { WaitReason } from '@isthmus/bridge';
import { z } from 'zod';
import { aoSchemas } from '../ao/schemas.js';
import {
  bitcoinAsset,
  bitcoinChain,
  bitcoinPayment,
  depositAddress,
  depositAddressDetail,
} from '../homes/bitcoin/answers.js';
import { ethereumAsset, ethereumChain, ethereumPayment } from '../homes/ethereum/answers.js';
import { solanaAsset, solanaChain, solanaPayment, solanaTransaction } from '../homes/solana/answers.js';
import { paySchemas } from '../homes/solana/pay-answers.js';
import { settled, settlementSchemas } from '../settlement/schemas.js';
import { stateSchemas } from '../state/schemas.js';
import {
  address,
  amount,
  aoId,
  assetId,
  chainId,
  hash,
  recipientNote,
  STATES,
  time,
  transaction,
  units,
} from './fields.js';
import { auditSchemas } from '../audit/schemas.js';
import { PROBLEMS, type ProblemCode } from './problem-codes.js';

const REASONS = [
  'confirmations',
  'attestations',
  'conflict',
  'signatures',
  'rotation',
  'settlement',
  'paused',
  'limit',
  'fee-too-low',
  'recipient',
  'relayer',
  'finality',
  'release-attestations',
  'rpc-agreement',
  'reorg',
] as const satisfies readonly WaitReason[];
const waiting = z.strictObject({
  reason: z.enum(REASONS),
  detail: z.string().describe('The reason for people'),
  expected: time('When it should move')
    .nullable()
    .describe('UTC; null when that depends on others (a pause, a fee, a limit)'),
});

const transferShape = {
  id: hash('Deposit id or withdrawal id, as in the protocol'),
  direction: z.enum(['deposit', 'withdrawal']),
  state: z
    .enum(STATES)
    .describe(
      'Deposit: seen, confirming, attesting, minted; orphaned by a reorg, refused. Withdrawal: queued, signing, ready, submitted, released; held at the vault for its recipient to claim.',
    ),
  waiting: waiting.nullable().describe('Why it waits; null when it is done'),
  confirmations: z
    .strictObject({ have: z.int(), need: z.int() })
    .nullable()
    .describe('Of the block it is in, where a chain counts them; null elsewhere, and before and after'),
  asset: assetId,
  amount: amount('What was deposited or burned'),
  fee: amount('What was taken of it; 0 until it is known'),
  maxFee: amount('The most that may be taken').nullable(),
  sender: z.string().describe('Address on the side it comes from'),
  recipient: z.string().describe('Address on the side it goes to'),
  number: z.string().nullable().describe('Of a withdrawal in its process'),
  reference: z
    .string()
    .nullable()
    .describe('Of a deposit: chain:vault:sequence, chain:txid:output or chain:signature:path'),
  sourceTx: transaction('Deposit transaction').nullable(),
  releaseTx: transaction('Release transaction').nullable(),
  createdAt: time('First seen'),
  updatedAt: time('Last changed'),
};
const transfer = z.strictObject(transferShape);

const timelineStep = z.strictObject({
  kind: z
    .enum([
      'seen',
      'final',
      'attested',
      'conflict',
      'minted',
      'queued',
      'proposed',
      'signed',
      'submitted',
      'mined',
      'reverted',
      'release-attested',
      'released',
      'refused',
      'refunded',
    ])
    .describe('What happened'),
  at: time('When this gateway saw it: guardians look for themselves, and may be done before it sees a block final'),
  proof: z
    .record(z.string(), z.union([z.string(), z.number()]))
    .describe('Where anyone can check it: transaction, block and log, or AO message and slot, with what it said'),
  settlement: settled
    .nullable()
    .describe(
      'Where its AO message is on Arweave; null for what is none, and while only this gateway’s database keeps it',
    ),
});
const transferDetail = z.strictObject({ ...transferShape, timeline: z.array(timelineStep) });
const transferPage = z.strictObject({
  transfers: z.array(transfer).describe('Newest first'),
  nextCursor: z.string().nullable().describe('The cursor of the next page; null on the last'),
});
const liveEvent = z
  .strictObject({ transfer: hash('Its id'), state: z.enum(STATES), at: time('When it was recorded') })
  .describe(
    'The data of an event of the type `transfer`; its id is good as Last-Event-ID. Events of the type `heartbeat` carry a time.',
  );

const chainShape = {
  id: chainId,
  name: z.string(),
  finalitySeconds: z.number().describe('From a transaction to its finality, as a rule'),
};
/** One of these for each family of home chains; so for assets and deposits, below. */
const chain = z.union([
  z.strictObject({ ...chainShape, ...ethereumChain }),
  z.strictObject({ ...chainShape, ...bitcoinChain }),
  z.strictObject({ ...chainShape, ...solanaChain }),
]);
const chains = z.strictObject({
  chains: z.array(chain).describe('Home chains'),
  ao: z.strictObject({
    scheduler: aoId('AO address that signs the schedule: guardians and auditors pin it'),
    messenger: aoId('AO address that pushes messages between processes: an Authority of the token processes'),
  }),
});

const relayFee = amount('What a release costs in this asset, as the relayer is configured')
  .nullable()
  .describe('Base units; guardians must be configured alike. Null where a release costs the network’s own fee');
const assetShape = {
  id: assetId,
  chain: chainId,
  symbol: z.string(),
  name: z.string(),
  decimals: z.int(),
  process: aoId('Token process on AO'),
  minDeposit: amount('Least deposit'),
  minWithdrawal: amount('Least withdrawal'),
  relayFee,
  paused: z.boolean().describe('Whether the guardians have paused it, on AO or at the vault'),
};
const asset = z.union([
  z.strictObject({ ...assetShape, ...ethereumAsset }),
  z.strictObject({ ...assetShape, ...bitcoinAsset }),
  z.strictObject({ ...assetShape, ...solanaAsset }),
]);
const assets = z.strictObject({ assets: z.array(asset) });

const tag = z.strictObject({ name: z.string(), value: z.string() });
const depositShape = {
  direction: z.literal('deposit'),
  asset: assetId,
  amount: amount('What is deposited'),
  fee: amount('What is taken of it'),
  receive: amount('What is minted'),
  minimum: amount('Least deposit'),
  expectedSeconds: z.int().describe('From sending the call to the tokens on AO, as a rule'),
  chain: chainId,
  recipientNote,
};
const depositQuote = z.union([
  z.strictObject({ ...depositShape, ...ethereumPayment }),
  z.strictObject({ ...depositShape, ...bitcoinPayment }),
  z.strictObject({ ...depositShape, ...solanaPayment }),
]);
const withdrawalQuote = z.strictObject({
  direction: z.literal('withdrawal'),
  asset: assetId,
  amount: amount('What is burned'),
  maxFee: amount('The most that may be taken of it'),
  relayFee,
  receiveAtLeast: amount('What the recipient gets at least'),
  minimum: amount('Least withdrawal'),
  expectedSeconds: z.int().describe('From sending the message to the final release, as a rule'),
  message: z
    .strictObject({ url: z.string(), target: aoId('Token process'), tags: z.array(tag) })
    .describe('The AO message to sign as an ANS-104 item and post to `url`'),
});
const quote = z.union([depositQuote, withdrawalQuote]);

const book = z.strictObject({
  asset: assetId,
  locked: amount('The vault’s count at `height`'),
  supply: amount('What exists on AO at `slot`'),
  inFlight: amount('Burned on AO and not attested as released at `slot`'),
  releasedUnattested: amount('Of that, what the vault has paid at `height`'),
  ok: z.boolean().describe('Whether locked + releasedUnattested covers supply + inFlight'),
  paused: z.boolean().describe('Whether the guardians have paused it, on AO or at the vault'),
  height: units.describe('Block'),
  slot: z.int().describe('Slot of the token process'),
});
const books = z.strictObject({
  books: z.array(book),
  unread: z
    .array(z.strictObject({ asset: assetId, detail: z.string() }))
    .describe('Assets whose chain cannot be read now'),
});

const decision = z.strictObject({
  asset: assetId,
  process: aoId('Token process'),
  nonce: units.describe('Its number in its process'),
  line: z.string().nullable().describe('What was decided, as in the protocol; null while it is only voted on'),
  appliedAt: time('When its quorum was complete').nullable(),
  message: aoId('The AO message that completed its quorum').nullable(),
  slot: z.int().nullable().describe('The slot of that message'),
  vault: z
    .enum(['waiting', 'done', 'superseded'])
    .nullable()
    .describe('Whether the vault is as decided; superseded when a later decision speaks of the same'),
  votes: z
    .array(
      z.strictObject({
        guardian: address('Who'),
        line: z.string(),
        signed: z.boolean().describe('Whether a signature for the vault came with it'),
        message: aoId('In which AO message'),
        slot: z.int(),
        at: time('When'),
      }),
    )
    .describe('The newest voice of each guardian'),
});
const decisions = z.strictObject({ decisions: z.array(decision).describe('Newest first, at most 100') });

const index = z.strictObject({
  name: z.string(),
  documentation: z.string().describe('For people'),
  openapi: z.string().describe('For programs'),
  routes: z.array(z.strictObject({ method: z.string(), path: z.string(), summary: z.string() })),
});

const part = z.strictObject({
  ok: z.boolean(),
  code: z.string().optional(),
  detail: z.string().optional(),
  advisory: z.boolean().optional().describe('Whether the bridge goes on without it'),
  at: time('When it last worked or failed'),
});
const parts = z.record(z.string(), part).describe('Each part of the gateway by its name');
const health = z.strictObject({ ok: z.literal(true), parts });
const ready = z.strictObject({ ready: z.literal(true), parts });

const receiptKeys = z
  .strictObject({
    keys: z.array(
      z.strictObject({
        kty: z.literal('OKP'),
        crv: z.literal('Ed25519'),
        x: z.string().describe('The key: base64url of its 32 bytes'),
        kid: z.string().describe('As receipts name it: the key itself'),
        use: z.literal('sig'),
        exp: z.int().optional().describe('Seconds; what it signed later is no receipt'),
      }),
    ),
  })
  .describe('A JSON Web Key Set; receipts are answers of /v1 asked for with Accept-Signature');

const problem = z
  .strictObject({
    type: z.string().describe('urn:isthmus:problem:<code>'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What is wrong and what to do'),
    instance: z.string().describe('The path asked for'),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    errors: z
      .array(z.strictObject({ name: z.string(), reason: z.string() }))
      .optional()
      .describe('Each wrong field or query parameter by itself'),
  })
  .describe(
    `RFC 9457 problem details. Codes: ${Object.entries(PROBLEMS)
      .map(([code, [status]]) => `${code} (${status})`)
      .join(', ')}`,
  );

const picture = z.string().describe('SVG');

/** By the name each has in the documentation. */
export const schemas = {
  Index: index,
  Picture: picture,
  Chains: chains,
  Assets: assets,
  Asset: asset,
  DepositQuote: depositQuote,
  WithdrawalQuote: withdrawalQuote,
  Quote: quote,
  DepositAddress: depositAddress,
  DepositAddressDetail: depositAddressDetail,
  Transfer: transfer,
  TransferDetail: transferDetail,
  TransferPage: transferPage,
  TimelineStep: timelineStep,
  Waiting: waiting,
  LiveEvent: liveEvent,
  Books: books,
  Book: book,
  Decisions: decisions,
  Decision: decision,
  Health: health,
  Ready: ready,
  Problem: problem,
  ReceiptKeys: receiptKeys,
  ...aoSchemas,
  ...paySchemas,
  SolanaTransaction: solanaTransaction,
  ...settlementSchemas,
  ...stateSchemas,
  ...auditSchemas,
} as const;

type Of<S extends z.ZodType> = z.infer<S>;
export type AssetAnswer = Of<typeof asset>;
export type BookAnswer = Of<typeof book>;
export type BooksAnswer = Of<typeof books>;
export type ChainsAnswer = Of<typeof chains>;
export type DecisionView = Of<typeof decision>;
export type DepositQuote = Of<typeof depositQuote>;
export type IndexAnswer = Of<typeof index>;
export type LiveEvent = Of<typeof liveEvent>;
export type PartHealth = Of<typeof part>;
export type ProblemBody = Of<typeof problem>;
export type TimelineStep = Of<typeof timelineStep>;
export type TransferDetail = Of<typeof transferDetail>;
export type TransferPage = Of<typeof transferPage>;
export type TransferView = Of<typeof transfer>;
export type Waiting = Of<typeof waiting>;
export type WithdrawalQuote = Of<typeof withdrawalQuote>;
