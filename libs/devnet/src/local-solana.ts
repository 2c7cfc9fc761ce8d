/** Solana as a home of the local stack. */
import path from 'node:path';
import { solana } from '@isthmus/chains';
import { readSecret } from '@isthmus/store';
import { deploySolana, hasSolana, SOLANA_DOLLAR_DECIMALS } from './deploy-solana.js';
import {
  childOf,
  deployOnce,
  processesOf,
  WINDOW_MS,
  type LocalHome,
  type LocalHomeParts,
  type LocalPlan,
} from './local-home.js';

/** As on the cluster. */
const SLOT_MS = 400;
/** Blocks on top until final: on the cluster 31. */
const FINALIZED_AFTER = 8;
/** Releases under way at once; the gateway makes them at addresses that follow from the relayer's. */
const NONCES = 4;
/** What a release costs in each asset: lamports, and a quarter of a dollar. */
const RELAY_FEES = { sol: 20_000n, dollar: 250_000n };

/** Starts the node and deploys what is not there yet. @throws ChildFailed, ConfigError */
export async function startLocalSolana(parts: LocalHomeParts & { relayerKeyFile: string }): Promise<LocalHome> {
  const { home, port, keyFiles, threshold, set, module, relayerKeyFile } = parts;
  const rpcUrl = `http://127.0.0.1:${port}`;
  const config = { dir: path.join(home, 'solana'), port, slotMs: SLOT_MS, finalizedAfter: FINALIZED_AFTER };
  const child = childOf(home, 'solana', config, `${rpcUrl}/health`);
  await child.start();
  const keys = keyFiles.map(keyIn);
  const deployed = await deployOnce(
    path.join(home, 'solana-deployment.json'),
    'Solana',
    (kept) => hasSolana(rpcUrl, kept),
    () => deploySolana({ rpcUrl, keys, threshold, relayer: keyIn(relayerKeyFile) }),
  );
  const id = `solana:${deployed.genesisHash.slice(0, 32)}`;
  const { vaults, mint, relayer } = deployed;
  const nonces = Array.from({ length: NONCES }, (_, i) => solana.nonceAddress(relayer, i));
  const plans: (LocalPlan & { relayFee: bigint })[] = [
    {
      id: `${id}/slip44:501`,
      chain: id,
      vault: vaults.sol,
      name: 'SOL on AO',
      symbol: 'aSOL',
      decimals: 9,
      limit: 1_000n * 10n ** 9n,
      windowMs: WINDOW_MS,
      minDeposit: 1_000_000n,
      minWithdrawal: 5_000_000n,
      relayFee: RELAY_FEES.sol,
    },
    {
      id: `${id}/token:${mint}`,
      chain: id,
      vault: vaults.dollar,
      name: 'Solana Devnet Dollar on AO',
      symbol: 'asUSD',
      decimals: SOLANA_DOLLAR_DECIMALS,
      limit: 10n ** 12n,
      windowMs: WINDOW_MS,
      minDeposit: 10_000n,
      minWithdrawal: 1_000_000n,
      relayFee: RELAY_FEES.dollar,
    },
  ];
  const { assets, items } = await processesOf(module, { ...set, keys }, plans);
  const chain = { id, rpcUrls: [rpcUrl], agreement: 1 };
  const own = (i: number) => {
    const { vault, relayFee } = plans[i] as (typeof plans)[number]; // one for each asset
    return { vault, relayFee: String(relayFee) };
  };
  return {
    name: 'Solana (local)',
    chain: id,
    rpcUrl,
    vault: vaults.sol,
    child,
    assets,
    items,
    gateway: {
      chain: {
        ...chain,
        name: 'Solana (local)',
        finalitySeconds: (SLOT_MS * FINALIZED_AFTER) / 1000,
        relayerKeyFile,
        nonces: NONCES,
      },
      assets: assets.map((asset, i) => ({
        ...asset,
        ...own(i),
        minDeposit: String(plans[i]?.minDeposit),
        minWithdrawal: String(plans[i]?.minWithdrawal),
      })),
    },
    guardian: (index) => ({
      chain: { ...chain, relayer, nonces },
      keyFile: keyFiles[index],
      assets: assets.map(({ id: asset, process }, i) => ({ id: asset, process, ...own(i) })),
    }),
  };
}

const keyIn = (file: string): string => solana.publicKeyOf(readSecret(file));
