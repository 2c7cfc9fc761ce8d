/** Audits of a real gateway: by the command line, whose exit code says what was found, and by the gateway's own auditor. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { jest } from '@jest/globals';
import { parseItem, tagOf, verifyItem } from '@isthmus/ao';
import { hashOf, type AuditReport } from '@isthmus/audit';
import { depositId, depositReference, type DepositObservation } from '@isthmus/bridge';
import { writeKeyFile } from '@isthmus/store';
import { CHAIN, GatewayStage, until } from '../../../gateway/harness.js';
import { isEthereum } from '../../../gateway/src/homes/config.js';
import { program, run } from '../program.js';
import { CommandError } from '../said.js';

const AWAY = 'eip155:31338';
let world: GatewayStage;
let folder: string;
const TO = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-audit-'));
  const receiptKeyFile = path.join(folder, 'receipt.key');
  writeKeyFile(receiptKeyFile, `0x${'7'.repeat(64)}`);
  const every = { everyMs: 3000, patienceMs: 3_600_000, tokenSources: [] };
  // Beside its own home another whose chain is away: the auditor goes on without it.
  world = await GatewayStage.open((config) => ({
    ...config,
    receiptKeyFile,
    audit: every,
    homes: config.homes.filter(isEthereum).flatMap(({ chain, assets }) => [
      {
        chain: { ...chain, id: AWAY, rpcUrls: ['http://127.0.0.1:9'] },
        assets: assets.map((a) => ({ ...a, id: `${AWAY}/slip44:60`, process: `${'A'.repeat(42)}E` })),
      },
      { chain, assets },
    ]),
  }));
});
afterAll(async () => {
  await world.close();
  fs.rmSync(folder, { recursive: true });
});

interface Said {
  code: number;
  out: string;
  error: string;
}

/** Runs `isthmus audit` in this process. */
async function audit(...words: string[]): Promise<Said> {
  const printed: string[] = [];
  const log = jest.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    const command = program().exitOverride();
    for (const one of command.commands) one.exitOverride().configureOutput({ writeErr: () => undefined });
    await run(['audit', ...words], command);
    return { code: process.exitCode, out: printed.join('\n'), error: '' };
  } catch (error) {
    const code = error instanceof CommandError ? error.exitCode : 1;
    return { code, out: printed.join('\n'), error: error instanceof Error ? error.message : String(error) };
  } finally {
    process.exitCode = before;
    log.mockRestore();
  }
}
const here = (...words: string[]): Promise<Said> =>
  audit('--gateway', world.url, '--chain', CHAIN, '--rpc', world.stage.anvil.url, '--finality', '3', ...words);

/** A deposit that is final, and what guardians who see it right, or not, say of it. */
async function deposit(amount: bigint, said = amount): Promise<string> {
  const { transactionHash: txHash } = await world.stage.deposit(amount, TO);
  const sequence = await world.stage.read<bigint>('sequence');
  await world.mine(5);
  const reference = depositReference({ chain: CHAIN, vault: world.stage.vault, sequence });
  const sender = world.stage.account.address;
  const seen: DepositObservation = {
    id: depositId(reference),
    reference,
    txHash,
    sender,
    recipient: TO,
    amount: said,
    tags: '-',
  };
  for (const guardian of [0, 1]) await world.attest(guardian, seen);
  return reference;
}

interface Answer {
  report: AuditReport;
  hash: string;
  made: { at: string };
  item: string;
}
/** The gateway's newest audit that shows so many mints. */
const newest = (mints: number): Promise<Answer> =>
  until(`an audit with ${mints} mints`, async () => {
    const response = await fetch(`${world.url}/v1/audit`);
    const answer = (await response.json()) as Answer;
    return response.ok && answer.report.assets[0]?.mints === mints ? answer : null;
  });

