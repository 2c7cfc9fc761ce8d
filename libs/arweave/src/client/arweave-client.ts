/** What Isthmus asks of an Arweave node or gateway. Nothing of it is believed by itself: who reads data checks it against hashes and signatures. */
import type { Tag } from '@isthmus/ao';
import { z } from 'zod';
import { ArweaveError } from './error.js';
import { HttpServer, MAX_SMALL } from './http.js';

const winston = z.string().regex(/^(0|[1-9][0-9]{0,30})$/);
const height = z.number().int().nonnegative();
const info = z.object({ height });
const status = z.object({
  block_height: height,
  block_indep_hash: z.string().max(200),
  number_of_confirmations: height,
});
const one = z.object({
  data: z.object({
    transaction: z
      .object({
        block: z.object({ height }).nullish(),
        bundledIn: z.object({ id: z.string().max(100) }).nullish(),
        tags: z.array(z.object({ name: z.string(), value: z.string() })),
      })
      .nullable(),
  }),
});

/** A transaction, or an item in a bundle, as a gateway's index shows it. */
export interface IndexedTransaction {
  /** Height of the block it is in; null while it is in none. */
  height: number | null;
  /** What carries it when it is an item. */
  bundledIn: string | null;
  tags: Tag[];
}

/** Where a transaction is: nowhere the gateway knows, waiting for a block, or in one. */
export type TransactionStatus =
  | { state: 'unknown' }
  | { state: 'pending' }
  | { state: 'mined'; height: number; confirmations: number };

const ONE = 'query ($id: ID!) { transaction(id: $id) { id block { height } bundledIn { id } tags { name value } } }';

/** @throws ArweaveError from each of its methods */
export class ArweaveClient {
  readonly server: HttpServer;

  constructor(url: string) {
    this.server = new HttpServer(url);
  }

  /** Height of the newest block. */
  async height(): Promise<number> {
    return this.read(info, await this.server.json('/info', MAX_SMALL)).height;
  }

  /** What a new transaction builds on; good for 50 blocks. */
  async anchor(): Promise<string> {
    const anchor = (await this.server.get('/tx_anchor', MAX_SMALL)).toString('utf8').trim();
    if (!/^[A-Za-z0-9_-]{43,64}$/.test(anchor)) throw this.server.malformed('no anchor');
    return anchor;
  }

  /** What keeping so many bytes costs now, in winston (10^12 are one AR). */
  async price(bytes: number): Promise<bigint> {
    return this.winston(`/price/${bytes}`);
  }

  /** What a wallet has, in winston. */
  async balance(address: string): Promise<bigint> {
    return this.winston(`/wallet/${address}/balance`);
  }

  /** Sends a signed transaction; one that is known already is as good. */
  async postTransaction(json: string): Promise<void> {
    const answered = await this.server.post('/tx', json);
    if (answered.status !== 200 && answered.status !== 208) throw this.server.refusal(answered);
  }

  /** Sends a part of a transaction's data; one that is there already is as good. @throws ArweaveError `not-taken` too */
  async postChunk(json: string): Promise<void> {
    const answered = await this.server.post('/chunk', json);
    if (answered.status === 200 || answered.status === 208) return;
    const { message, status: said } = this.server.refusal(answered);
    throw new ArweaveError('not-taken', message, said);
  }

  /** Where a transaction is. Not for items in bundles. */
  async status(id: string): Promise<TransactionStatus> {
    const answered = await this.server.ask(`/tx/${id}/status`, MAX_SMALL);
    if (answered.status === 404) return { state: 'unknown' };
    if (answered.status === 202) return { state: 'pending' };
    if (answered.status !== 200) throw this.server.refusal(answered);
    const text = answered.body.toString('utf8').trim();
    if (/^(pending|accepted)$/i.test(text)) return { state: 'pending' };
    const read = this.read(status, this.server.parsed(answered.body));
    return { state: 'mined', height: read.block_height, confirmations: read.number_of_confirmations };
  }

  /** Where an item in a bundle, or a transaction, is, as the gateway's index has it. */
  async indexedStatus(id: string): Promise<TransactionStatus> {
    const found = await this.transaction(id);
    if (!found) return { state: 'unknown' };
    if (found.height === null) return { state: 'pending' };
    return {
      state: 'mined',
      height: found.height,
      confirmations: Math.max(0, (await this.height()) - found.height + 1),
    };
  }

  /** The data of a transaction, or of an item in a bundle; null when the gateway has none. */
  async data(id: string, maxBytes: number): Promise<Buffer | null> {
    const answered = await this.server.ask(`/raw/${id}`, maxBytes);
    // 202: it knows the transaction, whose data has not come yet.
    if (answered.status === 404 || answered.status === 202) return null;
    if (answered.status !== 200) throw this.server.refusal(answered);
    return answered.body;
  }

  /** What the gateway's index has of one transaction or item; null for nothing. */
  async transaction(id: string): Promise<IndexedTransaction | null> {
    const request = {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query: ONE, variables: { id } }),
    };
    const { transaction } = this.read(one, await this.server.json('/graphql', MAX_SMALL, request)).data;
    if (!transaction) return null;
    const { block, bundledIn, tags } = transaction;
    return { height: block?.height ?? null, bundledIn: bundledIn?.id ?? null, tags };
  }

  private async winston(path: string): Promise<bigint> {
    const text = (await this.server.get(path, MAX_SMALL)).toString('utf8').trim();
    return BigInt(this.read(winston, text));
  }

  private read<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
    const read = schema.safeParse(value);
    if (!read.success)
      throw this.server.malformed(`what has no ${read.error.issues[0]?.path.join('.') || 'known form'}`);
    return read.data;
  }
}
