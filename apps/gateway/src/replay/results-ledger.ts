/**
 * What evaluating came to, written down and held against what the seals commit to: the chain of each process' results must be the sealed
 * one at the end of each range.
 */
import { NO_RESULTS, SettlementFinding, withHash, type ReadBundle } from '@isthmus/arweave';
import type { Outcome } from '@isthmus/ao';
import { copyInto, CopyRows } from '@isthmus/store';
import { hash } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';

/** Bytes of results that are written together. */
const COPY_BYTES = 4 * 1024 * 1024;
const RESULT = ['process', 'nonce', 'message_id', 'outcome', 'failed'];

/** The end of a range whose results a seal commits to. */
interface Expected {
  from: number;
  to: number;
  results: string;
  bundle: number;
  tx: string;
}

interface Chain {
  /** Last slot written down; -1 before the first. */
  at: number;
  /** r(at) */
  results: Buffer;
  expected: Expected[];
}

export class ResultsLedger {
  private readonly chains = new Map<string, Chain>();
  private rows = new CopyRows();
  private writing: Promise<void> = Promise.resolve();
  /** Results written down. */
  count = 0;

  private constructor(private readonly runner: QueryRunner) {}

  static async open(database: DataSource): Promise<ResultsLedger> {
    const runner = database.createQueryRunner();
    await runner.query('set synchronous_commit = off');
    return new ResultsLedger(runner);
  }

  /** Notes what a bundle commits to, before any of its slots is evaluated. */
  expect({ seal, tx, ranges }: Pick<ReadBundle, 'seal' | 'tx' | 'ranges'>): void {
    for (const { process, from, to, results } of ranges)
      if (results !== null) this.chain(process).expected.push({ from, to, results, bundle: seal.sequence, tx });
  }

  /**
   * Begins the chain of a process after this slot, where a checkpoint says what it is. What was expected before is taken for granted.
   * @throws SettlementFinding `checkpoint-differs` when a seal says something else of this very slot
   */
  begin(process: string, at: number, results: string): void {
    const chain = this.chain(process);
    const here = chain.expected.find(({ to }) => to === at);
    if (here && here.results !== results)
      throw new SettlementFinding(
        'checkpoint-differs',
        `The checkpoint of ${process} after slot ${at} has the results ${results}; the seal says ${here.results}.`,
        { bundle: here.bundle, tx: here.tx, process, slot: at },
      );
    chain.expected = chain.expected.filter(({ to }) => to > at);
    Object.assign(chain, { at, results: Buffer.from(results, 'base64url') });
  }

  /** Takes the outcomes of the next slots of a process. @throws SettlementFinding `results-differ` */
  async take(process: string, first: number, outcomes: readonly Outcome[], messages: readonly string[]): Promise<void> {
    const chain = this.chain(process);
    if (first !== chain.at + 1) throw new Error(`Slot ${first} of ${process} came after slot ${chain.at}.`);
    for (const [i, { text, failed }] of outcomes.entries()) {
      chain.at += 1;
      chain.results = withHash(chain.results, hash('sha256', text, 'buffer'));
      this.rows
        .row(RESULT.length)
        .text(process)
        .bigint(chain.at)
        .text(messages[i] ?? '')
        .raw(text)
        .boolean(failed);
      if (chain.expected[0]?.to === chain.at) compare(process, chain, chain.expected.shift() as Expected);
    }
    this.count += outcomes.length;
    if (this.rows.size > COPY_BYTES) await this.flush();
  }

  /** Last slot of a process that was evaluated; -1 for none. */
  at(process: string): number {
    return this.chains.get(process)?.at ?? -1;
  }

  /** Writes what is left, and how far each process has come. */
  async finish(): Promise<void> {
    await this.flush();
    await this.writing;
    const chains = [...this.chains].filter(([, { at }]) => at >= 0);
    await this.runner.query(
      'insert into progress (process, evaluated) select * from unnest($1::text[], $2::bigint[])',
      [chains.map(([process]) => process), chains.map(([, { at }]) => at)],
    );
  }

  async close(): Promise<void> {
    await this.writing.catch(() => undefined);
    await this.runner.release();
  }

  private chain(process: string): Chain {
    const chain = this.chains.get(process) ?? { at: -1, results: NO_RESULTS, expected: [] };
    this.chains.set(process, chain);
    return chain;
  }

  /** One statement at a time: the next rows gather while it is under way, and who is quicker waits. */
  private async flush(): Promise<void> {
    const rows = this.rows;
    this.rows = new CopyRows();
    const before = this.writing;
    this.writing = before.then(() => copyInto(this.runner, 'result', RESULT, rows));
    this.writing.catch(() => undefined); // met by the next one
    await before;
  }
}

function compare(process: string, { results }: Chain, { from, to, results: sealed, bundle, tx }: Expected): void {
  const computed = results.toString('base64url');
  if (computed === sealed) return;
  throw new SettlementFinding(
    'results-differ',
    `Evaluating slots ${from} to ${to} of ${process} gives the results ${computed}; the seal says ${sealed}.`,
    { bundle, tx, process, slot: from },
  );
}
