/** Contracts as processes: messages are calls, events are sent, whatever fails leaves nothing, work and results are bounded, the state is exact. */
import fc from 'fast-check';
import {
  decodeFunctionResult,
  encodeAbiParameters,
  encodeFunctionData,
  getAddress,
  keccak256,
  stringToHex,
  type Abi,
  type Hex,
} from 'viem';
import { compileContracts } from '../../../../../contracts/ethereum/compile.js';
import type { EvaluationResult, MemoryImage, ProcessEnv, Tag, VmInstance, VmMessage } from '../../types.js';
import { MAX_RESULT_BYTES, MAX_SENT } from '../bounds.js';
import { changedImage, sameImage } from '../image.js';
import { AbiReader, encodeCall, type Value } from './abi.js';
import { EVM_FORMAT, EvmVm } from './evm-vm.js';
import { Ledger, type Change } from './ledger.js';

const PROCESS = 'P'.repeat(43);
const MESSENGER = 'M'.repeat(43);
const OTHER = 'O'.repeat(43);
const ALICE = getAddress(`0x${'a1'.repeat(20)}`);
const artifacts = compileContracts('contracts/evm');
const abi = artifacts['Probe']?.abi as Abi;
/** Enough for everything here that is to succeed; what is to end in "out of gas" ends sooner. */
const vm = new EvmVm(4_000_000n);

const envOf = (tags: Tag[] = [], value = 7n): ProcessEnv => ({
  Process: {
    Id: PROCESS,
    Owner: ALICE,
    Tags: [
      { name: 'Authority', value: MESSENGER },
      { name: 'Constructor-Arguments', value: encodeAbiParameters([{ type: 'uint256' }], [value]) },
      ...tags,
    ],
  },
  Module: { Id: 'm'.repeat(43), Owner: 'o', Tags: [] },
});
const env = envOf();
let nonce = 0;
const message = (tags: Record<string, string> = {}, more: Partial<VmMessage> = {}): VmMessage => ({
  Id: `id-${(nonce += 1)}`,
  Owner: ALICE,
  From: ALICE,
  Target: PROCESS,
  Anchor: '',
  Data: '',
  Tags: Object.entries(tags).map(([name, value]) => ({ name, value })),
  Module: env.Module.Id,
  Epoch: 0,
  Nonce: nonce,
  Timestamp: 1_700_000_000_999,
  'Block-Height': '0000012345',
  'Hash-Chain': '',
  Cron: false,
  ...more,
});
const spawn = () => message({}, { Id: PROCESS, Nonce: 0 });
const code = (name = 'Probe') => Buffer.from(artifacts[name]?.bytecode ?? '');
const spawned = (image: MemoryImage | null = null, process = env, module = code()) =>
  vm.load(module, EVM_FORMAT, process, image);
async function load(): Promise<VmInstance> {
  const instance = await spawned();
  expect((await instance.handle(spawn())).Error).toBeUndefined();
  return instance;
}
const call = (functionName: string, ...args: unknown[]): VmMessage =>
  message({ Calldata: encodeFunctionData({ abi, functionName, args }) });
const dataOf = (result: EvaluationResult): Hex => (result.Output as { data: Hex }).data;
async function read(instance: VmInstance, functionName: string, ...args: unknown[]): Promise<unknown> {
  const result = await instance.dryRun(call(functionName, ...args));
  if (result.Error !== undefined) throw new Error(result.Error);
  return decodeFunctionResult({ abi, functionName, data: dataOf(result) });
}

it('a message is a call of handle, and its events are what it sends, spawns and assigns', async () => {
  const instance = await load();
  const data = 'nul \0, ünïcode 🜁';
  const m = message({ Action: 'Go', 'X-Empty': '' }, { Data: data, Nonce: 9 });
  const tags = [
    { name: 'Id', value: m.Id },
    { name: 'Owner', value: ALICE },
    { name: 'Target', value: PROCESS },
    ...m.Tags,
  ];
  expect(await instance.handle(m)).toEqual({
    Messages: [
      { Target: ALICE, Anchor: '9-0'.padStart(32, '0'), Data: data, Tags: tags },
      { Anchor: '9-3'.padStart(32, '0'), Data: 'public', Tags: [] },
    ],
    Spawns: [{ Anchor: '9-1'.padStart(32, '0'), Data: data, Tags: [{ name: 'Module', value: 'the module' }, ...tags] }],
    Assignments: [{ Processes: ['one', 'two'], Message: m.Id }],
    Output: { data: '0x', logs: [] },
    GasUsed: expect.any(Number),
  });
  expect(await read(instance, 'caller')).toBe(ALICE);
  expect(await read(instance, 'count')).toBe(1n);
});

