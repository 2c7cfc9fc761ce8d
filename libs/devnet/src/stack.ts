/** The whole of Isthmus on one machine: database, chain, Arweave, gateway and guardians, each its own process, going on from what an earlier run kept. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { ethereumSigner, parseItem, signerOfFile } from '@isthmus/ao';
import { tokenModule, type AosModule } from '@isthmus/founding';
import {
  ConfigError,
  guardianNames,
  projectRoot,
  readKeyFile,
  startEmbeddedPostgres,
  writeKeyFile,
  type EmbeddedPostgres,
} from '@isthmus/store';
import { privateKeyToAccount } from 'viem/accounts';
import type { Hex } from 'viem';
import { startAnvil, type Anvil } from './anvil.js';
import { addressOfWallet, walletOf } from './arweave/index.js';
import { devKey } from './accounts.js';
import { deploy, type Deployment } from './deploy.js';
import { startLocalBitcoin } from './local-bitcoin.js';
import { childOf, deployOnce, type LocalHome, type LocalHomeParts } from './local-home.js';
import { startLocalSolana } from './local-solana.js';
import { SupervisedChild } from './supervisor.js';

export const CHAIN_ID = 31_337;
const THRESHOLD = 2;
const PAUSE_THRESHOLD = 1;
/** As the runbook has it: with 16 MB of young space, which is Node's own measure, much of a request outlives two young collections and is collected with the old. */
const GATEWAY_OPTIONS = ['--max-semi-space-size=64'];
/** Anvil's account the relayer pays gas from. */
const RELAYER_ACCOUNT = 9;
/** What the development wallet of the local Arweave begins with: 1,000 AR. */
const WALLET_WINSTON = 10n ** 15n;

export interface StackPorts {
  gateway: number;
  anvil: number;
  postgres: number;
  /** First of the guardians' ports. */
  guardians: number;
  /** None: no local Arweave. */
  arweave?: number;
  /** None: no local Bitcoin, and nothing of it bridged. */
  bitcoin?: number;
  /** Its RPC; the next is its websockets'. None: no local Solana, and nothing of it bridged. */
  solana?: number;
}

export interface StackOptions {
  home: string;
  ports: StackPorts;
  contracts: Record<string, { abi: unknown[]; bytecode: Hex }>;
  /** Told of each part that is up, with the milliseconds it took. */
  onPart?: (part: string, ms: number) => void;
  /** Seconds between blocks; none mines a block per transaction (tests mine by hand). */
  blockTime?: number;
  /** Milliseconds between two looks of gateway and guardians. */
  pollMs?: number;
  /** Milliseconds between two blocks of the local Arweave; none: they come by `POST /devnet/mine` only. */
  arweaveBlockMs?: number;
  /** Milliseconds between two audits the gateway has made of itself, the first at once; none unless told. */
  auditMs?: number;
  /** Keep the chain on disk. */
  keepChain?: boolean;
  /** Have the processes live on another gateway's units at this port, as they do on AO's public network, and on aos. */
  elsewhere?: { port: number; aos: AosModule };
}

/** The local Arweave of a stack. */
export interface StackArweave {
  url: string;
  /** The funded development wallet, a JWK. */
  walletFile: string;
  child: SupervisedChild;
}

export interface Stack {
  gatewayUrl: string;
  rpcUrl: string;
  deployment: Deployment;
  postgres: EmbeddedPostgres;
  anvil: Anvil;
  arweave: StackArweave | null;
  /** Home chains besides Ethereum. */
  homes: LocalHome[];
  gateway: SupervisedChild;
  guardians: SupervisedChild[];
  stop(): Promise<void>;
}

