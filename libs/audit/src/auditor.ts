/** An auditor: reads chain and schedules, each by itself, and makes reports. Going on reads and evaluates only what is new. */
import { WorkerPool } from '@isthmus/ao';
import { openChain, type ChainOptions } from './chain/open.js';
import { Books } from './domain/books.js';
import type { HomeChain, Position } from './domain/chain.js';
import { AuditError } from './domain/error.js';
import { reportOf, type AuditReport } from './domain/report.js';
import type { Standing } from './domain/standing.js';
import { ProcessReader, type ProcessSink, type ShownSchedules } from './process/process-reader.js';

/** Blocks whose time is looked up for what waits; the oldest come first, so that what is late is among them. */
const TIMES = 1000;
/** How often chain and schedules are read again when one shows what the other has not shown yet: one went on while the other was read. */
const LOOKS = 3;

export interface AuditorOptions {
  chain: ChainOptions;
  /** Token processes of one home chain. */
  processes: readonly string[];
  network: ShownSchedules;
  scheduler?: string | undefined;
  /** How long a deposit, a withdrawal or an attestation may take, milliseconds. */
  patienceMs: number;
  /** SHA-256 of the sources a token may run, hexadecimal; none: any. */
  knownCode?: readonly string[];
  onSlot?: ((process: string, slot: number) => void) | undefined;
  /** Where the processes are evaluated, for whoever gives it to close them there; the auditor's own, which ends with it, unless told. */
  workers?: WorkerPool | undefined;
}

/** What to look at: absent, all that is final. */
export interface AuditAt {
  height?: bigint | undefined;
  /** Only with one process. */
  slot?: number | undefined;
}

export class Auditor {
  private constructor(
    private readonly options: AuditorOptions,
    /** Its own. */
    private readonly workers: WorkerPool | null,
    private readonly readers: readonly ProcessReader[],
    private readonly chain: HomeChain,
    private readonly books: Books,
  ) {}

  /** @throws AuditError when the processes are none of a bridge, or not of one home */
  static async open(options: AuditorOptions): Promise<Auditor> {
    const workers = options.workers ?? new WorkerPool(1);
    const own = options.workers ? null : workers;
    try {
      const { network, scheduler, onSlot } = options;
      const readers: ProcessReader[] = [];
      for (const process of options.processes)
        readers.push(
          await ProcessReader.open({ process, network, workers, scheduler, onSlot: (slot) => onSlot?.(process, slot) }),
        );
      const places = readers.map((r) => r.place);
      const [first] = places;
      if (!first) throw new AuditError('bad-request', 'Name the token processes to audit.');
      if (new Set(places.map((p) => p.asset)).size !== places.length)
        throw new AuditError(
          'bad-request',
          'Two of the processes are of one asset: only one of them can be its token.',
        );
      return new Auditor(options, own, readers, openChain(options.chain, places), new Books(places));
    } catch (error) {
      await own?.stop();
      throw error;
    }
  }

  /** @throws AuditError; the auditor is of no use after that */
  async audit(at: AuditAt = {}): Promise<AuditReport> {
    const isNow = at.height === undefined && at.slot === undefined;
    if (at.slot !== undefined && this.readers.length !== 1)
      throw new AuditError('bad-request', 'A slot is of one process: name that one.');
    let position = await this.look(at);
    if (isNow)
      for (let looks = 1; this.books.hasUnexplained && looks < LOOKS; looks += 1) position = await this.look({});
    const report = await this.report(position);
    if (!isNow && this.books.hasUnexplained) await this.assertOneTime(position);
    return report;
  }

  async close(): Promise<void> {
    await this.workers?.stop();
  }

  /** Schedules first, chain second: what was minted by then was final before. */
  private async look({ height, slot }: AuditAt): Promise<Position> {
    await this.readSchedules(slot);
    const final = await this.chain.final();
    if (height !== undefined && height > final)
      throw new AuditError('bad-request', `Block ${height} is not final; ${final} is.`);
    return this.chain.read(height ?? final, this.books);
  }

  private get sink(): ProcessSink {
    const { books, chain } = this;
    return {
      mint: (process, mint) => books.mint(process, mint),
      burn: (process, burn) => books.burn(process, burn),
      attested: (process, attested) => books.attested(process, attested),
      said: (process, at, said) => chain.learn(process, at, said, books),
    };
  }

  /** Slot by slot as a network shows them; one that reads in pieces is read to its end. */
  private async readSchedules(slot?: number): Promise<void> {
    const { network } = this.options;
    do for (const reader of this.readers) await reader.read(this.sink, slot);
    while (await network.advance?.());
    if (slot !== undefined) for (const reader of this.readers) reader.assertReached(slot);
  }

  private async report(position: Position): Promise<AuditReport> {
    const { network, patienceMs, knownCode = [] } = this.options;
    const places = this.readers.map((r) => r.place);
    const chain = await this.chain.state();
    const states = [];
    for (const reader of this.readers) states.push({ process: reader.place.process, state: await reader.state() });
    const standing: Standing = {
      now: position.at,
      patienceMs,
      times: await this.chain.times(this.books.waitingBlocks(TIMES)),
      vaultPaused: chain.paused,
      vault: chain.assets,
      hopeless: chain.hopeless,
      processes: new Map(states.map(({ process, state }) => [process, state])),
      // What comes in pieces may be behind; what is asked for as it is now is not.
      shownUntil: new Map(network.advance ? states.map(({ process, state }) => [process, state.at]) : []),
      knownCode: new Set(knownCode),
    };
    const inputs = {
      chain: places[0]?.chain ?? '',
      vault: [...new Set(places.map((p) => p.vault))].join(','),
      height: String(position.height),
      blockHash: position.hash,
      blockTime: position.at,
      patienceMs,
      processes: states.map(({ process, state: { slot, assignment, hashChain, code } }) => {
        return { process, slot, assignment, hashChain, code };
      }),
    };
    return reportOf(inputs, this.books.drawUp(standing));
  }

  /** A slot and a height that were named may be of different times; what the other side shows later is no finding. @throws AuditError */
  private async assertOneTime({ height }: Position): Promise<void> {
    const slots = this.readers.map((r) => r.slot);
    const before = this.books.unexplained;
    await this.readSchedules();
    await this.chain.read(await this.chain.final(), this.books);
    const after = new Set(this.books.unexplained);
    const explained = before.filter((subject) => !after.has(subject));
    if (explained.length > 0)
      throw new AuditError(
        'not-of-one-time',
        `Slot ${slots.join(', ')} and block ${height} are not of one time: ${explained[0]} is in one and comes later in the other. Name a later block, or a later slot.`,
      );
  }
}
