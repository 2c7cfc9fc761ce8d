/** The rules, each with what it accepts and what it refuses. */
import fc from 'fast-check';
import { getAddress, type Hex } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import * as bridge from './index.js';

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => `0x${Buffer.from(b).toString('hex')}` as Hex);
const ethereumAddress = hex(20)
  .filter((h) => !/^0x0+$/.test(h))
  .map((h) => getAddress(h));
const arweaveAddress = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((b) => Buffer.from(b).toString('base64url'));
const amount = fc.bigInt({ min: 0n, max: bridge.MAX_AMOUNT });
const number = fc.bigInt({ min: 1n, max: bridge.MAX_NUMBER });

describe('amounts', () => {
  it('I6 round-trips every amount exactly', () => {
    fc.assert(fc.property(amount, (a) => bridge.parseAmount(bridge.formatAmount(a)) === a));
  });

  it.each(['', '-1', '+1', '01', '0x10', '1e3', ' 1', '1 ', '1.0', '1\n', '١', '9'.repeat(40), 1, 1n, null, undefined])(
    'I6 A4 refuses %p',
    (text) => {
      expect(bridge.isAmount(text)).toBe(false);
      expect(() => bridge.parseAmount(text)).toThrow(bridge.BridgeError);
    },
  );

  it('I6 refuses to write what has no form', () => {
    expect(() => bridge.formatAmount(-1n)).toThrow(/between/);
    expect(() => bridge.formatAmount(bridge.MAX_AMOUNT + 1n)).toThrow(/between/);
  });

  it('E16 units of 0 to 24 decimals round-trip', () => {
    const small = fc.bigInt({ min: 0n, max: 10n ** 30n });
    fc.assert(
      fc.property(
        small,
        fc.constantFrom(0, 6, 8, 18, 24),
        (a, d) => bridge.parseUnits(bridge.formatUnits(a, d), d) === a,
      ),
    );
    expect(bridge.formatUnits(1_500_000n, 6)).toBe('1.5');
    expect(() => bridge.parseUnits('1.0000001', 6)).toThrow(/at most 6/);
    expect(() => bridge.parseUnits('1e3', 6)).toThrow(bridge.BridgeError);
  });
});

describe('addresses', () => {
  it('round-trips every recipient through the bytes of a deposit', () => {
    fc.assert(
      fc.property(
        fc.oneof(arweaveAddress, ethereumAddress),
        (a) => bridge.aoAddressFromBytes(bridge.aoAddressToBytes(a)) === a,
      ),
    );
  });

  const checksummed = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';
  it.each([
    ['too short', 'a'.repeat(42)],
    ['too long', 'a'.repeat(44)],
    ['spare bits set', `${'A'.repeat(42)}B`],
    ['not base64url', `${'A'.repeat(42)}+`],
    ['newline at the end', `${'A'.repeat(43)}\n`],
    ['NUL', `${'A'.repeat(42)}\0`],
    ['10 kB', 'A'.repeat(10_240)],
    ['all lower case', checksummed.toLowerCase()],
    ['wrong checksum', checksummed.replace('C5', 'c5')],
    ['zero', `0x${'0'.repeat(40)}`],
    ['a number', 7],
  ])('E18 refuses a recipient that is %s', (_, text) => {
    expect(bridge.isAoAddress(text)).toBe(false);
    expect(() => bridge.aoAddressToBytes(text)).toThrow(/recipient/);
  });

  it('E18 refuses recipient bytes of any other length', () => {
    for (const n of [0, 1, 19, 21, 31, 33])
      expect(() => bridge.aoAddressFromBytes(new Uint8Array(n).fill(1))).toThrow(/bytes/);
    expect(() => bridge.aoAddressFromBytes(new Uint8Array(20))).toThrow(/non-zero/);
  });

  it('knows a process by its 32 bytes', () => {
    fc.assert(fc.property(arweaveAddress, (p) => bridge.processFromBytes32(bridge.processToBytes32(p)) === p));
    expect(() => bridge.processToBytes32('x')).toThrow(bridge.BridgeError);
    expect(() => bridge.processFromBytes32('0x12')).toThrow(bridge.BridgeError);
  });
});

