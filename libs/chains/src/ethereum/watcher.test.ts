/** The watcher on a real node: what is final is given out once, in order, and whatever else its sources come up with is not. */
import { depositId, depositReference } from '@isthmus/bridge';
import { encodeFunctionData, type Hex } from 'viem';
import { cutOff, DEPTH, failure, hex, pool, RECIPIENT, Source, VaultChain, type Receipt } from './harness.js';
import { AgreementLost, type Finality, type RpcPool } from './rpc.js';
import { DEPOSITED_TOPIC, type DepositedLog, type RawLog, type VaultLog } from './vault.js';
import { vaultAbi } from './vault-abi.js';
import { FinalityViolated, SequenceGap, VaultReadError, VaultWatcher, type VaultCursor } from './watcher.js';

const POLICIES: [string, Finality][] = [
  ['tag', { tag: 'finalized' }],
  ['confirmations', { confirmations: DEPTH }],
];

let chain: VaultChain;
let sources: [Source, Source, Source];

beforeEach(async () => {
  chain = await VaultChain.open();
  const { url } = chain.anvil;
  sources = [await Source.open(url), await Source.open(url), await Source.open(url)];
});
afterEach(async () => {
  await Promise.all([chain.anvil.stop(), ...sources.map((s) => s.close())]);
});

const watcherOf = (over: RpcPool, vault: Hex = chain.vault): VaultWatcher => new VaultWatcher(over, vault);
/** On one source alone, the first. */
const alone = (): VaultWatcher => watcherOf(pool([sources[0]], 1));
/** On three, of which two must agree. */
const quorum = (): VaultWatcher => watcherOf(pool(sources, 2));

const depositsIn = (logs: readonly VaultLog[]): DepositedLog[] => logs.filter((l) => l.type === 'deposited');
const amounts = (logs: readonly VaultLog[]): bigint[] => depositsIn(logs).map((l) => l.amount);

/** Takes every step there is. */
async function scan(watcher: VaultWatcher, from?: VaultCursor): Promise<{ logs: VaultLog[]; cursor: VaultCursor }> {
  let cursor = from ?? (await watcher.begin(chain.deployBlock));
  const logs: VaultLog[] = [];
  for (let found = await watcher.step(cursor); found; found = await watcher.step(cursor)) {
    logs.push(...found.logs);
    cursor = found.cursor;
  }
  return { logs, cursor };
}

const finalize = (): Promise<void> => chain.mine(DEPTH - 1);
const isDeposit = (log: RawLog): boolean => log.topics[0] === DEPOSITED_TOPIC;
const logOf = (receipt: Receipt): RawLog => receipt.logs[0] as RawLog;