it('a tag Calldata is the call itself; what it gives back is Output and an answer', async () => {
  const instance = await load();
  await instance.handle(message());
  const asked = call('count');
  const result = await instance.handle(asked);
  const data = `0x${'1'.padStart(64, '0')}`;
  expect(result.Output).toEqual({ data, logs: [] });
  expect(result.Messages).toEqual([
    {
      Target: ALICE,
      Anchor: `${asked.Nonce}-return`.padStart(32, '0'),
      Data: data,
      Tags: [
        { name: 'Action', value: 'Return' },
        { name: 'Message-Id', value: asked.Id },
      ],
    },
  ]);
  for (const bad of ['0x123', '12', '', '0xgg'])
    expect((await instance.handle(message({ Calldata: bad }))).Error).toBe('Calldata must be hex, with 0x.');
});

it('the caller stands for who sent: a key for itself, a process for its id, and only through an authority', async () => {
  const instance = await load();
  const from = (From: string, Owner: string, more: Partial<VmMessage> = {}) =>
    instance.handle(message({ Action: 'Go' }, { From, Owner, ...more }));
  expect((await from(OTHER, MESSENGER)).Error).toBeUndefined();
  expect(await read(instance, 'caller')).toBe(getAddress(`0x${keccak256(stringToHex(OTHER)).slice(-40)}`));
  expect((await from(OTHER, OTHER)).Error).toBeUndefined();
  expect((await from(ALICE.toLowerCase(), ALICE.toLowerCase())).Error).toBeUndefined();
  expect(await read(instance, 'caller')).toBe(ALICE);
  expect((await from('0x1', '0x1')).Error).toBeUndefined();
  for (const [who, by] of [
    [OTHER, 'mallory'],
    [ALICE, MESSENGER],
    ['', MESSENGER],
    [PROCESS, OTHER],
  ] as const)
    expect((await from(who, by)).Error).toBe(`${by} is no Authority of this process to speak for ${who}.`);
  expect((await from(ALICE, 'scheduler', { Cron: true })).Error).toBeUndefined();
  expect(await read(instance, 'count')).toBe(5n);
});

it('A6 a message to another process that is only assigned is never a call: it comes as what it is', async () => {
  const instance = await load();
  const assigned = { ...call('refuse', 0n), Target: OTHER };
  expect(await instance.handle(assigned)).toMatchObject({ Messages: [{ Target: ALICE, Data: OTHER }] });
  expect(await read(instance, 'count')).toBe(100n);
});

it('bytes and hex are one module; what creates no contract is told, and so is a constructor that fails', async () => {
  const bytes = Buffer.from((artifacts['Probe']?.bytecode ?? '').slice(2), 'hex');
  const [one, two] = [await load(), await spawned(null, env, bytes)];
  await two.handle(spawn());
  expect(sameImage(await one.snapshot(), await two.snapshot())).toBe(true);
  expect(await read(two, 'given')).toBe(7n);
  expect(await read(two, 'spawner')).toBe(ALICE);
  await expect(spawned(null, env, Buffer.from('0xno'))).rejects.toThrow(/not hex/);
  await expect(spawned(null, env, Buffer.alloc(0))).rejects.toThrow(/1 to/);
  const noHex = { ...env, Process: { ...env.Process, Tags: [{ name: 'Constructor-Arguments', value: '7' }] } };
  await expect(spawned(null, noHex)).rejects.toThrow(/must be hex/);
  const unlucky = await spawned(null, envOf([], 13n));
  expect((await unlucky.handle(spawn())).Error).toBe('reverted: unlucky');
  expect((await unlucky.handle(message())).Error).toMatch(/no contract/);
  const nothing = await spawned(null, env, Buffer.from('0x00'));
  expect((await nothing.handle(spawn())).Error).toMatch(/creates no contract/);
  expect((await one.handle(spawn())).Error).toBe('This process has its contract.');
});

