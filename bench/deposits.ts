/** A backlog of deposits on Ethereum, minted by guardians that come up. */
import { aoAddressToBytes } from '@isthmus/bridge';
import { encodeCoinDeposit } from '@isthmus/chains';
import { devAccount, type Stack } from '@isthmus/devnet';
import { zeroAddress } from 'viem';
import { measureBacklog } from './backlog.js';
import type { Figure } from './figure.js';

const DEPOSITS = 10_000;
const PER_BLOCK = 20;
const VALUE = 10n ** 15n;

export function run(): Promise<Figure[]> {
  return measureBacklog({
    area: 'deposits',
    deposits: DEPOSITS,
    homes: {},
    callsOfEach: 0,
    fill: (stack) => depositCoins(stack, DEPOSITS, VALUE),
    processOf: ({ deployment }) => deployment.assets.find((a) => a.address === zeroAddress)?.process ?? '',
  });
}

/** Puts the deposits on the chain, twenty to a block, and enough blocks on top to make them final. */
export async function depositCoins(stack: Stack, count: number, value: bigint): Promise<void> {
  const from = devAccount(0).address;
  const data = encodeCoinDeposit(aoAddressToBytes(devAccount(1).address), new Uint8Array());
  await rpc(stack, [{ method: 'evm_setAutomine', params: [false] }]);
  const [first] = await rpc(stack, [{ method: 'eth_getTransactionCount', params: [from, 'latest'] }]);
  let nonce = Number(first);
  for (let sent = 0; sent < count; sent += PER_BLOCK) {
    const calls = Array.from({ length: PER_BLOCK }, () => ({
      method: 'eth_sendTransaction',
      params: [
        {
          from,
          to: stack.deployment.vault,
          value: `0x${value.toString(16)}`,
          data,
          gas: '0x1d4c0',
          nonce: `0x${(nonce++).toString(16)}`,
        },
      ],
    }));
    await rpc(stack, [...calls, { method: 'evm_mine', params: [] }]);
  }
  await rpc(stack, [{ method: 'anvil_mine', params: ['0x3'] }]);
}

export async function rpc(stack: Stack, calls: readonly { method: string; params: unknown[] }[]): Promise<unknown[]> {
  const body = JSON.stringify(calls.map((call, id) => ({ jsonrpc: '2.0', id, ...call })));
  const response = await fetch(stack.rpcUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const answers = (await response.json()) as { result?: unknown; error?: { message: string } }[];
  const failed = answers.find((a) => a.error);
  if (failed?.error) throw new Error(`The chain refused the load: ${failed.error.message}`);
  return answers.map((a) => a.result);
}