describe('what counts as a deposit', () => {
  it('E1 the same event from another contract is no deposit', async () => {
    const { address } = await chain.deploy('Lookalike');
    await chain.call('Lookalike', address, 'fake', [1n, 10n ** 30n, hexOf(RECIPIENT)]);
    await finalize();
    expect((await scan(alone())).logs).toEqual([]);
  });

  it('E1 a source that passes another contract’s event off as an answer does not count', async () => {
    const { address } = await chain.deploy('Lookalike');
    const fake = logOf(await chain.call('Lookalike', address, 'fake', [1n, 10n ** 30n, hexOf(RECIPIENT)]));
    await chain.deposit(5n);
    await finalize();
    sources[0].lie('eth_getLogs', (truth) => [fake, ...(truth as RawLog[])]);
    expect(amounts((await scan(quorum())).logs)).toEqual([5n]);
    const refused = await failure(scan(alone()));
    expect(refused).toBeInstanceOf(AgreementLost);
    expect(refused.message).toContain('logs of another contract');
  });

  it('E2 of a genuine and a fake log in one receipt only the genuine one counts', async () => {
    const { address } = await chain.deploy('Lookalike');
    const receipt = await chain.call('Lookalike', address, 'both', [chain.vault, 1n, 10n ** 30n, hexOf(RECIPIENT)], 5n);
    expect(receipt.logs).toHaveLength(2);
    await finalize();
    const { logs } = await scan(alone());
    expect(depositsIn(logs)).toMatchObject([{ sequence: 1n, amount: 5n, sender: address, logIndex: 1 }]);
    sources[0].lie('eth_getLogs', () => receipt.logs);
    expect(amounts((await scan(quorum())).logs)).toEqual([5n]);
    expect(await failure(scan(alone()))).toBeInstanceOf(AgreementLost);
  });

  it('E4 a reverted transaction’s log in a source’s answer is no deposit', async () => {
    await chain.deposit(5n);
    const data = encodeFunctionData({ abi: vaultAbi, functionName: 'deposit', args: [hexOf(RECIPIENT), '0x'] });
    const reverted = await chain.attempt(chain.vault, data, 0n); // below the minimum
    expect(reverted).toMatchObject({ status: '0x0', logs: [] });
    await finalize();
    const forged = async (truth: unknown): Promise<RawLog[]> => {
      const genuine = (truth as RawLog[]).find(isDeposit);
      const { hash } = await chain.block(reverted.blockNumber);
      const place = { blockNumber: reverted.blockNumber, blockHash: hash, transactionHash: reverted.transactionHash };
      const topics = [...(genuine?.topics ?? [])].with(1, `0x${'2'.padStart(64, '0')}`);
      return [...(truth as RawLog[]), { ...(genuine as RawLog), ...place, topics, logIndex: '0x0' }];
    };
    sources[0].lie('eth_getLogs', forged);
    expect(await failure(scan(alone()))).toBeInstanceOf(SequenceGap); // the vault itself has counted one
    expect(amounts((await scan(quorum())).logs)).toEqual([5n]);
  });

  it('E5 a source that gives a log as taken back does not count', async () => {
    await chain.deposit(5n);
    await finalize();
    sources[0].lie('eth_getLogs', (truth) => (truth as RawLog[]).map((l) => ({ ...l, removed: true })));
    expect(amounts((await scan(quorum())).logs)).toEqual([5n]);
    const refused = await failure(scan(alone()));
    expect(refused).toBeInstanceOf(AgreementLost);
    expect(refused.message).toContain('taken back');
  });

  it('E8 a deposit that all sources show, in overlapping ranges, is one deposit', async () => {
    const before = await alone().begin(chain.deployBlock);
    await chain.deposit(5n);
    const first = await scan(quorum());
    await chain.deposit(6n);
    await finalize();
    const from = [before, first.cursor];
    const seen = await Promise.all(from.map(async (cursor) => depositsIn((await scan(quorum(), cursor)).logs)));
    expect(seen.map((logs) => logs.length)).toEqual([2, 2]);
    expect(new Set(seen.flat().map((d) => idOf(d))).size).toBe(2);
    expect(amounts((await scan(quorum())).logs)).toEqual([5n, 6n]);
    // A source that answers more than it was asked, so that ranges overlap, is not heard.
    const { cursor } = await scan(quorum());
    await chain.deposit(7n);
    await finalize();
    sources[0].lie('eth_getLogs', () => chain.logs());
    expect(amounts((await scan(quorum(), cursor)).logs)).toEqual([7n]);
    expect((await failure(scan(alone(), cursor))).message).toContain('logs of other blocks');
  });

  it('E8 a source that shows a deposit twice does not count', async () => {
    await chain.deposit(5n);
    await finalize();
    sources[0].lie('eth_getLogs', (truth) => [...(truth as RawLog[]), ...(truth as RawLog[])]);
    expect(amounts((await scan(quorum())).logs)).toEqual([5n]);
    expect((await failure(scan(alone()))).message).toContain('one log twice');
  });

  it('E9 two deposits in one transaction are two', async () => {
    const { address } = await chain.deploy('Lookalike');
    const receipt = await chain.call('Lookalike', address, 'twice', [chain.vault, hexOf(RECIPIENT)], 10n);
    await finalize();
    const deposits = depositsIn((await scan(alone())).logs);
    expect(deposits).toMatchObject([
      { sequence: 1n, amount: 5n, txHash: receipt.transactionHash },
      { sequence: 2n, amount: 5n, txHash: receipt.transactionHash },
    ]);
    expect(new Set(deposits.map((d) => idOf(d))).size).toBe(2);
  });

  it('E17 the vault’s address on another chain id gives another deposit, and sources of that chain do not count', async () => {
    const other = await VaultChain.open(31_338);
    try {
      expect(other.vault).toBe(chain.vault);
      for (const c of [chain, other]) {
        await c.deposit(c.chainId === chain.chainId ? 5n : 500n);
        await c.mine(DEPTH - 1);
      }
      const there = watcherOf(pool([other.anvil], 1, { chainId: other.chainId }), other.vault);
      const [mine, theirs] = [await scan(alone()), await scan(there)];
      const ids = [
        idOf(depositsIn(mine.logs)[0] as DepositedLog),
        idOf(depositsIn(theirs.logs)[0] as DepositedLog, other.chainId),
      ];
      expect(new Set(ids).size).toBe(2);

      sources[0].target = other.anvil.url;
      expect(amounts((await scan(quorum())).logs)).toEqual([5n]);
      const refused = await failure(scan(alone()));
      expect(refused).toBeInstanceOf(AgreementLost);
      expect(refused.message).toContain('it serves chain 31338, not 31337');
    } finally {
      await other.anvil.stop();
    }
  });

  it('E17 a source that comes to serve another chain is found out, and is no reorg', async () => {
    const other = await VaultChain.open(31_338);
    try {
      const watcher = alone();
      await chain.mine(DEPTH);
      const { cursor } = await scan(watcher);
      await other.mine(50);
      sources[0].target = other.anvil.url;
      const refused = await failure(watcher.step(cursor));
      expect(refused).toBeInstanceOf(AgreementLost);
      expect(refused.message).toContain('it serves chain 31338');
      sources[0].target = chain.anvil.url;
      expect(await watcher.step(cursor)).toBeNull();
    } finally {
      await other.anvil.stop();
    }
  });
});

