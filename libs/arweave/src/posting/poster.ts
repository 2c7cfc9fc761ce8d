/** How a bundle comes onto Arweave: signed first, so that what is about to be sent can be stored, then sent, as often as it takes. */
import type { BundleLabel } from '../format/index.js';
import type { TransactionStatus } from '../client/arweave-client.js';

/** What carries a bundle: signed, and sent or not. */
export interface Carrier {
  /** Of the transaction, or of the item of a bundling service. */
  id: string;
  /** What of it is not the bundle itself, as `send` needs it. */
  header: string;
  /** Height from which on the network takes it no more; null when it always does. */
  goodUntil: number | null;
}

export interface Poster {
  /** Who pays: AO address of the wallet. */
  readonly wallet: string;
  /** Signs what carries a bundle. Nothing is sent. @throws ArweaveError */
  sign(bundle: Buffer, label: BundleLabel): Promise<Carrier>;
  /**
   * Sends it; whatever of it is there already does no harm. `done` parts were taken before; `onPart` is told of each that is.
   * @throws ArweaveError `refused` when nothing of it was taken, nor will be: it has to be signed anew
   */
  send(carrier: Carrier, bundle: Buffer, done: number, onPart: (done: number) => Promise<void>): Promise<void>;
  /** Where it is. @throws ArweaveError */
  status(id: string): Promise<TransactionStatus>;
  /** What so many bytes cost now, in winston; null when somebody else asks for it. @throws ArweaveError */
  price(bytes: number): Promise<bigint | null>;
  /** What there is to pay with, in winston; null when that is unknown. @throws ArweaveError */
  balance(): Promise<bigint | null>;
}
