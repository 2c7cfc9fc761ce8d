/** Token processes as signed items that are ready to be sent to a scheduler: the same items whenever they are made of the same facts by the same key. */
import { createItem, tagList, type Item, type Signer } from '@isthmus/ao';
import { encodeBitcoinTerms, TERMS_TAG, type BitcoinTerms } from '@isthmus/bridge';
import { tokenSource } from '@isthmus/store';

/** A module of aos, on which token processes are booted with their source. */
export interface AosModule {
  /** Its Module-Format. */
  format: string;
  bytes: Uint8Array;
}

/** Who decides about a process, and who carries its messages. */
export interface TokenSet {
  /** AO addresses, in the vault's order. */
  guardians: readonly string[];
  /** Their keys on the home chain, in the same order; none where a contract knows their addresses. */
  keys: readonly string[];
  threshold: number;
  pauseThreshold: number;
  /** Address of the scheduler that will take the processes, and of the messenger they trust. */
  scheduler: string;
  messenger: string;
}

/** What a token process is for. Amounts in base units. */
export interface TokenPlan {
  /** CAIP-19 */
  id: string;
  /** CAIP-2 */
  chain: string;
  vault: string;
  name: string;
  symbol: string;
  decimals: number;
  /** What may be withdrawn within a window. */
  limit: bigint;
  windowMs: number;
  minWithdrawal: bigint;
  /** Of a home on Bitcoin. */
  terms?: BitcoinTerms;
}

/** The module all token processes run: the token's own source on the lean Lua machine, or a module of aos. */
export function tokenModule(signer: Signer, aos?: AosModule): Promise<Item> {
  const tags = {
    'Data-Protocol': 'ao',
    Variant: 'ao.TN.1',
    Type: 'Module',
    'Module-Format': aos?.format ?? 'isthmus-lua-5.4',
    'Input-Encoding': 'JSON-1',
    'Output-Encoding': 'JSON-1',
  };
  return createItem({ tags: tagList(tags), data: aos?.bytes ?? tokenSource() }, signer);
}

/** The spawn of a token process; on aos it is live, and without an owner, from its first slot. */
export function tokenSpawn(signer: Signer, module: Item, plan: TokenPlan, set: TokenSet, isAos = false): Promise<Item> {
  const tags = {
    'Data-Protocol': 'ao',
    Variant: 'ao.TN.1',
    Type: 'Process',
    Module: module.id,
    Scheduler: set.scheduler,
    Authority: set.messenger,
    Name: plan.name,
    Ticker: plan.symbol,
    Denomination: String(plan.decimals),
    'Isthmus-Asset': plan.id,
    'Isthmus-Chain': plan.chain,
    'Isthmus-Vault': plan.vault,
    'Isthmus-Guardians': set.guardians.join(','),
    ...(set.keys.length > 0 ? { 'Isthmus-Guardian-Keys': set.keys.join(',') } : {}),
    ...(plan.terms ? { [TERMS_TAG]: encodeBitcoinTerms(plan.terms) } : {}),
    'Isthmus-Threshold': String(set.threshold),
    'Isthmus-Pause-Threshold': String(set.pauseThreshold),
    'Isthmus-Epoch': '1',
    'Isthmus-Min-Withdrawal': String(plan.minWithdrawal),
    'Isthmus-Limit': String(plan.limit),
    'Isthmus-Limit-Window': String(plan.windowMs),
    ...(isAos ? { 'On-Boot': 'Data' } : {}),
  };
  return createItem({ tags: tagList(tags), data: isAos ? tokenSource() : '' }, signer);
}
