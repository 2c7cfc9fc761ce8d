/** A local Arweave for each test, stepped by hand, with a wallet that has money; its bundling service's wallet is made already. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { testWallet } from '@isthmus/store';
import { addressOfWallet, startArweave, type Jwk, type LocalArweave } from './index.js';
import { find, get, post, transaction, type Found, type Tag, type Transaction, type World } from './suite/index.js';

export const RICH = 10n ** 16n;

/** Who posts, and the wallet of the bundling service. */
export const [OWN, SERVICE] = [testWallet(0), testWallet(1)];

export class Bench {
  private constructor(
    readonly dir: string,
    readonly jwk: Jwk,
    public arweave: LocalArweave,
  ) {}

  static async open(): Promise<Bench> {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-arweave-'));
    fs.mkdirSync(path.join(dir, 'bundler'));
    fs.writeFileSync(path.join(dir, 'bundler/wallet.json'), JSON.stringify(SERVICE), { mode: 0o600 });
    const bench = new Bench(dir, OWN, await startArweave({ dir }));
    await bench.arweave.mint(addressOfWallet(OWN), RICH);
    return bench;
  }

  async close(): Promise<void> {
    await this.arweave.stop();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  /** Ends the node in order and goes on from its folder. */
  async restart(): Promise<void> {
    await this.arweave.stop();
    await this.start();
  }

  async start(): Promise<void> {
    this.arweave = await startArweave({ dir: this.dir });
  }

  get url(): string {
    return this.arweave.url;
  }

  get world(): World {
    return { url: this.url, jwk: this.jwk, mine: () => this.arweave.mine().then(() => undefined) };
  }

  /** Posts a transaction, its data with it. */
  async posted(data: Uint8Array | string, tags: readonly Tag[] = [], more: object = {}): Promise<Transaction> {
    const tx = await transaction(this.world, data, tags, more);
    expect(await post(`${this.url}/tx`, tx)).toEqual({ status: 200, text: 'OK' });
    return tx;
  }

  /** Posts a transaction whose data is to come chunk by chunk. */
  async postedAlone(data: Uint8Array, tags: readonly Tag[] = []): Promise<Transaction> {
    const tx = await transaction(this.world, data, tags);
    expect((await post(`${this.url}/tx`, { ...(tx.toJSON() as object), data: '' })).status).toBe(200);
    return tx;
  }

  lever(pathname: string, body?: Uint8Array<ArrayBuffer>): Promise<Response> {
    return fetch(`${this.url}/devnet/${pathname}`, { method: 'POST', ...(body ? { body } : {}) });
  }

  async statusOf(id: string): Promise<number> {
    return (await get(`${this.url}/tx/${id}/status`)).status;
  }

  async found(id: string): Promise<Found['node'] | undefined> {
    return (await find(this.url, `ids: ["${id}"]`)).edges[0]?.node;
  }

  async balance(address: string): Promise<bigint> {
    return BigInt((await get(`${this.url}/wallet/${address}/balance`)).text);
  }
}
