/** `isthmus ao` against a real gateway: what each command prints is what happened, and what is wrong is one line with its exit code. */
import { spawn as start } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { jest } from '@jest/globals';
import { arweaveSigner, createItem, ed25519Signer, ethereumSigner } from '@isthmus/ao';
import { devAccount } from '@isthmus/devnet';
import { projectRoot, testWallet, writeKeyFile } from '@isthmus/store';
import { GatewayStage, until } from '../../../gateway/harness.js';
import { program, run as runWords } from '../program.js';
import { CommandError } from '../said.js';
import { AoClient } from './client.js';
import { isLoopback, signerOf } from './signer.js';
import { brief, plain, table } from './text.js';

const NOBODY = 'A'.repeat(43);
const COUNTER = `
local n = 0
function handle(msg)
  local a = msg.Tags.Action
  if a == "Fail" then error("on purpose \\27[31min red") end
  if a == "Count" then
    n = n + 1
    ao.send({ Target = msg.From, Action = "Counted", Data = tostring(n) .. msg.Data })
    return "counted " .. n
  end
  if a == "Spin" then for i = 1, 2e7 do end end
  if a == "Many" then for i = 1, 25 do ao.send({ Data = tostring(i) }) end end
  if a == "Loop" then ao.send({ Target = ao.id, Action = "Loop" }) end
  if a == "Show" then ao.send({ device = "patch@1.0", balances = { alice = "5" }, note = "x\\27[2J" }) end
  if a == "Forward" then ao.send({ Target = msg.Tags.To, Action = "Count" }) end
end`;

let world: GatewayStage;
let folder: string;
let counter: string;
let pokes = 0;
let operatorKey: string;

interface Said {
  code: number;
  out: string;
  error: string;
}

const file = (name: string, content: string, mode = 0o600): string => {
  const named = path.join(folder, name);
  fs.writeFileSync(named, content, { mode });
  return named;
};

/** Runs a command in this process, as main.ts does. */
async function run(...args: string[]): Promise<Said> {
  const printed: string[] = [];
  const log = jest.spyOn(console, 'log').mockImplementation((line: string) => void printed.push(line));
  const warn = jest.spyOn(console, 'error').mockImplementation(() => undefined);
  const said = (code: number, error: string): Said => ({ code, out: printed.join('\n'), error });
  try {
    const command = program();
    for (const each of [command, ...command.commands, ...command.commands.flatMap((c) => c.commands)])
      each
        .exitOverride()
        .configureOutput({ writeErr: (text) => void printed.push(text), writeOut: (text) => void printed.push(text) });
    await runWords(['ao', args[0] ?? '', '--gateway', world.url, ...args.slice(1)], command);
    return said(0, '');
  } catch (error) {
    if (error instanceof CommandError) return said(error.exitCode, error.message);
    return said(1, error instanceof Error ? error.message : String(error));
  } finally {
    log.mockRestore();
    warn.mockRestore();
  }
}

async function json<T>(...args: string[]): Promise<T> {
  const { code, out, error } = await run(...args, '--json');
  if (code !== 0) throw new Error(error);
  return JSON.parse(out) as T;
}

/** A message from outside the command line. */
async function poke(process: string, action = 'Count'): Promise<string> {
  pokes += 1;
  const tags = Object.entries({ 'Data-Protocol': 'ao', Type: 'Message', Variant: 'ao.TN.1', Action: action });
  const anchor = String(pokes).padStart(32, '0');
  const content = { target: process, anchor, tags: tags.map(([name, value]) => ({ name, value })), data: '' };
  const item = await createItem(content, ed25519Signer(Buffer.alloc(32, 7)));
  await world.post(item);
  return item.id;
}

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-cli-ao-'));
  operatorKey = path.join(folder, 'operator.key');
  writeKeyFile(operatorKey, `0x${'9'.repeat(64)}`);
  world = await GatewayStage.open((config) => ({ ...config, operatorKeyFile: operatorKey }));
  counter = (await run('spawn', '--module', file('counter.lua', COUNTER), '--name', 'counter')).out;
});
afterAll(async () => {
  await world.close();
  fs.rmSync(folder, { recursive: true });
});

