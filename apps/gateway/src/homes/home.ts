/**
 * The port to one home chain: what the rest of the gateway asks of a chain, and nothing that only one family has. A family is a folder
 * beside this file that implements it, a schema in config.ts, a case in open.ts, and the fields its answers have of their own (api/schemas.ts).
 */
import type { AoEngine } from '@isthmus/ao';
import type { Logger } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { DecisionStore } from '../transfers/decision-store.js';
import type { TransferStore } from '../transfers/transfer-store.js';
import type { HomeAsset } from './asset-config.js';
import type {
  BitcoinAssetFields,
  BitcoinChainFields,
  BitcoinPayment,
  DepositAddressAnswer,
  DepositAddressDetail,
} from './bitcoin/answers.js';
import type { EthereumAssetFields, EthereumChainFields, EthereumPayment } from './ethereum/answers.js';
import type { SolanaAssetFields, SolanaChainFields, SolanaPayment, TransactionProgress } from './solana/answers.js';

/** What a home is given to work with. */
export interface HomeParts {
  database: DataSource;
  store: TransferStore;
  decisions: DecisionStore;
  log: Logger;
  /** AO: what was said to a process, and where a home says something itself. */
  engine: AoEngine;
  /** Milliseconds between two looks at the chain. */
  pollMs: number;
  /** Milliseconds without a receipt after which a transaction is sent again at a higher fee. */
  stuckMs: number;
  /** Where people reach this gateway. */
  publicUrl: string;
}

/** How long things take on a chain, seconds. */
export interface Pace {
  /** From the block a transaction is in to its finality. */
  finality: number;
  /** Between two blocks. */
  block: number;
  /** Between two looks of a guardian or the relayer: taken to look as often as this gateway does. */
  look: number;
}

/** A withdrawal that its process does not know as released. */
export interface OpenWithdrawal {
  number: bigint;
  amount: bigint;
}

/** What a vault holds of an asset; base units. */
export interface Holdings {
  /** Vault's own count at `height`. */
  locked: bigint;
  /** Amounts of the open withdrawals that are paid at `height`. */
  paid: bigint;
  height: bigint;
}

/** What the home would say to a deposit or a release of an asset now; base units. */
export interface Standing {
  /** Whether the vault itself is paused; never where only AO decides that. */
  paused: boolean;
  /** Whether deposits are taken. */
  open: boolean;
  /** Why not, for people, where nobody decided it. */
  why?: string;
  /** Least deposit. */
  minDeposit: bigint;
  /** What is taken of a deposit, whatever it is. */
  depositFee: bigint;
  /** The most that can be deposited still. */
  room: bigint;
  /** The most that may leave in one withdrawal. */
  limit: bigint;
}

/** What a relayer pays with. */
export interface Purse {
  address: string;
  /** Name of what `balance` counts: the base unit of the chain's coin. */
  unit: string;
  /** Below this it is filled up, or releases will stop; 0 where nobody has said. */
  alarm: bigint;
  balance(): Promise<bigint>;
}

export interface DepositRequest {
  /** Base units, as decimal digits. */
  amount: string;
  /** AO address. */
  recipient: string;
  tags: { name: string; value: string }[];
  /** Who will pay it in, on the home chain, where that is known. */
  sender?: string | undefined;
}

/** What the answers about a chain, an asset and a deposit have of one family only. */
export type ChainFields = EthereumChainFields | BitcoinChainFields | SolanaChainFields;
export type AssetFields = EthereumAssetFields | BitcoinAssetFields | SolanaAssetFields;
export type Payment = EthereumPayment | BitcoinPayment | SolanaPayment;

/** What a deposit address is asked for with; each field was read, none was held against the chain. */
export interface AddressRequest {
  /** AO address. */
  recipient: string;
  tags: { name: string; value: string }[];
  /** Who may take payments back: a key, or an address of one. */
  refund: { key: string } | { address: string };
  /** Blocks; the home's own number without it. */
  refundAfter?: number | undefined;
}

/** Where deposits may be paid to an address of one's own. */
export interface DepositAddresses {
  /** How many one client may ask for in a minute. */
  readonly perMinute: number;
  /** The same for the same terms. @throws Problem for terms no address can have, and while it cannot be registered */
  give(request: AddressRequest): Promise<DepositAddressAnswer>;
  /** What was paid to an address; null when none of this home's was ever registered so. */
  find(address: string): Promise<DepositAddressDetail | null>;
}

/** Assets are those of this home; methods throw for others. */
export interface Home {
  readonly chain: {
    /** CAIP-2 */
    readonly id: string;
    /** As people read it. */
    readonly name: string;
    /** What else is told of it. */
    readonly fields: ChainFields;
  };
  readonly assets: readonly HomeAsset[];
  readonly pace: Pace;
  /** What the relayer pays with; null where a release pays for itself. */
  readonly purse: Purse | null;
  /** Newest block seen, where confirmations are counted and shown. */
  readonly tip?: number | null;
  /** Where the chain has deposit addresses. */
  readonly addresses?: DepositAddresses;
  /** How far a transaction has come, where sources tell before the index knows. */
  readonly progress?: { of(transaction: string): Promise<TransactionProgress> };

  /** One look at the chain, into the index. @throws with the code `agreement-lost` while its sources do not agree */
  look(): Promise<void>;
  /** One round of the relayer: what became of what was sent, then what can go. */
  relay(): Promise<void>;

  /** What the vault holds. @throws when the chain cannot be read */
  holdings(asset: HomeAsset, open: readonly OpenWithdrawal[]): Promise<Holdings>;
  /** Whether the vault itself is paused. @throws when the chain cannot be read */
  paused(): Promise<boolean>;
  /** What may be sold. @throws when the chain cannot be read */
  standing(asset: HomeAsset): Promise<Standing>;

  /** How to pay a deposit in: the exact call, address or instructions. What is asked was checked against the standing. */
  payment(asset: HomeAsset, request: DepositRequest): Promise<Payment>;
  /** Suggested Max-Fee of a withdrawal now, base units: the expected cost with room for it to rise. */
  suggestedMaxFee(asset: HomeAsset): Promise<bigint>;
  /** Why nobody can be paid under this address, for people; null when somebody can. */
  recipientFault(address: string): string | null;
  /** Whether it is the bridge's own here, the vault or a token: what is sent there is stuck. */
  isOwn(asset: HomeAsset, address: string): Promise<boolean>;
  /** What else is told of an asset. */
  assetFields(asset: HomeAsset): AssetFields;
}
