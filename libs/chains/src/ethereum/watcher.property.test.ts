/**
 * The watcher against the chain itself, in long random runs: deposits, reorgs of what is not final, sources that fail, lag, or lie (one at a
 * time), restarts from the kept cursor. What it gives out is at every moment exactly the vault's final deposits, each once, in order.
 */
import fc from 'fast-check';
import { cutOff, DEPTH, pool, Source, VaultChain, type Behaviour } from './harness.js';
import { AgreementLost, type Finality } from './rpc.js';
import { decodeVaultLogs, DEPOSITED_TOPIC, type DepositedLog, type RawLog, type VaultLog } from './vault.js';
import { VaultWatcher, type VaultCursor } from './watcher.js';

const RUNS = 16;
const LIES = ['empty', 'withhold', 'inflate', 'invent', 'branch', 'refuse'] as const;
type Lie = (typeof LIES)[number];

const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('deposit' as const), many: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('mine' as const), blocks: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('reorg' as const), depth: fc.integer({ min: 1, max: DEPTH - 1 }) }),
  },
  { weight: 7, arbitrary: fc.record({ kind: fc.constant('step' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('trouble' as const),
      source: fc.nat({ max: 2 }),
      is: fc.constantFrom('down' as const, 'behind' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('lie' as const), lie: fc.constantFrom(...LIES) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('split' as const), depth: fc.integer({ min: 1, max: DEPTH - 1 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('mend' as const), source: fc.nat({ max: 2 }) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const finality = fc.constantFrom<Finality>({ tag: 'finalized' }, { confirmations: DEPTH });
const isDeposit = (log: VaultLog): log is DepositedLog => log.type === 'deposited';

/** One chain, its watcher, and what a consumer of it would have kept. */
class World {
  private watcher!: VaultWatcher;
  readonly kept: DepositedLog[] = [];
  private cursor!: VaultCursor;
  private amount = 0n;

  private constructor(
    private readonly chain: VaultChain,
    /** The first is the one that may lie. */
    private readonly sources: readonly Source[],
    private readonly policy: Finality,
  ) {}

  static async open(policy: Finality): Promise<World> {
    const chain = await VaultChain.open();
    await chain.mine(DEPTH);
    const { url } = chain.anvil;
    const world = new World(chain, [await Source.open(url), await Source.open(url), await Source.open(url)], policy);
    world.restart();
    world.cursor = await world.watcher.begin(chain.deployBlock);
    return world;
  }

  async close(): Promise<void> {
    await Promise.all([this.chain.anvil.stop(), ...this.sources.map((s) => s.close())]);
  }

  async run(op: Operation): Promise<void> {
    const { chain, sources } = this;
    switch (op.kind) {
      case 'deposit':
        return chain.depositTogether(Array.from({ length: op.many }, () => (this.amount += 1n)));
      case 'mine':
        return chain.mine(op.blocks);
      case 'reorg':
        return chain.reorg(op.depth);
      case 'step':
        return this.step();
      case 'split':
        return this.split(op.depth);
      case 'restart':
        return this.restart();
      case 'mend':
        return sources[op.source]?.honest();
      case 'lie':
        return this.lie(sources[0] as Source, op.lie);
      case 'trouble': {
        const source = sources[op.source] as Source;
        if (op.is === 'down') return source.fail();
        source.behaviour = await cutOff(chain);
      }
    }
  }

  /** Everybody honest again, and all there is made final and looked at. */
  async settle(): Promise<void> {
    for (const source of this.sources) source.honest();
    await this.chain.mine(DEPTH);
    const before = this.kept.length;
    do await this.step(true);
    while (this.cursor.height < (await this.chain.head()) - BigInt(DEPTH) + 1n);
    expect(this.kept.length).toBeGreaterThanOrEqual(before);
  }

  private restart(): void {
    this.watcher = new VaultWatcher(pool(this.sources, 2, { finality: this.policy }), this.chain.vault);
  }

  private async step(mustSucceed = false): Promise<void> {
    try {
      const found = await this.watcher.step(this.cursor);
      if (!found) return;
      this.kept.push(...found.logs.filter(isDeposit));
      this.cursor = found.cursor;
    } catch (error) {
      // With one liar at most, nothing worse than waiting may come of it.
      if (mustSucceed || !(error instanceof AgreementLost)) throw error;
    }
    await this.compare();
  }

  private async compare(): Promise<void> {
    const { height, nextSequence } = this.cursor;
    expect(height).toBeLessThanOrEqual((await this.chain.head()) - BigInt(DEPTH) + 1n);
    const all = decodeVaultLogs(this.chain.vault, await this.chain.logs()).filter(isDeposit);
    expect(this.kept).toEqual(all.filter((l) => l.blockNumber <= height));
    expect(this.kept.map((l) => l.sequence)).toEqual(this.kept.map((_, i) => BigInt(i) + 1n));
    expect(nextSequence).toBe(BigInt(this.kept.length) + 1n);
  }

  /** One node stays behind on a branch that is then dropped, and the liar sides with it. */
  private async split(depth: number): Promise<void> {
    await this.chain.depositTogether([(this.amount += 1n)]);
    const [liar, behind] = this.sources as [Source, Source];
    await this.lie(liar, 'branch');
    behind.raw = null;
    behind.behaviour = await cutOff(this.chain);
    await this.chain.reorg(depth);
  }

  private async lie(source: Source, lie: Lie): Promise<void> {
    source.honest();
    const logs = (alter: (deposits: RawLog[]) => RawLog[]): void =>
      source.lie('eth_getLogs', (truth) => alter((truth as RawLog[]).filter((l) => l.topics[0] === DEPOSITED_TOPIC)));
    if (lie === 'empty') logs(() => []);
    if (lie === 'withhold') logs((deposits) => deposits.slice(0, -1));
    if (lie === 'inflate')
      logs((deposits) => deposits.map((l) => ({ ...l, data: `0x${'f'.repeat(64)}${l.data.slice(66)}` })));
    if (lie === 'invent') logs((deposits) => deposits.flatMap((l) => [l, { ...l, logIndex: '0x99' }]));
    if (lie === 'refuse') source.behaviour = onlyHeads;
    if (lie === 'branch') {
      // Whatever is dropped from here on, it holds on to, and claims to know as final.
      const past = await cutOff(this.chain);
      source.behaviour = (call, truth) => (call.params[0] === 'latest' ? truth() : past(call, truth));
    }
  }
}

/** Claims everything and shows nothing. */
const onlyHeads: Behaviour = ({ method, params }, truth) => {
  if (method === 'eth_chainId' || params[0] === 'latest' || params[0] === 'finalized') return truth();
  throw new Error('not today');
};

it('I5 E6 E8 X10 I9 gives out exactly the final deposits, each once and in order, whatever one liar and the network do', async () => {
  let given = 0;
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(finality, fc.array(operation, { minLength: 20, maxLength: 45 }), async (policy, operations) => {
      const world = await World.open(policy);
      try {
        for (const op of operations) await world.run(op);
        await world.settle();
        runs += 1;
        given += world.kept.length;
      } finally {
        await world.close();
      }
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  expect(given).toBeGreaterThan(runs); // the runs were about something
});
