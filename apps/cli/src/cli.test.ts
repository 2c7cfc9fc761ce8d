/** The command line's own rules: settings name what is wrong, one stack to a folder, and reset never deletes what it should not. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { jest } from '@jest/globals';
import { projectRoot, readKeyFile, testCluster } from '@isthmus/store';
import fc from 'fast-check';
import { privateKeyToAccount } from 'viem/accounts';
import { keys } from './keys.js';
import { migrate } from './migrate.js';
import { reset } from './reset.js';
import { claimHome, runningStack } from './running.js';
import { CommandError, said } from './said.js';
import { portsInUse, portsOf } from './settings.js';
import { presses } from './signals.js';

let folder: string;
let printed: string[];
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-cli-'));
  printed = [];
  jest.spyOn(console, 'log').mockImplementation((line: string) => void printed.push(line));
});
afterEach(() => {
  jest.restoreAllMocks();
  fs.rmSync(folder, { recursive: true, force: true });
});

describe('ports', () => {
  it('are the standard ones unless told', () => {
    const nodes = { anvil: 4601, arweave: 4603, bitcoin: 4604, solana: 4605 };
    expect(portsOf({})).toEqual({ gateway: 4600, postgres: 4602, ...nodes, guardians: 4611 });
    expect(portsOf({ ISTHMUS_GATEWAY_PORT: '5000' }).gateway).toBe(5000);
  });

  it.each([
    ['ISTHMUS_GATEWAY_PORT', '0'],
    ['ISTHMUS_ANVIL_PORT', '65536'],
    ['ISTHMUS_POSTGRES_PORT', '1e3'],
    ['ISTHMUS_BITCOIN_PORT', '-1'],
    ['ISTHMUS_SOLANA_PORT', 'x'],
    ['ISTHMUS_SOLANA_PORT', '65535'], // its websockets would have none
    ['ISTHMUS_GUARDIAN_PORT', '65534'], // the third guardian's would be too high
  ])('a wrong %s is refused by its name', (name, value) => {
    expect(() => portsOf({ [name]: value })).toThrow(name);
  });

  it('who asks a stack finds it by its folder alone; the environment comes first, and a folder without one is none', () => {
    const write = (name: string, content: unknown) =>
      fs.writeFileSync(
        path.join(folder, `${name}.json`),
        typeof content === 'string' ? content : JSON.stringify(content),
      );
    const home = { ISTHMUS_HOME: folder };
    expect(portsInUse(home)).toEqual(portsOf({}));
    write('gateway', {
      port: 5600,
      homes: [{ chain: { id: 'eip155:31337', rpcUrls: ['http://127.0.0.1:5601'] } }],
      databaseUrl: 'postgres://x@127.0.0.1:5602/g',
    });
    write('arweave', { port: 5603 });
    write('bitcoin', { port: 5604 });
    write('solana', { port: 5605 });
    write('guardian_1', { port: 5611 });
    const nodes = { anvil: 5601, arweave: 5603, bitcoin: 5604, solana: 5605 };
    const taken = { gateway: 5600, postgres: 5602, ...nodes, guardians: 5611 };
    expect(portsInUse(home)).toEqual(taken);
    expect(portsInUse({ ...home, ISTHMUS_ANVIL_PORT: '7000' })).toEqual({ ...taken, anvil: 7000 });
    write('gateway', '{"port":');
    expect(portsInUse(home)).toEqual({ ...taken, gateway: 4600, anvil: 4601, postgres: 4602 });
  });

  it('two parts never take the same port', () => {
    expect(() => portsOf({ ISTHMUS_ANVIL_PORT: '4600' })).toThrow(/ISTHMUS_ANVIL_PORT and ISTHMUS_GATEWAY_PORT/);
    expect(() => portsOf({ ISTHMUS_ARWEAVE_PORT: '4602' })).toThrow(/ISTHMUS_ARWEAVE_PORT and ISTHMUS_POSTGRES_PORT/);
    expect(() => portsOf({ ISTHMUS_POSTGRES_PORT: '4613' })).toThrow(/ISTHMUS_GUARDIAN_PORT and ISTHMUS_POSTGRES_PORT/);
    expect(() => portsOf({ ISTHMUS_BITCOIN_PORT: '4606' })).toThrow(/ISTHMUS_SOLANA_PORT and ISTHMUS_BITCOIN_PORT/);
  });

  it('garbage is refused with an error of our own, or is a port', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const { gateway } = portsOf({ ISTHMUS_GATEWAY_PORT: text });
          expect(text === '' ? gateway === 4600 : String(gateway) === text).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(CommandError);
        }
      }),
    );
  });
});

describe('a stack’s folder', () => {
  it('is claimed once, and free again afterwards', () => {
    const release = claimHome(folder);
    expect(runningStack(folder)).toBe(process.pid);
    expect(() => claimHome(folder)).toThrow(/already runs.*ISTHMUS_HOME/);
    release();
    expect(runningStack(folder)).toBeNull();
  });

  it('is taken over from a killed run', async () => {
    const dead = spawn(process.execPath, ['-e', '']);
    await once(dead, 'exit');
    fs.writeFileSync(path.join(folder, 'stack.pid'), String(dead.pid));
    claimHome(folder);
    expect(runningStack(folder)).toBe(process.pid);
  });

  it('that cannot be made is named', () => {
    fs.writeFileSync(path.join(folder, 'file'), '');
    expect(() => claimHome(path.join(folder, 'file', 'home'))).toThrow(/Cannot write .*ISTHMUS_HOME/);
  });
});

describe('a checkout that cannot run', () => {
  /** What one of the scripts npm runs first says in a checkout of its own. */
  const says = async (script: string): Promise<[code: number, words: string]> => {
    fs.mkdirSync(path.join(folder, 'scripts'), { recursive: true });
    fs.copyFileSync(path.join(projectRoot(), 'scripts', script), path.join(folder, 'scripts', script));
    const child = spawn(process.execPath, [path.join(folder, 'scripts', script)]);
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
    const [code] = (await once(child, 'close')) as [number];
    return [code, words];
  };
  const wants = (node: string) =>
    fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ engines: { node } }));
  const [major = 0] = process.versions.node.split('.').map(Number);

  it.each([
    ['too old', `>=${major + 1}.0 <${major + 2}`],
    ['too old by its second number', `>=${major}.999 <${major + 1}`],
    ['too new', `>=${major - 1}.0 <${major}`],
  ])('says in one line that this Node is %s, and which is not', async (_, node) => {
    wants(node);
    const [code, words] = await says('node-version.mjs');
    expect([code, words.trimEnd().split('\n')]).toEqual([
      1,
      [expect.stringContaining(`runs on Node ${node}, this is`)],
    ]);
  });

  it('says nothing to a Node that is fit', async () => {
    wants(`>=${major}.0 <${major + 1}`);
    expect(await says('node-version.mjs')).toEqual([0, '']);
  });

  it('without packages says in one line how to get them', async () => {
    expect(await says('build.mjs')).toEqual([1, 'The packages are not installed here: run "npm ci" first.\n']);
  });
});

