/**
 * Solana's JSON-RPC over several sources. A slot is final when as many as must agree hold it so; about what is final only those are heard
 * that have come as far. Listings are asked for between two named signatures, so that honest sources give the same whatever has come since.
 */
import { isBase58, solanaChain } from '@isthmus/bridge';
import { AgreementLost, RpcError, SourcePool, type Ask, type Source, type SourceOptions } from '../sources.js';
import type { Failure } from './release.js';
import {
  addressOf,
  array,
  contentOf,
  object,
  readTransaction,
  signatureOf,
  whole,
  type ChainTransaction,
} from './transaction.js';

export interface SolanaPoolOptions extends SourceOptions {
  /** CAIP-2: the beginning of the genesis hash, 187 bits of it. */
  chain: string;
}

/** A line of an address' history. */
export interface Listed {
  signature: string;
  slot: number;
  failed: boolean;
}

/** What is at an address. */
export interface ChainAccount {
  lamports: bigint;
  owner: string;
  data: Buffer;
  executable: boolean;
}

/** From first sight to finality. */
const COMMITMENTS = ['processed', 'confirmed', 'finalized'] as const;

/** Where a transaction stands. */
export interface CommitmentStatus {
  commitment: (typeof COMMITMENTS)[number];
  slot: number;
  /** Blocks on top; null from finality on. */
  confirmations: number | null;
  failed: boolean;
}

interface SolanaSource extends Source {
  /** Slot it last said is final. */
  final: number;
}

/** Signatures in one answer, as validators allow. */
export const PAGE = 1_000;
/** Pages of signatures above the agreed final slot that are looked through: sources are seconds apart. */
const MAX_AHEAD = 5;
/** A page of 1,000 with memos. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** Transactions asked for at once. Each is below 64 KiB as JSON, most are of 4. */
export const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 16 * 1024 * 1024;
/** Accounts in one answer, as validators allow. */
export const MAX_ACCOUNTS = 100;
/** Slots an answer may be above the final slot that was agreed before it: 400 seconds, for a round that takes long. */
const MAX_APART = 1_000;
/** Letters of a cluster's refusal that are told on. */
const MAX_REFUSAL = 200;

export class SolanaPool extends SourcePool<SolanaSource> {
  /** Highest slot that was agreed to be final. */
  private final = 0;

  /** @throws Error when `agreement` cannot be met, or one source is given twice */
  constructor(private readonly options: SolanaPoolOptions) {
    super(options, (source) => ({ ...source, final: 0 }));
  }

  /** The newest slot that is final for as many sources as must agree. @throws AgreementLost */
  async finalized(): Promise<number> {
    const { good, bad } = await this.each(
      this.sources,
      async (source, ask) => {
        const slot = whole(await ask('getSlot', [{ commitment: 'finalized' }]), 'a slot');
        if (slot < source.final) throw new RpcError('it went back before what it held final');
        source.final = slot;
        return slot;
      },
      this.whenEnough,
    );
    const slot = good.toSorted((a, b) => b - a)[this.agreement - 1];
    if (slot === undefined) throw new AgreementLost('the finalized slot', good.length, this.agreement, bad);
    this.final = Math.max(this.final, slot);
    return slot;
  }

  /** The newest of an address' signatures up to a final slot, after `until`; null when there is none. @throws AgreementLost */
  newest(address: string, until: string | null, slot: number): Promise<Listed | null> {
    return this.agreed(
      `the newest transaction of ${address}`,
      this.heardAt(slot),
      async (ask) => {
        let before: string | null = null;
        for (let i = 0; i < MAX_AHEAD; i += 1) {
          const page: Listed[] = await readPage(ask, address, { before, until, limit: PAGE }, slot);
          const found = page.find((one) => one.slot <= slot);
          if (found !== undefined) return found;
          if (page.length < PAGE) return null;
          before = page.at(-1)?.signature ?? null;
        }
        throw new RpcError('it is too far ahead of the others');
      },
      JSON.stringify,
    );
  }

  /** Signatures of an address between two of them, both excluded, newest first, at most 1,000. @throws AgreementLost */
  page(address: string, before: string, until: string | null): Promise<Listed[]> {
    return this.agreed(
      `transactions of ${address}`,
      this.heardAt(this.final),
      (ask) => readPage(ask, address, { before, until, limit: PAGE }, this.final),
      JSON.stringify,
    );
  }

