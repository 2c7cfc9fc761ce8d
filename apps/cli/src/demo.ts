/** `isthmus demo`: both assets there and back through the running stack, every figure read back from the chain and the processes. */
import { randomBytes } from 'node:crypto';
import { createItem, ethereumSigner, type Tag } from '@isthmus/ao';
import { formatUnits, parseUnits } from '@isthmus/bridge';
import { devAccount, devKey, receiptOf } from '@isthmus/devnet';
import { createPublicClient, createWalletClient, defineChain, http, parseAbi, zeroAddress, type Hex } from 'viem';
import { GatewayClient, type AssetAnswer, type BooksAnswer, type TransferAnswer } from './gateway-client.js';
import { portsInUse } from './settings.js';

interface DepositQuote {
  call: { to: Hex; value: string; data: Hex };
  approve: { token: Hex; spender: Hex; amount: string } | null;
  minimum: string;
  fee: string;
}

interface WithdrawalQuote {
  maxFee: string;
  receiveAtLeast: string;
  message: { target: string; tags: Tag[] };
}

/** Accounts of the demo: the depositor pays on Ethereum, Alice and Bob hold on AO. */
const DEPOSITOR = 0;
const ALICE = 1;
const BOB = 2;

export async function demo(): Promise<void> {
  const ports = portsInUse(process.env);
  const gateway = new GatewayClient(`http://127.0.0.1:${ports.gateway}`);
  const run = new Demo(gateway, `http://127.0.0.1:${ports.anvil}`);
  await run.play();
}

class Demo {
  /** Id of the withdrawal shown last. */
  private last = '';
  private readonly client;
  private readonly wallet;