describe('spawn', () => {
  it('publishes a file as a module and prints the process; the same file is the same module', async () => {
    expect(counter).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const again = await json<{ process: string; module: string }>(
      'spawn',
      '--module',
      path.join(folder, 'counter.lua'),
      '--tag',
      'X-A=b=c',
    );
    expect(again.process).not.toBe(counter);
    const first = await world.get<{ module: string; owner: string }>(`/v1/ao/processes/${counter}`);
    expect(first).toMatchObject({ module: again.module, owner: devAccount(0).address, name: 'counter' });
    const { tags } = await world.get<{ tags: { name: string; value: string }[] }>(`/v1/ao/processes/${again.process}`);
    const pipeline = world.gateway.pipeline;
    expect(tags).toEqual(
      expect.arrayContaining([
        { name: 'Scheduler', value: pipeline?.scheduler.address },
        { name: 'Authority', value: pipeline?.messenger.address },
        { name: 'X-A', value: 'b=c' },
      ]),
    );
    const byId = await run('spawn', '--module', again.module);
    expect(byId).toMatchObject({ code: 0, out: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/) });
  });

  it.each([
    ['a module nobody has sent', ['--module', NOBODY], /send the module first/],
    ['a file that is not there', ['--module', 'none.lua'], /none\.lua cannot be read/],
    ['a file that does not tell its machine', ['--module', 'counter.txt'], /--format/],
    ['a file that is called WebAssembly', ['--module', 'no.wasm'], /no WebAssembly/],
    ['a format for what has its own', ['--module', NOBODY, '--format', 'x'], /--format is for/],
    [
      'a format no machine has',
      ['--module', 'counter.txt', '--format', 'foo'],
      /foo, which no machine here runs.*isthmus-lua-5\.4/,
    ],
    ['a tag that is none', ['--module', NOBODY, '--tag', 'x'], /Name=Value/],
    ['a tag too long', ['--module', NOBODY, '--tag', `X=${'x'.repeat(5000)}`], /at most 3072/],
    ['data twice', ['--module', NOBODY, '--data', 'x', '--data-file', 'counter.txt'], /not both/],
  ])('refuses %s', async (_, args, words) => {
    file('counter.txt', COUNTER);
    file('no.wasm', 'x');
    const there = args.map((a) => (/\.(txt|wasm)$/.test(a) ? path.join(folder, a) : a));
    const { code, error, out } = await run('spawn', ...there);
    expect([code, error || out]).toEqual([1, expect.stringMatching(words)]);
  });

  it('says when the spawn item itself failed', async () => {
    const { code, out, error } = await run(
      'spawn',
      '--module',
      file('bad.lua', 'function handle(m) error("not born") end'),
    );
    expect([code, out, error]).toEqual([2, expect.stringMatching(/^[\w-]{43}$/), expect.stringContaining('not born')]);
  });
});

it('A13 what does not load is told at its spawn, at each message, and in the list', async () => {
  const bad = await run('spawn', '--module', file('broken.lua', 'this is not lua ('));
  const words = "The module does not load: module:1: syntax error near 'is'";
  expect([bad.code, bad.error]).toEqual([2, expect.stringContaining(words)]);
  expect(await run('message', bad.out)).toMatchObject({ code: 2, error: expect.stringContaining(words) });
  expect((await run('list')).out).toContain(`\nFAILED ${bad.out} at its spawn: ${words}`);
  expect((await run('journey', bad.out)).out).toContain(`result      FAILED: ${words}`);
});

