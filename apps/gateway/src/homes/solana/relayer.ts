/**
 * Submits releases that guardians have proposed and signed, pays the cluster and is repaid by the fee. It decides nothing: a proposal's nonce
 * lets it happen once, so several relayers, restarts and repeats do no harm. The signed transaction is stored before it is sent.
 */
import { solana } from '@isthmus/chains';
import type { DataSource } from 'typeorm';
import { crashPoint } from '../../crash-point.js';
import { openProposals, type KnownProposal } from '../../transfers/proposals.js';
import type { HomeParts } from '../home.js';
import type { SolanaAssetConfig } from './config.js';
import type { RelayerAccounts } from './relayer-accounts.js';
import { Submissions, type Submission } from './submissions.js';
import type { VaultIndex } from './vault-index.js';
import type { HeldVault, Vaults } from './vaults.js';

const {
  assemble,
  BadPlan,
  decodeProposal,
  nonceAddress,
  nonceValue,
  planMessage,
  planOf,
  signatureOfWire,
  verifyPart,
} = solana;

export interface RelayerParts extends Pick<HomeParts, 'database' | 'store' | 'log'> {
  chain: string;
  assets: readonly SolanaAssetConfig[];
  pool: solana.SolanaPool;
  vaults: Vaults;
  /** By asset id. */
  indexes: ReadonlyMap<string, Pick<VaultIndex, 'catchUp' | 'watchedTo'>>;
  relayer: solana.RelayerKey;
  /** How many nonces it keeps. */
  nonces: number;
  accounts: Pick<RelayerAccounts, 'prepare'>;
}

/** A proposal as a transaction. */
type Made = { plan: solana.VaultPlan } & ({ wire: Buffer } | { missing: 'signatures' });

export class Relayer {
  private readonly submissions: Submissions;
  /** The nonces it keeps. */
  private readonly own: ReadonlySet<string>;
  /** What keeps a proposal or a submission from going, as it was said last; of those that are open. */
  private readonly said = new Map<string, string>();

  constructor(private readonly parts: RelayerParts) {
    this.submissions = new Submissions(parts.database, parts.chain);
    const { nonces, relayer } = parts;
    this.own = new Set(Array.from({ length: nonces }, (_, i) => nonceAddress(relayer.address, i)));
  }

  /** One round: what became of what was sent, then what is ready; last the relayer's own accounts, so that one it cannot make holds up nothing. */
  async step(): Promise<void> {
    await this.settle();
    for (const asset of this.parts.assets) await this.submitAll(asset);
    await this.parts.accounts.prepare();
  }

  // --- what was sent

  private async settle(): Promise<void> {
    const open = await this.submissions.open();
    if (open.length === 0) return;
    const { values, slot } = await this.nonceValues(open.map((s) => s.nonce.account));
    // A history read as far as the nonces were has in it what used them up.
    const behind = new Set<string>();
    const processes = new Set(open.map((s) => s.process));
    for (const { id, process } of this.parts.assets.filter((a) => processes.has(a.process))) {
      const index = this.parts.indexes.get(id);
      await index?.catchUp();
      if ((index?.watchedTo ?? 0) < slot) behind.add(process);
    }
    for (const one of open) {
      const value = values.get(one.nonce.account);
      const payments = await this.submissions.paymentsOf(one.process, one.numbers);
      const paidBy = new Set(payments.values());
      if (one.numbers.length > 0 && payments.size === one.numbers.length)
        await this.end(one, paidBy.has(one.signature) ? 'final' : 'superseded');
      else if (value === one.nonce.value) await this.again(one);
      else if (value !== undefined && !behind.has(one.process))
        await this.end(one, one.numbers.length > 0 ? 'failed' : 'final');
    }
  }

  /** Sent until a source has seen it: a fork may drop it, a node may have lost it. */
  private async again(one: Submission): Promise<void> {
    const { pool, log } = this.parts;
    if ((await pool.commitmentOf(one.signature)) !== null) return;
    const refusal = await pool.refusalOf(one.wire);
    if (refusal !== null) {
      this.say(one.signature, refusal, { tx: one.signature }, 'a release would fail now; it is tried again');
      return;
    }
    await pool.send(one.wire);
    log.info({ tx: one.signature, withdrawals: one.numbers.map(String) }, 'a release is sent again');
  }

