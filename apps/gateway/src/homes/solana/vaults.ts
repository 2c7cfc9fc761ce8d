/** The vaults of a home as they stand on the chain, each checked before anything is sold for it: its mint, its decimals, and that guardians hold it. */
import { Recently, solana } from '@isthmus/chains';
import { mintOf, type VaultOfAsset } from './config.js';

const { readVault, VaultUnfit } = solana;

/** What is configured is not what stands on the chain. */
export class VaultDiffers extends Error {
  readonly code = 'vault-differs';
}

/** A vault that guardians hold. */
export interface HeldVault extends solana.VaultState {
  custody: solana.Custody;
}

/** Milliseconds a look at a vault serves; a few slots. */
const RECENT_MS = 2_000;

export class Vaults {
  /** What of a vault never changes, by asset. */
  private readonly fixed = new Map<string, solana.DepositVault>();

  private readonly last = new Map<string, HeldVault>();
  private readonly looks = new Map<string, Recently<HeldVault>>();

  constructor(private readonly pool: solana.SolanaPool) {}

  /** As it stood in final state a moment ago: for showing, so that whoever asks for quotes does not ask the sources. @throws as `read` */
  recent(asset: VaultOfAsset): Promise<HeldVault> {
    const look = this.looks.get(asset.id) ?? new Recently(() => this.read(asset), RECENT_MS);
    this.looks.set(asset.id, look);
    return look.get();
  }

  /** As it stands in final state. @throws VaultUnfit for a mint that must not be bridged, VaultDiffers, AgreementLost */
  async read(asset: VaultOfAsset): Promise<HeldVault> {
    const read = await this.checked(asset).catch((error: unknown) => {
      if (unfitness(error) !== null) this.last.delete(asset.id);
      throw error;
    });
    this.last.set(asset.id, read);
    this.fixed.set(asset.id, read.vault);
    return read;
  }

  /** As it was read last; null when it was not, or stands there otherwise than it must. */
  lastRead({ id }: VaultOfAsset): HeldVault | null {
    return this.last.get(id) ?? null;
  }

  private async checked(asset: VaultOfAsset): Promise<HeldVault> {
    const state = await readVault(this.pool, asset.vault, mintOf(asset));
    const { vault, custody } = state;
    if (vault.decimals !== asset.decimals)
      throw new VaultDiffers(
        `${asset.id} has ${vault.decimals} decimals on the chain, and ${asset.decimals} are configured.`,
      );
    if (custody === null)
      throw new VaultDiffers(
        `The vault of ${asset.id} is held by no multisig: whoever holds it could take everything.`,
      );
    return { ...state, custody };
  }

  /** What of it never changes. @throws as `read`, until it was read once */
  async vaultOf(asset: VaultOfAsset): Promise<solana.DepositVault> {
    return this.fixed.get(asset.id) ?? (await this.read(asset)).vault;
  }
}

/** Why an asset cannot be bridged as it is, for people; null for other failures. */
export function unfitness(error: unknown): string | null {
  return error instanceof VaultUnfit || error instanceof VaultDiffers ? error.message : null;
}
