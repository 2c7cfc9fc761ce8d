/** What a guardian keeps of one vault on Bitcoin: scripts, coins with who spent them, proposals, and the anchors that were used up for good. */
import {
  MAX_AHEAD,
  MIN_CHANGE,
  type CoinIndex,
  type KnownScript,
  type LateScript,
  type ScriptIndex,
} from '@isthmus/chains';
import type { DataSource, EntityManager } from 'typeorm';
import {
  type AddressRow,
  type CoinRow,
  type CoinState,
  type MintedDeposit,
  type Outpoint,
  parts,
  type ProposalRow,
  readCoin,
  readPayout,
  type SlotFacts,
  type SpendRow,
  type StoredCoin,
  unwrapped,
  type VaultRow,
  writePayouts,
  type WrittenPayout,
} from './rows.js';

/** Scripts that are looked for together in blocks that were read before. */
export const LATE_AT_ONCE = 10_000;
/** Of the richest coins, so many are thought of when a batch is planned: it takes up to 100. */
const COINS_THOUGHT_OF = 1_000;

/** Many times what the process keeps of one guardian's: it forgets them first. */
const PROPOSALS_KEPT = 1_000;
/** Slots for which every proposal is kept: what is signed was read some rounds before, and a flood meanwhile is not to hide whose it was. */
const SLOTS_KEPT = 5_000;

/** Of coins: what the vault may spend. What its own script was paid for nobody is nobody's but the vault's. */
const OWN = `(c.state = 'credited' or c.state = 'refused' and c.kind = 'memo')`;
/** Of coins: deposits that were refused for what this guardian's tip was then; others may have seen it otherwise, one block apart. */
const REFUSED_BY_TIP = `state = 'refused' and kind = 'deposit' and reason in ('refund-near', 'old-vault')`;
/** Of coins: deposits that were refused as their depositors had taken them back. */
const REFUNDED = `state = 'refused' and reason = 'refunded'`;
/** Of coins: those of the vault $2, whose transactions are final up to $3. */
const THERE = `(state in ('credited', 'anchor') or state = 'seen' and minted or height <= $3::int and (state = 'change' or state = 'refused' and kind = 'memo' and vault = $2::text))
  and (spent_height is null or spent_height > $3::int) and spent_refund is not true`;

export class BitcoinStore implements ScriptIndex<AddressRow> {
  readonly coins: CoinIndex = { find: (outpoints) => this.knownCoins(outpoints) };
  private readonly vaults = new Map<string, VaultRow>();

  private constructor(
    readonly database: DataSource,
    private readonly process: string,
  ) {}

  static async open(database: DataSource, process: string): Promise<BitcoinStore> {
    const store = new BitcoinStore(database, process);
    const rows: (Omit<VaultRow, 'since'> & { since: string })[] = await database.query(
      'select script, keys, threshold, since from bitcoin_vault where process = $1',
      [process],
    );
    for (const row of rows) store.vaults.set(row.script, { ...row, since: Number(row.since) });
    return store;
  }

  // --- scripts

  /** The keys that make a vault's script; null when it is none of this process. */
  vault(script: string): VaultRow | null {
    return this.vaults.get(script) ?? null;
  }

  /** Vaults and registered addresses among these output scripts: one look for a block, however many addresses there are. */
  async find(scripts: readonly string[]): Promise<ReadonlyMap<string, KnownScript<AddressRow>>> {
    const found = new Map<string, KnownScript<AddressRow>>();
    for (const row of await this.addresses(scripts))
      found.set(row.script, { kind: 'deposit', since: row.since, terms: row, refundAfter: row.refundAfter });
    for (const script of scripts) {
      const vault = this.vaults.get(script);
      if (vault) found.set(script, { kind: 'vault', since: vault.since });
    }
    return found;
  }

  async addresses(scripts: readonly string[]): Promise<AddressRow[]> {
    if (scripts.length === 0) return [];
    const rows: (Omit<AddressRow, 'since'> & { since: string })[] = await this.database.query(
      'select script, vault, refund_after as "refundAfter", terms, since from bitcoin_script where process = $1 and script = any($2)',
      [this.process, scripts],
    );
    return rows.map((row) => ({ ...row, since: Number(row.since) }));
  }

  // --- what the schedule says

  /** The last slot that is in the tables; -1 before the first. */
  async learned(): Promise<number> {
    const rows: { slot: string }[] = await this.database.query('select slot from bitcoin_learned where process = $1', [
      this.process,
    ]);
    return Number(rows[0]?.slot ?? -1);
  }