describe('message', () => {
  it('waits for the result and shows what was sent in answer', async () => {
    const { code, out } = await run('message', counter, '--action', 'Count', '--data', ' so far', '--tag', 'X-Y=z');
    expect(code).toBe(0);
    expect(out).toMatch(/^message [\w-]{43}\n→ 0x\w{40} {2}Action=Counted\n {2}\d+ so far\noutput counted \d+$/);
    const answer = await json<{ message: string; messages: { Data: string }[] }>(
      'message',
      counter,
      '--action',
      'Count',
    );
    expect(answer.messages[0]?.Data).toMatch(/^\d+$/);
    expect(answer.message).toMatch(/^[\w-]{43}$/);
  });

  it('says of a message whose result takes longer than is waited that it is placed, not that nobody answers', async () => {
    const id = await poke(counter, 'Spin');
    const asked = new AoClient(world.url).result(counter, id, 0);
    await expect(asked).rejects.toThrow(
      `Message ${id} has no result after 0 s (the evaluation is still under way): it is placed and stays so; see "isthmus ao journey ${id}".`,
    );
    const nobody = new AoClient('http://127.0.0.1:1').result(counter, id, 5);
    await expect(nobody).rejects.toThrow(/^The gateway at http:\/\/127\.0\.0\.1:1 does not answer/);
  });

  it('shows the first twenty of many messages, and how many more there are', async () => {
    const lines = (await run('message', counter, '--action', 'Many')).out.split('\n');
    expect(lines.filter((line) => line.startsWith('→'))).toHaveLength(20);
    expect(lines.at(-1)).toBe('… and 5 more messages: --json shows all');
    expect((await json<{ messages: unknown[] }>('message', counter, '--action', 'Many')).messages).toHaveLength(25);
  });

  it('says what failed in the process with an exit code of its own, and lets nothing steer the terminal', async () => {
    const { code, error, out } = await run('message', counter, '--action', 'Fail');
    expect([code, error]).toEqual([2, expect.stringMatching(/^The process failed: .*on purpose in red/)]);
    expect(out).toMatch(/^message [\w-]{43}$/);
  });

  it.each([
    ['no process', [NOBODY, '--action', 'Count'], /There is no process/],
    ['what can be no id', ['short', '--action', 'Count'], /43 characters/],
    ['a gateway that is no URL', ['--gateway', 'localhost:1', NOBODY], /http:\/\/host:port/],
    ['a password in a URL', ['--gateway', 'http://me:secret@127.0.0.1', NOBODY], /Leave names and passwords out/],
  ])('refuses %s', async (_, args, words) => {
    const { code, error, out } = await run('message', ...args);
    expect([code, error + out]).toEqual([1, expect.stringMatching(words)]);
  });
});

describe('keys', () => {
  const sign = async (...args: string[]) => {
    const { message } = await json<{ message: string }>('message', counter, '--action', 'Count', ...args);
    return (await world.get<{ item: { signer: string } }>(`/v1/ao/messages/${message}`)).item.signer;
  };

  it('of each kind sign from their files', async () => {
    const secret = `0x${'5'.repeat(64)}` as const;
    const own = path.join(folder, 'own.key');
    writeKeyFile(own, secret);
    expect(await sign('--key', own)).toBe(ethereumSigner(secret).address);
    const seed = Buffer.from('5'.repeat(64), 'hex');
    expect(await sign('--key', own, '--key-type', 'ed25519')).toBe(ed25519Signer(seed).address);
    expect(await sign('--key', file('plain.key', `${seed.toString('hex')}\n`), '--key-type', 'ed25519')).toBe(
      ed25519Signer(seed).address,
    );
    const solana = file('solana.json', JSON.stringify([...seed, ...ed25519Signer(seed).publicKey]));
    expect(await sign('--key', solana)).toBe(ed25519Signer(seed).address);
    const jwk = testWallet();
    const wallet = file('wallet.json', JSON.stringify(jwk));
    expect(await sign('--key', wallet)).toBe(arweaveSigner(jwk).address);
  });

  it('that are no keys, or others may read, are refused and never shown', () => {
    const secret = 'aa'.repeat(32);
    const jwk = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ format: 'jwk' });
    const refused: [string, RegExp][] = [
      [file('open.key', JSON.stringify({ privateKey: `0x${secret}` }), 0o644), /open to others: chmod 600/],
      [file('text.key', `${secret}aa`), /is no key/],
      [file('short.key', JSON.stringify({ privateKey: `0x${secret}aa` })), /is no key/],
      [file('small.json', JSON.stringify(jwk)), /4,096 bits/],
      [file('bytes.json', JSON.stringify([1, 2, 3])), /is no key/],
      [path.join(folder, 'none.key'), /cannot be read/],
    ];
    for (const [named, words] of refused) {
      expect(() => signerOf(named, 'ethereum', world.url)).toThrow(words);
      expect(() => signerOf(named, 'ethereum', world.url)).not.toThrow(secret);
    }
  });

  it('everybody knows sign for the local stack only', () => {
    expect(signerOf(undefined, 'ethereum', 'http://localhost:4600').address).toBe(devAccount(0).address);
    expect(() => signerOf(undefined, 'ethereum', 'https://gateway.example')).toThrow(/--key/);
    expect(isLoopback('http://127.0.0.1.example:80')).toBe(false);
  });
});

