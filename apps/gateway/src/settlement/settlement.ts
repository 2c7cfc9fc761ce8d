/** The settler of this gateway, as its configuration has it. */
import {
  ArweaveClient,
  ArweaveSource,
  BaseLayerPoster,
  BundlingServicePoster,
  readWallet,
  Settler,
  type SettlementStore,
} from '@isthmus/arweave';
import type { Signer } from '@isthmus/ao';
import { crashPoint } from '../crash-point.js';
import type { SettlementConfig } from './config.js';

const MIB = 1024 * 1024;

/** @throws ConfigError when the wallet file cannot be used */
export function openSettler(config: SettlementConfig, store: SettlementStore, scheduler: Signer): Settler {
  const client = new ArweaveClient(config.arweaveUrl);
  const wallet = readWallet(config.walletFile);
  const poster =
    config.bundlerUrl === undefined
      ? new BaseLayerPoster(client, wallet, config.maxPricePerMiB)
      : new BundlingServicePoster(config.bundlerUrl, client, wallet);
  return new Settler({
    database: store.database,
    store,
    signer: scheduler,
    client,
    source: new ArweaveSource(config.arweaveUrl),
    poster,
    policy: {
      bundleBytes: Math.floor(config.bundleMiB * MIB),
      bundleMs: config.bundleSeconds * 1000,
      confirmations: config.confirmations,
      finalConfirmations: config.finalConfirmations,
      dropMs: config.dropSeconds * 1000,
      indexMs: config.indexSeconds * 1000,
      spotCheckMs: config.spotCheckSeconds * 1000,
      checkpointSlots: config.checkpointSlots,
      behindMs: config.behindSeconds * 1000,
      minBalance: config.minBalance,
      minDays: config.minDays,
    },
    onStep: (step) => crashPoint(`settle.${step}`),
  });
}