describe.each(POLICIES)('finality by %s', (_, finality) => {
  const watcher = (): VaultWatcher => watcherOf(pool([sources[0]], 1, { finality }));

  it('I5 a deposit is given out when it is final, and not one block earlier', async () => {
    const { cursor } = await scan(watcher());
    const { blockNumber } = await chain.deposit(5n);
    for (let after = 0; after < DEPTH - 1; after += 1) {
      const found = await scan(watcher(), cursor);
      expect(found.logs).toEqual([]);
      expect(found.cursor.height).toBeLessThan(BigInt(blockNumber));
      expect(amounts((await watcher().recent(cursor.height)).logs)).toEqual([5n]);
      await chain.mine(1);
    }
    expect(amounts((await scan(watcher(), cursor)).logs)).toEqual([5n]);
  });

  it.each([1, DEPTH - 1])('E6 a reorg of depth %i drops what was not final, and only that', async (depth) => {
    await chain.deposit(5n);
    await finalize();
    const { logs, cursor } = await scan(watcher());
    expect(amounts(logs)).toEqual([5n]);
    await chain.depositTogether([6n, 7n]);
    expect(amounts((await watcher().recent(cursor.height)).logs)).toEqual([6n, 7n]);
    await chain.mine(depth - 1);

    await chain.reorg(depth);
    expect(amounts((await watcher().recent(cursor.height)).logs)).toEqual([]);
    await chain.deposit(8n); // takes the number 6 had
    expect(amounts((await watcher().recent(cursor.height)).logs)).toEqual([8n]);
    await finalize();
    const after = await scan(watcher(), cursor);
    expect(depositsIn(after.logs)).toMatchObject([{ sequence: 2n, amount: 8n }]);
    expect(amounts((await scan(watcher())).logs)).toEqual([5n, 8n]);
  });

  it.each([DEPTH, DEPTH + 1])(
    'E6 a reorg of depth %i takes back what was final: all stops, for good',
    async (depth) => {
      await chain.mine(1);
      await chain.deposit(5n);
      await finalize();
      const { logs, cursor } = await scan(watcher());
      expect(amounts(logs)).toEqual([5n]);
      await chain.reorg(depth);
      const stopped = await failure(watcher().step(cursor));
      expect(stopped).toBeInstanceOf(FinalityViolated);
      expect(stopped.message).toContain(cursor.blockHash);
      await chain.deposit(9n);
      await finalize();
      expect(await failure(watcher().step(cursor))).toBeInstanceOf(FinalityViolated);
    },
  );

  it('I5 begins only where the chain is final', async () => {
    const { address, block } = await chain.deploy('Vault', [[chain.vault], 1, 1]);
    const later = watcherOf(pool([sources[0]], 1, { finality }), address);
    const early = await failure(later.begin(block));
    expect(early).toBeInstanceOf(AgreementLost);
    await chain.mine(DEPTH - 2);
    expect(await later.begin(block)).toMatchObject({ height: block - 1n, nextSequence: 1n });
  });
});

