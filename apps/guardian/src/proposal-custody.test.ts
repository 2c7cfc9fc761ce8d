/** I2 where no contract refuses a second payment: one anchor at a time for each withdrawal, whatever is proposed, restarted or lost. */
import {
  encodeProposalLine,
  parseProposalLine,
  proposalId,
  viewOfSpawn,
  type OpenProposal,
  type OpenWithdrawal,
  type ProcessView,
} from '@isthmus/bridge';
import { createItem, ethereumSigner } from '@isthmus/ao';
import { guardianMigrations } from '@isthmus/migrations';
import { createLogger, openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import fc from 'fast-check';
import type { DataSource } from 'typeorm';
import { getAddress, type Hex } from 'viem';
import type { Write } from './custody.js';
import type { FollowedAsset } from './followed-asset.js';
import type { AnchorStanding, ProposalRefusal, ProposingHome } from './homes/home.js';
import { Ledger } from './ledger.js';
import { ProposalCustody } from './proposal-custody.js';

const PROCESS = 'P'.repeat(42) + 'A';
const GUARDIANS = ['a1', 'b2', 'c3'].map((b) => getAddress(`0x${b.repeat(20)}`));
const SELF = GUARDIANS[0] as Hex;
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const asset = { id: 'bip122:x/slip44:0', process: PROCESS };
const one = { asset } as FollowedAsset;

let cluster: TestCluster;
let database: DataSource;
let ledger: Ledger;
beforeAll(async () => {
  cluster = await testCluster();
  const url = await cluster.fresh();
  database = await openDatabase({ url, migrations: guardianMigrations, applicationName: 'test' });
  await runMigrations(database);
  ledger = new Ledger(database);
});
beforeEach(() => database.query('truncate own_proposal, signed_proposal, signed_anchor, outbox'));
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});

function viewWith(count: number): ProcessView {
  const tags = {
    'Isthmus-Chain': `bip122:${'0'.repeat(32)}`,
    'Isthmus-Guardians': GUARDIANS.join(','),
    'Isthmus-Guardian-Keys': [1, 2, 3].map((n) => `02${String(n).repeat(64)}`).join(','),
    'Isthmus-Threshold': '2',
    'Isthmus-Pause-Threshold': '1',
    'Isthmus-Epoch': '1',
  };
  const view = viewOfSpawn(Object.entries(tags).map(([name, value]) => ({ name, value })));
  for (let n = 1n; n <= count; n += 1n) view.open.set(n, withdrawal(n));
  return view;
}
const withdrawal = (number: bigint): OpenWithdrawal => ({
  number,
  id: `0x${number.toString(16).padStart(64, '0')}`,
  holder: SELF,
  recipient: 'bcrt1',
  amount: 100n,
  maxFee: 5n,
  signatures: new Map(),
});

/** Somebody proposes to pay these over an anchor. */
function proposed(view: ProcessView, anchor: string, withdrawals: readonly bigint[], content = 'c'): Hex {
  const line = encodeProposalLine({ epoch: 1n, anchor, withdrawals, content });
  const id = proposalId(PROCESS, line);
  view.proposals.set(id, { id, guardian: GUARDIANS[1] as Hex, ...parseProposalLine(line), signatures: new Map() });
  return id;
}

/** A home that would sign anything, whose anchors are as the test says. */
function custodyOver(
  standings: Map<string, AnchorStanding>,
  own: readonly string[] = [],
  flawOf: (proposal: OpenProposal) => ProposalRefusal | null = () => null,
) {
  const home: ProposingHome = {
    custody: 'proposals',
    height: 1n,
    watched: true,
    watch: async () => undefined,
    hasSeen: () => true,
    holdings: async () => 0n,
    canPay: () => true,
    vaultOf: () => '',
    acceptsSet: () => true,
    learn: async () => undefined,
    followed: () => undefined,
    holder: async () => 'set',
    propose: async () => [...own],
    sign: async (_asset, _view, proposal) => {
      const refused = flawOf(proposal);
      return refused ? { refused } : { signatures: 'ab' };
    },
    anchor: async (_, anchor) => standings.get(anchor) ?? 'open',
    isOver: async (_, anchor) => standings.get(anchor) === 'void',
  };
  const write: Write = (process, action, data) =>
    createItem({ target: process, tags: [{ name: 'Action', value: action }], data }, ALICE);
  const log = createLogger('test', { write: () => undefined });
  return new ProposalCustody({ home, ledger, self: SELF, write, turnMs: 1_000, log });
}
const anchorsOf = async (...numbers: bigint[]) => ledger.anchorsAmong(PROCESS, numbers);

it('I2 signs any number of transactions over one anchor, and none over another while that may still pay', async () => {
  const view = viewWith(2);
  const standings = new Map<string, AnchorStanding>();
  const custody = custodyOver(standings);
  const payable = [...view.open.values()];
  const [first, dearer] = [proposed(view, 'A:0', [1n]), proposed(view, 'A:0', [1n], 'dearer')];
  expect(await custody.sign(one, view, payable)).toEqual(new Map());
  const other = proposed(view, 'B:0', [1n, 2n]);
  for (const standing of ['open', 'unsure'] as const) {
    standings.set('A:0', standing);
    const refused = await custody.sign(one, view, payable);
    expect([...refused.values()]).toEqual(['other-anchor', 'other-anchor']);
  }
  expect(await anchorsOf(1n, 2n)).toEqual(new Map([[1n, ['A:0']]]));
  standings.set('A:0', 'void');
  expect(await custody.sign(one, view, payable)).toEqual(new Map());
  for (const id of [first, dearer, other]) expect(await ledger.hasSignedProposal(PROCESS, id)).toBe(true);
  expect((await anchorsOf(2n)).get(2n)).toEqual(['B:0']);
});

