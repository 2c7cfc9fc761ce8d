/** Bitcoin: sizes of releases as the node took them, choosing coins, following a backlog, and what a million addresses cost a block. */
import { createHash } from 'node:crypto';
import { Block, Transaction } from 'bitcoinjs-lib';
import { addressScript, type AddressKind } from '../libs/chains/src/bitcoin/address.js';
import { planRelease, type Payout, type VaultCoin } from '../libs/chains/src/bitcoin/batch.js';
import { parseBlock } from '../libs/chains/src/bitcoin/block.js';
import { BitcoinStage, POLICY, REGTEST } from '../libs/chains/src/bitcoin/harness.js';
import { HeaderChain, MemoryHeaderStore } from '../libs/chains/src/bitcoin/headers.js';
import { BitcoinWatcher, MemoryIndex } from '../libs/chains/src/bitcoin/watcher.js';
import { atLeast, atMost, median, type Figure } from './figure.js';

const AREA = 'bitcoin';
/** One of each in turn. */
const KINDS: readonly AddressKind[] = ['p2wpkh', 'p2tr', 'p2wsh', 'p2sh', 'p2pkh'];
const RUNS = 7;
const COINS = 10_000;
const BACKLOG = 1_000;
/** Outputs of a busy block on mainnet. */
const OUTPUTS = 8_000;
const ADDRESSES = 1_000_000;

export async function run(): Promise<Figure[]> {
  const stage = await BitcoinStage.open();
  try {
    return [
      atMost(AREA, 'vbytes.release.1', await released(stage, 1, 'p2wsh'), 'vB', 240),
      atMost(AREA, 'vbytes.release.50', (await released(stage, 50)) / 50, 'vB', 45),
      atMost(AREA, 'coins.select_ms', selecting(stage), 'ms', 100),
      atLeast(AREA, 'backlog.blocks_per_second', await following(stage), 'blocks/s', 50),
      atMost(AREA, 'growth.addresses', await growing(stage), 'x', 1.5, 'a vault of 1,000 addresses'),
    ];
  } finally {
    await stage.bitcoin.stop();
  }
}

const digest = (words: string): Buffer => createHash('sha256').update(words).digest();

function payouts(count: number, amount: bigint, only?: AddressKind): Payout[] {
  return Array.from({ length: count }, (_, i) => {
    const kind = only ?? (KINDS[i % KINDS.length] as AddressKind);
    const length = kind === 'p2tr' || kind === 'p2wsh' ? 32 : 20;
    const script = addressScript(kind, digest(`payee ${i}`).subarray(0, length));
    return { number: BigInt(i + 1), script, amount, maxFee: amount };
  });
}

/** Virtual bytes of a release by two of three guardians that the node took. */
async function released(stage: BitcoinStage, count: number, only?: AddressKind): Promise<number> {
  const anchor = await stage.coin(BigInt(count) * 20_000n + 100_000n);
  const base = { vault: stage.vault, changeTo: stage.plain, anchor, unconfirmed: 0, coins: [] };
  const { batch } = planRelease({ ...base, feeRate: 2_000n, payouts: payouts(count, 20_000n, only) });
  const hex = stage.signed(batch);
  await stage.bitcoin.send(hex);
  await stage.bitcoin.mine();
  return Transaction.fromHex(hex).virtualSize();
}

/** Milliseconds to build a batch of fifty that needs about a hundred of ten thousand coins. */
function selecting(stage: BitcoinStage): number {
  const coin = (i: number, value: bigint): VaultCoin => ({
    txid: digest(`coin ${i}`).toString('hex'),
    vout: 0,
    value,
    lock: stage.plain,
    deposit: false,
  });
  const coins = Array.from({ length: COINS }, (_, i) => coin(i + 1, 30_000n + BigInt((i * 7_919) % 70_000)));
  const plan = { vault: stage.vault, changeTo: stage.plain, anchor: coin(0, 20_000n), unconfirmed: 0, coins };
  const times = Array.from({ length: RUNS }, () => {
    const begun = performance.now();
    const { batch } = planRelease({ ...plan, feeRate: 5_000n, payouts: payouts(50, 190_000n) });
    if (batch.inputs.length < 90) throw new Error('The batch needs too few coins to measure.');
    return performance.now() - begun;
  });
  return median(times);
}

