/** What an audit is made of: what a home chain shows of a vault, and what a token process' schedule comes to. Amounts are in base units. */

export type Hex = `0x${string}`;

/** Money that came to a vault, in a final block. */
export interface Deposit {
  /** As docs/protocol.md section 1 writes it. */
  reference: string;
  /** As `AssetPlace.address` names it. */
  asset: string;
  /** `-` where coins come from no address. */
  sender: string;
  /** What is minted for it; what came, where nobody can be credited. */
  amount: bigint;
  /** What came beside that: the vault's, for moving it later. */
  fee: bigint;
  /** AO address; or why nobody can be credited. */
  to: { recipient: string } | { refused: string };
  /** Bytes of its tags in hexadecimal, `-` for none. */
  tags: string;
  block: bigint;
  tx: string;
}

/** A payment for a withdrawal, in a final block. */
export interface Release {
  /** Process the withdrawal is of. */
  process: string;
  number: bigint;
  asset: string;
  recipient: string;
  /** What the recipient got. */
  paid: bigint;
  /** What who submitted it got; null where the chain does not say: all that was burned beyond what was paid. */
  fee: bigint | null;
  /** The recipient could not be paid: the money is claimable. */
  held: boolean;
  block: bigint;
  tx: string;
}

/** A transaction that takes coins of a vault which only its guardians' keys hold, in a final block. */
export interface VaultSpend {
  process: string;
  /** Of the vault's coins. */
  taken: bigint;
  outputs: readonly { recipient: string; amount: bigint; isVault: boolean }[];
  block: bigint;
  tx: string;
}

/** A depositor took a deposit back, in a final block. */
export interface Refund {
  process: string;
  reference: string;
  block: bigint;
  tx: string;
}

/** A transaction that guardians proposed, and that names these withdrawals itself, in this order. */
export interface Proposed {
  process: string;
  tx: string;
  numbers: readonly bigint[];
}

/** `deposit.minted`, with what the notice to the recipient says. */
export interface Mint {
  slot: number;
  id: Hex;
  recipient: string;
  amount: bigint;
  reference: string;
  tx: string;
  sender: string;
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
  recipient: string;
  amount: bigint;
  maxFee: bigint;
}

/** `withdrawal.released`: what the process holds for paid. */
export interface Attested {
  slot: number;
  number: bigint;
  tx: string;
  fee: bigint;
  held: boolean;
}

/** An asset, as its process was spawned for it. */
export interface AssetPlace {
  /** CAIP-19 */
  asset: string;
  /** CAIP-2 */
  chain: string;
  vault: string;
  /** What the chain calls the asset: on Ethereum its contract, the zero address for the coin; elsewhere CAIP-19. */
  address: string;
  process: string;
  /** The guardians' keys on the chain the process was spawned with, in their order, and their threshold; none where a contract knows the guardians. */
  keys: readonly string[];
  threshold: number;
  /** The home's terms it was spawned with (docs/protocol.md, section 3); null where there are none. */
  terms: string | null;
}

/** What the vault says of an asset at the audited height. */
export interface VaultState {
  /** What it counts for its own; null: it counts nothing, it has coins. */
  locked: bigint | null;
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