it('read asks without a trace, and says what is wrong', async () => {
  const before = await world.get<{ slot: number }>(`/v1/ao/processes/${counter}`);
  const [one, two] = [
    await run('read', counter, '--action', 'Count'),
    await run('read', counter, '--action', 'Count', '--owner', 'me'),
  ];
  expect(one).toMatchObject({ code: 0, out: expect.stringContaining('Action=Counted') });
  expect(two.out).toContain('→ me');
  expect(one.out.split('\n')[1]).toBe(two.out.split('\n')[1]);
  expect((await world.get<{ slot: number }>(`/v1/ao/processes/${counter}`)).slot).toBe(before.slot);
  expect(await run('read', counter)).toMatchObject({ code: 0, out: '(no answer)' });
  expect(await run('read', counter, '--action', 'Fail')).toMatchObject({ code: 2 });
  expect(await run('read', NOBODY)).toMatchObject({ code: 1, error: expect.stringContaining('no process') });
});

describe('watching', () => {
  it('tail shows a line for each slot, from where it is told', async () => {
    const process = (await run('spawn', '--module', path.join(folder, 'counter.lua'))).out;
    for (const action of ['Count', 'Fail']) await run('message', process, '--action', action);
    const { code, out } = await run('tail', process, '--from', '0', '--count', '3');
    const lines = out.split('\n');
    expect([code, lines.length]).toEqual([0, 3]);
    expect(lines[1]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} +1 {2}Count +from 0x\w{6}…\w{6} +ok +1 message$/);
    expect(lines[2]).toMatch(/ 2 {2}Fail .*FAILED {2}.*on purpose in red/);
    expect(out).not.toContain('\u001b');
    let shown: { slot: number } | null = null;
    const live = json<{ slot: number }>('tail', process, '--count', '1').then((event) => (shown = event));
    await until('a new slot is shown', async () => {
      await poke(process); // again and again: the first may come before the stream is open
      return shown !== null;
    });
    expect((await live).slot).toBeGreaterThan(2);
  });

  it('tail of nobody, or of no gateway, ends at once', async () => {
    expect(await run('tail', NOBODY)).toMatchObject({ code: 1, error: expect.stringContaining('no process') });
    const { code, error } = await new Promise<{ code: number; error: string }>((resolve) => {
      const child = start(process.execPath, [
        path.join(projectRoot(), 'dist/apps/cli/src/main.js'),
        'ao',
        'tail',
        NOBODY,
        '--gateway',
        'http://127.0.0.1:1',
      ]);
      let text = '';
      child.stderr.on('data', (chunk) => (text += String(chunk)));
      child.on('close', (exit) => resolve({ code: exit ?? -1, error: text }));
    });
    expect([code, error]).toEqual([
      1,
      expect.stringMatching(/^The gateway at http:\/\/127\.0\.0\.1:1 does not answer.*\n$/),
    ]);
  });

  it('list has a line for each process, the newest in use first', async () => {
    await run('message', counter, '--action', 'Count');
    const { out } = await run('list');
    const [heads, first] = out.split('\n');
    expect(heads).toMatch(/^PROCESS +NAME +VM +SLOT +EVALUATED +LAG +MEMORY +MSG\/S$/);
    expect(first).toMatch(new RegExp(`^${counter} +counter +isthmus-lua-5\\.4 +\\d+ +\\d+ +\\d+ `));
    expect(out).toContain(world.process);
    const one = await run('list', '--limit', '1');
    expect(one.out).toMatch(/\n… and \d+ more: --limit shows more$/);
    expect(await json<{ id: string }[]>('list', '--limit', '1')).toMatchObject([{ id: counter }]);
    expect(await run('list', '--limit', 'all')).toMatchObject({ code: 1 });
  });

  it('list says which processes stopped, and when they are tried again', async () => {
    const compute = world.gateway.pipeline?.compute;
    if (!compute) throw new Error('no pipeline');
    expect((await run('list')).out).not.toContain('STOPPED');
    const [since, next] = [new Date(), new Date()];
    const stopped = jest
      .spyOn(compute, 'stopped')
      .mockReturnValue([{ process: counter, slot: null, reason: 'crash', since, tries: 1, next }]);
    expect((await run('list')).out).toContain(`STOPPED ${counter} while it was opened (crash); tried again at `);
    stopped.mockReturnValue([{ process: counter, slot: null, reason: 'unknown-format', since, tries: 1, next }]);
    expect((await run('list')).out).toContain(`STOPPED ${counter}: no machine of the gateway runs its module`);
    stopped.mockRestore();
  });
});

