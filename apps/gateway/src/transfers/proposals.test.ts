/** What proposals do to the index: read by relayers while they are open, and seen by people in their withdrawals. */
import type { EngineSlot } from '@isthmus/ao';
import { encodeProposalLine, proposalId, withdrawalId } from '@isthmus/bridge';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import type { DataSource } from 'typeorm';
import { DecisionStore } from './decision-store.js';
import { Projector } from './projector.js';
import { openProposals } from './proposals.js';
import { TransferStore } from './transfer-store.js';

const GENESIS = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1';
const GUARDIANS = ['0x90F79bf6EB2c4f870365E785982E1f101E93b906', '0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65'] as const;
const KEYS = ['9B5XszUGdMaxCZ7uSQhPzdks5ZQSmWxrmzCSvtJ6Ns6g', 'GgBaCs3NCBuZN12kCJgAW63ydqohFkHEdfdEXBPzLHq'] as const;
const SPAWN = {
  'Isthmus-Asset': `${GENESIS}/slip44:501`,
  'Isthmus-Chain': GENESIS,
  'Isthmus-Vault': KEYS[0],
  'Isthmus-Guardians': GUARDIANS.join(','),
  'Isthmus-Guardian-Keys': KEYS.join(','),
  'Isthmus-Threshold': '2',
  'Isthmus-Pause-Threshold': '1',
  'Isthmus-Epoch': '1',
};

let cluster: TestCluster;
let database: DataSource;
beforeAll(async () => {
  cluster = await testCluster();
  database = await openDatabase({ url: await cluster.fresh(), migrations: gatewayMigrations, applicationName: 'test' });
  await runMigrations(database);
});
afterAll(async () => {
  await database.destroy();
  await cluster.close();
});

let processes = 0;
/** A process whose events the test writes, with two withdrawals queued, and its projector. */
class Told {
  readonly process = Buffer.alloc(32, (processes += 1)).toString('base64url');
  private readonly slots: EngineSlot[] = [];
  private readonly projector = new Projector(
    {
      slots: (_, from, limit) => Promise.resolve(this.slots.slice(from, from + limit)),
      spawn: () => Promise.resolve({ tags: Object.entries(SPAWN).map(([name, value]) => ({ name, value })) } as never),
      onSlots: () => undefined,
    },
    new TransferStore(database),
    new DecisionStore(database),
    [{ id: SPAWN['Isthmus-Asset'], process: this.process }],
    () => undefined,
    (error) => {
      throw error;
    },
  );

  static async withWithdrawals(): Promise<Told> {
    const told = new Told();
    await told.say(...[1n, 2n].map((n) => `withdrawal.queued ${n} ${told.id(n)} ${GUARDIANS[0]} ${KEYS[1]} 500 10`));
    return told;
  }

  id(number: bigint): string {
    return withdrawalId(this.process, number);
  }

  /** One slot with these events, projected. */
  async say(...lines: string[]): Promise<void> {
    const nonce = this.slots.length;
    const Messages = [{ Tags: [{ name: 'Action', value: 'Isthmus-Events' }], Data: lines.join('\n') }];
    const slot = { nonce, message: Buffer.alloc(32, nonce + 1).toString('base64url'), timestamp: 1_000 * nonce };
    this.slots.push({ ...slot, result: { Messages } } as never);
    await this.projector.project(this.process);
  }

  async propose(anchor: string, ...withdrawals: bigint[]): Promise<string> {
    const line = encodeProposalLine({ epoch: 1n, anchor, withdrawals, content: 'c0ntent' });
    const id = proposalId(this.process, line);
    await this.say(`proposal.made ${id} ${GUARDIANS[0]} ${line}`);
    return id;
  }

  sign(proposal: string, ...guardians: number[]): Promise<void> {
    return this.say(...guardians.map((g) => `proposal.signed ${proposal} ${GUARDIANS[g]} 0x0${g} ${g + 1}`));
  }

  async states(): Promise<string[]> {
    const rows: { state: string }[] = await database.query(
      'select state from transfer where process = $1 order by number',
      [this.process],
    );
    return rows.map((r) => r.state);
  }
}

test('a proposal and its signatures can be read while it is open, and its withdrawals say who proposed and signed', async () => {
  const told = await Told.withWithdrawals();
  const id = await told.propose('nonce:a', 1n);
  expect(await openProposals(database, [told.process])).toMatchObject([
    { id, epoch: 1n, anchor: 'nonce:a', withdrawals: [1n], content: 'c0ntent', guardian: GUARDIANS[0], signatures: [] },
  ]);
  expect(await told.states()).toEqual(['queued', 'queued']);
  await told.sign(id, 0);
  expect(await told.states()).toEqual(['signing', 'queued']);
  await told.sign(id, 1);
  expect(await told.states()).toEqual(['ready', 'queued']);
  const [open] = await openProposals(database, [told.process]);
  expect(open?.signatures).toEqual([
    { guardian: GUARDIANS[0], signatures: '0x00' },
    { guardian: GUARDIANS[1], signatures: '0x01' },
  ]);
  const steps = await new TransferStore(database).steps(told.id(1n));
  expect(steps.map((s) => [s.kind, s.proof['guardian'], s.proof['proposal']])).toEqual([
    ['queued', undefined, undefined],
    ['proposed', GUARDIANS[0], id],
    ['signed', GUARDIANS[0], id],
    ['signed', GUARDIANS[1], id],
  ]);
  expect(await openProposals(database, [KEYS[0]])).toEqual([]);
});

test('a dropped proposal is gone with its signatures; its withdrawals wait again unless another one that is signed pays them', async () => {
  const told = await Told.withWithdrawals();
  const both = await told.propose('nonce:a', 1n, 2n);
  const one = await told.propose('nonce:a', 1n);
  await told.sign(both, 0, 1);
  await told.sign(one, 0);
  await told.say(`proposal.dropped ${both}`);
  expect((await openProposals(database, [told.process])).map((p) => p.id)).toEqual([one]);
  expect(await told.states()).toEqual(['ready', 'queued']);
  expect(await database.query('select 1 from proposal_signature where proposal = $1', [both])).toEqual([]);
});

test('a proposal dropped because its withdrawal is released takes it back nowhere', async () => {
  const told = await Told.withWithdrawals();
  const id = await told.propose('nonce:a', 1n);
  await told.sign(id, 0, 1);
  await told.say(`proposal.dropped ${id}`, 'withdrawal.released 1 tx 5 paid');
  expect(await told.states()).toEqual(['released', 'queued']);
  const events: { state: string }[] = await database.query(
    'select state from transfer_event where transfer = $1 order by id',
    [told.id(1n)],
  );
  expect(events.map((e) => e.state)).toEqual(['queued', 'signing', 'ready', 'released']);
});

test('a rotation forgets what the old set proposed', async () => {
  const told = await Told.withWithdrawals();
  await told.sign(await told.propose('nonce:a', 1n), 0, 1);
  await told.say(`decision.applied 1 rotate 2 2 1 ${GUARDIANS.join(',')} ${KEYS.join(',')}`);
  expect(await openProposals(database, [told.process])).toEqual([]);
  expect(await told.states()).toEqual(['queued', 'queued']);
});

test('a signature of a proposal that is not open is no fact', async () => {
  const told = await Told.withWithdrawals();
  await told.sign(`0x${'ab'.repeat(32)}`, 0);
  expect(await told.states()).toEqual(['queued', 'queued']);
});