it.each([
  [0n, 'reverted: on purpose'],
  [1n, /^reverted with 0x[0-9a-f]{8}0{63}5$/],
  [2n, 'reverted: an assertion failed'],
  [3n, 'reverted without a reason: there may be no such function'],
  [4n, 'reverted: a division by zero'],
  [5n, 'invalid opcode'],
])('a revert (%s) is an Error with its reason and leaves nothing', async (how, reason) => {
  const instance = await load();
  await instance.handle(message());
  const before = await instance.snapshot();
  const failed = await instance.handle(call('refuse', how));
  expect(failed).toMatchObject({ Error: expect.stringMatching(reason), Messages: [] });
  expect(await read(instance, 'count')).toBe(1n);
  expect(sameImage(await instance.snapshot(), before)).toBe(true);
});

it.each([
  ['a loop', call('loop'), /^out of gas$/],
  ['a loop that catches itself', call('cling'), /^out of gas$/],
  ['recursion', call('recurse'), /out of gas|reverted/],
  ['a bomb of memory', call('grow', 2n ** 40n), /out of gas/],
  ['a larger one than any', call('grow', 2n ** 255n), /too much memory/],
  ['more messages than may be sent', call('sendMany', BigInt(MAX_SENT) + 1n), /at most 1024 messages/],
  ['one text said many times', call('amplify', 4000n, 100_000n), /more than a message may give/],
  ['an event without data', call('badEvent', 0n), /cut short/],
  ['an event that points nowhere', call('badEvent', 1n), /out of reach/],
  ['an event that points far away', call('badEvent', 2n), /cut short/],
])('A16 %s ends in an error and leaves the process as it was', async (_, m, reason) => {
  const instance = await load();
  await instance.handle(message());
  const failed = await instance.handle(m);
  expect(failed).toMatchObject({ Error: expect.stringMatching(reason), Messages: [], Output: '' });
  expect(await read(instance, 'count')).toBe(1n);
});

it('A16 a message gives so much: as many messages as may be, and texts that are said again', async () => {
  const instance = await load();
  expect((await instance.handle(call('sendMany', BigInt(MAX_SENT)))).Messages).toHaveLength(MAX_SENT);
  const [sent] = (await instance.handle(call('amplify', 100n, 10_000n))).Messages;
  expect(sent?.Tags).toHaveLength(100);
  expect(sent?.Tags[99]?.name).toHaveLength(10_000);
});

it('knows nothing but its message: time and height are the message’s, nothing is random, nobody is paid', async () => {
  const instance = await load();
  const answers = await Promise.all([1, 2].map(() => read(instance, 'world')));
  expect(answers[0]).toEqual([
    1_700_000_000n,
    12_345n,
    0x616fn,
    0n,
    0n,
    `0x${'0'.repeat(40)}`,
    `0x${'0'.repeat(64)}`,
    expect.any(BigInt),
  ]);
  expect(answers[1]).toEqual(answers[0]);
  expect(await read(instance, 'pay', ALICE)).toBe(false);
});