/** Blocks a second from a node in this same process, from headers to deposits: each block has a transaction of forty outputs, one to the vault. */
async function following(stage: BitcoinStage): Promise<number> {
  const { lock } = stage.deposit();
  const node = stage.bitcoin.node;
  const start = stage.headers.tip.height;
  let from = await stage.purse.coin(node);
  const others = Array.from({ length: 39 }, (_, i) => ({
    script: addressScript('p2wpkh', digest(`payee ${i}`).subarray(0, 20)),
    value: 400n,
  }));
  for (let i = 0; i < BACKLOG; i += 1) {
    const to = [{ script: lock.script, value: 30_000n }, ...others];
    const hex = await stage.purse.pay(node, to, { from });
    const txid = await stage.bitcoin.send(hex);
    const spent = to.reduce((sum, { value }) => sum + value, 2_000n);
    from = { txid, vout: to.length, value: from.value - spent };
    await stage.bitcoin.mine();
  }
  const headers = await HeaderChain.open(REGTEST, new MemoryHeaderStore());
  const watcher = new BitcoinWatcher(stage.pool, headers, stage.index, stage.coins, POLICY);
  const begun = performance.now();
  while (headers.tip.height < node.height) await watcher.sync();
  let cursor = { height: node.height - BACKLOG, blockHash: headers.at(node.height - BACKLOG)?.hash ?? '' };
  let found = 0;
  for (;;) {
    const step = await watcher.step(cursor);
    if (!step) break;
    cursor = step.cursor;
    found += step.type === 'block' ? step.receipts.length : 0;
  }
  if (found !== BACKLOG || node.height - start < BACKLOG) throw new Error(`${found} deposits were found.`);
  return (BACKLOG / (performance.now() - begun)) * 1_000;
}

/** How much longer a busy block takes, from its bytes to its deposits, with a million addresses than with a thousand; measured in turn. */
async function growing(stage: BitcoinStage): Promise<number> {
  const block = busyBlock();
  const [few, many] = [watching(stage, 1_000), watching(stage, ADDRESSES)];
  const times: [number[], number[]] = [[], []];
  for (let i = 0; i < 4 * RUNS; i += 1) {
    times[0].push(await looking(few, block));
    times[1].push(await looking(many, block));
  }
  return median(times[1]) / median(times[0]);
}

function watching(stage: BitcoinStage, addresses: number): BitcoinWatcher<number> {
  const index = new MemoryIndex<number>();
  for (let i = 0; i < addresses; i += 1)
    index.add(addressScript('p2wsh', digest(`address ${i}`)), {
      kind: 'deposit',
      since: 0,
      terms: i,
      refundAfter: 1_000,
    });
  return new BitcoinWatcher(stage.pool, stage.headers, index, stage.coins, POLICY);
}

async function looking(watcher: BitcoinWatcher<number>, block: Buffer): Promise<number> {
  const begun = performance.now();
  const { receipts } = await watcher.look(parseBlock(block), 1);
  if (receipts.length !== 10) throw new Error(`${receipts.length} deposits were found.`);
  return performance.now() - begun;
}

/** The bytes of a block whose outputs are all of the form that must be looked up; ten are to the vault. */
function busyBlock(): Buffer {
  const txs = Array.from({ length: OUTPUTS / 2 }, (_, i) => {
    const tx = new Transaction();
    tx.version = 2;
    tx.addInput(i === 0 ? Buffer.alloc(32) : digest(`in ${i}`), i === 0 ? 0xff_ff_ff_ff : 0);
    for (const n of [0, 1]) {
      const words = n === 0 && i < 10 ? `address ${i}` : `somebody ${i} ${n}`;
      tx.addOutput(addressScript('p2wsh', digest(words)), 50_000n);
    }
    return tx;
  });
  const block = new Block();
  block.prevHash = Buffer.alloc(32);
  block.merkleRoot = Block.calculateMerkleRoot(txs);
  block.transactions = txs;
  return Buffer.from(block.toBuffer());
}
