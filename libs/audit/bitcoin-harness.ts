/** For tests of the auditor: a vault on a real regtest node, whose guardians do whatever a test has them do, and its token process. */
import {
  chainOf,
  changeOf,
  combine,
  depositScript,
  encodeProposal,
  encodeRegistration,
  memoScript,
  NETWORKS,
  planPayment,
  signBatch,
  vaultKeys,
  vaultScript,
  type Batch,
  type DepositTerms,
  type Payout,
  type VaultCoin,
  type VaultScript,
} from '@isthmus/chains';
import { Purse, type LocalBitcoin } from '@isthmus/devnet';
import { Transaction } from 'bitcoinjs-lib';
import { keyOf, secretOf, urlOf } from '../chains/src/bitcoin/harness.js';
import type { AuditorOptions } from './src/index.js';
import { ALICE, TokenScene } from './token-scene.js';

const REGTEST = NETWORKS.regtest;
export const BITCOIN = chainOf(REGTEST);
export const BTC = `${BITCOIN}/slip44:0`;
/** Satoshis per 1,000 virtual bytes. */
const RATE = 2_000n;
export const DEPOSITOR = secretOf('depositor');

let scenes = 0;

export class BitcoinScene extends TokenScene {
  readonly purse: Purse;
  readonly secrets: Buffer[];
  readonly startHeight: number;
  /** What a batch begins with. */
  anchor: VaultCoin | null = null;
  private withdrawals = 0n;

  private constructor(
    readonly bitcoin: LocalBitcoin,
    purse: Purse,
    /** The sweep fee. */
    readonly fee: bigint,
  ) {
    super();
    this.purse = purse;
    scenes += 1;
    this.secrets = [0, 1, 2].map((i) => secretOf(`guardian ${i} of scene ${scenes}`));
    this.startHeight = bitcoin.node.height + 1;
  }

  /** A vault of keys of its own. */
  static async open(bitcoin: LocalBitcoin, purse: Purse, fee = 0n): Promise<BitcoinScene> {
    const scene = new BitcoinScene(bitcoin, purse, fee);
    scene.now = bitcoin.node.chain.tip.time * 1000;
    await scene.spawn({
      Name: 'Bitcoin on AO',
      Ticker: 'aBTC',
      Denomination: '8',
      'Isthmus-Asset': BTC,
      'Isthmus-Chain': BITCOIN,
      'Isthmus-Vault': scene.lock.address,
      'Isthmus-Home-Terms': `start=${scene.startHeight} least=1000 fee=${fee} margin=1 refund=9 final=*:1`,
      'Isthmus-Guardian-Keys': scene.secrets.map((s) => Buffer.from(keyOf(s)).toString('hex')).join(','),
    });
    await bitcoin.mine();
    return scene;
  }

  get vault() {
    return vaultKeys(this.secrets.map(keyOf), 2);
  }
  get lock() {
    return vaultScript(this.vault, REGTEST);
  }

  chainOptions(): AuditorOptions['chain'] {
    return {
      rpcUrls: [urlOf(this.bitcoin)],
    };
  }

  /** Mined at once. */
  async pay(...to: Parameters<Purse['pay']>[1]): Promise<string> {
    const hex = await this.purse.pay(this.bitcoin.node, to);
    await this.bitcoin.mine(1, { only: [hex] });
    return Transaction.fromHex(hex).getId();
  }

  terms(change: Partial<DepositTerms> = {}): DepositTerms {
    return {
      network: REGTEST,
      vault: this.vault,
      process: this.process,
      recipient: ALICE,
      tags: [],
      refund: { kind: 'key', key: keyOf(DEPOSITOR) },
      refundAfter: 60,
      ...change,
    };
  }

  async register(terms: DepositTerms): Promise<void> {
    const { tags, data } = encodeRegistration(terms);
    await this.message(`0x${'77'.repeat(32)}`, Object.fromEntries(tags.map((t) => [t.name, t.value])), data);
  }

  /** Pays the address of terms; its coin. */
  async payTerms(terms: DepositTerms, value: bigint): Promise<VaultCoin> {
    const lock = depositScript(terms);
    return { txid: await this.pay({ script: lock.script, value }), vout: 0, value, lock, deposit: true };
  }

  /** Pays the vault itself, with a memo unless told otherwise. */
  async payVault(
    value: bigint,
    memo: Uint8Array | null = memoScript({ recipient: ALICE, tags: [] }),
  ): Promise<VaultCoin> {
    const txid = await this.pay({ script: this.lock.script, value }, ...(memo ? [{ script: memo, value: 0n }] : []));
    return { txid, vout: 0, value, lock: this.lock, deposit: false };
  }

  /** Has a coin minted by what the guardians say. */
  mint(
    { txid, vout, value }: VaultCoin,
    change: { recipient?: string; amount?: bigint; tags?: string } = {},
  ): Promise<void> {
    const reference = `${BITCOIN}:${txid}:${vout}`;
    return this.mintLine({ reference, tx: txid, sender: '-', recipient: ALICE, amount: value - this.fee, ...change });
  }

  /** A coin of the vault that is minted, with which the next batch begins. */
  async fund(value: bigint): Promise<VaultCoin> {
    const coin = await this.payVault(value);
    await this.mint(coin);
    this.anchor = coin;
    return coin;
  }

  /** Burns; the payout it makes due. */
  async withdraw(
    amount: bigint,
    maxFee = 5_000n,
    { address, script }: Pick<VaultScript, 'address' | 'script'> = this.purse,
  ): Promise<Payout> {
    await this.withdrawTo(address, amount, maxFee);
    this.withdrawals += 1n;
    return { number: this.withdrawals, script, amount, maxFee };
  }

  /** The batch that pays, from the anchor and these coins. */
  plan(payouts: readonly Payout[], coins: readonly VaultCoin[] = []): Batch {
    if (!this.anchor) throw new Error('Fund the vault first.');
    const { vault, lock: changeTo, anchor } = this;
    return planPayment({ vault, changeTo, inputs: [anchor, ...coins], feeRate: RATE, payouts });
  }

  async propose(batch: Batch, numbers: readonly bigint[], guardian = 0): Promise<void> {
    const { anchor, content } = encodeProposal(batch, RATE);
    const line = ['1', anchor, numbers.length === 0 ? '-' : numbers.join(','), content].join(' ');
    await this.say(guardian, { Action: 'Propose-Release' }, line);
  }

  /** Signs and mines whatever it is; its id. */
  async send(batch: Batch): Promise<string> {
    const hex = combine(
      batch,
      this.secrets.slice(0, 2).map((secret) => signBatch(batch, secret)),
    );
    await this.bitcoin.mine(1, { only: [hex] });
    const txid = Transaction.fromHex(hex).getId();
    this.anchor = changeOf({ ...batch, txid });
    return txid;
  }

  /** Proposes, mines and attests. */
  async release(payouts: readonly Payout[], coins: readonly VaultCoin[] = []): Promise<Batch> {
    const batch = this.plan(payouts, coins);
    await this.propose(
      batch,
      payouts.map((p) => p.number),
    );
    const txid = await this.send(batch);
    for (const { number, fee } of batch.payouts) await this.attest(number, txid, fee);
    return batch;
  }
}
