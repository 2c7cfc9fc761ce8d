/**
 * Solana's own runtime (litesvm: system, token, memo and lookup-table programs as they run on the cluster) with accounts read and put as
 * plain values. It knows one state and no history: slots, blocks and what is final are the ledger's.
 */
import { createHash } from 'node:crypto';
import { fromBase58, toBase58 } from '@isthmus/bridge';
import { PublicKey } from '@solana/web3.js';
import { Clock, FailedTransactionMetadata, LiteSVM, type TransactionMetadata } from 'litesvm';
import { errorOf, type TransactionError } from './error.js';
import type { Wire } from './wire.js';

export interface AccountState {
  lamports: bigint;
  owner: string;
  data: Buffer;
  executable: boolean;
}

export interface InnerInstruction {
  programIdIndex: number;
  accounts: number[];
  data: Buffer;
  stackHeight: number;
}

/** What executing a transaction came to. */
export interface Outcome {
  err: TransactionError | null;
  logs: string[];
  units: number;
  /** Of each top-level instruction that made any. */
  inner: { index: number; instructions: InnerInstruction[] }[];
  returnData: { programId: string; data: Buffer } | null;
}

type Address = Parameters<LiteSVM['getBalance']>[0];
type Lamports = Parameters<LiteSVM['airdrop']>[1];
type Transaction = Parameters<LiteSVM['sendTransaction']>[0];

export const SYSTEM = '11111111111111111111111111111111';
const SIGNATURE_FEE = 5_000n;
/** `NonceState` of version 1, initialized: version, state, authority, durable nonce, fee. */
const NONCE_SIZE = 80;
const MAX_SLOT_HASHES = 512;

export class Runtime {
  private readonly svm = new LiteSVM().withTransactionHistory(0n).withBlockhashCheck(false).withNativeMints();
  private slotHashes: { slot: bigint; hash: string }[] = [];
  /** Hashes made so far: a new runtime goes through the same ones, and must not come to one twice. */
  hashes = 0;

  account(address: string): AccountState | null {
    const found = this.svm.getAccount(address as Address);
    if (!found.exists) return null;
    const { lamports, programAddress, data, executable } = found;
    return { lamports, owner: programAddress, data: Buffer.from(data), executable };
  }

  /** Puts an account in place of what is there; null removes it. */
  put(address: string, state: AccountState | null): void {
    const { lamports, owner, data, executable } = state ?? {
      lamports: 0n,
      owner: SYSTEM,
      data: Buffer.alloc(0),
      executable: false,
    };
    this.svm.setAccount({
      address: address as Address,
      lamports: lamports as Lamports,
      programAddress: owner as Address,
      data,
      executable,
      space: BigInt(data.length),
    });
  }

  /** All accounts of a program. */
  owned(program: string): { address: string; state: AccountState }[] {
    return this.svm.getProgramAccounts(program as Address).map((a) => ({
      address: a.address,
      state: { lamports: a.lamports, owner: program, data: Buffer.from(a.data), executable: a.executable },
    }));
  }

  rentExempt(size: number): bigint {
    return this.svm.minimumBalanceForRentExemption(BigInt(size));
  }

  /** Begins a slot: programs see it, its time and the blocks before it. */
  open(slot: number, seconds: number): void {
    this.svm.setClock(new Clock(BigInt(slot), 0n, 0n, 1n, BigInt(seconds)));
  }

  /** The hash transactions of the open slot make durable nonces of: the newest block's. */
  get hash(): string {
    return this.svm.latestBlockhash();
  }

  /** Ends a block in a slot; gives its hash. */
  seal(slot: number): string {
    this.skipHashes(1);
    const hash = this.hash;
    this.slotHashes = [{ slot: BigInt(slot), hash }, ...this.slotHashes.slice(0, MAX_SLOT_HASHES - 1)];
    this.svm.setSlotHashes(this.slotHashes as unknown as Parameters<LiteSVM['setSlotHashes']>[0]); // plain values do as well
    return hash;
  }

