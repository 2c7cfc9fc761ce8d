/** What a depositor of Bitcoin does with no server of ours, on a real regtest node: checks an address, takes money back, loses a race to the guardians. */
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { jest } from '@jest/globals';
import {
  depositRequest,
  depositScript,
  depositTerms,
  publicKeyOf,
  type DepositRequest,
  type DepositTexts,
} from '@isthmus/chains';
import { COOKIE_FILE, Purse, startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { ECPairFactory } from 'ecpair';
import { networks, script as scripts, Transaction } from 'bitcoinjs-lib';
import * as curve from 'tiny-secp256k1';
import { run } from '../program.js';
import { CommandError } from '../said.js';

const LOCK = 20;
const purse = Purse.of('payer');
const PROCESS = Buffer.alloc(32, 7).toString('base64url');
const RECIPIENT = Buffer.alloc(32, 9).toString('base64url');
const guardians = [1, 2, 3].map((n) => Buffer.alloc(32, n));
const texts: DepositTexts = {
  chain: 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328',
  process: PROCESS,
  recipient: RECIPIENT,
  tags: [{ name: 'X-Action', value: 'Swap' }],
  guardians: guardians.map(publicKeyOf).toSorted(),
  threshold: 2,
  refund: '',
  refundAfter: LOCK,
};

let folder: string;
let printed: string[];
const file = (name: string): string => path.join(folder, name);
const exitNow = (): number => Number(process.exitCode ?? 0);
/** What the command prints, and its exit code with its one line when it fails. */
async function isthmus(...words: string[]): Promise<{ out: string; exit: number; error: string }> {
  printed = [];
  process.exitCode = undefined;
  try {
    await run(['btc', ...words]);
    return { out: printed.join('\n'), exit: exitNow(), error: '' };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { out: printed.join('\n'), exit: error.exitCode, error: error.message };
  } finally {
    process.exitCode = undefined;
  }
}

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-btc-'));
  jest.spyOn(console, 'log').mockImplementation((line: string) => void printed.push(line));
});
afterEach(() => {
  jest.restoreAllMocks();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** A key made by the command, and a recovery file for it. */
async function asked(change: Partial<DepositTexts> = {}): Promise<DepositRequest> {
  const { out } = await isthmus('new-refund-key', '--out', file('refund.key'));
  const refund = /public key ([0-9a-f]{66})$/.exec(out)?.[1] ?? '';
  const request = depositRequest(depositTerms({ ...texts, refund, ...change }));
  fs.writeFileSync(file('recovery.json'), request.recovery.content);
  return request;
}

describe('new-refund-key', () => {
  it('makes a file that only its owner reads, shows the public key alone, and overwrites nothing', async () => {
    const { out } = await isthmus('new-refund-key', '--out', file('a.key'));
    const { privateKey } = JSON.parse(fs.readFileSync(file('a.key'), 'utf8')) as { privateKey: string };
    expect(fs.statSync(file('a.key')).mode & 0o777).toBe(0o600);
    expect(out).toContain(publicKeyOf(Buffer.from(privateKey.slice(2), 'hex')));
    expect(out).not.toContain(privateKey.slice(2));
    expect(await isthmus('new-refund-key', '--out', file('a.key'))).toMatchObject({
      exit: 1,
      error: expect.stringContaining('never overwritten'),
    });
  });
});

describe('deposit-address', () => {
  const ASSET = `${texts.chain}/slip44:0`;
  const KEY = publicKeyOf(Buffer.alloc(32, 21));
  const servers: http.Server[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await new Promise((closed) => server.close(closed));
  });

  const STEPS = [
    { upTo: '100000', confirmations: 1 },
    { upTo: null, confirmations: 6 },
  ];
  type Answer = Pick<DepositRequest, 'address' | 'recovery'>;
  interface Request {
    asset: string;
    recipient: string;
    tags: DepositTexts['tags'];
    refund: { key?: string; address?: string };
    refundAfter?: number;
  }

  /** A gateway that gives what was asked for, as far as it is honest; what it was asked, too. */
  async function gateway({
    lies = {},
    gives = (answer) => answer,
    assets = [ASSET, 'eip155:1/slip44:60'],
  }: { lies?: Partial<DepositTexts>; gives?: (answer: Answer) => Answer; assets?: string[] } = {}) {
    const requests: Request[] = [];
    const server = http.createServer((request, response) => {
      const say = (status: number, body: unknown): void => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      if (request.url === '/v1/assets') return say(200, { assets: assets.map((id) => ({ id })) });
      let written = '';
      request.on('data', (part: Buffer) => (written += part.toString()));
      request.on('end', () => {
        const asked = JSON.parse(written) as Request;
        requests.push(asked);
        if (asked.recipient === 'me') return say(400, { code: 'bad-request', detail: 'recipient: none of AO' });
        const { recipient, tags, refund, refundAfter = LOCK } = asked;
        const owner = refund.key ?? refund.address ?? '';
        const made = depositRequest(depositTerms({ ...texts, recipient, tags, refund: owner, refundAfter, ...lies }));
        say(200, { ...gives(made), message: PROCESS, minimum: '10000', sweepFee: '700', confirmations: STEPS });
      });
    });
    servers.push(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
  }
  const askFor = (recipient: string, url: string, ...more: string[]) =>
    isthmus('deposit-address', recipient, '--gateway', url, '--out', file('r.json'), ...more);
  const ask = (url: string, ...more: string[]) => askFor(RECIPIENT, url, ...more);
  const byKey = ['--refund-key', KEY];

  it('asks a gateway, and writes the recovery file for its owner alone, which says the same as the answer', async () => {
    const { url, requests } = await gateway();
    const { out, exit } = await ask(url, ...byKey, '--tag', 'X-Action=Swap', '--refund-after', '40');
    expect(exit).toBe(0);
    const terms = { ...texts, refund: KEY, refundAfter: 40 };
    const { address, recovery } = depositRequest(depositTerms(terms));
    expect(requests).toEqual([
      { asset: ASSET, recipient: RECIPIENT, tags: texts.tags, refund: { key: KEY }, refundAfter: 40 },
    ]);
    expect(fs.readFileSync(file('r.json'), 'utf8')).toBe(recovery.content);
    expect(fs.statSync(file('r.json')).mode & 0o777).toBe(0o600);
    expect(out).toMatch(new RegExp(`${address}[^]*${RECIPIENT}[^]*10000 satoshis[^]*700 satoshis[^]*40 confirmations`));
    for (const line of [
      `link      bitcoin:${address}`,
      'waits     1 confirmation up to 100000 satoshis, 6 confirmations for any amount',
      `${url}/v1/deposit-addresses/${address} shows what was paid`,
    ])
      expect(out).toContain(line);
    expect((await isthmus('verify-address', file('r.json'), '--address', address)).exit).toBe(0);
  });

  it('takes an address for the refund, an asset by its name, and says all in JSON', async () => {
    const { url, requests } = await gateway({ assets: [ASSET, 'bip122:other/slip44:0'] });
    const { out } = await ask(url, '--refund-address', purse.address, '--asset', ASSET, '--json');
    expect(requests[0]?.refund).toEqual({ address: purse.address });
    const said = JSON.parse(out) as { address: string };
    expect(said).toMatchObject({ recovery: file('r.json'), message: PROCESS, uri: `bitcoin:${said.address}` });
  });

  it.each([['07'.repeat(32)], ['02'.padEnd(66, 'f')], ['mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn']])(
    'X1: asks nothing with --refund-key %s, which is no public key, and says so',
    async (key) => {
      const { url, requests } = await gateway();
      const { exit, error } = await ask(url, '--refund-key', key);
      expect([exit, error]).toEqual([1, expect.stringContaining('compressed public key')]);
      expect(error).not.toContain(key);
      expect(requests).toEqual([]);
    },
  );

  it.each<[string, Parameters<typeof gateway>[0]]>([
    ['another recipient\\.$', { lies: { recipient: Buffer.alloc(32, 8).toString('base64url') } }],
    ['another tags\\.$', { lies: { tags: [] } }],
    ['another refund\\.$', { lies: { refund: publicKeyOf(Buffer.alloc(32, 22)) } }],
    ['another refund after', { lies: { refundAfter: 41 } }],
    [
      'another address\\.$',
      { gives: (a) => ({ ...a, address: depositRequest(depositTerms({ ...texts, refund: KEY })).address }) },
    ],
    ['no address that can be checked', { gives: (a) => ({ ...a, recovery: { ...a.recovery, content: '{}' } }) }],
  ])('X1: writes nothing and says not to pay when the gateway gives: %s', async (what, lying) => {
    const { url } = await gateway(lying);
    const { error, exit, out } = await ask(url, ...byKey, '--tag', 'X-Action=Swap', '--refund-after', '40');
    expect([exit, out]).toEqual([1, '']);
    expect(error).toMatch(new RegExp(`Do not pay it[^]*${what}`));
    expect(fs.existsSync(file('r.json'))).toBe(false);
  });

  it('X1: asks nothing when it is not said who may take money back, or the file is there; and says what a gateway refuses', async () => {
    const { url, requests } = await gateway();
    for (const words of [[], [...byKey, '--refund-address', purse.address]])
      expect((await ask(url, ...words)).error).toContain('--refund-key or --refund-address');
    fs.writeFileSync(file('r.json'), 'kept');
    expect((await ask(url, ...byKey)).error).toContain('is there already');
    expect(fs.readFileSync(file('r.json'), 'utf8')).toBe('kept');
    fs.rmSync(file('r.json'));
    expect(requests).toEqual([]);
    expect((await askFor('me', url, ...byKey)).error).toContain('none of AO');
    const two = await gateway({ assets: [ASSET, 'bip122:other/slip44:0'] });
    expect((await ask(two.url, ...byKey)).error).toContain('2 assets of Bitcoin');
    expect(fs.existsSync(file('r.json'))).toBe(false);
  });
});

describe('verify-address', () => {
  const byWords = (address: string, refund: string, change: Record<string, string> = {}): string[] =>
    Object.entries({
      '--address': address,
      '--network': 'regtest',
      '--process': PROCESS,
      '--recipient': RECIPIENT,
      '--tag': 'X-Action=Swap',
      '--keys': texts.guardians.toReversed().join(','),
      '--threshold': '2',
      '--refund': refund,
      '--refund-after': String(LOCK),
      ...change,
    }).flat();

  it('says what an address commits to: by the file, by words, and by both', async () => {
    const { address } = await asked();
    const refund = (JSON.parse(fs.readFileSync(file('recovery.json'), 'utf8')) as { refund: string }).refund;
    const alone = await isthmus('verify-address', file('recovery.json'));
    expect(alone).toMatchObject({ exit: 0, error: '' });
    expect(alone.out).toMatch(
      new RegExp(`good: ${address} commits to this[^]*${RECIPIENT}[^]*X-Action=Swap[^]*agrees with itself`),
    );
    expect((await isthmus('verify-address', ...byWords(address, refund))).exit).toBe(0);
    const both = await isthmus('verify-address', file('recovery.json'), '--recipient', RECIPIENT);
    expect([both.exit, both.out]).toEqual([0, expect.stringContaining('as you named it: --recipient')]);
    const told = await isthmus('verify-address', file('recovery.json'), '--json');
    expect(JSON.parse(told.out)).toMatchObject({
      good: true,
      address,
      expected: address,
      terms: { recipient: RECIPIENT },
    });
  });

  it.each([
    ['--recipient', PROCESS],
    ['--process', RECIPIENT],
    ['--network', 'signet'],
    ['--tag', 'X-Action=Stay'],
    ['--keys', [4, 5, 6].map((n) => publicKeyOf(Buffer.alloc(32, n))).join(',')],
    ['--threshold', '3'],
    ['--refund', publicKeyOf(Buffer.alloc(32, 9))],
    ['--refund-after', '200'],
  ])('X1 says NOT GOOD when %s is another than the address commits to', async (option, value) => {
    const { address } = await asked({ refundAfter: 144 });
    const { exit, out } = await isthmus('verify-address', file('recovery.json'), option, value);
    expect([exit, out]).toEqual([1, expect.stringContaining(`NOT GOOD: ${address}`)]);
    expect(out).toContain('the file has another');
    const refund = (JSON.parse(fs.readFileSync(file('recovery.json'), 'utf8')) as { refund: string }).refund;
    const words = byWords(address, refund, { '--refund-after': '144', [option]: value });
    expect((await isthmus('verify-address', ...words)).exit).toBe(1);
  });

  it('says NOT GOOD of a file that was changed, and of an address that is not the file’s', async () => {
    const { recovery, address } = await asked();
    const write = (text: string) => fs.writeFileSync(file('recovery.json'), text);
    write(recovery.content.replace(RECIPIENT, PROCESS));
    expect((await isthmus('verify-address', file('recovery.json'))).out).toMatch(/NOT GOOD[^]*was changed/);
    write(recovery.content.replace(/"script": "20/, '"script": "21'));
    expect(await isthmus('verify-address', file('recovery.json'))).toMatchObject({ exit: 1 });
    write(recovery.content);
    const other = await isthmus('verify-address', file('recovery.json'), '--address', purse.address);
    expect([other.exit, other.out]).toEqual([1, expect.stringContaining(`the address of these terms is ${address}`)]);
  });

  it('could not check what is missing, or is no terms: exit code 2', async () => {
    await asked();
    const said = async (...words: string[]) => {
      const { exit, error } = await isthmus('verify-address', ...words);
      expect(exit).toBe(2);
      return error;
    };
    expect(await said('--address', purse.address)).toMatch(/--network, --process, --recipient, --keys/);
    expect(await said(file('nothing.json'))).toContain('cannot be read');
    fs.writeFileSync(file('other.json'), '{}');
    expect(await said(file('other.json'))).toContain('no recovery file');
    expect(await said(file('recovery.json'), '--keys', '02ff')).toContain('compressed');
    expect(await said(file('recovery.json'), '--recipient', 'me')).toContain('AO recipient');
  });
});

describe('refund', () => {
  let bitcoin: LocalBitcoin;
  let home: string;
  beforeAll(async () => {
    home = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-btc-node-'));
    bitcoin = await startBitcoin({ dir: home, reward: purse.script });
  });
  afterAll(async () => {
    await bitcoin.stop();
    fs.rmSync(home, { recursive: true, force: true });
  });

  const refund = (...more: string[]) => {
    const node = ['--rpc', bitcoin.url, '--cookie', path.join(home, COOKIE_FILE)];
    const own = ['--to', purse.address, '--key-file', file('refund.key')];
    return isthmus('refund', file('recovery.json'), ...own, ...node, ...more);
  };
  const at2 = ['--fee-rate', '2'];

  async function paid(address: string, value: bigint): Promise<string> {
    const txid = await bitcoin.send(await purse.pay(bitcoin.node, [{ address, value }]));
    await bitcoin.mine();
    return txid;
  }
  /** What two guardians sign: the deposit as their own. */
  function swept(txid: string, value: bigint, fee: bigint): string {
    const terms = depositTerms({
      ...texts,
      ...(JSON.parse(fs.readFileSync(file('recovery.json'), 'utf8')) as { refund: string }),
    });
    const { witnessScript } = depositScript(terms);
    const tx = new Transaction();
    tx.version = 2;
    tx.addInput(Buffer.from(Buffer.from(txid, 'hex').toReversed()), 0, 0xff_ff_ff_fd);
    tx.addOutput(purse.script, value - fee);
    const digest = tx.hashForWitnessV0(0, witnessScript, value, Transaction.SIGHASH_ALL);
    const pairs = guardians.map((secret) => ECPairFactory(curve).fromPrivateKey(secret));
    const signatures = pairs
      .toSorted((a, b) => Buffer.compare(a.publicKey, b.publicKey))
      .slice(0, 2)
      .map((pair) => scripts.signature.encode(pair.sign(digest), Transaction.SIGHASH_ALL));
    tx.setWitness(0, [new Uint8Array(), ...signatures, Uint8Array.of(1), witnessScript]);
    return tx.toHex();
  }

  it('B8: says from which height on it may be, is taken at that very block, and gives back each output by itself', async () => {
    const { address } = await asked();
    expect(await refund(...at2)).toMatchObject({ exit: 1, error: expect.stringContaining('nothing to take back') });
    const first = await paid(address, 100_000n);
    const opens = bitcoin.node.height + LOCK - 1;
    await bitcoin.mine(LOCK - 2);
    const early = await refund(...at2);
    expect(early).toMatchObject({ exit: 1, out: '' });
    expect(early.error).toBe(
      `Too early. ${first}:0 (100000 satoshis) may be taken back from height ${opens} on, in 1 block.`,
    );
    const second = await paid(address, 70_000n);
    expect(bitcoin.node.height).toBe(opens);
    const dry = await refund(...at2, '--dry-run', '--json');
    const told = JSON.parse(dry.out) as {
      taken: unknown[];
      early: unknown[];
      txid: string;
      fee: string;
      value: string;
    };
    expect(told).toMatchObject({
      outcome: 'would be taken',
      taken: [{ txid: first, value: '100000', confirmations: LOCK }],
      early: [{ txid: second, blocks: LOCK - 1, opensAt: opens + LOCK - 1 }],
    });
    expect(BigInt(told.fee) + BigInt(told.value)).toBe(100_000n);
    expect(bitcoin.node.mempool.map.size).toBe(0);
    const sent = await refund(...at2);
    expect([sent.exit, sent.out]).toEqual([0, expect.stringMatching(/not yet: [^]*transaction [0-9a-f]{64} sent$/)]);
    expect(bitcoin.node.mempool.map.size).toBe(1);
    await bitcoin.mine(LOCK - 1);
    const rest = await refund(...at2, '--outpoint', `${second}:0`);
    expect([rest.exit, rest.out]).toEqual([
      0,
      expect.stringContaining(`${second}:0  70000 satoshis, ${LOCK} confirmations`),
    ]);
    await bitcoin.mine();
    expect((await refund(...at2)).error).toContain('nothing to take back');
    expect((await refund(...at2, '--outpoint', `${second}:0`)).error).toContain('spent there already');
  });

  it('B9: races the guardians: one has the money, and the other is told in plain words', async () => {
    const { address } = await asked();
    const [one, two] = [await paid(address, 90_000n), await paid(address, 90_000n)];
    await bitcoin.mine(LOCK);
    await bitcoin.send(swept(one, 90_000n, 3_000n));
    const outbid = await refund(...at2, '--outpoint', `${one}:0`);
    expect(outbid).toMatchObject({
      exit: 1,
      error: expect.stringMatching(/Another transaction that waits.*--fee-rate/),
    });
    expect(outbid.out).toContain('refused');
    await bitcoin.mine();
    expect((await refund(...at2, '--outpoint', `${one}:0`)).error).toContain('credited by the guardians');
    expect((await refund(...at2, '--outpoint', `${two}:0`)).exit).toBe(0);
    await expect(bitcoin.send(swept(two, 90_000n, 300n))).rejects.toThrow('insufficient fee');
    await bitcoin.mine();
    await expect(bitcoin.send(swept(two, 90_000n, 3_000n))).rejects.toThrow('missingorspent');
    expect((await refund(...at2)).error).toContain('nothing to take back');
  });

  it('pays what the node estimates, or says that it knows none', async () => {
    const { address } = await asked();
    await paid(address, 100_000n);
    await bitcoin.mine(LOCK);
    expect((await refund()).error).toContain('--fee-rate');
    bitcoin.fees.estimate = 5_000n;
    const { out } = await refund('--dry-run', '--json');
    const { fee, hex } = JSON.parse(out) as { fee: string; hex: string };
    const rate = Number(fee) / Transaction.fromHex(hex).virtualSize();
    expect(Math.round(rate)).toBe(5);
    bitcoin.fees.estimate = null;
    expect((await refund('--fee-rate', '100000')).error).toContain('fee rate lies');
  });

  it('takes a key in each form, and refuses another’s, one open to others, and what is none', async () => {
    const { address } = await asked();
    await paid(address, 100_000n);
    const { privateKey } = JSON.parse(fs.readFileSync(file('refund.key'), 'utf8')) as { privateKey: string };
    const pair = ECPairFactory(curve).fromPrivateKey(Buffer.from(privateKey.slice(2), 'hex'), {
      network: networks.regtest,
    });
    const withKey = async (text: string, mode = 0o600) => {
      fs.writeFileSync(file('refund.key'), text);
      fs.chmodSync(file('refund.key'), mode);
      const { exit, error, out } = await refund(...at2, '--dry-run');
      expect(out + error).not.toContain(text.trim());
      return exit === 0 ? 'good' : error;
    };
    expect(await withKey('07'.repeat(32))).toContain('not the one'); // not only when its time has come
    await bitcoin.mine(LOCK);
    expect(await withKey(privateKey.slice(2))).toBe('good');
    expect(await withKey(`${pair.toWIF()}\n`)).toBe('good');
    expect(await withKey('07'.repeat(32))).toContain('not the one');
    expect(await withKey(privateKey, 0o644)).toContain('chmod 600');
    expect(await withKey('a secret that is none')).toContain('is no key');
  });

  it('says what to change of an address, a file, a node or its login', async () => {
    const { address, recovery } = await asked();
    await paid(address, 100_000n);
    await bitcoin.mine(LOCK);
    expect(await refund('--to', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4')).toMatchObject({
      exit: 1,
      error: expect.stringMatching(/address of mainnet.*Write a regtest address/),
    });
    expect((await refund('--to', 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfm')).error).toMatch(/checksum.*mistyped/);
    expect((await refund('--outpoint', 'nothing')).error).toContain('is no output');
    expect(await refund('--rpc', 'http://127.0.0.1:9')).toMatchObject({
      exit: 2,
      error: expect.stringContaining('could not be asked: it does not answer'),
    });
    fs.writeFileSync(file('cookie'), 'user:wrong');
    const refused = await refund('--cookie', file('cookie'));
    expect(refused).toMatchObject({ exit: 2, error: expect.stringMatching(/HTTP 401.*ISTHMUS_BITCOIN_LOGIN/) });
    expect(refused.error).not.toContain('wrong');
    bitcoin.outages.fail({ count: 1 });
    expect(await refund()).toMatchObject({ exit: 2, error: expect.stringContaining('HTTP 503') });
    fs.writeFileSync(file('recovery.json'), recovery.content.replace(RECIPIENT, PROCESS));
    expect((await refund()).error).toContain('does not follow');
  });
});
