/**
 * X4, I2, I12: guardians of a vault on Bitcoin that stop between any two durable steps and are begun again on the same database, on a real regtest
 * node. Whatever was signed is sent, always: each withdrawal is paid once, and every satoshi is where the books have it.
 */
import { parseItem, tagOf, type Item } from '@isthmus/ao';
import { parseProposalLine, parseProposalSignLine, proposalId } from '@isthmus/bridge';
import { encodeAddress, hexOf, parseAddress } from '@isthmus/chains';
import { Transaction } from 'bitcoinjs-lib';
import { BitcoinWorld, DEEP, REGTEST, secretOf, type BitcoinScene } from '../../../bitcoin-harness.js';
import { guardianAddress, Stopped, type Subject } from '../../../units.js';
import type { CrashPoint } from '../../crash-point.js';

const FUNDS = 5_000_000n;
const FIRST = 50_000n;
const AMOUNT = 100_000n;
const MAX_FEE = 20_000n;
const RESERVE = 20_000n;
/** Rounds that are far more than any step here takes: a turn to propose is some of them. */
const PATIENCE = 200;

/** Sets a vault goes between; of three guardians that run, two have each. */
const FIRST_SET = [0, 1, 2];
const SECOND_SET = [1, 3, 4];

let world: BitcoinWorld;
beforeAll(async () => {
  world = await BitcoinWorld.open();
});
afterAll(() => world.close());

/** What one test's guardians and their vault have gone through. */
class Trial {
  readonly posted: Item[] = [];
  private readonly payees: Buffer[] = [];
  private readonly vaults = new Set<string>();
  private stops = 0;
  private handOvers = 0;

  private constructor(
    readonly scene: BitcoinScene,
    readonly all: readonly Subject[],
  ) {}

  static async open(indices: readonly number[]): Promise<Trial> {
    const scene = await world.scene();
    const all = await Promise.all(indices.map((i) => scene.guardian(i)));
    const trial = new Trial(scene, all);
    scene.gateway.intercept = ({ method, path, body }, forward) => {
      if (method === 'POST' && path === '/mu') trial.posted.push(parseItem(body));
      return forward();
    };
    trial.vaults.add(hexOf(scene.lock.script));
    const { coin } = await scene.funded(all, FUNDS);
    trial.vaults.add(hexOf(coin.lock.script));
    return trial;
  }

  /** Alice asks for a payment to somebody new. */
  async withdraw(): Promise<void> {
    const hash = secretOf(`${this.scene.name} payee ${this.payees.length}`).subarray(0, 20);
    const address = encodeAddress({ kind: 'p2wpkh', hash }, REGTEST);
    this.payees.push(Buffer.from(parseAddress(address, REGTEST).script));
    await this.scene.withdraw(AMOUNT, address, MAX_FEE);
  }

  /** Rounds of these until it holds, looked at after each; who has stopped is begun again. */
  async go(subjects: readonly Subject[], holds: () => boolean | Promise<boolean>): Promise<void> {
    for (let round = 0; round < PATIENCE; round += 1)
      for (const subject of subjects) {
        if (await holds()) return;
        await this.step(subject);
      }
    throw new Error(`It does not come to that: ${this.scene.logged.slice(-5).join('').slice(0, 1_500)}`);
  }

