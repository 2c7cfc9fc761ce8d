/** A whole gateway with a home on Bitcoin for tests: a real regtest node, a real token process, and guardians whose keys the test holds. */
import fs from 'node:fs';
import path from 'node:path';
import { tagList } from '@isthmus/ao';
import {
  encodeAddress,
  encodeProposal,
  encodeSignatures,
  memoScript,
  networkOf,
  parseAddress,
  signBatch,
  vaultScript,
  type Batch,
  type Payout,
  type VaultCoin,
  type VaultKeys,
  type VaultScript,
} from '@isthmus/chains';
import {
  depositId,
  encodeBitcoinTerms,
  encodeDepositLine,
  encodeProposalLine,
  encodeProposalSignLine,
  proposalId,
  TERMS_TAG,
  withdrawalId,
} from '@isthmus/bridge';
import { devAccount, devKey, Purse, startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { testCluster, writeKeyFile, type TestCluster } from '@isthmus/store';
import { Transaction } from 'bitcoinjs-lib';
import type { Hex } from 'viem';
import { privateKeyToAddress } from 'viem/accounts';
import { keyOf, makeVault, secretOf, urlOf } from '../../libs/chains/src/bitcoin/harness.js';
import { guardianKey, Served, tokenItems, unitKeys, until } from './harness.js';
import type { TransferView } from './src/api/transfer-view.js';
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
  leastRefund: 30,
  finality: [
    { upTo: 1_000_000n, confirmations: 2 },
    { upTo: null, confirmations: 4 },
  ],
};

/** Who withdraws. */
export const HOLDER = devAccount(5).address;

export type Detail = TransferView & { timeline: { kind: string; proof: Record<string, string | number> }[] };

export class BitcoinGateway extends Served {
  readonly purse = Purse.of('payer');
  readonly epoch = 1n;
  private withdrawals = 0n;

  private constructor(
    readonly cluster: TestCluster,
    readonly bitcoin: LocalBitcoin,
    readonly vault: VaultKeys,
    /** Of the guardians' keys on Bitcoin, in the guardians' order. */
    readonly secrets: readonly Buffer[],
    /** As a gateway's file has them. */
    readonly homes: readonly object[],
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
    const homes = [
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
    ];
    const config: GatewayConfig = gatewaySchema.parse({
      databaseUrl: await cluster.fresh(),
      migrate: true,
      port: 0,
      publicUrl: 'http://localhost:4600',
      ao: { engine: 'embedded', schedulerKeyFile: file('scheduler'), messengerKeyFile: file('messenger') },
      pollMs: 20,
      stuckMs: 200,
      rateLimit: 100_000,
      homes,
      ...more,
    });
    const gateway = await startGateway(config, Served.log());
    const world = new BitcoinGateway(cluster, bitcoin, vault, secrets, homes, config, spawn.id, gateway, folder);
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

  /** The vault holds this much for HOLDER, minted; where the first batch begins. */
  async funded(value: bigint): Promise<VaultCoin> {
    const memo = { script: memoScript({ recipient: HOLDER, tags: [] }), value: 0n };
    const txid = (await this.pay({ address: this.lock.address, value }, memo)).getId();
    await this.bitcoin.mine(4);
    const reference = `${BITCOIN}:${txid}:0`;
    const deposit = { id: depositId(reference), reference, txHash: txid, sender: '-', recipient: HOLDER };
    const line = encodeDepositLine({ ...deposit, amount: value, tags: '-' });
    for (const guardian of [0, 1]) await this.message(guardianKey(guardian), { Action: 'Attest-Deposits' }, line);
    await until('it is minted', async () => (await this.detail(deposit.id).catch(() => null))?.state === 'minted');
    return { txid, vout: 0, value, lock: this.lock, deposit: false };
  }

  /** A withdrawal burned on AO. */
  async burned({ amount, maxFee }: { amount: bigint; maxFee: bigint }): Promise<Payout> {
    this.withdrawals += 1n;
    const number = this.withdrawals;
    const recipient = encodeAddress({ kind: 'p2wpkh', hash: secretOf(`payee ${number}`).subarray(0, 20) }, NETWORK);
    const tags = { Quantity: String(amount), Recipient: recipient, 'Max-Fee': String(maxFee) };
    await this.message(devKey(5), { Action: 'Withdraw', ...tags });
    await this.state(number, 'queued');
    return { number, script: parseAddress(recipient, NETWORK).script, amount, maxFee };
  }

  detail(id: Hex): Promise<Detail> {
    return this.get<Detail>(`/v1/transfers/${id}`);
  }

  /** A withdrawal, once it is in this state. */
  state(number: bigint, wanted: string, check: (d: Detail) => boolean = () => true): Promise<Detail> {
    return until(`${number} is ${wanted}`, async () => {
      const found = await this.detail(withdrawalId(this.process, number)).catch(() => null);
      return found?.state === wanted && check(found) ? found : null;
    });
  }

  /** Whether a transaction waits for a block on the node. */
  awaits(txid: string): boolean {
    return [...this.bitcoin.node.mempool.map.values()].some(({ tx }) => tx.txid() === txid);
  }

  /** A batch proposed and signed by the first two guardians. */
  async signed(batch: Batch, feeRate: bigint): Promise<Hex> {
    const id = await this.propose(0, batch, feeRate);
    for (const guardian of [0, 1]) await this.sign(guardian, id, batch);
    return id;
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
