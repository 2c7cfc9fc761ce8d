/** A home on Solana: token accounts that guardians hold by an SPL multisig, read from several sources, with a relayer that pays the cluster. */
import { isRecipientOn, isSolanaAddress } from '@isthmus/bridge';
import { Recently, solana } from '@isthmus/chains';
import { readSecret } from '@isthmus/store';
import type { HomeAsset } from '../asset-config.js';
import type { DepositRequest, Holdings, Home, HomeParts, OpenWithdrawal, Pace, Purse, Standing } from '../home.js';
import type { SolanaAssetFields, SolanaPayment } from './answers.js';
import { mintOf, type SolanaAssetConfig, type SolanaHomeConfig } from './config.js';
import { paymentOf } from './payment.js';
import { RelayerAccounts } from './relayer-accounts.js';
import { Progress } from './progress.js';
import { Relayer } from './relayer.js';
import { Submissions } from './submissions.js';
import { Unpaid } from './unpaid.js';
import { VaultIndex } from './vault-index.js';
import { unfitness, Vaults } from './vaults.js';

/** Seconds between two slots. */
const SLOT_SECONDS = 0.4;
/** What a token account, and a transfer, can carry. */
const MOST = 2n ** 64n - 1n;
/** Lamports the cluster takes for a signature. */
const SIGNATURE_FEE = 5_000n;
/** Compute units a release of SOL may use, as libs/chains sets its limit. */
const RELEASE_UNITS = 8_000n;

/** Milliseconds a blockhash is given to people, of the minute a transaction with it can be sent in. */
const BLOCKHASH_MS = 5_000;
/** Milliseconds after which it is looked up again who holds the vaults: that changes with a rotation only. */
const HOLDERS_MS = 10_000;
/** Milliseconds a look at fees serves: it is of the last minute. */
const FEES_MS = 5_000;

/** @throws ConfigError for a key file that is none */
export function openSolanaHome(config: SolanaHomeConfig, parts: HomeParts): SolanaHome {
  const { chain, assets } = config;
  const seed = readSecret(chain.relayerKeyFile);
  const relayer = { address: solana.publicKeyOf(seed), seed };
  const pool = new solana.SolanaPool({ urls: chain.rpcUrls, agreement: chain.agreement, chain: chain.id });
  const vaults = new Vaults(pool);
  const { database, store, log, stuckMs } = parts;
  const indexes = new Map(
    assets.map((a) => [a.id, new VaultIndex(a, { chain: chain.id, database, pool, store, vaults, log })]),
  );
  const { nonces } = chain;
  const accounts = new RelayerAccounts({ database, log, stuckMs, assets, pool, vaults, relayer, nonces });
  const work = { chain: chain.id, assets, database, store, log, pool, vaults, indexes, relayer, nonces, accounts };
  const unpaid = new Unpaid(database, assets, pool, vaults);
  const { address } = relayer;
  return new SolanaHome(config, parts, { pool, vaults, indexes, relayer: new Relayer(work), unpaid, address });
}

interface SolanaHomeWork {
  pool: solana.SolanaPool;
  vaults: Vaults;
  /** By asset id. */
  indexes: ReadonlyMap<string, VaultIndex>;
  relayer: Pick<Relayer, 'step'>;
  unpaid: Pick<Unpaid, 'look'>;
  /** The relayer's. */
  address: string;
}

export class SolanaHome implements Home {
  readonly assets: readonly SolanaAssetConfig[];
  readonly pace: Pace;
  readonly purse: Purse;
  readonly progress: Progress;
  private readonly submissions: Submissions;
  private readonly nonces: string[];
  /** Who holds the vaults, looked at now and then: what failed is told where an asset is sold. */
  private readonly holders: Recently<unknown>;
  /** For whoever asks for a quote, however often: the sources are asked once in a while. */
  private readonly blockhash: Recently<string>;
  private readonly priorityFees: Recently<number[][]>;

  constructor(
    private readonly config: SolanaHomeConfig,
    private readonly parts: HomeParts,
    private readonly work: SolanaHomeWork,
  ) {
    const { chain, assets } = config;
    const { id, nonces, finalitySeconds, purseAlarm } = chain;
    const { address: relayer, pool, vaults } = work;
    this.nonces = Array.from({ length: nonces }, (_, i) => solana.nonceAddress(relayer, i));
    this.holders = new Recently(() => Promise.allSettled(assets.map((a) => vaults.recent(a))), HOLDERS_MS);
    this.assets = assets;
    this.pace = { finality: finalitySeconds, block: SLOT_SECONDS, look: parts.pollMs / 1000 };
    this.purse = {
      address: relayer,
      unit: 'lamport',
      alarm: purseAlarm,
      balance: async () => (await pool.accounts([relayer]))[0]?.lamports ?? 0n,
    };
    this.progress = new Progress(pool);
    this.submissions = new Submissions(parts.database, id);
    this.blockhash = new Recently(() => pool.blockhash(), BLOCKHASH_MS);
    this.priorityFees = new Recently(() => pool.priorityFees(assets.map((a) => a.vault)), FEES_MS);
  }