  constructor(
    private readonly gateway: GatewayClient,
    rpcUrl: string,
  ) {
    const chain = defineChain({
      id: 31_337,
      name: 'devnet',
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: [rpcUrl] } },
    });
    this.client = createPublicClient({ chain, transport: http(), cacheTime: 0, pollingInterval: 100 });
    this.wallet = createWalletClient({ chain, transport: http(), account: devAccount(DEPOSITOR) });
  }

  async play(): Promise<void> {
    const { assets } = await this.gateway.get<{ assets: AssetAnswer[] }>('/v1/assets');
    for (const [asset, text, back] of [
      [this.pick(assets, true), '1', '0.4'],
      [this.pick(assets, false), '250', '100'],
    ] as const) {
      await this.thereAndBack(asset, parseUnits(text, asset.decimals), parseUnits(back, asset.decimals));
    }
    await this.showBooks(assets);
    await this.showNext();
  }

  /** Where to look next; what is on Arweave only where the stack settles. */
  private async showNext(): Promise<void> {
    const settles = await this.gateway.get('/v1/settlement').then(
      () => true,
      () => false,
    );
    const next: [command: string, what: string][] = [
      ['audit', 'every mint traced to its deposit, every release to its burn, on your own machine'],
      ...(settles
        ? ([
            ['settlement', 'the bundles on Arweave, where all of this is within seconds'],
            ['replay', 'everything rebuilt from Arweave alone, and compared'],
          ] as [string, string][])
        : []),
    ];
    console.log('\n━━ Next');
    for (const [command, what] of next) console.log(`   npm run -s isthmus -- ${command.padEnd(10)}  ${what}`);
    if (settles)
      console.log(
        `   curl -s ${this.gateway.url}/v1/transfers/${this.last}  each step with its bundle and transaction`,
      );
  }

  private pick(assets: AssetAnswer[], coin: boolean): AssetAnswer {
    const asset = assets.find((a) => (a.address === zeroAddress) === coin);
    if (!asset) throw new Error('The gateway does not bridge the assets of the demo.');
    return asset;
  }

  private async thereAndBack(asset: AssetAnswer, amount: bigint, back: bigint): Promise<void> {
    const [alice, bob] = [devAccount(ALICE).address, devAccount(BOB).address];
    console.log(`\n━━ ${formatUnits(amount, asset.decimals)} ${asset.symbol}: Ethereum → AO → Ethereum`);
    const before = await this.balance(asset, alice);
    const deposit = await this.deposit(asset, amount, alice);
    this.show(asset, deposit);
    const credited = (await this.balance(asset, alice)) - before;
    console.log(`   Alice’s balance on AO rose by ${formatUnits(credited, asset.decimals)} ${asset.symbol}`);

    const bobBefore = await this.balance(asset, bob);
    await this.send(ALICE, asset.process, { Action: 'Transfer', Recipient: bob, Quantity: String(back) });
    const received = (await this.balance(asset, bob)) - bobBefore;
    console.log(`   Alice sent Bob ${formatUnits(received, asset.decimals)} ${asset.symbol} on AO`);

    const paidBefore = await this.chainBalance(asset, bob);
    const withdrawal = await this.withdraw(asset, back, bob);
    this.show(asset, withdrawal);
    const paid = (await this.chainBalance(asset, bob)) - paidBefore;
    console.log(
      `   Bob’s balance on Ethereum rose by ${formatUnits(paid, asset.decimals)} (fee ${formatUnits(BigInt(withdrawal.fee), asset.decimals)})`,
    );
    if (credited !== amount || paid + BigInt(withdrawal.fee) !== back)
      throw new Error('What arrived is not what was sent.');
  }

  private async deposit(asset: AssetAnswer, amount: bigint, recipient: string): Promise<TransferAnswer> {
    const quote = await this.gateway.post<DepositQuote>('/v1/quotes', {
      direction: 'deposit',
      asset: asset.id,
      amount: String(amount),
      recipient,
      tags: [{ name: 'X-Demo', value: 'there and back' }],
    });
    if (quote.approve) {
      const { token, spender, amount: allowed } = quote.approve;
      await this.mined(
        await this.wallet.writeContract({
          address: token,
          abi: parseAbi(['function approve(address,uint256) returns (bool)']),
          functionName: 'approve',
          args: [spender, BigInt(allowed)],
        }),
      );
    }
    const hash = await this.wallet.sendTransaction({
      to: quote.call.to,
      value: BigInt(quote.call.value),
      data: quote.call.data,
    });
    await this.mined(hash);
    const { id } = await this.gateway.find(`source=${hash}`);
    console.log(`   deposit ${id}`);
    await this.gateway.follow(id, (state) => console.log(`     … ${state}`));
    return this.gateway.proven(id, 'final');
  }

  private async withdraw(asset: AssetAnswer, amount: bigint, recipient: string): Promise<TransferAnswer> {
    const quote = await this.gateway.post<WithdrawalQuote>('/v1/quotes', {
      direction: 'withdrawal',
      asset: asset.id,
      amount: String(amount),
      recipient,
    });
    const message = await this.send(
      BOB,
      quote.message.target,
      Object.fromEntries(quote.message.tags.map((t) => [t.name, t.value])),
    );
    const { id } = await this.gateway.find(`message=${message}`);
    this.last = id;
    console.log(`   withdrawal ${id}`);
    return this.gateway.follow(id, (state) => console.log(`     … ${state}`));
  }

  /** Sends a signed message and waits for its result. Returns its id. @throws Error when the process refuses it */
  private async send(account: number, process: string, tags: Record<string, string>): Promise<string> {
    const all = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...tags };
    const list = Object.entries(all).map(([name, value]) => ({ name, value }));
    const item = await createItem(
      { target: process, anchor: randomBytes(16).toString('hex'), tags: list, data: '' },
      ethereumSigner(devKey(account)),
    );
    await this.gateway.sendItem(item.raw);
    const result = await this.gateway.get<{ Error?: string; Messages: { Tags: Tag[]; Data: string }[] }>(
      `/cu/result/${item.id}?process-id=${process}`,
    );
    const refused = result.Messages.find((m) => m.Tags.some((t) => t.name === 'Error'));
    if (result.Error !== undefined || refused)
      throw new Error(`The token process refused: ${result.Error ?? refused?.Data}`);
    return item.id;
  }

  private async balance(asset: AssetAnswer, account: string): Promise<bigint> {
    return BigInt(
      await this.gateway.read(asset.process, [
        { name: 'Action', value: 'Balance' },
        { name: 'Target', value: account },
      ]),
    );
  }

  private chainBalance(asset: AssetAnswer, account: Hex): Promise<bigint> {
    if (asset.address === zeroAddress) return this.client.getBalance({ address: account });
    return this.client.readContract({
      address: asset.address,
      abi: parseAbi(['function balanceOf(address) view returns (uint256)']),
      functionName: 'balanceOf',
      args: [account],
    });
  }

  private async mined(hash: Hex): Promise<void> {
    const receipt = await receiptOf(this.client, hash);
    if (receipt.status !== 'success') throw new Error(`Transaction ${hash} reverted.`);
  }

  private show(asset: AssetAnswer, t: TransferAnswer): void {
    console.log(
      `   ${t.direction} of ${formatUnits(BigInt(t.amount), asset.decimals)} ${asset.symbol} is ${t.state}; its timeline:`,
    );
    for (const { at, kind, proof } of t.timeline) {
      const facts = Object.entries(proof).map(([k, v]) => `${k} ${short(String(v))}`);
      console.log(`     ${at.slice(11, 23)}  ${kind.padEnd(17)} ${facts.join('  ')}`);
    }
  }

  private async showBooks(assets: AssetAnswer[]): Promise<void> {
    const { books } = await this.gateway.get<{ books: BooksAnswer[] }>('/v1/books');
    console.log('\n━━ Books');
    for (const b of books) {
      const asset = assets.find((a) => a.id === b.asset);
      const units = (v: string) => formatUnits(BigInt(v), asset?.decimals ?? 0).padStart(12);
      console.log(
        `   ${(asset?.symbol ?? b.asset).padEnd(6)} locked ${units(b.locked)}  supply ${units(b.supply)}  in flight ${units(b.inFlight)}  ${b.ok ? 'covered' : 'SHORT'}  (block ${b.height}, slot ${b.slot})`,
      );
    }
    if (books.some((b) => !b.ok)) throw new Error('The books do not hold.');
  }
}

const short = (value: string): string => (value.length > 46 ? `${value.slice(0, 10)}…${value.slice(-6)}` : value);
