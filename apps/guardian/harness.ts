/** Guardians for tests on Ethereum, stepped by hand, with real parts around them: anvil with the vault beside the units. */
import { createItem, tagList } from '@isthmus/ao';
import { assetId } from '@isthmus/bridge';
import { devAccount, devKey } from '@isthmus/devnet';
import { tokenSource } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { Hex } from 'viem';
import { COIN, Stage } from '../../contracts/ethereum/stage.js';
import { guardianSchema, type EthereumHomeConfig, type GuardianConfig } from './src/config.js';
import {
  Door,
  guardianKey,
  lean,
  MESSENGER,
  SCHEDULER,
  Subject,
  Units,
  type Intercept,
  type UnitParts,
} from './units.js';

export { Door, guardianAddress, guardianKey, SCHEDULER, Subject } from './units.js';

export const CHAIN = 'eip155:31337';
export const CONFIRMATIONS = 3;

/** Who deposits, and holds tokens on AO. */
export const ALICE = devAccount(5).address;
export const ALICE_KEY = devKey(5);
/** Who is paid on Ethereum. */
export const PAYEE = devAccount(6).address;

/** A process that reports whatever it is told to: what a hostile module could do. */
const PUPPET = `
function handle(msg)
  if msg.Tags.Action ~= "Emit" then return end
  ao.send({ Tags = { { name = "Action", value = "Isthmus-Events" } }, Data = msg.Data })
end`;

interface RpcCall {
  method: string;
  params: readonly unknown[];
}

/** An RPC source that changes what it answers to some calls. */
export function lying(change: (call: RpcCall, result: unknown) => unknown): Intercept {
  return async ({ body }, forward) => {
    const call = JSON.parse(body.toString()) as RpcCall;
    const { status, body: answer } = await forward();
    const { result, ...rest } = JSON.parse(Buffer.from(answer).toString()) as { result: unknown };
    return { status, body: JSON.stringify({ ...rest, result: change(call, result) }) };
  };
}

/** The chain besides the units. */
export class World extends Units {
  private constructor(
    units: UnitParts,
    readonly stage: Stage,
  ) {
    super(units);
  }

  static async open(): Promise<World> {
    const [units, stage] = await Promise.all([World.begin(), Stage.open()]);
    return new World(units, stage);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.stage.anvil.stop();
  }

  /** A new vault with its processes: one test's own. */
  async scene(options: SceneOptions = {}): Promise<Scene> {
    const scene = await Scene.open(this, options);
    this.scenes.push(scene);
    return scene;
  }
}

export interface SceneOptions {
  /** Assets besides the coin. */
  tokens?: readonly Hex[];
  /** Run the coin's process from a module that reports whatever it is told to. */
  puppet?: boolean;
  /** Tags of the coin's process that differ. */
  spawn?: Record<string, string>;
  /** Run the coin's process on this module of aos, with its source in the spawn. */
  aos?: { format: string; module: Buffer; source: string };
}

export class Scene {
  private constructor(
    readonly world: World,
    readonly vault: Hex,
    readonly deployBlock: number,
    readonly assets: EthereumHomeConfig['assets'],
    /** What its processes run. */
    readonly modules: readonly string[],
    readonly gateway: Door,
    readonly source: Door,
  ) {}
  private readonly subjects: Subject[] = [];
  private readonly doors: Door[] = [];
  readonly logged: string[] = [];

  static async open(world: World, { tokens = [], puppet = false, spawn = {}, aos }: SceneOptions): Promise<Scene> {
    const { stage } = world;
    const guardians = stage.guardians.map((g) => g.address);
    stage.vault = await stage.deploy('Vault', [guardians, 2, 1]);
    stage.epoch = 1n;
    const deployBlock = Number(await stage.client.getBlockNumber());
    const assets: EthereumHomeConfig['assets'] = [];
    const modules: string[] = [];
    for (const address of [COIN, ...tokens]) {
      await stage.list(address);
      const source = puppet && address === COIN ? PUPPET : tokenSource().toString();
      const id = assetId(CHAIN, address);
      const more = address === COIN ? spawn : {};
      const own = {
        'Isthmus-Chain': CHAIN,
        'Isthmus-Guardians': guardians.join(','),
        'Isthmus-Asset': id,
        'Isthmus-Vault': stage.vault,
        ...more,
      };
      const { process, module } = await world.spawnProcess(own, address === COIN && aos ? aos : lean(source));
      assets.push({ id, address, process });
      modules.push(module);
    }
    const [gateway, source] = [await Door.open(world.unitsUrl), await Door.open(stage.anvil.url)];
    return new Scene(world, stage.vault, deployBlock, assets, modules, gateway, source);
  }

