/**
 * One source, several machines: the same messages lead to the same replies, events and state on the lean Lua machine and on real aos
 * modules, and what nobody may do on one, nobody may on the others.
 */
import { patchesOf, WorkerPool, type EvaluationResult, type MemoryImage, type VmMessage } from '@isthmus/ao';
import { depositId } from '@isthmus/bridge';
import fc from 'fast-check';
import { getAddress, type Hex } from 'viem';
import {
  AUTHORITY,
  CHAIN,
  environment,
  GUARDIANS,
  messageTo,
  PROCESS,
  SPAWN_TAGS,
  SPAWNER,
  tag,
  TOKEN,
  tokenSource,
  VAULT,
  type Sender,
} from './harness.js';
import { aosModules, HostedToken, LEAN, type Machine } from './machines.js';

const [G1, G2, G3, G4] = GUARDIANS as [Hex, Hex, Hex, Hex];
const ALICE = getAddress(`0x${'ab'.repeat(20)}`);
const BOB = 'B'.repeat(42) + 'A';
const OUTSIDER = getAddress(`0x${'9c'.repeat(20)}`);
const MACHINES: readonly Machine[] = [LEAN, ...aosModules()];
const REAL_AOS = MACHINES.filter((m) => m !== LEAN);
const ATTEST = { Action: 'Attest-Deposits' };

it('there are aos modules to run these tests with: node scripts/aos-module.mjs puts them into .cache/aos', () =>
  expect(REAL_AOS).not.toEqual([]));

let pool: WorkerPool;
beforeAll(() => (pool = new WorkerPool(1)));
afterAll(() => pool.stop());

const line = (sequence: number, amount = '1000', recipient: string = ALICE, tags = '-') => {
  const reference = `${CHAIN}:${VAULT}:${sequence}`;
  const tx = `0x${sequence.toString(16).padStart(64, '0')}`;
  return [depositId(reference), reference, tx, OUTSIDER, recipient, amount, tags].join(' ');
};
const hex = (text: string) => Buffer.from(text).toString('hex');
const packed = (guardian: Hex, fill = 'ab') =>
  `0x${GUARDIANS.indexOf(guardian).toString(16).padStart(2, '0')}${fill.repeat(64)}`;
const refusals = (result: EvaluationResult | undefined) =>
  (result?.Messages ?? []).flatMap((m) => tag(m, 'Error') ?? []);
/** What a result changes of the public state: the order of keys is each machine's own. */
const stateIn = (result: EvaluationResult | undefined) =>
  (result ? patchesOf(result)?.changes : undefined)?.map(({ path, value }) => `${path.join('/')}=${value}`).sort();
const eventsIn = (result: EvaluationResult | undefined) =>
  (result?.Messages ?? []).filter((m) => !m.Target && tag(m, 'Action')).map((m) => m.Data);

/** A live token with 1,000 units of ALICE's and 1,000 of BOB's, a process: made once for each machine, then gone on from. */
async function funded(machine: Machine): Promise<HostedToken> {
  const image = FUNDED.get(machine);
  if (image) return HostedToken.resumed(machine, pool, image);
  const token = await HostedToken.live(machine, pool);
  await fund(token);
  FUNDED.set(machine, await token.snapshot());
  return token;
}
const FUNDED = new Map<Machine, MemoryImage>();
async function fund(token: HostedToken): Promise<void> {
  for (const g of [G1, G2]) await token.send(g, ATTEST, [line(1), line(2, '1000', BOB)].join('\n'));
}
/** Everything a token's state decides that anybody can read. */
async function books(token: HostedToken): Promise<string[]> {
  const reads = ['Balances', 'Total-Supply', 'Withdrawals', 'Pending-Deposits', 'Decisions', 'Bridge-Info'];
  const results = await token.handle(reads.map((Action) => token.message('reader', { Action })));
  return results.map((r) => r.Error ?? JSON.stringify(r.Messages.map((m) => m.Data)));
}

// The same on all -----------------------------------------------------------------------------------------------------

