/**
 * Gives deposit addresses: registers what is asked for by a message to the token process, and hands an address out only when that has its slot. The same
 * terms have the same address and one message, however often they are asked for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, type AoEngine, type Signer } from '@isthmus/ao';
import { BridgeError, creditedOf, type BitcoinTerms } from '@isthmus/bridge';
import {
  addressOfScript,
  BitcoinError,
  chainOf,
  depositRequest,
  depositScript,
  encodeRegistration,
  parseAddress,
  refundKey,
  refundOwner,
  writeRefundOwner,
  type BitcoinNetwork,
  type DepositTerms,
  hexOf,
} from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import type { Hex } from 'viem';
import { recipientNote } from '../../api/ao-recipient.js';
import { Problem, wrongField } from '../../api/problem.js';
import type { AddressRequest } from '../home.js';
import type { AddressBook, RegisteredAddress } from './address-book.js';
import { writtenFinality, type DepositAddressAnswer, type DepositAddressDetail } from './answers.js';
import type { BitcoinHomeConfig } from './config.js';
import type { VaultSets } from './vault-sets.js';

/** Registrations under way at once, over all clients. */
const MAX_WAITING = 64;
/** Milliseconds one may take to have its slot; a network of others may need some seconds. */
const MAX_WAIT_MS = 15_000;
const LOOK_MS = 50;
/** Payments shown of an address. */
const MAX_PAYMENTS = 100;

export class Registrar {
  private readonly chain: string;
  /** Under way, by output script: who asks for the same waits for the same. */
  private readonly waiting = new Map<string, Promise<RegisteredAddress>>();

  constructor(
    private readonly config: BitcoinHomeConfig,
    private readonly network: BitcoinNetwork,
    private readonly database: DataSource,
    private readonly engine: Pick<AoEngine, 'send' | 'running'>,
    private readonly signer: Signer,
    private readonly sets: VaultSets,
    private readonly addresses: AddressBook,
    private readonly tip: () => number | null,
  ) {
    this.chain = chainOf(network);
  }

  /** @throws Problem `bad-request`, `busy`, `engine-not-ready`; EngineError when AO does not take the message */
  async give(request: AddressRequest): Promise<DepositAddressAnswer> {
    await this.sets.refresh();
    const terms = this.termsOf(request);
    const script = hexOf(depositScript(terms).script);
    const known = await this.addresses.byScript(script);
    return this.answer(known ?? (await this.registered(terms, script)));
  }

  /** What is known of an address and was paid to it; null when it was never registered. */
  async find(address: string): Promise<DepositAddressDetail | null> {
    const script = this.scriptOf(address);
    const known = script === null ? null : await this.addresses.byScript(script);
    if (!known) return null;
    const tip = this.tip();
    const rows: {
      id: Hex;
      txid: string;
      vout: number;
      value: string;
      height: number;
      required: number | null;
      standing: 'confirming' | 'final' | 'refused';
      refund_after: number;
      spent_by: string | null;
      refunded: boolean;
      minted: boolean | null;
      reason: string | null;
    }[] = await this.database.query(
      `select c.id, c.txid, c.vout, c.value, c.height, t.required, t.state = 'minted' as minted, c.standing, c.refund_after, c.spent_by, c.refunded,
         case when c.standing = 'refused' then (select s.proof->>'reason' from transfer_step s where s.transfer = c.id and s.kind = 'refused' order by s.position desc limit 1) end as reason
       from bitcoin_coin c left join transfer t on t.id = c.id
       where c.chain = $1 and c.script = $2 and c.claim = 'deposit' order by c.height desc, c.txid, c.vout limit ${MAX_PAYMENTS}`,
      [this.chain, known.script],
    );
    const payments = rows.map((r) => ({
      transfer: r.id,
      tx: r.txid,
      output: r.vout,
      amount: r.value,
      credited: String(creditedOf(BigInt(r.value), this.home) ?? 0n),
      height: r.height,
      confirmations: Math.max((tip ?? r.height) - r.height + 1, 1),
      required: r.required ?? 1,
      state: r.standing,
      reason: r.reason,
      minted: r.minted === true,
      refundFrom: r.height + r.refund_after - 1,
      spentBy: r.spent_by,
      refunded: r.refunded,
    }));
    return { ...this.answer(known), tip, payments };
  }

