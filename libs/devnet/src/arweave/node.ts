/** A local Arweave node: what it knows changes by events, and whoever made one is answered when it is on disk. */
import { hash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { parseItem, type Item } from '@isthmus/ao';
import { generateTransactionChunks, validatePath } from 'arweave/node/lib/merkle.js';
import { z } from 'zod';
import { Catalogue, type Entry } from './catalogue.js';
import { DataStore } from './data-store.js';
import { Refused } from '../refused.js';
import { Faults } from './faults.js';
import { Journal } from '../journal.js';
import {
  assertSigned,
  CHUNK_BYTES,
  dataKey,
  MAX_DATA_BYTES,
  parseTransaction,
  tagsOf,
  type Transaction,
} from './transaction.js';
import { isBundle, unbundle } from './unbundle.js';
import { Weave, type Block, type Chunk, type Held, type WeaveEvent } from './weave.js';

/** Longest merkle proof taken: of far more data than a transaction may have. */
const MAX_PATH_BYTES = 8192;
/** Most blocks mined or taken back at one call. */
export const MAX_BLOCKS_AT_ONCE = 1000;
/** All but the data of an item, at most: signature and key of RSA, target, anchor, and the most tags. */
const MAX_ITEM_HEAD = 2 + 512 + 512 + 33 + 33 + 16 + 16_384;

const decimal = z.string().regex(/^(0|[1-9][0-9]{0,15})$/);
const chunkShape = z.object({
  data_root: z.string(),
  data_size: decimal,
  data_path: z.string(),
  offset: decimal,
  chunk: z.string(),
});

export interface ForkOptions {
  /** Transactions of the branch that is gone are forgotten, instead of waiting again. */
  lose?: boolean;
  /** These are mined in the new branch's first block. */
  keep?: readonly string[];
}

type Note = (event: WeaveEvent) => void;

export class ArweaveNode {
  readonly catalogue = new Catalogue();
  readonly faults = new Faults();

  private constructor(
    readonly weave: Weave,
    private readonly journal: Journal,
    private readonly store: DataStore,
  ) {}

  /** Goes on from a folder, or begins one. @throws Error when it is damaged */
  static async open(dir: string): Promise<ArweaveNode> {
    await fs.promises.mkdir(dir, { recursive: true });
    const weave = new Weave();
    const journal = await Journal.open(path.join(dir, 'journal'), (entry) => {
      for (const event of entry as WeaveEvent[]) weave.apply(event); // what this class wrote, and whose checksum is right
    });
    const store = await DataStore.open(path.join(dir, 'data'), (name) => weave.keeps(name));
    const node = new ArweaveNode(weave, journal, store);
    for (const held of weave.txs.values()) {
      node.catalogue.addTransaction(held);
      await node.unpack(held);
    }
    if (weave.blocks.length === 0) await node.mine();
    return node;
  }

  /** All that was acknowledged is on disk already. */
  close(): Promise<void> {
    return this.journal.close();
  }

  /** Takes a transaction as `POST /tx` has it; its data with it, or chunk by chunk afterwards. @throws Refused */
  async post(json: unknown): Promise<Held> {
    const { tx, data } = parseTransaction(json);
    return this.take(tx, data);
  }

  /** Takes a transaction together with its data, which may be larger than fits a body. @throws Refused */
  async postWithData(json: unknown, data: Buffer): Promise<Held> {
    return this.take(parseTransaction(json).tx, data);
  }

  private async take(tx: Transaction, data: Buffer): Promise<Held> {
    this.weave.assertAcceptable(tx);
    await assertSigned(tx);
    const chunks = data.length > 0 ? await this.keep(dataKey(tx), tx.data_root, data) : [];
    await this.commit((note) => {
      this.weave.assertAcceptable(tx); // once more: others came in the meantime
      note({ kind: 'tx', tx });
      if (chunks.length > 0) note({ kind: 'chunks', name: dataKey(tx), chunks });
      this.catalogue.addTransaction(this.weave.txs.get(tx.id) as Held);
    });
    const held = this.weave.txs.get(tx.id) as Held;
    await this.unpack(held);
    return held;
  }

  /** Takes one chunk as `POST /chunk` has it. @throws Refused */
  async postChunk(json: unknown): Promise<void> {
    const read = chunkShape.safeParse(json);
    if (!read.success) throw new Refused(400, { error: 'invalid_json' });
    const { data_root: root, data_path: proof } = read.data;
    const [size, offset] = [Number(read.data.data_size), Number(read.data.offset)];
    const [bytes, proofBytes] = [read.data.chunk, proof].map((part) => Buffer.from(part, 'base64url')) as [
      Buffer,
      Buffer,
    ];
    const name = `${root}.${size}`;
    if (bytes.length > CHUNK_BYTES) throw new Refused(400, { error: 'chunk_too_big' });
    if (proofBytes.length > MAX_PATH_BYTES) throw new Refused(400, { error: 'data_path_too_big' });
    if (size > MAX_DATA_BYTES) throw new Refused(400, { error: 'data_size_too_big' });
    if (this.weave.withData(name).length === 0) throw new Refused(400, { error: 'data_root_not_found' });
    const proven = await validatePath(Buffer.from(root, 'base64url'), offset, 0, size, proofBytes);
    const leaf = proofBytes.subarray(-64, -32);
    if (!proven || proven.chunkSize !== bytes.length || !hash('sha256', bytes, 'buffer').equals(leaf))
      throw new Refused(400, { error: 'invalid_proof' });
    if (!this.faults.takesChunk()) throw new Refused(503, { error: 'exceeds_disk_pool_size_limit' });
    if (this.weave.hasChunk(name, proven.leftBound)) return;
    await this.store.write(name, proven.leftBound, bytes);
    const chunk = { start: proven.leftBound, end: proven.rightBound, path: proof };
    await this.commit((note) => note({ kind: 'chunks', name, chunks: [chunk] }));
    for (const held of this.weave.withData(name)) await this.unpack(held);
  }

  /** Gives a wallet winstons out of nothing. */
  async mint(address: string, winston: bigint): Promise<void> {
    await this.commit((note) => note({ kind: 'mint', address, winston: String(winston) }));
  }

  /** Mines what waits, and gives the last block. @throws RangeError */
  async mine(blocks = 1): Promise<Block> {
    assertBlocks(blocks);
    await this.commit((note) => {
      for (let i = 0; i < blocks; i += 1) {
        const { mined, stale } = this.weave.next();
        this.forget(stale, note);
        note(blockOf(this.weave, mined));
      }
    });
    return this.weave.head;
  }

  /** Another branch, one block longer, takes the place of the last blocks. @throws RangeError */
  async fork(depth: number, { lose = false, keep = [] }: ForkOptions = {}): Promise<Block> {
    assertBlocks(depth);
    if (depth > this.weave.head.height)
      throw new RangeError(`There are ${this.weave.head.height} blocks that a fork may replace.`);
    await this.commit((note) => {
      const gone = this.weave.blocks.slice(-depth).flatMap((b) => b.txs);
      const lost = lose ? gone.filter((id) => !keep.includes(id)) : [];
      note({ kind: 'rewind', depth });
      this.forget(lost, note);
      const { mined } = this.weave.next();
      note(
        blockOf(
          this.weave,
          mined.filter((id) => keep.includes(id)),
        ),
      );
      for (let i = 0; i < depth; i += 1) note(blockOf(this.weave, []));
    });
    return this.weave.head;
  }

  /** A transaction that waits is gone, a mined one's data is (and with it that of all with the same data). @throws Refused for one unknown */
  async drop(id: string): Promise<void> {
    const held = this.weave.txs.get(id);
    if (!held) throw new Refused(404, 'Not Found.');
    await this.commit((note) => {
      if (held.height === null) return this.forget([id], note);
      const name = dataKey(held.tx);
      for (const other of this.weave.withData(name)) this.catalogue.remove(other.tx.id, false);
      note({ kind: 'erase', name });
    });
  }

  /** The data of a transaction; null when not all of it is there. */
  async dataOf({ tx }: Held): Promise<Buffer | null> {
    const size = Number(tx.data_size);
    if (!this.weave.isComplete(tx)) return null;
    return size === 0 ? Buffer.alloc(0) : this.store.read(dataKey(tx), 0, size);
  }

  /** What an entry has to say: a transaction's data, or an item's own. */
  async bytesOf({ held, place, size }: Entry): Promise<Buffer | null> {
    if (!place) return this.dataOf(held);
    return this.store.read(place.name, place.start + place.length - size, size);
  }

  /** All of an item but its data. */
  async headOf(place: NonNullable<Entry['place']>): Promise<Item> {
    return parseItem(await this.store.read(place.name, place.start, Math.min(place.length, MAX_ITEM_HEAD)));
  }

  async chunkBytes(name: string, { start, end }: Chunk): Promise<Buffer> {
    return this.store.read(name, start, end - start);
  }

  /** These wait no longer, and data nobody else has goes with them. */
  private forget(ids: string[], note: Note): void {
    if (ids.length === 0) return;
    const names = ids.map((id) => this.weave.txs.get(id)).flatMap((held) => (held ? [dataKey(held.tx)] : []));
    for (const id of ids) this.catalogue.remove(id, true);
    note({ kind: 'forget', ids });
    for (const name of new Set(names))
      if (this.weave.keeps(name) && this.weave.withData(name).length === 0) note({ kind: 'erase', name });
  }

  /** What `decide` notes happens at once and together, and is on disk when this settles. */
  private async commit(decide: (note: Note) => void): Promise<void> {
    const events: WeaveEvent[] = [];
    decide((event) => {
      this.weave.apply(event);
      events.push(event);
    });
    this.catalogue.changed();
    await this.journal.append(events);
  }

  /** Puts data that came with its transaction on disk. @throws Refused when it is not what the transaction is for */
  private async keep(name: string, root: string, data: Buffer): Promise<Chunk[]> {
    const { data_root, chunks, proofs } = await generateTransactionChunks(data);
    if (Buffer.from(data_root).toString('base64url') !== root)
      throw new Refused(400, 'The attached data is not what the data_root says.');
    await this.store.write(name, 0, data);
    return chunks.map(({ minByteRange: start, maxByteRange: end }, i) => {
      const proof = Buffer.from(proofs[i]?.proof ?? []);
      return { start, end, path: proof.toString('base64url') };
    });
  }

  /** Finds the items of a bundle once all of it is there. */
  private async unpack(held: Held): Promise<void> {
    const { tx } = held;
    if (tx.data_root === '' || !isBundle(tagsOf(tx)) || this.catalogue.hasItems(tx.id)) return;
    const data = await this.dataOf(held);
    if (!data) return;
    const found = unbundle(tx.id, data);
    if (this.weave.txs.get(tx.id) === held && this.weave.isComplete(tx)) this.catalogue.addItems(held, found);
  }
}

function assertBlocks(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > MAX_BLOCKS_AT_ONCE)
    throw new RangeError(`Say how many blocks: 1 to ${MAX_BLOCKS_AT_ONCE}.`);
}

function blockOf(weave: Weave, txs: string[]): WeaveEvent {
  const timestamp = Math.max(weave.head.timestamp, Math.floor(Date.now() / 1000));
  return { kind: 'block', timestamp, nonce: randomBytes(16).toString('base64url'), txs };
}