interface Said {
  sender: Sender;
  tags: Record<string, string>;
  data: string;
}
const said = (sender: Sender | string, tags: Record<string, string>, data = ''): Said => ({
  sender: typeof sender === 'string' ? { from: sender } : sender,
  tags,
  data,
});

/** aos gives each message of its own the protocol's tags and a number, which the lean machine's messenger adds on delivery. */
const ADDED_BY_AOS = new Set(['Data-Protocol', 'Variant', 'Type', 'Reference']);

/**
 * What must be equal: targets, tags as sets, Data, events in their order, and whether the message failed. Not compared, as AO's own code
 * differs: `Anchor` (aos counts all it sends), `Output` (aos prints), and the reply to a message that speaks for another without being an
 * authority's, which aos answers or drops itself before any handler, so that only its having no effect is compared.
 */
function effect(message: VmMessage, result: EvaluationResult | undefined): unknown {
  const heard = message.From === message.Owner || [message.From, message.Owner].includes(AUTHORITY);
  const sent = (result?.Messages ?? []).filter((m) => m.Target);
  return {
    failed: result?.Error !== undefined,
    events: eventsIn(result),
    state: stateIn(result),
    sent: heard
      ? sent.map(({ Target, Tags, Data }) => ({
          Target,
          Data,
          tags: Tags.filter((t) => !ADDED_BY_AOS.has(t.name))
            .map((t) => `${t.name}=${t.value}`)
            .sort(),
        }))
      : [],
  };
}

/** What each step leads to, in the slots after the spawn and the loading of the source. */
const effects = async (token: HostedToken, steps: readonly Said[]): Promise<unknown[]> => {
  const messages = steps.map(({ sender, tags, data }, i) => messageTo(2 + i, sender, tags, data));
  const results = await token.handle(messages);
  return messages.map((m, i) => effect(m, results[i]));
};

const READS: readonly Said[] = [
  ...['Info', 'Balances', 'Total-Supply', 'Withdrawals', 'Pending-Deposits', 'Decisions', 'Bridge-Info'].map((Action) =>
    said('reader', { Action }),
  ),
  ...[ALICE, BOB, OUTSIDER].map((Target) => said('reader', { Action: 'Balance', Target })),
  ...[1, 2, 3].map((n) => said('reader', { Action: 'Withdrawal', Number: String(n) })),
  ...[1, 2, 3].map((n) => said('reader', { Action: 'Deposit', 'Deposit-Id': line(n).slice(0, 66) })),
];

