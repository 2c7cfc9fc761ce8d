/**
 * The differential test of the token: messages of every kind, drawn at random, lead to the same results, events, outbox and state on an aos
 * module as on the lean machine. `aos.test.ts` draws hundreds in every run, `aos.soak.ts` thousands.
 */
import { patchesOf, WorkerPool, type EvaluationResult, type VmMessage } from '@isthmus/ao';
import { depositId } from '@isthmus/bridge';
import fc from 'fast-check';
import { getAddress, type Hex } from 'viem';
import {
  AUTHORITY,
  CHAIN,
  GUARDIANS,
  messageTo,
  ODD_QUANTITIES,
  PROCESS,
  SPAWNER,
  tag,
  TOKEN,
  VAULT,
  type Sender,
} from './harness.js';
import { HostedToken, LEAN, type Machine } from './machines.js';

export const [G1, G2, G3, G4] = GUARDIANS as [Hex, Hex, Hex, Hex];
export const ALICE = getAddress(`0x${'ab'.repeat(20)}`);
export const BOB = 'B'.repeat(42) + 'A';
export const OUTSIDER = getAddress(`0x${'9c'.repeat(20)}`);
export const ATTEST = { Action: 'Attest-Deposits' };

export const line = (sequence: number, amount = '1000', recipient: string = ALICE, tags = '-') => {
  const reference = `${CHAIN}:${VAULT}:${sequence}`;
  const tx = `0x${sequence.toString(16).padStart(64, '0')}`;
  return [depositId(reference), reference, tx, OUTSIDER, recipient, amount, tags].join(' ');
};
export const hex = (text: string) => Buffer.from(text).toString('hex');
export const packed = (guardian: Hex, fill = 'ab') =>
  `0x${GUARDIANS.indexOf(guardian).toString(16).padStart(2, '0')}${fill.repeat(64)}`;
/** What a result changes of the public state: the order of keys is each machine's own. */
const stateIn = (result: EvaluationResult | undefined) =>
  (result ? patchesOf(result)?.changes : undefined)?.map(({ path, value }) => `${path.join('/')}=${value}`).sort();
export const eventsIn = (result: EvaluationResult | undefined) =>
  (result?.Messages ?? []).filter((m) => !m.Target && tag(m, 'Action')).map((m) => m.Data);

export interface Said {
  sender: Sender;
  tags: Record<string, string>;
  data: string;
}
export const said = (sender: Sender | string, tags: Record<string, string>, data = ''): Said => ({
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
export const effects = async (token: HostedToken, steps: readonly Said[]): Promise<unknown[]> => {
  const messages = steps.map(({ sender, tags, data }, i) => messageTo(2 + i, sender, tags, data));
  const results = await token.handle(messages);
  return messages.map((m, i) => effect(m, results[i]));
};

export const READS: readonly Said[] = [
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
const quantity = rarely(
  fc.oneof(fc.integer({ min: 1, max: 1200 }).map(String), fc.bigInt({ min: 0n, max: 10n ** 39n }).map(String)),
  fc.constantFrom(...ODD_QUANTITIES),
);
const address = rarely<string>(
  fc.constantFrom(ALICE, BOB, OUTSIDER),
  fc.constantFrom('', 'bob', ALICE.toLowerCase(), `0x${'0'.repeat(40)}`, 'B'.repeat(43), VAULT, TOKEN, PROCESS),
);
/** Bytes of a deposit's tags, good and bad, among them each way not to be UTF-8. */
export const SURROGATE = `${hex('X-A=')}eda080`;
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

/** A token on a machine and one on the lean machine, both live. */
export async function pair(
  machine: Machine,
  pool: WorkerPool,
  work: (aos: HostedToken, lean: HostedToken) => Promise<void>,
): Promise<void> {
  const second = new WorkerPool(1);
  try {
    await work(await HostedToken.live(machine, pool), await HostedToken.live(LEAN, second));
  } finally {
    await second.stop();
  }
}

/** So many random walks of 10 to 60 messages. @param limitMs after which no other is begun */
export function sameAsOnTheLeanMachine(
  machine: Machine,
  pool: WorkerPool,
  runs: number,
  limitMs?: number,
): Promise<void> {
  return pair(machine, pool, async (aos, lean) => {
    const [there, here] = [await aos.snapshot(), await lean.snapshot()];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), async (steps) => {
        await aos.open(there);
        await lean.open(here);
        expect(await effects(aos, [...steps, ...READS])).toEqual(await effects(lean, [...steps, ...READS]));
      }),
      { numRuns: runs, ...(limitMs === undefined ? {} : { interruptAfterTimeLimit: limitMs }) },
    );
  });
}
