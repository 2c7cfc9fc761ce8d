/** A home on Bitcoin: a vault that is nothing but its guardians' keys, watched block by block, paid out by batches that guardians sign on AO. */
import { signerOfFile, tagOf } from '@isthmus/ao';
import { parseAmount, parseDecision } from '@isthmus/bridge';
import {
  BitcoinError,
  BitcoinPool,
  confirmationsFor,
  depositScript,
  MAX_FEE_RATE,
  MAX_REFUND_AFTER,
  memoScript,
  networkOf,
  parseAddress,
  paymentUri,
  vsizeOf,
  type BitcoinNetwork,
  type VaultCoin,
} from '@isthmus/chains';
import type { HomeAsset } from '../asset-config.js';
import type {
  DepositAddresses,
  DepositRequest,
  Holdings,
  Home,
  HomeParts,
  OpenWithdrawal,
  Pace,
  Standing,
} from '../home.js';
import { AddressBook } from './address-book.js';
import type { BitcoinAssetFields, BitcoinPayment } from './answers.js';
import { Batches } from './batches.js';
import { BitcoinIndex } from './chain-index.js';
import { Coins } from './coins.js';
import type { BitcoinHomeConfig } from './config.js';
import { Registrar } from './registrar.js';
import { BitcoinRelayer } from './relayer.js';
import { VaultSets, type VaultSet } from './vault-sets.js';

/** All there will ever be, satoshis. */
const ALL_COINS = 2_100_000_000_000_000n;
/** Blocks within which a release should be mined, for what it is told to cost. */
const WITHIN_BLOCKS = 3;
/** Satoshis per 1,000 virtual bytes where nodes cannot tell yet what a block costs. */
const UNKNOWN_RATE = 5_000n;
/** The longest script a withdrawal is paid to. */
const LONGEST_SCRIPT = new Uint8Array(34);

/** @throws ConfigError for a key file that is none */
export function openBitcoinHome(config: BitcoinHomeConfig, parts: HomeParts): BitcoinHome {
  const { id, rpcUrls, agreement, finality, registrarKeyFile } = config.chain;
  const { database, engine, store } = parts;
  const [asset] = config.assets;
  if (!asset) throw new Error('A home on Bitcoin has one asset.');
  const { process } = asset;
  const network = networkOf(id);
  const pool = new BitcoinPool({ urls: rpcUrls, agreement, network });
  const sets = new VaultSets(database, engine, process, network);
  const addresses = new AddressBook(database, engine, process, network, sets);
  const index = new BitcoinIndex(config, database, pool, store, addresses);
  const tip = () => index.tip;
  const coins = new Coins(database, network, sets, addresses);
  const batches = new Batches(id, process, parts, sets, coins);
  const relayer = new BitcoinRelayer(id, process, finality, parts, pool, batches, tip);
  const signer = signerOfFile(registrarKeyFile);
  const registrar = new Registrar(config, network, database, engine, signer, sets, addresses, tip);
  return new BitcoinHome(config, network, parts, { pool, sets, index, coins, relayer, registrar });
}

interface HomeWorks {
  pool: BitcoinPool;
  sets: VaultSets;
  index: BitcoinIndex;
  coins: Coins;
  relayer: BitcoinRelayer;
  registrar: Registrar;
}

/** What a process' guardians have decided about its limits. */
interface Listed {
  open: boolean;
  minDeposit: bigint;
  limit: bigint;
}

export class BitcoinHome implements Home {
  readonly assets: BitcoinHomeConfig['assets'];
  readonly pace: Pace;
  /** A batch pays its own way out of what it pays. */
  readonly purse = null;
  readonly addresses: DepositAddresses;

  constructor(
    private readonly config: BitcoinHomeConfig,
    private readonly network: BitcoinNetwork,
    private readonly parts: HomeParts,
    private readonly works: HomeWorks,
  ) {
    const { finality, finalitySeconds, addressLimit } = config.chain;
    const { registrar } = works;
    this.assets = config.assets;
    const blocks = finality.at(-1)?.confirmations ?? 1;
    this.pace = { finality: finalitySeconds, block: finalitySeconds / blocks, look: parts.pollMs / 1000 };
    this.addresses = {
      perMinute: addressLimit,
      give: (request) => registrar.give(request),
      find: (address) => registrar.find(address),
    };
  }

  get chain(): Home['chain'] {
    const { id, name, finality, startHeight, sweepMargin, refundAfter } = this.config.chain;
    const current = this.works.sets.current;
    return {
      id,
      name,
      fields: {
        network: this.network.name,
        vault: current?.lock.address ?? null,
        guardianKeys: (current?.keys.keys ?? []).map((key) => Buffer.from(key).toString('hex')),
        threshold: current?.keys.threshold ?? null,
        startHeight,
        finality: finality.map(({ upTo, confirmations }) => ({
          upTo: upTo === null ? null : String(upTo),
          confirmations,
        })),
        sweepMargin,
        refundAfter,
        tip: this.tip,
      },
    };
  }

