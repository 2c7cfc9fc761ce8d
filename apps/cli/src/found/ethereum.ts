/** The vault's contract on a chain of Ethereum's family, at the address that follows from its guardians. */
import { vaultAbi } from '@isthmus/chains';
import { CONTRACT_FACTORY, vaultContract } from '@isthmus/founding';
import {
  BaseError,
  createPublicClient,
  createWalletClient,
  defineChain,
  formatEther,
  http,
  InsufficientFundsError,
  parseEventLogs,
  type PublicClient,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { z } from 'zod';
import { compileContracts } from '../../../../contracts/ethereum/compile.js';
import { keyOf } from '../files.js';
import { CommandError } from '../said.js';
import { shownAsset, type Plan, type PlannedHome } from './plan.js';
import { OWN, type FoundedHome } from './step.js';

/** A transaction that pays what is asked is in a block long before. */
const MINED_MS = 600_000;

const fields = z.looseObject({ relayerKeyFile: z.string().min(1), finality: z.unknown() });

/** @throws CommandError when the chain is another, or has no factory */
export async function foundEthereum({ chain, assets }: PlannedHome, plan: Plan): Promise<FoundedHome> {
  const { id, rpcUrls, agreement, name } = chain;
  const { relayerKeyFile, finality } = fields.parse(chain);
  const payer = privateKeyToAccount(keyOf(relayerKeyFile));
  const [url = ''] = rpcUrls;
  const viemChain = defineChain({
    id: Number(id.slice('eip155:'.length)),
    name,
    nativeCurrency: { name, symbol: 'coin', decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
  const client = createPublicClient({ chain: viemChain, transport: http(), cacheTime: 0 });
  const asked = <T>(answer: Promise<T>): Promise<T> =>
    answer.catch((error: unknown) => {
      const why = error instanceof BaseError ? wordsOf(error, payer.address) : 'it gives no answer';
      throw new CommandError(`The first source of ${id}: ${why}`);
    });
  const there = await asked(client.getChainId());
  if (there !== viemChain.id) throw new CommandError(`The first source of ${id} serves eip155:${there}.`);
  if ((await asked(client.getCode({ address: CONTRACT_FACTORY }))) === undefined)
    throw new CommandError(
      `${id} has no contract factory at ${CONTRACT_FACTORY}: it is put there as github.com/Arachnid/deterministic-deployment-proxy says.`,
    );
  const compiled = compileContracts()['Vault'];
  if (!compiled) throw new CommandError('The contracts are not compiled: npm run build.');
  const { address, data } = vaultContract(compiled, plan.guardians, plan.threshold, plan.pauseThreshold);
  const isDone = async (): Promise<boolean> => (await asked(client.getCode({ address }))) !== undefined;
  const make = async (): Promise<void> => {
    const wallet = createWalletClient({ chain: viemChain, transport: http(), account: payer });
    const hash = await asked(wallet.sendTransaction({ to: CONTRACT_FACTORY, data }));
    const { status } = await asked(client.waitForTransactionReceipt({ hash, timeout: MINED_MS }));
    if (status !== 'success') throw new CommandError(`Transaction ${hash} made no vault: it reverted.`);
  };
  const cost = async (): Promise<string> => {
    if (await isDone()) return 'nothing';
    const gas = await asked(client.estimateGas({ account: payer.address, to: CONTRACT_FACTORY, data }));
    return `about ${formatEther(gas * (await asked(client.getGasPrice())))} of the coin, paid by ${payer.address}`;
  };
  const read = { id, agreement, finality, vault: address };
  return {
    steps: [{ what: `${id}: vault ${address}`, cost: await cost(), isDone, make }],
    keys: [],
    tokens: assets.map((asset) => ({ ...asset, chain: id, vault: address })),
    gateway: async (processes) => ({
      chain: { ...chain, vault: address, deployBlock: await asked(deployBlock(client, address)) },
      assets: assets.map((asset, i) => shownAsset(asset, processes[i] ?? '')),
    }),
    guardian: async (processes) => ({
      chain: { ...read, rpcUrls: OWN.rpcUrls, deployBlock: await asked(deployBlock(client, address)) },
      assets: assets.map((asset, i) => ({ id: asset.id, address: asset['address'], process: processes[i] })),
    }),
    left: assets.map(
      ({ id: asset, limit, windowMs, ...rest }) =>
        `The vault takes no ${asset} before ${plan.threshold} guardians have decided so, each with: isthmus decide list open ${limit} ${windowMs} ${String(rest['minDeposit'])} --asset ${asset} --guardian <its configuration>`,
    ),
  };
}

function wordsOf(error: BaseError, payer: string): string {
  const short = error.walk((cause) => cause instanceof InsufficientFundsError) !== null;
  return short
    ? `${payer} has too little of the coin to pay for this: send it some, and run this again.`
    : error.shortMessage;
}

/** The block a vault was made in; 0 before it is. */
async function deployBlock(client: PublicClient, address: `0x${string}`): Promise<number> {
  const logs = await client.getLogs({ address, fromBlock: 0n, toBlock: 'latest' });
  const [first] = parseEventLogs({ abi: vaultAbi, logs, eventName: 'GuardiansRotated' }) as { blockNumber: bigint }[];
  return Number(first?.blockNumber ?? 0n);
}
