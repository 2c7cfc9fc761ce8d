/** The demo on the local Ethereum, by the accounts anvil begins with. */
import { devAccount, receiptOf } from '@isthmus/devnet';
import { createPublicClient, createWalletClient, defineChain, http, parseAbi, zeroAddress, type Hex } from 'viem';
import type { AssetAnswer, GatewayClient } from '../gateway-client.js';
import { DEMO_TAGS, type DemoChain } from './demo-chain.js';

interface DepositQuote {
  call: { to: Hex; value: string; data: Hex };
  approve: { token: Hex; spender: Hex; amount: string } | null;
}

export class EthereumDemo implements DemoChain {
  readonly name = 'Ethereum';
  private readonly client;
  private readonly wallet;

  /** @param payee Bob's address, the same as on AO */
  constructor(
    private readonly gateway: GatewayClient,
    rpcUrl: string,
    readonly payee: Hex,
  ) {
    const chain = defineChain({
      id: 31_337,
      name: 'devnet',
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: [rpcUrl] } },
    });
    this.client = createPublicClient({ chain, transport: http(), cacheTime: 0, pollingInterval: 100 });
    this.wallet = createWalletClient({ chain, transport: http(), account: devAccount(0) });
  }

  amounts({ address }: AssetAnswer): { there: string; back: string } {
    return address === zeroAddress ? { there: '1', back: '0.4' } : { there: '250', back: '100' };
  }

  async deposit(asset: AssetAnswer, amount: bigint, recipient: string): Promise<string> {
    const request = { direction: 'deposit', asset: asset.id, amount: String(amount), recipient, tags: DEMO_TAGS };
    const { approve, call } = await this.gateway.post<DepositQuote>('/v1/quotes', request);
    if (approve) {
      const { token, spender, amount: allowed } = approve;
      await this.mined(
        await this.wallet.writeContract({
          address: token,
          abi: parseAbi(['function approve(address,uint256) returns (bool)']),
          functionName: 'approve',
          args: [spender, BigInt(allowed)],
        }),
      );
    }
    const hash = await this.wallet.sendTransaction({ to: call.to, value: BigInt(call.value), data: call.data });
    await this.mined(hash);
    return hash;
  }

  paid({ address }: AssetAnswer): Promise<bigint> {
    if (address === zeroAddress) return this.client.getBalance({ address: this.payee });
    return this.client.readContract({
      address: address as Hex,
      abi: parseAbi(['function balanceOf(address) view returns (uint256)']),
      functionName: 'balanceOf',
      args: [this.payee],
    });
  }

  private async mined(hash: Hex): Promise<void> {
    const receipt = await receiptOf(this.client, hash);
    if (receipt.status !== 'success') throw new Error(`Transaction ${hash} reverted.`);
  }
}