describe('a sound bridge', () => {
  it('exits 0; words, JSON and CSV say the same', async () => {
    await deposit(5000n);
    const words = await here();
    expect(words).toMatchObject({
      code: 0,
      out: expect.stringMatching(/slip44:60 +5000 +5000 .*\n\nfine: every mint/s),
    });
    const json = await here('--json');
    const { report, hash } = JSON.parse(json.out) as { report: AuditReport; hash: string };
    expect(report).toMatchObject({ result: 'fine', assets: [{ balance: '5000', supply: '5000', surplus: '0' }] });
    expect(hashOf(report)).toBe(hash);
    expect(words.out).toContain(`report ${hash}`);
    expect((await here('--csv')).out).toContain(',5000,5000,0,5000,5000,1,');
  });

  it('is audited by the gateway itself: signed, listed, kept as an item, the same as whoever audits it gets', async () => {
    const { report, hash, item } = await newest(1);
    expect(hashOf(report)).toBe(hash);
    expect(report.result).toBe('fine');
    const slot = String(report.inputs.processes[0]?.slot);
    const same = await here('--json', '--height', report.inputs.height, '--slot', slot);
    expect((JSON.parse(same.out) as Answer).hash).toBe(hash);
    const raw = await fetch(`${world.url}/raw/${item}`);
    const signed = parseItem(Buffer.from(await raw.arrayBuffer()));
    expect(await verifyItem(signed)).toBe(true);
    const { keys } = await world.get<{ keys: { x: string }[] }>('/v1/keys');
    expect(signed.owner.toString('base64url')).toBe(keys[0]?.x);
    expect([tagOf(signed, 'Type'), tagOf(signed, 'SHA-256')]).toEqual(['Audit-Report', hash]);
    expect(hashOf((JSON.parse(signed.data.toString()) as Answer).report)).toBe(hash);
    // Where the settler takes what is in no schedule from.
    expect(await world.gateway.database.query('select id from item where id = $1', [item])).toHaveLength(1);
    expect(await world.get(`/v1/audit/${hash}`)).toMatchObject({ hash });
    const { reports, nextCursor } = await world.get<{ reports: { hash: string }[]; nextCursor: string | null }>(
      '/v1/audit/feed?limit=1',
    );
    expect(reports).toHaveLength(1);
    if (nextCursor !== null) {
      const more = await world.get<{ reports: { hash: string }[] }>(`/v1/audit/feed?cursor=${nextCursor}`);
      expect(more.reports.map((r) => r.hash)).not.toContain(reports[0]?.hash);
    }
    for (const [route, status] of [
      ['/v1/audit/none', 404],
      ['/v1/audit/feed?limit=0', 400],
      [`/v1/audit/${'0'.repeat(64)}`, 404],
    ])
      expect((await fetch(`${world.url}${route}`)).status).toBe(status);
    expect(await (await fetch(`${world.url}/metrics`)).text()).toMatch(
      /isthmus_audit_findings\{chain="eip155:31337",kind="safety"\} 0/,
    );
    // The home that is away was not audited, and kept no other from being.
    expect((await fetch(`${world.url}/v1/audit?chain=${CHAIN}`)).status).toBe(200);
    expect((await fetch(`${world.url}/v1/audit?chain=${AWAY}`)).status).toBe(404);
    expect(await (await fetch(`${world.url}/metrics`)).text()).toMatch(
      new RegExp(`isthmus_audit_failures_total\\{chain="${AWAY}",code="\\w+"\\} [1-9]`),
    );
  });
});