/** Starts everything. What is up already is stopped again when a later part fails. @throws Error with one line that says what to change. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).toReversed()) await one();
  };
  try {
    return await raise(options, stops, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function raise(options: StackOptions, stops: (() => Promise<void>)[], stop: () => Promise<void>): Promise<Stack> {
  const { home, ports } = options;
  const part = timer(options.onPart);
  const file = (...parts: string[]) => path.join(home, ...parts);
  makeHome(home);
  const startingArweave = startArweaveNode(options); // comes up while others do: its wallet takes seconds the first time
  stops.push(() =>
    startingArweave.then(
      (arweave) => arweave?.child.stop(),
      () => undefined, // told where it is awaited; what did not start is not stopped
    ),
  );

  const keys = makeKeys(home);
  const startingHomes = startHomes(options, keys);
  stops.push(async () => {
    for (const started of await Promise.allSettled(startingHomes))
      if (started.status === 'fulfilled') await started.value.child.stop();
  });

  const postgres = await startEmbeddedPostgres({ dataDir: file('postgres'), port: ports.postgres });
  stops.push(() => postgres.stop());
  for (const name of ['gateway', ...(options.elsewhere ? ['ao'] : []), ...guardianNames()])
    await postgres.databases.create(name);
  part('PostgreSQL');

  await endOldChain(file('anvil.pid'));
  const anvil = await startAnvil({
    port: ports.anvil,
    chainId: CHAIN_ID,
    ...(options.blockTime === undefined ? {} : { blockTime: options.blockTime }),
    ...(options.keepChain ? { stateFile: file('chain.json') } : {}),
  });
  fs.writeFileSync(file('anvil.pid'), String(anvil.pid));
  stops.push(() => anvil.stop());
  part('Ethereum (anvil)');

  const deployment = await deployEthereum(options, anvil, keys, file('deployment.json'));
  part('contracts');

  const startChild = async (
    name: string,
    entryFile: string,
    port: number,
    config: string,
    nodeOptions: readonly string[] = [],
  ): Promise<SupervisedChild> => {
    const logFile = file('logs', `${name}.log`);
    const healthUrl = `http://127.0.0.1:${port}/health`;
    const child = new SupervisedChild({ name, entry: entryFile, config, logFile, healthUrl, nodeOptions });
    await child.start();
    stops.push(() => child.stop());
    return child;
  };
  const arweave = await startingArweave;
  if (arweave) part('Arweave');
  const homes: LocalHome[] = [];
  for (const starting of startingHomes) {
    const started = await starting;
    homes.push(started);
    part(started.name);
  }

  const configs = writeConfigs(options, postgres, anvil, keys, deployment, homes, arweave);
  const startGateway = (name: string, port: number, config: string): Promise<SupervisedChild> =>
    startChild(name, built('apps/gateway/src'), port, config, GATEWAY_OPTIONS);
  const spawnProcesses = async (port: number): Promise<void> => {
    for (const item of [...deployment.items, ...homes.flatMap((h) => h.items)])
      await post(`http://127.0.0.1:${port}/mu`, Buffer.from(item, 'base64'));
    part('token processes');
  };
  if (options.elsewhere) {
    await startGateway('ao', options.elsewhere.port, configs.ao);
    part('AO units of another gateway');
    await spawnProcesses(options.elsewhere.port);
  }
  const gatewayUrl = `http://127.0.0.1:${ports.gateway}`;
  const gateway = await startGateway('gateway', ports.gateway, configs.gateway);
  part(options.elsewhere ? 'gateway' : 'gateway with AO units');
  if (!options.elsewhere) await spawnProcesses(ports.gateway);

  // All at once: most of a start is one thread loading code.
  const starting = guardianNames().map((name, i) =>
    startChild(name, built('apps/guardian/src'), ports.guardians + i, configs.guardians[i] as string),
  );
  await Promise.allSettled(starting); // whoever came up is known to be stopped, also when another did not
  const guardians = await Promise.all(starting);
  part('guardians');
  return { gatewayUrl, rpcUrl: anvil.url, deployment, postgres, anvil, arweave, homes, gateway, guardians, stop };
}

function built(folder: string): string {
  return path.join(projectRoot(), 'dist', folder, 'main.js');
}

function makeHome(home: string): void {
  try {
    fs.mkdirSync(path.join(home, 'keys'), { recursive: true, mode: 0o755 });
    fs.accessSync(home, fs.constants.W_OK);
  } catch {
    throw new ConfigError(`Cannot write ${home}: make it writable, or set ISTHMUS_HOME to a folder that is.`);
  }
}

/** A chain left behind by a killed run is ended; its state is on disk. */
async function endOldChain(pidFile: string): Promise<void> {
  if (!fs.existsSync(pidFile)) return;
  const pid = Number(fs.readFileSync(pidFile, 'utf8'));
  const command = `/proc/${pid}/cmdline`;
  const isAnvil = fs.existsSync(command) && fs.readFileSync(command, 'utf8').includes('anvil');
  if (isAnvil) {
    process.kill(pid, 'SIGTERM');
    while (fs.existsSync(command)) await new Promise((resolve) => setTimeout(resolve, 20)); // ends within its own bound: anvil writes its state and goes
  }
  fs.rmSync(pidFile);
}

