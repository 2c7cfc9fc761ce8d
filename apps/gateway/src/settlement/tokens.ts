/** What the controllers of settlement are given. */
import type { SettlementStore, Settler } from '@isthmus/arweave';
import type { Operator } from '../ao/operator.js';
import type { SettlementConfig } from './config.js';

/** `SettlementParts` */
export const SETTLEMENT_PARTS = 'settlement-parts';

export interface SettlementParts {
  store: SettlementStore;
  settler: Settler;
  config: SettlementConfig;
  /** Address of the key that seals. */
  scheduler: string;
  operator: Operator;
}
