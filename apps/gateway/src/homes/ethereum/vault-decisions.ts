/**
 * Carries what the quorum has decided on AO to the vault: pause, unpause, listing, rotation. Like a release, a decision goes only with the
 * signatures the vault asks for; signatures made for another count of the vault's are passed over until their guardians sign anew.
 */
import {
  decisionDigest,
  isListedAs,
  parseDecision,
  verifySignature,
  type Decision,
  type VaultDomain,
} from '@isthmus/bridge';
import { encodeVaultDecision, vaultAbi } from '@isthmus/chains';
import type { Hex, PublicClient } from 'viem';
import type { DecisionStore, WaitingDecision } from '../../transfers/decision-store.js';
import type { EthereumAssetConfig, EthereumHomeConfig } from './config.js';

/** Decisions looked at in one round. */
const LOOK_AT = 50;

/** The vault as one block shows it. */
interface VaultState {
  blockNumber: bigint;
  guardians: readonly Hex[];
  threshold: number;
  pauseThreshold: number;
  epoch: bigint;
  paused: boolean;
  decisions: bigint;
}

export class VaultDecisions {
  constructor(
    private readonly home: EthereumHomeConfig,
    private readonly store: DecisionStore,
    private readonly client: PublicClient,
    private readonly domain: VaultDomain,
  ) {}

  /** The call that carries out the next decision that can go, with the process that took it; null when there is none. */
  async next(): Promise<{ data: Hex; process: string } | null> {
    const waiting = await this.store.waiting(
      this.home.assets.map((a) => a.process),
      LOOK_AT,
    );
    if (waiting.length === 0) return null;
    const vault = await this.vaultAt(await this.client.getBlockNumber());
    for (const one of waiting) {
      const asset = this.home.assets.find((a) => a.process === one.process);
      if (!asset) continue;
      const decision = parseDecision(one.line);
      if (await this.isDone(decision, asset, vault)) {
        // For good only once it is final: a reorg may take it back.
        if (await this.isDone(decision, asset, await this.finalVault())) await this.store.done(one.process, one.nonce);
        continue;
      }
      const signatures = await this.goodSignatures(one, decision, asset, vault);
      if (signatures) return { data: encodeVaultDecision(decision, asset.address, signatures), process: one.process };
    }
    return null;
  }

  private async finalVault(): Promise<VaultState> {
    const { finality } = this.home.chain;
    if ('tag' in finality) {
      const { number } = await this.client.getBlock({ blockTag: finality.tag });
      return this.vaultAt(number);
    }
    const height = (await this.client.getBlockNumber()) - BigInt(finality.confirmations) + 1n;
    return this.vaultAt(height > 0n ? height : 0n);
  }

  private async vaultAt(blockNumber: bigint): Promise<VaultState> {
    const at = { address: this.domain.vault, abi: vaultAbi, blockNumber } as const;
    const [guardians, threshold, pauseThreshold, epoch, paused, decisions] = await Promise.all([
      this.client.readContract({ ...at, functionName: 'guardians' }),
      this.client.readContract({ ...at, functionName: 'threshold' }),
      this.client.readContract({ ...at, functionName: 'pauseThreshold' }),
      this.client.readContract({ ...at, functionName: 'epoch' }),
      this.client.readContract({ ...at, functionName: 'paused' }),
      this.client.readContract({ ...at, functionName: 'decisions' }),
    ]);
    return { blockNumber, guardians, threshold, pauseThreshold, epoch, paused, decisions };
  }

  private async isDone(decision: Decision, asset: EthereumAssetConfig, vault: VaultState): Promise<boolean> {
    switch (decision.kind) {
      case 'pause':
        return vault.paused;
      case 'unpause':
        return !vault.paused;
      case 'rotate':
        return vault.epoch > decision.epoch || (vault.epoch === decision.epoch && isSame(vault, decision));
      case 'list': {
        const at = { address: this.domain.vault, abi: vaultAbi, blockNumber: vault.blockNumber } as const;
        const listing = await this.client.readContract({ ...at, functionName: 'listing', args: [asset.address] });
        return isListedAs(decision, listing);
      }
    }
  }

  /** Exactly as many as the vault asks for, each by its guardian and for the vault as it is now; null when they are too few. */
  private async goodSignatures(
    { signatures }: WaitingDecision,
    decision: Decision,
    { address: asset }: EthereumAssetConfig,
    { guardians, threshold, pauseThreshold, epoch, decisions: nonce }: VaultState,
  ): Promise<Hex[] | null> {
    const digest = decisionDigest(this.domain, decision, { asset, epoch, nonce });
    const checked = await Promise.all(
      signatures.map(async (s) => ((await verifySignature(digest, s, guardians)) ? s : null)),
    );
    const good = checked.filter((s) => s !== null);
    const required = decision.kind === 'pause' ? pauseThreshold : threshold;
    return good.length >= required ? good.slice(0, required) : null;
  }
}

const isSame = (vault: VaultState, { guardians }: { guardians: readonly Hex[] }): boolean =>
  vault.guardians.join() === guardians.join();