it('journey goes from the signature to what came of it', async () => {
  const other = (await run('spawn', '--module', path.join(folder, 'counter.lua'))).out;
  const { message } = await json<{ message: string }>(
    'message',
    counter,
    '--action',
    'Forward',
    '--tag',
    `To=${other}`,
    '--data',
    'x\u001b[2J',
  );
  const { out } = await until('the other has counted', async () => {
    const said = await run('journey', message);
    return said.out.includes(', done') ? said : null;
  });
  const slot = /assignment +slot (\d+)/.exec(out)?.[1];
  for (const line of [
    `message     ${message}`,
    `item        Message  signed by ${devAccount(0).address} (ethereum)  5 bytes`,
    '            Action: Forward',
    'data        x',
    `assignment  slot ${slot} of ${counter}`,
    'result      ok  1 message, 0 spawns, 0 assignments',
    `→ message   Count  to ${other}  delivered: slot 1 of ${other}, done`,
    'settlement  not yet',
  ])
    expect(out).toContain(line);
  expect(out).not.toContain('\u001b');
  const pushed = / done {2}([\w-]{43})$/m.exec(out)?.[1] ?? '';
  const child = await run('journey', pushed);
  expect(child.out).toContain(`sent by     ${counter}  slot ${slot}`);
  expect(child.out).toContain(`began with  ${message}`);
  expect(await run('journey', NOBODY)).toMatchObject({ code: 1, error: 'There is no message of this id here.' });
});

it('state shows what a process shows, and that it shows nothing elsewhere', async () => {
  await run('message', counter, '--action', 'Show');
  expect(await run('state', counter, 'balances/alice')).toMatchObject({ code: 0, out: '5' });
  expect(await json('state', counter, '/balances/')).toEqual({ alice: '5' });
  expect((await run('state', counter, 'note')).out).not.toContain('\u001b');
  expect(await run('state', counter, 'balances/bob')).toMatchObject({
    code: 1,
    error: expect.stringContaining('shows nothing at'),
  });
  expect(await run('state', NOBODY, 'x')).toMatchObject({ code: 1, error: expect.stringContaining('no process') });
});