  /** Keeps what a slot said. Whether each mint it told of was seen paid is noted too; false when one was not. */
  async learn(slot: number, said: SlotFacts): Promise<{ allSeen: boolean }> {
    const { vault, address, proposals = [], backed = [], minted = [] } = said;
    const unseen = await this.database.transaction(async (manager) => {
      if (vault)
        await manager.query(
          'insert into bitcoin_vault (process, script, keys, threshold, since) values ($1, $2, $3, $4, $5) on conflict do nothing',
          [this.process, vault.script, vault.keys, vault.threshold, vault.since],
        );
      if (address)
        await manager.query(
          'insert into bitcoin_script (process, script, vault, refund_after, terms, since) values ($1, $2, $3, $4, $5, $6) on conflict do nothing',
          [
            this.process,
            address.script,
            address.vault,
            address.refundAfter,
            JSON.stringify(address.terms),
            address.since,
          ],
        );
      for (const { script, since } of [vault, address].flatMap((one) => one ?? []))
        await manager.query(
          'insert into bitcoin_late (process, script, since) values ($1, $2, $3) on conflict do nothing',
          [this.process, script, since],
        );
      for (const proposal of proposals) await this.keepProposal(manager, slot, proposal);
      for (const { id, by } of backed)
        await manager.query(
          `update bitcoin_proposal p set backed = true where process = $1 and id = $2 and (proposer <> $3
           or (select v.threshold from bitcoin_vault v where v.process = p.process order by v.threshold limit 1) = 1)`,
          [this.process, id, by],
        );
      const missing = await this.noteMinted(manager, minted);
      await manager.query(
        'insert into bitcoin_learned (process, slot) values ($1, $2) on conflict (process) do update set slot = excluded.slot',
        [this.process, slot],
      );
      return missing;
    });
    if (vault && !this.vaults.has(vault.script)) this.vaults.set(vault.script, vault);
    return { allSeen: unseen === 0 };
  }

  /** Scripts the schedule told of since blocks were looked through for them; some of them, if there are many. */
  async late(): Promise<LateScript[]> {
    const rows: { script: string; since: string }[] = await this.database.query(
      `select script, since from bitcoin_late where process = $1 order by since, script limit ${LATE_AT_ONCE}`,
      [this.process],
    );
    return rows.map(({ script, since }) => ({ script, since: Number(since) }));
  }

  async forgetLate(manager: EntityManager, scripts: readonly string[]): Promise<void> {
    await manager.query('delete from bitcoin_late where process = $1 and script = any($2)', [this.process, scripts]);
  }

  /** Deposits that were minted and are not seen paid: those that may come yet, and those that are lost. */
  async unseen(): Promise<{ awaited: number; lost: number }> {
    const rows: { awaited: number; lost: number }[] = await this.database.query(
      `select count(*) filter (where not lost)::int as awaited, count(*) filter (where lost)::int as lost
       from bitcoin_unseen where process = $1`,
      [this.process],
    );
    return rows[0] ?? { awaited: 0, lost: 0 };
  }

  /**
   * Of the deposits that were minted and are not seen paid: begins to count for those that a block of this height and time (milliseconds) would have
   * to lie above, and gives up those for which so many blocks came after the one where that began. Those that were given up now.
   */
  giveUp({ height, time }: { height: number; time: number }, blocks: number): Promise<Outpoint[]> {
    return this.database.transaction(async (manager) => {
      await manager.query(
        'update bitcoin_unseen set missed_at = $2 where process = $1 and missed_at is null and minted_at <= $3',
        [this.process, height, time - MAX_AHEAD * 1_000],
      );
      const lost = unwrapped<{ txid: string; vout: string }>(
        await manager.query(
          'update bitcoin_unseen set lost = true where process = $1 and not lost and missed_at <= $2 returning txid, vout',
          [this.process, height - blocks],
        ),
      );
      return lost.map(({ txid, vout }) => ({ txid, vout: Number(vout) }));
    });
  }

  // --- the chain

