import fc from 'fast-check';
import { Transaction } from 'bitcoinjs-lib';
import { encodeAddress } from './address.js';
import { BitcoinStage, keyOf, makeVault, PROCESS, RECIPIENT, REGTEST, secretOf } from './harness.js';
import { memoScript, readMemo } from './memo.js';
import { NETWORKS } from './network.js';
import { readRecoveryFile, writeRecoveryFile } from './recovery.js';
import { buildRefund } from './refund.js';
import { changeOf, planSweep } from './batch.js';
import {
  depositScript,
  isDepositAddress,
  refundKey,
  refundOwner,
  vaultKeys,
  type DepositTerms,
} from './vault-script.js';

let stage: BitcoinStage;
beforeAll(async () => {
  stage = await BitcoinStage.open();
});
afterAll(() => stage.bitcoin.stop());

const secret = secretOf('depositor');
const terms = (change: Partial<DepositTerms> = {}): DepositTerms => ({
  network: REGTEST,
  vault: makeVault(3, 2).vault,
  process: PROCESS,
  recipient: RECIPIENT,
  tags: [{ name: 'X-Action', value: 'Swap' }],
  refund: { kind: 'key', key: keyOf(secret) },
  refundAfter: 20,
  ...change,
});

describe('a deposit address', () => {
  it('commits to recipient, tags, process, network, guardians, refund key and time: each other one has another address', () => {
    const { address } = depositScript(terms());
    expect(isDepositAddress(address, terms())).toBe(true);
    const others: Partial<DepositTerms>[] = [
      { recipient: PROCESS },
      { recipient: '0x52908400098527886E0F7030069857D2E4169EE7' },
      { process: RECIPIENT },
      { tags: [] },
      { tags: [{ name: 'X-Action', value: 'swap' }] },
      { vault: makeVault(3, 3).vault },
      { vault: makeVault(4, 2).vault },
      { refund: { kind: 'key', key: keyOf(secretOf('another')) } },
      { refund: refundOwner(stage.purse.address, REGTEST) },
      { refundAfter: 21 },
    ];
    for (const other of others) expect(isDepositAddress(address, terms(other))).toBe(false);
    const far = { refundAfter: 1_008 };
    expect(depositScript(terms({ ...far, network: NETWORKS.signet })).script).not.toEqual(
      depositScript(terms({ ...far, network: NETWORKS.testnet3 })).script,
    );
  });

  it('is refused for terms that could hurt', () => {
    for (const refundAfter of [0, -1, 1.5, 65_536])
      expect(() => depositScript(terms({ refundAfter }))).toThrow('A refund is possible');
    expect(() => depositScript(terms({ network: NETWORKS.mainnet, refundAfter: 143 }))).toThrow('144 to 65535');
    expect(() => depositScript(terms({ recipient: 'me' }))).toThrow('AO recipient');
    expect(() => depositScript(terms({ tags: [{ name: 'Action', value: 'x' }] }))).toThrow('Tags are');
    const { keys } = makeVault(3, 2).vault;
    expect(() => vaultKeys([...keys, keys[0]!], 2)).toThrow('different');
    expect(() => vaultKeys(keys, 4)).toThrow('threshold');
    expect(() => vaultKeys([Buffer.alloc(33, 5)], 1)).toThrow('compressed');
    expect(vaultKeys(keys.toReversed(), 2)).toEqual(vaultKeys(keys, 2));
  });

  it('is refunded to a key, or an address of one key, and to no other', () => {
    expect(refundOwner(stage.purse.address, REGTEST).kind).toBe('key-hash');
    expect(refundOwner(Buffer.from(keyOf(secret)).toString('hex'), REGTEST).kind).toBe('key');
    expect(() => refundOwner(stage.plain.address, REGTEST)).toThrow('address of one key');
    for (const none of ['02'.padEnd(66, 'f'), '07'.repeat(32), `0x${'02'.repeat(33)}`])
      expect(() => refundOwner(none, REGTEST)).toThrow('write the compressed public key');
    expect(() => refundKey(stage.purse.address)).toThrow('write the compressed public key');
    expect(() =>
      refundOwner(encodeAddress({ kind: 'p2wpkh', hash: Buffer.alloc(20, 1) }, NETWORKS.mainnet), REGTEST),
    ).toThrow('regtest address');
  });
});