const guardian = fc.constantFrom(G1, G1, G2, G2, G3, G4);
const holder = fc.constantFrom<Sender>(
  { from: ALICE },
  { from: ALICE },
  { from: BOB, owner: AUTHORITY },
  { from: OUTSIDER },
);
const anyone = fc.constantFrom(ALICE, BOB, OUTSIDER, G1, AUTHORITY, PROCESS, SPAWNER, 'none', 'true');
const rarely = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 6, arbitrary: usual }, { weight: 1, arbitrary: odd });
const ODD_QUANTITIES = [
  '',
  '0',
  '-1',
  '+1',
  '01',
  '0x10',
  '1e3',
  '1E3',
  ' 1',
  '1 ',
  '1\n',
  '1.0',
  '1_000',
  '1,000',
  '١',
  'inf',
  'nan',
  'nil',
  '9'.repeat(40),
  (2n ** 256n).toString(),
  (2n ** 256n + 1n).toString(),
  `-${2n ** 255n}`,
];
const quantity = rarely(
  fc.oneof(fc.integer({ min: 1, max: 1200 }).map(String), fc.bigInt({ min: 0n, max: 10n ** 39n }).map(String)),
  fc.constantFrom(...ODD_QUANTITIES),
);
const address = rarely<string>(
  fc.constantFrom(ALICE, BOB, OUTSIDER),
  fc.constantFrom('', 'bob', ALICE.toLowerCase(), `0x${'0'.repeat(40)}`, 'B'.repeat(43), VAULT, TOKEN, PROCESS),
);
/** Bytes of a deposit's tags, good and bad, among them each way not to be UTF-8. */
const SURROGATE = `${hex('X-A=')}eda080`;
const TAG_BYTES: readonly string[] = [
  '-',
  hex('X-Action=Swap\nX-Note=a "quoted" <b> \\ ünïcode 𝄞'),
  SURROGATE,
  hex('X-A=1\nX-A=2'),
  ...['edbfbf', 'c080', 'f4908080', 'ff', 'e282', 'ee8080'].map((bytes) => hex('X-A=') + bytes),
  hex('x-a=1'),
  hex('X-A=\u007f'),
  '5',
  'FF',
];
/** What honest guardians say of one deposit, now and then what a lying or broken one does. */
const depositLine = rarely(
  rarely(
    fc
      .nat({ max: TAG_BYTES.length - 1 })
      .map((n) => line(n + 1, String(n === 3 ? 10n ** 38n : 700n * BigInt(n + 1)), ALICE, TAG_BYTES[n])),
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), quantity, address, fc.constantFrom(...TAG_BYTES))
      .map((fields) => line(...fields)),
  ),
  fc.oneof(fc.constantFrom('', ' ', 'nonsense', line(1).toUpperCase(), line(1).replace(VAULT, TOKEN)), fc.string()),
);
const decisionLine = fc.constantFrom(
  'pause',
  'unpause',
  'unpause',
  'list open 900 60000 1',
  'list closed 0 1 1',
  `rotate 2 2 1 ${[G2, G3, G4].join(',')}`,
  `rotate 3 1 1 ${[G1, G2].join(',')}`,
  'rotate 2 9 1 nobody',
  'stop',
);
/** Tags that aos lifts into the message itself, and those it acts on. */
const lifted = fc.constantFrom<Record<string, string>>(
  {},
  {},
  {},
  { Cron: 'true' },
  { Timestamp: 'x', 'Block-Height': 'x', Module: 'x', 'Hash-Chain': 'x' },
  { Nonce: 'x' },
  { TagArray: 'x', Tags: 'x', Data: 'x', Target: OUTSIDER },
  { From: G1, Owner: G1 },
  { 'Forwarded-By': AUTHORITY, 'Pushed-For': G1, 'From-Process': BOB },
  { 'Read-Only': 'true', Type: 'Process' },
  { reply: 'x', forward: 'x', 'Reply-To': OUTSIDER, Reference: '77' },
  { 'X-Note': 'hi\u0001 "', 'X-Reference': '5', 'X-Origin': OUTSIDER },
);
const step: fc.Arbitrary<Said> = fc
  .tuple(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc
          .tuple(guardian, fc.array(depositLine, { minLength: 1, maxLength: 12 }))
          .map(([g, lines]) => said(g, ATTEST, lines.join('\n'))),
      },
      {
        weight: 4,
        arbitrary: fc
          .record({ sender: holder, Quantity: quantity, Recipient: address, cast: fc.boolean() })
          .map(({ sender, cast, ...tags }) =>
            said(sender, { Action: 'Transfer', ...tags, ...(cast ? { Cast: 'y' } : {}) }),
          ),
      },
      {
        weight: 4,
        arbitrary: fc
          .record({ sender: holder, Quantity: quantity, Recipient: address, fee: rarely(fc.constant('2'), quantity) })
          .map(({ sender, fee, ...tags }) => said(sender, { Action: 'Withdraw', ...tags, 'Max-Fee': fee })),
      },
      {
        weight: 3,
        arbitrary: fc
          .tuple(guardian, guardian, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 }))
          .map(([g, signer, number, epoch]) =>
            said(g, { Action: 'Sign-Release' }, `${number} ${epoch} ${packed(signer)}`),
          ),
      },
      {
        weight: 3,
        arbitrary: fc
          .tuple(guardian, fc.integer({ min: 0, max: 3 }), rarely(fc.constant('1'), quantity))
          .map(([g, number, fee]) =>
            said(
              g,
              { Action: 'Attest-Release' },
              `${number} 0x${'7'.repeat(64)} ${fee} ${number === 3 ? 'held' : 'paid'}`,
            ),
          ),
      },
      {
        weight: 3,
        arbitrary: fc
          .tuple(
            guardian,
            rarely(fc.constantFrom('1', '2'), fc.constantFrom('3', '0', 'x')),
            decisionLine,
            fc.boolean(),
          )
          .map(([g, nonce, text, sign]) =>
            sign
              ? said(g, { Action: 'Sign-Decision', 'Decision-Nonce': nonce }, packed(g))
              : said(g, { Action: 'Attest-Decision', 'Decision-Nonce': nonce }, text),
          ),
      },
      {
        weight: 2,
        arbitrary: fc
          .tuple(anyone, fc.constantFrom(...READS), fc.record({ Cursor: quantity, Limit: quantity, State: quantity }))
          .map(([from, read, paging]) => said(from, { ...read.tags, ...paging })),
      },
      {
        weight: 2,
        arbitrary: fc
          .tuple(
            anyone,
            anyone,
            fc.boolean(),
            fc.constantFrom('Transfer', 'Attest-Deposits', 'Withdraw', 'Mint', 'Eval', 'Credit-Notice', ''),
          )
          .map(([from, owner, cron, Action]) =>
            said({ from, owner, cron }, { Action, Quantity: '5', Recipient: BOB, 'Max-Fee': '1' }, line(1)),
          ),
      },
    ),
    lifted,
  )
  .map(([{ sender, tags, data }, more]) => ({ sender, tags: { ...tags, ...more }, data }));

