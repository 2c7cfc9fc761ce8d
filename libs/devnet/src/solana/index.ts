/**
 * A local Solana: the real runtime, blocks that come by the clock or by hand, and sources that answer JSON-RPC as a validator does. It is one
 * machine that decides alone: votes, stake, epochs and other programs than those the runtime brings are not in it.
 */
import { createHash } from 'node:crypto';
import { toBase58 } from '@isthmus/bridge';
import { Keypair, PublicKey, SystemProgram, TransactionMessage, VersionedTransaction } from '@solana/web3.js';
import type { Journal } from '../journal.js';
import { serveNode, type Front } from './front.js';
import { lineOf, MARK_BLOCKS, openKept, type Found } from './kept.js';
import { Ledger, type Executed } from './ledger.js';
import type { Node } from './methods.js';
import { SYSTEM } from './runtime.js';
import { Source } from './source.js';
import { readWire } from './wire.js';

export type { Front } from './front.js';
export type { Source } from './source.js';

export interface SolanaOptions {
  /** Of the first source's RPC, with the next for its websockets; 0 or none picks free ones. */
  port?: number;
  /** Milliseconds from one slot to the next; none leaves that to `tick`. */
  slotMs?: number;
  /** Folder the chain is kept in; whatever is final is in it. */
  folder?: string;
  /** Tells chains apart: another name has another genesis hash. */
  name?: string;
  /** Blocks on top until confirmed and final. */
  confirmedAfter?: number;
  finalizedAfter?: number;
  historyLimit?: number;
}

/** As on the cluster: the vote takes about one slot, the root is 31 blocks below. */
const CONFIRMED_AFTER = 1;
const FINALIZED_AFTER = 31;
/** About 150 MB of transactions. */
const HISTORY = 50_000;
/** A slot made by hand is as long as the cluster's. */
const SLOT_MS = 400;
/** When slots are made by hand, time begins here: 2025-01-01. */
const BEGIN = 1_735_689_600;

/** What a run's faucet has, in lamports: below 2^53, for amounts are numbers in JSON. */
const FAUCET = 9n * 10n ** 15n;

export class Solana {
  private readonly fronts: Front[] = [];
  private readonly faucet = Keypair.generate();
  private timer: NodeJS.Timeout | undefined;
  private ticking: Promise<void> = Promise.resolve();
  private marked: number;
  private gifts = 0;

  private constructor(
    private readonly options: SolanaOptions,
    readonly ledger: Ledger,
    readonly genesisHash: string,
    private readonly journal: Journal | null,
  ) {
    this.marked = ledger.open.height;
    const faucet = { lamports: FAUCET, owner: SYSTEM, data: Buffer.alloc(0), executable: false };
    ledger.runtime.put(this.faucet.publicKey.toBase58(), faucet); // before the first block: no fork takes it back
  }

  /** Begins a chain, or goes on with the one in its folder. @throws Error when that is damaged, or the port is taken */
  static async start(options: SolanaOptions = {}): Promise<Solana> {
    const historyLimit = options.historyLimit ?? HISTORY;
    const kept = options.folder === undefined ? null : await openKept(options.folder, historyLimit);
    const ledger = new Ledger(
      {
        confirmedAfter: options.confirmedAfter ?? CONFIRMED_AFTER,
        finalizedAfter: options.finalizedAfter ?? FINALIZED_AFTER,
        historyLimit,
      },
      genesisOf(options, kept?.found ?? null),
    );
    for (const [address, state] of kept?.found.accounts ?? []) {
      ledger.runtime.put(address, state);
      ledger.touched.add(address);
    }
    ledger.restore(kept?.found.blocks ?? []);
    const genesisHash = toBase58(
      createHash('sha256')
        .update(`isthmus local solana ${options.name ?? ''}`)
        .digest(),
    );
    const chain = new Solana(options, ledger, genesisHash, kept?.journal ?? null);
    await chain.serve(options.port ?? 0).catch(async (error: unknown) => {
      await chain.journal?.close();
      throw error;
    });
    if (options.slotMs !== undefined) chain.schedule(options.slotMs);
    return chain;
  }

  /** The first source. */
  get front(): Front {
    return this.fronts[0] as Front; // `start` opens it
  }

