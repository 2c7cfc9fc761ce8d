/**
 * Batches that guardians have proposed, as they follow from the gateway's own facts. A proposal that is not what follows from them is passed over: what
 * its signatures are over is not known, so nothing could be made of them.
 */
import {
  BitcoinError,
  checkPartial,
  combine,
  decodeProposal,
  decodeSignatures,
  MAX_FEE_RATE,
  ProposalMismatch,
  rebuild,
  type Batch,
  type PartialSignatures,
  type VaultScript,
} from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import type { Hex } from 'viem';
import { openProposals, type KnownProposal } from '../../transfers/proposals.js';
import type { HomeParts } from '../home.js';
import { isChange, type Coins } from './coins.js';
import type { VaultSet, VaultSets } from './vault-sets.js';

/** Least satoshis per 1,000 virtual bytes that nodes relay. */
const LEAST_RATE = 1_000n;

/** A batch as it is kept. */
export interface BatchRow {
  txid: string;
  process: string;
  proposal: Hex;
  anchor: string;
  numbers: string[];
  fees: string[];
  fee_rate: string;
  /** Signed; null until enough good signatures are known. */
  raw: string | null;
  sent_at: Date | null;
  mined_hash: string | null;
}

export class Batches {
  /** What open proposals came to; gone with them. */
  private readonly built = new Map<Hex, Batch>();
  /** Bad signatures that were told of, by proposal and guardian. */
  private readonly told = new Set<string>();

  constructor(
    private readonly chain: string,
    private readonly process: string,
    private readonly parts: Pick<HomeParts, 'database' | 'log'>,
    private readonly sets: VaultSets,
    private readonly coins: Coins,
  ) {}

  private get database(): DataSource {
    return this.parts.database;
  }

  /** Takes in what was proposed and signed since. */
  async learn(): Promise<void> {
    await this.sets.refresh();
    const open = await openProposals(this.database, [this.process]);
    this.forget(open);
    for (const proposal of open) {
      const set = this.sets.ofEpoch(proposal.epoch);
      const batch = set && (this.built.get(proposal.id) ?? (await this.build(proposal, set)));
      if (!set || !batch) continue;
      if (!this.built.has(proposal.id)) {
        await this.keep(proposal, batch);
        this.built.set(proposal.id, batch);
      }
      await this.sign(proposal, batch, set);
    }
  }

  /** The batch a proposal is; null when another follows from what is known here, or nothing. */
  private async build(proposal: KnownProposal, set: VaultSet): Promise<Batch | null> {
    try {
      const proposed = decodeProposal(proposal);
      const [coins, payouts] = await Promise.all([
        this.coins.at(proposed.spends),
        this.coins.payouts(this.process, proposal.withdrawals),
      ]);
      if (payouts.length !== proposal.withdrawals.length) return null;
      const spent = [...coins.values()].reduce((sum, { value }) => sum + value, 0n);
      const lift = await this.liftOf(proposal.anchor);
      const facts = {
        vault: set.keys,
        coins,
        payouts,
        rates: { least: LEAST_RATE, most: MAX_FEE_RATE },
        // What the vault may spend on itself the guardians judge, who sign it.
        reserve: spent,
        ...(lift ? { lift } : {}),
      };
      return firstThat(this.changeScripts(set), (changeTo) => rebuild(proposed, { ...facts, changeTo }));
    } catch (error) {
      // Perhaps of coins that are not seen here yet: looked at again in the next round.
      if (error instanceof ProposalMismatch || error instanceof BitcoinError) return null;
      throw error;
    }
  }

  /** Where change may go: to the set's own vault, or, when it hands the vault over, to that of the next. */
  private changeScripts(set: VaultSet): VaultScript[] {
    const next = this.sets.ofEpoch(set.set.epoch + 1n);
    return next ? [set.lock, next.lock] : [set.lock];
  }

  /** The batch whose change this is, when it is not mined: what may be paid for as well. */
  private async liftOf(anchor: string): Promise<{ vsize: number; fee: bigint } | null> {
    const [row]: { vsize: number; fee: string }[] = await this.database.query(
      `select vsize, fee from bitcoin_batch b where chain = $1 and ${isChange('$2::text', 'txid')}
       and not exists (select from bitcoin_coin c where c.chain = b.chain and c.spent_by = b.txid)`,
      [this.chain, anchor],
    );
    return row ? { vsize: row.vsize, fee: BigInt(row.fee) } : null;
  }

  private async keep({ id, anchor }: KnownProposal, batch: Batch): Promise<void> {
    const rate = (batch.fee * 1_000n) / BigInt(batch.vsize);
    await this.database.query(
      `insert into bitcoin_batch (chain, txid, process, proposal, anchor, numbers, fees, fee, vsize, fee_rate, change_script, change_value)
       values ($1, $2, $3, $4, $5, $6::bigint[], $7::numeric[], $8, $9, $10, $11, $12) on conflict do nothing`,
      [
        this.chain,
        batch.txid,
        this.process,
        id,
        anchor,
        batch.payouts.map((p) => String(p.number)),
        batch.payouts.map((p) => String(p.fee)),
        String(batch.fee),
        batch.vsize,
        String(rate),
        Buffer.from(batch.change.lock.script).toString('hex'),
        String(batch.change.value),
      ],
    );
  }

  /** Puts the transaction together once enough guardians have signed it: a liar's garbage is passed over. */
  private async sign(proposal: KnownProposal, batch: Batch, { set }: VaultSet): Promise<void> {
    if (proposal.signatures.length < set.threshold) return;
    const [row]: { raw: string | null }[] = await this.database.query(
      'select raw from bitcoin_batch where chain = $1 and txid = $2',
      [this.chain, batch.txid],
    );
    if (row?.raw !== null) return;
    const good = proposal.signatures.flatMap(({ guardian, signatures }) => {
      const key = set.keys[set.guardians.indexOf(guardian)];
      const partial = key === undefined ? null : goodPartial(batch, signatures, key);
      if (!partial) this.tell(proposal.id, guardian);
      return partial ?? [];
    });
    if (good.length < set.threshold) return;
    const raw = combine(batch, good.slice(0, set.threshold));
    await this.database.query('update bitcoin_batch set raw = $3 where chain = $1 and txid = $2 and raw is null', [
      this.chain,
      batch.txid,
      raw,
    ]);
  }

  private tell(proposal: Hex, guardian: Hex): void {
    const key = `${proposal} ${guardian}`;
    if (this.told.has(key)) return;
    this.told.add(key);
    this.parts.log.warn({ proposal, guardian }, 'signatures of a batch are not good, and are passed over');
  }

  private forget(open: readonly KnownProposal[]): void {
    const ids = new Set(open.map(({ id }) => id));
    for (const id of this.built.keys()) if (!ids.has(id)) this.built.delete(id);
    for (const key of this.told) if (!ids.has(key.slice(0, key.indexOf(' ')) as Hex)) this.told.delete(key);
  }
}

function goodPartial(batch: Batch, text: string, key: string): PartialSignatures | null {
  try {
    const partial = decodeSignatures(text, key);
    checkPartial(batch, partial);
    return partial;
  } catch (error) {
    if (error instanceof BitcoinError || error instanceof ProposalMismatch) return null;
    throw error;
  }
}

/** What the first of these gives that is no mismatch. @throws the last mismatch */
function firstThat<T, R>(all: readonly T[], attempt: (one: T) => R): R {
  let failed: unknown;
  for (const one of all) {
    try {
      return attempt(one);
    } catch (error) {
      if (!(error instanceof ProposalMismatch)) throw error;
      failed = error;
    }
  }
  throw failed;
}
