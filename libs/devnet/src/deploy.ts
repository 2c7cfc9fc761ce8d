/** What a local stack stands on: a vault with its guardians, a dollar to play with, both assets listed, and their token processes ready to be spawned. */
import { assetId, listTypedData, packSignature, type Asset, type VaultDomain } from '@isthmus/bridge';
import { ethereumSigner } from '@isthmus/ao';
import { joinSignatures, vaultAbi } from '@isthmus/chains';
import { CONTRACT_FACTORY, tokenModule, tokenSpawn, vaultContract, type AosModule } from '@isthmus/founding';
import {
  createPublicClient,
  createWalletClient,
  defineChain,
  getAddress,
  http,
  parseAbi,
  zeroAddress,
  type Abi,
  type Hex,
  type PrivateKeyAccount,
} from 'viem';
import { devAccount, devKey } from './accounts.js';
import { receiptOf } from './receipt.js';

/** A listed asset with what the local stack decides about it. Amounts in base units. */
export interface DevAsset extends Asset {
  process: string;
  minDeposit: string;
  minWithdrawal: string;
  /** Flat relay fee; null for the coin, where gas is the measure. */
  relayFee: string | null;
}

/** What was deployed; kept so that the stack goes on from it. */
export interface Deployment {
  chainId: number;
  vault: Hex;
  deployBlock: number;
  assets: DevAsset[];
  /** Module and spawn items, base64, to be sent to the scheduler (again, if need be). */
  items: string[];
}

export interface DeployOptions {
  rpcUrl: string;
  chainId: number;
  guardians: readonly PrivateKeyAccount[];
  threshold: number;
  pauseThreshold: number;
  /** Address of the scheduler that will take the processes, and of the messenger they trust. */
  scheduler: string;
  messenger: string;
  /** Put the token processes on aos instead of the lean Lua machine. */
  aos?: AosModule;
  contracts: Record<string, { abi: unknown[]; bytecode: Hex }>;
}

const HOUR = 3600;
const NOT_COMPILED = 'The contracts are not compiled: npm run build.';
const DOLLAR_DECIMALS = 6;
const LIMITS = { coin: 1_000n * 10n ** 18n, dollar: 1_000_000n * 10n ** 6n } as const;

/** Deploys vault and dollar and prepares the processes. */
export async function deploy(options: DeployOptions): Promise<Deployment> {
  const chain = new Chain(options.rpcUrl, options.chainId);
  const addresses = options.guardians.map((g) => g.address);
  const vault = await chain.makeVault(options.contracts['Vault'], addresses, options);
  const dollar = await chain.deploy(options.contracts['TestToken'], ['Devnet Dollar', 'dUSD', DOLLAR_DECIMALS]);
  for (const index of [0, 1, 2])
    await chain.write(dollar.address, parseAbi(['function mint(address,uint256)']), 'mint', [
      devAccount(index).address,
      1_000_000n * 10n ** 6n,
    ]);
  const domain = { chainId: options.chainId, vault: vault.address };
  await list(chain, domain, options, zeroAddress, LIMITS.coin, 10n ** 15n);
  await list(chain, domain, options, dollar.address, LIMITS.dollar, 10n ** 4n);
  const { assets, items } = await prepareProcesses(options, vault.address, dollar.address);
  return { chainId: options.chainId, vault: vault.address, deployBlock: vault.block, assets, items };
}

