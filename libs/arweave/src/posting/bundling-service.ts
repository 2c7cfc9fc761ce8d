/** Bundles as items of a bundling service, which puts them into transactions of its own and has them paid its own way. */
import { signItem, type Signer } from '@isthmus/ao';
import { HttpServer, MAX_SMALL } from '../client/http.js';
import type { ArweaveClient, TransactionStatus } from '../client/arweave-client.js';
import { transactionTags, type BundleLabel } from '../format/index.js';
import type { Carrier, Poster } from './poster.js';

export class BundlingServicePoster implements Poster {
  private readonly service: HttpServer;

  constructor(
    url: string,
    /** Where the items come to be found. */
    private readonly client: ArweaveClient,
    private readonly signer: Signer,
  ) {
    this.service = new HttpServer(url);
  }

  get wallet(): string {
    return this.signer.address;
  }

  async sign(bundle: Buffer, label: BundleLabel): Promise<Carrier> {
    const { id, head } = await signItem({ tags: transactionTags(label), data: bundle }, this.signer);
    return { id, header: head.toString('base64'), goodUntil: null };
  }

  async send(
    { header }: Carrier,
    bundle: Buffer,
    _done: number,
    onPart: (done: number) => Promise<void>,
  ): Promise<void> {
    const body = new Uint8Array(Buffer.concat([Buffer.from(header, 'base64'), bundle]));
    const headers = { 'content-type': 'application/octet-stream', accept: 'application/json' };
    const answered = await this.service.ask('/tx', MAX_SMALL, { method: 'POST', headers, body });
    if (answered.status >= 300) throw this.service.refusal(answered);
    await onPart(1);
  }

  status(id: string): Promise<TransactionStatus> {
    return this.client.indexedStatus(id);
  }

  /** Its own affair: it refuses (402) when it wants to be paid. */
  price(): Promise<null> {
    return Promise.resolve(null);
  }

  balance(): Promise<null> {
    return Promise.resolve(null);
  }
}