describe('sources that lie', () => {
  it('I5 a liar and a node cut off on a dropped branch do not outvote the one that knows', async () => {
    const { cursor } = await scan(quorum());
    const { blockNumber } = await chain.deposit(5n);
    const past = await cutOff(chain); // the deposit is its newest block
    await chain.reorg(1);
    await finalize();
    sources[0].behaviour = past;
    sources[1].behaviour = (call, truth) => (call.params[0] === 'latest' ? truth() : past(call, truth));
    const found = await scan(quorum(), cursor);
    expect(found.logs).toEqual([]);
    expect(found.cursor.height).toBeLessThan(BigInt(blockNumber));
    sources[0].honest();
    const next = await scan(quorum(), found.cursor);
    expect(next.logs).toEqual([]);
    expect(next.cursor.blockHash).toBe((await chain.block(hex(next.cursor.height))).hash);
  });

  it('E20 an empty answer about logs is found out by the vault’s own count', async () => {
    const watcher = alone();
    const { cursor } = await scan(watcher);
    await chain.deposit(5n);
    await finalize();
    sources[0].lie('eth_getLogs', () => []);
    const refused = await failure(watcher.step(cursor));
    expect(refused).toBeInstanceOf(SequenceGap);
    expect(refused.message).toContain('counts 1 deposits');
    expect(amounts((await scan(quorum(), cursor)).logs)).toEqual([5n]);
    sources[0].honest();
    expect(amounts((await scan(watcher, cursor)).logs)).toEqual([5n]);
  });

  it.each([
    ['first', (logs: RawLog[]) => logs.slice(1)],
    ['middle', (logs: RawLog[]) => [...logs.slice(0, 1), ...logs.slice(2)]],
    ['last', (logs: RawLog[]) => logs.slice(0, -1)],
  ])('E20 X3 an answer without the %s deposit is found out', async (_, shorten) => {
    const { cursor } = await scan(alone());
    await chain.depositTogether([1n, 2n, 3n]);
    await finalize();
    sources[0].lie('eth_getLogs', (truth) => shorten((truth as RawLog[]).filter(isDeposit)));
    expect(await failure(scan(alone(), cursor))).toBeInstanceOf(SequenceGap);
    expect(amounts((await scan(quorum(), cursor)).logs)).toEqual([1n, 2n, 3n]);
  });

  it('E20 a shortened answer far behind the head does not move the cursor past what it withholds', async () => {
    const watcher = alone();
    const start = await watcher.begin(chain.deployBlock);
    await chain.deposit(5n);
    await chain.mine(520);
    await chain.deposit(6n);
    await finalize();
    sources[0].lie('eth_getLogs', () => []);
    expect(await failure(watcher.step(start))).toBeInstanceOf(SequenceGap); // in the first range, which ends before the head
    sources[0].honest();
    expect(amounts((await scan(watcher, start)).logs)).toEqual([5n, 6n]);
  });

  it('E20 sources without state from long ago are enough: a gap shows later instead', async () => {
    const watcher = alone();
    const start = await watcher.begin(chain.deployBlock);
    await chain.deposit(5n);
    await chain.mine(700);
    await chain.deposit(6n);
    await finalize();
    const head = await chain.head();
    sources[0].lie('eth_call', (truth, { params }) => {
      if (head - BigInt(params[1] as Hex) > 128n) throw new Error('missing trie node');
      return truth;
    });
    expect(amounts((await scan(watcher, start)).logs)).toEqual([5n, 6n]);
    sources[0].lie('eth_getLogs', (truth) => (truth as RawLog[]).filter((l) => BigInt(l.blockNumber ?? 0) > 500n));
    expect(await failure(scan(alone(), start))).toBeInstanceOf(SequenceGap);
  });

  it('E20 logs out of order are put in order', async () => {
    const { cursor } = await scan(alone());
    await chain.depositTogether([1n, 2n]);
    await chain.depositTogether([3n, 4n]);
    await finalize();
    sources[0].lie('eth_getLogs', (truth) => (truth as RawLog[]).toReversed());
    expect(amounts((await scan(alone(), cursor)).logs)).toEqual([1n, 2n, 3n, 4n]);
    sources[1].fail();
    expect(amounts((await scan(quorum(), cursor)).logs)).toEqual([1n, 2n, 3n, 4n]);
  });

  it('E20 a finalized head ahead of the chain gives nothing out', async () => {
    const tag: Finality = { tag: 'finalized' };
    const { cursor } = await scan(alone());
    await chain.deposit(5n);
    const far = async (): Promise<object> => ({ ...(await chain.block('latest')), number: hex(10_000n) });
    sources[0].lie('eth_getBlockByNumber', (truth, { params }) => (params[0] === 'finalized' ? far() : truth));
    const watcher = watcherOf(pool([sources[0]], 1, { finality: tag }));
    expect((await failure(watcher.step(cursor))).message).toContain('ahead of its own chain');
    // Its newest block is made up too: then it must show the block, and has none.
    sources[0].lie('eth_getBlockByNumber', (truth, { params }) => (params[0] === 'latest' ? far() : truth));
    expect(await failure(watcher.step(cursor))).toBeInstanceOf(AgreementLost);
    const three = watcherOf(pool(sources, 2, { finality: tag }));
    expect((await scan(three, cursor)).logs).toEqual([]);
    await finalize();
    expect(amounts((await scan(three, cursor)).logs)).toEqual([5n]);
  });

  it.each(['repeat', 'skip', 'run backwards'])('X3 numbers that %s stop the watcher', async (flaw) => {
    const { cursor } = await scan(alone());
    await chain.depositTogether([1n, 2n, 3n]);
    await finalize();
    const numbers = { repeat: [1, 1, 2], skip: [1, 3, 4], 'run backwards': [3, 2, 1] }[flaw] ?? [];
    sources[0].lie('eth_getLogs', (truth) =>
      (truth as RawLog[]).filter(isDeposit).map((l, i) => ({ ...l, topics: l.topics.with(1, word(numbers[i] ?? 0)) })),
    );
    expect(await failure(scan(alone(), cursor))).toBeInstanceOf(SequenceGap);
    expect(amounts((await scan(quorum(), cursor)).logs)).toEqual([1n, 2n, 3n]);
  });

  it('says when no vault is at the address', async () => {
    const nobody = watcherOf(pool([sources[0]], 1), `0x${'11'.repeat(20)}`);
    await chain.mine(DEPTH);
    expect(await failure(scan(nobody))).toBeInstanceOf(VaultReadError);
  });
});

