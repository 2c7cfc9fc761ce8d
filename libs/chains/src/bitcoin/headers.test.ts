import { startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { checkInclusion, parseBlock, parseHeader, proveInclusion, rootOf } from './block.js';
import { hash256, shown, unshown } from './bytes.js';
import { HeaderChain, MAX_FORK_DEPTH, MemoryHeaderStore } from './headers.js';
import { NETWORKS, type BitcoinNetwork } from './network.js';
import { bitsOf, PERIOD, requiredBits, targetOf, workOf, type WorkBlock } from './work.js';

const REGTEST = NETWORKS.regtest;
/** Some time after the first block of regtest. */
const NOW = 1_700_000_000;

/** Headers with proof of work on an easy network: `time` and `bits` as wanted. */
function mined(previous: string, time: number, bits = REGTEST.easiest, version = 4): Buffer {
  const header = Buffer.alloc(80);
  header.writeInt32LE(version, 0);
  unshown(previous).copy(header, 4);
  header.fill(time & 0xff, 36, 68);
  header.writeUInt32LE(time, 68);
  header.writeUInt32LE(bits, 72);
  for (let nonce = 0; ; nonce += 1) {
    header.writeUInt32LE(nonce, 76);
    if (BigInt(`0x${parseHeader(header).hash}`) <= targetOf(bits)) return header;
  }
}

function branch(from: string, count: number, time: number): Buffer[] {
  const headers: Buffer[] = [];
  for (let i = 0; i < count; i += 1) {
    const last = headers.at(-1);
    headers.push(mined(last ? parseHeader(last).hash : from, time + i));
  }
  return headers;
}

/** The same with another nonce, nobody's work. */
function withoutWork(header: Buffer): Buffer {
  const lazy = Buffer.from(header);
  for (let nonce = 0; BigInt(`0x${idOf(lazy)}`) <= targetOf(REGTEST.easiest); nonce += 1) lazy.writeUInt32LE(nonce, 76);
  return lazy;
}

const idOf = (header: Buffer): string => parseHeader(header).hash;
const open = (store = new MemoryHeaderStore(), network: BitcoinNetwork = REGTEST) =>
  HeaderChain.open(network, store, { now: () => NOW });

describe('the header chain', () => {
  it.each(Object.values(NETWORKS))('begins at the first block of $name', async (network) => {
    expect(parseHeader(Buffer.from(network.genesisHeader, 'hex')).hash).toBe(network.genesis);
    expect((await open(new MemoryHeaderStore(), network)).tip.height).toBe(0);
    await expect(
      HeaderChain.open(network, new MemoryHeaderStore(), { anchor: { height: 5, header: network.genesisHeader } }),
    ).rejects.toThrow('multiple of 2016');
  });

  it('B13: a header nobody has worked for, of a lower difficulty, of no time to be, or of no parent, is refused', async () => {
    const chain = await open();
    const time = NOW - 5_000;
    const good = mined(REGTEST.genesis, time);
    await expect(chain.add([withoutWork(good)])).rejects.toThrow('nobody has worked');
    await expect(chain.add([mined(REGTEST.genesis, time, 0x207ffffe)])).rejects.toThrow('difficulty');
    await expect(chain.add([mined(REGTEST.genesis, time, 0x2100ffff)])).rejects.toThrow('easier than');
    await expect(chain.add([mined(REGTEST.genesis, time, REGTEST.easiest, 3)])).rejects.toThrow('version');
    await expect(chain.add([mined('11'.repeat(32), time)])).rejects.toMatchObject({ code: 'unknown-parent' });
    await expect(chain.add([mined(REGTEST.genesis, NOW + 7_201)])).rejects.toThrow('two hours');
    await expect(chain.add([mined(REGTEST.genesis, chain.tip.time)])).rejects.toThrow('not after');
    expect(chain.tip.height).toBe(0);
    await chain.add([good, mined(idOf(good), time + 1)]);
    expect(chain.tip.height).toBe(2);
  });

  it('B13: a block’s time lies after the middle of the eleven before it', async () => {
    const chain = await open();
    const headers = branch(REGTEST.genesis, 11, NOW - 5_000);
    await chain.add(headers);
    const tip = chain.tip.hash;
    await expect(chain.add([mined(tip, NOW - 5_000 + 5)])).rejects.toThrow('not after');
    await chain.add([mined(tip, NOW - 5_000 + 6)]);
    expect(chain.tip.height).toBe(12);
  });

  it('follows the most work, the first seen of two alike, and says where they part', async () => {
    const chain = await open();
    const trunk = branch(REGTEST.genesis, 3, NOW - 9_000);
    const fork = idOf(trunk[2]!);
    const [left, right] = [branch(fork, 2, NOW - 8_000), branch(fork, 3, NOW - 7_000)];
    await chain.add([...trunk, ...left]);
    await chain.add(right.slice(0, 2));
    expect(chain.tip.hash).toBe(idOf(left[1]!));
    const change = await chain.add(right.slice(2));
    expect(change).toMatchObject({ fork: 3, tip: { height: 6, hash: idOf(right[2]!) } });
    expect(chain.confirmations({ height: 4, hash: idOf(left[0]!) })).toBe(0);
    expect(chain.confirmations({ height: 4, hash: idOf(right[0]!) })).toBe(3);
    expect(chain.forkOf(idOf(left[1]!))?.height).toBe(3);
    expect(chain.forkOf('22'.repeat(32))).toBeNull();
  });

  it('lets no period begin more than ten minutes before the last one ended, where BIP 94 holds', async () => {
    const ends = async (bip94: boolean) => {
      const chain = await open(new MemoryHeaderStore(), { ...REGTEST, bip94 });
      const headers = branch(REGTEST.genesis, PERIOD - 2, NOW - 9_000);
      const last = mined(idOf(headers.at(-1)!), NOW - 1_000);
      await chain.add(headers.slice(0, 2_000));
      await chain.add([...headers.slice(2_000), last]);
      return { chain, tip: idOf(last) };
    };
    const { chain, tip } = await ends(true);
    await expect(chain.add([mined(tip, NOW - 1_601)])).rejects.toThrow('long before');
    await chain.add([mined(tip, NOW - 1_600)]);
    expect(chain.tip.height).toBe(PERIOD);
    const free = await ends(false);
    await free.chain.add([mined(free.tip, NOW - 1_601)]);
    expect(free.chain.tip.height).toBe(PERIOD);
  });

  it('keeps what came before a bad header, and goes on from its store', async () => {
    const store = new MemoryHeaderStore();
    const chain = await open(store);
    const good = branch(REGTEST.genesis, 5, NOW - 9_000);
    await expect(chain.add([...good, mined(idOf(good[4]!), NOW + 9_000)])).rejects.toThrow('two hours');
    expect(chain.tip.height).toBe(5);
    expect((await open(store)).tip).toEqual(chain.tip);
    store.headers[2] = withoutWork(good[2]!);
    await expect(open(store)).rejects.toThrow('nobody has worked');
  });

  it('goes on from a store that began at another anchor: above this one, or from nothing', async () => {
    const from = (store: MemoryHeaderStore, anchor?: { height: number; header: string }) =>
      HeaderChain.open(REGTEST, store, { now: () => NOW, ...(anchor ? { anchor } : {}) });
    const headers = branch(REGTEST.genesis, PERIOD + 3, NOW - 9_000);
    const anchor = { height: PERIOD, header: headers[PERIOD - 1]!.toString('hex') };
    const whole = new MemoryHeaderStore();
    const chain = await from(whole);
    await chain.add(headers.slice(0, 2_000));
    await chain.add(headers.slice(2_000));
    expect((await from(whole, anchor)).tip).toMatchObject({ height: PERIOD + 3, hash: chain.tip.hash });

    const short = new MemoryHeaderStore();
    await (await from(short, anchor)).add(headers.slice(PERIOD));
    const again = await from(short);
    expect(again.tip.height).toBe(0);
    await again.add(headers.slice(0, 2_000));
    await again.add(headers.slice(2_000));
    expect((await from(short)).tip).toMatchObject({ height: PERIOD + 3, hash: chain.tip.hash });
  });

  it('goes on from a store whose side branches left below this anchor when the chain was beyond it', async () => {
    const store = new MemoryHeaderStore();
    const chain = await open(store);
    const trunk = branch(REGTEST.genesis, PERIOD + 3, NOW - 9_000);
    await chain.add(trunk.slice(0, 2_000));
    await chain.add(trunk.slice(2_000));
    const rivals = branch(idOf(trunk[PERIOD - 3]!), 3, NOW - 4_000);
    const near = branch(idOf(trunk[PERIOD]!), 1, NOW - 4_000);
    await chain.add([...rivals, ...near]);
    const anchor = { height: PERIOD, header: trunk[PERIOD - 1]!.toString('hex') };
    const again = await HeaderChain.open(REGTEST, store, { now: () => NOW, anchor });
    expect(again.tip.hash).toBe(chain.tip.hash);
    expect([rivals[2]!, near[0]!].map((header) => again.knows(idOf(header)))).toEqual([false, true]);
  });

  it('goes on from a store that was told an earlier anchor in between, with the side branches it met there', async () => {
    const store = new MemoryHeaderStore();
    const trunk = branch(REGTEST.genesis, PERIOD + MAX_FORK_DEPTH + 3, NOW - 9_000);
    const anchor = { height: PERIOD, header: trunk[PERIOD - 1]!.toString('hex') };
    const later = () => HeaderChain.open(REGTEST, store, { now: () => NOW, anchor });
    const first = await later();
    for (const from of [PERIOD, PERIOD + 2_000]) await first.add(trunk.slice(from, from + 2_000));
    const whole = await open(store);
    for (const from of [0, 2_000]) await whole.add(trunk.slice(from, Math.min(from + 2_000, PERIOD + 2)));
    await whole.add(branch(idOf(trunk[PERIOD - 1]!), 1, NOW - 4_000));
    for (const from of [PERIOD, PERIOD + 2_000]) await whole.add(trunk.slice(from, from + 2_000));
    for (const chain of [await later(), await open(store)]) expect(chain.tip.hash).toBe(first.tip.hash);
  });

  it('begins at an anchor whose next blocks say that they are earlier: the ten before it are not known, and allow that', async () => {
    const trunk = branch(REGTEST.genesis, PERIOD, NOW - 9_000);
    const earlier = branch(idOf(trunk[PERIOD - 1]!), 10, parseHeader(trunk[PERIOD - 5]!).time);
    const whole = await open();
    await whole.add(trunk.slice(0, 2_000));
    await whole.add([...trunk.slice(2_000), ...earlier]);
    const anchor = { height: PERIOD, header: trunk[PERIOD - 1]!.toString('hex') };
    const chain = await HeaderChain.open(REGTEST, new MemoryHeaderStore(), { now: () => NOW, anchor });
    await chain.add(earlier);
    expect([chain.tip.height, chain.tip.hash]).toEqual([PERIOD + 10, whole.tip.hash]);
    await expect(chain.add([mined(chain.tip.hash, parseHeader(earlier[3]!).time)])).rejects.toThrow('not after');
  });

  it('a header its store has lost comes from the sources again', async () => {
    const store = new MemoryHeaderStore();
    const good = branch(REGTEST.genesis, 5, NOW - 9_000);
    await (await open(store)).add(good);
    store.headers.splice(2, 1);
    const again = await open(store);
    expect(again.tip.height).toBe(2);
    await again.add(good);
    expect((await open(store)).tip).toMatchObject({ height: 5, hash: idOf(good[4]!) });
  });

  it('forgets side branches of its store as it did while it ran: there may be more of them than are kept at once', async () => {
    const store = new MemoryHeaderStore();
    const chain = await open(store);
    const trunk = branch(REGTEST.genesis, 2 * MAX_FORK_DEPTH, NOW - 9_000);
    // Each block of the trunk has three rivals, more together than may be known at once.
    for (let at = 0; at < trunk.length; at += 300) {
      const part = trunk.slice(at, at + 300);
      const rivals = part.flatMap((header) =>
        [1, 2, 3].map((n) => mined(shown(parseHeader(header).previous), NOW - 9_000 + 10_000 + n)),
      );
      await chain.add(part);
      await chain.add(rivals);
    }
    expect((await open(store)).tip.hash).toBe(chain.tip.hash);
  });

  it('accepts nothing that its store could not keep', async () => {
    const store = new MemoryHeaderStore();
    const chain = await open(store);
    const headers = branch(REGTEST.genesis, 2, NOW - 9_000);
    store.append = () => Promise.reject(new Error('disk full'));
    await expect(chain.add(headers)).rejects.toThrow('disk full');
    expect([chain.tip.height, chain.knows(idOf(headers[0]!))]).toEqual([0, false]);
  });

  it('refuses a branch that leaves it too deep down, and too many headers at once', async () => {
    const chain = await open();
    const headers = branch(REGTEST.genesis, MAX_FORK_DEPTH + 1, NOW - 9_000);
    await expect(chain.add(headers)).rejects.toThrow('At most 2000');
    await chain.add(headers.slice(0, 2_000));
    await chain.add(headers.slice(2_000));
    await expect(chain.add([mined(REGTEST.genesis, NOW - 8_000)])).rejects.toThrow('too deep');
  });
});

describe('the difficulty', () => {
  const row =
    (timeOf: (height: number) => number, bits: number) =>
    (height: number): WorkBlock => ({ height, time: timeOf(height), bits });

  it('B13: is adjusted at the boundary of a period, to the very bits of mainnet', () => {
    // Blocks 30,240 to 32,255 of mainnet, whose difficulty rose for the first time at 32,256.
    const at = row((h) => (h === 30_240 ? 1_261_130_161 : 1_262_152_739), 0x1d00ffff);
    expect(requiredBits(NETWORKS.mainnet, at(32_255), 1_262_153_464, at)).toBe(0x1d00d86a);
    expect(requiredBits(NETWORKS.mainnet, at(32_254), 1_262_153_464, at)).toBe(0x1d00ffff);
  });

  it('B13: changes fourfold at most, and is never easier than the easiest', () => {
    const fast = row(() => 1_000_000, 0x1b0404cb);
    expect(requiredBits(NETWORKS.mainnet, fast(PERIOD - 1), 0, fast)).toBe(bitsOf(targetOf(0x1b0404cb) / 4n));
    const slow = row((h) => h * 100_000, 0x1b0404cb);
    expect(requiredBits(NETWORKS.mainnet, slow(PERIOD - 1), 0, slow)).toBe(bitsOf(targetOf(0x1b0404cb) * 4n));
    const easy = row((h) => h * 100_000, 0x1d00ffff);
    expect(requiredBits(NETWORKS.mainnet, easy(PERIOD - 1), 0, easy)).toBe(0x1d00ffff);
  });

  it('may be the easiest after twenty minutes on testnet, and then is what it was', () => {
    const hard = 0x1b0404cb;
    const at = (height: number): WorkBlock => ({ height, time: height * 600, bits: height > 100 ? 0x1d00ffff : hard });
    expect(requiredBits(NETWORKS.testnet3, at(105), 105 * 600 + 1_201, at)).toBe(0x1d00ffff);
    expect(requiredBits(NETWORKS.testnet3, at(105), 105 * 600 + 1_200, at)).toBe(hard);
    expect(requiredBits(NETWORKS.mainnet, at(105), 105 * 600 + 1_201, at)).toBe(0x1d00ffff);
  });

  it('follows from the first block of a period where BIP 94 holds: easy blocks at its end do not lower it', () => {
    const hard = 0x1b0404cb;
    const at = (height: number): WorkBlock => ({
      height,
      time: height * 600 + 600 * Number(height === PERIOD - 1),
      bits: height > 2_000 ? 0x1d00ffff : hard,
    });
    expect(requiredBits(NETWORKS.testnet4, at(PERIOD - 1), 0, at)).toBe(hard);
    expect(requiredBits(NETWORKS.testnet3, at(PERIOD - 1), 0, at)).toBe(0x1d00ffff);
    expect(requiredBits(NETWORKS.testnet4, at(2_005), 2_005 * 600 + 1_201, at)).toBe(0x1d00ffff);
    expect(requiredBits(NETWORKS.testnet4, at(2_005), 2_005 * 600 + 1_200, at)).toBe(hard);
  });

  it('is read and written in its compact form', () => {
    for (const bits of [0x1d00ffff, 0x1b0404cb, 0x207fffff, 0x03123456, 0x02008000, 0x1e0377ae])
      expect(bitsOf(targetOf(bits))).toBe(bits);
    for (const bits of [0, 0x1d800001, 0x23010000, 0x01000000]) expect(() => targetOf(bits)).toThrow('no target');
    expect(workOf(0x1d00ffff)).toBe(4_295_032_833n);
  });
});

describe('a block', () => {
  let bitcoin: LocalBitcoin;
  beforeAll(async () => {
    bitcoin = await startBitcoin();
  });
  afterAll(() => bitcoin.stop());
  const rawOf = async (height: number): Promise<Buffer> =>
    Buffer.from((await bitcoin.node.chain.getRawBlock((await bitcoin.node.entryAt(height)).hash))!);

  it('is what its header commits to, whole; anything else is refused', async () => {
    const raw = await rawOf(bitcoin.node.height);
    const block = parseBlock(raw);
    expect(block.header.hash).toBe(bitcoin.node.chain.tip.rhash());
    expect(block.txs.map((tx) => tx.txid)).toEqual(
      (await bitcoin.node.chain.getBlock(bitcoin.node.chain.tip.hash))!.txs.map((tx) => tx.txid()),
    );
    const changed = Buffer.from(raw);
    changed[raw.length - 20]! ^= 1;
    expect(() => parseBlock(Buffer.concat([raw, Buffer.of(0)]))).toThrow('left over');
    expect(() => parseBlock(raw.subarray(0, -1))).toThrow('too early');
    const value = raw.lastIndexOf(Buffer.from('0020', 'hex')) - 9;
    changed.set(raw);
    changed[value]! ^= 1;
    expect(() => parseBlock(changed)).toThrow('does not commit');
  });

  it('B13: whose list of transactions was doubled at the end is refused', () => {
    const leaves = [1, 2, 3].map((n) => hash256(Buffer.of(n)));
    expect(rootOf(leaves)).not.toBeNull();
    expect(rootOf([...leaves, leaves[2]!])).toBeNull();
    expect(rootOf([])).toBeNull();
  });

  it('B13: proves each of its transactions, and nothing else', async () => {
    const block = parseBlock(await rawOf(bitcoin.node.height));
    const many = { ...block, txs: [block.txs[0]!, ...Array.from({ length: 6 }, (_, i) => fake(i))] };
    const header = { merkleRoot: rootOf(many.txs.map((tx) => hash256(tx.stripped)))! };
    for (let i = 0; i < many.txs.length; i += 1) {
      const proof = proveInclusion(many, i);
      expect(checkInclusion(proof, header).txid).toBe(many.txs[i]!.txid);
      expect(() => checkInclusion({ ...proof, index: i ^ 1 }, header)).toThrow();
      expect(() => checkInclusion({ ...proof, branch: proof.branch.slice(1) }, header)).toThrow('no form');
      expect(() => checkInclusion({ ...proof, branch: proof.branch.map(() => Buffer.alloc(32)) }, header)).toThrow(
        'does not commit',
      );
      expect(() => checkInclusion(proof, { merkleRoot: Buffer.alloc(32) })).toThrow('does not commit');
      expect(() => checkInclusion({ ...proof, tx: Buffer.alloc(64) }, header)).toThrow('64 bytes');
    }
    expect(() => proveInclusion(many, 7)).toThrow('no such');
  });

  /** Spends nothing there is; it is only bytes here. */
  function fake(n: number) {
    const stripped = Buffer.concat([
      Buffer.from('0200000001', 'hex'),
      Buffer.alloc(32, n + 1),
      Buffer.from('0000000000ffffffff010100000000000000015100000000', 'hex'),
    ]);
    return {
      txid: Buffer.from(hash256(stripped).toReversed()).toString('hex'),
      coinbase: false,
      inputs: [],
      outputs: [],
      stripped,
    };
  }
});