  private termsOf({ recipient, tags, refund, refundAfter }: AddressRequest): DepositTerms {
    const vault = this.sets.current;
    if (!vault) throw notReady();
    const terms = {
      network: this.network,
      vault: vault.keys,
      process: this.asset.process,
      recipient,
      tags,
      refund:
        'key' in refund
          ? fieldOf('refund.key', () => refundKey(refund.key))
          : fieldOf('refund.address', () => refundOwner(refund.address, this.network)),
      refundAfter: refundAfter ?? this.config.chain.refundAfter,
    };
    fieldOf('refundAfter', () => this.checkRefundAfter(terms.refundAfter));
    fieldOf('tags', () => depositScript(terms));
    return terms;
  }

  /** Time is needed to be credited before the refund is near. @throws BitcoinError */
  private checkRefundAfter(refundAfter: number): void {
    const { leastRefund } = this.home;
    if (refundAfter < leastRefund)
      throw new BitcoinError(
        'bad-terms',
        `at least ${leastRefund} blocks: payments are credited no more when a refund is near`,
      );
  }

  /** @throws Problem `engine-not-ready` */
  private get home(): BitcoinTerms {
    const { terms } = this.sets;
    if (!terms) throw notReady();
    return terms;
  }

  private registered(terms: DepositTerms, script: string): Promise<RegisteredAddress> {
    const under = this.waiting.get(script);
    if (under) return under;
    if (this.waiting.size >= MAX_WAITING)
      throw new Problem('busy', 'Too many deposit addresses are asked for at once; try again in a moment.');
    const mine = this.register(terms, script).finally(() => this.waiting.delete(script));
    this.waiting.set(script, mine);
    return mine;
  }

  private async register(terms: DepositTerms, script: string): Promise<RegisteredAddress> {
    if (!this.engine.running)
      throw new Problem('engine-not-ready', 'AO is not carried here now; try again in a moment.');
    const { tags, data } = encodeRegistration(terms);
    const protocol = [
      { name: 'Data-Protocol', value: 'ao' },
      { name: 'Variant', value: 'ao.TN.1' },
      { name: 'Type', value: 'Message' },
    ];
    // The anchor follows from the address, and so does the message's id: the same terms again are the same message.
    const anchor = script.slice(-32);
    const item = await createItem({ target: terms.process, anchor, tags: [...protocol, ...tags], data }, this.signer);
    await this.engine.send(item);
    for (const end = Date.now() + MAX_WAIT_MS; Date.now() < end; await delay(LOOK_MS)) {
      await this.addresses.follow();
      // A set that took over meanwhile makes it another address: what is registered is what its message came to.
      const known = (await this.addresses.byScript(script)) ?? (await this.addresses.byMessage(item.id));
      if (known) return known;
    }
    throw new Problem(
      'unavailable',
      'The address is not registered on AO yet; ask for it again in a moment, with the same terms.',
    );
  }

  private answer({ terms, message, slot }: RegisteredAddress): DepositAddressAnswer {
    const { chain, address, script, witnessScript, commitment, lines, uri, qr, recovery } = depositRequest(terms);
    const { finality, sweepMargin, minDeposit, sweepFee } = this.home;
    const { recipient, tags, refundAfter, process } = terms;
    return {
      asset: this.asset.id,
      chain,
      address,
      recipient,
      recipientNote: recipientNote(recipient),
      tags: tags.map(({ name, value }) => ({ name, value })),
      refund: writeRefundOwner(terms.refund, this.network),
      refundAfter,
      minimum: String(minDeposit),
      sweepFee: String(sweepFee),
      confirmations: writtenFinality(finality),
      sweepMargin,
      script,
      witnessScript,
      commitment,
      lines,
      uri,
      qr,
      recovery,
      message,
      slot,
      process,
    };
  }

  /** Output script of an address of this network in hex; null when it is none. */
  private scriptOf(address: string): string | null {
    try {
      const { script } = parseAddress(address, this.network);
      return addressOfScript(script)?.kind === 'p2wsh' ? hexOf(script) : null;
    } catch (error) {
      if (error instanceof BitcoinError) return null;
      throw error;
    }
  }

  private get asset(): BitcoinHomeConfig['assets'][number] {
    const [asset] = this.config.assets;
    if (!asset) throw new Error('A home on Bitcoin has one asset.');
    return asset;
  }
}

const notReady = (): Problem =>
  new Problem('engine-not-ready', 'The guardians of this asset are not known here yet; try again in a moment.');

/** What refuses a field is said of that field. */
function fieldOf<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof BitcoinError || error instanceof BridgeError) throw wrongField(name, error.message);
    throw error;
  }
}