describe('sources that fail', () => {
  it('X10 below the agreement the watcher stops, and goes on from there when they agree again', async () => {
    const watcher = quorum();
    const { cursor } = await scan(watcher);
    await chain.deposit(5n);
    await finalize();
    sources[0].fail();
    expect(amounts((await watcher.step(cursor))?.logs ?? [])).toEqual([5n]);
    sources[1].fail();
    const lost = await failure(watcher.step(cursor));
    expect(lost).toMatchObject({ code: 'agreement-lost', agreeing: 1, required: 2 });
    expect(lost.message).not.toContain('secret-key');
    sources[1].honest();
    expect(amounts((await scan(watcher, cursor)).logs)).toEqual([5n]);
  });

  it('X10 two that contradict each other are no agreement, whoever is right', async () => {
    const watcher = quorum();
    const { cursor } = await scan(watcher);
    await chain.deposit(5n);
    await finalize();
    sources[0].fail();
    sources[1].lie('eth_getLogs', (truth) =>
      (truth as RawLog[]).map((l) => (isDeposit(l) ? { ...l, data: l.data.replace('5', '9') } : l)),
    );
    expect(await failure(watcher.step(cursor))).toMatchObject({ code: 'agreement-lost', contradiction: true });
    sources[0].honest();
    expect(amounts((await scan(watcher, cursor)).logs)).toEqual([5n]);
  });

  it('X10 sources that have fallen behind what was final are waited for', async () => {
    const behind = await cutOff(chain);
    await chain.deposit(5n);
    await finalize();
    const { cursor } = await scan(alone());
    for (const source of sources) source.behaviour = behind;
    expect((await failure(alone().step(cursor))).message).toContain('the sources are at');
    sources[0].honest();
    expect(await failure(quorum().step(cursor))).toBeInstanceOf(AgreementLost);
    sources[1].honest();
    expect(await quorum().step(cursor)).toBeNull();
  });

  it('asks for less when a range is too large, and for more again later', async () => {
    const watcher = alone();
    const start = await watcher.begin(chain.deployBlock);
    await chain.deposit(5n);
    await chain.mine(600);
    sources[0].lie('eth_getLogs', (truth, { params }) => {
      const { fromBlock, toBlock } = params[0] as { fromBlock: Hex; toBlock: Hex };
      if (BigInt(toBlock) - BigInt(fromBlock) > 200n) throw new Error('block range is too wide');
      return truth;
    });
    expect((await failure(watcher.step(start))).message).toContain('block range is too wide');
    expect(await failure(watcher.step(start))).toBeInstanceOf(AgreementLost);
    const first = await watcher.step(start);
    expect(amounts(first?.logs ?? [])).toEqual([5n]);
    sources[0].honest();
    const { cursor } = await scan(watcher, first?.cursor);
    expect(cursor.height).toBe((await chain.head()) - BigInt(DEPTH) + 1n);
  });

  it('a backlog costs few calls for each deposit', async () => {
    const blocks = 10;
    const inEach = 100;
    for (let i = 0; i < blocks; i += 1) await chain.depositTogether(Array<bigint>(inEach).fill(1n));
    await finalize();
    const over = pool(sources, 2);
    const { logs } = await scan(watcherOf(over));
    expect(logs).toHaveLength(blocks * inEach);
    expect(over.calls / logs.length).toBeLessThanOrEqual(0.05);
  });
});

const word = (value: number): string => `0x${value.toString(16).padStart(64, '0')}`;
const hexOf = (bytes: Uint8Array): Hex => `0x${Buffer.from(bytes).toString('hex')}`;

function idOf({ sequence }: DepositedLog, chainId: number = chain.chainId): Hex {
  return depositId(depositReference({ chain: `eip155:${chainId}`, vault: chain.vault, sequence }));
}