describe('deposit tags', () => {
  const name = fc.stringMatching(/^X-[A-Za-z0-9-]{1,20}$/);
  const value = fc
    .string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
    .filter((v) => !Array.from(v).some((c) => c < ' ' || c === '\x7f'));
  const tags = fc.uniqueArray(fc.record({ name, value }), { selector: (t) => t.name, maxLength: 16 });

  it('round-trip', () => {
    fc.assert(fc.property(tags, (t) => expect(bridge.decodeTags(bridge.encodeTags(t))).toEqual(t)));
  });

  it('X13 bytes are either canonical tags or no tags, whatever they hold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoded = bridge.decodeTags(bytes);
        if (decoded) expect(Buffer.from(bridge.encodeTags(decoded))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it.each([
    ['a name without X-', 'Action=Mint'],
    ['an empty value', 'X-A='],
    ['no equals sign', 'X-A'],
    ['a name twice', 'X-A=1\nX-A=2'],
    ['a carriage return', 'X-A=1\r\nX-B=2'],
    ['a NUL', 'X-A=\0'],
    ['a line at the end', 'X-A=1\n'],
    ['17 tags', Array.from({ length: 17 }, (_, i) => `X-A${i}=1`).join('\n')],
    ['a value over 1,024 bytes', `X-A=${'é'.repeat(513)}`],
    ['over 2,048 bytes', `X-A=${'a'.repeat(1000)}\nX-B=${'b'.repeat(1000)}\nX-C=${'c'.repeat(100)}`],
  ])('E18 X13 %s is no tags', (_, text) => {
    expect(bridge.decodeTags(Buffer.from(text))).toBeNull();
  });

  it('X13 invalid UTF-8 is no tags', () => {
    expect(bridge.decodeTags(Buffer.from([0x58, 0x2d, 0x41, 0x3d, 0xff]))).toBeNull();
  });

  it('refuses to write what could not be read back', () => {
    expect(() => bridge.encodeTags([{ name: 'X-A', value: 'a\nX-B=b' }])).toThrow(/Tags are/);
    expect(() => bridge.encodeTags([{ name: 'Recipient', value: 'a' }])).toThrow(/Tags are/);
  });
});

describe('ids', () => {
  const place = { chain: 'eip155:31337', vault: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' as Hex, sequence: 7n };

  it('a reference reads back, and its id depends on every part (E17 another chain id, another vault)', () => {
    const reference = bridge.depositReference(place);
    expect(reference).toBe('eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8:7');
    expect(bridge.parseDepositReference(reference)).toEqual(place);
    const others = [
      { ...place, chain: 'eip155:1' },
      { ...place, sequence: 8n },
      { ...place, vault: getAddress(`0x${'11'.repeat(20)}`) },
    ];
    const ids = [place, ...others].map((p) => bridge.depositId(bridge.depositReference(p)));
    expect(new Set(ids).size).toBe(4);
  });

  it('X3 refuses sequence 0, past 2^63, and vaults without checksum', () => {
    expect(() => bridge.depositReference({ ...place, sequence: 0n })).toThrow(bridge.BridgeError);
    expect(() => bridge.depositReference({ ...place, sequence: 2n ** 63n })).toThrow(bridge.BridgeError);
    expect(() => bridge.depositReference({ ...place, vault: place.vault.toLowerCase() as Hex })).toThrow(
      bridge.BridgeError,
    );
    expect(() => bridge.withdrawalId('A'.repeat(43), 2n ** 63n)).toThrow(bridge.BridgeError);
    expect(() => bridge.withdrawalId('A'.repeat(43), 0n)).toThrow(bridge.BridgeError);
  });

  it('withdrawal ids differ by process and number', () => {
    fc.assert(
      fc.property(arweaveAddress, arweaveAddress, number, number, (p, q, m, n) => {
        const same = p === q && m === n;
        return (bridge.withdrawalId(p, m) === bridge.withdrawalId(q, n)) === same;
      }),
    );
  });
});

describe('guardian lines', () => {
  const tagsHex = fc.uint8Array({ maxLength: 60 }).map((b) => (b.length ? Buffer.from(b).toString('hex') : '-'));
  const observation = fc
    .record({
      vault: ethereumAddress,
      sequence: number,
      txHash: hex(32),
      sender: ethereumAddress,
      recipient: fc.oneof(arweaveAddress, ethereumAddress),
      amount,
      tags: tagsHex,
    })
    .map(({ vault, sequence, ...rest }) => {
      const reference = bridge.depositReference({ chain: 'eip155:1', vault, sequence });
      return { id: bridge.depositId(reference), reference, ...rest };
    });

  it('deposit lines round-trip', () => {
    fc.assert(fc.property(observation, (o) => expect(bridge.parseDepositLine(bridge.encodeDepositLine(o))).toEqual(o)));
  });

  it('a deposit line with any field altered is another line or no line', () => {
    fc.assert(
      fc.property(observation, fc.nat({ max: 6 }), fc.string({ maxLength: 8 }), (o, at, junk) => {
        const fields = bridge.encodeDepositLine(o).split(' ');
        const altered = fields.with(at, junk).join(' ');
        if (altered === fields.join(' ')) return;
        try {
          expect(bridge.parseDepositLine(altered)).not.toEqual(o);
        } catch (error) {
          expect(error).toBeInstanceOf(bridge.BridgeError);
        }
      }),
    );
  });

  it('an id that is not its reference’s is refused', () => {
    const [a, b] = fc.sample(observation, 2);
    expect(() => bridge.encodeDepositLine({ ...a!, id: b!.id })).toThrow(/id is not/);
  });

  it('signature and release lines round-trip, and refuse other shapes', () => {
    const packed = hex(65);
    fc.assert(
      fc.property(number, number, packed, (n, epoch, signature) =>
        expect(bridge.parseSignLine(bridge.encodeSignLine({ number: n, epoch, signature }))).toEqual({
          number: n,
          epoch,
          signature,
        }),
      ),
    );
    const release = fc.record({
      number,
      txHash: hex(32),
      fee: amount,
      outcome: fc.constantFrom('paid' as const, 'held' as const),
    });
    fc.assert(fc.property(release, (r) => expect(bridge.parseReleaseLine(bridge.encodeReleaseLine(r))).toEqual(r)));
    for (const line of ['', '1', '1 2', '0 1 0x', `1 0x${'0'.repeat(64)} 01 paid`, `1 0x${'0'.repeat(64)} 1 lost`]) {
      expect(() => bridge.parseReleaseLine(line)).toThrow(bridge.BridgeError);
      expect(() => bridge.parseSignLine(line)).toThrow(bridge.BridgeError);
    }
  });

  it('decisions round-trip, and a set that could never decide is refused', () => {
    const guardians = [1, 2, 3].map((i) => getAddress(`0x${`${i}${i}`.repeat(20)}`));
    const rotate = {
      kind: 'rotate' as const,
      epoch: 2n,
      threshold: 2,
      pauseThreshold: 1,
      guardians,
      keys: [] as string[],
    };
    const keys = ['02', '03', '02'].map((first, i) => first + `${i}${i}`.repeat(32));
    for (const d of [
      { kind: 'pause' as const },
      { kind: 'unpause' as const },
      { kind: 'list' as const, open: true, limit: 5n, windowMs: 60_000n, minDeposit: 0n },
      { kind: 'list' as const, open: false, limit: 2n ** 104n - 1n, windowMs: 1000n, minDeposit: 7n },
      rotate,
      { ...rotate, keys },
    ]) {
      expect(bridge.parseDecision(bridge.encodeDecision(d))).toEqual(d);
    }
    for (const bad of [
      { ...rotate, threshold: 4 },
      { ...rotate, threshold: 0 },
      { ...rotate, guardians: [guardians[0]!, guardians[0]!] },
      { ...rotate, guardians: [] },
      { ...rotate, keys: keys.slice(1) },
      { ...rotate, keys: [keys[0]!, keys[1]!, keys[0]!] },
      { ...rotate, keys: [keys[0]!, keys[1]!, 'short'] },
    ]) {
      expect(() => bridge.encodeDecision(bad)).toThrow(bridge.BridgeError);
    }
    for (const line of [
      '',
      'Pause',
      'pause now',
      'list open -1 5000 0',
      'list open 0 5000 0',
      'list shut 1 5000 0',
      'list open 1 0 0',
      'list open 1 1500 0',
      'list open 1 5000',
      'rotate 2 1 1 0x12',
    ])
      expect(() => bridge.parseDecision(line)).toThrow(bridge.BridgeError);
  });
});

describe('events', () => {
  const id = `0x${'ab'.repeat(32)}` as Hex;
  const guardian = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' as Hex;

  it('are read from messages without a target only', () => {
    const tags = [{ name: 'Action', value: 'Isthmus-Events' }];
    const line = `deposit.attested ${id} ${guardian} 2`;
    expect(bridge.eventsOf([{ Tags: tags, Data: line }])).toEqual([
      { type: 'deposit.attested', id, guardian, votes: 2 },
    ]);
    expect(bridge.eventsOf([{ Target: 'x', Tags: tags, Data: line }])).toEqual([]);
    expect(bridge.eventsOf([{ Tags: [{ name: 'Action', value: 'Credit-Notice' }], Data: line }])).toEqual([]);
  });

  it('a decision keeps its whole line', () => {
    expect(bridge.parseEventLine('decision.applied 3 list open 5 60000 1')).toEqual({
      type: 'decision.applied',
      nonce: 3n,
      line: 'list open 5 60000 1',
    });
  });

  it.each([
    '',
    'mint x',
    'constructor 1',
    'deposit.attested a b',
    'transfer a b -1',
    'deposit.attested a b -1',
    'transfer a  1',
  ])('refuse %p', (line) => {
    expect(() => bridge.parseEventLine(line)).toThrow(bridge.BridgeError);
  });
});

describe('release signatures', () => {
  const domain = { chainId: 31337, vault: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' as Hex };
  const accounts = [1, 2, 3].map(() => privateKeyToAccount(generatePrivateKey()));
  const guardians = accounts.map((a) => a.address);
  const statement = {
    process: 'A'.repeat(43),
    number: 1n,
    asset: guardians[0]!,
    recipient: guardians[1]!,
    amount: 10n,
    maxFee: 2n,
    epoch: 1n,
  };

  it('pack, unpack, and name their signer', async () => {
    for (const [index, account] of accounts.entries()) {
      const signature = await account.signTypedData(bridge.releaseTypedData(domain, statement));
      const packed = bridge.packSignature(index, signature);
      expect(bridge.unpackSignature(packed)).toEqual({ index, signature });
      expect(await bridge.verifyReleaseSignature(domain, statement, packed, guardians)).toBe(account.address);
    }
  });

  it('E23 X1 a signature is for exactly one content, contract and chain', async () => {
    const packed = bridge.packSignature(
      0,
      await accounts[0]!.signTypedData(bridge.releaseTypedData(domain, statement)),
    );
    const others = [
      { number: 2n },
      { amount: 11n },
      { maxFee: 3n },
      { recipient: guardians[2]! },
      { asset: guardians[2]! },
      { epoch: 2n },
      { process: 'B'.repeat(42) + 'A' },
    ];
    for (const change of others)
      expect(await bridge.verifyReleaseSignature(domain, { ...statement, ...change }, packed, guardians)).toBeNull();
    expect(await bridge.verifyReleaseSignature({ ...domain, chainId: 1 }, statement, packed, guardians)).toBeNull();
    expect(
      await bridge.verifyReleaseSignature({ ...domain, vault: guardians[2]! }, statement, packed, guardians),
    ).toBeNull();
  });

  it('E22 refuses a high s, a wrong index and garbage', async () => {
    const signature = await accounts[0]!.signTypedData(bridge.releaseTypedData(domain, statement));
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const highS = (order - BigInt(`0x${signature.slice(66, 130)}`)).toString(16).padStart(64, '0');
    expect(() => bridge.packSignature(0, `${signature.slice(0, 66)}${highS}1b` as Hex)).toThrow(/low s/);
    expect(() => bridge.unpackSignature(`0x00${'11'.repeat(32)}7f${'ff'.repeat(31)}`)).toThrow(/high s/);
    expect(
      await bridge.verifyReleaseSignature(domain, statement, bridge.packSignature(1, signature), guardians),
    ).toBeNull();
    expect(
      await bridge.verifyReleaseSignature(domain, statement, bridge.packSignature(9, signature), guardians),
    ).toBeNull();
    expect(await bridge.verifyReleaseSignature(domain, statement, `0x00${'00'.repeat(64)}`, guardians)).toBeNull();
  });
});

describe('the life of a transfer', () => {
  const states = [
    'seen',
    'confirming',
    'attesting',
    'minted',
    'orphaned',
    'refused',
    'queued',
    'signing',
    'ready',
    'submitted',
    'released',
    'held',
  ] as const;

  it('what is done stays done', () => {
    for (const from of ['minted', 'released', 'held'] as const) {
      for (const to of states) expect(bridge.mayFollow(from, to)).toBe(from === to);
    }
    expect(states.filter(bridge.isFinal)).toEqual(['minted', 'refused', 'released', 'held']);
    expect(states.filter((to) => bridge.mayFollow('refused', to))).toEqual(['minted', 'refused']);
  });

  it('I5 a deposit that is minted is final: no reorg takes it back, as it may one with few confirmations before', () => {
    expect(bridge.mayFollow('confirming', 'orphaned')).toBe(true);
    expect(bridge.mayFollow('attesting', 'orphaned')).toBe(true);
    expect(() => bridge.assertFollows('minted', 'orphaned')).toThrow(/never becomes/);
    expect(() => bridge.assertFollows('seen', 'released')).toThrow(/never becomes/);
  });
});

describe('I3 conservation', () => {
  it('is a shortfall of exactly what is missing, and none otherwise', () => {
    fc.assert(
      fc.property(amount, amount, fc.bigInt({ min: -5n, max: 5n }), (supply, inFlight, off) => {
        const locked = supply + inFlight + off;
        return bridge.shortfall({ locked, supply, inFlight }) === (off < 0n ? -off : 0n);
      }),
    );
  });
});
