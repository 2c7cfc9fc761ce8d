/**
 * Sends the batches that enough guardians have signed, and tells what becomes of them. It decides nothing and holds no key: of all transactions over one
 * anchor only one can be mined, so several relayers, restarts and repeats do no harm. Everything is kept before it is sent.
 */
import { Recently, type BitcoinPool } from '@isthmus/chains';
import type { EntityManager } from 'typeorm';
import { crashPoint } from '../../crash-point.js';
import type { HomeParts } from '../home.js';
import type { Batches, BatchRow } from './batches.js';
import { isChange } from './coins.js';
import { LEAST_DUST, type ReleaseCost } from './release-cost.js';

/** A batch, and the block that shows what has become of it. */
interface Outcome extends BatchRow {
  /** The transaction that has used up its anchor: its own, or another. */
  spent_by: string | null;
  spent_height: number | null;
  spent_hash: string | null;
  /** Its anchor is the change of a batch that can be mined no more. */
  orphan: boolean;
}

/** Words of nodes for a transaction that pays too little, to be relayed or to replace another. */
const TOO_LITTLE = /fee not met|insufficient fee|too little|min relay/i;

/** Milliseconds after which it is looked at again what nobody proposes to pay. */
const JUDGE_MS = 2_000;

export class BitcoinRelayer {
  /** Sent by this process, and when, milliseconds: the first time after a start it is sent again. */
  private readonly sent = new Map<string, number>();
  /** What nobody pays, looked at now and then. */
  private readonly judged = new Recently(() => this.judge(), JUDGE_MS);

  constructor(
    private readonly chain: string,
    private readonly process: string,
    /** Confirmations after which nothing is taken back. */
    private readonly deepest: () => number,
    private readonly parts: HomeParts,
    private readonly pool: BitcoinPool,
    private readonly batches: Batches,
    private readonly cost: Pick<ReleaseCost, 'least'>,
    private readonly tip: () => number | null,
  ) {}

  /** One round: what was proposed and signed, what became of what was sent, then what can go. */
  async step(): Promise<void> {
    await this.batches.learn();
    const open = await this.settle();
    for (const batch of dearest(open)) await this.send(batch);
    await this.explain();
    await this.judged.get();
  }

  /** Withdrawals that batches in blocks pay. */
  async paid(): Promise<Set<string>> {
    await this.batches.learn();
    const rows: { number: string }[] = await this.parts.database.query(
      `select distinct unnest(b.numbers) as number from bitcoin_batch b
       where b.chain = $1 and b.process = $2 and exists (select from bitcoin_coin c where c.chain = b.chain and c.spent_by = b.txid)`,
      [this.chain, this.process],
    );
    return new Set(rows.map((r) => r.number));
  }

  // --- what became of them

  /** Writes down what blocks show; the batches that may still be mined. */
  private async settle(): Promise<BatchRow[]> {
    const outcomes = await this.outcomes();
    const over = this.overFrom();
    const open: BatchRow[] = [];
    for (const one of outcomes) {
      const isMined = one.spent_by === one.txid;
      if (isMined && one.mined_hash !== one.spent_hash) await this.mined(one);
      if (!isMined && one.mined_hash !== null) await this.unmined(one);
      const replaced = one.orphan || (one.spent_by !== null && !isMined);
      if (replaced) await this.replaced(one, one.orphan || (one.spent_height ?? 0) <= over);
      else if (isMined) await this.over(one, over);
      else open.push(one);
    }
    return open;
  }

  /** Height up to which nothing changes any more: a deeper reorg stops the index. */
  private overFrom(): number {
    return (this.tip() ?? 0) - this.deepest();
  }

  private outcomes(): Promise<Outcome[]> {
    return this.parts.database.query(
      `select b.txid, b.process, b.proposal, b.anchor, b.numbers, b.fees::text[] as fees, b.fee_rate, b.raw, b.sent_at, b.mined_hash,
         c.spent_by, c.spent_height, c.spent_hash,
         exists (select from bitcoin_batch p where p.chain = b.chain and ${isChange('b.anchor', 'p.txid')} and p.state = 'superseded') as orphan
       from bitcoin_batch b left join bitcoin_coin c
         on c.chain = b.chain and c.txid = split_part(b.anchor, ':', 1) and c.vout::text = split_part(b.anchor, ':', 2)
       where b.chain = $1 and b.state = 'open' order by b.position`,
      [this.chain],
    );
  }

