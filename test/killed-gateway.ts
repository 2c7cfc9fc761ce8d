/** A gateway's process that carries AO and bridges nothing, begun again, whole, each time it was killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Item } from '@isthmus/ao';
import { projectRoot, writeKeyFile } from '@isthmus/store';

/** Bound on one wait; far above what anything here takes. */
const PATIENCE_MS = 120_000;

/** Looks again and again until it is so; a look that fails says that it is not. */
export async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await look().catch(() => false))) {
    if (Date.now() > end) throw new Error(`It never came that ${what}.`);
    await delay(50);
  }
}

/** The keys its configuration names. */
export function writeKeys(folder: string): void {
  for (const [name, byte] of Object.entries({ scheduler: '11', messenger: '22' }))
    writeKeyFile(path.join(folder, `${name}.key`), `0x${byte.repeat(32)}`);
}

export interface KilledGatewayOptions {
  /** Where its keys are, and its configuration is written. */
  folder: string;
  port: number;
  databaseUrl: string;
  /** What its configuration has beside. */
  more?: object;
  /** Where it kills itself: the first time it runs at the first, and so on. */
  crashAt: readonly string[];
}

export class KilledGateway {
  readonly url: string;
  kills = 0;
  private readonly config: string;
  private readonly points: string[];
  private child: ChildProcess;
  private ending = false;

  constructor({ folder, port, databaseUrl, more = {}, crashAt }: KilledGatewayOptions) {
    const key = (name: string): string => path.join(folder, `${name}.key`);
    this.config = path.join(folder, `${port}.json`);
    const config = {
      databaseUrl,
      migrate: true,
      port,
      publicUrl: 'http://localhost:4600',
      ao: { engine: 'embedded', schedulerKeyFile: key('scheduler'), messengerKeyFile: key('messenger') },
      homes: [],
      ...more,
    };
    fs.writeFileSync(this.config, JSON.stringify(config));
    this.url = `http://127.0.0.1:${port}`;
    this.points = [...crashAt];
    this.child = this.launch();
  }

  /** As a careful client sends: again, until it is acknowledged. */
  send({ raw }: Item): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    return until('the gateway takes it', async () => {
      const answer = await fetch(`${this.url}/mu`, { method: 'POST', headers, body: new Uint8Array(raw) });
      return answer.ok;
    });
  }

  /** Ends it in order (or as it is killed on the way), and begins it anew. */
  async restart(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await gone;
  }

  end(): Promise<void> {
    this.ending = true;
    return this.restart();
  }

  private launch(): ChildProcess {
    const main = path.join(projectRoot(), 'dist/apps/gateway/src/main.js');
    const point = this.points.shift();
    const crash = point === undefined ? {} : { ISTHMUS_CRASH_AT: point };
    const env = { PATH: process.env['PATH'] ?? '', ISTHMUS_CONFIG: this.config, ...crash };
    const child = spawn(process.execPath, [main], { env, stdio: 'ignore' });
    child.once('exit', (_, signal) => {
      if (signal === 'SIGKILL') this.kills += 1;
      if (!this.ending) this.child = this.launch();
    });
    return child;
  }
}
