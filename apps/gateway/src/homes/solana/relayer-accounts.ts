/**
 * The accounts releases need and the relayer pays for: its pool of nonces, its token accounts for fees, and the multisig of a guardian set that
 * was decided on. Each stands at an address that follows from what it is for; it is made when it is missing, and again when that was lost.
 */
import { parseDecision } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import { createAssociatedTokenAccountIdempotentInstruction } from '@solana/spl-token';
import { PublicKey, type TransactionInstruction } from '@solana/web3.js';
import type { HomeParts } from '../home.js';
import type { SolanaAssetConfig } from './config.js';
import type { Vaults } from './vaults.js';

const {
  isNative,
  makeMultisig,
  makeNonce,
  MULTISIG_RENT,
  multisigAddress,
  NONCE_RENT,
  nonceAddress,
  paidAt,
  signedByRelayer,
} = solana;

/** The relayer's accounts cannot be made: it lacks SOL, as a rule. */
export class RelayerRefused extends Error {
  readonly code = 'relayer-refused';
}

export interface RelayerAccountsParts extends Pick<HomeParts, 'database' | 'log' | 'stuckMs'> {
  assets: readonly SolanaAssetConfig[];
  pool: solana.SolanaPool;
  vaults: Vaults;
  relayer: solana.RelayerKey;
  /** How many nonces it keeps. */
  nonces: number;
}

interface Needed {
  address: string;
  make: TransactionInstruction[];
}

/** Accounts looked up and made in one round; the others come in the next. */
const AT_ONCE = 16;

export class RelayerAccounts {
  /** Addresses where what is needed stands: an account of these kinds stays. */
  private readonly made = new Set<string>();
  /** When making one was last tried. */
  private readonly tried = new Map<string, number>();

  constructor(private readonly parts: RelayerAccountsParts) {}

  /** Makes what is missing. @throws RelayerRefused, AgreementLost, VaultUnfit, VaultDiffers */
  async prepare(): Promise<void> {
    const { pool } = this.parts;
    const missing = (await this.needed()).filter(({ address }) => !this.made.has(address)).slice(0, AT_ONCE);
    if (missing.length === 0) return;
    const found = await pool.accounts(missing.map((m) => m.address));
    for (const [i, one] of missing.entries()) {
      const there = found[i];
      if (there && there.data.length > 0) this.made.add(one.address);
      else await this.make(one);
    }
  }

  private async make({ address, make }: Needed): Promise<void> {
    const { pool, relayer, log, stuckMs } = this.parts;
    if (Date.now() - (this.tried.get(address) ?? 0) < stuckMs) return; // on its way, or lost when this has passed
    const wire = signedByRelayer(relayer.address, relayer.seed, make, await pool.blockhash());
    const refusal = await pool.refusalOf(wire);
    if (refusal !== null)
      throw new RelayerRefused(
        `The relayer ${relayer.address} cannot make the account ${address}: ${refusal}. Send it SOL, if it has none.`,
      );
    this.tried.set(address, Date.now());
    await pool.send(wire);
    log.info({ account: address, tx: solana.signatureOfWire(wire) }, 'an account of the relayer is made');
  }

  private async needed(): Promise<Needed[]> {
    const { relayer, nonces, assets, vaults } = this.parts;
    const needed = Array.from({ length: nonces }, (_, i) => ({
      address: nonceAddress(relayer.address, i),
      make: makeNonce(relayer.address, i, NONCE_RENT),
    }));
    for (const asset of assets) {
      const vault = await vaults.vaultOf(asset);
      if (!isNative(vault)) needed.push(this.feeAccount(vault));
      const multisig = await this.nextMultisig(asset, vault);
      if (multisig) needed.push(multisig);
    }
    return needed;
  }

  private feeAccount(vault: solana.DepositVault): Needed {
    const [payer, mint, program] = [this.parts.relayer.address, vault.mint, vault.program].map(
      (a) => new PublicKey(a),
    ) as [PublicKey, PublicKey, PublicKey];
    const address = paidAt(vault, payer.toBase58());
    const make = createAssociatedTokenAccountIdempotentInstruction(payer, new PublicKey(address), payer, mint, program);
    return { address, make: [make] };
  }

  /** Of the set that was last decided on, so that the one before can hand the vault over to it. */
  private async nextMultisig({ process }: SolanaAssetConfig, { program }: solana.DepositVault): Promise<Needed | null> {
    const rows: { line: string }[] = await this.parts.database.query(
      `select line from decision where process = $1 and line like 'rotate %' order by nonce desc limit 1`,
      [process],
    );
    const decision = rows[0] && parseDecision(rows[0].line);
    if (decision?.kind !== 'rotate') return null;
    const { relayer } = this.parts;
    const set = { guardians: decision.keys, threshold: decision.threshold };
    return {
      address: multisigAddress(relayer.address, set, program),
      make: makeMultisig(relayer.address, set, program, MULTISIG_RENT),
    };
  }
}