/** A walk past every kind of event. */
const WALK: readonly Said[] = [
  said(G1, ATTEST, [line(1), line(2, '5000', BOB, hex('X-Action=Swap')), 'nonsense'].join('\n')),
  said(G3, ATTEST, line(1, '9999')),
  said(G2, ATTEST, [line(1), line(2, '5000', BOB, hex('X-Action=Swap'))].join('\n')),
  said(G3, ATTEST, line(1)),
  said(G1, ATTEST, line(3, '7', ALICE, SURROGATE)),
  said(G1, ATTEST, line(3, '7')),
  said(G3, ATTEST, line(3, '7', ALICE, SURROGATE)),
  said(ALICE, { Action: 'Transfer', Quantity: '100', Recipient: BOB, 'X-Memo': 'hi', Reference: '9' }),
  said({ from: BOB, owner: AUTHORITY }, { Action: 'Withdraw', Quantity: '400', Recipient: OUTSIDER, 'Max-Fee': '3' }),
  said(ALICE, { Action: 'Withdraw', Quantity: '40', Recipient: OUTSIDER, 'Max-Fee': '3' }),
  said(G1, { Action: 'Sign-Release' }, `1 1 ${packed(G1)}`),
  said(G2, { Action: 'Sign-Release' }, `1 1 ${packed(G2)}\n2 1 ${packed(G2)}`),
  said(G1, { Action: 'Attest-Release' }, `1 0x${'7'.repeat(64)} 3 paid`),
  said(G3, { Action: 'Attest-Release' }, `1 0x${'8'.repeat(64)} 3 paid`),
  said(G2, { Action: 'Attest-Release' }, `1 0x${'7'.repeat(64)} 3 paid`),
  said(G3, { Action: 'Sign-Decision', 'Decision-Nonce': '1' }, packed(G3)),
  said(G3, { Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause'),
  ...[G3, G1].map((g) => said(g, { Action: 'Sign-Decision', 'Decision-Nonce': '1' }, packed(g))),
  said(ALICE, { Action: 'Withdraw', Quantity: '40', Recipient: OUTSIDER, 'Max-Fee': '3' }),
  said(G1, ATTEST, line(4)),
  said(G2, ATTEST, line(4)),
  ...[G1, G2].map((g) => said(g, { Action: 'Attest-Decision', 'Decision-Nonce': '2' }, 'unpause')),
  ...[G1, G3].map((g) =>
    said(g, { Action: 'Attest-Decision', 'Decision-Nonce': '3' }, `rotate 2 1 1 ${[G2, G4].join(',')}`),
  ),
  ...[G1, G4].map((g) => said(g, { Action: 'Sign-Decision', 'Decision-Nonce': '3' }, packed(g))),
  said(G4, ATTEST, line(5)),
  said(G2, { Action: 'Sign-Release' }, `2 2 0x00${'ab'.repeat(64)}`),
];

describe.each(REAL_AOS)('$name', (machine) => {
  /** A token on this machine and one on the lean machine, both live. */
  async function pair(work: (aos: HostedToken, lean: HostedToken) => Promise<void>): Promise<void> {
    const second = new WorkerPool(1);
    try {
      await work(await HostedToken.live(machine, pool), await HostedToken.live(LEAN, second));
    } finally {
      await second.stop();
    }
  }

  it('every kind of event comes of the same messages, and the same state, as on the lean machine', () =>
    pair(async (aos, lean) => {
      const steps = [...WALK, ...READS];
      const [there, here] = [await effects(aos, steps), await effects(lean, steps)];
      expect(there).toEqual(here);
      expect(JSON.stringify(here)).toContain(`"balances/${ALICE}=`);
      const seen = JSON.stringify(here).match(
        /(?<=["\\n])(deposit|withdrawal|decision|guardian)\.[a-z-]+|(?<=["\\n])transfer(?= )/g,
      );
      expect([...new Set(seen)].sort()).toEqual([
        'decision.applied',
        'decision.attested',
        'decision.signed',
        'deposit.attested',
        'deposit.conflict',
        'deposit.minted',
        'guardian.bad-line',
        'guardian.double-vote',
        'transfer',
        'withdrawal.attested',
        'withdrawal.conflict',
        'withdrawal.queued',
        'withdrawal.released',
        'withdrawal.signed',
      ]);
    }));

  it('whatever is said in whatever order, by whomever, leads to the same as on the lean machine', () =>
    pair(async (aos, lean) => {
      const [there, here] = [await aos.snapshot(), await lean.snapshot()];
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), async (steps) => {
          await aos.open(there);
          await lean.open(here);
          expect(await effects(aos, [...steps, ...READS])).toEqual(await effects(lean, [...steps, ...READS]));
        }),
        { numRuns: 15, interruptAfterTimeLimit: 8_000 },
      );
    }));

  it('A9 its source is loaded by its spawner alone, once', async () => {
    const token = await HostedToken.spawned(machine, pool);
    const thief = async (sender: string) =>
      (await token.send(sender, { Action: 'Eval' }, 'ao.send({ Target = "thief", Data = "mine" })')).Messages;
    expect(await thief(OUTSIDER)).toEqual([]);
    expect(await thief(SPAWNER)).toMatchObject([{ Target: 'thief', Data: 'mine' }]);
    await token.evaluate(tokenSource().toString());
    expect(await thief(SPAWNER)).toEqual([]);
    expect(JSON.parse(await token.read('Bridge-Info'))).toMatchObject({ asset: SPAWN_TAGS['Isthmus-Asset'] });
  });

  it('A9 spawned with its source and On-Boot it is live from its first slot', async () => {
    const tags = { ...SPAWN_TAGS, 'On-Boot': 'Data' };
    const token = await HostedToken.spawned(machine, pool, { tags }, tokenSource().toString());
    expect((await token.send(SPAWNER, { Action: 'Eval' }, 'Handlers.list = {}')).Error).toBeUndefined();
    for (const g of [G1, G2]) await token.send(g, ATTEST, line(1));
    expect(await token.read('Balances')).toBe(`{"${ALICE}":"1000"}`);
  });

  it('a configuration that is refused leaves the process with its spawner, and no token', async () => {
    const token = await HostedToken.spawned(machine, pool, { tags: { ...SPAWN_TAGS, 'Isthmus-Threshold': '4' } });
    await expect(token.evaluate(tokenSource().toString())).rejects.toThrow(/spawn tags name no guardian set/);
    expect((await token.evaluate('ao.send({ Target = Owner })')).Messages).toMatchObject([{ Target: SPAWNER }]);
    expect(await token.read('Info')).toBe('');
  });
});