  get chain(): Home['chain'] {
    const { id, name } = this.config.chain;
    const vaults = this.assets.flatMap((asset) => {
      const custody = this.work.vaults.lastRead(asset)?.custody;
      if (!custody) return [];
      const { multisig, guardians: guardianKeys, threshold } = custody;
      return [{ asset: asset.id, vault: asset.vault, multisig, guardianKeys: [...guardianKeys], threshold }];
    });
    return { id, name, fields: { relayer: this.work.address, nonces: this.nonces, vaults } };
  }

  /** An asset that cannot be read, or must not be bridged, keeps no other from being looked at. */
  async look(): Promise<void> {
    const looks = await Promise.allSettled([...this.work.indexes.values()].map((index) => index.look()));
    const failed = looks.find((l) => l.status === 'rejected');
    await this.holders.get();
    if (failed) throw failed.reason;
  }

  async relay(): Promise<void> {
    await this.work.relayer.step();
    await this.work.unpaid.look();
  }

  /** By the history, which says at once what came and what was paid. */
  async holdings(asset: HomeAsset, open: readonly OpenWithdrawal[]): Promise<Holdings> {
    const own = this.own(asset);
    const { rent } = await this.work.vaults.read(own);
    const { balance, slot } = await this.indexOf(own).catchUp();
    const paid = await this.submissions.paymentsOf(
      own.process,
      open.map((w) => w.number),
    );
    const amounts = open.map(({ number, amount }) => (paid.has(number) ? amount : 0n));
    return {
      locked: balance > rent ? balance - rent : 0n,
      paid: amounts.reduce((sum, a) => sum + a, 0n),
      height: BigInt(slot),
    };
  }

  /** Only guardians pause here, on AO. */
  paused(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async standing(asset: HomeAsset): Promise<Standing> {
    const own = this.own(asset);
    const closed = (why: string): Standing => ({
      paused: false,
      open: false,
      why,
      minDeposit: 0n,
      depositFee: 0n,
      room: 0n,
      limit: MOST,
    });
    try {
      const { held, rent, frozen } = await this.work.vaults.recent(own);
      if (frozen) return closed('The issuer of this token has frozen the vault.');
      return {
        paused: false,
        open: true,
        minDeposit: own.minDeposit,
        depositFee: 0n,
        room: MOST - held - rent,
        limit: MOST,
      };
    } catch (error) {
      const why = unfitness(error);
      if (why === null) throw error;
      return closed(why);
    }
  }

  async payment(asset: HomeAsset, request: DepositRequest): Promise<SolanaPayment> {
    const vault = await this.work.vaults.vaultOf(this.own(asset));
    const blockhash = request.sender === undefined ? null : await this.blockhash.get();
    return paymentOf(vault, asset.id, request, { publicUrl: this.parts.publicUrl, blockhash });
  }

  /** Of a token what its release costs as configured; of SOL the cluster's fee with room for the price to double. */
  async suggestedMaxFee(asset: HomeAsset): Promise<bigint> {
    const own = this.own(asset);
    if (own.relayFee !== undefined) return own.relayFee;
    const { custody } = await this.work.vaults.recent(own);
    const price = solana.offeredPrice(await this.priorityFees.get());
    const fee = SIGNATURE_FEE * BigInt(custody.threshold + 1) + (price * RELEASE_UNITS + 999_999n) / 1_000_000n;
    return fee * 2n;
  }

  recipientFault(address: string): string | null {
    if (isRecipientOn(this.chain.id, address)) return null;
    return isSolanaAddress(address)
      ? 'a program or sysvar of the cluster, which cannot be paid: name a wallet'
      : 'not a Solana address: write base58 of 32 bytes';
  }

  async isOwn(asset: HomeAsset, address: string): Promise<boolean> {
    const own = this.own(asset);
    if (address === this.work.address || this.assets.some((a) => a.vault === address || mintOf(a) === address))
      return true;
    if (this.recipientFault(address) !== null) return false;
    const state = await this.work.vaults.recent(own).catch((error: unknown) => {
      if (unfitness(error) === null) throw error;
      return null;
    });
    return state?.custody.multisig === address;
  }

  assetFields(asset: HomeAsset): SolanaAssetFields {
    const own = this.own(asset);
    return { vault: own.vault, mint: mintOf(own) };
  }

  private own({ id }: HomeAsset): SolanaAssetConfig {
    const own = this.assets.find((a) => a.id === id);
    if (!own) throw new Error(`${id} is no asset of ${this.chain.id}.`);
    return own;
  }

  private indexOf({ id }: SolanaAssetConfig): VaultIndex {
    const index = this.work.indexes.get(id);
    if (!index) throw new Error(`${id} is not indexed.`);
    return index;
  }
}
