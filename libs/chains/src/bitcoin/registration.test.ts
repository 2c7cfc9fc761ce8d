import fc from 'fast-check';
import { keyOf, makeVault, PROCESS, RECIPIENT, REGTEST, secretOf } from './harness.js';
import { NETWORKS } from './network.js';
import { encodeRegistration, readRegistration, type RegistrationMessage } from './registration.js';
import { depositScript, refundOwner, writeRefundOwner, type DepositTerms } from './vault-script.js';

const { vault } = makeVault(3, 2);
const place = { network: REGTEST, process: PROCESS, vault, leastRefund: 1 };
const terms = (change: Partial<DepositTerms> = {}): DepositTerms => ({
  ...place,
  recipient: RECIPIENT,
  tags: [{ name: 'X-Action', value: 'Swap' }],
  refund: { kind: 'key', key: keyOf(secretOf('depositor')) },
  refundAfter: 1_008,
  ...change,
});
const messageOf = (said: DepositTerms, change: Partial<RegistrationMessage> = {}): RegistrationMessage => {
  const { tags, data } = encodeRegistration(said);
  return {
    target: PROCESS,
    tags: [{ name: 'Variant', value: 'ao.TN.1' }, ...tags],
    data: Buffer.from(data),
    ...change,
  };
};

describe('a registration', () => {
  it('reads as the terms it was written from, so the address is the same for all who follow the schedule', () => {
    const value = fc
      .string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
      .filter((v) => v === v.replaceAll(/\p{Cc}/gu, ''));
    const tags = fc.uniqueArray(fc.record({ name: fc.stringMatching(/^X-[A-Za-z0-9-]{1,20}$/), value }), {
      selector: ({ name }) => name,
      maxLength: 16,
    });
    const refund = fc.oneof(
      fc.string().map((words) => ({ kind: 'key' as const, key: keyOf(secretOf(words)) })),
      fc.uint8Array({ minLength: 20, maxLength: 20 }).map((hash) => ({ kind: 'key-hash' as const, hash })),
    );
    const refundAfter = fc.integer({ min: 1, max: 65_535 });
    fc.assert(
      fc.property(tags, refund, refundAfter, (...[given, owner, after]) => {
        const said = terms({ tags: given, refund: owner, refundAfter: after });
        const read = readRegistration(messageOf(said), place);
        expect(read && depositScript(read)).toEqual(depositScript(said));
        expect(read?.tags).toEqual(given);
      }),
      { numRuns: 60 },
    );
  });

  it('B9 is none when its depositor could take the money back sooner than the home allows', () => {
    expect(readRegistration(messageOf(terms()), { ...place, leastRefund: 1_008 })).not.toBeNull();
    expect(readRegistration(messageOf(terms()), { ...place, leastRefund: 1_009 })).toBeNull();
  });

  it('takes the keys of the set of its slot, and is another address under another set', () => {
    const other = makeVault(4, 3, 'next').vault;
    const read = readRegistration(messageOf(terms()), { ...place, vault: other });
    expect(read && depositScript(read).address).toBe(depositScript(terms({ vault: other })).address);
  });

  it('has room for the longest tags there may be, however JSON writes them', () => {
    const long = Array.from({ length: 2 }, (_, i) => ({ name: `X-${i}`, value: '"'.repeat(1_000) }));
    expect(readRegistration(messageOf(terms({ tags: long })), place)?.tags).toEqual(long);
  });

  it('is none when it is said to another process, as another action, or twice', () => {
    const good = messageOf(terms());
    const action = (value: string) => ({ name: 'Action', value });
    expect(readRegistration(good, place)).not.toBeNull();
    expect(readRegistration({ ...good, target: RECIPIENT }, place)).toBeNull();
    expect(readRegistration({ ...good, tags: [action('Transfer')] }, place)).toBeNull();
    expect(readRegistration({ ...good, tags: [] }, place)).toBeNull();
    expect(readRegistration({ ...good, tags: [...good.tags, action('Transfer')] }, place)).toBeNull();
  });

  it('is none when its terms are none an address can have, and stops nobody who reads on', () => {
    const good = JSON.parse(encodeRegistration(terms()).data) as Record<string, unknown>;
    const read = (data: unknown) =>
      readRegistration(
        messageOf(terms(), { data: Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)) }),
        place,
      );
    expect(read(good)).not.toBeNull();
    const tag = { name: 'X-A', value: 'b' };
    const taproot = 'bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6';
    const foreign = writeRefundOwner(
      refundOwner('1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', NETWORKS.mainnet),
      NETWORKS.mainnet,
    );
    const bad: unknown[] = [
      '',
      'null',
      '[]',
      '{',
      '\uFEFF{}',
      { ...good, more: 1 },
      { ...good, recipient: 'me' },
      { ...good, recipient: 7 },
      { ...good, refund: '' },
      { ...good, refund: taproot },
      { ...good, refund: foreign },
      { ...good, refund: '02'.padEnd(66, 'f') },
      { ...good, refundAfter: 0 },
      { ...good, refundAfter: 65_536 },
      { ...good, refundAfter: 1.5 },
      { ...good, refundAfter: '144' },
      { ...good, tags: [tag, tag] },
      { ...good, tags: [{ name: 'Action', value: 'x' }] },
      { ...good, tags: [{ ...tag, more: 1 }] },
      `${JSON.stringify(good)}${' '.repeat(8_192)}`,
    ];
    expect(bad.map(read)).toEqual(bad.map(() => null));
    expect(readRegistration(messageOf(terms(), { data: Buffer.from([0xff, 0xfe]) }), place)).toBeNull();
    expect(readRegistration(messageOf(terms({ refundAfter: 20 })), { ...place, network: NETWORKS.signet })).toBeNull();
  });
});
