/** A home on Bitcoin: a vault that is nothing but its guardians' keys, watched block by block, paid out by batches that guardians sign on AO. */
import { signerOfFile, tagOf } from '@isthmus/ao';
import { deepestOf, parseAmount, parseDecision } from '@isthmus/bridge';
import {
  BitcoinError,
  BitcoinPool,
  confirmationsFor,
  memoScript,
  networkOf,
  parseAddress,
  type BitcoinNetwork,
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
import { writtenFinality, type BitcoinAssetFields, type BitcoinPayment } from './answers.js';
import { Batches } from './batches.js';
import { BitcoinIndex } from './chain-index.js';
import { Coins } from './coins.js';
import type { BitcoinHomeConfig } from './config.js';
import { Registrar } from './registrar.js';
import { BitcoinRelayer } from './relayer.js';
import { ReleaseCost } from './release-cost.js';
import { VaultSets } from './vault-sets.js';

/** All there will ever be, satoshis. */
const ALL_COINS = 2_100_000_000_000_000n;
/** Why nothing can be deposited yet. */
const UNKNOWN = 'its token process is not known here yet; try again in a moment.';

/** @throws ConfigError for a key file that is none */
export function openBitcoinHome(config: BitcoinHomeConfig, parts: HomeParts): BitcoinHome {
  const { id, rpcUrls, agreement, registrarKeyFile } = config.chain;
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
  const deepest = () => (sets.terms ? deepestOf(sets.terms) : 0);
  const cost = new ReleaseCost(pool, sets, network);
  const relayer = new BitcoinRelayer(id, process, deepest, parts, pool, batches, cost, tip);
  const signer = signerOfFile(registrarKeyFile);
  const registrar = new Registrar(config, network, database, engine, signer, sets, addresses, tip);
  return new BitcoinHome(config, network, parts, { sets, index, coins, cost, relayer, registrar });
}

interface HomeWorks {
  sets: VaultSets;
  index: BitcoinIndex;
  coins: Coins;
  cost: ReleaseCost;
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
  readonly assets: readonly HomeAsset[];
  /** A batch pays its own way out of what it pays. */
  readonly purse = null;
  readonly addresses: DepositAddresses;

  constructor(
    private readonly config: BitcoinHomeConfig,
    private readonly network: BitcoinNetwork,
    private readonly parts: HomeParts,
    private readonly works: HomeWorks,
  ) {
    const { addressLimit } = config.chain;
    const { registrar, sets } = works;
    this.assets = config.assets.map((asset) => ({
      ...asset,
      get minDeposit() {
        return sets.terms?.minDeposit ?? 0n;
      },
    }));
    this.addresses = {
      perMinute: addressLimit,
      give: (request) => registrar.give(request),
      find: (address) => registrar.find(address),
    };
  }

  get chain(): Home['chain'] {
    const { id, name, refundAfter } = this.config.chain;
    const { current, terms } = this.works.sets;
    return {
      id,
      name,
      fields: {
        network: this.network.name,
        vault: current?.lock.address ?? null,
        guardianKeys: (current?.keys.keys ?? []).map((key) => Buffer.from(key).toString('hex')),
        threshold: current?.keys.threshold ?? null,
        terms: terms && {
          startHeight: terms.startHeight,
          minDeposit: String(terms.minDeposit),
          sweepFee: String(terms.sweepFee),
          sweepMargin: terms.sweepMargin,
          leastRefund: terms.leastRefund,
          finality: writtenFinality(terms.finality),
        },
        refundAfter,
        tip: this.tip,
      },
    };
  }

  get pace(): Pace {
    const { finalitySeconds } = this.config.chain;
    const { terms } = this.works.sets;
    const block = finalitySeconds / (terms ? deepestOf(terms) : 1);
    return { finality: finalitySeconds, block, look: this.parts.pollMs / 1000 };
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
    const { sets, coins } = this.works;
    await sets.refresh();
    const [locked, { open, minDeposit, limit }] = await Promise.all([coins.held(), this.listed(asset)]);
    const room = ALL_COINS - locked;
    const { terms } = sets;
    if (!terms) return { paused: false, open: false, why: UNKNOWN, minDeposit, depositFee: 0n, room, limit };
    // What was decided limits what leaves; what is credited is by the terms.
    return { paused: false, open, minDeposit: terms.minDeposit, depositFee: terms.sweepFee, room, limit };
  }

  payment(asset: HomeAsset, { amount, recipient, tags }: DepositRequest): Promise<BitcoinPayment> {
    const { current, terms } = this.works.sets;
    const vault = current?.lock.address;
    const memo = vault === undefined ? null : memoOf({ recipient, tags });
    return Promise.resolve({
      confirmations: terms ? confirmationsFor(terms.finality, BigInt(amount), false) : 0,
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
              note: 'The same transaction needs exactly one OP_RETURN output that pushes the memo. Without it the payment is not credited, and it has no refund.',
            }
          : null,
    });
  }

  async suggestedMaxFee(): Promise<bigint> {
    const fee = await this.works.cost.suggestedMaxFee();
    if (fee === null) throw new Error('The guardians of this asset are not known here yet.');
    return fee;
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
    return { sweepFee: String(this.works.sets.terms?.sweepFee ?? 0n) };
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