  get coin(): EthereumHomeConfig['assets'][number] {
    return this.assets[0] as EthereumHomeConfig['assets'][number];
  }

  get process(): string {
    return this.coin.process;
  }

  /** Gives back the guardians' databases, emptied. */
  async close(): Promise<DataSource[]> {
    await Promise.all([this.gateway, this.source, ...this.doors].map((d) => d.close()));
    return Promise.all(this.subjects.map((s) => s.close()));
  }

  /** Another RPC source of the same chain. */
  async anotherSource(): Promise<Door> {
    const door = await Door.open(this.world.stage.anvil.url);
    this.doors.push(door);
    return door;
  }

  /** A guardian of this scene, by its index in the set, with a database of its own. */
  async guardian(index: number, change: Record<string, unknown> = {}): Promise<Subject> {
    const subject = await Subject.open(
      this,
      index,
      (later = change) => configOf(this, index, later),
      await this.world.room(),
    );
    this.subjects.push(subject);
    return subject;
  }

  /** Blocks enough that what was mined before them is final. */
  async finalize(): Promise<void> {
    await this.world.stage.chain.mine({ blocks: CONFIRMATIONS - 1 });
  }

  /** A deposit of coin for Alice, final. */
  async deposited(amount: bigint, recipient: Hex = ALICE): Promise<Hex> {
    const { transactionHash } = await this.world.stage.deposit(amount, recipient);
    await this.finalize();
    return transactionHash;
  }

  /** A deposit of a token for Alice, not final yet; the stage's account holds enough of it. */
  async depositedToken(token: Hex, amount: bigint): Promise<void> {
    const { stage } = this.world;
    await stage.call('TestToken', token, 'approve', [this.vault, amount]);
    await stage.call('Vault', this.vault, 'deposit', [token, amount, ALICE, '0x']);
  }

  /** Alice burns and queues a withdrawal of the coin. */
  async withdraw(amount: bigint, maxFee = 10n, process = this.process): Promise<void> {
    const tags = { Action: 'Withdraw', Quantity: String(amount), Recipient: PAYEE, 'Max-Fee': String(maxFee) };
    await this.world.message(ALICE_KEY, process, tags);
  }

  /** What an authority says in somebody's name. */
  async push(sender: string, tags: Record<string, string>): Promise<void> {
    const all = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', 'From-Process': sender, ...tags };
    await this.world.post(await createItem({ target: this.process, tags: tagList(all), data: '' }, MESSENGER));
  }

  /** What a guardian says by hand. */
  async say(
    index: number,
    action: string,
    data: string,
    more: Record<string, string> = {},
    process = this.process,
  ): Promise<void> {
    await this.world.message(guardianKey(index), process, { Action: action, ...more }, data);
  }

  /** Decides by two guardians' voices, on AO. */
  async decide(nonce: number, line: string): Promise<void> {
    for (const index of [0, 1]) await this.say(index, 'Attest-Decision', line, { 'Decision-Nonce': String(nonce) });
  }

  /** Makes the puppet report these events. */
  async emit(...lines: string[]): Promise<void> {
    await this.world.message(ALICE_KEY, this.process, { Action: 'Emit' }, lines.join('\n'));
  }
}

/** A guardian's configuration; `chain` and `assets` of a change are its home's. */
function configOf(scene: Scene, index: number, change: Record<string, unknown>): GuardianConfig {
  const { chain = {}, assets = scene.assets, ...others } = change;
  const home = {
    chain: {
      id: CHAIN,
      rpcUrls: [scene.source.url],
      agreement: 1,
      finality: { confirmations: CONFIRMATIONS },
      vault: scene.vault,
      deployBlock: scene.deployBlock,
      ...(chain as object),
    },
    assets,
  };
  return guardianSchema.parse({
    name: `guardian ${index}`,
    keyFile: '/nowhere',
    databaseUrl: 'postgres://nowhere',
    port: 0,
    gatewayUrl: scene.gateway.url,
    scheduler: SCHEDULER.address,
    homes: [home],
    modules: scene.modules,
    ...others,
  });
}
