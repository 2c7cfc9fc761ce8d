/** A whole gateway with a home on Solana for tests: the real runtime with the real token programs, real token processes, and guardians whose keys the test holds. */
import fs from 'node:fs';
import path from 'node:path';
import {
  encodeProposalLine,
  encodeProposalSignLine,
  proposalId,
  solanaAssetId,
  solanaChain,
  withdrawalId,
} from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import { devAccount, devKey } from '@isthmus/devnet';
import { testCluster, writeKeyFile, type TestCluster } from '@isthmus/store';
import { PublicKey, VersionedTransaction } from '@solana/web3.js';
import type { Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { SolanaWorld } from '../../libs/chains/src/solana/harness.js';
import { guardianKey, Served, spawnTags, tokenItems, unitKeys, until } from './harness.js';
import { startGateway } from './src/app.js';
import { gatewaySchema, type GatewayConfig } from './src/config.js';

/** Who holds on AO what is deposited: a key of anvil's. */
export const HOLDER = devAccount(5).address;
const HOLDER_KEY = devKey(5);
const SOL_DECIMALS = 9;

export class SolanaStage extends Served {
  private numbers = 0n;

  private constructor(
    readonly world: SolanaWorld,
    readonly cluster: TestCluster,
    /** CAIP-2 */
    readonly chain: string,
    ...served: ConstructorParameters<typeof Served>
  ) {
    super(...served);
  }

  static async open(change: (config: GatewayConfig) => GatewayConfig = (c) => c): Promise<SolanaStage> {
    const folder = unitKeys();
    const [cluster, world] = await Promise.all([testCluster(), SolanaWorld.open()]);
    const file = (name: string): string => path.join(folder, `${name}.key`);
    writeKeyFile(file('relayer'), `0x${Buffer.from(world.relayer.secretKey.subarray(0, 32)).toString('hex')}`);
    const chain = solanaChain(world.chain.genesisHash);
    const addresses = [0, 1, 2].map((i) => privateKeyToAccount(guardianKey(i)).address);
    const keys = world.guardians.map((g) => g.publicKey.toBase58()).join(',');
    const itemsOf = (id: string, vault: string, decimals: number) =>
      tokenItems((own) =>
        spawnTags('0x', addresses, {
          ...own,
          Denomination: String(decimals),
          'Isthmus-Asset': id,
          'Isthmus-Chain': chain,
          'Isthmus-Vault': vault,
          'Isthmus-Guardian-Keys': keys,
        }),
      );
    const [sol, token] = [solanaAssetId(chain, null), solanaAssetId(chain, world.token.mint)];
    const made = await itemsOf(sol, world.sol.address, SOL_DECIMALS);
    const other = await itemsOf(token, world.token.address, world.token.decimals);
    const shared = { minDeposit: '1000', minWithdrawal: '1000' };
    const config = change(
      gatewaySchema.parse({
        databaseUrl: await cluster.fresh(),
        migrate: true,
        port: 0,
        publicUrl: 'http://localhost:4600',
        ao: { engine: 'embedded', schedulerKeyFile: file('scheduler'), messengerKeyFile: file('messenger') },
        pollMs: 20,
        stuckMs: 500,
        rateLimit: 100_000,
        homes: [
          {
            chain: {
              id: chain,
              name: 'local Solana',
              rpcUrls: [world.chain.url],
              finalitySeconds: 13,
              relayerKeyFile: file('relayer'),
              nonces: 2,
            },
            assets: [
              {
                ...shared,
                id: sol,
                symbol: '<b>SOL</b>',
                name: 'Sol',
                decimals: SOL_DECIMALS,
                process: made.spawn.id,
                vault: world.sol.address,
              },
              {
                ...shared,
                id: token,
                symbol: 'TKN',
                name: 'Token',
                decimals: world.token.decimals,
                process: other.spawn.id,
                vault: world.token.address,
                relayFee: '500',
              },
            ],
          },
        ],
      }),
    );
    const gateway = await startGateway(config, Served.log());
    const stage = new SolanaStage(world, cluster, chain, config, made.spawn.id, gateway, folder);
    for (const item of [made.module, made.spawn, other.spawn]) await stage.post(item);
    for (const { spawn } of [made, other])
      await until('a process is known', async () => (await gateway.engine.head(spawn.id)).evaluated >= 0);
    return stage;
  }

  get sol(): string {
    return solanaAssetId(this.chain, null);
  }

  get token(): string {
    return solanaAssetId(this.chain, this.world.token.mint);
  }

  async close(): Promise<void> {
    await this.gateway.stop();
    await this.world.chain.stop();
    await this.cluster.close();
    fs.rmSync(this.folder, { recursive: true });
  }

  /** The user's wallet signs a transaction as it was given, and sends it. */
  async signAndSend(transaction: string): Promise<string> {
    const signed = VersionedTransaction.deserialize(Buffer.from(transaction, 'base64'));
    signed.sign([this.world.user]);
    return this.world.connection.sendTransaction(signed);
  }

  /** Blocks until all that has happened is final. */
  finalize(): Promise<void> {
    return this.world.chain.finalize();
  }

  /** A nonce of the relayer's pool, made by then, with its value in final state. */
  async nonce(index = 0): Promise<solana.Nonce> {
    const relayer = this.world.relayer.publicKey.toBase58();
    const account = solana.nonceAddress(relayer, index);
    return until('the nonce is made', async () => {
      await this.world.chain.tick();
      const info = await this.world.connection.getAccountInfo(new PublicKey(account), 'finalized');
      return info && { account, value: await this.world.nonceValue(new PublicKey(account)) };
    });
  }

  /** A withdrawal of SOL that was burned on AO. */
  async withdraw(
    recipient: string,
    amount = 5_000_000n,
    maxFee = 50_000n,
  ): Promise<{ number: bigint; id: Hex; amount: bigint }> {
    const tags = { Quantity: String(amount), Recipient: recipient, 'Max-Fee': String(maxFee) };
    await this.message(HOLDER_KEY, { Action: 'Withdraw', ...tags });
    this.numbers += 1n;
    return { number: this.numbers, id: withdrawalId(this.process, this.numbers), amount };
  }

  /** A plan of SOL as guardians make it. */
  plan(nonce: solana.Nonce, payouts: solana.Payout[], over: Partial<solana.ReleasePlan> = {}): solana.ReleasePlan {
    const { world } = this;
    const custody = {
      multisig: world.multisig.publicKey.toBase58(),
      guardians: world.guardians.map((g) => g.publicKey.toBase58()),
      threshold: 2,
    };
    const relayer = world.relayer.publicKey.toBase58();
    return { vault: world.sol, custody, signers: [0, 2], relayer, nonce, price: 1_000n, payouts, ...over };
  }

  /** Has the first guardian propose a plan; its id. */
  async propose(plan: solana.VaultPlan): Promise<Hex> {
    const line = encodeProposalLine({ epoch: 1n, ...solana.encodeProposal(plan) });
    await this.message(guardianKey(0), { Action: 'Propose-Release' }, line);
    return proposalId(this.process, line);
  }

  /** Has a guardian sign a proposal: its own part of the plan, or what is given instead. */
  async sign(id: Hex, guardian: number, plan: solana.VaultPlan, signatures = this.part(guardian, plan)): Promise<void> {
    await this.message(guardianKey(guardian), { Action: 'Sign-Release' }, encodeProposalSignLine({ id, signatures }));
  }

  part(guardian: number, plan: solana.VaultPlan): string {
    const seed = this.world.guardians[guardian]?.secretKey.subarray(0, 32) ?? new Uint8Array();
    return solana.signPart(solana.planMessage(plan), guardian, seed);
  }
}
