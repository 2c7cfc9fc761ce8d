/** Bundles as transactions of Arweave itself, through a node or gateway. */
import type { Signer } from '@isthmus/ao';
import { ArweaveError } from '../client/error.js';
import type { ArweaveClient, TransactionStatus } from '../client/arweave-client.js';
import { chunksOf, signTransaction } from '../client/transaction.js';
import { transactionTags, type BundleLabel } from '../format/index.js';
import type { Carrier, Poster } from './poster.js';

/** The network takes transactions that build on one of the last 50 blocks; a few are left for the way. */
const ANCHOR_BLOCKS = 45;

/** Prices are bounded for each mebibyte begun. */
const MIB = 1024 * 1024;
/** Most that is paid for one unless told, in winston: 0.1 AR, many times what the network has ever asked for. */
export const MAX_PRICE_PER_MIB = 100_000_000_000n;

export class BaseLayerPoster implements Poster {
  /** @param maxPricePerMiB winston; the node says what is to be paid, and might say all there is */
  constructor(
    private readonly client: ArweaveClient,
    private readonly signer: Signer,
    private readonly maxPricePerMiB: bigint = MAX_PRICE_PER_MIB,
  ) {}

  get wallet(): string {
    return this.signer.address;
  }

  async sign(bundle: Buffer, label: BundleLabel): Promise<Carrier> {
    const height = await this.client.height();
    const [anchor, reward] = await Promise.all([this.client.anchor(), this.price(bundle.length)]);
    const header = await signTransaction(bundle, transactionTags(label), { anchor, reward }, this.signer);
    return { id: header.id, header: JSON.stringify(header), goodUntil: height + ANCHOR_BLOCKS };
  }

  async send(
    { id, header }: Carrier,
    bundle: Buffer,
    done: number,
    onPart: (done: number) => Promise<void>,
  ): Promise<void> {
    // Sent again before chunks that are left: a node that has forgotten it takes none. What is in a block it does not take again.
    if ((await this.client.status(id)).state !== 'mined') await this.client.postTransaction(header);
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

  /** @throws ArweaveError `too-dear` too */
  async price(bytes: number): Promise<bigint> {
    const price = await this.client.price(bytes);
    const most = this.maxPricePerMiB * BigInt(Math.ceil(bytes / MIB));
    if (price > most)
      throw new ArweaveError(
        'too-dear',
        `${new URL(this.client.server.url).origin} asks ${price} winston for ${bytes} bytes, and ${most} is the most that is paid: ask another node, or raise maxPricePerMiB.`,
      );
    return price;
  }

  balance(): Promise<bigint> {
    return this.client.balance(this.wallet);
  }
}