  private async end(one: Submission, state: 'final' | 'failed' | 'superseded'): Promise<void> {
    const { store, log } = this.parts;
    const at = new Date();
    await store.transaction(async (manager) => {
      await this.submissions.end(manager, one.signature, state);
      if (state !== 'failed') return;
      // It has used up its nonce and paid nobody: guardians propose anew.
      const ids = [...(await store.withdrawalIds(manager, one.process, one.numbers)).values()];
      const step = { key: `reverted ${one.signature}`, at, kind: 'reverted', proof: { tx: one.signature } };
      await store.addSteps(
        manager,
        ids.map((transfer) => ({ transfer, ...step })),
      );
      await store.move(manager, ids, ['submitted'], 'queued', at);
      crashPoint('relay.before-mined');
    });
    crashPoint('relay.after-mined');
    this.said.delete(one.signature);
    store.announce();
    log.info({ tx: one.signature, withdrawals: one.numbers.map(String), state }, 'a release transaction is over');
  }

  // --- what is ready

  private async submitAll(asset: SolanaAssetConfig): Promise<void> {
    const { database, relayer, vaults } = this.parts;
    const proposals = await openProposals(database, [asset.process]);
    const open = new Set<string>(proposals.map((p) => p.id));
    const sent = await this.submissions.sentAmong([...open]);
    const waiting = proposals.filter((p) => !sent.has(p.id));
    if (waiting.length === 0) return;
    const vault = await vaults.read(asset);
    const withdrawals = await withdrawalsOf(database, asset.process, waiting);
    const made = waiting.flatMap((proposal) => {
      const one = this.make(proposal, vault, withdrawals);
      return one && one.plan.relayer === relayer.address && this.isSound(one) ? [{ proposal, ...one }] : [];
    });
    if (made.length === 0) return;
    const { values } = await this.nonceValues(made.map((m) => m.plan.nonce.account));
    const isPaused = await pausedIn(database, asset.process);
    // The dearest first: of several over one nonce it is the one that goes.
    const best = made.toSorted((a, b) => Number(b.plan.price - a.plan.price));
    const gone = new Map((await this.submissions.open()).map((s) => [s.nonce.account, s.price]));
    for (const one of best) {
      const { proposal, plan } = one;
      if (values.get(plan.nonce.account) !== plan.nonce.value) continue; // used up: it can never be
      const before = gone.get(plan.nonce.account);
      if (before !== undefined && before >= plan.price) continue;
      if (isPaused) await this.wait(proposal, 'paused');
      else if (!('wire' in one)) await this.wait(proposal, 'signatures');
      else if (await this.submit(proposal, plan, one.wire)) gone.set(plan.nonce.account, plan.price);
    }
  }

  /** One guardian may name any account as a nonce, however large: only what M have signed is looked up beyond the relayer's own. */
  private isSound(one: Made): boolean {
    return 'wire' in one || this.own.has(one.plan.nonce.account);
  }

  /** Null for what is no proposal of this vault's. Signatures that are not good are passed over. */
  private make(
    proposal: KnownProposal,
    { vault, custody }: HeldVault,
    withdrawals: ReadonlyMap<bigint, { recipient: string; amount: bigint }>,
  ): Made | null {
    try {
      const facts = { vault, custody, process: proposal.process, withdrawals };
      const plan = planOf(decodeProposal(proposal), facts);
      const message = planMessage(plan);
      const parts = proposal.signatures.map((s) => s.signatures);
      const signers = new Set(parts.map((part) => verifyPart(plan, message, part)));
      if (!plan.signers.every((i) => signers.has(i))) return { plan, missing: 'signatures' };
      return { plan, wire: Buffer.from(assemble(plan, message, parts, this.parts.relayer.seed)) };
    } catch (error) {
      if (!(error instanceof BadPlan)) throw error;
      this.say(proposal.id, error.message, { proposal: proposal.id }, 'a proposal is no transaction of the vault');
      return null;
    }
  }