describe('verify', () => {
  it('computes a process again and says what checks out, and what does not', async () => {
    const mine = (await run('spawn', '--module', path.join(folder, 'counter.lua'))).out;
    for (const action of ['Count', 'Fail', 'Count']) await run('message', mine, '--action', action);
    const { code, out } = await run('verify', mine);
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(new RegExp(`^verified: 4 slots of ${mine}.*\n.*results check out`)),
    ]);
    const scheduler = (await world.get<{ address: string }>('/su')).address;
    expect(await json('verify', mine, '--scheduler', scheduler)).toMatchObject({ slots: 4, verified: true });
    const other = await run('verify', mine, '--scheduler', NOBODY);
    expect([other.code, other.error]).toEqual([1, expect.stringMatching(/^NOT verified \(wrong-scheduler\)/)]);
    await world.gateway.database.query(
      `update result set outcome = replace(outcome, 'counted 2', 'counted 9') where process = $1`,
      [mine],
    );
    const lie = await run('verify', mine);
    expect([lie.code, lie.error]).toEqual([
      1,
      'NOT verified: slot 3 gives another Output here than the gateway shows.',
    ]);
    expect(await run('verify', NOBODY)).toMatchObject({ code: 1 });
  });
});

it('monitor starts and stops the clocks of one’s own process, and of no other', async () => {
  const clock = ['--tag', 'Cron-Interval=1-second', '--tag', 'Cron-Tag-Action=Count'];
  const mine = (await run('spawn', '--module', path.join(folder, 'counter.lua'), ...clock)).out;
  const stranger = file('not-mine.key', JSON.stringify({ privateKey: `0x${'6'.repeat(64)}` }));
  const slot = async () => (await world.get<{ slot: number }>(`/v1/ao/processes/${mine}`)).slot;
  const refused = await run('monitor', mine, '--key', stranger);
  expect([refused.code, refused.error]).toEqual([1, expect.stringMatching(/Only the wallet a process belongs to/)]);
  expect(await slot()).toBe(0);
  expect(await run('monitor', mine)).toMatchObject({ code: 0, out: `1 clock of ${mine}: running` });
  await until('it has ticked', async () => (await slot()) > 0);
  expect((await run('tail', mine, '--from', '1', '--count', '1')).out).toMatch(/ 1 {2}Count +from its clock +ok/);
  expect((await run('unmonitor', mine, '--key', stranger)).code).toBe(1);
  expect(await run('unmonitor', mine)).toMatchObject({ code: 0 });
  expect(await world.gateway.pipeline?.monitors.has(mine)).toBe(false);
});

it('a process without clocks is told to have none', async () => {
  const none = await run('monitor', counter);
  expect(none).toMatchObject({ code: 0, out: expect.stringMatching(/has no clocks.*Cron-Interval/) });
});

it('modules are listed with their names, machines and sizes', async () => {
  const { module } = await world.get<{ module: string }>(`/v1/ao/processes/${counter}`);
  const { out } = await run('modules');
  expect(out).toMatch(new RegExp(`^${module}  counter +isthmus-lua-5\\.4 +1 KiB$`, 'm'));
  const listed = await json<{ id: string; bytes: number }[]>('modules');
  expect(listed).toContainEqual(expect.objectContaining({ id: module, bytes: Buffer.byteLength(COUNTER) }));
});

it('a key’s AO address is told: EIP-55 of an Ethereum key, the hash of the public key of a Solana keypair', async () => {
  expect(await run('whoami')).toMatchObject({ code: 0, out: devAccount(0).address });
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const [seed, key] = [privateKey.export({ format: 'jwk' }).d ?? '', publicKey.export({ format: 'jwk' }).x ?? ''];
  const pair = Buffer.concat([Buffer.from(seed, 'base64url'), Buffer.from(key, 'base64url')]);
  const { out } = await run('whoami', '--key', file('solana.json', JSON.stringify([...pair])));
  expect(out).toBe(createHash('sha256').update(Buffer.from(key, 'base64url')).digest('base64url'));
  expect(await run('whoami', '--key', path.join(folder, 'none'))).toMatchObject({ code: 1 });
});