// Nothing of this on any of them --------------------------------------------------------------------------------------

describe.each(MACHINES)('$name', (machine) => {
  it('A9 nobody evaluates anything in a live process: not its spawner, not itself, not whom an authority names', async () => {
    const token = await funded(machine);
    const before = await books(token);
    const code = 'Handlers.list = {} Owner = "thief" ao.send({ Target = "thief", Data = "mine" })';
    const tricks: Record<string, string>[] = [
      { Action: 'Eval' },
      { action: 'Eval' },
      { Action: 'Eval', Id: PROCESS },
      { Action: 'Eval', Id: PROCESS, Type: 'Process', 'On-Boot': 'Data' },
      { Action: 'Credit-Notice', Id: PROCESS, Type: 'Process', 'On-Boot': 'Data' },
    ];
    const messages = [SPAWNER, PROCESS, AUTHORITY, G1, OUTSIDER, 'none', 'true', ''].flatMap((from) =>
      [from, AUTHORITY, OUTSIDER].flatMap((owner) => tricks.map((tags) => token.message({ from, owner }, tags, code))),
    );
    const results = await token.handle([
      ...messages,
      { ...token.message(SPAWNER, { Action: 'Eval' }, code), Id: PROCESS },
    ]);
    expect(results.flatMap((r) => r.Error ?? [])).toEqual([]);
    expect(results.flatMap((r) => r.Messages).filter((m) => m.Data === 'mine')).toEqual([]);
    expect(await books(token)).toEqual(before);
    const paid = await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER });
    expect(eventsIn(paid)).toEqual([`transfer ${ALICE} ${OUTSIDER} 10`]);
  });

  it('A4 every quantity that is no plain whole number is refused, to move and to withdraw', async () => {
    const token = await funded(machine);
    const before = await books(token);
    for (const action of ['Transfer', 'Withdraw']) {
      const results = await token.handle(
        ODD_QUANTITIES.map((Quantity) =>
          token.message(ALICE, { Action: action, Quantity, Recipient: OUTSIDER, 'Max-Fee': '0' }),
        ),
      );
      expect(results.map(refusals)).toEqual(ODD_QUANTITIES.map(() => ['bad-quantity']));
    }
    expect(await books(token)).toEqual(before);
    for (const Quantity of ['1001', '9'.repeat(39)])
      expect(refusals(await token.send(ALICE, { Action: 'Transfer', Quantity, Recipient: OUTSIDER }))).toEqual([
        'insufficient-balance',
      ]);
  });

  it('A10 a withdrawal without a good recipient, fee or amount burns nothing', async () => {
    const token = await funded(machine);
    const before = await books(token);
    const good = { Action: 'Withdraw', Quantity: '100', Recipient: OUTSIDER, 'Max-Fee': '5' };
    const { Recipient: _, ...nobody } = good;
    const cases: [string, Record<string, string>][] = [
      ['bad-recipient', nobody],
      ['bad-recipient', { ...good, Recipient: '' }],
      ['bad-recipient', { ...good, Recipient: OUTSIDER.toLowerCase() }],
      ['bad-recipient', { ...good, Recipient: BOB }],
      ['bad-recipient', { ...good, Recipient: `0x${'0'.repeat(40)}` }],
      ['forbidden-recipient', { ...good, Recipient: VAULT }],
      ['forbidden-recipient', { ...good, Recipient: TOKEN }],
      ['bad-max-fee', { ...good, 'Max-Fee': '-1' }],
      ['fee-not-below-quantity', { ...good, 'Max-Fee': '100' }],
      ['below-minimum', { ...good, Quantity: '9' }],
      ['insufficient-balance', { ...good, Quantity: '1001' }],
      ['above-limit', { ...good, Quantity: '1000001' }],
    ];
    const results = await token.handle(cases.map(([, tags]) => token.message(ALICE, tags)));
    expect(results.map(refusals)).toEqual(cases.map(([code]) => [code]));
    expect(await books(token)).toEqual(before);
    expect(eventsIn(await token.send(ALICE, good))).toEqual([expect.stringContaining('withdrawal.queued 1 ')]);
  });

  it('A8 what a clock sends moves nothing, nor does what passes for it', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const move = { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER };
    await token.handle([
      token.message({ from: G2, cron: true }, ATTEST, line(3)),
      token.message({ from: ALICE, cron: true }, move),
      token.message({ from: ALICE, cron: true }, { ...move, Cron: '' }),
      token.message(ALICE, { ...move, Cron: 'false' }),
    ]);
    expect(await books(token)).toEqual(before);
  });

  it('A3 a notice of another token is nothing to it', async () => {
    const token = await funded(machine);
    const before = await books(token);
    const notice = { Quantity: '5', Sender: ALICE, Recipient: BOB, 'From-Process': BOB };
    const results = await token.handle(
      ['Credit-Notice', 'Debit-Notice', 'Mint', 'Burn'].flatMap((Action) => [
        token.message({ from: BOB, owner: AUTHORITY }, { ...notice, Action }),
        token.message({ from: PROCESS, owner: AUTHORITY }, { ...notice, Action }),
      ]),
    );
    expect(results.map((r) => r.Error ?? r.Messages)).toEqual(results.map(() => []));
    expect(await books(token)).toEqual(before);
  });

  it('A2 a process is spoken for by its authority only, a key and an authority by themselves', async () => {
    const token = await funded(machine);
    const move = { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER };
    await token.send(ALICE, { ...move, Recipient: AUTHORITY });
    const before = await books(token);
    await token.handle(
      [
        { from: BOB, owner: OUTSIDER },
        { from: AUTHORITY, owner: OUTSIDER },
        { from: ALICE, owner: AUTHORITY },
      ].flatMap((sender) => [
        token.message(sender, move),
        token.message(sender, { ...move, Action: 'Withdraw', Quantity: '10', 'Max-Fee': '1' }),
      ]),
    );
    expect(await books(token)).toEqual(before);
    const paid = await token.send({ from: BOB, owner: AUTHORITY }, move);
    expect(eventsIn(paid)).toEqual([`transfer ${BOB} ${OUTSIDER} 10`]);
  });

  it('A1 nobody is a guardian or a holder by saying so, in From or in a tag', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const claims = ['From', 'Owner', 'From-Process', 'Forwarded-By', 'Pushed-For', 'from', 'owner', 'From_Process'];
    const acts: [Record<string, string>, string][] = [
      [ATTEST, line(3)],
      [{ Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause'],
      [{ Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER }, ''],
      [{ Action: 'Withdraw', Quantity: '10', Recipient: OUTSIDER, 'Max-Fee': '1' }, ''],
    ];
    const messages = acts.flatMap(([tags, data]) => [
      ...[G2, ALICE].flatMap((from) =>
        [OUTSIDER, AUTHORITY, PROCESS].map((owner) => token.message({ from, owner }, tags, data)),
      ),
      ...[G2, ALICE].flatMap((who) => claims.map((claim) => token.message(OUTSIDER, { [claim]: who, ...tags }, data))),
    ]);
    const results = await token.handle(messages);
    expect(results.flatMap(eventsIn)).toEqual([]);
    expect(await books(token)).toEqual(before);
    expect(eventsIn(await token.send(G2, ATTEST, line(3)))).toEqual([expect.stringContaining('deposit.minted')]);
  });

  it('A6 what was said to another process does nothing when it is assigned to this one', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const claims: Record<string, string>[] = [{}, { Target: PROCESS }, { target: PROCESS }];
    const elsewhere = [BOB, ''].flatMap((Target) =>
      claims.flatMap((claim) => [
        { ...token.message(G2, { ...ATTEST, ...claim }, line(3)), Target },
        { ...token.message(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER, ...claim }), Target },
      ]),
    );
    expect((await token.handle(elsewhere)).flatMap(eventsIn)).toEqual([]);
    expect(await books(token)).toEqual(before);
  });

  it('no tag stops it, whatever place in the message it takes', async () => {
    const token = await funded(machine);
    const names = ['Nonce', 'Id', 'Timestamp', 'Block-Height', 'Epoch', 'Module', 'Tags', 'TagArray', 'Data', 'reply'];
    await token.handle(names.map((name) => token.message(OUTSIDER, { [name]: 'x', Action: 'Info' })));
    const paid = await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER });
    expect(eventsIn(paid)).toEqual([`transfer ${ALICE} ${OUTSIDER} 10`]);
  });

  it('Data that aos would decode counts on no machine', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const json = { ...ATTEST, 'Content-Type': 'application/json' };
    expect(refusals(await token.send(G2, json, JSON.stringify(line(3))))).toEqual(['bad-data']);
    expect(refusals(await token.send(G2, json, '{}'))).toEqual(['bad-data']);
    expect(eventsIn(await token.send(G2, json, line(3)))).toEqual([]); // here aos itself fails
    expect(await books(token)).toEqual(before);
  });

  it('A16 a message that meets the limit of memory or work halfway leaves everything as it was', async () => {
    // The token itself stays far below both, so the machine is made to meet them where a mint is half done.
    const before = `
local len = utf8.len
utf8.len = function(text)
  if text == "X-Do=eat" then while true do text = text .. text end end
  if text == "X-Do=spin" then while true do end end
  return len(text)
end
`;
    const token = await HostedToken.live(machine, pool, { before });
    await fund(token);
    const [eat, spin] = [line(4, '5', BOB, hex('X-Do=eat')), line(5, '6', BOB, hex('X-Do=spin'))];
    await token.send(G1, ATTEST, [line(3), eat, spin].join('\n'));
    const settled = await books(token);

    const starved = await token.send(G2, ATTEST, [line(3), eat].join('\n'));
    expect(starved).toMatchObject({ Error: expect.stringMatching(/memory/), Messages: [] });
    expect(await books(token)).toEqual(settled);

    const endless = await token.send(G2, ATTEST, [line(3), spin].join('\n'));
    expect(endless).toMatchObject({ Error: expect.stringMatching(/out of (instructions|work)/), Messages: [] });
    expect(await books(token)).toEqual(settled);
    expect(eventsIn(await token.send(G2, ATTEST, line(3)))).toEqual([expect.stringContaining('deposit.minted')]);
  });

  it('A18 a recipient that traps on its Credit-Notice harms neither the token nor the others', async () => {
    const CAROL = 'C'.repeat(42) + 'A';
    const trap = `function handle(msg) if msg.Tags.Action == "Credit-Notice" then local function f() return 1 + f() end f() end end`;
    const count = `local n = 0 function handle(msg) if msg.Tags.Action == "Credit-Notice" then n = n + msg.Tags.Quantity end ao.send({ Target = "t", Data = n }) end`;
    const token = await funded(machine);
    for (const [id, source] of [
      [BOB, trap],
      [CAROL, count],
    ] as const) {
      const env = environment();
      await pool.open(id, Buffer.from(source), LEAN.format, { ...env, Process: { ...env.Process, Id: id } }, null);
    }
    /** What the messenger does with a result: each message to its target, from this process. */
    const deliver = async ({ Messages }: EvaluationResult): Promise<EvaluationResult[]> => {
      const outcomes: EvaluationResult[] = [];
      for (const { Target, Tags, Data } of Messages) {
        if (Target !== BOB && Target !== CAROL) continue;
        const message = { ...token.message({ from: PROCESS, owner: AUTHORITY }, {}, Data), Target, Tags };
        outcomes.push(...(await pool.handle(Target, [message])));
      }
      return outcomes;
    };
    const pay = async (Recipient: string) =>
      deliver(await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient }));
    for (let round = 1; round <= 2; round += 1) {
      expect(await pay(BOB)).toMatchObject([{ Error: expect.stringContaining('overflow'), Messages: [] }]);
      expect(await pay(CAROL)).toMatchObject([{ Messages: [{ Data: String(10 * round) }] }]);
    }
    await token.send(G1, ATTEST, [line(3, '5', BOB), line(4, '6', CAROL)].join('\n'));
    const minted = await token.send(G2, ATTEST, [line(3, '5', BOB), line(4, '6', CAROL)].join('\n'));
    expect(await deliver(minted)).toMatchObject([
      { Error: expect.stringContaining('overflow') },
      { Messages: [{ Data: '26' }] },
    ]);
    expect(JSON.parse(await token.read('Balances'))).toEqual({ [ALICE]: '960', [BOB]: '1025', [CAROL]: '26' });
  });
});
