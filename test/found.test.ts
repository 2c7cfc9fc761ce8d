/** A bridge is brought into being on bare nodes, as an operator does it with `isthmus found`: what it prints is what gateway and guardians run with, and deposits on all three families are minted. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { aoAddressToBytes } from '@isthmus/bridge';
import { encodeCoinDeposit, publicKeyOf, solana } from '@isthmus/chains';
import {
  call,
  devAccount,
  devKey,
  devWallet,
  Purse,
  Solana,
  startAnvil,
  startBitcoin,
  SupervisedChild,
  type Anvil,
  type LocalBitcoin,
} from '@isthmus/devnet';
import {
  freePort,
  freePorts,
  projectRoot,
  startEmbeddedPostgres,
  writeKeyFile,
  type EmbeddedPostgres,
} from '@isthmus/store';
import { Connection, PublicKey } from '@solana/web3.js';
import { createTestClient, createWalletClient, http, type Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { foundry } from 'viem/chains';
import { BitcoinDemo } from '../apps/cli/src/demo/bitcoin.js';
import { SolanaDemo } from '../apps/cli/src/demo/solana.js';
import { found } from '../apps/cli/src/found/found.js';
import { GatewayClient, type AssetAnswer, type TransferAnswer } from '../apps/cli/src/gateway-client.js';

const PATIENCE_MS = 180_000;
const LOOK_MS = 100;
const SOL = 1_000_000_000;
/** Two of three decide, and the third is not there. */
const PRESENT = [0, 1];
const HOLDER = devAccount(4).address;
/** Anvil's account that founds and relays. */
const RELAYER = 9;

interface Founded {
  gateway: { chain: { id: string; vault?: Hex } }[];
  guardian: { chain: { id: string; rpcUrls: string[] }; keyFile?: string; assets: { id: string; process: string }[] }[];
  scheduler: string;
  left: string[];
}

let home: string;
let anvil: Anvil;
let bitcoin: LocalBitcoin;
let chain: Solana;
let postgres: EmbeddedPostgres;
let port: number;
let ports: number;
const children: SupervisedChild[] = [];
const file = (...parts: string[]): string => path.join(home, ...parts);

beforeAll(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-found-'));
  fs.chmodSync(home, 0o755);
  [port, ports] = [await freePort(), await freePorts(PRESENT.length)];
  [anvil, bitcoin, chain, postgres] = await Promise.all([
    startAnvil(),
    startBitcoin({ wallet: Purse.of('faucet') }),
    Solana.start({ slotMs: 50, finalizedAfter: 40 }),
    startEmbeddedPostgres({ dataDir: file('postgres'), port: await freePort() }),
  ]);
  for (const name of ['gateway', ...PRESENT.map((i) => `guardian_${i}`)]) await postgres.databases.create(name);
  for (const name of ['founder', 'scheduler', 'messenger', 'registrar', 'relayer.solana']) key(name);
  key('relayer', devKey(RELAYER));
});
afterAll(async () => {
  for (const child of children) await child.stop();
  await Promise.all([anvil.stop(), bitcoin.stop(), chain.stop(), postgres.stop()]);
  fs.rmSync(home, { recursive: true, force: true });
});

const secrets = new Map<string, Hex>();
/** File of a key by this name, made when it is asked for first. */
function key(name: string, made: Hex = `0x${randomBytes(32).toString('hex')}`): string {
  if (!secrets.has(name)) {
    secrets.set(name, made);
    writeKeyFile(file(`${name}.key`), made);
  }
  return file(`${name}.key`);
}
function secret(name: string): Hex {
  key(name);
  return secrets.get(name) as Hex;
}
const bytes = (name: string): Buffer => Buffer.from(secret(name).slice(2), 'hex');
const guardians = ['guardian_0', 'guardian_1', 'guardian_2'];
const bitcoinUrl = (): string => bitcoin.url.replace('http://', `http://${bitcoin.credentials}@`);
const relayerOnSolana = (): string => solana.publicKeyOf(bytes('relayer.solana'));