describe('a recovery file', () => {
  it('holds all terms, and is refused when anything in it is another', () => {
    const file = writeRecoveryFile(terms());
    expect(depositScript(readRecoveryFile(file)).address).toBe(depositScript(terms()).address);
    const swapped = file.replace(RECIPIENT, PROCESS);
    for (const bad of [
      swapped,
      file.replace(depositScript(terms()).address, stage.plain.address),
      file.replace('"refundAfter": 20', '"refundAfter": 19'),
      file.replace('"threshold": 2', '"threshold": 1'),
      `${file}x`,
      '',
      '{}',
      'null',
      ' '.repeat(20_000),
    ])
      expect(() => readRecoveryFile(bad)).toThrow(expect.objectContaining({ code: 'bad-recovery-file' }));
  });
});

describe('the refund', () => {
  const to = () => stage.purse.address;
  const verdict = (hex: string) =>
    stage.bitcoin.send(hex).then(
      () => 'taken',
      (error: Error) => error.message,
    );

  it.each(['key', 'key-hash'] as const)(
    'B8: is refused before its time, taken at it, for each payment to the address by itself (%s)',
    async (kind) => {
      const own = stage.purse.key.privateKey!;
      const refund = kind === 'key' ? { kind, key: keyOf(secret) } : refundOwner(stage.purse.address, REGTEST);
      const kept = readRecoveryFile(writeRecoveryFile(terms({ refund })));
      const lock = depositScript(kept);
      const first = await stage.coin(100_000n, lock, true);
      await stage.bitcoin.mine(17);
      const second = await stage.coin(70_000n, lock, true);
      const options = { to: to(), feeRate: 2_000n, secret: kind === 'key' ? secret : own };
      const refundOf = (coins: (typeof first)[]) => buildRefund(kept, { ...options, coins }).hex;
      // The first has 19 confirmations: its refund would be in the block after it has them, not yet in the next.
      expect(await verdict(refundOf([first]))).toMatch(/non-BIP68-final/);
      await stage.bitcoin.mine();
      expect(await verdict(refundOf([first, second]))).toMatch(/non-BIP68-final/);
      expect(await verdict(refundOf([first]))).toBe('taken');
      await stage.bitcoin.mine();
      expect(await verdict(refundOf([second]))).toMatch(/non-BIP68-final/);
      await stage.bitcoin.mine(17);
      expect(await verdict(refundOf([second]))).toBe('taken');
      await stage.bitcoin.mine();
    },
  );

  it('is signed by nobody else’s key, and takes no shorter lock', async () => {
    const coin = await stage.coin(100_000n, depositScript(terms()), true);
    expect(() => buildRefund(terms(), { coins: [coin], to: to(), feeRate: 2_000n, secret: secretOf('thief') })).toThrow(
      'not the one',
    );
    await stage.bitcoin.mine(5);
    const hasty = buildRefund(terms({ refundAfter: 3 }), { coins: [coin], to: to(), feeRate: 2_000n, secret });
    expect(await verdict(hasty.hex)).toMatch(/script-verify/);
    const tx = Transaction.fromHex(buildRefund(terms(), { coins: [coin], to: to(), feeRate: 2_000n, secret }).hex);
    tx.ins[0]!.sequence = 3;
    expect(await verdict(tx.toHex())).toMatch(/script-verify/);
    expect(() =>
      buildRefund(terms(), { coins: [{ ...coin, value: 700n }], to: to(), feeRate: 2_000n, secret }),
    ).toThrow('nothing is left');
  });

  it('B9: races the sweep on the node: whoever pays more first has it, never both', async () => {
    const lock = depositScript(terms());
    const [anchor, one, two] = [
      await stage.coin(50_000n),
      await stage.coin(90_000n, lock, true),
      await stage.coin(90_000n, lock, true),
    ];
    await stage.bitcoin.mine(25);
    const plan = { vault: stage.vault, changeTo: stage.plain, unconfirmed: 0, feeRate: 2_000n, reserve: 10_000n };
    const refund = (coin: typeof one, feeRate: bigint) =>
      buildRefund(terms(), { coins: [coin], to: to(), feeRate, secret }).hex;
    const sweep = planSweep({ ...plan, anchor, coins: [one] });
    expect(await verdict(stage.signed(sweep))).toBe('taken');
    expect(await verdict(refund(one, 2_000n))).toMatch(/insufficient fee/);
    await stage.bitcoin.mine();
    expect(await verdict(refund(one, 9_000n))).toMatch(/missingorspent/);
    const late = stage.signed(planSweep({ ...plan, anchor: changeOf(sweep), coins: [two] }));
    expect(await verdict(refund(two, 3_000n))).toBe('taken');
    await stage.bitcoin.mine();
    expect(await verdict(late)).toMatch(/missingorspent/);
  });
});