it('I2 what a restarted guardian has signed binds it, and so does what its own messages in the schedule say it has', async () => {
  const view = viewWith(1);
  const payable = [...view.open.values()];
  await ledger.noteProposalsSigned(PROCESS, [{ id: proposed(view, 'A:0', [1n]), anchor: 'A:0', numbers: [1n] }]);
  await ledger.noteProposalsSigned(PROCESS, []);
  proposed(view, 'B:0', [1n]);
  const refused = await custodyOver(new Map()).sign(one, view, payable);
  expect([...refused.values()]).toEqual(['other-anchor']);
});

it('X5 I2 of two programs at work in one database by mistake one signs', async () => {
  const item = await createItem({ target: PROCESS, tags: [], data: 'x' }, ALICE);
  const proposal = (anchor: string) => ({ id: `0x${anchor.repeat(64)}` as Hex, anchor, numbers: [7n] });
  const outcomes = await Promise.allSettled(
    ['a', 'b'].map((anchor) => ledger.keepProposalSigned(PROCESS, proposal(anchor), [], item)),
  );
  expect(outcomes.map((o) => o.status).toSorted()).toEqual(['fulfilled', 'rejected']);
  const [bound = ''] = (await anchorsOf(7n)).get(7n) ?? [];
  const otherwise = proposal(bound === 'a' ? 'b' : 'a');
  await expect(ledger.keepProposalSigned(PROCESS, otherwise, [], item)).rejects.toMatchObject({ code: 'double-sign' });
  await ledger.keepProposalSigned(PROCESS, otherwise, [bound], item);
});

it('what pays a withdrawal that is not payable now is not signed, what pays nobody is', async () => {
  const view = viewWith(2);
  const custody = custodyOver(new Map());
  const [mixed, none] = [proposed(view, 'A:0', [1n, 2n]), proposed(view, 'A:0', [])];
  const [first] = [...view.open.values()] as [OpenWithdrawal];
  expect(await custody.sign(one, view, [first])).toEqual(new Map([[first.id, 'not-payable']]));
  expect(await ledger.hasSignedProposal(PROCESS, mixed)).toBe(false);
  expect(await ledger.hasSignedProposal(PROCESS, none)).toBe(true);
});

it('I13 one that proposes what nobody signs keeps nothing from being signed', async () => {
  const view = viewWith(1);
  const custody = custodyOver(new Map(), [], (p) => (p.content.startsWith('junk') ? 'differs' : null));
  for (let i = 0; i < 32; i += 1) proposed(view, `J${i}:0`, [], `junk${i}`);
  const good = proposed(view, 'A:0', [1n]);
  for (let round = 0; round < 2; round += 1) await custody.sign(one, view, [...view.open.values()]);
  expect(await ledger.hasSignedProposal(PROCESS, good)).toBe(true);
});

it('A6 proposes the same once, also after a restart', async () => {
  const view = viewWith(1);
  const line = encodeProposalLine({ epoch: 1n, anchor: 'A:0', withdrawals: [1n], content: 'own' });
  for (let run = 0; run < 3; run += 1) await custodyOver(new Map(), [line]).sign(one, view, [...view.open.values()]);
  expect(await ledger.waiting([PROCESS])).toBe(1);
});

it('I2 whatever is proposed and becomes of anchors in whatever order, a withdrawal is never signed under two that are not void', async () => {
  const ANCHORS = ['A:0', 'B:0', 'C:0'];
  const step = fc.oneof(
    fc.record({
      anchor: fc.constantFrom(...ANCHORS),
      numbers: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { minLength: 1 }),
      content: fc.constantFrom('c', 'd'),
    }),
    fc.record({ gone: fc.constantFrom(...ANCHORS) }),
    fc.constant('restart' as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      await database.query('truncate own_proposal, signed_proposal, signed_anchor, outbox');
      const view = viewWith(3);
      const standings = new Map<string, AnchorStanding>();
      let custody = custodyOver(standings);
      for (const s of steps) {
        if (s === 'restart') custody = custodyOver(standings);
        else if ('gone' in s) standings.set(s.gone, 'void');
        else {
          const numbers = s.numbers.toSorted((a, b) => a - b).map(BigInt);
          // Nothing new is proposed over what is used up: no home would sign it.
          if (standings.get(s.anchor) !== 'void') proposed(view, s.anchor, numbers, s.content);
        }
        for (const [id, p] of view.proposals) if (standings.get(p.anchor) === 'void') view.proposals.delete(id);
        await custody.sign(one, view, [...view.open.values()]);
        for (const anchors of (await anchorsOf(1n, 2n, 3n)).values())
          expect(anchors.filter((a) => standings.get(a) !== 'void').length).toBeLessThan(2);
      }
    }),
    { numRuns: 40 },
  );
});