it('A16 precompiles whose work gas does not bound fail; the others answer', async () => {
  const instance = await load();
  const address = (n: number) => `0x${n.toString(16).padStart(40, '0')}`;
  for (const n of [5, 6, 7, 8, 9, 10])
    expect(await read(instance, 'precompile', address(n), 0n)).toEqual([false, '0x']);
  const [, sha256] = (await read(instance, 'precompile', address(2), 0n)) as [boolean, Hex];
  expect(sha256).toBe('0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(await read(instance, 'precompile', address(4), 3n)).toEqual([true, '0x000000']);
});

describe('A16 I13 work that takes this EVM long has its price:', () => {
  const SELF_CALL = '6000600060016000305afa50';
  /** Gas of one more round of an operation, in a contract of so many bytes that are all PUSH but for it. */
  async function roundOf(body: string, size: number): Promise<number> {
    const used: number[] = [];
    for (const rounds of [1, 2]) {
      // With calldata (as when it calls itself) it stops at once; what is called looks for its jumps first.
      const contract = Buffer.from(`3615600657005b${body.repeat(rounds)}00`.padEnd(2 * size, '6000'), 'hex');
      const init = Buffer.from(`61${contract.length.toString(16).padStart(4, '0')}80600c6000396000f3`, 'hex');
      const instance = await new EvmVm().load(Buffer.concat([init, contract]), EVM_FORMAT, env, null);
      expect((await instance.handle(spawn())).Error).toBeUndefined();
      const { GasUsed, Error } = await instance.handle(message({ Calldata: '0x' }));
      expect(Error).toBeUndefined();
      used.push(GasUsed ?? 0);
    }
    return (used[1] ?? 0) - (used[0] ?? 0);
  }

  // Milliseconds a round took on a busy core: what is left is 2.4 million gas a second or more.
  it.each([
    ['calls of itself, small (0.11 ms)', SELF_CALL, 40, 320],
    ['calls of itself, 24,576 bytes (0.9 ms)', SELF_CALL, 24_576, 6_400],
    ['copies of 24,576 bytes of code (4 ms)', '6160006000600039', 24_576, 9_200],
    ['copies of 24,576 bytes of another’s code (4 ms)', '61600060006000303c', 24_576, 9_200],
    ['storage to and fro (0.04 ms)', '5a600055', 40, 100],
    ['hashes of 32 bytes (0.01 ms)', '602060002050', 40, 36],
  ])('%s', async (_, body, size, least) => {
    expect(await roundOf(body, size)).toBeGreaterThanOrEqual(least);
  });
});

it('contracts it creates live on with it, but do not speak for it', async () => {
  const instance = await load();
  const born = await instance.handle(call('bear'));
  expect(born.Messages.filter((m) => m.Target === 'x')).toEqual([]);
  expect((born.Output as { logs: unknown[] }).logs).toHaveLength(1);
  const other = await spawned(await instance.snapshot());
  for (const each of [instance, other]) expect(await read(each, 'childValue')).toBe(7n);
  await other.handle(call('bearAndEnd'));
  expect(await read(other, 'childCode')).toBe(0n);
  expect(await read(await spawned(await other.snapshot()), 'childCode')).toBe(0n);
  // What ended itself left nothing, nor did whoever called: the state is the two contracts that live.
  const addresses = async (image: MemoryImage) =>
    new Set([...new Ledger(image).records()].map(([key]) => key.toString('hex', 1, 21)));
  expect((await addresses(await other.snapshot())).size).toBe(2);
});

it('A7 a dry-run changes nothing', async () => {
  const instance = await load();
  await instance.handle(message());
  const before = await instance.snapshot();
  expect((await instance.dryRun(call('bear'))).Error).toBeUndefined();
  expect((await instance.dryRun(message())).Messages).toHaveLength(2);
  expect(sameImage(await instance.snapshot(), before)).toBe(true);
  expect(await read(instance, 'count')).toBe(1n);
});

it('I11 the same messages give the same results and the same image, whatever failed, was read, checkpointed or moved in between', async () => {
  const step = fc.oneof(
    fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 2 })).map(
      ([from, number, value]) =>
        () =>
          call('keep', BigInt(from), BigInt(number), `0x0${value}`),
    ),
    fc.constantFrom(
      () => message({ Action: 'Go' }),
      () => call('bear'),
      () => call('bearAndEnd'),
      () => call('refuse', 0n),
      () => call('badEvent', 1n),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(11), async (steps, at) => {
      const plain = await load();
      let moved = await load();
      let image = changedImage(null, await moved.checkpoint());
      for (const [i, make] of steps.entries()) {
        const m = make();
        await moved.dryRun(call('keep', 0n, 9n, '0x09'));
        await moved.handle(call('refuse', 1n));
        if (i === at) {
          image = changedImage(image, await moved.checkpoint());
          moved = await spawned(image);
        }
        expect(await moved.handle(m)).toEqual(await plain.handle(m));
      }
      expect(sameImage(await moved.snapshot(), await plain.snapshot())).toBe(true);
      expect(await read(moved, 'sumOf', 0n, 70n)).toBe(await read(plain, 'sumOf', 0n, 70n));
    }),
    { numRuns: 15 },
  );
});