  async keepBlock(manager: EntityManager, coins: readonly CoinRow[], spends: readonly SpendRow[]): Promise<void> {
    for (const c of coins) {
      const unseen = unwrapped(
        await manager.query('delete from bitcoin_unseen where process = $1 and txid = $2 and vout = $3 returning 1', [
          this.process,
          c.txid,
          c.vout,
        ]),
      );
      await manager.query(
        `insert into bitcoin_coin (process, txid, vout, value, script, vault, kind, height, position, together, coinbase, recipient, tags, fault, refund_after, state, minted)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) on conflict do nothing`,
        [
          this.process,
          c.txid,
          c.vout,
          String(c.value),
          c.script,
          c.vault,
          c.kind,
          c.height,
          c.position,
          String(c.together),
          c.coinbase,
          c.recipient,
          c.tags,
          c.fault,
          c.refundAfter,
          c.state,
          unseen.length > 0,
        ],
      );
    }
    for (const { txid, vout, by, height, refund } of spends)
      await manager.query(
        // What guardians have moved is credited whatever was thought of it, once that is final: it is judged anew.
        `update bitcoin_coin set spent_by = $4, spent_height = $5, spent_refund = $6,
           state = case when ${REFUSED_BY_TIP} and not $6::boolean then 'seen' else state end
         where process = $1 and txid = $2 and vout = $3`,
        [this.process, txid, vout, by, height, refund],
      );
  }

  /**
   * Takes back what blocks above this height held: what they paid is not there, and what they spent is again, to be judged anew if it was refused for
   * that. Outpoints that are gone.
   */
  async rewind(manager: EntityManager, height: number): Promise<Outpoint[]> {
    await manager.query(
      `update bitcoin_coin set spent_by = null, spent_height = null, spent_refund = null,
         state = case when ${REFUNDED} then 'seen' else state end, reason = case when ${REFUNDED} then null else reason end
       where process = $1 and spent_height > $2`,
      [this.process, height],
    );
    await manager.query(
      `insert into bitcoin_unseen (process, txid, vout)
       select process, txid, vout from bitcoin_coin where process = $1 and height > $2 and minted on conflict do nothing`,
      [this.process, height],
    );
    await manager.query(
      'update bitcoin_unseen set missed_at = null where process = $1 and not lost and missed_at > $2',
      [this.process, height],
    );
    const gone = unwrapped<{ txid: string; vout: string }>(
      await manager.query('delete from bitcoin_coin where process = $1 and height > $2 returning txid, vout', [
        this.process,
        height,
      ]),
    );
    return gone.map(({ txid, vout }) => ({ txid, vout: Number(vout) }));
  }

  /** Coins that wait to be final or judged. */
  waiting(manager: EntityManager): Promise<CoinRow[]> {
    return this.select(manager, `c.state = 'seen' order by c.height, c.position, c.vout`, []);
  }

  /** Credited deposits that nobody has minted or moved, and whose refund opens within `margin` blocks or has come: it is too late for them. */
  tooLate(manager: EntityManager, height: number, margin: number): Promise<CoinRow[]> {
    return this.select(
      manager,
      `c.kind = 'deposit' and c.state = 'credited' and not c.minted and c.spent_refund is not false
       and $2::int - c.height + 1 + $3::int >= c.refund_after`,
      [height, margin],
    );
  }

  async judge(
    manager: EntityManager,
    { txid, vout }: Outpoint,
    state: CoinState,
    reason: string | null,
  ): Promise<void> {
    await manager.query(
      'update bitcoin_coin set state = $4, reason = $5 where process = $1 and txid = $2 and vout = $3',
      [this.process, txid, vout, state, reason],
    );
  }

  /** The earliest coin at a vault's own script that is worth what change is at least, of those up to a height: whoever pays it has given it. */
  async earliest(manager: EntityManager, height: number): Promise<CoinRow | null> {
    const rows = await this.select(
      manager,
      `c.kind = 'memo' and c.height <= $2 and c.value >= ${MIN_CHANGE} order by c.height, c.position, c.vout limit 1`,
      [height],
    );
    return rows[0] ?? null;
  }

  /** The last anchor in final state, and how many there were. */
  async lastAnchor(manager: EntityManager = this.database.manager): Promise<{ place: number; coin: CoinRow } | null> {
    const rows: { place: number; outpoint: string }[] = await manager.query(
      'select place, outpoint from bitcoin_anchor where process = $1 order by place desc limit 1',
      [this.process],
    );
    const [row] = rows;
    if (!row) return null;
    const coin = await this.coin(row.outpoint, manager);
    return coin && { place: row.place, coin };
  }

  /** Whether a coin is the last anchor in final state, one before it, or none. */
  async anchorPlace(outpoint: string): Promise<'last' | 'used' | null> {
    const rows: { last: boolean }[] = await this.database.query(
      `select place = (select max(place) from bitcoin_anchor where process = $1) as last
       from bitcoin_anchor where process = $1 and outpoint = $2`,
      [this.process, outpoint],
    );
    const [row] = rows;
    return row ? (row.last ? 'last' : 'used') : null;
  }

