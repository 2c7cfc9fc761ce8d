/**
 * The header chain: who wants to pretend a block must have worked for it. Each header is checked by all rules that need no transactions; the tip is the
 * one with the most work behind it, the first seen of two alike. It begins at a block that is trusted by configuration.
 */
import { HEADER_BYTES, parseHeader, type Header } from './block.js';
import { shown } from './bytes.js';
import { BitcoinError } from './errors.js';
import type { BitcoinNetwork } from './network.js';
import { PERIOD, requiredBits, targetOf, workOf } from './work.js';

/** Where headers are kept, in the order they were accepted; each with those before it. They are checked again when they are read. */
export interface HeaderStore {
  load(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** @throws when it is not on disk: then they are not accepted either */
  append(headers: readonly Uint8Array[]): Promise<void>;
}

/** A block people have looked up and trust, at a height that ends a period of difficulty (a multiple of 2,016; 0: the first block). */
export interface Anchor {
  height: number;
  /** 80 bytes in hex. */
  header: string;
}

export interface ChainBlock {
  height: number;
  hash: string;
  time: number;
  bits: number;
  merkleRoot: Buffer;
}

/** What accepting headers changed. */
export interface HeaderChange {
  /** Height of the last block the old and the new chain share. */
  fork: number;
  tip: ChainBlock;
}

interface Node extends ChainBlock {
  parent: Node | null;
  work: bigint;
}

/** A branch that leaves the chain deeper than this is refused: by then everything has long been final, and side branches could fill the memory. */
export const MAX_FORK_DEPTH = PERIOD;
/** Headers that are on no branch of the chain. Each costs a block's work, but on test networks that is nothing. */
const MAX_SIDE = 4 * PERIOD;
/** Headers given at once: what a node gives, too. */
export const MAX_HEADERS = 2_000;
/** How far a block's time may lie ahead of ours, seconds. */
export const MAX_AHEAD = 7_200;
/** How far the first block of a period may lie before the one before it, by BIP 94, seconds. */
const MAX_BACK = 600;
const MEDIAN_OF = 11;

export class HeaderChain {
  private readonly known = new Map<string, Node>();
  private readonly main: Node[] = [];
  /** One after another: several sources give theirs at once. */
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly network: BitcoinNetwork,
    private readonly store: HeaderStore,
    private readonly now: () => number,
    private readonly base: number,
  ) {}

  /**
   * Goes on from a store, which may have begun at other anchors: what follows nothing that is known from this one on is passed over, what is
   * missing above comes from the sources again. `now` is in seconds since 1970. @throws BitcoinError when the store or the anchor breaks a rule
   */
  static async open(
    network: BitcoinNetwork,
    store: HeaderStore,
    {
      anchor = { height: 0, header: network.genesisHeader },
      now = () => Math.floor(Date.now() / 1000),
    }: HeaderOptions = {},
  ): Promise<HeaderChain> {
    if (anchor.height % PERIOD !== 0)
      throw new BitcoinError('bad-header', `A header chain begins at a multiple of ${PERIOD}.`);
    const header = parseHeader(Buffer.from(anchor.header, 'hex'));
    if (anchor.height === 0 && header.hash !== network.genesis)
      throw new BitcoinError('bad-header', `This is not the first block of ${network.name}.`);
    checkWork(header, network);
    const chain = new HeaderChain(network, store, now, anchor.height);
    const first = nodeOf(header, null, anchor.height);
    chain.known.set(first.hash, first);
    chain.main.push(first);
    for await (const bytes of store.load()) {
      const header = parseHeader(bytes);
      const node = chain.reaches(header) ? chain.accept(header) : null;
      if (node) chain.follow(node);
      // It keeps what was forgotten long ago.
      if (chain.side >= MAX_SIDE) chain.forget();
    }
    return chain;
  }

  /** The block it begins at. */
  get anchor(): ChainBlock {
    return this.main[0] as Node; // put there when it was opened
  }

  get tip(): ChainBlock {
    return this.best;
  }

  /** Work behind the tip, from the anchor on. */
  get work(): bigint {
    return this.best.work;
  }

  /** The block at a height of the chain; null above the tip and below the anchor. */
  at(height: number): ChainBlock | null {
    return this.main[height - this.base] ?? null;
  }

  /** Whether a block is on the chain. */
  has({ height, hash }: { height: number; hash: string }): boolean {
    return this.at(height)?.hash === hash;
  }

  /** Blocks from this one to the tip, both counted; 0 when it is not on the chain. */
  confirmations(block: { height: number; hash: string }): number {
    return this.has(block) ? this.tip.height - block.height + 1 : 0;
  }

  /** The last block of the chain that a block's branch shares with it; null when the block is not known. */
  forkOf(hash: string): ChainBlock | null {
    let at = this.known.get(hash) ?? null;
    while (at && !this.has(at)) at = at.parent;
    return at;
  }

  knows(hash: string): boolean {
    return this.known.has(hash);
  }

  /**
   * Takes in headers, each following one that is known. What was good before a bad one is kept.
   * @throws BitcoinError `bad-header` for one that breaks a rule, `unknown-parent` when what lies between is missing
   */
  add(headers: readonly Uint8Array[]): Promise<HeaderChange> {
    const mine = this.last.then(() => this.takeIn(headers));
    this.last = mine.catch(() => undefined);
    return mine;
  }

