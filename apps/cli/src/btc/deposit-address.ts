/**
 * `isthmus btc deposit-address`: asks a gateway for a deposit address. What it answers is held against what was asked before anything is shown: the address
 * must follow from terms that credit this recipient and give this refund.
 */
import fs from 'node:fs';
import type { DepositTag } from '@isthmus/bridge';
import {
  BitcoinError,
  depositScript,
  paymentUri,
  qrPayload,
  readRecoveryFile,
  refundKey as ownerByKey,
  refundOwner,
  writeRefundOwner,
  type DepositTerms,
} from '@isthmus/chains';
import { toString } from 'qrcode';
import { print } from '../ao/context.js';
import { plain, plural } from '../ao/text.js';
import { GatewayClient } from '../gateway-client.js';
import { CommandError } from '../said.js';
import { portsInUse } from '../settings.js';

export interface DepositAddressOptions {
  refundKey?: string;
  refundAddress?: string;
  refundAfter?: number;
  tag?: DepositTag[];
  asset?: string;
  out: string;
  gateway?: string;
  json?: boolean;
}

interface Given {
  address: string;
  message: string;
  recipientNote: string | null;
  minimum: string;
  sweepFee: string;
  /** In rising order; the last is for any amount. */
  confirmations: { upTo: string | null; confirmations: number }[];
  recovery: { content: string };
}

/** @throws CommandError when the gateway refuses, or gives an address of other terms; nothing is written then */
export async function depositAddress(recipient: string, options: DepositAddressOptions): Promise<void> {
  const { refundKey, refundAddress, refundAfter, tag: tags = [], out } = options;
  if ((refundKey === undefined) === (refundAddress === undefined))
    throw new CommandError('Name who may take payments back: --refund-key or --refund-address.');
  if (refundKey !== undefined) checkKey(refundKey);
  if (fs.existsSync(out)) throw new CommandError(`${out} is there already: name another file.`);
  const client = new GatewayClient(options.gateway ?? `http://127.0.0.1:${portsInUse(process.env).gateway}`);
  const asset = options.asset ?? (await onlyBitcoin(client));
  const refund = refundKey === undefined ? { address: refundAddress } : { key: refundKey };
  const more = refundAfter === undefined ? {} : { refundAfter };
  const given = await client.post<Given>('/v1/deposit-addresses', { asset, recipient, tags, refund, ...more });
  const terms = agreed(given, { recipient, tags, refund: refundKey ?? refundAddress ?? '', ...more });
  fs.writeFileSync(out, given.recovery.content, { flag: 'wx', mode: 0o600 });
  const { address } = given;
  const code = await toString(qrPayload(address), { type: 'utf8', errorCorrectionLevel: 'M', margin: 2 });
  print(options.json, { address, recovery: out, message: given.message, uri: paymentUri(address) }, () =>
    [
      ...(process.stdout.isTTY ? [code] : []),
      `address   ${address}`,
      `link      ${paymentUri(address)}`,
      `credits   ${terms.recipient}`,
      ...(given.recipientNote === null ? [] : [`mind      ${given.recipientNote}`]),
      `least     ${plain(given.minimum)} satoshis`,
      `fee       ${plain(given.sweepFee)} satoshis of each payment: what it holds beyond that is credited`,
      `waits     ${given.confirmations.map(waiting).join(', ')}`,
      `refund    after ${terms.refundAfter} confirmations, by ${writeRefundOwner(terms.refund, terms.network)}`,
      `keep      ${out}: with it and your key nobody is needed to take a payment back`,
      `next      pay it from any wallet; ${client.url}/v1/deposit-addresses/${address} shows what was paid, and whether it is credited`,
    ].join('\n'),
  );
}

/** What is no public key is not even sent: it may be the secret one. @throws CommandError */
function checkKey(text: string): void {
  try {
    ownerByKey(text);
  } catch (error) {
    if (error instanceof BitcoinError) throw new CommandError(error.message);
    throw error;
  }
}

const waiting = ({ upTo, confirmations }: Given['confirmations'][number]): string =>
  `${plural(confirmations, 'confirmation')} ${upTo === null ? 'for any amount' : `up to ${plain(upTo)} satoshis`}`;

async function onlyBitcoin(client: GatewayClient): Promise<string> {
  const { assets } = await client.get<{ assets: { id: string }[] }>('/v1/assets');
  const found = assets.filter(({ id }) => id.startsWith('bip122:'));
  if (found.length === 1 && found[0]) return found[0].id;
  throw new CommandError(`The gateway has ${found.length} assets of Bitcoin: name one with --asset.`);
}

/** The terms of what was given, if they are those that were asked for. @throws CommandError */
function agreed(
  { address, recovery }: Given,
  asked: { recipient: string; tags: DepositTag[]; refund: string; refundAfter?: number },
): DepositTerms {
  try {
    const terms = readRecoveryFile(recovery.content);
    const owner = writeRefundOwner(refundOwner(asked.refund, terms.network), terms.network);
    const differs = [
      depositScript(terms).address !== address && 'address',
      terms.recipient !== asked.recipient && 'recipient',
      JSON.stringify(terms.tags) !== JSON.stringify(asked.tags) && 'tags',
      writeRefundOwner(terms.refund, terms.network) !== owner && 'refund',
      asked.refundAfter !== undefined && terms.refundAfter !== asked.refundAfter && 'refund after',
    ].filter((what) => what !== false);
    if (differs.length === 0) return terms;
    throw new CommandError(`Do not pay it: the gateway gave an address of another ${differs.join(', ')}.`);
  } catch (error) {
    if (!(error instanceof BitcoinError)) throw error;
    throw new CommandError(`Do not pay it: the gateway gave no address that can be checked. ${error.message}`);
  }
}
