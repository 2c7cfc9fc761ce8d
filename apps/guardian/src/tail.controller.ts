/**
 * What this guardian has accepted of its processes' schedules, for whoever must rebuild a gateway whose last slots were not settled yet.
 * Read only, all of it public and signed by others; a page at a time, and one page for everybody together: a guardian has better things to do.
 */
import { moduleLine, slotLine, TAIL_PAGE, tagOf, type TailHead } from '@isthmus/ao';
import {
  BadRequestException,
  Controller,
  Get,
  Header,
  Inject,
  NotFoundException,
  Param,
  Query,
  ServiceUnavailableException,
} from '@nestjs/common';
import { Ledger } from './ledger.js';

/** Requests that wait for their turn at most; 503 for those beyond. */
const MOST_WAITING = 8;
/** The processes this guardian is configured for. */
export const FOLLOWED: unique symbol = Symbol('followed');

@Controller('tail')
export class TailController {
  private waiting = 0;
  private before: Promise<unknown> = Promise.resolve();

  constructor(
    @Inject(Ledger) private readonly ledger: Pick<Ledger, 'head' | 'entries' | 'module'>,
    @Inject(FOLLOWED) private readonly followed: readonly string[],
  ) {}

  /** Each process, and the last slot accepted of it; -1 for none. */
  @Get()
  heads(): Promise<TailHead[]> {
    return this.inTurn(() =>
      Promise.all(
        this.followed.map(async (process) => ({ process, slot: (await this.ledger.head(process))?.nonce ?? -1 })),
      ),
    );
  }

  /** Slots from one on as lines, those of a page; none behind the end. Before slot 0 its module. */
  @Get(':process')
  @Header('content-type', 'application/jsonl')
  page(@Param('process') process: string, @Query('from') from: string | undefined): Promise<string> {
    if (!this.followed.includes(process)) throw new NotFoundException(`This guardian does not follow ${process}.`);
    if (from === undefined || !/^(0|[1-9][0-9]{0,14})$/.test(from))
      throw new BadRequestException('from is the number of a slot.');
    return this.inTurn(() => this.linesOf(process, Number(from)));
  }

  private async linesOf(process: string, from: number): Promise<string> {
    const entries = await this.ledger.entries(process, from, TAIL_PAGE);
    const [first] = entries;
    const module = first?.nonce === 0 ? await this.ledger.module(tagOf(first.message, 'Module')) : null;
    const lines = [...(module ? [moduleLine(module)] : []), ...entries.map(slotLine)];
    return lines.map((line) => `${line}\n`).join('');
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.waiting >= MOST_WAITING) throw new ServiceUnavailableException('Too many ask for tails: try again later.');
    this.waiting += 1;
    const turn = this.before.then(work);
    this.before = turn.catch(() => undefined);
    return turn.finally(() => (this.waiting -= 1));
  }
}
