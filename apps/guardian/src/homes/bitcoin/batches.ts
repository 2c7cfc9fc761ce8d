/** Proposals as batches: built from this guardian's own coins, and checked for the signatures they have. */
import type { GuardianSet, OpenProposal, ProcessView } from '@isthmus/bridge';
import {
  changeOf,
  checkPartial,
  decodeProposal,
  decodeSignatures,
  depositScript,
  MAX_FEE_RATE,
  outpointOf,
  ProposalMismatch,
  rebuild,
  refundOwner,
  BitcoinError,
  vaultKeys,
  vaultScript,
  type Batch,
  type BitcoinNetwork,
  type Payout,
  type ProposedBatch,
  type VaultCoin,
  type VaultKeys,
  type VaultScript,
  hexOf,
} from '@isthmus/chains';
import type { CoinRow, ProposalRow, VaultRow } from './rows.js';
import type { BitcoinStore } from './store.js';

/** Batches remembered, and good signatures: of those that are open there are few. */
const MAX_KEPT = 1_000;
/** All satoshis there are: what M guardians have signed for may cost what it does. */
const ANY = 2_100_000_000_000_000n;

export class Batches {
  private readonly built = new Map<string, Batch>();
  private readonly good = new Set<string>();

  constructor(
    private readonly store: BitcoinStore,
    private readonly network: BitcoinNetwork,
    private readonly process: string,
  ) {}

  /** What a set's keys make; null when they make no vault: one is on no curve, or named twice, or they are too many. */
  lockOf({ keys, threshold }: Pick<GuardianSet, 'keys' | 'threshold'>): { keys: VaultKeys; lock: VaultScript } | null {
    try {
      const vault = vaultKeys(
        keys.map((key) => Buffer.from(key, 'hex')),
        threshold,
      );
      return { keys: vault, lock: vaultScript(vault, this.network) };
    } catch (error) {
      if (error instanceof BitcoinError) return null;
      throw error;
    }
  }

  rowOf({ keys, threshold }: Pick<GuardianSet, 'keys' | 'threshold'>): Omit<VaultRow, 'since'> | null {
    const made = this.lockOf({ keys, threshold });
    return made && { script: hexOf(made.lock.script), keys, threshold };
  }

  /** Keys and script of a vault that was kept. @throws Error for one that is none */
  vaultAt(script: string): { keys: VaultKeys; lock: VaultScript } {
    const row = this.store.vault(script);
    const made = row && this.lockOf(row);
    if (!made) throw new Error('The anchor is in no vault that is known.');
    return made;
  }

  /** Coins with what it takes to spend them. */
  async coins(rows: readonly CoinRow[]): Promise<VaultCoin[]> {
    const deposits = await this.store.addresses(rows.filter((r) => r.kind === 'deposit').map((r) => r.script));
    const addresses = new Map(deposits.map((a) => [a.script, a]));
    return rows.flatMap(({ txid, vout, value, script, vault, kind }): VaultCoin[] => {
      const held = this.store.vault(vault);
      if (!held) return [];
      const made = this.lockOf(held);
      if (!made) return [];
      const { keys, lock } = made;
      if (kind !== 'deposit') return [{ txid, vout, value, lock, deposit: false }];
      const address = addresses.get(script);
      if (!address) return [];
      const { recipient, tags, refund } = address.terms;
      const terms = {
        network: this.network,
        vault: keys,
        process: this.process,
        recipient,
        tags,
        refund: refundOwner(refund, this.network),
        refundAfter: address.refundAfter,
      };
      return [{ txid, vout, value, lock: depositScript(terms), deposit: true }];
    });
  }

  /** The batch M guardians have signed, or null. What it costs and spends is theirs to answer for; what it is, is built here. */
  async signedByEnough(
    row: ProposalRow,
    proposal: OpenProposal,
    { set, outgoing }: ProcessView,
    below: Batch | null,
  ): Promise<{ batch: Batch; feeRate: bigint } | null> {
    const by = [set, outgoing].find((s) => s?.epoch === proposal.epoch);
    if (!by || proposal.signatures.size < by.threshold) return null;
    const proposed = decodeProposal(row);
    const batch = this.built.get(row.txid) ?? (await this.build(row, proposed, by, below));
    if (!batch) return null;
    const signers = [...proposal.signatures].filter(([guardian, text]) => {
      const key = by.keys[by.guardians.indexOf(guardian)];
      return key !== undefined && this.isGood(batch, key, text);
    });
    return signers.length >= by.threshold ? { batch, feeRate: proposed.feeRate } : null;
  }

  private async build(
    { txid, payouts }: ProposalRow,
    proposed: ProposedBatch,
    set: GuardianSet,
    below: Batch | null,
  ): Promise<Batch | null> {
    const rows = await this.store.coinsAt(proposed.spends);
    const own = below ? [changeOf(below)] : [];
    const coins = new Map([...(await this.coins(rows)), ...own].map((c) => [outpointOf(c), c]));
    const changeTo = this.store.vault(hexOf(proposed.outputs[0]?.script ?? new Uint8Array()));
    const [spends, pays] = [this.lockOf(set), changeTo && this.lockOf(changeTo)];
    if (!spends || !pays) return null;
    const facts = {
      vault: spends.keys,
      changeTo: pays.lock,
      coins,
      payouts: payouts.map(payoutOf),
      rates: { least: 1_000n, most: MAX_FEE_RATE },
      reserve: ANY,
      ...(below ? { lift: { vsize: below.vsize, fee: below.fee } } : {}),
    };
    try {
      const batch = rebuild(proposed, facts);
      if (this.built.size >= MAX_KEPT) this.built.clear();
      this.built.set(txid, batch);
      return batch;
    } catch (error) {
      if (error instanceof ProposalMismatch) return null;
      throw error;
    }
  }

  private isGood(batch: Batch, key: string, text: string): boolean {
    const name = `${batch.txid} ${key} ${text}`;
    if (this.good.has(name)) return true;
    try {
      checkPartial(batch, decodeSignatures(text, key));
    } catch (error) {
      if (error instanceof ProposalMismatch || error instanceof BitcoinError) return false;
      throw error;
    }
    if (this.good.size >= MAX_KEPT) this.good.clear();
    this.good.add(name);
    return true;
  }
}

export const payoutOf = ({ number, script, amount, maxFee }: ProposalRow['payouts'][number]): Payout => ({
  number,
  script: Buffer.from(script, 'hex'),
  amount,
  maxFee,
});