describe('B6: the memo', () => {
  const memo = { recipient: RECIPIENT, tags: [{ name: 'X-A', value: 'b' }] };
  const script = memoScript(memo);

  it('is read as it was written, whatever it names', () => {
    expect(readMemo([{ script: stage.plain.script }, { script }])).toEqual({ memo });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.stringMatching(/^[a-z]{1,30}$/),
        (bytes, value) => {
          const one = { recipient: Buffer.from(bytes).toString('base64url'), tags: [{ name: 'X-T', value }] };
          expect(readMemo([{ script: memoScript(one) }])).toEqual({ memo: one });
        },
      ),
    );
    expect(() => memoScript({ ...memo, tags: [{ name: 'X-A', value: 'b'.repeat(60) }] })).toThrow('at most 80 bytes');
  });

  it('absent, twice, too long, with odd pushes, or of another form is none, and says which', () => {
    const data = script.subarray(2);
    const odd = (...parts: (Uint8Array | number[])[]) => Buffer.concat(parts.map((p) => Buffer.from(p)));
    expect(readMemo([{ script: stage.plain.script }])).toEqual({ fault: 'memo-missing' });
    expect(readMemo([{ script }, { script }])).toEqual({ fault: 'memo-twice' });
    expect(readMemo([{ script }, { script: Uint8Array.of(0x6a) }])).toEqual({ fault: 'memo-twice' });
    expect(readMemo([{ script: odd([0x6a, 0x4c, 81], Buffer.alloc(81)) }])).toEqual({ fault: 'memo-too-long' });
    for (const bad of [
      odd([0x6a, 0x4c, data.length], data),
      odd([0x6a, 0x4d, data.length, 0], data),
      odd([0x6a, data.length], data, [0x51]),
      odd([0x6a, data.length + 1], data),
      odd([0x6a], data),
      odd([0x6a, 4], data.subarray(0, 4)),
      odd([0x6a, 38], data.subarray(0, 37)),
      odd([0x6a, 25], Buffer.from('ISM1'), [20], Buffer.alloc(20)),
      odd([0x6a, data.length], Buffer.from('ISM2'), data.subarray(4)),
      odd([0x6a, data.length + 1], data, [7]),
      Buffer.of(0x6a),
    ])
      expect(readMemo([{ script: bad }])).toEqual({ fault: 'memo-malformed' });
  });

  it('survives any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 90 }), (bytes) => 'fault' in readMemo([{ script: odd(bytes) }])));
    function odd(bytes: Uint8Array) {
      return Buffer.from([0x6a, ...bytes]);
    }
  });
});