async function prepareProcesses(
  options: DeployOptions,
  vault: Hex,
  dollar: Hex,
): Promise<Pick<Deployment, 'assets' | 'items'>> {
  const signer = ethereumSigner(devKey(0));
  const module = await tokenModule(signer, options.aos);
  const chain = `eip155:${options.chainId}`;
  const plans = [
    {
      address: zeroAddress,
      symbol: 'aETH',
      name: 'Ether on AO',
      decimals: 18,
      limit: LIMITS.coin,
      minDeposit: 10n ** 15n,
      minWithdrawal: 10n ** 15n,
      relayFee: null,
    },
    {
      address: dollar,
      symbol: 'adUSD',
      name: 'Devnet Dollar on AO',
      decimals: DOLLAR_DECIMALS,
      limit: LIMITS.dollar,
      minDeposit: 10n ** 4n,
      minWithdrawal: 10n ** 6n,
      relayFee: 250_000n,
    },
  ] as const;
  const guardians = options.guardians.map((g) => g.address);
  const assets: DevAsset[] = [];
  const items = [module.raw.toString('base64')];
  for (const { limit, minDeposit, minWithdrawal, relayFee, ...plan } of plans) {
    const id = assetId(chain, plan.address);
    const token = { ...plan, id, chain, vault, limit, windowMs: HOUR * 1000, minWithdrawal };
    const spawn = await tokenSpawn(
      signer,
      module,
      token,
      { ...options, guardians, keys: [] },
      options.aos !== undefined,
    );
    items.push(spawn.raw.toString('base64'));
    assets.push({
      id,
      chain,
      ...plan,
      process: spawn.id,
      minDeposit: String(minDeposit),
      minWithdrawal: String(minWithdrawal),
      relayFee: relayFee === null ? null : String(relayFee),
    });
  }
  return { assets, items };
}

async function list(
  chain: Chain,
  domain: VaultDomain,
  { guardians, threshold }: DeployOptions,
  asset: Hex,
  limit: bigint,
  minDeposit: bigint,
): Promise<void> {
  const nonce = (await chain.client.readContract({
    address: domain.vault,
    abi: vaultAbi,
    functionName: 'decisions',
  })) as bigint;
  const data = listTypedData(domain, { asset, open: true, limit, window: HOUR, minDeposit, epoch: 1n, nonce });
  const signatures = await Promise.all(
    guardians.slice(0, threshold).map(async (g, i) => packSignature(i, await g.signTypedData(data))),
  );
  await chain.write(domain.vault, vaultAbi as Abi, 'list', [
    asset,
    true,
    limit,
    HOUR,
    minDeposit,
    joinSignatures(signatures),
  ]);
}

/** The deployer's hands on a development chain. */
class Chain {
  private readonly chain;
  readonly client;
  private readonly wallet;

  constructor(rpcUrl: string, id: number) {
    this.chain = defineChain({
      id,
      name: 'devnet',
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: [rpcUrl] } },
    });
    this.client = createPublicClient({ chain: this.chain, transport: http(), cacheTime: 0 });
    this.wallet = createWalletClient({ chain: this.chain, transport: http(), account: devAccount(0) });
  }

  async deploy(
    contract: { abi: unknown[]; bytecode: Hex } | undefined,
    args: readonly unknown[],
  ): Promise<{ address: Hex; block: number }> {
    if (!contract) throw new Error(NOT_COMPILED);
    const hash = await this.wallet.deployContract({ abi: contract.abi as Abi, bytecode: contract.bytecode, args });
    const receipt = await receiptOf(this.client, hash);
    if (!receipt.contractAddress) throw new Error('A contract could not be deployed.');
    return { address: getAddress(receipt.contractAddress), block: Number(receipt.blockNumber) };
  }

  async makeVault(
    contract: { abi: unknown[]; bytecode: Hex } | undefined,
    guardians: readonly string[],
    { threshold, pauseThreshold }: Pick<DeployOptions, 'threshold' | 'pauseThreshold'>,
  ): Promise<{ address: Hex; block: number }> {
    if (!contract) throw new Error(NOT_COMPILED);
    const { address, data } = vaultContract(contract, guardians, threshold, pauseThreshold);
    const receipt = await receiptOf(this.client, await this.wallet.sendTransaction({ to: CONTRACT_FACTORY, data }));
    if (receipt.status !== 'success') throw new Error('The vault could not be deployed.');
    return { address, block: Number(receipt.blockNumber) };
  }

  async write(address: Hex, abi: Abi, functionName: string, args: readonly unknown[]): Promise<void> {
    const hash = await this.wallet.writeContract({ address, abi, functionName, args });
    const receipt = await receiptOf(this.client, hash);
    if (receipt.status !== 'success') throw new Error(`${functionName} reverted.`);
  }
}