  private async mined(batch: Outcome): Promise<void> {
    const at = new Date();
    const { txid, spent_height: height, spent_hash: blockHash } = batch;
    await this.write(async (manager) => {
      for (const [id, fee] of await this.payees(manager, batch)) {
        const proof = {
          tx: txid,
          block: String(height),
          blockHash: String(blockHash),
          batch: batch.numbers.length,
          fee,
        };
        await this.parts.store.addSteps(manager, [
          { transfer: id, key: `mined ${txid} ${blockHash}`, at, kind: 'mined', proof },
        ]);
        await this.parts.store.move(manager, [id], ['queued', 'signing', 'ready'], 'submitted', at);
        await manager.query(
          `update transfer set release_tx = $2, block_number = $3, required = $4 where id = $1 and state = 'submitted'`,
          [id, txid, height, this.deepest()],
        );
      }
      await manager.query('update bitcoin_batch set mined_hash = $3 where chain = $1 and txid = $2', [
        this.chain,
        txid,
        blockHash,
      ]);
      crashPoint('relay.before-mined');
    });
    crashPoint('relay.after-mined');
    this.parts.log.info({ tx: txid, withdrawals: batch.numbers }, 'a batch is mined');
  }

  /** Its block is gone: it waits again, or another has taken its place. */
  private async unmined({ txid }: BatchRow): Promise<void> {
    this.sent.delete(txid);
    await this.write(async (manager) => {
      await manager.query(
        `update transfer set release_tx = null, block_number = null, required = null where process = $1 and release_tx = $2 and state = 'submitted'`,
        [this.process, txid],
      );
      await manager.query('update bitcoin_batch set mined_hash = null where chain = $1 and txid = $2', [
        this.chain,
        txid,
      ]);
    });
    this.parts.log.warn({ tx: txid }, 'the block with a batch is gone: it is sent again');
  }

  /** Another transaction has used up its anchor. What it alone would have paid is to be paid by a batch that comes. */
  private async replaced(batch: BatchRow, forGood: boolean): Promise<void> {
    const at = new Date();
    this.sent.delete(batch.txid);
    await this.write(async (manager) => {
      const left: { id: string; signed: boolean }[] = await manager.query(
        `select t.id, exists (select from proposal p where p.process = t.process and t.number = any(p.withdrawals) and p.id <> $4
           and (select count(*) from proposal_signature s where s.process = p.process and s.proposal = p.id) >= j.threshold) as signed
         from transfer t join projection j on j.process = t.process
         where t.process = $2 and t.number = any($3::bigint[]) and t.state in ('submitted', 'ready') and not exists (
           select from bitcoin_batch b left join bitcoin_coin c
             on c.chain = b.chain and c.txid = split_part(b.anchor, ':', 1) and c.vout::text = split_part(b.anchor, ':', 2)
           where b.chain = $1 and b.process = t.process and b.numbers @> array[t.number] and b.raw is not null
             and (c.spent_by = b.txid or b.state = 'open' and c.spent_by is null and b.txid <> $5))`,
        [this.chain, this.process, batch.numbers, batch.proposal, batch.txid],
      );
      const of = (signed: boolean): string[] => left.filter((l) => l.signed === signed).map((l) => l.id);
      await this.parts.store.move(manager, of(true), ['submitted'], 'ready', at);
      await this.parts.store.move(manager, of(false), ['submitted', 'ready'], 'queued', at);
      if (forGood)
        await manager.query(`update bitcoin_batch set state = 'superseded' where chain = $1 and txid = $2`, [
          this.chain,
          batch.txid,
        ]);
    });
  }

  private async over(batch: Outcome, height: number): Promise<void> {
    if ((batch.spent_height ?? Number.POSITIVE_INFINITY) > height) return;
    this.sent.delete(batch.txid);
    await this.parts.database.query(`update bitcoin_batch set state = 'done' where chain = $1 and txid = $2`, [
      this.chain,
      batch.txid,
    ]);
  }

  // --- sending

  /** Sends what is signed, and again from time to time: nodes forget. */
  private async send(batch: BatchRow): Promise<void> {
    const { txid, raw, sent_at: before } = batch;
    if (raw === null || Date.now() - (this.sent.get(txid) ?? 0) < this.parts.stuckMs) return;
    if (before === null) {
      const { accepted, reasons } = await this.pool.test(raw);
      if (accepted === 0) return this.refused(batch, reasons);
      await this.submitted(batch);
      crashPoint('relay.after-sign');
    }
    const { accepted, reasons } = await this.pool.send(txid, raw);
    crashPoint('relay.after-broadcast');
    if (accepted === 0) return this.refused(batch, reasons);
    if (!this.sent.has(txid)) this.parts.log.info({ tx: txid, withdrawals: batch.numbers }, 'a batch is sent');
    this.sent.set(txid, Date.now());
    await this.write((manager) => this.wait(manager, batch, null));
  }

