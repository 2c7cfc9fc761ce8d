/**
 * `isthmus ao verify`: a process computed again from slot 0, on this machine, believing nobody: each signature, each link of the hash chain,
 * and each result the gateway shows against one's own.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  EngineError,
  IsthmusNetwork,
  PassingStore,
  Replica,
  ReplicaError,
  WorkerLost,
  WorkerPool,
  type EvaluationResult,
} from '@isthmus/ao';
import { CommandError } from '../said.js';
import type { AoClient } from './client.js';
import { clientOf, print } from './context.js';
import type { Common } from './options.js';
import { plural } from './text.js';

const PAGE = 200;

/** @throws CommandError naming the first slot that does not check out */
export async function verify(process: string, options: Common & { scheduler?: string }): Promise<void> {
  const client = clientOf(options);
  const scheduler = options.scheduler ?? (await client.units()).scheduler;
  const shown = new ShownResults(client, process);
  const workers = new WorkerPool(1);
  const replica = new Replica({
    process,
    scheduler,
    store: new PassingStore(),
    workers,
    network: new IsthmusNetwork(client.url),
    onResult: (entry, result) => shown.compare(entry.nonce, result),
  });
  try {
    const slots = await replica.sync();
    const answer = { process, scheduler, slots, verified: true };
    const pinned =
      options.scheduler === undefined ? ', which is the gateway’s own word: pin another with --scheduler' : '';
    print(options.json, answer, () =>
      [
        `verified: ${plural(slots, 'slot')} of ${process}, computed again from its first`,
        `  signatures, hash chain and results check out; scheduler ${scheduler}${pinned}`,
      ].join('\n'),
    );
  } catch (error) {
    throw inWords(error, replica.nonce + 1);
  } finally {
    await workers.stop();
  }
}

function inWords(error: unknown, slot: number): unknown {
  if (error instanceof EngineError) return new CommandError(error.message);
  if (error instanceof ReplicaError) return new CommandError(`NOT verified (${error.code}): ${error.message}`);
  if (error instanceof WorkerLost)
    return new CommandError(`NOT verified: slot ${slot} cannot be computed here: ${error.message}`);
  return error;
}

/** The gateway's results in order, a page at a time. */
class ShownResults {
  private page: EvaluationResult[] = [];
  private first = 0;

  constructor(
    private readonly client: AoClient,
    private readonly process: string,
  ) {}

  /** @throws CommandError when the gateway shows another result for this slot, or none */
  async compare(slot: number, own: EvaluationResult): Promise<void> {
    if (slot >= this.first + this.page.length) await this.read(slot);
    const theirs = this.page[slot - this.first];
    if (theirs === undefined) throw new CommandError(`NOT verified: the gateway shows no result for slot ${slot}.`);
    // As JSON, in which results travel.
    const mine = JSON.parse(JSON.stringify(own)) as EvaluationResult;
    for (const field of new Set([...Object.keys(mine), ...Object.keys(theirs)]) as Set<keyof EvaluationResult>)
      if (!isDeepStrictEqual(mine[field], theirs[field]))
        throw new CommandError(`NOT verified: slot ${slot} gives another ${field} here than the gateway shows.`);
  }

  private async read(slot: number): Promise<void> {
    const after = slot === 0 ? '' : `&from=${slot - 1}`;
    const { edges } = await this.client.get<{ edges: { node: EvaluationResult }[] }>(
      `/cu/results/${this.process}?sort=ASC&limit=${PAGE}${after}`,
    );
    this.page = edges.map((edge) => edge.node);
    this.first = slot;
  }
}
