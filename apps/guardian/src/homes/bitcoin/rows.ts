/** Rows of what a guardian keeps of a vault on Bitcoin, and how its tables spell them. */

/** Keys that hold coins, named by the output script of the vault they make. */
export interface VaultRow {
  script: string;
  keys: readonly string[];
  threshold: number;
  /** When the schedule told of it, milliseconds; 0 for the first. */
  since: number;
}

/** A registered deposit address. `vault` is the script of the vault whose keys may spend what it holds. */
export interface AddressRow {
  script: string;
  vault: string;
  refundAfter: number;
  terms: AddressTerms;
  /** When it was registered, milliseconds. */
  since: number;
}

/** What an address commits to beside process, network and keys. */
export interface AddressTerms {
  recipient: string;
  tags: readonly { name: string; value: string }[];
  refund: string;
}

export type CoinKind = 'deposit' | 'memo' | 'change';
export type CoinState =
  /** Not final. */
  | 'seen'
  | 'credited'
  | 'refused'
  | 'change'
  /** The coin the first batch begins with. */
  | 'anchor';

/** What paid the vault. */
export interface CoinRow {
  txid: string;
  vout: number;
  value: bigint;
  script: string;
  vault: string;
  kind: CoinKind;
  height: number;
  position: number;
  /** All that its block pays the vault. */
  together: bigint;
  coinbase: boolean;
  recipient: string | null;
  tags: string | null;
  fault: string | null;
  refundAfter: number | null;
  state: CoinState;
  /** Whether the process has minted it. */
  minted: boolean;
  spent: { by: string; height: number; refund: boolean } | null;
}

export interface SpendRow {
  txid: string;
  vout: number;
  by: string;
  height: number;
  refund: boolean;
}

export interface ProposedPayout {
  number: bigint;
  /** Output script in hex. */
  script: string;
  amount: bigint;
  fee: bigint;
  maxFee: bigint;
}

/** A transaction as a proposal names it; others may name the same at another rate. */
export interface ProposalRow {
  txid: string;
  id: string;
  /** The guardian who made it. */
  proposer: string;
  epoch: bigint;
  anchor: string;
  content: string;
  payouts: readonly ProposedPayout[];
}

export interface Outpoint {
  txid: string;
  vout: number;
}

/** A deposit that the process minted. */
export interface MintedDeposit extends Outpoint {
  /** When its slot got its place, milliseconds. */
  at: number;
}

/** What one slot of the schedule says about the chain. */
export interface SlotFacts {
  vault?: VaultRow;
  address?: AddressRow;
  proposals?: readonly ProposalRow[];
  /** Who has signed which proposals. */
  backed?: readonly { id: string; by: string }[];
  minted?: readonly MintedDeposit[];
}

export interface WrittenPayout {
  number: string;
  script: string;
  amount: string;
  fee: string;
  maxFee: string;
}

export const writePayouts = (payouts: readonly ProposedPayout[]): string =>
  JSON.stringify(
    payouts.map(({ number, script, amount, fee, maxFee }): WrittenPayout => ({
      number: String(number),
      script,
      amount: String(amount),
      fee: String(fee),
      maxFee: String(maxFee),
    })),
  );

export const readPayout = ({ number, script, amount, fee, maxFee }: WrittenPayout): ProposedPayout => ({
  number: BigInt(number),
  script,
  amount: BigInt(amount),
  fee: BigInt(fee),
  maxFee: BigInt(maxFee),
});

export interface StoredCoin extends Omit<CoinRow, 'vout' | 'value' | 'together' | 'refundAfter' | 'spent'> {
  vout: string;
  value: string;
  together: string;
  refund_after: number | null;
  spent_by: string | null;
  spent_height: number | null;
  spent_refund: boolean | null;
}

export const readCoin = (row: StoredCoin): CoinRow => ({
  txid: row.txid,
  vout: Number(row.vout),
  value: BigInt(row.value),
  script: row.script,
  vault: row.vault,
  kind: row.kind,
  height: row.height,
  position: row.position,
  together: BigInt(row.together),
  coinbase: row.coinbase,
  recipient: row.recipient,
  tags: row.tags,
  fault: row.fault,
  refundAfter: row.refund_after,
  state: row.state,
  minted: row.minted,
  spent:
    row.spent_by === null
      ? null
      : { by: row.spent_by, height: row.spent_height ?? 0, refund: row.spent_refund ?? false },
});

/** Outpoints as two columns. */
export function parts(outpoints: readonly string[]): { txids: string[]; vouts: string[] } {
  const split = outpoints.map((o) => o.split(':') as [string, string]);
  return { txids: split.map(([txid]) => txid), vouts: split.map(([, vout]) => vout) };
}

/** Of an update or delete the driver gives rows and their number. */
export const unwrapped = <T>(answer: unknown): T[] => (answer as [T[], number])[0];