  private async submitted(batch: BatchRow): Promise<void> {
    const at = new Date();
    await this.write(async (manager) => {
      const { txid, proposal, numbers, fee_rate: feeRate } = batch;
      const payees = await this.payees(manager, batch);
      const steps = payees.map(([transfer, fee]) => ({
        transfer,
        key: `submitted ${txid}`,
        at,
        kind: 'submitted',
        proof: { tx: txid, proposal, batch: numbers.length, fee, feeRate },
      }));
      await this.parts.store.addSteps(manager, steps);
      const ids = payees.map(([id]) => id);
      await this.parts.store.move(manager, ids, ['queued', 'signing', 'ready'], 'submitted', at);
      await manager.query('update bitcoin_batch set sent_at = $3 where chain = $1 and txid = $2', [
        this.chain,
        txid,
        at,
      ]);
    });
  }

  private async refused(batch: BatchRow, reasons: readonly string[]): Promise<void> {
    this.sent.set(batch.txid, Date.now());
    this.parts.log.warn({ tx: batch.txid, reasons }, 'no node takes a batch now; it is offered again');
    const why = reasons.some((reason) => TOO_LITTLE.test(reason)) ? 'fee-too-low' : 'relayer';
    await this.write((manager) => this.wait(manager, batch, why));
  }

  private async wait(manager: EntityManager, { numbers }: BatchRow, why: string | null): Promise<void> {
    await manager.query(
      `update transfer set waits = $3 where process = $1 and number = any($2::bigint[]) and state in ('ready', 'submitted') and waits is distinct from $3`,
      [this.process, numbers, why],
    );
  }

  /** Of what has enough signatures on AO but none that can be put together, says so. */
  private async explain(): Promise<void> {
    await this.parts.database.query(
      `update transfer t set waits = 'signatures' where t.process = $2 and t.state = 'ready' and t.waits is null and not exists (
         select from bitcoin_batch b where b.chain = $1 and b.process = t.process and t.number = any(b.numbers) and b.raw is not null and b.state = 'open')`,
      [this.chain, this.process],
    );
  }

  /** Of what nobody proposes to pay, says where it is too little for what that costs. */
  private async judge(): Promise<void> {
    const waiting: unknown[] = await this.parts.database.query(
      `select from transfer where process = $1 and state = 'queued' limit 1`,
      [this.process],
    );
    const least = waiting.length > 0 ? await this.cost.least() : null;
    if (least === null) return;
    await this.parts.database.query(
      `update transfer t set waits = j.why
       from (select id, case when max_fee < $2 or amount < $3 then 'fee-too-low' end as why from transfer where process = $1 and state = 'queued') j
       where t.id = j.id and t.state = 'queued' and t.waits is distinct from j.why`,
      [this.process, String(least), String(least + LEAST_DUST)],
    );
  }

  // --- writing

  private async write(work: (manager: EntityManager) => Promise<void>): Promise<void> {
    await this.parts.store.transaction(work);
    this.parts.store.announce();
  }

  /** Ids of the withdrawals a batch pays, each with its share of the fee. */
  private async payees(manager: EntityManager, { numbers, fees }: BatchRow): Promise<[id: string, fee: string][]> {
    const ids = await this.parts.store.withdrawalIds(manager, this.process, numbers.map(BigInt));
    return numbers.flatMap((number, i) => {
      const id = ids.get(number);
      return id === undefined ? [] : [[id, fees[i] ?? '0'] as [string, string]];
    });
  }
}

/** Of those over the same anchor the one that pays most for its way, as they came: the others only stand in for it. */
function dearest(open: readonly BatchRow[]): BatchRow[] {
  const best = new Map<string, BatchRow>();
  for (const batch of open) {
    const other = best.get(batch.anchor);
    if (batch.raw !== null && (!other || BigInt(batch.fee_rate) > BigInt(other.fee_rate)))
      best.set(batch.anchor, batch);
  }
  return open.filter((batch) => best.get(batch.anchor) === batch);
}