describe('a start that cannot be', () => {
  const main = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
  const start = async (env: Record<string, string>): Promise<string> => {
    const child = spawn(process.execPath, [main, 'start'], { env: { ...process.env, ...env } });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(1);
    return words;
  };

  it('for a taken port says so and leaves no folder', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    const home = path.join(folder, 'new');
    expect(await start({ ISTHMUS_HOME: home, ISTHMUS_GATEWAY_PORT: String(port) })).toMatch(`Port ${port} (gateway)`);
    expect(fs.existsSync(home)).toBe(false);
    taken.close();
  });

  it('for a folder nobody can make says so', () => {
    expect(() => claimHome('/proc/isthmus/home')).toThrow(/Cannot write .*ISTHMUS_HOME/);
  });
});

it('Ctrl-C stops once, however many signals it comes as; pressed again it says how to end at once, and then does', () => {
  const meaning = presses();
  expect([0, 1, 300, 900, 901, 1500].map(meaning)).toEqual(['stop', 'same', 'same', 'warn', 'same', 'end']);
});

describe('reset', () => {
  it('clears a stopped stack', () => {
    fs.mkdirSync(path.join(folder, 'keys'));
    reset(folder);
    expect(fs.existsSync(folder)).toBe(false);
    reset(folder);
    expect(printed.at(-1)).toMatch(/nothing to do/);
  });

  it('refuses while the stack runs', () => {
    fs.mkdirSync(path.join(folder, 'keys'));
    claimHome(folder);
    expect(() => reset(folder)).toThrow(/Ctrl-C first/);
    expect(fs.existsSync(path.join(folder, 'keys'))).toBe(true);
  });

  it('never deletes a folder that is no stack’s', () => {
    fs.writeFileSync(path.join(folder, 'diary.txt'), 'mine');
    expect(() => reset(folder)).toThrow(/nothing was deleted/);
    expect(fs.readFileSync(path.join(folder, 'diary.txt'), 'utf8')).toBe('mine');
  });
});

