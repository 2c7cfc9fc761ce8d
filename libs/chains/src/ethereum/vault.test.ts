/** Reading the vault's logs: what the vault emits is read as any decoder reads it, and everything else is refused by one error. */
import { processFromBytes32 } from '@isthmus/bridge';
import fc from 'fast-check';
import {
  decodeEventLog,
  decodeFunctionData,
  encodeAbiParameters,
  encodeEventTopics,
  getAddress,
  parseAbiParameters,
  zeroAddress,
  type Hex,
} from 'viem';
import { compileContracts } from '../../../../contracts/ethereum/compile.js';
import { vaultAbi } from './vault-abi.js';
import {
  decodeVaultLogs,
  DEPOSITED_TOPIC,
  encodeCoinDeposit,
  encodeRelease,
  encodeReleaseBatch,
  encodeTokenDeposit,
  joinSignatures,
  RELEASED_TOPIC,
  VaultLogError,
  type RawLog,
  type VaultLog,
} from './vault.js';

const VAULT = getAddress(`0x${'c0de'.repeat(10)}`);
const PLACE = {
  address: VAULT,
  blockNumber: '0x10',
  blockHash: `0x${'0b'.repeat(32)}`,
  transactionHash: `0x${'0c'.repeat(32)}`,
  logIndex: '0x3',
} as const;

const hexOf = (maxLength: number, minLength = 0): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => `0x${Buffer.from(bytes).toString('hex')}` as const);
const bytes32 = hexOf(32, 32);
const address = hexOf(20, 20).map((a) => getAddress(a));
const uint = (bits: bigint): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: 2n ** bits - 1n });

const deposited = fc
  .record({
    sequence: uint(64n),
    asset: address,
    sender: address,
    amount: uint(256n),
    recipient: hexOf(70),
    tags: hexOf(300),
  })
  .map((args) => ({
    args,
    log: {
      ...PLACE,
      topics: encodeEventTopics({ abi: vaultAbi, eventName: 'Deposited', args }) as Hex[],
      data: encodeAbiParameters(parseAbiParameters('uint256, bytes, bytes'), [args.amount, args.recipient, args.tags]),
    },
  }));

const released = fc
  .record({
    process: bytes32,
    number: uint(64n),
    asset: address,
    recipient: address,
    amount: uint(256n),
    fee: uint(256n),
    held: fc.boolean(),
  })
  .map((args) => ({
    args,
    log: {
      ...PLACE,
      topics: encodeEventTopics({ abi: vaultAbi, eventName: 'Released', args }) as Hex[],
      data: encodeAbiParameters(parseAbiParameters('address, uint256, uint256, bool'), [
        args.recipient,
        args.amount,
        args.fee,
        args.held,
      ]),
    },
  }));

const hexText = (value: Uint8Array): Hex => `0x${Buffer.from(value).toString('hex')}`;

/** What was read, as viem names and gives it. */
function asViem(log: VaultLog): object {
  if (log.type === 'deposited') {
    const { sequence, asset, sender, amount, recipient, tags } = log;
    return { sequence, asset, sender, amount, recipient: hexText(recipient), tags: hexText(tags) };
  }
  const { process, number, asset, recipient, amount, fee, held } = log;
  return { process, number, asset, recipient, amount, fee, held };
}

function byViem({ topics, data }: { topics: readonly string[]; data: string }): object {
  const { args } = decodeEventLog({
    abi: vaultAbi,
    topics: topics as [Hex, ...Hex[]],
    data: data as Hex,
    strict: true,
  });
  return 'process' in args ? { ...args, process: processFromBytes32(args.process) } : args;
}

/** The one error, or what was read. */
function read(logs: readonly unknown[]): VaultLog[] | VaultLogError {
  try {
    return decodeVaultLogs(VAULT, logs as RawLog[]);
  } catch (error) {
    if (error instanceof VaultLogError) return error;
    throw error;
  }
}

it('the interface written down is the compiled contract’s', () => {
  const compiled = compileContracts()['Vault']?.abi ?? [];
  const withoutNotes = JSON.stringify(compiled, (key, value: unknown) => (key === 'internalType' ? undefined : value));
  expect(sorted(vaultAbi)).toEqual(sorted(JSON.parse(withoutNotes) as unknown[]));
});

const sorted = (abi: readonly unknown[]): string[] => abi.map((entry) => canonical(entry)).toSorted();

