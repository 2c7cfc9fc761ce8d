/** The demo on the local Solana: the gateway's unsigned transaction, signed by a wallet that begins with something. */
import { devWallet } from '@isthmus/devnet';
import { getAssociatedTokenAddressSync } from '@solana/spl-token';
import { Connection, Keypair, PublicKey, VersionedTransaction } from '@solana/web3.js';
import type { AssetAnswer, GatewayClient } from '../gateway-client.js';
import { DEMO_TAGS, type DemoChain } from './demo-chain.js';

interface DepositQuote {
  transaction: string | null;
}

export class SolanaDemo implements DemoChain {
  readonly name = 'Solana';
  private readonly wallet = devWallet(0);
  private readonly bob = Keypair.generate().publicKey;
  readonly payee = this.bob.toBase58();
  private readonly connection: Connection;

  constructor(
    private readonly gateway: GatewayClient,
    rpcUrl: string,
  ) {
    this.connection = new Connection(rpcUrl, 'confirmed');
  }

  amounts({ mint }: AssetAnswer): { there: string; back: string } {
    return mint === null ? { there: '2', back: '0.8' } : { there: '250', back: '100' };
  }

  async deposit(asset: AssetAnswer, amount: bigint, recipient: string): Promise<string> {
    const sender = this.wallet.publicKey.toBase58();
    const request = {
      direction: 'deposit',
      asset: asset.id,
      amount: String(amount),
      recipient,
      tags: DEMO_TAGS,
      sender,
    };
    const { transaction } = await this.gateway.post<DepositQuote>('/v1/quotes', request);
    if (transaction === null) throw new Error('The gateway made no transaction for a sender that was named.');
    const signed = VersionedTransaction.deserialize(Buffer.from(transaction, 'base64'));
    signed.sign([this.wallet]);
    return this.connection.sendRawTransaction(signed.serialize());
  }

  async paid({ mint }: AssetAnswer): Promise<bigint> {
    if (mint === null || mint === undefined) return BigInt(await this.connection.getBalance(this.bob));
    const account = getAssociatedTokenAddressSync(new PublicKey(mint), this.bob, true);
    const found = await this.connection.getTokenAccountBalance(account).catch(() => null); // nobody has made it yet
    return BigInt(found?.value.amount ?? 0);
  }
}
