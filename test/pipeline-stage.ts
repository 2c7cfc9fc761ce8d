/** A real gateway that is really killed at a durable step of the AO pipeline; a parent, its child and what they send. For I12 and X4. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, ed25519Signer, replayFromNothing, Scheduler, WorkerPool, type Item } from '@isthmus/ao';
import { gatewayMigrations } from '@isthmus/migrations';
import { freePort, openDatabase, projectRoot, testCluster, writeKeyFile, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import type { PipelineCrashPoint } from '../apps/gateway/src/crash-point.js';

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
/** Bound on one wait; far above what anything here takes. */
const PATIENCE_MS = 120_000;

let cluster: TestCluster;
let folder: string;
let anchor = 0;
beforeAll(async () => {
  cluster = await testCluster();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-crash-'));
  for (const [name, byte] of Object.entries({ scheduler: '11', messenger: '22', relayer: '33' }))
    writeKeyFile(path.join(folder, `${name}.key`), `0x${byte.repeat(32)}`);
});
afterAll(async () => {
  await cluster.close();
  fs.rmSync(folder, { recursive: true });
});

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await look().catch(() => false))) {
    if (Date.now() > end) throw new Error(`It never came that ${what}.`);
    await delay(50);
  }
}
const item = (tags: Record<string, string>, more: { target?: string; data?: string } = {}): Promise<Item> => {
  const all = Object.entries({ 'Data-Protocol': 'ao', ...tags }).map(([name, value]) => ({ name, value }));
  return createItem({ anchor: String((anchor += 1)).padStart(32, '0'), tags: all, data: '', ...more }, ALICE);
};

/** A gateway's process that is begun again, whole, when it has been killed. */
class Running {
  kills = 0;
  private child: ChildProcess | null = null;
  private ending = false;

  private constructor(
    readonly url: string,
    readonly database: DataSource,
    private readonly env: Record<string, string>,
  ) {}

  static async begin(crashAt: string): Promise<Running> {
    const port = await freePort();
    const databaseUrl = await cluster.fresh();
    const key = (name: string) => path.join(folder, `${name}.key`);
    const file = path.join(folder, `${port}.json`);
    fs.writeFileSync(
      file,
      JSON.stringify({
        databaseUrl,
        migrate: true,
        port,
        publicUrl: 'http://localhost:4600',
        relayerKeyFile: key('relayer'),
        ao: { engine: 'embedded', schedulerKeyFile: key('scheduler'), messengerKeyFile: key('messenger') },
        chain: {
          id: 'eip155:31337',
          name: 'none',
          rpcUrls: ['http://127.0.0.1:9'],
          finality: { confirmations: 1 },
          finalitySeconds: 1,
          vault: `0x${'0'.repeat(40)}`,
          deployBlock: 0,
        },
        assets: [],
      }),
    );
    const database = await openDatabase({ url: databaseUrl, migrations: gatewayMigrations, applicationName: 'test' });
    const running = new Running(`http://127.0.0.1:${port}`, database, { ISTHMUS_CONFIG: file });
    running.launch({ ISTHMUS_CRASH_AT: crashAt });
    return running;
  }

  private launch(more: Record<string, string> = {}): void {
    const main = path.join(projectRoot(), 'dist/apps/gateway/src/main.js');
    const env = { PATH: process.env['PATH'] ?? '', ...this.env, ...more };
    this.child = spawn(process.execPath, [main], { env, stdio: 'ignore' });
    this.child.once('exit', (_, signal) => {
      if (signal === 'SIGKILL') this.kills += 1;
      if (!this.ending) this.launch();
    });
  }

  /** Ends it in order (or as it is killed on the way), and begins it anew. */
  async restart(): Promise<void> {
    const gone = once(this.child as ChildProcess, 'exit');
    this.child?.kill('SIGTERM');
    await gone;
  }

  async end(): Promise<void> {
    this.ending = true;
    const gone = once(this.child as ChildProcess, 'exit');
    this.child?.kill('SIGTERM');
    await gone;
    await this.database.destroy();
  }

  /** As a careful client sends: again, until it is acknowledged. */
  send({ raw }: Item): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    return until('the gateway takes it', async () => {
      const answer = await fetch(`${this.url}/mu`, { method: 'POST', headers, body: new Uint8Array(raw) });
      return answer.ok;
    });
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
    return (await fetch(`${this.url}/${process}/compute/count`)).text();
  }
}

/** Kills the gateway there, once, and sees that nothing is lost or doubled. */
export async function survives(point: PipelineCrashPoint): Promise<void> {
  const gateway = await Running.begin(point);
  try {
    const module = await item({ Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }, { data: COUNTER });
    const parent = await item({ Type: 'Process', Module: module.id });
    const say = (Action: string, tags = {}) => item({ Type: 'Message', Action, ...tags }, { target: parent.id });
    const sent = [
      await say('Begin', { Of: module.id }),
      ...(await Promise.all(['1', '2', '3', '4', '5'].map(() => say('Count')))),
    ];
    for (const one of [module, parent, ...sent.slice(0, 1)]) await gateway.send(one);
    await gateway.settled(2);
    for (const one of sent.slice(1, 4)) await gateway.send(one);
    await gateway.settled(2);
    await gateway.restart();
    for (const one of sent.slice(4)) await gateway.send(one);
    await gateway.settled(2);
    await gateway.restart();
    for (const one of sent) await gateway.send(one); // again: it has its place
    await gateway.settled(2);
    expect(gateway.kills).toBe(1);

    // What was acknowledged has one place each, in the order it was sent; the child is one, and has heard each count once.
    const { database } = gateway;
    const rows: { process: string; message_id: string }[] = await database.query(
      'select process, message_id from assignment order by process, nonce',
    );
    const child = rows.find((r) => r.process !== parent.id)?.process ?? '';
    const of = (process: string) => rows.filter((r) => r.process === process).map((r) => r.message_id);
    expect(of(parent.id).filter((id) => sent.some((s) => s.id === id))).toEqual(sent.map((s) => s.id));
    expect(of(parent.id)).toHaveLength(1 + sent.length + 1); // and that its child is there
    expect(of(child)).toHaveLength(1 + 5);
    expect([await gateway.shown(parent.id), await gateway.shown(child)]).toEqual(['5', '5']);

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
    await gateway.end();
  }
}
