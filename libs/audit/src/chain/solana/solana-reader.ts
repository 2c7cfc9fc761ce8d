/**
 * The auditor's own reading of vaults on Solana: every final transaction of each vault account, in order. That none is missing shows in the balance: each
 * must begin with what the one before it left.
 */
import { createHash } from 'node:crypto';
import type { ChainSink, ChainState, HomeChain, Position } from '../../domain/chain.js';
import { AuditError } from '../../domain/error.js';
import type { AssetPlace } from '../../domain/facts.js';
import { openRpc, Sources, type Ask } from '../sources.js';
import { list, object, text, transactionIn, whole } from './transaction.js';
import { handOn, heldIn, isSol } from './vault-history.js';

/** Signatures in one answer, as nodes allow. */
const PAGE = 1000;
/** Transactions of a vault that are listed at once: some hundred bytes each. */
const MAX_LISTED = 5_000_000;
/** Slots before the audited one that may have no block, and so no time. */
const MAX_SKIPPED = 100;

interface Listed {
  signature: string;
  slot: number;
  failed: boolean;
}

/** A vault, and how far it was read. */
interface Read {
  place: AssetPlace;
  last: Listed | null;
  balance: bigint;
}

/** Lamports that keep a token account: (128 + 165 bytes) for two years at 3,480. No payment of SOL can touch them. */
const RENT = 2_039_280n;

/** What a vault could pay out. */
function payable({ place, balance }: Read): bigint {
  if (!isSol(place)) return balance;
  return balance > RENT ? balance - RENT : 0n;
}

export class SolanaReader implements HomeChain {
  private readonly sources: Sources<Ask>;
  private readonly vaults: readonly Read[];

  constructor(rpcUrls: readonly string[], places: readonly AssetPlace[]) {
    this.sources = new Sources(rpcUrls, openRpc);
    this.vaults = places.map((place) => ({ place, last: null, balance: 0n }));
  }

  /** Payments name their withdrawals, deposits their recipients: the chain says all of itself. */
  learn(): void {}

  async final(): Promise<bigint> {
    await this.assertChain();
    const slots = await this.sources.each('which slot is final', async (ask) =>
      whole(await ask('getSlot', [{ commitment: 'finalized' }])),
    );
    return BigInt(Math.min(...slots));
  }

  async read(height: bigint, sink: ChainSink): Promise<Position> {
    await this.assertChain();
    for (const vault of this.vaults)
      for (const one of await this.listed(vault, Number(height))) await this.take(vault, one, sink);
    const newest = this.vaults.map(({ last }) => last?.signature ?? '-').join(' ');
    const hash = createHash('sha256').update(newest).digest('hex');
    return { height, hash, at: await this.timeAt(Number(height)) };
  }

  state(): Promise<ChainState> {
    const assets = new Map(
      this.vaults.map((vault) => [vault.place.address, { locked: null, balance: payable(vault), claimable: 0n }]),
    );
    return Promise.resolve({ paused: false, assets, hopeless: new Set() });
  }

  async times(blocks: readonly bigint[]): Promise<Map<bigint, number>> {
    const times = new Map<bigint, number>();
    for (const block of blocks) times.set(block, await this.timeAt(Number(block)));
    return times;
  }

  private async take(vault: Read, listed: Listed, sink: ChainSink): Promise<void> {
    vault.last = listed;
    if (listed.failed) return; // it moved nothing
    const { place } = vault;
    const { signature, slot } = listed;
    const config = { encoding: 'base64', commitment: 'finalized', maxSupportedTransactionVersion: 0 };
    const tx = await this.sources.same(`transaction ${signature}`, async (ask) => {
      const { instructions, holdings, ...rest } = transactionIn(
        signature,
        await ask('getTransaction', [signature, config]),
      );
      return { ...rest, instructions, holdings: [...holdings] };
    });
    const holding = tx.holdings.find(([account]) => account === place.vault)?.[1];
    if (!holding || tx.failed || tx.slot !== slot) return this.lookedUpOnly(tx.failed || tx.slot !== slot, signature);
    const [before, after] = heldIn(holding, place);
    if (before !== vault.balance)
      throw new AuditError(
        'incomplete',
        `${place.vault} held ${vault.balance} and transaction ${signature} begins with ${before}: one before it is missing.`,
      );
    vault.balance = after;
    handOn({ ...tx, holdings: new Map(tx.holdings) }, place, after - before, sink);
  }

  /** A transaction that only names the vault in a lookup table's making moves nothing of it. */
  private lookedUpOnly(isOther: boolean, signature: string): void {
    if (isOther)
      throw new AuditError('malformed', `A source lists transaction ${signature} otherwise than it gives it.`);
  }

  /** What is final of a vault's transactions and was not read, oldest first. */
  private async listed({ place, last }: Read, height: number): Promise<Listed[]> {
    const newest = await this.sources.same(`the transactions of ${place.vault}`, async (ask) => {
      const found: Listed[] = [];
      for (let before: string | undefined; ;) {
        const range = { limit: PAGE, commitment: 'finalized', ...(before ? { before } : {}) };
        const page = list(
          await ask('getSignaturesForAddress', [place.vault, { ...range, ...(last ? { until: last.signature } : {}) }]),
        ).map((one) => {
          const { signature, slot, err } = object(one);
          return { signature: text(signature), slot: whole(slot), failed: err !== null };
        });
        found.push(...page.filter(({ slot }) => slot <= height));
        if (page.length < PAGE) return found;
        if (found.length > MAX_LISTED)
          throw new AuditError('bad-request', `${place.vault} has more history than can be audited at once.`);
        before = page.at(-1)?.signature;
      }
    });
    return newest.toReversed();
  }

  /** Of a slot, or the newest block before it. Milliseconds. */
  private timeAt(slot: number): Promise<number> {
    return this.sources.same(`when slot ${slot} was`, async (ask) => {
      for (let at = slot; at >= 0 && at > slot - MAX_SKIPPED; at -= 1) {
        const time = await ask('getBlockTime', [at]).catch(() => null); // of a slot without a block nodes say an error
        if (time !== null) return whole(time) * 1000;
      }
      throw new AuditError('malformed', `A source knows no block near slot ${slot}.`);
    });
  }

  private async assertChain(): Promise<void> {
    const wanted = this.vaults[0]?.place.chain;
    const genesis = await this.sources.same('which chain it is', async (ask) => text(await ask('getGenesisHash', [])));
    if (`solana:${genesis.slice(0, 32)}` !== wanted)
      throw new AuditError(
        'bad-request',
        `The RPC sources are of solana:${genesis.slice(0, 32)}; the processes were spawned for ${wanted}.`,
      );
  }
}