function planFile(): string {
  const regtest = 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328';
  const cluster = `solana:${chain.genesisHash.slice(0, 32)}`;
  const hour = { windowMs: 3_600_000 };
  const plan = {
    gatewayUrl: `http://127.0.0.1:${port}`,
    founderKeyFile: key('founder'),
    guardians: guardians.map((name) => privateKeyToAccount(secret(name)).address),
    threshold: 2,
    pauseThreshold: 1,
    homes: [
      {
        chain: {
          id: 'eip155:31337',
          name: 'Ethereum',
          rpcUrls: [anvil.url],
          finality: { tag: 'finalized' },
          finalitySeconds: 3,
          relayerKeyFile: key('relayer'),
        },
        assets: [
          {
            id: 'eip155:31337/slip44:60',
            address: `0x${'0'.repeat(40)}`,
            symbol: 'aETH',
            name: 'Ether on AO',
            decimals: 18,
            minDeposit: '1000',
            minWithdrawal: '1000',
            limit: String(10n ** 21n),
            ...hour,
          },
        ],
      },
      {
        chain: {
          id: regtest,
          name: 'Bitcoin',
          rpcUrls: [bitcoinUrl()],
          finalitySeconds: 10,
          registrarKeyFile: key('registrar'),
        },
        keys: guardians.map((name) => publicKeyOf(bytes(`${name}.bitcoin`))),
        terms: 'start=432 least=10000 fee=2000 margin=72 refund=160 final=*:2',
        assets: [
          {
            id: `${regtest}/slip44:0`,
            symbol: 'aBTC',
            name: 'Bitcoin on AO',
            decimals: 8,
            minWithdrawal: '20000',
            limit: '1000000000',
            ...hour,
          },
        ],
      },
      {
        chain: {
          id: cluster,
          name: 'Solana',
          rpcUrls: [chain.url],
          finalitySeconds: 1,
          relayerKeyFile: key('relayer.solana'),
          nonces: 2,
        },
        keys: guardians.map((name) => solana.publicKeyOf(bytes(`${name}.solana`))),
        assets: [
          {
            id: `${cluster}/slip44:501`,
            symbol: 'aSOL',
            name: 'SOL on AO',
            decimals: 9,
            minDeposit: '1000000',
            minWithdrawal: '5000000',
            relayFee: '20000',
            limit: String(10n ** 12n),
            ...hour,
          },
        ],
      },
    ],
  };
  fs.writeFileSync(file('plan.json'), JSON.stringify(plan));
  return file('plan.json');
}

/** The command line, as it is built, while the chains of this process go on. */
async function isthmus(...words: string[]): Promise<{ status: number | null; out: string; said: string }> {
  const entry = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
  const child = spawn(process.execPath, [entry, ...words], { env: { ...process.env, ISTHMUS_HOME: home } });
  let [out, said] = ['', ''];
  child.stdout.on('data', (part: Buffer) => (out += part.toString()));
  child.stderr.on('data', (part: Buffer) => (said += part.toString()));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, out, said })));
}

async function run(name: string, app: string, at: number, config: object): Promise<SupervisedChild> {
  fs.writeFileSync(file(`${name}.json`), JSON.stringify(config), { mode: 0o600 });
  const child = new SupervisedChild({
    name,
    entry: path.join(projectRoot(), `dist/apps/${app}/src/main.js`),
    config: file(`${name}.json`),
    logFile: file(`${name}.log`),
    healthUrl: `http://127.0.0.1:${at}/health`,
  });
  await child.start();
  children.push(child);
  return child;
}

const gatewayConfig = (homes: object[]): object => ({
  databaseUrl: postgres.databases.url('gateway'),
  migrate: true,
  port,
  publicUrl: `http://127.0.0.1:${port}`,
  ao: { engine: 'embedded', schedulerKeyFile: key('scheduler'), messengerKeyFile: key('messenger') },
  homes,
  pollMs: 100,
});