interface Keys {
  scheduler: string;
  messenger: string;
  relayer: string;
  operator: string;
  receipt: string;
  guardians: string[];
  /** Of each guardian and the relayer, on chains where they have keys of their own. */
  bitcoin: string[];
  solana: string[];
  solanaRelayer: string;
  /** Signs registrations of deposit addresses. */
  registrar: string;
}

function makeKeys(home: string): Keys {
  const make = (name: string, key: () => Hex): string => {
    const file = path.join(home, 'keys', `${name}.key`);
    if (!fs.existsSync(file)) writeKeyFile(file, key());
    return file;
  };
  const random = (): Hex => `0x${randomBytes(32).toString('hex')}`;
  return {
    scheduler: make('scheduler', random),
    messenger: make('messenger', random),
    relayer: make('relayer', () => devKey(RELAYER_ACCOUNT)),
    operator: make('operator', random),
    receipt: make('receipt', random),
    guardians: guardianNames().map((name) => make(name, random)),
    bitcoin: guardianNames().map((name) => make(`${name}.bitcoin`, random)),
    solana: guardianNames().map((name) => make(`${name}.solana`, random)),
    solanaRelayer: make('relayer.solana', random),
    registrar: make('registrar', random),
  };
}

/** Home chains besides Ethereum; they come up while other parts do. */
function startHomes({ home, ports, pollMs = 500 }: StackOptions, keys: Keys): Promise<LocalHome>[] {
  const starting = async (): Promise<Omit<LocalHomeParts, 'port' | 'keyFiles'>> => ({
    home,
    threshold: THRESHOLD,
    set: {
      guardians: keys.guardians.map((k) => privateKeyToAccount(readKeyFile(k)).address),
      threshold: THRESHOLD,
      pauseThreshold: PAUSE_THRESHOLD,
      scheduler: signerOfFile(keys.scheduler).address,
      messenger: signerOfFile(keys.messenger).address,
    },
    module: await tokenModule(ethereumSigner(devKey(0))),
    pollMs,
  });
  const { bitcoin, solana } = ports;
  const homes: Promise<LocalHome>[] = [];
  if (bitcoin !== undefined)
    homes.push(
      starting().then((parts) =>
        startLocalBitcoin({ ...parts, port: bitcoin, keyFiles: keys.bitcoin, registrarKeyFile: keys.registrar }),
      ),
    );
  if (solana !== undefined)
    homes.push(
      starting().then((parts) =>
        startLocalSolana({ ...parts, port: solana, keyFiles: keys.solana, relayerKeyFile: keys.solanaRelayer }),
      ),
    );
  for (const one of homes) one.catch(() => undefined); // told where it is awaited
  return homes;
}

function deployEthereum(options: StackOptions, anvil: Anvil, keys: Keys, file: string): Promise<Deployment> {
  return deployOnce(
    file,
    'Ethereum',
    (kept: Deployment) => hasCode(anvil.url, kept.vault),
    () =>
      deploy({
        rpcUrl: anvil.url,
        chainId: CHAIN_ID,
        guardians: keys.guardians.map((k) => privateKeyToAccount(readKeyFile(k))),
        threshold: THRESHOLD,
        pauseThreshold: PAUSE_THRESHOLD,
        scheduler: signerOfFile(keys.scheduler).address,
        messenger: signerOfFile(keys.messenger).address,
        ...(options.elsewhere ? { aos: options.elsewhere.aos } : {}),
        contracts: options.contracts,
      }),
  );
}

async function hasCode(rpcUrl: string, address: Hex): Promise<boolean> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_getCode', params: [address, 'latest'] });
  const response = await fetch(rpcUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const { result } = (await response.json()) as { result?: string };
  return result !== undefined && result.length > 2;
}