  async keepAnchor(manager: EntityManager, place: number, outpoint: string): Promise<void> {
    await manager.query('insert into bitcoin_anchor (process, place, outpoint) values ($1, $2, $3)', [
      this.process,
      place,
      outpoint,
    ]);
  }

  // --- questions

  async coin(outpoint: string, manager: EntityManager = this.database.manager): Promise<CoinRow | null> {
    const rows = await this.coinsAt([outpoint], manager);
    return rows[0] ?? null;
  }

  coinsAt(outpoints: readonly string[], manager: EntityManager = this.database.manager): Promise<CoinRow[]> {
    const { txids, vouts } = parts(outpoints);
    return this.select(manager, '(c.txid, c.vout) in (select * from unnest($2::text[], $3::bigint[]))', [txids, vouts]);
  }

  /** Of these what a vault's keys may spend and nothing mined has spent. What pays nobody may move a deposit too that was refused by the tip: that credits it. */
  spendableAt(outpoints: readonly string[], vault: string, paysNobody: boolean): Promise<CoinRow[]> {
    const { txids, vouts } = parts(outpoints);
    return this.select(
      this.database.manager,
      `(c.txid, c.vout) in (select * from unnest($2::text[], $3::bigint[])) and c.spent_by is null and c.vault = $4
       and (${OWN} or $5::boolean and ${REFUSED_BY_TIP})`,
      [txids, vouts, vault, paysNobody],
    );
  }

  /** What a vault's keys may spend on others and is not spent, the richest first: what its depositor cannot take back within `margin` blocks. */
  spendable(vault: string, height: number, margin: number): Promise<CoinRow[]> {
    return this.select(
      this.database.manager,
      `c.spent_by is null and c.vault = $2 and ${OWN} and (c.refund_after is null or $3::int - c.height + 1 + $4::int < c.refund_after)
       order by c.value desc, c.txid, c.vout limit ${COINS_THOUGHT_OF}`,
      [vault, height, margin],
    );
  }

  /** What a vault's keys hold beside its last anchor, whatever it is for, and is final: what goes with it when it is handed over; what was credited first, then the richest. */
  leftIn(vault: string): Promise<CoinRow[]> {
    return this.select(
      this.database.manager,
      `c.spent_by is null and c.vault = $2 and ${OWN}
       order by c.state, c.value desc, c.txid, c.vout limit ${COINS_THOUGHT_OF}`,
      [vault],
    );
  }

  /** Deposits not spent that were confirmed so long ago that, of what they may wait, `margin` blocks or fewer are left; the richest first. */
  due(vault: string, height: number, margin: number): Promise<CoinRow[]> {
    return this.select(
      this.database.manager,
      `c.spent_by is null and c.state = 'credited' and c.vault = $2 and c.refund_after is not null
       and $3::int - c.height + 1 + $4::int >= c.refund_after order by c.value desc, c.txid, c.vout limit ${COINS_THOUGHT_OF}`,
      [vault, height, margin],
    );
  }

  /**
   * Satoshis that are there for good: credited deposits, the chain of anchors, and what was paid to the vault that `vault` names for nobody. What a
   * transaction of the vault spends counts until it is final at `final`, and its change from then on. A deposit that its depositor took back, or whose
   * refund opens within `margin` blocks, does not count.
   */
  async holdings(vault: string | null, height: number, final: number, margin: number): Promise<bigint> {
    return this.sum(
      `${THERE} and (refund_after is null or spent_by is not null or $4::int - height + 1 + $5::int < refund_after)`,
      [vault, final, height, margin],
    );
  }

  /** Of the same what is minted or for nobody, however near its refund is: what is there to spare is what it has beyond what is owed. */
  async settled(vault: string | null, final: number): Promise<bigint> {
    return this.sum(`${THERE} and (state <> 'credited' or minted)`, [vault, final]);
  }

  /** A coin of these keys that is spent by a transaction nobody proposed, and not by its depositor; null when there is none. */
  async stolen(vault: string): Promise<{ outpoint: string; by: string } | null> {
    const rows: { outpoint: string; by: string }[] = await this.database.query(
      `select c.txid || ':' || c.vout as outpoint, c.spent_by as by from bitcoin_coin c
       where c.process = $1 and c.vault = $2 and c.spent_by is not null and not c.spent_refund
       and not exists (select 1 from bitcoin_proposal p where p.process = c.process and p.txid = c.spent_by)
       order by c.spent_height, c.txid, c.vout limit 1`,
      [this.process, vault],
    );
    return rows[0] ?? null;
  }