/** Steps the chains that do not go by the clock, until `look` gives something. */
async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const it = await look().catch(() => null); // whatever is not there yet
    if (it !== null && it !== undefined && it !== false) return it;
    if (Date.now() > end) throw new Error(`It never came that ${what}.`);
    await createTestClient({ chain: foundry, transport: http(anvil.url), mode: 'anvil' }).mine({ blocks: 1 });
    await bitcoin.mine();
    await delay(LOOK_MS);
  }
}

it('I4 I12 founds a bridge on three chains, though it stops on the way; gateway and guardians take what it prints, and mint', async () => {
  let gateway = await run('gateway', 'gateway', port, gatewayConfig([]));
  const plan = planFile();
  const shown = await isthmus('found', plan);
  expect(shown.status).toBe(0);
  expect(shown.out).toMatch(/missing {3}eip155:31337: vault 0x.*about 0\.\d+ of the coin, paid by 0x/);
  expect(shown.out).toContain('Nothing was made. With --go 7 of 7 steps are.');

  const penniless = JSON.parse(fs.readFileSync(plan, 'utf8')) as { homes: { chain: { relayerKeyFile: string } }[] };
  if (penniless.homes[0]) penniless.homes[0].chain.relayerKeyFile = key('penniless');
  fs.writeFileSync(file('penniless.json'), JSON.stringify(penniless));
  const nothing = await isthmus('found', file('penniless.json'), '--go');
  expect(nothing.status).toBe(1);
  expect(nothing.said).toMatch(/0x[0-9a-fA-F]{40} has too little of the coin to pay for this: send it some/);

  const poor = await isthmus('found', plan, '--go');
  expect(poor.status).toBe(1);
  expect(poor.out).toMatch(/made {6}eip155:31337: vault/);
  expect(poor.said).toMatch(new RegExp(`Send ${relayerOnSolana()} SOL, if it has none`));

  const connection = new Connection(chain.url, 'confirmed');
  for (const to of [new PublicKey(relayerOnSolana()), devWallet(0).publicKey])
    await connection.requestAirdrop(to, 100 * SOL);
  await until('the relayer has SOL', async () => (await connection.getBalance(new PublicKey(relayerOnSolana()))) > 0);
  const rich = await isthmus('found', plan, '--go');
  expect(rich).toMatchObject({ status: 0, said: '' });
  expect(rich.out).toMatch(/there {5}eip155:31337: vault/);
  const again = await isthmus('found', plan, '--go', '--json');
  const { gateway: homes, guardian, scheduler, left } = JSON.parse(again.out) as Founded;
  expect(rich.out).toContain(JSON.stringify(homes, null, 2));
  expect(left.map((line) => line.split(' ', 4).join(' '))).toEqual([
    'The vault takes no',
    'Pay the vault its',
    'The terms take 2000',
    'Keep SOL on the',
  ]);
  const vault = homes[0]?.chain.vault as Hex;

  await gateway.stop();
  children.pop();
  gateway = await run('gateway', 'gateway', port, gatewayConfig(homes));
  const sources: Record<string, string> = { eip155: anvil.url, bip122: bitcoinUrl(), solana: chain.url };
  await Promise.all(
    PRESENT.map((i) =>
      run(`guardian_${i}`, 'guardian', ports + i, {
        name: `guardian_${i}`,
        keyFile: key(`guardian_${i}`),
        databaseUrl: postgres.databases.url(`guardian_${i}`),
        port: ports + i,
        gatewayUrl: `http://127.0.0.1:${port}`,
        scheduler,
        homes: guardian.map(({ chain: on, keyFile, assets }) => {
          const family = on.id.split(':', 1)[0] ?? '';
          const own = { bip122: `guardian_${i}.bitcoin`, solana: `guardian_${i}.solana` }[family];
          return {
            chain: { ...on, rpcUrls: [sources[family]] },
            ...(keyFile === undefined || own === undefined ? {} : { keyFile: key(own) }),
            assets,
          };
        }),
        pollMs: 100,
      }),
    ),
  );
  // What was left to people: the listing on Ethereum, the first coin on Bitcoin.
  const words = /isthmus (decide list .*) --guardian/.exec(left[0] ?? '')?.[1]?.split(' ') ?? [];
  for (const i of PRESENT)
    expect(await isthmus(...words, '--guardian', file(`guardian_${i}.json`))).toMatchObject({ status: 0 });
  await call(bitcoinUrl(), 'sendtoaddress', /on: (bcrt1\S+)$/.exec(left[1] ?? '')?.[1], 0.01);

  const client = new GatewayClient(`http://127.0.0.1:${port}`);
  const { assets } = await client.get<{ assets: AssetAnswer[] }>('/v1/assets');
  const assetOf = (symbol: string): AssetAnswer => assets.find((a) => a.symbol === symbol) as AssetAnswer;
  const wallet = createWalletClient({ chain: foundry, transport: http(anvil.url), account: devAccount(0) });
  const data = encodeCoinDeposit(aoAddressToBytes(HOLDER), new Uint8Array());
  const onEthereum = await until('the vault takes ether', () =>
    wallet.sendTransaction({ to: vault, value: 10n ** 16n, data }),
  );
  const onBitcoin = await until('an address is given and paid', () =>
    new BitcoinDemo(client, bitcoinUrl()).deposit(assetOf('aBTC'), 5_000_000n, HOLDER),
  );
  const onSolana = await until('a transaction is given and sent', () =>
    new SolanaDemo(client, chain.url).deposit(assetOf('aSOL'), 1_000_000_000n, HOLDER),
  );
  for (const [tx, amount] of [
    [onEthereum, 10n ** 16n],
    [onBitcoin, 5_000_000n - 2_000n],
    [onSolana, 1_000_000_000n],
  ] as const) {
    const minted = await until(`${tx} is minted`, async () => {
      const { transfers } = await client.get<{ transfers: TransferAnswer[] }>(`/v1/transfers?source=${tx}`);
      return transfers.find((t) => t.state === 'minted');
    });
    expect(minted.amount).toBe(String(amount));
  }
  // What was paid to make it is no deposit.
  const { transfers } = await client.get<{ transfers: TransferAnswer[] }>('/v1/transfers?limit=100');
  expect(transfers.filter((t) => t.asset === assetOf('aSOL').id).map((t) => t.state)).toEqual(['minted']);
});