/** JSON with keys in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

describe('logs of the vault', () => {
  it('reads every deposit and release as viem’s decoder does', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(deposited, released), { maxLength: 8 }), (drawn) => {
        const logs = decodeVaultLogs(
          VAULT,
          drawn.map((d) => d.log),
        );
        expect(logs.map(asViem)).toEqual(drawn.map((d) => byViem(d.log)));
        for (const log of logs)
          expect(log).toMatchObject({
            blockNumber: 16n,
            blockHash: PLACE.blockHash,
            txHash: PLACE.transactionHash,
            logIndex: 3,
          });
      }),
      { numRuns: 300 },
    );
  });

  it('a log that was tampered with is refused, or is exactly another log the vault could emit', () => {
    const tampered = fc.tuple(
      fc.oneof(deposited, released),
      fc.nat(),
      fc.constantFrom(...'0123456789abcdef'.split('')),
    );
    fc.assert(
      fc.property(tampered, fc.boolean(), ([{ log }, at, digit], inTopics) => {
        const whole = inTopics ? log.topics.join('') : log.data;
        const position = at % whole.length;
        const text = whole.slice(0, position) + digit + whole.slice(position + 1);
        const changed = inTopics
          ? { ...log, topics: log.topics.map((_, i) => text.slice(i * 66, (i + 1) * 66)) }
          : { ...log, data: text };
        const found = read([changed]);
        if (found instanceof VaultLogError || found.length === 0) return;
        expect(asViem(found[0] as VaultLog)).toEqual(byViem(changed));
        expect(encoded(found[0] as VaultLog)).toEqual({ topics: changed.topics, data: changed.data });
      }),
      { numRuns: 2_000 },
    );
  });

  it('a log cut short or drawn out is refused', () => {
    fc.assert(
      fc.property(fc.oneof(deposited, released), fc.nat(), ({ log }, cut) => {
        const length = 2 + (cut % (log.data.length - 2));
        expect(read([{ ...log, data: log.data.slice(0, length) }])).toBeInstanceOf(VaultLogError);
        expect(read([{ ...log, data: `${log.data}00` }])).toBeInstanceOf(VaultLogError);
        expect(read([{ ...log, data: `${log.data}${'00'.repeat(32)}` }])).toBeInstanceOf(VaultLogError);
        expect(read([{ ...log, topics: log.topics.slice(0, -1) }])).toBeInstanceOf(VaultLogError);
      }),
      { numRuns: 200 },
    );
  });

  it('garbage is refused by the one error, whatever it is', () => {
    const field = fc.oneof(fc.anything(), fc.string(), hexOf(200), bytes32);
    const topics = fc.oneof(
      fc.anything(),
      fc
        .tuple(fc.constantFrom(DEPOSITED_TOPIC, RELEASED_TOPIC), fc.array(fc.oneof(bytes32, field), { maxLength: 4 }))
        .map(([first, rest]) => [first, ...rest]),
    );
    const garbage = fc.oneof(
      fc.anything(),
      fc.record(
        {
          address: fc.oneof({ weight: 5, arbitrary: fc.constant(VAULT) }, field),
          topics,
          data: field,
          blockNumber: fc.oneof(fc.constant('0x1'), field),
          blockHash: fc.oneof(fc.constant(PLACE.blockHash), field),
          transactionHash: fc.oneof(fc.constant(PLACE.transactionHash), field),
          logIndex: fc.oneof(fc.constant('0x0'), field),
          removed: fc.oneof(fc.constant(false), field),
        },
        { requiredKeys: [] },
      ),
      // A list of one text passes many a check for the text.
      fc
        .tuple(fc.oneof(deposited, released), fc.integer({ min: 1, max: 3 }))
        .map(([{ log }, at]) => ({ ...log, topics: log.topics.map((t, i) => (i === at ? [t] : t)) })),
      // A good log with one bad field.
      fc
        .tuple(fc.oneof(deposited, released), fc.constantFrom(...Object.keys(PLACE), 'topics', 'data'), field)
        .map(([{ log }, key, value]) => ({ ...log, [key]: value })),
    );
    fc.assert(
      fc.property(fc.array(garbage, { maxLength: 3 }), (logs) => {
        read(logs); // any other error is thrown on
      }),
      { numRuns: 3_000 },
    );
  });

  const good = fc.sample(deposited, { numRuns: 1, seed: 7 })[0]?.log as RawLog;

  it('E1 a log of another contract is refused, also among the vault’s own', () => {
    expect(read([good])).toHaveLength(1);
    expect(read([{ ...good, address: zeroAddress }])).toBeInstanceOf(VaultLogError);
    expect(read([good, { ...good, address: zeroAddress }])).toBeInstanceOf(VaultLogError);
    expect(read([{ ...good, address: VAULT.toLowerCase() }])).toHaveLength(1);
  });

  it('E5 a log that was taken back, or is in no block yet, is refused', () => {
    expect(read([{ ...good, removed: false }])).toHaveLength(1);
    expect(read([{ ...good, removed: true }])).toBeInstanceOf(VaultLogError);
    for (const key of ['blockNumber', 'blockHash', 'transactionHash', 'logIndex'])
      expect(read([{ ...good, [key]: null }])).toBeInstanceOf(VaultLogError);
  });

  it('X3 a number of more than 64 bits is refused', () => {
    expect(read([numbered(good, 2n ** 64n - 1n)])).toMatchObject([{ sequence: 2n ** 64n - 1n }]);
    expect(read([numbered(good, 2n ** 64n)])).toBeInstanceOf(VaultLogError);
  });

  it('passes over the vault’s other events', () => {
    const topics = encodeEventTopics({ abi: vaultAbi, eventName: 'Paused' }) as Hex[];
    expect(read([{ ...good, topics, data: `0x${'0'.repeat(64)}` }, good])).toHaveLength(1);
  });
});

const signature = (index: number): Hex => `0x${index.toString(16).padStart(2, '0')}${'ee'.repeat(64)}`;

function numbered(log: RawLog, sequence: bigint): RawLog {
  return { ...log, topics: log.topics.with(1, `0x${sequence.toString(16).padStart(64, '0')}`) };
}

/** The log anew from what was read. */
function encoded(log: VaultLog): { topics: unknown; data: Hex } {
  if (log.type === 'deposited')
    return {
      topics: encodeEventTopics({ abi: vaultAbi, eventName: 'Deposited', args: log }),
      data: encodeAbiParameters(parseAbiParameters('uint256, bytes, bytes'), [
        log.amount,
        hexText(log.recipient),
        hexText(log.tags),
      ]),
    };
  const process = hexText(Buffer.from(log.process, 'base64url'));
  return {
    topics: encodeEventTopics({ abi: vaultAbi, eventName: 'Released', args: { ...log, process } }),
    data: encodeAbiParameters(parseAbiParameters('address, uint256, uint256, bool'), [
      log.recipient,
      log.amount,
      log.fee,
      log.held,
    ]),
  };
}

