/** Bundles as transactions of Arweave itself, through a node or gateway. */
import type { Signer } from '@isthmus/ao';
import type { ArweaveClient, TransactionStatus } from '../client/arweave-client.js';
import { chunksOf, signTransaction } from '../client/transaction.js';
import { transactionTags, type BundleLabel } from '../format/index.js';
import type { Carrier, Poster } from './poster.js';

/** The network takes transactions that build on one of the last 50 blocks; a few are left for the way. */
const ANCHOR_BLOCKS = 45;

export class BaseLayerPoster implements Poster {
  constructor(
    private readonly client: ArweaveClient,
    private readonly signer: Signer,
  ) {}

  get wallet(): string {
    return this.signer.address;
  }

  async sign(bundle: Buffer, label: BundleLabel): Promise<Carrier> {
    const height = await this.client.height();
    const [anchor, reward] = await Promise.all([this.client.anchor(), this.client.price(bundle.length)]);
    const header = await signTransaction(bundle, transactionTags(label), { anchor, reward }, this.signer);
    return { id: header.id, header: JSON.stringify(header), goodUntil: height + ANCHOR_BLOCKS };
  }

  async send(
    { header }: Carrier,
    bundle: Buffer,
    done: number,
    onPart: (done: number) => Promise<void>,
  ): Promise<void> {
    // Sent again before chunks that are left: a node that has forgotten it takes none.
    await this.client.postTransaction(header);
    let sent = done;
    for await (const chunk of chunksOf(bundle, done)) {
      await this.client.postChunk(JSON.stringify(chunk));
      sent += 1;
      await onPart(sent);
    }
  }

  status(id: string): Promise<TransactionStatus> {
    return this.client.status(id);
  }

  price(bytes: number): Promise<bigint> {
    return this.client.price(bytes);
  }

  balance(): Promise<bigint> {
    return this.client.balance(this.wallet);
  }
}
