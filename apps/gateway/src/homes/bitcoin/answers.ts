/** What answers about a chain, an asset and a deposit have on Bitcoin only. */
import type { FinalityPolicy } from '@isthmus/bridge';
import { z } from 'zod';
import { amount, aoId, recipientNote, transaction } from '../../api/fields.js';

const hexText = (what: string) =>
  z
    .string()
    .regex(/^[0-9a-f]*$/)
    .describe(what);
const blocks = (what: string) => z.int().describe(`${what}, blocks`);
const tags = z.array(z.strictObject({ name: z.string(), value: z.string() })).describe('X- tags that travel along');

const finalitySteps = z
  .array(
    z.strictObject({
      upTo: amount('What a block pays the vault, at most').nullable().describe('Base units; null: any amount'),
      confirmations: z.int(),
    }),
  )
  .describe('Confirmations by all that a block pays the vault');

export const bitcoinChain = {
  network: z.string().describe('mainnet, testnet3, testnet4, signet or regtest'),
  vault: z.string().nullable().describe('Address of the vault; null while its token process is not known here'),
  guardianKeys: z.array(hexText('Compressed key')).describe('Keys of the vault, in their order in its script'),
  threshold: z.int().nullable().describe('How many of them move money'),
  terms: z
    .strictObject({
      startHeight: blocks('Nothing before it is read'),
      minDeposit: amount('Least payment: less is not credited'),
      sweepFee: amount('Taken of each payment, for what it costs the vault to move it later'),
      sweepMargin: blocks('Before a refund opens in which deposits are credited no more'),
      leastRefund: blocks('Least number of confirmations after which an address may be taken back from'),
      finality: finalitySteps,
    })
    .nullable()
    .describe('What its token process was spawned with; null while that is not known here'),
  refundAfter: blocks('Confirmations after which a deposit may be taken back, unless asked for otherwise'),
  tip: blocks('The newest that was read').nullable(),
};

export const bitcoinAsset = {
  sweepFee: amount('Taken of each deposit, for what it costs the vault to move it later'),
};

export const bitcoinPayment = {
  confirmations: z.int().describe('Confirmations this amount needs when its block pays the vault nothing else'),
  byAddress: z
    .strictObject({
      method: z.literal('POST'),
      url: z.string(),
      body: z.record(z.string(), z.unknown()).describe('Add refund: { key } or { address }'),
      note: z.string(),
    })
    .describe('A deposit address of one’s own, which has a refund'),
  byMemo: z
    .strictObject({
      address: z.string().describe('The vault'),
      amount: amount('To be paid to it'),
      memo: hexText('What one OP_RETURN output of the same transaction pushes'),
      script: hexText('That output’s script'),
      note: z.string(),
    })
    .nullable()
    .describe(
      'The vault itself with a memo, which has no refund; null when the tags are too long for one. No link: wallets that open one pay without the memo',
    ),
};

/** A deposit address and how to pay it. */
const addressShape = {
  asset: z.string().describe('CAIP-19'),
  chain: z.string().describe('CAIP-2'),
  address: z.string(),
  recipient: z.string().describe('Whom it credits, for ever'),
  recipientNote,
  tags,
  refund: z.string().describe('Who may take a payment back: a compressed key, or an address of one key'),
  refundAfter: blocks('Confirmations of a payment after which that is possible'),
  minimum: amount('Least payment: less is not credited'),
  sweepFee: amount('Taken of each payment: what it holds beyond that is credited'),
  confirmations: finalitySteps,
  sweepMargin: blocks('Before a refund opens in which payments are credited no more'),
  script: hexText('Output script'),
  witnessScript: hexText('What the output script is the hash of'),
  commitment: hexText('What it commits to: SHA-256 over network, process, recipient and tags'),
  lines: z.array(z.strictObject({ code: z.string(), means: z.string() })).describe('The script in clear, part by part'),
  uri: z.string().describe('BIP 21'),
  qr: z.string().describe('The same for a QR code'),
  recovery: z
    .strictObject({ fileName: z.string(), content: z.string() })
    .describe('The recovery file: with it and the refund key nobody is needed to take a payment back'),
  message: aoId('The AO message that registered it'),
  slot: z.int().describe('Its slot'),
  process: aoId('Token process'),
};
export const depositAddress = z.strictObject(addressShape);

export const depositAddressDetail = z.strictObject({
  ...addressShape,
  tip: blocks('The newest that was read').nullable(),
  payments: z
    .array(
      z.strictObject({
        transfer: z.string().describe('Its deposit id: GET /v1/transfers/<id>'),
        tx: transaction('What paid it'),
        output: z.int(),
        amount: amount('What the output holds'),
        credited: amount('What is credited for it, if it is; 0 when it is too little'),
        height: blocks('The one it is in'),
        confirmations: z.int(),
        required: z.int().describe('Confirmations it needs'),
        state: z.enum(['confirming', 'final', 'refused']).describe('As this gateway sees the chain'),
        reason: z.string().nullable().describe('Why it is refused, as in its timeline; null when it is not'),
        minted: z.boolean().describe('Whether it is credited on AO'),
        refundFrom: blocks('Height of the chain from which on it may be taken back: the next block may do that'),
        spentBy: transaction('What has spent it').nullable(),
        refunded: z.boolean().describe('Whether that was its depositor taking it back'),
      }),
    )
    .describe('What was paid to it, newest first, at most 100'),
});

export const writtenFinality = (finality: FinalityPolicy): z.infer<typeof finalitySteps> =>
  finality.map(({ upTo, confirmations }) => ({ upTo: upTo === null ? null : String(upTo), confirmations }));

type Fields<S extends z.ZodRawShape> = z.infer<z.ZodObject<S>>;
export type BitcoinChainFields = Fields<typeof bitcoinChain>;
export type BitcoinAssetFields = Fields<typeof bitcoinAsset>;
export type BitcoinPayment = Fields<typeof bitcoinPayment>;
export type DepositAddressAnswer = z.infer<typeof depositAddress>;
export type DepositAddressDetail = z.infer<typeof depositAddressDetail>;