describe('calls to the vault', () => {
  const release = {
    process: `0x${'01'.repeat(32)}`,
    number: 7n,
    asset: zeroAddress,
    recipient: VAULT,
    amount: 100n,
    maxFee: 3n,
  } as const;
  it('are read back by viem as they were meant', () => {
    const [recipient, tags] = [Buffer.alloc(32, 1), Buffer.from('X-A=b')];
    const decoded = [
      encodeCoinDeposit(recipient, tags),
      encodeTokenDeposit(VAULT, 9n, recipient, tags),
      encodeRelease(release, 2n, [signature(0), signature(2)]),
      encodeReleaseBatch([{ release, fee: 2n, signatures: [signature(1)] }]),
    ].map((data) => decodeFunctionData({ abi: vaultAbi, data }));
    expect(decoded).toEqual([
      { functionName: 'deposit', args: [hexText(recipient), hexText(tags)] },
      { functionName: 'deposit', args: [VAULT, 9n, hexText(recipient), hexText(tags)] },
      { functionName: 'release', args: [release, 2n, joinSignatures([signature(0), signature(2)])] },
      { functionName: 'releaseBatch', args: [[release], [2n], [signature(1)]] },
    ]);
  });

  it('E22 signatures are joined ascending by index, in whatever order they came', () => {
    const ascending = [0, 1, 9, 10, 63].map(signature);
    const joined = `0x${ascending.map((s) => s.slice(2)).join('')}`;
    fc.assert(
      fc.property(fc.shuffledSubarray(ascending, { minLength: 5 }), (shuffled) => {
        expect(joinSignatures(shuffled)).toBe(joined);
      }),
    );
  });
});