describe('dead letters', () => {
  it('are listed with why, sent again or given up with the operator’s key file', async () => {
    expect(await run('dead-letters', '--process', NOBODY)).toMatchObject({ code: 0, out: 'no dead letters' });
    await run('message', counter, '--action', 'Loop');
    const shown = async () => (await run('dead-letters', '--all')).out;
    const out = await until('the loop ends', async () => /^(?!no dead).*/s.exec(await shown())?.[0]);
    expect(out).toMatch(new RegExp(`^\\d+ {2}message {2}from slot \\d+ of ${counter}\\n`));
    const [number = ''] = out.split(' ');
    expect(out).toMatch(new RegExp(`\n {4}hops after 0 attempts: .*\\(--release ${number}\\)$`));
    const one = await run('dead-letters', '--release', number, '--operator-key', operatorKey);
    expect(one).toMatchObject({ code: 0, out: '1 dead letter sent again' });
    const next = await until('it ends again', async () => {
      const said = await shown();
      return said !== 'no dead letters' && !said.startsWith(`${number} `) && said;
    });
    const all = await run('dead-letters', '--release-all', counter, '--operator-key', operatorKey);
    expect(all).toMatchObject({ code: 0, out: '1 dead letter sent again' });
    await until('and again', async () => (await shown()).split('\n').length === 2 && (await shown()) !== next);
    expect((await run('dead-letters')).out).toMatch(new RegExp(`^ +1 {2}${counter} {2}hops\none by one: `));
    expect((await run('dead-letters', '--reason', 'answers')).out).toBe('no dead letters');
    const [last = ''] = (await shown()).split(' ');
    const gone = await run('dead-letters', '--discard', last, '--operator-key', operatorKey);
    expect(gone).toMatchObject({ code: 0, out: '1 dead letter given up' });
    expect((await run('dead-letters')).out).toBe('no dead letters');
    const none = await run('dead-letters', '--discard-all', counter, '--reason', 'hops', '--operator-key', operatorKey);
    expect(none).toMatchObject({ code: 0, out: '0 dead letters given up' });
  });

  it.each([
    ['a key that is not the operator’s', ['--release', '1', '--operator-key', 'other.key'], /operator’s key/],
    ['a file that is no key', ['--release', '1', '--operator-key', 'counter.lua'], /is not a JSON object/],
    ['no key', ['--release', '1', '--operator-key', 'none.key'], /is missing/],
    ['a number nobody has', ['--release', '999999', '--operator-key', 'operator.key'], /no dead letter/],
    ['what is no number', ['--release', '../../x', '--operator-key', 'operator.key'], /has a number/],
    ['two at once', ['--release', '1', '--discard-all', NOBODY], /Give one of/],
    ['a reason for one', ['--release', '1', '--reason', 'hops'], /goes with --discard-all/],
    ['nobody’s to give up', ['--discard', '999999', '--operator-key', 'operator.key'], /no dead letter/],
    [
      'a way others read',
      ['--release', '1', '--operator-key', 'operator.key', '--gateway', 'http://192.0.2.1'],
      /is not https/,
    ],
  ])('%s is refused', async (_, args, words) => {
    if (!fs.existsSync(path.join(folder, 'other.key')))
      writeKeyFile(path.join(folder, 'other.key'), `0x${'8'.repeat(64)}`);
    const there = args.map((a) => (/\.(key|lua)$/.test(a) ? path.join(folder, a) : a));
    const { code, error } = await run('dead-letters', ...there);
    expect([code, error]).toEqual([1, expect.stringMatching(words)]);
  });
});

