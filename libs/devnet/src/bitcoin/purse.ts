/** A purse for development: one key, paid by block rewards, that pays whoever it is told to. It keeps no book but of what it has spent. */
import { crypto, networks, payments, Psbt } from 'bitcoinjs-lib';
import { ECPairFactory, type ECPairInterface } from 'ecpair';
import { curve } from './curve.js';
import type { BitcoinNode } from './node.js';

/** Blocks before a reward may be spent. */
const MATURITY = 100;
const FEE = 2_000n;
/** Below this no change is made. */
const DUST = 294n;
/** May be replaced (BIP 125). */
const SEQUENCE = 0xff_ff_ff_fd;

export type Payment = { address: string; value: bigint } | { script: Uint8Array; value: bigint };

export interface PayOptions {
  /** Satoshis. */
  fee?: bigint;
  /** Spends this, rather than the next reward. */
  from?: PurseCoin;
}

export interface PurseCoin {
  txid: string;
  vout: number;
  value: bigint;
}

export class Purse {
  readonly script: Uint8Array;
  readonly address: string;
  /** Height of the next block whose reward it may have. */
  private next = 1;

  private constructor(readonly key: ECPairInterface) {
    const own = payments.p2wpkh({ pubkey: key.publicKey, network: networks.regtest });
    this.script = own.output as Uint8Array; // both are there when the key is
    this.address = own.address as string;
  }

  /** The same purse for the same words: for development only. */
  static of(words: string): Purse {
    const secret = crypto.sha256(Buffer.from(`isthmus devnet purse ${words}`));
    return new Purse(ECPairFactory(curve).fromPrivateKey(secret, { network: networks.regtest }));
  }

  /** Its next reward that may be spent, each given once. @throws Error when there is none: mine 100 blocks to it and beyond */
  async coin(node: BitcoinNode): Promise<PurseCoin> {
    for (; this.next + MATURITY <= node.height + 1; this.next += 1) {
      const block = await node.chain.getBlock((await node.entryAt(this.next)).hash);
      const reward = block?.txs[0];
      const found = reward && (await node.chain.getCoin(reward.hash('hex'), 0));
      if (!reward || !found?.coinbase || !found.script.toRaw().equals(Buffer.from(this.script))) continue;
      this.next += 1;
      return { txid: reward.txid(), vout: 0, value: BigInt(found.value) };
    }
    throw new Error('The purse has no reward left that is 100 blocks old.');
  }

  /** A signed transaction that pays, in hex; what is left comes back as its last output. */
  async pay(node: BitcoinNode, to: readonly Payment[], { fee = FEE, from }: PayOptions = {}): Promise<string> {
    const { txid, vout, value } = from ?? (await this.coin(node));
    const psbt = new Psbt({ network: networks.regtest });
    psbt.setVersion(2);
    const spent = { hash: txid, index: vout, sequence: SEQUENCE };
    psbt.addInput({ ...spent, witnessUtxo: { script: this.script, value } });
    for (const one of to) psbt.addOutput(one);
    const change = value - to.reduce((sum, one) => sum + one.value, fee);
    if (change < 0n) throw new Error(`The coin of ${value} satoshis does not cover this.`);
    if (change >= DUST) psbt.addOutput({ script: this.script, value: change });
    psbt.signAllInputs(this.key).finalizeAllInputs();
    return psbt.extractTransaction(true).toHex();
  }
}