describe('ledger', () => {
  const key = fc.nat(30).map((n) => n.toString(16).padStart(128, '1'));
  const value = fc.option(
    fc.nat(255).map((n) => Buffer.alloc(64, n)),
    { nil: null },
  );
  const batch = fc.uniqueArray(fc.tuple(key, value), { selector: ([k]) => k, maxLength: 20 });

  it('holds what a map would, in the same bytes wherever it goes on from', () => {
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 10 }), (batches) => {
        const model = new Map<string, Buffer>();
        const one = new Ledger(null);
        let two = new Ledger(null);
        for (const changes of batches) {
          for (const [k, v] of changes)
            if (v) model.set(k, v);
            else model.delete(k);
          one.apply(changes as Change[]);
          two.apply(changes.toReversed() as Change[]);
          two = new Ledger(imageOf(two));
        }
        const held = [...two.records()].map(([k, v]): [string, string] => [k.toString('hex'), v.toString('hex')]);
        expect(new Map(held)).toEqual(new Map([...model].map(([k, v]) => [k, v.toString('hex')])));
        expect(Buffer.compare(one.memory, two.memory)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('grows and shrinks by pages, changes few of them, and refuses what is no image of it', () => {
    const ledger = new Ledger(null);
    const changes = Array.from({ length: 2000 }, (_, i): Change => [
      (i + 1).toString(16).padStart(128, '0'),
      Buffer.alloc(64, 1),
    ]);
    ledger.apply(changes);
    expect(ledger.memory).toHaveLength(4 * 65_536);
    ledger.apply(changes.slice(600).map(([k]): Change => [k, null]));
    expect(ledger.memory).toHaveLength(2 * 65_536);
    expect([...ledger.records()]).toHaveLength(600);
    const image = imageOf(ledger);
    expect(() => new Ledger({ ...image, size: 65_536 })).toThrow(RangeError);
    const twice = imageOf(ledger);
    const page = twice.pages.get(0) as Buffer;
    page.copy(page, 256, 128, 256);
    expect(() => new Ledger(twice)).toThrow(/twice/);
  });

  function imageOf(ledger: Ledger): MemoryImage {
    const bytes = Buffer.from(ledger.memory);
    const pages = Array.from({ length: bytes.length / 65_536 }, (_, i): [number, Buffer] => [
      i,
      bytes.subarray(i * 65_536, (i + 1) * 65_536),
    ]);
    return { size: bytes.length, pages: new Map(pages.filter(([, p]) => p.some((b) => b !== 0))) };
  }
});

it('the ABI is written and read as others write it', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 70 });
  const tags = fc.array(fc.record({ name: text, value: text }), { maxLength: 5 });
  fc.assert(
    fc.property(text, text, tags, (a, b, list) => {
      const types = [
        { type: 'string' },
        { type: 'string' },
        {
          type: 'tuple[]',
          components: [
            { name: 'name', type: 'string' },
            { name: 'value', type: 'string' },
          ],
        },
      ] as const;
      const expected = encodeAbiParameters(types, [a, b, list]);
      const values: Value[] = [a, b, { list: list.map(({ name, value }) => ({ struct: [name, value] })) }];
      expect(encodeCall(Buffer.alloc(0), values).toString('hex')).toBe(expected.slice(2));
      const reader = new AbiReader(Buffer.from(expected.slice(2), 'hex'), MAX_RESULT_BYTES);
      expect([reader.text(0, 0), reader.text(0, 1)]).toEqual([a, b]);
      expect(reader.list(0, 2, (at) => ({ name: reader.text(at, 0), value: reader.text(at, 1) }))).toEqual(list);
    }),
    { numRuns: 100 },
  );
});