describe('aos', () => {
  it('is spawned without more, loads a file, and evaluates for its owner', async () => {
    const loaded = file(
      'hello.lua',
      'Greeting = "good morning"\nHandlers.add("greet", "Greet", function(m) m.reply({ Data = Greeting }) end)\nreturn "loaded"',
    );
    const { code, out } = await run('spawn', '--eval', loaded);
    const [process = '', said] = out.split('\n');
    expect([code, said]).toEqual([0, 'loaded']);
    expect(await run('eval', process, 'return Greeting .. "!"')).toMatchObject({ code: 0, out: 'good morning!' });
    expect((await run('message', process, '--action', 'Greet')).out).toContain('\n  good morning');
    const failed = await run('eval', process, 'return nothing.here');
    expect([failed.code, failed.error]).toEqual([2, expect.stringMatching(/^The process failed: .*nil value/)]);
    const stranger = path.join(folder, 'stranger.key');
    writeKeyFile(stranger, `0x${'6'.repeat(64)}`);
    const kept = await run('eval', process, 'return Greeting', '--key', stranger);
    expect([kept.code, kept.out, kept.error]).toEqual([1, '', expect.stringContaining('only for its owner')]);
    expect(await run('eval', process, 'local x = 1')).toMatchObject({ code: 0, out: '' });
  });

  it('is what evaluates, and nothing else', async () => {
    const before = await world.get<{ slot: number }>(`/v1/ao/processes/${counter}`);
    const { code, error } = await run('eval', counter, 'return 1');
    expect([code, error]).toEqual([
      1,
      expect.stringMatching(/runs on isthmus-lua-5\.4: only an aos process evaluates/),
    ]);
    expect(await world.get(`/v1/ao/processes/${counter}`)).toMatchObject({ slot: before.slot });
    expect(await run('eval', NOBODY, 'return 1')).toMatchObject({ code: 1 });
  });

  it('that is not here is missed by name', async () => {
    process.env['ISTHMUS_AOS_MODULE'] = path.join(folder, 'none.wasm');
    const { code, error } = await run('spawn');
    delete process.env['ISTHMUS_AOS_MODULE'];
    expect([code, error]).toEqual([1, expect.stringContaining('scripts/aos-module.mjs')]);
  });
});

it('an id that begins with a dash is an id', async () => {
  const [dashed, dashes] = [`-${'h'.repeat(41)}A`, `--${'j'.repeat(40)}A`];
  for (const id of [dashed, dashes]) {
    expect(await run('journey', id)).toMatchObject({ code: 1, error: 'There is no message of this id here.' });
    expect(await run('read', '--json', id)).toMatchObject({ code: 1, error: `There is no process ${id} here.` });
    expect(await run('dead-letters', '--process', id)).toMatchObject({ code: 0 });
    expect(await run('spawn', '--module', id)).toMatchObject({ code: 1, error: expect.stringContaining(id) });
  }
  // What an option is given stays as it was written.
  expect((await run('message', counter, '--action', 'Count', '--data', dashed)).out).toMatch(
    new RegExp(`\\d${dashed}$`, 'm'),
  );
  const flags = program().commands.flatMap((c) => c.commands.flatMap((each) => each.options.map((o) => o.flags)));
  expect(flags.filter((f) => f.length > 42 && !/[ ,]/.test(f))).toEqual([]);
});

it('what processes say cannot steer a terminal, and stays in its column', () => {
  expect(plain('a\u001b[31mb\u001b]0;title\u0007c\rd\ne\tf\u202eg\u009b2J')).toBe('ab]0;titlecd\ne\tfg2J');
  expect(brief('a\n\n  b')).toBe('a b');
  expect(brief('x'.repeat(200), 10)).toBe(`${'x'.repeat(9)}…`);
  expect(
    table(
      ['A', 'NUMBER'],
      [
        ['one', '1'],
        ['three', '22'],
      ],
    ),
  ).toBe('A      NUMBER\none         1\nthree      22');
});