  get tip(): number | null {
    return this.works.index.tip;
  }

  look(): Promise<void> {
    return this.works.index.step();
  }

  relay(): Promise<void> {
    return this.works.relayer.step();
  }

  /** Looks first: what the process has minted by now is in blocks by now. */
  async holdings(_asset: HomeAsset, open: readonly OpenWithdrawal[]): Promise<Holdings> {
    const { index, coins, relayer } = this.works;
    await index.step();
    const [locked, released] = [await coins.held(), await relayer.paid()];
    const paid = open.reduce((sum, { number, amount }) => (released.has(String(number)) ? sum + amount : sum), 0n);
    return { locked, paid, height: BigInt(index.tip ?? 0) };
  }

  /** Only AO pauses it. */
  paused(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async standing(asset: HomeAsset): Promise<Standing> {
    const [locked, { open, minDeposit, limit }] = await Promise.all([this.works.coins.held(), this.listed(asset)]);
    return { paused: false, open, minDeposit, room: ALL_COINS - locked, limit };
  }

  payment(asset: HomeAsset, { amount, recipient, tags }: DepositRequest): Promise<BitcoinPayment> {
    const { finality } = this.config.chain;
    const vault = this.works.sets.current?.lock.address;
    const memo = vault === undefined ? null : memoOf({ recipient, tags });
    return Promise.resolve({
      confirmations: confirmationsFor(finality, BigInt(amount), false),
      byAddress: {
        method: 'POST' as const,
        url: '/v1/deposit-addresses',
        body: { asset: asset.id, recipient, ...(tags.length > 0 ? { tags } : {}) },
        note: 'Name in `refund` a key or an address of your own: with it you can take back what is not credited, and need nobody for it.',
      },
      byMemo:
        memo && vault !== undefined
          ? {
              address: vault,
              amount,
              memo: Buffer.from(memo.subarray(memo.length > 77 ? 3 : 2)).toString('hex'),
              script: Buffer.from(memo).toString('hex'),
              uri: paymentUri(vault, BigInt(amount)),
              note: 'The same transaction needs exactly one OP_RETURN output that pushes the memo. Without it the payment is not credited, and it has no refund.',
            }
          : null,
    });
  }

  /** What one withdrawal alone costs now from two coins, with room for the price to double. */
  async suggestedMaxFee(): Promise<bigint> {
    const current = this.works.sets.current;
    if (!current) throw new Error('The guardians of this asset are not known here yet.');
    const rate = (await this.works.pool.feeRate(WITHIN_BLOCKS)) ?? UNKNOWN_RATE;
    const bounded = rate < 1_000n ? 1_000n : rate > MAX_FEE_RATE ? MAX_FEE_RATE : rate;
    const [change, coin] = [this.coinOf(current, false), this.coinOf(current, true)];
    const vsize = BigInt(vsizeOf(current.keys, [change, coin], [current.lock.script, LONGEST_SCRIPT]));
    return (2n * vsize * bounded + 999n) / 1_000n;
  }

  recipientFault(address: string): string | null {
    try {
      parseAddress(address, this.network);
      return null;
    } catch (error) {
      if (error instanceof BitcoinError) return error.message;
      throw error;
    }
  }

  async isOwn(_asset: HomeAsset, address: string): Promise<boolean> {
    await this.works.sets.refresh();
    return this.works.sets.all.some(({ lock }) => lock.address === address);
  }

  assetFields(): BitcoinAssetFields {
    return {};
  }

  /** By the newest decision of the guardians, else by the tags the process was spawned with. */
  private async listed({ process, minDeposit }: HomeAsset): Promise<Listed> {
    const [row]: { line: string }[] = await this.parts.database.query(
      `select line from decision where process = $1 and line like 'list %' order by nonce desc limit 1`,
      [process],
    );
    const decision = row && parseDecision(row.line);
    if (decision?.kind === 'list') return decision;
    const spawn = await this.parts.engine.spawn(process);
    return { open: true, minDeposit, limit: spawn ? parseAmount(tagOf(spawn, 'Isthmus-Limit')) : 0n };
  }

  /** A coin as any other of the vault, for its size. */
  private coinOf({ keys, lock }: VaultSet, deposit: boolean): VaultCoin {
    const coin = { txid: '', vout: 0, value: 0n };
    if (!deposit) return { ...coin, lock, deposit };
    const [key] = keys.keys;
    if (!key) throw new Error('A vault has a key.');
    const { process } = this.assets[0] ?? { process: '' };
    const terms = {
      network: this.network,
      vault: keys,
      process,
      recipient: process,
      tags: [],
      refundAfter: MAX_REFUND_AFTER,
    };
    return { ...coin, lock: depositScript({ ...terms, refund: { kind: 'key', key } }), deposit };
  }
}

/** The memo's output script; null when it would be too long for one. */
function memoOf(memo: { recipient: string; tags: DepositRequest['tags'] }): Buffer | null {
  try {
    return memoScript(memo);
  } catch (error) {
    if (error instanceof BitcoinError) return null;
    throw error;
  }
}
