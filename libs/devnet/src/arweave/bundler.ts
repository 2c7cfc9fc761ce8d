/**
 * A bundling service beside the node, as Turbo and Irys are: takes signed data items, answers a signed receipt once they are on disk, and puts all
 * that wait into one bundle, posted by a wallet of its own before the next block. It asks for no money.
 */
import { constants, createPrivateKey, sign, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  deepHash,
  encodeBundle,
  MAX_BUNDLE_ITEMS,
  MAX_ITEM_BYTES,
  parseItem,
  verifyItem,
  type Item,
} from '@isthmus/ao';
import Arweave from 'arweave';
import { Refused } from '../refused.js';
import type { Answer, Asked } from '../http.js';
import type { ArweaveNode } from './node.js';
import { addressOfWallet, walletOf, type Jwk } from './wallet.js';

/** Most bytes of items that wait, and of one bundle: it is put together in memory. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Blocks within which a service promises to have posted an item. */
const DEADLINE_BLOCKS = 200;
const RECEIPT_VERSION = '0.2.0';
/** Paid into the wallet when it cannot pay a bundle: 10 AR. */
const TOP_UP_WINSTON = 10n ** 13n;
const ID = /^[A-Za-z0-9_-]{43}$/;
const BUNDLE_TAGS = { 'Bundle-Format': 'binary', 'Bundle-Version': '2.0.0' };

const signAsync = promisify<string, Uint8Array, Parameters<typeof sign>[2], Buffer>(sign);
const ok = (body: unknown): Answer => ({ status: 200, body });

interface Key {
  jwk: Jwk;
  key: KeyObject;
  address: string;
}

export class Bundler {
  /** Bytes of each item that waits, in order of arrival. */
  private readonly waiting = new Map<string, number>();
  private packing: Promise<unknown> = Promise.resolve();
  private key: Promise<Key> | null = null;
  private files = 0;

  private constructor(
    private readonly node: ArweaveNode,
    private readonly folder: string,
  ) {}

  /** Goes on with what waited. */
  static async open(node: ArweaveNode, folder: string): Promise<Bundler> {
    await fs.promises.mkdir(folder, { recursive: true });
    const bundler = new Bundler(node, folder);
    for (const name of (await fs.promises.readdir(folder)).toSorted()) await bundler.recover(name);
    return bundler;
  }

  /** How many items wait. */
  get size(): number {
    return this.waiting.size;
  }

  /** Answers a path under `/bundler/`, the version in front or not; null for one there is not. @throws Refused */
  async answer({ method, path: whole, type, body }: Asked): Promise<Answer | null> {
    const [first, ...rest] = whole.slice(1);
    const [what, id = '', status] = first === 'v1' ? rest : [first, ...rest];
    if (method === 'GET' && (what === 'info' || what === undefined)) return ok(await this.info());
    if (what !== 'tx') return null;
    if (method === 'GET' && status === 'status') return ok(this.statusOf(id));
    if (method !== 'POST') return null; // after `tx` may stand the token it is paid in
    if (type !== null && type !== 'application/octet-stream') throw new Refused(400, 'Invalid Content Type');
    return this.take(await body(MAX_ITEM_BYTES));
  }

  /** Posts all that wait as one bundle's transaction. */
  flush(): Promise<void> {
    const packed = this.packing.then(() => this.pack());
    this.packing = packed.catch(() => undefined); // told to whoever asked for it; the next tries again
    return packed;
  }

  /** Loses an item that waits. Whether it did. */
  async drop(id: string): Promise<boolean> {
    if (!this.waiting.delete(id)) return false;
    for (const name of await fs.promises.readdir(this.folder))
      if (name.endsWith(`.${id}`)) await fs.promises.rm(path.join(this.folder, name), { force: true });
    return true;
  }

  private async take(raw: Buffer): Promise<Answer> {
    const item = this.read(raw);
    if (!(await verifyItem(item))) throw new Refused(400, 'Invalid Data Item!');
    if (this.waiting.has(item.id) || this.node.catalogue.find(item.id))
      return { status: 202, body: `Data item with ID ${item.id} has already been uploaded to this service!` };
    const bytes = [...this.waiting.values()].reduce((sum, n) => sum + n, raw.length);
    if (bytes > MAX_WAITING_BYTES || this.waiting.size >= MAX_BUNDLE_ITEMS)
      throw new Refused(503, 'Upload Service is Unavailable.', 'Too much waits for the next block.');
    this.waiting.set(item.id, raw.length);
    await this.write(item);
    return ok(await this.receipt(item));
  }