describe('keys', () => {
  it('are read by their owner alone, are not shown, and are never overwritten', () => {
    const file = path.join(folder, 'guardian.key');
    keys('guardian', file);
    const key = readKeyFile(file); // refuses a file that is open to others
    expect(printed.join('\n')).toContain(privateKeyToAccount(key).address);
    expect(printed.join('\n')).not.toContain(key.slice(2));
    expect(() => keys('guardian', file)).toThrow(/never overwritten/);
    expect(readKeyFile(file)).toBe(key);
  });

  it('of units have an AO address', () => {
    keys('scheduler', path.join(folder, 's.key'));
    expect(printed.join('\n')).toMatch(/address [A-Za-z0-9_-]{43}$/);
  });

  it('of an operator are shown nowhere, and have no address', () => {
    const file = path.join(folder, 'operator.key');
    keys('operator', file);
    expect(printed).toEqual([`operator key in ${file}`]);
    expect(readKeyFile(file)).toMatch(/^0x[0-9a-f]{64}$/);
  });

  it('of no known kind, or in no folder, are refused', () => {
    expect(() => keys('toString', path.join(folder, 'k'))).toThrow(/guardian, relayer, scheduler, messenger/);
    expect(() => keys('guardian', path.join(folder, 'none', 'k'))).toThrow(/Cannot write/);
  });
});

describe('migrate', () => {
  it('says what is missing or wrong, and never the password', async () => {
    await expect(migrate('gateway', undefined)).rejects.toThrow(/DATABASE_URL/);
    await expect(migrate('wizard', 'postgres://x')).rejects.toThrow(/gateway or guardian/);
    const refused = migrate('gateway', 'postgres://u:s3cret@127.0.0.1:1/x');
    await expect(refused).rejects.toThrow(/cannot be opened/);
    await expect(refused).rejects.not.toThrow(/s3cret/);
  });

  it('refuses a database that holds the tables of another app', async () => {
    const cluster = await testCluster();
    const url = await cluster.fresh();
    await migrate('gateway', url);
    await migrate('gateway', url); // nothing to do
    await expect(migrate('guardian', url)).rejects.toThrow(/tables of another app \(AoPipeline/);
    await migrate('guardian', await cluster.fresh());
    await cluster.close();
  });
});

it('errors are said in one line, with their cause', () => {
  expect(said(new Error('fetch failed', { cause: new Error('no route') }))).toBe('fetch failed (no route)');
  expect(said('plain')).toBe('plain');
});

it('no login of an address is said, whatever is wrong with it', async () => {
  expect(said(new Error('postgresql://of:se@c/ret@host/x and http://of@y are none'))).toBe(
    'postgresql://host/x and http://y are none',
  );
  const main = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
  const child = spawn(process.execPath, [main, 'audit', '--from', 'http://of:secret@host']);
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  await once(child, 'close');
  expect(words).toMatch(/'http:\/\/host' is invalid. Leave names and passwords out of it/);
});

it('whoever reads may hear no more, as head does: that is no error, and nothing is said to be good', async () => {
  const server = http
    .createServer((_, response) => response.setHeader('signature', 'x').end('{}'))
    .listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const main = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
    const gateway = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    const child = spawn(process.execPath, [main, 'receipt', '1', '--gateway', gateway]);
    child.stdout.destroy();
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
    expect([await once(child, 'close'), words]).toEqual([[141, null], '']);
  } finally {
    server.close();
  }
});

it('words nobody understands end with 2, which is no verdict of any command; help with 0', async () => {
  const main = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
  const exit = async (...words: string[]): Promise<unknown> => {
    const [code] = (await once(spawn(process.execPath, [main, ...words], { stdio: 'ignore' }), 'exit')) as unknown[];
    return code;
  };
  const codes = await Promise.all([exit('audit', '--nope'), exit('nope'), exit('verify'), exit('audit', '--help')]);
  expect(codes).toEqual([2, 2, 2, 0]);
});

it('the help says which options there must be, and keeps what it says of choices', () => {
  const main = path.join(projectRoot(), 'dist/apps/cli/src/main.js');
  const help = (...words: string[]): string =>
    spawnSync(process.execPath, [main, ...words, '--help'], { encoding: 'utf8' }).stdout.replace(/\s+/g, ' ');
  expect(help('keys')).toContain('--out <file> file to make; an existing one is never overwritten (required)');
  expect(help('btc', 'deposit-address')).toContain('never overwritten (required) --gateway');
  expect(help('audit')).not.toContain('(required)');
  expect(help('ao', 'whoami')).toContain('(choices: "ethereum", "ed25519", default: "ethereum")');
});
