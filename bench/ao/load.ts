/** What the figures of AO are taken on: a database, a pipeline, token processes with holders, and messages signed beforehand. */
import {
  AoPipeline,
  createItem,
  ed25519Signer,
  ethereumSigner,
  type Item,
  type PipelineOptions,
  type Signer,
  type Tag,
} from '@isthmus/ao';
import { depositId, depositReference, encodeDepositLine } from '@isthmus/bridge';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { Hex } from 'viem';
import { CHAIN, SPAWN_TAGS, tokenSource, VAULT } from '../../contracts/ao/harness.js';

export const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
export const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
export const GUARDIANS = [1, 2, 3].map((i) => ethereumSigner(`0x${String(i).repeat(64)}`));
const [DEPLOYER] = GUARDIANS as [Signer];

export const tags = (all: Readonly<Record<string, string>>): Tag[] =>
  Object.entries(all).map(([name, value]) => ({ name, value }));

/** A counter on the lean machine: the least a process can do. */
export const COUNTER = `local n = 0
function handle(msg)
  n = n + 1
  if msg.Tags.Action == "Get" then return tostring(n) end
  if msg.Tags.Action == "Spin" then while true do end end
end`;

/** A line that attests a deposit. */
export function depositLine(sequence: number, recipient: string, amount: bigint): string {
  const reference = depositReference({ chain: CHAIN, vault: VAULT, sequence: BigInt(sequence) });
  const txHash: Hex = `0x${sequence.toString(16).padStart(64, '0')}`;
  return encodeDepositLine({
    id: depositId(reference),
    reference,
    txHash,
    sender: VAULT,
    recipient,
    amount,
    tags: '-',
  });
}

/** A pipeline on a database of its own; whatever fails ends the run. */
export class Bench {
  private constructor(
    readonly cluster: TestCluster,
    readonly url: string,
    readonly database: DataSource,
    public pipeline: AoPipeline,
  ) {}

  static async open(options: Partial<PipelineOptions> = {}): Promise<Bench> {
    const cluster = await testCluster();
    const url = await cluster.fresh();
    const database = await openDatabase({ url, migrations: gatewayMigrations, applicationName: 'bench' });
    await runMigrations(database);
    return new Bench(cluster, url, database, pipelineOn(database, options));
  }

  async close(): Promise<void> {
    await this.pipeline.stop();
    await this.database.destroy();
    await this.cluster.close();
  }

  /** Ends the pipeline and begins another on what it left. */
  async restart(options: Partial<PipelineOptions> = {}): Promise<AoPipeline> {
    await this.pipeline.stop();
    return (this.pipeline = pipelineOn(this.database, options));
  }

  async module(data: Buffer | string, format = 'isthmus-lua-5.4'): Promise<string> {
    const item = await createItem(
      { tags: tags({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': format }), data },
      DEPLOYER,
    );
    await this.pipeline.scheduler.schedule(item.raw);
    return item.id;
  }

  async spawn(module: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
    const item = await createItem(
      { tags: tags({ 'Data-Protocol': 'ao', Type: 'Process', Module: module, ...more }), data: '' },
      DEPLOYER,
    );
    return (await this.pipeline.scheduler.schedule(item.raw)).process;
  }

  /** The bridge's token with these holders, a million units each. */
  async token(holders: readonly string[]): Promise<string> {
    const process = await this.spawn(await this.module(tokenSource()), {
      ...SPAWN_TAGS,
      'Isthmus-Guardians': GUARDIANS.map((g) => g.address).join(','),
    });
    const data = holders.map((holder, i) => depositLine(i + 1, holder, 1_000_000n)).join('\n');
    for (const guardian of GUARDIANS.slice(0, 2))
      await this.pipeline.scheduler.schedule(
        (await message(process, { Action: 'Attest-Deposits' }, guardian, data)).raw,
      );
    return process;
  }

  /** Places messages signed before, as fast as the scheduler takes them, and evaluates them all. Milliseconds it took. */
  async through(items: readonly Item[]): Promise<number> {
    const began = performance.now();
    await Promise.all(items.map((item) => this.pipeline.scheduler.schedule(item.raw)));
    await Promise.all([...new Set(items.map((i) => i.target))].map((p) => this.pipeline.compute.advance(p)));
    return performance.now() - began;
  }
}

export function pipelineOn(database: DataSource, options: Partial<PipelineOptions> = {}): AoPipeline {
  return new AoPipeline({
    database,
    schedulerSigner: SCHEDULER,
    messengerSigner: MESSENGER,
    workers: 2,
    onFailure: (_, error) => {
      throw error;
    },
    ...options,
  });
}

let anchor = 0;

/** A signed message, different from all others. */
export function message(
  target: string,
  all: Readonly<Record<string, string>>,
  signer: Signer,
  data = 'x',
): Promise<Item> {
  anchor += 1;
  const own = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message' };
  return createItem({ target, anchor: String(anchor).padStart(32, '0'), tags: tags({ ...own, ...all }), data }, signer);
}
