/** `isthmus demo`: every asset there and back through the running stack, every figure read back from the chains and the processes. */
import { randomBytes } from 'node:crypto';
import { createItem, ethereumSigner, tagList, type Tag } from '@isthmus/ao';
import { familyOf, formatUnits, parseUnits, type ChainFamily } from '@isthmus/bridge';
import { devAccount, devKey, localBitcoinUrl } from '@isthmus/devnet';
import { stateFolder } from '@isthmus/store';
import { GatewayClient, type AssetAnswer, type BooksAnswer, type TransferAnswer } from '../gateway-client.js';
import { portsInUse } from '../settings.js';
import { BitcoinDemo } from './bitcoin.js';
import type { DemoChain } from './demo-chain.js';
import { EthereumDemo } from './ethereum.js';
import { SolanaDemo } from './solana.js';

interface WithdrawalQuote {
  maxFee: string;
  receiveAtLeast: string;
  message: { target: string; tags: Tag[] };
}

/** Alice and Bob hold on AO. */
const ALICE = 1;
const BOB = 2;

export async function demo(): Promise<void> {
  const ports = portsInUse(process.env);
  const gateway = new GatewayClient(`http://127.0.0.1:${ports.gateway}`);
  const chains: Record<ChainFamily, () => DemoChain> = {
    eip155: () => new EthereumDemo(gateway, `http://127.0.0.1:${ports.anvil}`, devAccount(BOB).address),
    bip122: () => new BitcoinDemo(gateway, localBitcoinUrl(stateFolder(), ports.bitcoin)),
    solana: () => new SolanaDemo(gateway, `http://127.0.0.1:${ports.solana}`),
  };
  await new Demo(gateway, (asset) => chains[familyOf(asset.chain)]()).play();
}

class Demo {
  /** Id of the withdrawal shown last. */
  private last = '';

  constructor(
    private readonly gateway: GatewayClient,
    /** The home chain of an asset. */
    private readonly homeOf: (asset: AssetAnswer) => DemoChain,
  ) {}

  async play(): Promise<void> {
    const { assets } = await this.gateway.get<{ assets: AssetAnswer[] }>('/v1/assets');
    for (const asset of assets) await this.thereAndBack(asset, this.homeOf(asset));
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

  private async thereAndBack(asset: AssetAnswer, home: DemoChain): Promise<void> {
    const [alice, bob] = [devAccount(ALICE).address, devAccount(BOB).address];
    const units = home.amounts(asset);
    const [amount, back] = [parseUnits(units.there, asset.decimals), parseUnits(units.back, asset.decimals)];
    console.log(`\n━━ ${units.there} ${asset.symbol}: ${home.name} → AO → ${home.name}`);
    const quote = await this.gateway.post<{ fee: string; receive: string }>('/v1/quotes', {
      direction: 'deposit',
      asset: asset.id,
      amount: String(amount),
      recipient: alice,
    });
    if (quote.fee !== '0')
      console.log(
        `   what is credited is less by ${formatUnits(BigInt(quote.fee), asset.decimals)}, for moving it later`,
      );
    const before = await this.balance(asset, alice);
    const deposit = await this.deposit(asset, home, amount, alice);
    this.show(asset, deposit);
    const credited = (await this.balance(asset, alice)) - before;
    console.log(`   Alice’s balance on AO rose by ${formatUnits(credited, asset.decimals)} ${asset.symbol}`);

    const bobBefore = await this.balance(asset, bob);
    await this.send(ALICE, asset.process, { Action: 'Transfer', Recipient: bob, Quantity: String(back) });
    const received = (await this.balance(asset, bob)) - bobBefore;
    console.log(`   Alice sent Bob ${formatUnits(received, asset.decimals)} ${asset.symbol} on AO`);

    const paidBefore = await home.paid(asset);
    const withdrawal = await this.withdraw(asset, back, home.payee);
    this.show(asset, withdrawal);
    const paid = (await home.paid(asset)) - paidBefore;
    console.log(
      `   Bob’s balance on ${home.name} rose by ${formatUnits(paid, asset.decimals)} (fee ${formatUnits(BigInt(withdrawal.fee), asset.decimals)})`,
    );
    if (credited !== BigInt(quote.receive) || paid + BigInt(withdrawal.fee) !== back)
      throw new Error('What arrived is not what was sent.');
  }

  private async deposit(
    asset: AssetAnswer,
    home: DemoChain,
    amount: bigint,
    recipient: string,
  ): Promise<TransferAnswer> {
    const tx = await home.deposit(asset, amount, recipient);
    const { id } = await this.gateway.find(`source=${tx}`);
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
    const list = tagList(all);
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