  private read(raw: Buffer): Item {
    try {
      return parseItem(raw);
    } catch (error) {
      throw new Refused(400, 'Data item parsing error!', error instanceof Error ? error.message : String(error));
    }
  }

  private async write({ id, raw }: Item): Promise<void> {
    const order = String(Date.now() * 1000 + ((this.files += 1) % 1000)).padStart(17, '0');
    const file = path.join(this.folder, `${order}.${id}`);
    const handle = await fs.promises.open(`${file}.new`, 'w', 0o600);
    try {
      await handle.writeFile(raw);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await fs.promises.rename(`${file}.new`, file);
  }

  /** An item an earlier run took and had not posted yet; whatever else is there is what a killed run left half-written. */
  private async recover(name: string): Promise<void> {
    const file = path.join(this.folder, name);
    const id = name.slice(name.indexOf('.') + 1);
    if (name === 'wallet.json') return;
    if (!ID.test(id) || this.node.catalogue.find(id)) return fs.promises.rm(file, { force: true });
    this.waiting.set(id, (await fs.promises.stat(file)).size);
  }

  private async pack(): Promise<void> {
    const names = (await fs.promises.readdir(this.folder)).toSorted();
    const files = names
      .map((name) => ({ name, id: name.slice(name.indexOf('.') + 1) }))
      .filter((f) => this.waiting.has(f.id));
    if (files.length === 0) return;
    const items = await Promise.all(
      files.map(async ({ name, id }) => ({ id, raw: await fs.promises.readFile(path.join(this.folder, name)) })),
    );
    await this.post(encodeBundle(items));
    for (const { name, id } of files) {
      this.waiting.delete(id);
      await fs.promises.rm(path.join(this.folder, name), { force: true });
    }
  }

  private async post(data: Buffer): Promise<void> {
    const { node } = this;
    const { jwk, address } = await this.wallet();
    const price = node.weave.price(BigInt(data.length), '');
    if (node.weave.balance(address) < price * 2n) await node.mint(address, TOP_UP_WINSTON + price * 2n);
    const client = Arweave.init({});
    const tx = await client.createTransaction({ data, last_tx: node.weave.anchor(), reward: String(price) }, jwk);
    for (const [name, value] of Object.entries(BUNDLE_TAGS)) tx.addTag(name, value);
    await client.transactions.sign(tx, jwk);
    await node.postWithData(JSON.parse(JSON.stringify({ ...(tx.toJSON() as object), data: '' })), data);
  }

  private async receipt({ id }: Item): Promise<object> {
    const { jwk, key } = await this.wallet();
    const receipt = {
      id,
      timestamp: Date.now(),
      winc: '0',
      version: RECEIPT_VERSION,
      deadlineHeight: this.node.weave.head.height + DEADLINE_BLOCKS,
      dataCaches: [],
      fastFinalityIndexes: [],
    };
    const parts = [receipt.version, id, String(receipt.deadlineHeight), String(receipt.timestamp), '', ''];
    const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 0 };
    const signature = await signAsync('sha256', deepHash(parts.map((p) => Buffer.from(p))), { key, ...padding });
    return { ...receipt, public: jwk.n, signature: signature.toString('base64url') };
  }

  private async info(): Promise<object> {
    const { address } = await this.wallet();
    return { version: RECEIPT_VERSION, addresses: { arweave: address }, freeUploadLimitBytes: MAX_ITEM_BYTES };
  }

  private statusOf(id: string): object {
    if (this.waiting.has(id)) return { status: 'CONFIRMED', info: 'new', bundleId: null };
    const entry = this.node.catalogue.find(id);
    if (!entry) throw new Refused(404, 'TX doesn’t exist');
    const mined = entry.held.height !== null;
    return {
      status: mined ? 'FINALIZED' : 'CONFIRMED',
      info: mined ? 'permanent' : 'bundled',
      bundleId: entry.held.tx.id,
    };
  }

  /** The service's wallet, made when it is first needed: that takes a second or two. */
  private wallet(): Promise<Key> {
    this.key ??= walletOf(path.join(this.folder, 'wallet.json')).then((jwk) => ({
      jwk,
      key: createPrivateKey({ key: jwk, format: 'jwk' }),
      address: addressOfWallet(jwk),
    }));
    return this.key;
  }
}