  /** Passes over hashes that an earlier run has used. */
  skipHashes(count: number): void {
    for (let i = 0; i < count; i += 1) this.svm.expireBlockhash();
    this.hashes += count;
  }

  /** Executes and keeps the changes; a failed one keeps its fee. Signatures are checked, its blockhash is not. */
  execute(wire: Wire): Outcome {
    const done = this.svm.sendTransaction(transactionOf(wire));
    return done instanceof FailedTransactionMetadata ? failed(done) : succeeded(done);
  }

  /** Executes and changes nothing. */
  simulate(wire: Wire, verify: boolean): Outcome & { after: Map<string, AccountState> } {
    this.svm.withSigverify(verify);
    try {
      const done = this.svm.simulateTransaction(transactionOf(wire));
      if (done instanceof FailedTransactionMetadata) return { ...failed(done), after: new Map() };
      const after = new Map(
        done.postAccounts().map((a) => [
          a.address as string,
          {
            lamports: a.lamports,
            owner: a.programAddress as string,
            data: Buffer.from(a.data),
            executable: a.executable,
          },
        ]),
      );
      return { ...succeeded(done.meta()), after };
    } finally {
      this.svm.withSigverify(true);
    }
  }

  /** Whether a transaction's lifetime is a durable nonce that is good now. */
  nonceIsGood(wire: Wire): boolean {
    const account = wire.nonce === null ? null : this.account(wire.nonce.address);
    if (wire.nonce === null || account === null || account.owner !== SYSTEM || account.data.length !== NONCE_SIZE)
      return false;
    const { data } = account;
    if (data.readUInt32LE(0) !== 1 || data.readUInt32LE(4) !== 1) return false;
    const durable = toBase58(data.subarray(40, 72));
    const authority = new PublicKey(data.subarray(8, 40)).toBase58();
    return durable === wire.blockhash && wire.nonce.signers.includes(authority) && durable !== this.nextNonce();
  }

  /** What a cluster does to the nonce of a transaction that failed and paid its fee: it is used up. The runtime alone would leave it. */
  useUpNonce(address: string): void {
    const account = this.account(address);
    if (account === null || account.data.length !== NONCE_SIZE) return;
    const data = Buffer.from(account.data);
    data.set(fromBase58(this.nextNonce()), 40);
    data.writeBigUInt64LE(SIGNATURE_FEE, 72);
    this.put(address, { ...account, data });
  }

  private nextNonce(): string {
    return toBase58(createHash('sha256').update('DURABLE_NONCE').update(fromBase58(this.hash)).digest());
  }
}

/** As the runtime takes it: the message, and each signer's signature by address. */
function transactionOf({ transaction, staticKeys }: Wire): Transaction {
  const signatures = Object.fromEntries(transaction.signatures.map((s, i) => [staticKeys[i], s]));
  return { messageBytes: transaction.message.serialize(), signatures } as unknown as Transaction; // branded types of another library
}

function failed(metadata: FailedTransactionMetadata): Outcome {
  return { ...succeeded(metadata.meta()), err: errorOf(metadata) };
}

function succeeded(meta: TransactionMetadata): Outcome {
  const returned = meta.returnData();
  const data = Buffer.from(returned.data());
  return {
    err: null,
    logs: meta.logs(),
    units: Number(meta.computeUnitsConsumed()),
    inner: meta.innerInstructions().flatMap((made, index) => {
      const instructions = made.map((one) => {
        const instruction = one.instruction();
        return {
          programIdIndex: instruction.programIdIndex(),
          accounts: [...instruction.accounts()],
          data: Buffer.from(instruction.data()),
          stackHeight: one.stackHeight(),
        };
      });
      return instructions.length > 0 ? [{ index, instructions }] : [];
    }),
    returnData: data.length > 0 ? { programId: new PublicKey(returned.programId()).toBase58(), data } : null,
  };
}
