/** A whole gateway for tests: real PostgreSQL, real anvil with the real vault, a real token process, and guardians whose keys the test holds. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createItem, ed25519Signer, ethereumSigner, tagList, type AoPipeline, type Item, type Tag } from '@isthmus/ao';
import { encodeDepositLine, type DepositObservation } from '@isthmus/bridge';
import { devKey } from '@isthmus/devnet';
import { createLogger, projectRoot, testCluster, writeKeyFile, type TestCluster } from '@isthmus/store';
import { keccak256, stringToHex, zeroAddress, type Hex } from 'viem';
import { Stage } from '../../contracts/ethereum/stage.js';
import { startGateway, type Gateway } from './src/app.js';
import { gatewaySchema, type GatewayConfig } from './src/config.js';
import type { Home } from './src/homes/home.js';

export const CHAIN = 'eip155:31337';
export const COIN_ID = `${CHAIN}/slip44:60`;
/** Anvil's account the relayer pays from; the stage itself uses others. */
export const RELAYER_KEY = devKey(9);

/** Keys of the stage's guardians. */
export const guardianKey = (index: number): Hex => keccak256(stringToHex(`guardian ${index}`));

export function spawnTags(vault: Hex, guardians: readonly Hex[], more: Record<string, string> = {}): Tag[] {
  return tagList({
    'Data-Protocol': 'ao',
    Variant: 'ao.TN.1',
    Type: 'Process',
    Name: 'Ether on AO',
    Ticker: 'aETH',
    Denomination: '18',
    'Isthmus-Asset': COIN_ID,
    'Isthmus-Chain': CHAIN,
    'Isthmus-Vault': vault,
    'Isthmus-Guardians': guardians.join(','),
    'Isthmus-Threshold': '2',
    'Isthmus-Pause-Threshold': '1',
    'Isthmus-Epoch': '1',
    'Isthmus-Min-Withdrawal': '1000',
    'Isthmus-Limit': String(10n ** 24n),
    'Isthmus-Limit-Window': '3600000',
    ...more,
  });
}

/** The configuration a gateway of these tests has, without key files. */
export function configOf(
  databaseUrl: string,
  stage: { vault: Hex; url: string },
  process: string,
  folder: string,
): GatewayConfig {
  const file = (name: string) => path.join(folder, `${name}.key`);
  return gatewaySchema.parse({
    databaseUrl,
    migrate: true,
    port: 0,
    publicUrl: 'http://localhost:4600',
    ao: { engine: 'embedded', schedulerKeyFile: file('scheduler'), messengerKeyFile: file('messenger') },
    pollMs: 20,
    rateLimit: 100_000,
    homes: [
      {
        chain: {
          id: CHAIN,
          name: 'anvil',
          rpcUrls: [stage.url],
          finality: { confirmations: 3 },
          finalitySeconds: 3,
          vault: stage.vault,
          deployBlock: 0,
          relayerKeyFile: file('relayer'),
        },
        assets: [
          {
            id: COIN_ID,
            address: zeroAddress,
            symbol: '<b>aETH</b>',
            name: "Ether'; drop table transfer; --",
            decimals: 18,
            process,
            minDeposit: '1000',
            minWithdrawal: '1000',
          },
        ],
      },
    ],
  });
}

/** A gateway that is up, as those who use it reach it, with one token process. */
export class Served {
  private sent = 0;
  /** Everything the gateways of a file logged. */
  static readonly logged: string[] = [];

  constructor(
    readonly config: GatewayConfig,
    readonly process: string,
    public gateway: Gateway,
    /** Of its keys. */
    readonly folder: string,
  ) {}

  static log() {
    return createLogger('gateway', { write: (line: string) => void Served.logged.push(line) });
  }

  get url(): string {
    return this.gateway.url;
  }

  /** Its only home. */
  get home(): Home {
    const [home] = this.gateway.homes.all;
    if (!home) throw new Error('The gateway of these tests has a home.');
    return home;
  }

  /** The units the gateway carries. */
  get pipeline(): AoPipeline {
    if (!this.gateway.pipeline) throw new Error('The gateway of these tests carries AO itself.');
    return this.gateway.pipeline;
  }