  /** Final transactions, each as it was listed; one that is listed and not given makes it no answer. @throws AgreementLost */
  transactions(listed: readonly Listed[]): Promise<ChainTransaction[]> {
    const options = { commitment: 'finalized', encoding: 'base64', maxSupportedTransactionVersion: 0 };
    return this.agreed(
      `${listed.length} transactions from ${listed[0]?.signature ?? '-'}`,
      this.heardAt(this.final),
      async (ask) => {
        const given = await ask.all(
          'getTransaction',
          listed.map(({ signature }) => [signature, options]),
          MAX_BATCH_BYTES,
        );
        return listed.map(({ signature, slot, failed }, i) => {
          const transaction = readTransaction(signature, given[i]);
          if (transaction.slot !== slot || transaction.failed !== failed)
            throw new RpcError(`it lists transaction ${signature} differently from what it gives`);
          return transaction;
        });
      },
      (transactions) => transactions.map(contentOf).join('\n'),
    );
  }

  /** The slot a transaction is final in; null when it is not. @throws AgreementLost */
  finalSlot(signature: string): Promise<number | null> {
    return this.agreed(
      `the status of ${signature}`,
      this.heardAt(this.final),
      async (ask) => {
        const { value } = object(
          await ask('getSignatureStatuses', [[signature], { searchTransactionHistory: true }]),
          'statuses',
        );
        const [status] = array(value, 'statuses');
        if (status === null || status === undefined) return null;
        const { slot, confirmationStatus } = object(status, 'a status');
        return confirmationStatus === 'finalized' ? whole(slot, 'a slot') : null;
      },
      JSON.stringify,
    );
  }

  /** What is at some addresses in final state; sources that are a moment apart may not agree, and are asked again. @throws AgreementLost */
  async accounts(addresses: readonly string[]): Promise<(ChainAccount | null)[]> {
    return (await this.accountsAt(addresses)).accounts;
  }

  /**
   * The same with the newest slot at which one of those who agree read it: what made it so had happened by then. Who names a slot that cannot be
   * final yet gives no answer: nobody's history would come that far. @throws AgreementLost
   */
  async accountsAt(addresses: readonly string[]): Promise<{ accounts: (ChainAccount | null)[]; slot: number }> {
    if (addresses.length > MAX_ACCOUNTS) throw new Error(`At most ${MAX_ACCOUNTS} accounts are read at once.`);
    const read: { content: string; slot: number }[] = [];
    const accounts = await this.agreed(
      `${addresses.length} accounts`,
      this.heardAt(this.final),
      async (ask) => {
        const options = { commitment: 'finalized', encoding: 'base64', minContextSlot: this.final };
        const answer = object(await ask('getMultipleAccounts', [addresses, options], MAX_BATCH_BYTES), 'accounts');
        const found = array(answer['value'], 'accounts').map(readAccount);
        if (found.length !== addresses.length) throw new RpcError('it gives other accounts');
        const slot = whole(object(answer['context'], 'where accounts were read')['slot'], 'a slot');
        if (this.final > 0 && slot > this.final + MAX_APART)
          throw new RpcError(`it reads accounts at slot ${slot}, far above what is final`);
        read.push({ content: accountsText(found), slot });
        return found;
      },
      accountsText,
    );
    const content = accountsText(accounts);
    return { accounts, slot: Math.max(...read.filter((r) => r.content === content).map((r) => r.slot)) };
  }

