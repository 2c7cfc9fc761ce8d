/** Bitcoin as a home of the local stack. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { leastRefundOf } from '@isthmus/bridge';
import { chainOf, NETWORKS, publicKeyOf, sweepCost } from '@isthmus/chains';
import type { TokenPlan } from '@isthmus/founding';
import { readSecret } from '@isthmus/store';
import { deployBitcoin, hasBitcoin, vaultOf } from './deploy-bitcoin.js';
import { childOf, deployOnce, processesOf, WINDOW_MS, type LocalHome, type LocalHomeParts } from './local-home.js';

/** Between two blocks while something waits; on the public network ten minutes. */
const BLOCK_MS = 2_000;
/** What a transaction is said to cost, satoshis per 1,000 virtual bytes: 5 a byte. */
const FEE_ESTIMATE = '5000';
/** Words the local wallet follows from; it pays by `sendtoaddress`. */
const WALLET = 'faucet';
/** Two confirmations for any amount at the least: what one block alone takes back was not minted yet. */
const CONFIRMATIONS = [
  { upTo: 100_000_000n, confirmations: 2 },
  { upTo: null, confirmations: 3 },
];
/** Blocks before a refund opens in which nothing is credited. */
const SWEEP_MARGIN = 72;

/** Starts the node and deploys what is not there yet. @throws ChildFailed, ConfigError */
export async function startLocalBitcoin(parts: LocalHomeParts & { registrarKeyFile: string }): Promise<LocalHome> {
  const { home, port, keyFiles, threshold, set, module, pollMs, registrarKeyFile } = parts;
  const credentials = credentialsIn(home);
  const url = `http://127.0.0.1:${port}`;
  const rpcUrl = localBitcoinUrl(home, port);
  const config = {
    dir: path.join(home, 'bitcoin'),
    port,
    blockMs: BLOCK_MS,
    credentials,
    wallet: WALLET,
    feeEstimate: FEE_ESTIMATE,
  };
  const child = childOf(home, 'bitcoin', config, `${url}/rest/chaininfo.json`);
  await child.start();
  const keys = keyFiles.map((file) => publicKeyOf(readSecret(file)));
  const deployed = await deployOnce(
    path.join(home, 'bitcoin-deployment.json'),
    'Bitcoin',
    (kept) => hasBitcoin(rpcUrl, kept),
    () => deployBitcoin({ rpcUrl, keys, threshold }),
  );
  const id = chainOf(NETWORKS.regtest);
  const plan: TokenPlan = {
    id: `${id}/slip44:0`,
    chain: id,
    vault: deployed.vault,
    name: 'Bitcoin on AO',
    symbol: 'aBTC',
    decimals: 8,
    limit: 10n * 10n ** 8n,
    windowMs: WINDOW_MS,
    minWithdrawal: 20_000n,
    terms: {
      startHeight: deployed.startHeight,
      minDeposit: 10_000n,
      // What a deposit takes that must be swept alone.
      sweepFee: sweepCost(vaultOf(keys, threshold), NETWORKS.regtest, BigInt(FEE_ESTIMATE)),
      sweepMargin: SWEEP_MARGIN,
      leastRefund: leastRefundOf({ sweepMargin: SWEEP_MARGIN, finality: CONFIRMATIONS }),
      finality: CONFIRMATIONS,
    },
  };
  const { assets, items } = await processesOf(module, { ...set, keys }, [plan]);
  const chain = {
    id,
    rpcUrls: [rpcUrl],
    agreement: 1,
  };
  return {
    name: 'Bitcoin (local regtest)',
    chain: id,
    rpcUrl,
    vault: deployed.vault,
    child,
    assets,
    items,
    gateway: {
      chain: { ...chain, name: 'Bitcoin (local regtest)', finalitySeconds: (3 * BLOCK_MS) / 1000, registrarKeyFile },
      assets: assets.map((asset) => ({
        ...asset,
        minWithdrawal: String(plan.minWithdrawal),
      })),
    },
    guardian: (index) => ({
      chain: { ...chain, batchMs: 2 * pollMs, reserve: '1000000' },
      keyFile: keyFiles[index],
      assets: assets.map(({ id: asset, process }) => ({ id: asset, process })),
    }),
  };
}

/** Where the local node answers, with its login. */
export function localBitcoinUrl(home: string, port: number): string {
  return `http://${credentialsIn(home)}@127.0.0.1:${port}`;
}

/** `user:password` of the node, made once. */
function credentialsIn(home: string): string {
  const file = path.join(home, 'keys', 'bitcoin.login');
  if (!fs.existsSync(file))
    fs.writeFileSync(file, `isthmus:${randomBytes(16).toString('hex')}`, { mode: 0o600, flag: 'wx' });
  return fs.readFileSync(file, 'utf8');
}