it.each([
  ['guardians.0', (p: { guardians: string[] }) => p.guardians.splice(0, 1, p.guardians[0]?.toLowerCase() ?? '')],
  ['threshold', (p: { threshold: number }) => (p.threshold = 4)],
  ['homes.1.keys', (p: { homes: { keys: string[] }[] }) => p.homes[1]?.keys.pop()],
  ['start=999999', (p: { homes: { terms: string }[] }) => spoilTerms(p.homes)],
  ['is no asset of solana:', (p: { homes: { assets: { id: string }[] }[] }) => spoilAsset(p.homes)],
])('refuses a plan before anything is made: %s', async (words, spoil) => {
  const plan = JSON.parse(fs.readFileSync(planFile(), 'utf8')) as never;
  spoil(plan);
  fs.writeFileSync(file('bad.json'), JSON.stringify(plan));
  await expect(found(file('bad.json'), { go: true })).rejects.toThrow(words);
});

function spoilTerms([, home_]: { terms: string }[]): void {
  if (home_) home_.terms = home_.terms.replace('start=432', 'start=999999');
}
function spoilAsset([, , home_]: { assets: { id: string }[] }[]): void {
  const [asset] = home_?.assets ?? [];
  if (asset) asset.id = 'eip155:1/slip44:60';
}