  get url(): string {
    return this.front.url;
  }

  /** Opens another source of the same chain, with faults of its own. */
  async serve(port = 0): Promise<Front> {
    const node: Node = {
      ledger: this.ledger,
      genesisHash: this.genesisHash,
      source: new Source(),
      airdrop: (address, lamports) => this.airdrop(address, lamports),
    };
    const front = await serveNode(node, port);
    this.fronts.push(front);
    return front;
  }

  /** Ends as many blocks. What becomes final is on disk before anybody hears that it is. */
  async tick(blocks = 1): Promise<void> {
    for (let i = 0; i < blocks; i += 1) {
      this.ledger.advance(this.time(1));
      await this.settle();
    }
  }

  /** Ends the open block, and passes over as many slots before the next. */
  async skip(slots: number): Promise<void> {
    this.ledger.advance(this.time(slots + 1), slots + 1);
    await this.settle();
  }

  /** Ends blocks until all that has happened is final. */
  async finalize(): Promise<void> {
    const { height } = this.ledger.open;
    while (this.ledger.root < height) await this.tick();
  }

  /** Takes transactions that are not final out of the chain, as another fork would. @throws Error for others */
  fork(signatures: readonly string[]): void {
    this.ledger.fork(signatures);
  }

  /** Lamports from the faucet, by a transaction of its own. @throws Error when it has no more */
  airdrop(address: string, lamports: bigint): Executed {
    const payer = this.faucet.publicKey;
    this.gifts += 1;
    const message = new TransactionMessage({
      payerKey: payer,
      recentBlockhash: this.ledger.open.previousBlockhash,
      instructions: [
        // To itself, another number each time: two gifts alike in one block would be one transaction.
        SystemProgram.transfer({ fromPubkey: payer, toPubkey: payer, lamports: this.gifts }),
        SystemProgram.transfer({ fromPubkey: payer, toPubkey: new PublicKey(address), lamports }),
      ],
    }).compileToLegacyMessage();
    const transaction = new VersionedTransaction(message);
    transaction.sign([this.faucet]);
    const done = this.ledger.submit(readWire(Buffer.from(transaction.serialize())));
    if (typeof done === 'string' || !('wire' in done))
      throw new Error(`The faucet cannot give that: ${JSON.stringify(done)}.`);
    return done;
  }

  /** What was executed becomes final and is on disk; then all sources are closed. */
  async stop(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.ticking;
    if (this.journal !== null) await this.finalize();
    await Promise.all(this.fronts.map((front) => front.close()));
    await this.journal?.close();
  }

  private async settle(): Promise<void> {
    for (const block of this.ledger.ripe()) {
      if (this.journal !== null && (block.undo.size > 0 || block.height >= this.marked + MARK_BLOCKS)) {
        await this.journal.append(lineOf(this.ledger, block));
        this.marked = block.height;
      }
      this.ledger.finalize(block);
    }
  }

  private schedule(slotMs: number): void {
    this.timer = setTimeout(() => {
      this.ticking = this.tick()
        .catch((error: unknown) =>
          process.emitWarning(
            `The local Solana stands still: ${error instanceof Error ? error.message : String(error)}`,
          ),
        )
        .then(() => {
          if (this.timer !== undefined) this.schedule(slotMs);
        });
    }, slotMs);
  }

  /** Seconds since 1970: the clock's, or what slots by hand have come to. */
  private time(slots = 0): number {
    if (this.options.slotMs !== undefined) return Math.floor(Date.now() / 1000);
    return BEGIN + Math.floor(((this.ledger.open.slot + slots) * SLOT_MS) / 1000);
  }
}

/** Where a chain begins; after a crash, past all that may have been shown since the last line. */
function genesisOf(options: SolanaOptions, found: Found | null) {
  const time = options.slotMs === undefined ? BEGIN : Math.floor(Date.now() / 1000);
  const last = found?.last;
  if (!last) return { slot: 0, height: 0, time, hashes: 0 };
  const leap = MARK_BLOCKS * 2;
  const { slot, height, hashes } = last;
  return { slot: slot + leap, height: height + leap, time: Math.max(time, last.time), hashes: hashes + leap };
}
