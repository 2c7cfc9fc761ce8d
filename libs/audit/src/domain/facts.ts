/** What an audit is made of: what the vault's logs say, and what a token process' schedule comes to. Amounts are in base units. */

export type Hex = `0x${string}`;

/** `Deposited`, in a final block. */
export interface Deposit {
  sequence: bigint;
  /** The asset's contract; the zero address for the chain's coin. */
  asset: Hex;
  sender: Hex;
  amount: bigint;
  /** AO address; null when the bytes are nobody's. */
  recipient: string | null;
  /** Bytes of its tags in hexadecimal, `-` for none. */
  tags: string;
  block: bigint;
  tx: Hex;
}

/** `Released`, in a final block. */
export interface Release {
  /** Process the withdrawal is of. */
  process: string;
  number: bigint;
  asset: Hex;
  recipient: Hex;
  amount: bigint;
  fee: bigint;
  /** The recipient could not be paid: the money is claimable. */
  held: boolean;
  block: bigint;
  tx: Hex;
}

/** `deposit.minted`, with what the notice to the recipient says. */
export interface Mint {
  slot: number;
  id: Hex;
  recipient: string;
  amount: bigint;
  reference: string;
  tx: Hex;
  sender: Hex;
  tags: string;
  /** The recipient's Credit-Notice: its fields by name, or null when there is none. */
  notice: ReadonlyMap<string, string> | null;
}

/** `withdrawal.queued`. */
export interface Burn {
  slot: number;
  /** When the schedule gave it its place, milliseconds. */
  at: number;
  number: bigint;
  id: Hex;
  holder: string;
  recipient: Hex;
  amount: bigint;
  maxFee: bigint;
}

/** `withdrawal.released`: what the process holds for paid. */
export interface Attested {
  slot: number;
  number: bigint;
  tx: Hex;
  fee: bigint;
  held: boolean;
}

/** An asset, as its process was spawned for it. */
export interface AssetPlace {
  /** CAIP-19 */
  asset: string;
  /** CAIP-2 */
  chain: string;
  vault: Hex;
  address: Hex;
  process: string;
}

/** What the vault says of an asset at the audited height. */
export interface VaultState {
  locked: bigint;
  /** What the vault really has: the token's own word, or the chain's. */
  balance: bigint;
  /** What can be claimed by those the vault's events name. */
  claimable: bigint;
}

/** What the process says of itself at the audited slot. */
export interface ProcessState {
  slot: number;
  /** Id of the slot's assignment, and the hash chain up to it. */
  assignment: string;
  hashChain: string;
  /** When the slot got its place, milliseconds. */
  at: number;
  /** SHA-256 of the source it runs, hexadecimal. */
  code: string;
  minted: bigint;
  burned: bigint;
  released: bigint;
  supply: bigint;
  inFlight: bigint;
  /** Sum of all balances, and of how many holders. */
  balances: bigint;
  holders: number;
  paused: boolean;
}
