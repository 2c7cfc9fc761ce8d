/** The demo on the local Bitcoin: a deposit address of its own, paid by the node's wallet. */
import { randomBytes } from 'node:crypto';
import { formatUnits } from '@isthmus/bridge';
import { encodeAddress, NETWORKS, publicKeyOf } from '@isthmus/chains';
import { call } from '@isthmus/devnet';
import type { AssetAnswer, GatewayClient } from '../gateway-client.js';
import { DEMO_TAGS, type DemoChain } from './demo-chain.js';

interface DepositAddress {
  address: string;
  uri: string;
}

export class BitcoinDemo implements DemoChain {
  readonly name = 'Bitcoin';
  readonly payee = encodeAddress({ kind: 'p2wpkh', hash: randomBytes(20) }, NETWORKS.regtest);

  /** @param rpcUrl with its login */
  constructor(
    private readonly gateway: GatewayClient,
    private readonly rpcUrl: string,
  ) {}

  amounts(): { there: string; back: string } {
    return { there: '0.5', back: '0.2' };
  }

  async deposit(asset: AssetAnswer, amount: bigint, recipient: string): Promise<string> {
    const refund = { key: publicKeyOf(randomBytes(32)) };
    const request = { asset: asset.id, recipient, tags: DEMO_TAGS, refund };
    const { address, uri } = await this.gateway.post<DepositAddress>('/v1/deposit-addresses', request);
    console.log(`   pay ${uri}`);
    return call<string>(this.rpcUrl, 'sendtoaddress', address, formatUnits(amount, asset.decimals));
  }

  async paid(): Promise<bigint> {
    const scan = await call<{ total_amount: number }>(this.rpcUrl, 'scantxoutset', 'start', [`addr(${this.payee})`]);
    return BigInt(Math.round(scan.total_amount * 1e8)); // coins of eight places, far below 2^53 of them
  }
}