  async restart(): Promise<void> {
    await this.gateway.stop();
    await this.begin();
  }

  /** Once it is stopped. */
  async begin(): Promise<void> {
    this.gateway = await startGateway(this.config, Served.log());
  }

  async post(item: Item): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await fetch(`${this.url}/mu`, { method: 'POST', headers, body: new Uint8Array(item.raw) });
    if (!response.ok) throw new Error(`/mu answered ${response.status}: ${await response.text()}`);
  }

  /** A message to the token process. */
  async message(key: Hex, tags: Record<string, string>, data = ''): Promise<string> {
    this.sent += 1;
    const all = tagList({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...tags });
    const anchor = String(this.sent).padStart(32, '0');
    const item = await createItem({ target: this.process, anchor, tags: all, data }, ethereumSigner(key));
    await this.post(item);
    return item.id;
  }

  attest(guardian: number, ...deposits: DepositObservation[]): Promise<string> {
    return this.message(
      guardianKey(guardian),
      { Action: 'Attest-Deposits' },
      deposits.map(encodeDepositLine).join('\n'),
    );
  }

  async get<T>(route: string): Promise<T> {
    const response = await fetch(`${this.url}${route}`);
    if (!response.ok) throw new Error(`${route} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }
}

const SEEDS = { scheduler: '11', messenger: '22' } as const;
const unitOf = (name: keyof typeof SEEDS) => ed25519Signer(Buffer.from(SEEDS[name].repeat(32), 'hex')).address;

/** A folder with the keys of a gateway's units. */
export function unitKeys(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-gateway-'));
  for (const [name, byte] of Object.entries(SEEDS))
    writeKeyFile(path.join(folder, `${name}.key`), `0x${byte.repeat(32)}`);
  return folder;
}

/** The token's module, and a process of it with these tags. */
export async function tokenItems(tags: (own: Record<string, string>) => Tag[]): Promise<{ module: Item; spawn: Item }> {
  const deployer = ethereumSigner(devKey(0));
  const kind = tagList({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  const source = fs.readFileSync(path.join(projectRoot(), 'contracts/ao/token.lua'));
  const module = await createItem({ tags: kind, data: source }, deployer);
  const own = { Module: module.id, Scheduler: unitOf('scheduler'), Authority: unitOf('messenger') };
  return { module, spawn: await createItem({ tags: tags(own), data: '' }, deployer) };
}

export class GatewayStage extends Served {
  private constructor(
    readonly cluster: TestCluster,
    readonly stage: Stage,
    ...served: ConstructorParameters<typeof Served>
  ) {
    super(...served);
  }

  static async open(change: (config: GatewayConfig) => GatewayConfig = (c) => c): Promise<GatewayStage> {
    const folder = unitKeys();
    writeKeyFile(path.join(folder, 'relayer.key'), RELAYER_KEY);
    const [cluster, stage] = await Promise.all([testCluster(), Stage.open()]);
    await stage.list(zeroAddress);
    const addresses = stage.guardians.map((g) => g.address);
    const { module, spawn } = await tokenItems((own) => spawnTags(stage.vault, addresses, own));
    const at = { vault: stage.vault, url: stage.anvil.url };
    const config = change(configOf(await cluster.fresh(), at, spawn.id, folder));
    const gateway = await startGateway(config, Served.log());
    const world = new GatewayStage(cluster, stage, config, spawn.id, gateway, folder);
    await world.post(module);
    await world.post(spawn);
    return world;
  }

  async close(): Promise<void> {
    await this.gateway.stop();
    await this.stage.anvil.stop();
    await this.cluster.close();
    fs.rmSync(this.folder, { recursive: true });
  }

  async mine(blocks: number): Promise<void> {
    await this.stage.chain.mine({ blocks });
  }
}

/** Bound on one wait; far above what anything here takes, also where a gateway is begun meanwhile on a busy machine. */
const PATIENCE_MS = 120_000;

/** Waits until `look` gives something, at most a bounded time. */
export async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`It never came: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 15)); // asked again until the end above
  }
}
