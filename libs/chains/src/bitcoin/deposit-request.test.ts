import fc from 'fast-check';
import { script as scripts } from 'bitcoinjs-lib';
import { depositRequest, paymentUri, qrPayload, scriptLines } from './deposit-request.js';
import { depositTerms, textsOf } from './deposit-terms.js';
import { keyOf, makeVault, PROCESS, RECIPIENT, REGTEST, secretOf } from './harness.js';
import { publicKeyOf, secretIn } from './keys.js';
import { NETWORKS } from './network.js';
import { readRecoveryFile } from './recovery.js';
import { refundable } from './refund.js';
import { depositScript, refundOwner, type DepositTerms } from './vault-script.js';

const secret = secretOf('depositor');
const terms = (change: Partial<DepositTerms> = {}): DepositTerms => ({
  network: REGTEST,
  vault: makeVault(3, 2).vault,
  process: PROCESS,
  recipient: RECIPIENT,
  tags: [{ name: 'X-Action', value: 'Swap' }],
  refund: { kind: 'key', key: keyOf(secret) },
  refundAfter: 1_008,
  ...change,
});
const ofAddress = refundOwner('bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk', REGTEST);

it('terms are read back as they were written, keys in any order', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 144, max: 65_535 }),
      fc.integer({ min: 1, max: 15 }),
      fc.constantFrom(...Object.values(NETWORKS)),
      fc.boolean(),
      (refundAfter, n, network, isKey) => {
        const { vault } = makeVault(n, Math.ceil(n / 2));
        const refund = isKey ? terms().refund : ofAddress;
        const some = terms({ refundAfter, network, vault, refund });
        const texts = textsOf(some);
        const again = depositTerms({ ...texts, guardians: texts.guardians.toReversed() });
        expect(textsOf(again)).toEqual(texts);
        expect(depositScript(again)).toEqual(depositScript(some));
      },
    ),
    { numRuns: 30 },
  );
  const texts = textsOf(terms());
  for (const [bad, why] of [
    [{ chain: 'bip122:00' }, 'none of the Bitcoin networks'],
    [{ guardians: ['zz'] }, 'small hex'],
    [{ threshold: 4 }, 'threshold'],
    [{ refund: 'me' }, 'regtest address'],
  ] as const)
    expect(() => depositTerms({ ...texts, ...bad })).toThrow(why);
});

describe('a request for a deposit address', () => {
  it('is answered with the address, its script in clear, a link and a recovery file that all say the same', () => {
    const { address, script, witnessScript } = depositScript(terms());
    const answer = depositRequest(terms());
    expect(answer).toMatchObject({
      chain: 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328',
      address,
      script: Buffer.from(script).toString('hex'),
      witnessScript: Buffer.from(witnessScript).toString('hex'),
      uri: `bitcoin:${address}`,
      qr: `BITCOIN:${address.toUpperCase()}`,
      recovery: { fileName: `isthmus-recovery-${address}.json` },
    });
    expect(answer.lines[0]?.code).toBe(`${answer.commitment} OP_DROP`);
    expect(depositScript(readRecoveryFile(answer.recovery.content)).address).toBe(address);
  });

  it.each([1, 12, 16, 17, 60, 128, 1_008, 65_535])(
    'a script’s lines are all of it, with a lock of %d',
    (refundAfter) => {
      for (const refund of [terms().refund, ofAddress]) {
        const some = terms({ refundAfter, refund });
        const lines = scriptLines(some);
        const whole = lines
          .map((l) => l.code)
          .join(' ')
          .replace('OP_CHECKSEQUENCEVERIFY', 'OP_NOP3');
        expect(scripts.fromASM(whole)).toEqual(Uint8Array.from(depositScript(some).witnessScript));
        expect(lines.map((l) => l.code)).toEqual([
          expect.stringMatching(/^[0-9a-f]{64} OP_DROP$/),
          expect.stringMatching(/^OP_IF OP_2 .* OP_3 OP_CHECKMULTISIG$/),
          expect.stringMatching(/^OP_ELSE \S+ OP_CHECKSEQUENCEVERIFY OP_DROP$/),
          expect.stringMatching(
            refund.kind === 'key' ? /^0\S+ OP_CHECKSIG OP_ENDIF$/ : /^OP_DUP .* OP_CHECKSIG OP_ENDIF$/,
          ),
        ]);
        expect(lines[2]?.means).toContain(`${refundAfter} confirmations`);
      }
    },
  );

  it('a link is in capitals for a QR code, unless they would say something else', () => {
    const { address } = depositScript(terms());
    expect(paymentUri(address)).toBe(`bitcoin:${address}`);
    expect(qrPayload(address)).toBe(`BITCOIN:${address.toUpperCase()}`);
    expect(qrPayload('3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy')).toBe('BITCOIN:3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy');
  });
});

it('a coin may be taken back at its very confirmation, and before that it is said when', () => {
  const coin = (confirmations: number, value = 1n) => ({
    txid: 'ab'.repeat(32),
    vout: confirmations,
    value,
    confirmations,
  });
  const { open, early } = refundable(
    { refundAfter: 20 },
    { height: 500, coins: [coin(20), coin(19), coin(1), coin(99, 7n)] },
  );
  expect(open).toEqual([coin(99, 7n), coin(20)]);
  expect(early).toEqual([
    { coin: coin(19), blocks: 1, opensAt: 501 },
    { coin: coin(1), blocks: 19, opensAt: 519 },
  ]);
});

it('a secret is read as wallets write it, and from nothing else', () => {
  // The example of the wiki's page on the wallet import format, on the main network and on others.
  const example = '0c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d72aa1d';
  for (const text of [
    '5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ',
    example,
    `0x${example.toUpperCase()}`,
    ` ${example}\n`,
  ])
    expect(Buffer.from(secretIn(text) ?? []).toString('hex')).toBe(example);
  for (const text of ['', 'key', example.slice(2), '5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTK', '{}'])
    expect(secretIn(text)).toBeNull();
  expect(publicKeyOf(secret)).toBe(Buffer.from(keyOf(secret)).toString('hex'));
  expect(() => publicKeyOf(Buffer.alloc(32))).toThrow('secret key');
});