  /**
   * An address' newest transactions that are confirmed, oldest first, at most `limit` and none up to `until`, with what those did that are not
   * `known`; by one source that answers. For showing: a fork may drop them. @throws AgreementLost when none answers
   */
  async recent(
    address: string,
    { until, limit, known }: { until: string | null; limit: number; known: ReadonlySet<string> },
  ): Promise<{ listed: Listed[]; transactions: ChainTransaction[] }> {
    const { good, bad } = await this.each(
      this.sources,
      async (_, ask) => {
        const commitment = 'confirmed';
        const listed = await readPage(ask, address, { before: null, until, limit, commitment }, 0);
        const wanted = listed.filter((one) => !one.failed && !known.has(one.signature));
        const transactions: ChainTransaction[] = [];
        for (let i = 0; i < wanted.length; i += MAX_BATCH) {
          const some = wanted.slice(i, i + MAX_BATCH);
          const options = { commitment, encoding: 'base64', maxSupportedTransactionVersion: 0 };
          const given = await ask.all(
            'getTransaction',
            some.map(({ signature }) => [signature, options]),
            MAX_BATCH_BYTES,
          );
          // Null: dropped since it was listed.
          for (const [at, { signature }] of some.entries())
            if (given[at] !== null) transactions.push(readTransaction(signature, given[at]));
        }
        return { listed: listed.toReversed(), transactions: transactions.toReversed() };
      },
      (given) => (given.length > 0 ? 'decided' : 'open'),
    );
    if (good[0] === undefined) throw new AgreementLost(`what happened lately to ${address}`, 0, 1, bad);
    return good[0];
  }

  /** How far a transaction has come by now, from processed on, by the one source that has seen it come furthest; null when none has seen it. */
  async commitmentOf(signature: string): Promise<CommitmentStatus | null> {
    const { good, bad } = await this.each(
      this.sources,
      async (_, ask) => {
        const asked = [[signature], { searchTransactionHistory: true }];
        const { value } = object(await ask('getSignatureStatuses', asked), 'statuses');
        const [status] = array(value, 'statuses');
        if (status === null || status === undefined) return null;
        const { slot, confirmations, confirmationStatus, err } = object(status, 'a status');
        const commitment = COMMITMENTS.find((c) => c === confirmationStatus);
        if (commitment === undefined) throw new RpcError('it gives something else as a status');
        return {
          commitment,
          slot: whole(slot, 'a slot'),
          confirmations: confirmations === null ? null : whole(confirmations, 'confirmations'),
          failed: err !== null,
        };
      },
      this.whenEnough,
    );
    if (good.length === 0) throw new AgreementLost(`the status of ${signature}`, 0, 1, bad);
    const rank = (status: CommitmentStatus | null): number => (status ? COMMITMENTS.indexOf(status.commitment) : -1);
    return good.reduce((best, one) => (rank(one) > rank(best) ? one : best), null);
  }

  /** A recent blockhash, for a transaction somebody is to sign soon, by one source that answers. @throws AgreementLost when none does */
  async blockhash(): Promise<string> {
    const { good, bad } = await this.each(
      this.sources,
      async (_, ask) => {
        const { value } = object(await ask('getLatestBlockhash', [{ commitment: 'confirmed' }]), 'a blockhash');
        return addressOf(object(value, 'a blockhash')['blockhash']);
      },
      (given) => (given.length > 0 ? 'decided' : 'open'),
    );
    if (good[0] === undefined) throw new AgreementLost('a recent blockhash', 0, 1, bad);
    return good[0];
  }

  /** Why a signed transaction would fail now, in the cluster's words; null when it would do what it says. @throws AgreementLost when no source tries it */
  async refusalOf(wire: Uint8Array): Promise<string | null> {
    const text = Buffer.from(wire).toString('base64');
    const options = { encoding: 'base64', sigVerify: true, commitment: 'confirmed' };
    const { good, bad } = await this.each(
      this.sources,
      async (_, ask) => {
        const { value } = object(await ask('simulateTransaction', [text, options]), 'a simulation');
        const { err } = object(value, 'a simulation');
        return err === null ? null : JSON.stringify(err).slice(0, MAX_REFUSAL);
      },
      (given) => (given.length > 0 ? 'decided' : 'open'),
    );
    if (good[0] === undefined) throw new AgreementLost('a simulation', 0, 1, bad);
    return good[0];
  }

  /** Why a message that nobody has signed yet would fail as final state is; null when it would do what it says. @throws AgreementLost */
  failureOf(message: Uint8Array): Promise<Failure | null> {
    const signers = message[0] ?? 0;
    const wire = Buffer.concat([Buffer.of(signers), Buffer.alloc(64 * signers), message]).toString('base64');
    const options = { encoding: 'base64', sigVerify: false, commitment: 'finalized', minContextSlot: this.final };
    return this.agreed(
      'a trial of a transaction',
      this.heardAt(this.final),
      async (ask) => {
        const { value } = object(await ask('simulateTransaction', [wire, options]), 'a simulation');
        const { err } = object(value, 'a simulation');
        return err === null ? null : failureIn(err);
      },
      JSON.stringify,
    );
  }

