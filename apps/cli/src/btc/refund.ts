/**
 * `isthmus btc refund`: the depositor's own way out. The refund is made and signed here; a Bitcoin node is asked for the coins and given the transaction.
 * Nothing the node says can send the money elsewhere: the signature is over what is spent and where it goes.
 */
import { BridgeError } from '@isthmus/bridge';
import {
  AgreementLost,
  BitcoinError,
  BitcoinPool,
  buildRefund,
  checkRefundKey,
  depositScript,
  MAX_REFUND_COINS,
  parseAddress,
  readRecoveryFile,
  refundable,
  secretIn,
  type DepositTerms,
  type EarlyCoin,
  type PaidCoin,
  type PaidCoins,
} from '@isthmus/chains';
import { print } from '../ao/context.js';
import { plain, plural } from '../ao/text.js';
import { readBounded, readPrivate, secretText } from '../files.js';
import { CommandError } from '../said.js';

export interface RefundOptions {
  to: string;
  keyFile: string;
  rpc: string;
  cookie?: string;
  outpoint?: string[];
  /** Satoshis per 1,000 virtual bytes. */
  feeRate?: bigint;
  dryRun?: boolean;
  json?: boolean;
}

interface Refund {
  address: string;
  to: string;
  taken: PaidCoin[];
  early: EarlyCoin[];
  /** Open as well, but more than one transaction takes. */
  left: number;
  fee: bigint;
  value: bigint;
  txid: string;
  hex: string;
}

const NOT_ASKED = 2;
const MAX_FILE = 64 * 1024;
/** A node looks through all its coins in a minute or a few. */
const SCAN_MS = 280_000;
/** Blocks within which the refund is to be mined, when nobody says what to pay. */
const TARGET = 6;
const LOGIN = 'ISTHMUS_BITCOIN_LOGIN';

/** @throws CommandError with exit code 1 when nothing can be taken back, 2 when the node could not be asked */
export async function refund(file: string, options: RefundOptions): Promise<void> {
  try {
    await taken(readRecoveryFile(readBounded(file, MAX_FILE).toString('utf8')), options);
  } catch (error) {
    if (error instanceof AgreementLost) throw unasked(error, options);
    if (error instanceof BitcoinError || error instanceof BridgeError) throw new CommandError(error.message);
    throw error;
  }
}

async function taken(terms: DepositTerms, options: RefundOptions): Promise<void> {
  const secret = secretOf(options.keyFile);
  checkRefundKey(terms, secret); // said at once, not when the time has come
  parseAddress(options.to, terms.network);
  const pool = new BitcoinPool({
    urls: [withLogin(options)],
    agreement: 1,
    network: terms.network,
    timeoutMs: SCAN_MS,
  });
  const { open, early } = refundable(terms, await coinsOf(pool, terms, options.outpoint ?? []));
  if (open.length === 0) throw new CommandError(`Too early. ${early.map(earlyLine).join('; ')}.`);
  const feeRate = options.feeRate ?? (await pool.feeRate(TARGET));
  if (feeRate === null) throw new CommandError('The node knows no fee: name one with --fee-rate.');
  const coins = open.slice(0, MAX_REFUND_COINS);
  const { hex, txid, fee } = buildRefund(terms, { coins, to: options.to, feeRate, secret });
  const value = coins.reduce((sum, coin) => sum + coin.value, 0n) - fee;
  const { address } = depositScript(terms);
  const left = open.length - coins.length;
  const made: Refund = { address, to: options.to, taken: coins, early, left, fee, value, txid, hex };
  const { accepted, reasons } = options.dryRun ? await pool.test(hex) : await pool.send(txid, hex);
  const outcome = accepted === 0 ? 'refused' : options.dryRun ? 'would be taken' : 'sent';
  print(options.json, { ...asJson(made), outcome }, () => inWords(made, outcome));
  if (accepted === 0) throw new CommandError(refusal(reasons.map(bare).join('; ')));
}

/** What still pays the address on the chain. @throws CommandError when there is nothing */
async function coinsOf(pool: BitcoinPool, terms: DepositTerms, outpoints: readonly string[]): Promise<PaidCoins> {
  const { address, script } = depositScript(terms);
  if (outpoints.length === 0) {
    const found = await pool.coinsOf(script);
    if (found.coins.length > 0) return found;
    throw new CommandError(
      `There is nothing to take back: no unspent output on the chain pays ${address}. It was not paid, or what was paid is spent: the guardians have taken it in and credited it, or it was taken back before.`,
    );
  }
  const height = await pool.height();
  const coins: PaidCoin[] = [];
  for (const outpoint of new Set(outpoints)) {
    const [, txid = '', digits = ''] = /^([0-9a-f]{64}):(0|[1-9][0-9]{0,8})$/.exec(outpoint) ?? [];
    if (txid === '') throw new CommandError(`${plain(outpoint)} is no output: write <txid>:<number of the output>.`);
    const coin = await pool.coinAt(txid, Number(digits), script);
    if (!coin)
      throw new CommandError(
        `${outpoint} cannot be taken back: it is not on the chain, spent there already (credited by the guardians, or taken back before), or pays another address than ${address}.`,
      );
    coins.push(coin);
  }
  return { height, coins };
}