  async step(subject: Subject): Promise<void> {
    try {
      await subject.round();
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
    if (!subject.stopped) return;
    await this.keptBeforeItLeft(subject);
    this.stops += 1;
    await subject.restart();
  }

  /** A guardian that stops the `nth` time it comes by a point. */
  async stopsAt(victim: Subject, point: CrashPoint, nth: number): Promise<void> {
    const before = this.stops;
    victim.stopAt(point, nth);
    await this.go([victim], () => this.stops > before);
  }

  /** A guardian that stops before what is durable, and begun again stops after it. */
  async stopsAroundStep(victim: Subject, before: CrashPoint, nth: number, after: CrashPoint): Promise<void> {
    await this.stopsAt(victim, before, nth);
    await this.stopsAt(victim, after, 1);
  }

  /** The vault goes to a set without the first guardian or back to one with it; who leaves stops on the way, and the new set pays. */
  async handOver(before: CrashPoint, nth: number, after: CrashPoint): Promise<void> {
    this.handOvers += 1;
    const [from, to] = this.handOvers % 2 === 0 ? [SECOND_SET, FIRST_SET] : [FIRST_SET, SECOND_SET];
    const { scene } = this;
    const by = (index: number): Subject => this.all.find((s) => s.index === index) as Subject;
    const [leaves, stays] = [by(from.find((i) => !to.includes(i)) ?? 0), by(1)];
    const epoch = BigInt(this.handOvers) + 1n;
    this.vaults.add(hexOf(scene.lockOf(to).script));
    for (const s of [stays, leaves]) await s.motions.open(scene.process, scene.rotation(epoch, to), 'operator');
    await this.step(stays); // so that who leaves is the one to see first that it is decided
    await this.stopsAroundStep(leaves, before, nth, after);
    await this.go(this.all, () => stays.view.set.epoch === epoch);
    await this.withdraw();
    await this.relayed();
    await this.relayed();
    await this.settled();
    await this.go([stays], async () => (await stays.motions.list(scene.process)).length === 0);
    await this.isWhole();
  }

  /** Sends all that is signed, as anybody may, until something waits for a block; mined until it is final. */
  async relayed(): Promise<void> {
    await this.go(this.all, async () => (await this.relay()) > 0);
    await world.bitcoin.mine(DEEP);
  }

  /** Nobody is owed anything, and nobody doubts the books. */
  async settled(): Promise<void> {
    await this.go(this.all, async () => {
      await this.relay();
      return this.all.every((s) => s.guardian.viewOf(this.scene.process)?.open.size === 0);
    });
    for (const { view } of this.all) expect(view.paused).toBe(false);
  }

  /** One payment for each withdrawal, under one anchor, and all that is not paid out is in the vault. */
  async isWhole(): Promise<void> {
    const { paid, held, moved } = await this.chain();
    for (const payee of this.payees) {
      const [fee, ...more] = (paid.get(hexOf(payee)) ?? []).map((value) => AMOUNT - value);
      expect(more).toEqual([]);
      expect(fee).toBeGreaterThan(0n);
      expect(fee).toBeLessThanOrEqual(MAX_FEE);
    }
    const out = AMOUNT * BigInt(this.payees.length);
    expect(moved).toHaveLength(this.handOvers);
    const cost = moved.reduce((sum, fee) => sum + fee, 0n);
    expect(cost).toBeLessThanOrEqual(RESERVE * BigInt(this.handOvers));
    expect(held).toBe(FIRST + FUNDS - out - cost);
    for (const subject of this.all) {
      expect(subject.view.minted - subject.view.burned).toBe(FUNDS - out);
      expect(await subject.home.holdings(subject.config.homes[0]?.assets[0] as never)).toBe(held);
    }
    const released = (await world.events(this.scene.process)).filter((e) => e.type === 'withdrawal.released');
    expect(released.map((e) => e.number)).toEqual(this.payees.map((_, i) => BigInt(i + 1)));
    for (const anchors of this.anchors().values()) expect(anchors.size).toBe(1);
  }

  /** Nothing has left a guardian that its database does not have: no message, and no signature without what it binds. */
  private async keptBeforeItLeft({ index, database }: Subject): Promise<void> {
    const own = this.posted.filter((item) => item.ownerAddress === guardianAddress(index));
    const ids = async (sql: string): Promise<Set<string>> =>
      new Set(((await database.query(sql)) as { id: string }[]).map((row) => row.id));
    const outbox = await ids('select item_id as id from outbox');
    expect(own.map((item) => item.id).filter((id) => !outbox.has(id))).toEqual([]);
    const signed = await ids('select id from signed_proposal');
    const sent = said(own, 'Sign-Release').map((line) => parseProposalSignLine(line).id);
    expect(sent.filter((id) => !signed.has(id))).toEqual([]);
  }

  /** By withdrawal, the anchors anybody has signed it under. */
  private anchors(): Map<bigint, Set<string>> {
    const made = said(this.posted, 'Propose-Release').map((line) => ({
      ...parseProposalLine(line),
      id: proposalId(this.scene.process, line),
    }));
    const signed = new Set(said(this.posted, 'Sign-Release').map((line) => parseProposalSignLine(line).id));
    const anchors = new Map<bigint, Set<string>>();
    for (const { id, anchor, withdrawals } of made)
      if (signed.has(id))
        for (const n of withdrawals) anchors.set(n, (anchors.get(n) ?? new Set<string>()).add(anchor));
    return anchors;
  }

  /** How many transactions wait for a block. */
  private async relay(): Promise<number> {
    for (const { guardian } of this.all) {
      const view = guardian.viewOf(this.scene.process);
      for (const proposal of view?.proposals.values() ?? []) {
        const hex = view && this.scene.combined(view, proposal);
        if (hex) await world.bitcoin.send(hex).catch(refusal);
      }
    }
    return world.bitcoin.node.mempool.map.size;
  }

  /** What the node itself has of it. */
  private async chain(): Promise<{ paid: Map<string, bigint[]>; held: bigint; moved: bigint[] }> {
    const { node } = world.bitcoin;
    const [coins, paid, moved] = [new Map<string, bigint>(), new Map<string, bigint[]>(), [] as bigint[]];
    for (let height = this.scene.terms.startHeight; height <= node.height; height += 1) {
      const block = await node.chain.getBlock((await node.entryAt(height)).hash);
      for (const { ins, outs, txid } of block?.txs.map(read) ?? []) {
        let gone = 0n;
        for (const spent of ins) {
          gone += coins.get(spent) ?? 0n;
          coins.delete(spent);
        }
        const [kept, others] = [
          outs.filter((o) => this.vaults.has(o.script)),
          outs.filter((o) => !this.vaults.has(o.script)),
        ];
        for (const { script, value } of others) paid.set(script, [...(paid.get(script) ?? []), value]);
        for (const { vout, value } of kept) coins.set(`${txid}:${vout}`, value);
        if (gone > 0n && others.length === 0) moved.push(gone - kept.reduce((sum, o) => sum + o.value, 0n));
      }
    }
    return { paid, held: [...coins.values()].reduce((sum, v) => sum + v, 0n), moved };
  }
}

/** A transaction of the node, as the vault's books need it. */
function read(tx: { toRaw(): Buffer }) {
  const made = Transaction.fromBuffer(tx.toRaw());
  return {
    txid: made.getId(),
    ins: made.ins.map((i) => `${hexOf(i.hash.toReversed())}:${i.index}`),
    outs: made.outs.map(({ script, value }, vout) => ({ script: hexOf(script), value, vout })),
  };
}

const said = (items: readonly Item[], action: string): string[] =>
  items.filter((i) => tagOf(i, 'Action') === action).map((i) => i.data.toString());

/** What a node answers to what it has, or what another has taken the place of. */
function refusal(error: unknown): void {
  if (!(error instanceof Error) || !/missingorspent|conflict|already|known/i.test(error.message)) throw error;
}

describe('X4, I12: a guardian that stops in a payment', () => {
  let trial: Trial;
  beforeAll(async () => {
    trial = await Trial.open([0, 1]); // of three, two are needed: the other one waits for who stops
  });
  afterAll(() => world.clear());

  it.each<[before: CrashPoint, nth: number, after: CrashPoint]>([
    ['follow.before-keep', 1, 'follow.after-keep'],
    ['propose.before-commit', 1, 'propose.after-commit'],
    ['post.before-send', 1, 'post.after-send'], // its proposal
    ['follow.before-keep', 2, 'follow.after-keep'],
    ['sign.before-commit', 1, 'sign.after-commit'],
    ['post.before-send', 2, 'post.after-send'], // its signatures
  ])(
    'I2: at %s, time %i, and then at %s, signs it under one anchor, and it is paid once',
    async (before, nth, after) => {
      await trial.withdraw();
      await trial.stopsAroundStep(trial.all[0] as Subject, before, nth, after);
      await trial.relayed();
      await trial.settled();
      await trial.isWhole();
    },
  );

  it.each<[before: CrashPoint, nth: number, after: CrashPoint]>([
    ['scan.before-commit', 1, 'scan.after-commit'],
    ['scan.before-commit', DEEP, 'scan.after-commit'], // the release is final
    ['attest.before-commit', 1, 'attest.after-commit'],
    ['post.before-send', 1, 'post.after-send'],
  ])('I3: at %s, time %i of its confirmation, and then at %s, notes and says it once', async (before, nth, after) => {
    await trial.withdraw();
    await trial.relayed();
    await trial.stopsAroundStep(trial.all[0] as Subject, before, nth, after);
    await trial.settled();
    await trial.isWhole();
  });
});

describe('X4, X2: a guardian that leaves and stops in the hand-over', () => {
  let trial: Trial;
  beforeAll(async () => {
    trial = await Trial.open([0, 1, 3]);
  });
  afterAll(() => world.clear());

  it.each<[before: CrashPoint, nth: number, after: CrashPoint]>([
    ['propose.before-commit', 1, 'propose.after-commit'],
    ['sign.before-commit', 1, 'sign.after-commit'],
    ['post.before-send', 2, 'post.after-send'], // its proposal; the first is its vote
    ['post.before-send', 3, 'post.after-send'], // its signatures
  ])(
    'I2: at %s, time %i, and then at %s, hands all of the vault over, and what comes then is paid once',
    async (before, nth, after) => {
      await trial.handOver(before, nth, after);
    },
  );
});