it('of several homes those that can be audited are, and at the end it says which could not: exit code 2', async () => {
  const deployed = { chainId: 31_337, assets: [{ process: world.process }], deployBlock: 0, items: [] };
  fs.writeFileSync(path.join(folder, 'deployment.json'), JSON.stringify(deployed));
  const { homes } = world.config;
  const shown = homes.map(({ chain: { id, rpcUrls } }) => ({ chain: { id, rpcUrls } }));
  fs.writeFileSync(path.join(folder, 'gateway.json'), JSON.stringify({ homes: shown }));
  const own = { ISTHMUS_HOME: folder, ISTHMUS_GATEWAY_PORT: new URL(world.url).port };
  const before = { ...process.env };
  Object.assign(process.env, own);
  try {
    const { code, out, error } = await audit('--finality', '3');
    expect(out).toMatch(/fine: every mint/);
    expect(error).toMatch(/^Of 2 home chains 1 could not be audited:\n {2}eip155:31338: /);
    expect(code).toBe(2);
    expect(await audit('--finality', '3', '--chain', CHAIN)).toMatchObject({ code: 0, error: '' });
    const alone = await audit('--finality', '3', '--chain', AWAY);
    expect(alone).toMatchObject({ code: 2, out: '', error: expect.stringMatching(/^No audit could be made/) });
  } finally {
    process.env = before;
  }
});

describe('what is wrong', () => {
  it('in time only exits 3', async () => {
    await world.stage.deposit(1000n, TO);
    await world.stage.chain.increaseTime({ seconds: 7200 });
    await world.mine(5);
    const late = await here();
    expect(late).toMatchObject({ code: 3, out: expect.stringMatching(/liveness deposit-not-minted/) });
    expect((await here('--patience', '300')).code).toBe(0);
  });

  it('with money exits 1, and the gateway’s own audit says so', async () => {
    const reference = await deposit(2000n, 2001n);
    const { code, out } = await here();
    expect(code).toBe(1);
    expect(out).toMatch(/!! safety mint-differs .*\n.*amount is 2001, not 2000/);
    expect(out).toMatch(/!! safety undercollateralised/);
    const { report } = await newest(2);
    expect(report.result).toBe('safety');
    expect(report.findings.map((f) => f.subject)).toContain(reference);
    expect(GatewayStage.logged.some((line) => line.includes('the audit has safety findings'))).toBe(true);
  });

  it('with what it is told exits 2', async () => {
    const rpc = ['--rpc', world.stage.anvil.url];
    for (const words of [
      ['--gateway', 'http://127.0.0.1:1', ...rpc],
      ['--gateway', world.url, '--chain', CHAIN],
      ['--process', world.process, ...rpc, '--from', 'http://127.0.0.1:1'],
    ])
      expect(await audit(...words)).toMatchObject({ code: 2 });
    // Of a gateway with several home chains the one that is meant must be said, and be there.
    for (const [chain, why] of [
      [[], /Say with --chain .* eip155:31338, eip155:31337/],
      [['--chain', 'eip155:5'], /has no home chain eip155:5; it has eip155:31338, eip155:31337/],
      [['--chain', 'solana:nope'], /solana:nope names no chain: write .* solana:<first 32 letters/],
    ] as const)
      expect(await audit('--gateway', world.url, ...rpc, ...chain)).toMatchObject({
        code: 2,
        error: expect.stringMatching(why),
      });
    expect(await here('--height', '99999')).toMatchObject({ code: 2, error: expect.stringMatching(/not final/) });
    expect(await here('--every', '1', '--slot', '1')).toMatchObject({ code: 2 });
    expect(await here('--json', '--csv')).toMatchObject({ code: 2 });
    expect((await here('--finality', 'soon')).error).toMatch(/number of confirmations/);
    expect((await here('--code', 'abc')).error).toMatch(/SHA-256/);
    expect(await here('--code', '0'.repeat(64))).toMatchObject({ code: 1, out: expect.stringMatching(/unknown-code/) });
  });
});

it('goes on until it is told to end, reading only what is new', async () => {
  const done = here('--every', '1', '--json');
  await until('a report', async () => (process.listenerCount('SIGTERM') > 0 ? true : null));
  process.emit('SIGTERM');
  const { code, out } = await done;
  expect([code, out.split('\n').length]).toEqual([1, 1]);
});
