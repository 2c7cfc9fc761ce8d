/**
 * How far a transaction that somebody sent has come, from the moment a source has seen it: a validator gives no transaction before it is
 * confirmed, but says at once where its signature stands. By sources' word, for showing; nothing of it is kept in the books.
 */
import { Lru } from '@isthmus/ao';
import { Recently, type solana } from '@isthmus/chains';
import type { TransactionProgress } from './answers.js';

/** Milliseconds an answer serves: a few slots. */
const FRESH_MS = 1_000;
/** Signatures of which is remembered that they were seen: whoever pays asks within a minute or two. */
const REMEMBERED = 1_000;

type Look = () => Promise<TransactionProgress>;

export class Progress {
  private readonly looks = new Lru<Recently<TransactionProgress>>(REMEMBERED);

  constructor(
    private readonly pool: Pick<solana.SolanaPool, 'commitmentOf'>,
    private readonly freshMs = FRESH_MS,
  ) {}

  /** However many ask, the sources are asked once in a while. @throws AgreementLost when none answers */
  of(signature: string): Promise<TransactionProgress> {
    return this.looks.of(signature, () => new Recently(this.look(signature), this.freshMs)).get();
  }

  private look(signature: string): Look {
    let last: solana.CommitmentStatus | null = null;
    return async () => {
      const status = await this.pool.commitmentOf(signature);
      if (status === null) return { state: last ? 'dropped' : 'unknown', slot: null, confirmations: null };
      last = status;
      const { commitment, slot, confirmations, failed } = status;
      return { state: failed ? 'failed' : commitment, slot, confirmations };
    };
  }
}
