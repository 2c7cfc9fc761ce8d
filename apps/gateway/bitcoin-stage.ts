/** A whole gateway with a home on Bitcoin for tests: a real regtest node, a real token process, and guardians whose keys the test holds. */
import fs from 'node:fs';
import path from 'node:path';
import {
  encodeProposal,
  encodeSignatures,
  networkOf,
  signBatch,
  vaultScript,
  type Batch,
  type VaultKeys,
  type VaultScript,
} from '@isthmus/chains';
import { encodeBitcoinTerms, encodeProposalLine, encodeProposalSignLine, proposalId, TERMS_TAG } from '@isthmus/bridge';
import { Purse, startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { testCluster, writeKeyFile, type TestCluster } from '@isthmus/store';
import { Transaction } from 'bitcoinjs-lib';
import type { Hex } from 'viem';
import { privateKeyToAddress } from 'viem/accounts';
import { keyOf, makeVault, urlOf } from '../../libs/chains/src/bitcoin/harness.js';
import { guardianKey, Served, tagList, tokenItems, unitKeys } from './harness.js';
import { startGateway } from './src/app.js';
import { gatewaySchema, type GatewayConfig } from './src/config.js';
import { BitcoinHome } from './src/homes/bitcoin/home.js';

export const BITCOIN = 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328';
export const BTC = `${BITCOIN}/slip44:0`;
export const NETWORK = networkOf(BITCOIN);
const LIMIT = 10n ** 12n;
/** Satoshis each deposit is credited with less. */
export const SWEEP_FEE = 700n;
const TERMS = {
  minDeposit: 30_000n,
  sweepFee: SWEEP_FEE,
  sweepMargin: 10,
  leastRefund: 15,
  finality: [
    { upTo: 1_000_000n, confirmations: 2 },
    { upTo: null, confirmations: 4 },
  ],
};

export class BitcoinGateway extends Served {
  readonly purse = Purse.of('payer');
  readonly epoch = 1n;

  private constructor(
    readonly cluster: TestCluster,
    readonly bitcoin: LocalBitcoin,
    readonly vault: VaultKeys,
    /** Of the guardians' keys on Bitcoin, in the guardians' order. */
    readonly secrets: readonly Buffer[],
    ...served: ConstructorParameters<typeof Served>
  ) {
    super(...served);
  }

  /** @param before what happens while the gateway is up and the token process is not spawned yet */
  static async open(
    chain: Record<string, unknown> = {},
    more: Record<string, unknown> = {},
    before: (world: BitcoinGateway) => Promise<void> = () => Promise.resolve(),
  ): Promise<BitcoinGateway> {
    const folder = unitKeys();
    writeKeyFile(path.join(folder, 'registrar.key'), `0x${'33'.repeat(32)}`);
    const [cluster, bitcoin] = await Promise.all([testCluster(), startBitcoin({ reward: Purse.of('payer').script })]);
    const { vault, secrets } = makeVault(3, 2);
    const lock = vaultScript(vault, NETWORK);
    const guardians = secrets.map((_, i) => privateKeyToAddress(guardianKey(i)));
    const { module, spawn } = await tokenItems((own) =>
      tagList({
        'Data-Protocol': 'ao',
        Variant: 'ao.TN.1',
        Type: 'Process',
        Name: 'Bitcoin on AO',
        Ticker: 'aBTC',
        Denomination: '8',
        'Isthmus-Asset': BTC,
        'Isthmus-Chain': BITCOIN,
        'Isthmus-Vault': lock.address,
        'Isthmus-Guardians': guardians.join(','),
        'Isthmus-Guardian-Keys': secrets.map((s) => Buffer.from(keyOf(s)).toString('hex')).join(','),
        [TERMS_TAG]: encodeBitcoinTerms({ ...TERMS, startHeight: bitcoin.node.height }),
        'Isthmus-Threshold': '2',
        'Isthmus-Pause-Threshold': '1',
        'Isthmus-Epoch': '1',
        'Isthmus-Min-Withdrawal': '1000',
        'Isthmus-Limit': String(LIMIT),
        'Isthmus-Limit-Window': '3600000',
        ...own,
      }),
    );
    const file = (name: string) => path.join(folder, `${name}.key`);
    const config: GatewayConfig = gatewaySchema.parse({
      databaseUrl: await cluster.fresh(),
      migrate: true,
      port: 0,
      publicUrl: 'http://localhost:4600',
      ao: { engine: 'embedded', schedulerKeyFile: file('scheduler'), messengerKeyFile: file('messenger') },
      pollMs: 20,
      stuckMs: 200,
      rateLimit: 100_000,
      homes: [
        {
          chain: {
            id: BITCOIN,
            name: 'regtest',
            rpcUrls: [urlOf(bitcoin)],
            finalitySeconds: 4,
            refundAfter: 100,
            registrarKeyFile: file('registrar'),
            addressLimit: 1000,
            ...chain,
          },
          assets: [
            {
              id: BTC,
              symbol: 'BTC',
              name: 'Bitcoin',
              decimals: 8,
              process: spawn.id,
              minWithdrawal: '1000',
            },
          ],
        },
      ],
      ...more,
    });
    const gateway = await startGateway(config, Served.log());
    const world = new BitcoinGateway(cluster, bitcoin, vault, secrets, config, spawn.id, gateway, folder);
    await before(world);
    await world.post(module);
    await world.post(spawn);
    return world;
  }

  get lock(): VaultScript {
    return vaultScript(this.vault, NETWORK);
  }

  /** Its home, whose rounds a test may make itself. */
  get btc(): BitcoinHome {
    if (this.home instanceof BitcoinHome) return this.home;
    throw new Error('The gateway of these tests has a home on Bitcoin.');
  }

  async close(): Promise<void> {
    await this.gateway.stop();
    await this.bitcoin.stop();
    await this.cluster.close();
    fs.rmSync(this.folder, { recursive: true });
  }

  /** Pays, and gives the transaction; not mined. */
  async pay(...to: Parameters<Purse['pay']>[1]): Promise<Transaction> {
    const hex = await this.purse.pay(this.bitcoin.node, to);
    await this.bitcoin.send(hex);
    return Transaction.fromHex(hex);
  }

  /** A guardian proposes a batch on AO; the proposal's id. */
  async propose(guardian: number, batch: Batch, feeRate: bigint): Promise<Hex> {
    const { anchor, content } = encodeProposal(batch, feeRate);
    const withdrawals = batch.payouts.map((p) => p.number);
    const line = encodeProposalLine({ epoch: this.epoch, anchor, withdrawals, content });
    await this.message(guardianKey(guardian), { Action: 'Propose-Release' }, line);
    return proposalId(this.process, line);
  }

  /** A guardian signs a proposal, as `of` one of them holds the key. */
  async sign(guardian: number, id: Hex, batch: Batch, of = guardian): Promise<void> {
    const signatures = encodeSignatures(signBatch(batch, this.secrets[of] as Buffer));
    await this.message(guardianKey(guardian), { Action: 'Sign-Release' }, encodeProposalSignLine({ id, signatures }));
  }
}