  /** Whether a proposal was kept: its transaction does what its line says. */
  async isKept(txid: string, id: string): Promise<boolean> {
    const rows = await this.proposals(this.database.manager, 'txid = $2 and id = $3', [txid, id]);
    return rows.length > 0;
  }

  async proposal(txid: string, manager: EntityManager = this.database.manager): Promise<ProposalRow | null> {
    const rows = await this.proposals(manager, 'txid = $2', [txid]);
    return rows[0] ?? null;
  }

  proposalsOver(anchor: string): Promise<ProposalRow[]> {
    return this.proposals(this.database.manager, 'anchor = $2', [anchor]);
  }

  // ---

  /** Of what nobody but its proposer stands behind and no block has, each proposer's newest are kept: the others could not be signed any more. */
  private async keepProposal(manager: EntityManager, slot: number, proposal: ProposalRow): Promise<void> {
    const { txid, id, proposer, epoch, anchor, content, payouts } = proposal;
    await manager.query(
      `insert into bitcoin_proposal (process, txid, id, proposer, slot, epoch, anchor, content, payouts)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing`,
      [this.process, txid, id, proposer, slot, String(epoch), anchor, content, writePayouts(payouts)],
    );
    await manager.query(
      `delete from bitcoin_proposal p where process = $1 and id in (
         select id from bitcoin_proposal where process = $1 and proposer = $2 and not backed order by slot desc, id offset ${PROPOSALS_KEPT})
       and slot < $3 and not exists (select 1 from bitcoin_coin c where c.process = p.process and c.spent_by = p.txid)`,
      [this.process, proposer, slot - SLOTS_KEPT],
    );
  }

  private async proposals(manager: EntityManager, which: string, values: unknown[]): Promise<ProposalRow[]> {
    const rows: (Omit<ProposalRow, 'epoch' | 'payouts'> & { epoch: string; payouts: WrittenPayout[] })[] =
      await manager.query(
        `select txid, id, proposer, epoch, anchor, content, payouts from bitcoin_proposal where process = $1 and ${which}`,
        [this.process, ...values],
      );
    return rows.map((r) => ({ ...r, epoch: BigInt(r.epoch), payouts: r.payouts.map(readPayout) }));
  }

  private async sum(which: string, values: unknown[]): Promise<bigint> {
    const rows: { sum: string }[] = await this.database.query(
      `select coalesce(sum(value), 0) as sum from bitcoin_coin where process = $1 and ${which}`,
      [this.process, ...values],
    );
    return BigInt(rows[0]?.sum ?? 0);
  }

  private async select(manager: EntityManager, which: string, values: unknown[]): Promise<CoinRow[]> {
    const rows: StoredCoin[] = await manager.query(`select * from bitcoin_coin c where c.process = $1 and ${which}`, [
      this.process,
      ...values,
    ]);
    return rows.map(readCoin);
  }

  private async knownCoins(outpoints: readonly string[]): Promise<ReadonlySet<string>> {
    const { txids, vouts } = parts(outpoints);
    const rows: { txid: string; vout: string }[] = await this.database.query(
      `select c.txid, c.vout from bitcoin_coin c join unnest($2::text[], $3::bigint[]) as o(txid, vout) on c.txid = o.txid and c.vout = o.vout
       where c.process = $1`,
      [this.process, txids, vouts],
    );
    return new Set(rows.map(({ txid, vout }) => `${txid}:${vout}`));
  }

  /** Marks those that were seen paid; how many were not. */
  private async noteMinted(manager: EntityManager, minted: readonly MintedDeposit[]): Promise<number> {
    let missing = 0;
    for (const { txid, vout, at } of minted) {
      const place = [this.process, txid, vout];
      const seen = unwrapped(
        await manager.query(
          `update bitcoin_coin set minted = true,
             state = case when ${REFUSED_BY_TIP} then 'credited' else state end, reason = case when ${REFUSED_BY_TIP} then null else reason end
           where process = $1 and txid = $2 and vout = $3 returning 1`,
          place,
        ),
      );
      if (seen.length > 0) continue;
      missing += 1;
      await manager.query(
        'insert into bitcoin_unseen (process, txid, vout, minted_at) values ($1, $2, $3, $4) on conflict do nothing',
        [...place, at],
      );
    }
    return missing;
  }
}