  /** Has every source broadcast a transaction; says what those that took none said. @throws AgreementLost when none took it */
  async send(wire: Uint8Array): Promise<string[]> {
    const text = Buffer.from(wire).toString('base64');
    const options = { encoding: 'base64', skipPreflight: false, preflightCommitment: 'confirmed', maxRetries: 5 };
    const { good, bad } = await this.each(
      this.sources,
      (_, ask) => ask('sendTransaction', [text, options]),
      () => 'open',
    );
    if (good.length === 0) throw new AgreementLost('a transaction to send', 0, 1, bad);
    return bad;
  }

  /** What transactions that write these accounts paid lately, micro-lamports a compute unit, by each source that answers: none need agree. */
  async priorityFees(addresses: readonly string[]): Promise<number[][]> {
    const { good } = await this.each(
      this.sources,
      async (_, ask) =>
        array(await ask('getRecentPrioritizationFees', [addresses]), 'fees').map((one) =>
          whole(object(one, 'a fee')['prioritizationFee'], 'a fee'),
        ),
      (given) => (given.length > 0 ? 'enough' : 'open'),
    );
    return good;
  }

  protected async identify(ask: Ask): Promise<void> {
    const hash = await ask('getGenesisHash', []);
    if (!isBase58(hash, 32) || solanaChain(hash) !== this.options.chain)
      throw new RpcError(`it serves another cluster than ${this.options.chain}`);
  }

  /** About what is final only those count that have come as far. */
  private heardAt(slot: number): readonly SolanaSource[] {
    return this.sources.filter((s) => s.final >= slot);
  }
}

/** A validator's `TransactionError`. */
function failureIn(error: unknown): Failure {
  const text = JSON.stringify(error).slice(0, MAX_REFUSAL);
  if (typeof error !== 'object' || error === null) return { other: text };
  if ('InstructionError' in error)
    return { instruction: whole(array(error.InstructionError, 'an error')[0], 'an instruction') };
  if ('InsufficientFundsForRent' in error)
    return { account: whole(object(error.InsufficientFundsForRent, 'an error')['account_index'], 'an account') };
  return { other: text };
}

async function readPage(
  ask: Ask,
  address: string,
  {
    before,
    until,
    limit,
    commitment = 'finalized',
  }: { before: string | null; until: string | null; limit: number; commitment?: 'confirmed' | 'finalized' },
  slot: number,
): Promise<Listed[]> {
  const options = {
    commitment,
    minContextSlot: slot,
    limit,
    ...(before === null ? {} : { before }),
    ...(until === null ? {} : { until }),
  };
  const page = array(await ask('getSignaturesForAddress', [address, options], MAX_PAGE_BYTES), 'signatures').map(
    (one) => {
      const line = object(one, 'a listed transaction');
      return {
        signature: signatureOf(line['signature']),
        slot: whole(line['slot'], 'a slot'),
        failed: line['err'] !== null,
      };
    },
  );
  if (page.length > limit) throw new RpcError('it lists more than it was asked for');
  if (page.some((one, i) => one.slot > (page[i - 1]?.slot ?? Infinity))) throw new RpcError('its list is out of order');
  if (new Set(page.map((one) => one.signature)).size < page.length) throw new RpcError('it lists a transaction twice');
  return page;
}

/** Equal for equal accounts. */
function accountsText(accounts: readonly (ChainAccount | null)[]): string {
  return JSON.stringify(
    accounts.map((a) => a && [a.lamports.toString(), a.owner, a.data.toString('base64'), a.executable]),
  );
}

function readAccount(value: unknown): ChainAccount | null {
  if (value === null) return null;
  const { lamports, owner, data, executable } = object(value, 'an account');
  const [text, encoding] = array(data, 'an account’s data');
  if (typeof text !== 'string' || encoding !== 'base64' || typeof executable !== 'boolean')
    throw new RpcError('it gives something else as an account');
  return {
    lamports: BigInt(whole(lamports, 'lamports')),
    owner: addressOf(owner),
    data: Buffer.from(text, 'base64'),
    executable,
  };
}