function writeConfigs(
  options: StackOptions,
  postgres: EmbeddedPostgres,
  anvil: Anvil,
  keys: Keys,
  deployment: Deployment,
  locals: readonly LocalHome[],
  arweave: StackArweave | null,
): { gateway: string; ao: string; guardians: string[] } {
  const { home, ports, pollMs = 500 } = options;
  const write = (name: string, content: object): string => {
    const file = path.join(home, `${name}.json`);
    fs.writeFileSync(file, JSON.stringify(content, null, 2), { mode: 0o600 }); // holds the database's password
    return file;
  };
  const chain = {
    id: `eip155:${deployment.chainId}`,
    rpcUrls: [anvil.url],
    agreement: 1,
    finality: { tag: 'finalized' },
    vault: deployment.vault,
    deployBlock: deployment.deployBlock,
  };
  const embedded = { engine: 'embedded', schedulerKeyFile: keys.scheduler, messengerKeyFile: keys.messenger };
  const [scheduler, messenger] = [signerOfFile(keys.scheduler).address, signerOfFile(keys.messenger).address];
  const elsewhere = options.elsewhere && `http://127.0.0.1:${options.elsewhere.port}`;
  const network = { schedulerUrl: `${elsewhere}/su`, messengerUrl: `${elsewhere}/mu`, gatewayUrl: elsewhere };
  const remote = { engine: 'remote', ...network, computeUrls: [`${elsewhere}/cu`], scheduler, messenger };
  const common = (port: number) => ({
    migrate: true,
    port,
    publicUrl: `http://127.0.0.1:${port}`,
    operatorKeyFile: keys.operator,
    receiptKeyFile: keys.receipt,
    ...(options.auditMs === undefined ? {} : { audit: { everyMs: options.auditMs } }),
    pollMs,
  });
  const ao = write('ao', {
    ...common(options.elsewhere?.port ?? 0),
    databaseUrl: postgres.databases.url('ao'),
    ao: embedded,
    homes: [],
  });
  const gateway = write('gateway', {
    ...common(ports.gateway),
    databaseUrl: postgres.databases.url('gateway'),
    ao: elsewhere ? remote : embedded,
    ...(arweave && !elsewhere ? { settlement: settlementOf(arweave, 2 * pollMs) } : {}),
    homes: [
      {
        chain: { ...chain, name: 'Ethereum (local anvil)', finalitySeconds: 3, relayerKeyFile: keys.relayer },
        assets: deployment.assets.map(({ chain: _, relayFee, ...asset }) =>
          relayFee === null ? asset : { ...asset, relayFee },
        ),
      },
      ...locals.map((h) => h.gateway),
    ],
  });
  const guardians = guardianNames().map((name, i) =>
    write(name, {
      name,
      keyFile: keys.guardians[i],
      databaseUrl: postgres.databases.url(name),
      port: ports.guardians + i,
      ...(elsewhere ? { network } : { gatewayUrl: `http://127.0.0.1:${ports.gateway}` }),
      scheduler,
      homes: [
        { chain, assets: deployment.assets.map(({ id, address, process }) => ({ id, address, process })) },
        ...locals.map((h) => h.guardian(i)),
      ],
      ...(locals.length > 0 ? { turnMs: 4 * pollMs } : {}),
      modules: [parseItem(Buffer.from(deployment.items[0] as string, 'base64')).id],
      pollMs,
    }),
  );
  return { gateway, ao, guardians };
}

/** As on the public network, at the pace of a chain whose blocks come every few seconds and whose money is free. */
const settlementOf = ({ url, walletFile }: StackArweave, pollMs: number): object => ({
  arweaveUrl: url,
  walletFile,
  bundleSeconds: 2,
  confirmations: 2,
  finalConfirmations: 10,
  dropSeconds: 30,
  indexSeconds: 0, // its index never lags
  minDays: 0,
  pollMs,
});

async function startArweaveNode({ home, ports, arweaveBlockMs }: StackOptions): Promise<StackArweave | null> {
  if (ports.arweave === undefined) return null;
  const walletFile = path.join(home, 'keys', 'arweave.json');
  const fund = { [addressOfWallet(await walletOf(walletFile))]: String(WALLET_WINSTON) };
  const config = { dir: path.join(home, 'arweave'), port: ports.arweave, blockMs: arweaveBlockMs, fund };
  const url = `http://127.0.0.1:${ports.arweave}`;
  const child = childOf(home, 'arweave', config, `${url}/health`);
  await child.start();
  return { url, walletFile, child };
}

async function post(url: string, body: Buffer): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: new Uint8Array(body),
  });
  if (!response.ok)
    throw new Error(`The gateway refused an item: HTTP ${response.status} ${(await response.text()).slice(0, 300)}`);
}

function timer(onPart: StackOptions['onPart']): (part: string) => void {
  let last = performance.now();
  return (part) => {
    const now = performance.now();
    onPart?.(part, now - last);
    last = now;
  };
}