  private async takeIn(headers: readonly Uint8Array[]): Promise<HeaderChange> {
    if (headers.length > MAX_HEADERS) throw new BitcoinError('bad-header', `At most ${MAX_HEADERS} headers at once.`);
    const before = this.best;
    const fresh: Node[] = [];
    const raw: Uint8Array[] = [];
    let bad: unknown = null;
    try {
      for (const bytes of headers) {
        const header = parseHeader(bytes);
        const node = this.accept(header);
        if (!node) continue;
        fresh.push(node);
        raw.push(header.raw);
      }
    } catch (error) {
      bad = error; // said below, when what came before it is kept
    }
    try {
      if (raw.length > 0) await this.store.append(raw);
    } catch (error) {
      for (const { hash } of fresh) this.known.delete(hash);
      throw error;
    }
    for (const node of fresh) this.follow(node);
    this.forget();
    if (bad !== null) throw bad;
    return { fork: (this.forkOf(before.hash) ?? this.anchor).height, tip: this.tip };
  }

  /** Headers that are known beside the chain. */
  private get side(): number {
    return this.known.size - this.main.length;
  }

  /** Height up to which no branch leaves the chain any more. */
  private get deepest(): number {
    return this.best.height - MAX_FORK_DEPTH;
  }

  private get best(): Node {
    return this.main.at(-1) as Node; // the anchor is always there
  }

  /** Whether it follows what is known, and not so deep down that it is forgotten. */
  private reaches({ previous }: Header): boolean {
    const parent = this.known.get(shown(previous));
    return parent !== undefined && parent.height + 1 > this.deepest;
  }

  /** The header's place, if it is new and keeps all rules. */
  private accept(header: Header): Node | null {
    if (this.known.has(header.hash)) return null;
    const parent = this.known.get(shown(header.previous));
    if (!parent) throw new BitcoinError('unknown-parent', `The block before ${header.hash} is not known.`);
    const height = parent.height + 1;
    if (height <= this.deepest) throw broken(header, 'it leaves the chain too deep down');
    if (this.side >= MAX_SIDE) throw broken(header, 'there are too many side branches');
    checkWork(header, this.network);
    if (header.bits !== requiredBits(this.network, parent, header.time, (h) => ancestor(parent, h)))
      throw broken(header, 'its difficulty is not what follows from the blocks before it');
    if (header.time <= medianTime(parent)) throw broken(header, 'its time is not after those before it');
    if (this.network.bip94 && height % PERIOD === 0 && header.time < parent.time - MAX_BACK)
      throw broken(header, 'its period begins long before the last one ended');
    if (header.time > this.now() + MAX_AHEAD) throw broken(header, 'its time is more than two hours ahead');
    if (height >= this.network.version4From && header.version < 4) throw broken(header, 'its version is too old');
    const node = nodeOf(header, parent, height);
    this.known.set(node.hash, node);
    return node;
  }

  /** Makes this the tip if more work stands behind it. */
  private follow(node: Node): void {
    if (node.work <= this.best.work) return;
    const branch: Node[] = [];
    let at: Node | null = node;
    while (at && this.at(at.height)?.hash !== at.hash) {
      branch.push(at);
      at = at.parent;
    }
    const shared = at ?? (this.anchor as Node); // every branch begins at the anchor
    this.main.length = shared.height - this.base + 1;
    this.main.push(...branch.toReversed());
  }

  /** Side branches that end too deep to come back are dropped. */
  private forget(): void {
    if (this.side === 0) return;
    const { deepest } = this;
    for (const node of this.known.values()) if (node.height < deepest && !this.has(node)) this.known.delete(node.hash);
  }
}

export interface HeaderOptions {
  anchor?: Anchor;
  now?: () => number;
}

/** Keeps headers for as long as the process lives. */
export class MemoryHeaderStore implements HeaderStore {
  readonly headers: Uint8Array[] = [];
  load(): Iterable<Uint8Array> {
    return [...this.headers];
  }
  append(headers: readonly Uint8Array[]): Promise<void> {
    for (const header of headers) if (header.length === HEADER_BYTES) this.headers.push(Uint8Array.from(header));
    return Promise.resolve();
  }
}

const broken = (header: Header, why: string): BitcoinError =>
  new BitcoinError('bad-header', `Header ${header.hash} breaks a rule: ${why}.`);

function checkWork(header: Header, network: BitcoinNetwork): void {
  const target = targetOf(header.bits);
  if (target > targetOf(network.easiest)) throw broken(header, 'its target is easier than the network’s easiest');
  if (BigInt(`0x${header.hash}`) > target) throw broken(header, 'nobody has worked for it');
}

function nodeOf({ hash, time, bits, merkleRoot }: Header, parent: Node | null, height: number): Node {
  return { height, hash, time, bits, merkleRoot, parent, work: (parent?.work ?? 0n) + workOf(bits) };
}

function ancestor(from: Node, height: number): Node {
  let node = from;
  while (node.height > height && node.parent) node = node.parent;
  return node;
}

/** Of the last eleven blocks, or as many as there are. Those before a later anchor are not known, and any time may be after their middle. */
function medianTime(from: Node): number {
  const last: Node[] = [];
  for (let node: Node | null = from; node && last.length < MEDIAN_OF; node = node.parent) last.push(node);
  if (last.length < MEDIAN_OF && last.at(-1)?.height !== 0) return Number.NEGATIVE_INFINITY;
  const times = last.map(({ time }) => time).toSorted((a, b) => a - b);
  return times[Math.floor(times.length / 2)] as number; // there is at least one
}
