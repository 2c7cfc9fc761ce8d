/** A real gateway that is really killed at a durable step of the AO pipeline; a parent, its child and what they send. For I12 and X4. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createItem, ed25519Signer, replayFromNothing, Scheduler, WorkerPool, type Item } from '@isthmus/ao';
import { gatewayMigrations } from '@isthmus/migrations';
import { freePort, openDatabase, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { PipelineCrashPoint } from '../apps/gateway/src/crash-point.js';
import { KilledGateway, until, writeKeys } from './killed-gateway.js';

const ALICE = ed25519Signer(Buffer.alloc(32, 3));
/** Counts, works, shows its count, and tells its child. */
const COUNTER = `
local n, child = 0, nil
function handle(msg)
  local action = msg.Tags.Action
  if action == "Begin" then ao.spawn(msg.Tags.Of, { Tags = { Name = "child" } }) end
  if action == "Spawned" then child = msg.Tags.Process end
  if action ~= "Count" and action ~= "Ping" then return end
  for _ = 1, 2000000 do end
  n = n + 1
  ao.send({ device = "patch@1.0", count = tostring(n) })
  if child then ao.send({ Target = child, Action = "Ping" }) end
end`;
let cluster: TestCluster;
let folder: string;
let anchor = 0;
beforeAll(async () => {
  cluster = await testCluster();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-crash-'));
  writeKeys(folder);
});
afterAll(async () => {
  await cluster.close();
  fs.rmSync(folder, { recursive: true });
});

const item = (tags: Record<string, string>, more: { target?: string; data?: string } = {}): Promise<Item> => {
  const all = Object.entries({ 'Data-Protocol': 'ao', ...tags }).map(([name, value]) => ({ name, value }));
  return createItem({ anchor: String((anchor += 1)).padStart(32, '0'), tags: all, data: '', ...more }, ALICE);
};

class Running {
  private constructor(
    readonly gateway: KilledGateway,
    readonly database: DataSource,
  ) {}

  static async begin(crashAt: readonly string[]): Promise<Running> {
    const databaseUrl = await cluster.fresh();
    const database = await openDatabase({ url: databaseUrl, migrations: gatewayMigrations, applicationName: 'test' });
    return new Running(new KilledGateway({ folder, port: await freePort(), databaseUrl, crashAt }), database);
  }

  async end(): Promise<void> {
    await this.gateway.end();
    await this.database.destroy();
  }

  /** Until everything placed is evaluated, and everything sent is placed. */
  settled(processes: number): Promise<void> {
    return until('nothing is left to do', async () => {
      const [row]: [{ processes: number; behind: number; waiting: number }] = await this.database.query(
        `select count(*)::int as processes, (count(*) filter (where evaluated < nonce))::int as behind,
           (select count(*)::int from outbox where state in ('waiting', 'held')) as waiting from computed_process`,
      );
      return row.processes === processes && row.behind + row.waiting === 0;
    });
  }

  async shown(process: string): Promise<string> {
    return (await fetch(`${this.gateway.url}/${process}/compute/count`)).text();
  }
}

/** Kills the gateway at these points, in this order, and sees that nothing is lost or doubled. */
export async function survives(points: readonly PipelineCrashPoint[]): Promise<void> {
  const running = await Running.begin(points);
  const { gateway, database } = running;
  try {
    const module = await item({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }, { data: COUNTER });
    const parent = await item({ Type: 'Process', Module: module.id });
    const say = (Action: string, tags = {}) => item({ Type: 'Message', Action, ...tags }, { target: parent.id });
    const sent = [
      await say('Begin', { Of: module.id }),
      ...(await Promise.all(['1', '2', '3', '4', '5'].map(() => say('Count')))),
    ];
    for (const one of [module, parent, ...sent.slice(0, 1)]) await gateway.send(one);
    await running.settled(2);
    for (const one of sent.slice(1, 4)) await gateway.send(one);
    await running.settled(2);
    await gateway.restart();
    for (const one of sent.slice(4)) await gateway.send(one);
    await running.settled(2);
    await gateway.restart();
    for (const one of sent) await gateway.send(one); // again: it has its place
    await running.settled(2);
    expect(gateway.kills).toBe(points.length);

    // What was acknowledged has one place each, in the order it was sent; the child is one, and has heard each count once.
    const rows: { process: string; message_id: string }[] = await database.query(
      'select process, message_id from assignment order by process, nonce',
    );
    const child = rows.find((r) => r.process !== parent.id)?.process ?? '';
    const of = (process: string) => rows.filter((r) => r.process === process).map((r) => r.message_id);
    expect(of(parent.id).filter((id) => sent.some((s) => s.id === id))).toEqual(sent.map((s) => s.id));
    expect(of(parent.id)).toHaveLength(1 + sent.length + 1); // and that its child is there
    expect(of(child)).toHaveLength(1 + 5);
    expect([await running.shown(parent.id), await running.shown(child)]).toEqual(['5', '5']);

    const scheduler = new Scheduler({ database, signer: ALICE });
    const workers = new WorkerPool(1);
    for (const process of [parent.id, child])
      expect(await replayFromNothing({ database, scheduler, workers, process })).toMatchObject({
        equal: true,
        slots: of(process).length,
      });
    expect((await replayFromNothing({ database, scheduler, workers, process: parent.id })).checkpoint).not.toBeNull();
    await workers.stop();
    await scheduler.stop();
  } finally {
    await running.end();
  }
}
