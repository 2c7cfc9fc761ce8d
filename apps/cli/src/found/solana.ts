/** Vaults on Solana: token accounts of a multisig of the guardians' keys, at addresses that follow from who founds them. Whoever founds is the relayer and pays the rent. */
import { setTimeout as delay } from 'node:timers/promises';
import { solanaMintOf } from '@isthmus/bridge';
import { AgreementLost, solana } from '@isthmus/chains';
import type { TransactionInstruction } from '@solana/web3.js';
import { z } from 'zod';
import { keyOf } from '../files.js';
import { CommandError } from '../said.js';
import { shownAsset, type Plan, type PlannedAsset, type PlannedHome } from './plan.js';
import { OWN, type FoundedHome, type Step } from './step.js';

const {
  judgeMint,
  makeMultisig,
  makeVault,
  MULTISIG_RENT,
  multisigAddress,
  NATIVE,
  nonceAddress,
  publicKeyOf,
  signedByRelayer,
  SolanaPool,
  VAULT_RENT,
  vaultAddress,
} = solana;

/** A transaction is final after some 13 s, or never: its blockhash is forgotten after 90 s at the most. */
const FINAL_MS = 120_000;
const LOOK_MS = 500;
const LAMPORTS = 1_000_000_000;

const fields = z.looseObject({ relayerKeyFile: z.string().min(1), nonces: z.int().min(1).max(32).default(4) });

/** @throws CommandError for a mint that cannot be bridged, keys that make no multisig, sources that do not agree */
export async function foundSolana({ chain, keys, assets }: PlannedHome, plan: Plan): Promise<FoundedHome> {
  const { id, rpcUrls, agreement } = chain;
  const { relayerKeyFile, nonces } = fields.parse(chain);
  const founder = new Founder(
    id,
    new SolanaPool({ urls: rpcUrls, agreement, chain: id }),
    Buffer.from(keyOf(relayerKeyFile).slice(2), 'hex'),
  );
  const set = { guardians: keys, threshold: plan.threshold };
  const steps = new Map<string, Step>();
  const vaults: string[] = [];
  for (const asset of assets) {
    const { mint, program } = await founder.mintOf(asset);
    const multisig = multisigAddress(founder.address, set, program);
    steps.set(
      multisig,
      founder.step('multisig', multisig, makeMultisig(founder.address, set, program, MULTISIG_RENT), MULTISIG_RENT),
    );
    const vault = { multisig, mint, program };
    const address = vaultAddress(founder.address, vault);
    vaults.push(address);
    const made = makeVault(founder.address, vault, VAULT_RENT);
    steps.set(address, founder.step(`vault of ${asset.symbol}`, address, made, VAULT_RENT));
  }
  const relayFees = assets.map((asset) => asset['relayFee']);
  return {
    steps: [...steps.values()],
    keys,
    tokens: assets.map((asset, i) => ({ ...asset, chain: id, vault: vaults[i] ?? '' })),
    gateway: async (processes) => ({
      chain,
      assets: assets.map((asset, i) => ({ ...shownAsset(asset, processes[i] ?? ''), vault: vaults[i] })),
    }),
    guardian: async (processes) => ({
      chain: {
        id,
        rpcUrls: OWN.rpcUrls,
        agreement,
        relayer: founder.address,
        nonces: Array.from({ length: nonces }, (_, i) => nonceAddress(founder.address, i)),
      },
      keyFile: OWN.keyFile,
      assets: assets.map((asset, i) => ({
        id: asset.id,
        process: processes[i],
        vault: vaults[i],
        relayFee: relayFees[i],
      })),
    }),
    left: [
      `Keep SOL on the relayer ${founder.address}: it pays for releases, and for its ${nonces} nonce accounts, which the gateway makes.`,
    ],
  };
}

class Founder {
  readonly address: string;

  constructor(
    private readonly chain: string,
    private readonly pool: solana.SolanaPool,
    private readonly seed: Uint8Array,
  ) {
    this.address = publicKeyOf(seed);
  }

  /** @throws CommandError when it cannot be bridged */
  async mintOf({ id }: PlannedAsset): Promise<{ mint: string; program: string }> {
    const named = id.startsWith(`${this.chain}/`) ? solanaMintOf(id) : undefined;
    if (named === undefined)
      throw new CommandError(
        `${id} is no asset of ${this.chain}: write ${this.chain}/slip44:501 or ${this.chain}/token:<mint>.`,
      );
    const mint = named ?? NATIVE;
    const verdict = judgeMint(await this.account(mint));
    if (!verdict.listable) throw new CommandError(`${id} cannot be bridged. ${verdict.reason}`);
    return { mint, program: verdict.program };
  }

  step(what: string, address: string, made: TransactionInstruction[], lamports: number): Step {
    const isDone = async (): Promise<boolean> => ((await this.account(address))?.data.length ?? 0) > 0;
    return {
      what: `${this.chain}: ${what} ${address}`,
      cost: `${lamports / LAMPORTS} SOL of rent and a fee, paid by ${this.address}`,
      isDone,
      make: async () => this.make(address, made, isDone),
    };
  }

  private async make(address: string, made: TransactionInstruction[], isDone: () => Promise<boolean>): Promise<void> {
    const wire = signedByRelayer(this.address, this.seed, made, await this.asked(this.pool.blockhash()));
    const refusal = await this.asked(this.pool.refusalOf(wire));
    if (refusal !== null)
      throw new CommandError(`${address} cannot be made: ${refusal}. Send ${this.address} SOL, if it has none.`);
    await this.asked(this.pool.send(wire));
    const until = Date.now() + FINAL_MS;
    for (;;) {
      await delay(LOOK_MS); // asked again until the time is over
      if (await isDone()) return;
      if (Date.now() > until)
        throw new CommandError(
          `${address} is not final after ${FINAL_MS / 1000} s: run this again, it goes on from there.`,
        );
      await this.sendAgain(wire);
    }
  }

  /** The same bytes count once: sources that have them in a block refuse them, until they are final and after. */
  private async sendAgain(wire: Uint8Array): Promise<void> {
    await this.pool.send(wire).catch((error: unknown) => {
      if (!(error instanceof AgreementLost)) throw error;
    });
  }

  private async account(address: string): Promise<solana.ChainAccount | null> {
    const [account = null] = await this.asked(this.pool.accounts([address]));
    return account;
  }

  private asked<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      if (error instanceof AgreementLost)
        throw new CommandError(`${this.chain}: ${error.message} ${error.reasons.join('; ')}`);
      throw error;
    });
  }
}
