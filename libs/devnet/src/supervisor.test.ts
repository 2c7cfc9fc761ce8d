/** Child processes: started again when they crash, and none is left behind, however its parent ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { freePort, projectRoot } from '@isthmus/store';
import { SupervisedChild } from './supervisor.js';

/** Answers with its process id; leaves when its pipe closes, as our apps do. */
const SERVER = `
import fs from 'node:fs';
import http from 'node:http';
const { port } = JSON.parse(fs.readFileSync(process.env.ISTHMUS_CONFIG, 'utf8'));
http.createServer((_, response) => response.end(String(process.pid))).listen(port, '127.0.0.1');
process.stdin.resume().on('end', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
`;
let folder: string;
let port: number;
let child: SupervisedChild | null;

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-supervisor-'));
  port = await freePort();
  child = null;
  fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ port }));
});
afterEach(async () => {
  await child?.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

const built = (file: string): string => pathToFileURL(path.join(projectRoot(), 'dist/libs/devnet/src', file)).href;
const healthUrl = (): string => `http://127.0.0.1:${port}/health`;

function supervised(source = SERVER): SupervisedChild {
  const entry = path.join(folder, 'server.mjs');
  fs.writeFileSync(entry, source);
  const logFile = path.join(folder, 'logs', 'server.log');
  return (child = new SupervisedChild({
    name: 'server',
    entry,
    config: path.join(folder, 'config.json'),
    logFile,
    healthUrl: healthUrl(),
  }));
}

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(20); // asked again until the test's own limit
}

const whoAnswers = (): Promise<number> =>
  fetch(healthUrl()).then(
    async (r) => Number(await r.text()),
    () => 0,
  );

it('maps stack traces only for who debugs', async () => {
  const server = supervised(SERVER.replace('String(process.pid)', 'JSON.stringify(process.execArgv)'));
  const optionsOfRun = async (): Promise<unknown> => {
    await server.start();
    const options: unknown = await (await fetch(healthUrl())).json();
    await server.stop();
    return options;
  };
  const before = process.env['ISTHMUS_DEBUG'];
  try {
    delete process.env['ISTHMUS_DEBUG'];
    expect(await optionsOfRun()).toEqual([]);
    process.env['ISTHMUS_DEBUG'] = '1';
    expect(await optionsOfRun()).toEqual(['--enable-source-maps']);
  } finally {
    delete process.env['ISTHMUS_DEBUG'];
    if (before !== undefined) process.env['ISTHMUS_DEBUG'] = before;
  }
});

it('starts a child again after kill -9', async () => {
  const server = supervised();
  await server.start();
  const before = await whoAnswers();
  process.kill(before, 'SIGKILL');
  await until(async () => ![0, before].includes(await whoAnswers()));
  expect(server.restarts).toBe(1);
  expect(await whoAnswers()).toBe(server.pid);
});

it('starts it no more once it is stopped, and leaves nothing behind', async () => {
  const server = supervised();
  await server.start();
  const pid = server.pid as number;
  await server.stop();
  expect(alive(pid)).toBe(false);
  expect(await whoAnswers()).toBe(0);
  expect(server.restarts).toBe(0);
});

it('launched anew while it waits to be started again, it runs once', async () => {
  const server = supervised();
  await server.start();
  const before = server.pid as number;
  process.kill(before, 'SIGKILL');
  await until(() => !alive(before));
  await server.stop();
  server.launch();
  await until(async () => (await whoAnswers()) !== 0);
  expect(server.restarts).toBe(0);
  expect(await whoAnswers()).toBe(server.pid);
});

it('says what a child that does not come up said last', async () => {
  const server = supervised(
    `console.error('starting');\nconsole.error('no such vault');\nconsole.error('    at somewhere\\n}');\nprocess.exit(1);`,
  );
  await expect(server.start()).rejects.toThrow('server did not start: no such vault');
});

it('a killed parent leaves no child, and no server that knows nothing of pipes', async () => {
  supervised(); // writes the server's source
  const plan = { name: 'server', entry: path.join(folder, 'server.mjs'), config: path.join(folder, 'config.json') };
  const parent = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { spawn } from 'node:child_process';
      import { SupervisedChild } from '${built('supervisor.js')}';
      import { watchOver } from '${built('watchdog.js')}';
      const child = new SupervisedChild(${JSON.stringify({ ...plan, logFile: path.join(folder, 'log'), healthUrl: healthUrl() })});
      await child.start();
      const foreign = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });
      const watchdog = watchOver([foreign.pid]);
      console.log(JSON.stringify([child.pid, foreign.pid, watchdog.pid]));`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = (await once(createInterface(parent.stdout), 'line')) as [string];
  const pids = JSON.parse(line) as number[];
  expect(pids.map(alive)).toEqual([true, true, true]);
  parent.kill('SIGKILL');
  await until(() => !pids.some(alive));
});