function secretOf(file: string): Uint8Array {
  const secret = secretIn(secretText(readPrivate(file, '--key-file')));
  if (secret) return secret;
  throw new CommandError(`${file} is no key: WIF, 64 hex digits, or a file of "isthmus btc new-refund-key".`);
}

/** The node's address with its login, which never stands on the command line. */
function withLogin({ rpc, cookie }: RefundOptions): string {
  const login = cookie === undefined ? process.env[LOGIN] : readBounded(cookie, MAX_FILE).toString('utf8').trim();
  if (login === undefined || login === '') return rpc;
  const [, user = '', password = ''] = /^([^:]+):(.+)$/.exec(login) ?? [];
  if (user === '')
    throw new CommandError(`${cookie ?? LOGIN} does not hold user:password, as a node’s .cookie file does.`);
  const url = new URL(rpc);
  url.username = encodeURIComponent(user);
  url.password = encodeURIComponent(password);
  return url.href;
}

function unasked({ reasons, message }: AgreementLost, { outpoint = [] }: RefundOptions): CommandError {
  const why = reasons.length > 0 ? reasons.map(bare).join('; ') : message;
  const scans = outpoint.length === 0 && /scantxoutset|no answer within/.test(why);
  const login = /HTTP 40[13]/.test(why);
  const then = scans
    ? ' Where it cannot look for coins, name them with --outpoint <txid>:<vout>.'
    : login
      ? ` Give its login in ${LOGIN}, or its .cookie file with --cookie.`
      : '';
  return new CommandError(`The Bitcoin node could not be asked: ${plain(why)}.${then}`, NOT_ASKED);
}

/** A node's words for why it does not take a transaction, and what to do about it. */
function refusal(reason: string): string {
  const said = `(${plain(reason)})`;
  if (/missing-?or-?spent|missing-inputs/i.test(reason))
    return `Too late: one of these coins is spent meanwhile ${said}: the guardians have taken it in and credited it, or it was taken back before. Run this again for what is left.`;
  if (/mempool-conflict|insufficient fee|replacement/i.test(reason))
    return `Another transaction that waits to be mined spends the same coin and pays more ${said}: the guardians taking it in to credit it, or a refund sent before. Wait for it, or outbid it with a higher --fee-rate.`;
  if (/non-BIP68-final/i.test(reason))
    return `Too early: the node is a block behind, or replaces blocks ${said}: run this again.`;
  if (/fee not met/i.test(reason)) return `The fee is below what the node relays ${said}: raise --fee-rate.`;
  if (/max-?fee|fee exceeds/i.test(reason))
    return `The fee is above what the node lets through ${said}: lower --fee-rate.`;
  return `The node does not take the refund: ${plain(reason)}.`;
}

/** There is one node: no number is needed. */
const bare = (reason: string): string => reason.replace(/^source 1: /, '');

const coinName = ({ txid, vout }: PaidCoin): string => `${txid}:${vout}`;
const earlyLine = ({ coin, blocks, opensAt }: EarlyCoin): string =>
  `${coinName(coin)} (${coin.value} satoshis) may be taken back from height ${opensAt} on, in ${plural(blocks, 'block')}`;

function asJson({ taken: coins, early, fee, value, ...rest }: Refund): object {
  const written = (coin: PaidCoin) => ({ ...coin, value: String(coin.value) });
  return {
    ...rest,
    taken: coins.map(written),
    early: early.map(({ coin, ...when }) => ({ ...written(coin), ...when })),
    fee: String(fee),
    value: String(value),
  };
}

function inWords({ address, to, taken: coins, early, left, fee, value, txid, hex }: Refund, outcome: string): string {
  return [
    `from ${address}`,
    ...coins.map(
      (coin) => `  ${coinName(coin)}  ${coin.value} satoshis, ${plural(coin.confirmations, 'confirmation')}`,
    ),
    ...early.map((one) => `  not yet: ${earlyLine(one)}`),
    ...(left > 0 ? [`  ${plural(left, 'more output')}: run this again when this one is mined`] : []),
    `to   ${to}: ${value} satoshis, after a fee of ${fee}`,
    hex,
    `transaction ${txid} ${outcome === 'would be taken' ? 'would be taken by the node; it was not sent' : outcome}`,
  ].join('\n');
}
