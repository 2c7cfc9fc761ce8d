/**
 * The relayer's nonces, as they are in final state, and which of them pays a withdrawal. That follows from the withdrawal's number alone: of two
 * transactions that pay the same one, both use up one account, so the second can only be signed where the first is known to be over.
 */
import { createHash } from 'node:crypto';
import { solana } from '@isthmus/chains';

/** A nonce account as it was read. */
export interface NonceRead {
  /** Null when there is none at the address. */
  value: string | null;
  authority: string;
  /** Final slot by which it had this value. */
  slot: number;
}

/** Withdrawals that follow each other share a nonce, so that they can share a transaction: about as many of SOL as fit in one. */
const TOGETHER = 4n;
/** Nonces read that are not of the pool: those of withdrawals signed when it was another. */
const MAX_OTHERS = 1_000;

export class Nonces {
  private readonly known = new Map<string, NonceRead>();

  constructor(
    private readonly pool: Pick<solana.SolanaPool, 'accountsAt'>,
    readonly accounts: readonly string[],
  ) {}

  /** Reads the whole pool. @throws AgreementLost */
  async read(): Promise<void> {
    await this.readThese(this.accounts);
  }

  /** As it was read last; null before that. */
  at(account: string): NonceRead | null {
    return this.known.get(account) ?? null;
  }

  /** An account of the pool as it was read last, or any other, read now. @throws AgreementLost */
  async of(account: string): Promise<NonceRead> {
    if (!this.accounts.includes(account)) {
      if (this.known.size >= this.accounts.length + MAX_OTHERS) this.forgetOthers();
      await this.readThese([account]);
    }
    return this.known.get(account) ?? { value: null, authority: '', slot: Infinity };
  }

  /** The only account of the pool whose values pay a withdrawal. */
  accountFor(process: string, number: bigint): string {
    const first = BigInt(createHash('sha256').update(process).digest().readUInt32BE(0));
    const index = (first + (number - 1n) / TOGETHER) % BigInt(this.accounts.length);
    return this.accounts[Number(index)] as string; // the configuration names one at least
  }

  /** Those of the pool stay: what is signed over them is judged by what was read. */
  private forgetOthers(): void {
    for (const account of this.known.keys()) if (!this.accounts.includes(account)) this.known.delete(account);
  }

  /** What is as before had been so by the slot it was first read at: whoever waits for the history up to there is not sent on. */
  private async readThese(addresses: readonly string[]): Promise<void> {
    const { accounts, slot } = await this.pool.accountsAt(addresses);
    for (const [i, address] of addresses.entries()) {
      const { value, authority } = solana.readNonce(accounts[i] ?? null) ?? { value: null, authority: '' };
      const before = this.known.get(address);
      if (before?.value !== value || before.authority !== authority)
        this.known.set(address, { value, authority, slot: before?.value === value ? before.slot : slot });
    }
  }
}
