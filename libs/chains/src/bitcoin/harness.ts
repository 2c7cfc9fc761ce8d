/** Test harness: a real regtest node, a vault of three guardians on it, and a watcher with all it needs. */
import { createHash } from 'node:crypto';
import { Purse, startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { Transaction } from 'bitcoinjs-lib';
import type { Batch, VaultCoin } from './batch.js';
import { HeaderChain, MemoryHeaderStore } from './headers.js';
import { pairOf } from './keys.js';
import { NETWORKS } from './network.js';
import { BitcoinPool } from './rpc.js';
import { combine, signBatch } from './signing.js';
import {
  depositScript,
  vaultKeys,
  vaultScript,
  type DepositTerms,
  type VaultKeys,
  type VaultScript,
} from './vault-script.js';
import {
  BitcoinWatcher,
  MemoryCoins,
  MemoryIndex,
  type BitcoinCursor,
  type Receipt,
  type Spend,
  type WatchPolicy,
} from './watcher.js';

export const REGTEST = NETWORKS.regtest;
export const PROCESS = Buffer.alloc(32, 7).toString('base64url');
export const RECIPIENT = Buffer.alloc(32, 9).toString('base64url');
export const POLICY: WatchPolicy = {
  startHeight: 1,
  finality: [
    { upTo: 1_000_000n, confirmations: 2 },
    { upTo: null, confirmations: 4 },
  ],
  minDeposit: 30_000n,
  sweepMargin: 10,
};

export const secretOf = (words: string): Buffer => createHash('sha256').update(words).digest();
export const keyOf = (secret: Uint8Array): Uint8Array => pairOf(secret).publicKey;

export function makeVault(n: number, threshold: number, words = 'guardian'): { vault: VaultKeys; secrets: Buffer[] } {
  const secrets = Array.from({ length: n }, (_, i) => secretOf(`${words} ${i}`));
  return { vault: vaultKeys(secrets.map(keyOf), threshold), secrets };
}

export class BitcoinStage {
  readonly purse = Purse.of('payer');
  readonly index = new MemoryIndex<DepositTerms>();
  readonly coins = new MemoryCoins();
  readonly depositor = secretOf('depositor');
  cursor: BitcoinCursor = { height: 0, blockHash: REGTEST.genesis };

  private constructor(
    readonly bitcoin: LocalBitcoin,
    readonly pool: BitcoinPool,
    readonly headers: HeaderChain,
    readonly vault: VaultKeys,
    readonly secrets: readonly Buffer[],
  ) {}

  static async open(): Promise<BitcoinStage> {
    const bitcoin = await startBitcoin({ reward: Purse.of('payer').script });
    const pool = new BitcoinPool({ urls: [urlOf(bitcoin)], agreement: 1, network: REGTEST });
    const { vault, secrets } = makeVault(3, 2);
    const headers = await HeaderChain.open(REGTEST, new MemoryHeaderStore());
    const stage = new BitcoinStage(bitcoin, pool, headers, vault, secrets);
    stage.index.add(stage.plain.script, { kind: 'vault', since: 0 });
    await pool.sync(headers);
    stage.cursor = { height: headers.tip.height, blockHash: headers.tip.hash };
    return stage;
  }

  get plain(): VaultScript {
    return vaultScript(this.vault, REGTEST);
  }

  watcher(policy: WatchPolicy = POLICY): BitcoinWatcher<DepositTerms> {
    return new BitcoinWatcher(this.pool, this.headers, this.index, this.coins, policy);
  }

  /** A deposit address that is registered. */
  deposit(change: Partial<DepositTerms> = {}): { terms: DepositTerms; lock: VaultScript } {
    const terms: DepositTerms = {
      network: REGTEST,
      vault: this.vault,
      process: PROCESS,
      recipient: RECIPIENT,
      tags: [],
      refund: { kind: 'key', key: keyOf(this.depositor) },
      refundAfter: 60,
      ...change,
    };
    const lock = depositScript(terms);
    this.index.add(lock.script, { kind: 'deposit', since: 0, terms, refundAfter: terms.refundAfter });
    return { terms, lock };
  }

  /** Pays and gives the transaction; not mined. */
  async pay(...to: Parameters<Purse['pay']>[1]): Promise<Transaction> {
    const hex = await this.purse.pay(this.bitcoin.node, to);
    await this.bitcoin.send(hex);
    return Transaction.fromHex(hex);
  }

  /** A mined coin of the vault. */
  async coin(value: bigint, lock = this.plain, deposit = false): Promise<VaultCoin> {
    const tx = await this.pay({ script: lock.script, value });
    await this.bitcoin.mine();
    return { txid: tx.getId(), vout: 0, value, lock, deposit };
  }

  /** Signed by the first two guardians. */
  signed(batch: Batch): string {
    return combine(
      batch,
      this.secrets.slice(0, 2).map((secret) => signBatch(batch, secret)),
    );
  }

  /** Takes in headers and watches up to the tip; receipts and spends found, and how far it went back. */
  async watch(
    watcher = this.watcher(),
  ): Promise<{ receipts: Receipt<DepositTerms>[]; spends: Spend[]; rewinds: number }> {
    await watcher.sync();
    const seen: { receipts: Receipt<DepositTerms>[]; spends: Spend[]; rewinds: number } = {
      receipts: [],
      spends: [],
      rewinds: 0,
    };
    for (;;) {
      const step = await watcher.step(this.cursor);
      if (!step) return seen;
      this.cursor = step.cursor;
      if (step.type === 'rewind') {
        seen.rewinds += 1;
        continue;
      }
      seen.receipts.push(...step.receipts);
      seen.spends.push(...step.spends);
      for (const { txid, vout } of step.receipts) this.coins.outpoints.add(`${txid}:${vout}`);
    }
  }
}

/** With its login. */
export const urlOf = ({ url, credentials }: LocalBitcoin): string => url.replace('http://', `http://${credentials}@`);
