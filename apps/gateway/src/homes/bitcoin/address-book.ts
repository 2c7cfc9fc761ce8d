/**
 * Deposit addresses that were registered, read from the schedule of their token process, whoever registered them: an address is known here from the
 * slot on in which guardians know it.
 */
import type { AoEngine } from '@isthmus/ao';
import type { BitcoinTerms } from '@isthmus/bridge';
import {
  chainOf,
  depositScript,
  depositTerms,
  readRegistration,
  textsOf,
  type BitcoinNetwork,
  type DepositTerms,
  type DepositTexts,
  type KnownScript,
  type LateScript,
  type ScriptIndex,
} from '@isthmus/chains';
import type { DataSource, EntityManager } from 'typeorm';
import type { VaultSets } from './vault-sets.js';

/** Slots read at once. */
const PAGE = 100;
/** Addresses that are looked for together in blocks that were read before. */
const LATE_AT_ONCE = 10_000;

/** What is looked up for each block. */
export interface AddressTerms {
  recipient: string;
}

export interface RegisteredAddress {
  address: string;
  /** Output script, hex. */
  script: string;
  /** The message that registered it, and its slot. */
  message: string;
  slot: number;
  terms: DepositTerms;
}

interface Row {
  address: string;
  script: string;
  message: string;
  slot: string;
  terms: DepositTexts;
}

export class AddressBook implements ScriptIndex<AddressTerms> {
  private readonly chain: string;

  constructor(
    private readonly database: DataSource,
    private readonly engine: Pick<AoEngine, 'slots' | 'message'>,
    private readonly process: string,
    private readonly network: BitcoinNetwork,
    private readonly sets: VaultSets,
  ) {
    this.chain = chainOf(network);
  }

  /** Terms of the home; null while its process is not known here. */
  get home(): BitcoinTerms | null {
    return this.sets.terms;
  }

  /**
   * Takes in what was registered since, as far as the process is projected: the set of a slot is known then. False while the process is not
   * known here, or its slots are not: a block would be read without knowing what pays the vault.
   */
  async follow(): Promise<boolean> {
    await this.sets.refresh();
    if (!this.sets.current) return false;
    const [place]: { followed: string | null; projected: string | null }[] = await this.database.query(
      'select (select slot from bitcoin_followed where process = $1) as followed, (select nonce from projection where process = $1) as projected',
      [this.process],
    );
    const end = Number(place?.projected ?? -1);
    for (let from = Number(place?.followed ?? -1) + 1; from <= end;) {
      const slots = (await this.engine.slots(this.process, from, PAGE)).filter(({ nonce }) => nonce <= end);
      const last = slots.at(-1);
      if (!last) return false;
      for (const { nonce, message, timestamp, result } of slots)
        // A registration changes nothing in its process, which says nothing to it.
        if (result.Messages.length === 0 && result.Error === undefined) await this.take(nonce, message, timestamp);
      await this.database.query(
        `insert into bitcoin_followed (process, slot) values ($1, $2)
         on conflict (process) do update set slot = greatest(bitcoin_followed.slot, excluded.slot)`,
        [this.process, last.nonce],
      );
      from = last.nonce + 1;
    }
    return true;
  }

  private async take(slot: number, id: string, since: number): Promise<void> {
    const set = this.sets.ofSlot(slot);
    const { terms: home } = this.sets;
    const message = set && (await this.engine.message(id));
    if (!set || !home || !message) return;
    const place = { network: this.network, process: this.process, vault: set.keys, leastRefund: home.leastRefund };
    const terms = readRegistration(message, place);
    if (!terms) return;
    const { address, script } = depositScript(terms);
    await this.database.query(
      `insert into bitcoin_address (chain, script, address, process, message, slot, recipient, refund_after, terms, since, late)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true) on conflict do nothing`,
      [
        this.chain,
        Buffer.from(script).toString('hex'),
        address,
        this.process,
        id,
        slot,
        terms.recipient,
        terms.refundAfter,
        JSON.stringify(textsOf(terms)),
        since,
      ],
    );
  }

  async find(scripts: readonly string[]): Promise<ReadonlyMap<string, KnownScript<AddressTerms>>> {
    const rows: { script: string; recipient: string; refund_after: number; since: string }[] =
      await this.database.query(
        'select script, recipient, refund_after, since from bitcoin_address where chain = $1 and script = any($2)',
        [this.chain, scripts],
      );
    const found = new Map<string, KnownScript<AddressTerms>>(
      rows.map(({ script, recipient, refund_after: refundAfter, since }) => [
        script,
        { kind: 'deposit', since: Number(since), terms: { recipient }, refundAfter },
      ]),
    );
    for (const script of scripts) {
      const vault = this.sets.ofScript(script);
      if (vault) found.set(script, { kind: 'vault', since: vault.since });
    }
    return found;
  }

  /** Addresses registered since blocks were looked through for them; some of them, if there are many. */
  async late(): Promise<LateScript[]> {
    const rows: { script: string; since: string }[] = await this.database.query(
      `select script, since from bitcoin_address where chain = $1 and late order by since, script limit ${LATE_AT_ONCE}`,
      [this.chain],
    );
    return rows.map(({ script, since }) => ({ script, since: Number(since) }));
  }

  async forgetLate(manager: EntityManager, scripts: readonly string[]): Promise<void> {
    await manager.query('update bitcoin_address set late = false where chain = $1 and script = any($2)', [
      this.chain,
      scripts,
    ]);
  }

  /** By its output script in hex. */
  byScript(script: string): Promise<RegisteredAddress | null> {
    return this.one('script', script);
  }

  /** By the id of the message that registered it. */
  byMessage(message: string): Promise<RegisteredAddress | null> {
    return this.one('message', message);
  }

  private async one(column: 'script' | 'message', value: string): Promise<RegisteredAddress | null> {
    const [row]: Row[] = await this.database.query(
      `select address, script, message, slot, terms from bitcoin_address where chain = $1 and ${column} = $2`,
      [this.chain, value],
    );
    return row ? { ...row, slot: Number(row.slot), terms: depositTerms(row.terms) } : null;
  }
}
