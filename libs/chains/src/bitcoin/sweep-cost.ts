/** What it costs a vault to move what it was paid: from coins as they are made, whoever paid them. */
import { vsizeOf, type VaultCoin } from './batch.js';
import type { BitcoinNetwork } from './network.js';
import { depositScript, MAX_REFUND_AFTER, vaultScript, type VaultKeys } from './vault-script.js';

/** Of any recipient and process: scripts of all are as long. */
const SOMEBODY = Buffer.alloc(32).toString('base64url');

/** A coin at the vault's own script, and one at the longest deposit address there is, for their sizes. */
export function sampleCoins(vault: VaultKeys, network: BitcoinNetwork): { change: VaultCoin; deposit: VaultCoin } {
  const [key] = vault.keys;
  if (!key) throw new Error('A vault has a key.');
  const coin = { txid: '', vout: 0, value: 0n };
  const lock = depositScript({
    network,
    vault,
    process: SOMEBODY,
    recipient: SOMEBODY,
    tags: [],
    refund: { kind: 'key', key },
    refundAfter: MAX_REFUND_AFTER,
  });
  return {
    change: { ...coin, lock: vaultScript(vault, network), deposit: false },
    deposit: { ...coin, lock, deposit: true },
  };
}

/** Satoshis a transaction takes that moves one deposit and nothing else. @param feeRate satoshis per 1,000 virtual bytes */
export function sweepCost(vault: VaultKeys, network: BitcoinNetwork, feeRate: bigint): bigint {
  const { change, deposit } = sampleCoins(vault, network);
  return (BigInt(vsizeOf(vault, [change, deposit], [change.lock.script])) * feeRate + 999n) / 1_000n;
}
