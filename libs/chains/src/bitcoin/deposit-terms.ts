/** The terms of a deposit address as texts: as people, files and requests give them. */
import type { DepositTag } from '@isthmus/bridge';
import { unhex } from './bytes.js';
import { chainOf, networkOf } from './network.js';
import { refundOwner, vaultKeys, writeRefundOwner, type DepositTerms } from './vault-script.js';

export interface DepositTexts {
  /** CAIP-2. */
  chain: string;
  /** The token process on AO. */
  process: string;
  /** Whom it credits. */
  recipient: string;
  tags: readonly DepositTag[];
  /** The guardians' compressed keys in hex, in any order. */
  guardians: readonly string[];
  threshold: number;
  /** Who may take it back: a compressed key in hex, or an address of one key. */
  refund: string;
  /** Confirmations after which that is possible. */
  refundAfter: number;
}

/** @throws BitcoinError `bad-terms`, `bad-bytes`, `bad-address`. What the address commits to is checked when its script is made (`depositScript`) */
export function depositTerms({ chain, guardians, threshold, refund, ...rest }: DepositTexts): DepositTerms {
  const network = networkOf(chain);
  const vault = vaultKeys(
    guardians.map((key) => unhex(key, 'Keys')),
    threshold,
  );
  return { ...rest, network, vault, refund: refundOwner(refund, network) };
}

/** The inverse of `depositTerms`; keys in their order. */
export function textsOf({ network, vault, process, recipient, tags, refund, refundAfter }: DepositTerms): DepositTexts {
  return {
    chain: chainOf(network),
    process,
    recipient,
    tags: tags.map(({ name, value }) => ({ name, value })),
    guardians: vault.keys.map((key) => Buffer.from(key).toString('hex')),
    threshold: vault.threshold,
    refund: writeRefundOwner(refund, network),
    refundAfter,
  };
}
