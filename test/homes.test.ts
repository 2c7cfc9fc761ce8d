/** Bitcoin and Solana on the real stack: there and back by what people are given, whoever is killed on the way. */
import type { ReplayReport } from '@isthmus/arweave';
import { devAccount } from '@isthmus/devnet';
import { GatewayClient, type AssetAnswer } from '../apps/cli/src/gateway-client.js';
import { BitcoinDemo } from '../apps/cli/src/demo/bitcoin.js';
import type { DemoChain } from '../apps/cli/src/demo/demo-chain.js';
import { SolanaDemo } from '../apps/cli/src/demo/solana.js';
import { isthmus } from './isthmus.js';
import { Stage } from './stage.js';

const HOLDER = 3;
let stage: Stage;
let assets: AssetAnswer[];

beforeAll(async () => {
  stage = await Stage.open({ homes: true, arweaveBlockMs: 500 });
  ({ assets } = await stage.get<{ assets: AssetAnswer[] }>('/v1/assets'));
});
afterAll(() => stage.close());

function homeOf(chain: string): DemoChain {
  const gateway = new GatewayClient(stage.stack.gatewayUrl);
  const home = stage.stack.homes.find((h) => h.chain === chain);
  if (!home) throw new Error(`The stack has no ${chain}.`);
  return chain.startsWith('bip122:') ? new BitcoinDemo(gateway, home.rpcUrl) : new SolanaDemo(gateway, home.rpcUrl);
}

function assetOf(symbol: string): AssetAnswer {
  const asset = assets.find((a) => a.symbol === symbol);
  if (!asset) throw new Error(`${symbol} is not bridged.`);
  return asset;
}

/** What is credited of a deposit. */
const creditedOf = async (asset: AssetAnswer, amount: bigint, recipient: string): Promise<bigint> => {
  const request = { direction: 'deposit', asset: asset.id, amount: String(amount), recipient };
  const gateway = new GatewayClient(stage.stack.gatewayUrl);
  return BigInt((await gateway.post<{ receive: string }>('/v1/quotes', request)).receive);
};

const suggestedFee = async (asset: AssetAnswer, amount: bigint, recipient: string): Promise<bigint> => {
  const request = { direction: 'withdrawal', asset: asset.id, amount: String(amount), recipient };
  const gateway = new GatewayClient(stage.stack.gatewayUrl);
  return BigInt((await gateway.post<{ maxFee: string }>('/v1/quotes', request)).maxFee);
};

/** Kills one as `kill -9` does; its supervisor starts it again. */
function kill({ pid }: { pid: number | undefined }): void {
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
}

/** One asset's way there and back, in base units. */
class Way {
  readonly asset: AssetAnswer;
  private readonly home: DemoChain;
  private readonly holder = devAccount(HOLDER).address;
  private credited = 0n;
  private maxFee = 0n;
  private mark = '';

  constructor(
    symbol: string,
    private readonly there: bigint,
    private readonly back: bigint,
  ) {
    this.asset = assetOf(symbol);
    this.home = homeOf(this.asset.chain);
  }

  async deposit(): Promise<void> {
    const { asset, there, holder } = this;
    // A gateway that has just begun, again or at all, does not know every home yet.
    this.credited = await stage.until('a deposit is offered', () => creditedOf(asset, there, holder));
    this.mark = `source=${await this.home.deposit(asset, there, holder)}`;
  }

  async minted(): Promise<void> {
    const { amount } = await stage.transfer(this.mark, 'minted');
    expect(amount).toBe(String(this.credited));
    expect(await stage.balance(this.holder, this.asset.process)).toBe(this.credited);
  }

  async withdraw(): Promise<void> {
    const { asset, back, home } = this;
    this.maxFee = await suggestedFee(asset, back, home.payee);
    const { id, raw } = await stage.withdrawal(HOLDER, back, home.payee, this.maxFee, asset.process);
    await stage.send(raw);
    this.mark = `message=${id}`;
  }

  async released(): Promise<void> {
    const { asset, back, home, credited } = this;
    const released = await stage.transfer(this.mark, 'released');
    const fee = BigInt(released.fee);
    expect(fee <= this.maxFee).toBe(true);
    expect(await home.paid(asset)).toBe(back - fee);
    expect(released.releaseTx).not.toBeNull();
    const { supply, inFlight, ok } = await stage.books(asset.id);
    expect({ supply, inFlight, ok }).toEqual({ supply: String(credited - back), inFlight: '0', ok: true });
  }
}

it('I1 I2 I3 I12 X4 what is bridged goes to AO and back, exact to the base unit, though gateway and guardians are killed on the way', async () => {
  const ways = [
    new Way('aBTC', 50_000_000n, 20_000_000n),
    new Way('aSOL', 2_000_000_000n, 800_000_000n),
    new Way('asUSD', 250_000_000n, 100_000_000n),
  ];
  for (const way of ways) await way.deposit();
  kill(stage.stack.guardians[0] as { pid: number });
  for (const way of ways) await way.minted();
  for (const way of ways) await way.withdraw();
  kill(stage.stack.gateway);
  kill(stage.stack.guardians[1] as { pid: number });
  for (const way of ways) await way.released();
});

it('I11 everything on three families of chains is rebuilt from Arweave and their nodes: state, index, and the books that the gateway shows', async () => {
  const holder = devAccount(HOLDER).address;
  await stage.transfer(`source=${await stage.deposit(10n ** 17n, holder)}`, 'minted');
  await stage.settled(assets.map((a) => a.process));
  const nodes = [`eip155:31337=${stage.stack.rpcUrl}`, ...stage.stack.homes.map((h) => `${h.chain}=${h.rpcUrl}`)];
  const from = ['--from', stage.stack.arweave?.url ?? '', '--scheduler', await stage.scheduler()];
  const compare = ['--compare', stage.stack.gatewayUrl, '--json'];
  const { code, out, err } = await isthmus('replay', ...from, ...compare, '--rpc', ...nodes);
  expect([code, err]).toEqual([0, '']);
  const { report, different } = JSON.parse(out) as { report: ReplayReport; different: string[] };
  expect(different).toEqual([]);
  const { books } = await stage.get<{ books: { asset: string; locked: string }[] }>('/v1/books');
  const told = ({ asset, locked, supply, inFlight, releasedUnattested }: Partial<ReplayReport['books'][number]>) =>
    [asset, locked, supply, inFlight, releasedUnattested].join(' ');
  expect(report.books.map(told).toSorted()).toEqual(books.map(told).toSorted());
  expect(books).toHaveLength(assets.length);
});