  private async submit(proposal: KnownProposal, plan: solana.VaultPlan, wire: Buffer): Promise<boolean> {
    const { pool, store, log } = this.parts;
    const refusal = await pool.refusalOf(wire);
    if (refusal !== null) {
      // A transaction that fails uses its nonce up: it is not sent.
      this.say(proposal.id, refusal, { proposal: proposal.id }, 'a signed release would fail now; it is tried again');
      await this.wait(proposal, 'relayer');
      return false;
    }
    const signature = signatureOfWire(wire);
    const numbers = [...proposal.withdrawals];
    const { process, id } = proposal;
    const one = { signature, process, proposal: id, nonce: plan.nonce, price: plan.price, numbers, wire };
    const at = new Date();
    const kept = await store.transaction(async (manager) => {
      if (!(await this.submissions.keep(manager, one, at))) return false;
      const ids = await store.withdrawalIds(manager, process, numbers);
      const fees = new Map('payouts' in plan ? plan.payouts.map((p) => [String(p.number), String(p.fee)]) : []);
      await store.addSteps(
        manager,
        [...ids].map(([number, transfer]) => ({
          transfer,
          key: `submitted ${signature}`,
          at,
          kind: 'submitted',
          proof: { tx: signature, fee: fees.get(number) ?? '0' },
        })),
      );
      await store.move(manager, [...ids.values()], ['queued', 'signing', 'ready'], 'submitted', at);
      return true;
    });
    if (!kept) return false;
    this.said.delete(id);
    store.announce();
    crashPoint('relay.after-sign');
    await pool.send(wire);
    crashPoint('relay.after-broadcast');
    log.info({ tx: signature, withdrawals: numbers.map(String) }, 'a release is sent');
    return true;
  }

  private async wait({ process, withdrawals }: KnownProposal, reason: string): Promise<void> {
    await this.parts.database.query(
      `update transfer set waits = $3, updated_at = now()
       where process = $1 and number = any($2::bigint[]) and state = 'ready' and waits is distinct from $3`,
      [process, withdrawals.map(String), reason],
    );
  }

  /** Values of nonces in final state, by account, and a slot by which they had them; of one that is none of this relayer's, what no value is. */
  private async nonceValues(accounts: readonly string[]): Promise<{ values: Map<string, string>; slot: number }> {
    const { pool, relayer } = this.parts;
    const each = [...new Set(accounts)];
    await pool.finalized();
    const values = new Map<string, string>();
    let slot = 0;
    for (let i = 0; i < each.length; i += solana.MAX_ACCOUNTS) {
      const some = each.slice(i, i + solana.MAX_ACCOUNTS);
      const read = await pool.accountsAt(some);
      slot = Math.max(slot, read.slot);
      for (const [at, account] of some.entries())
        values.set(account, nonceValue(read.accounts[at] ?? null, relayer.address) ?? '');
    }
    return { values, slot };
  }

  /** Once, until it is otherwise. */
  private say(about: string, what: string, place: Record<string, string>, message: string): void {
    if (this.said.get(about) === what) return;
    if (this.said.size >= MOST_SAID) this.said.clear();
    this.said.set(about, what);
    this.parts.log.warn({ ...place, why: what }, message);
  }
}

/** More than can be open at once. */
const MOST_SAID = 2_000;

/** What the proposals pay, of withdrawals that are not done. */
async function withdrawalsOf(
  database: DataSource,
  process: string,
  proposals: readonly KnownProposal[],
): Promise<Map<bigint, { recipient: string; amount: bigint }>> {
  const rows: { number: string; recipient: string; amount: string }[] = await database.query(
    `select number, recipient, amount from transfer
     where process = $1 and number = any($2::bigint[]) and state not in ('released', 'held')`,
    [process, [...new Set(proposals.flatMap((p) => p.withdrawals.map(String)))]],
  );
  return new Map(rows.map((r) => [BigInt(r.number), { recipient: r.recipient, amount: BigInt(r.amount) }]));
}

async function pausedIn(database: DataSource, process: string): Promise<boolean> {
  const rows: unknown[] = await database.query('select 1 from projection where process = $1 and paused', [process]);
  return rows.length > 0;
}
