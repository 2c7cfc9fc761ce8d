/**
 * A node of AO-Core: schedules, messages, results and reads under the paths of its processes. As far as Isthmus' own nodes answer them
 * (docs/ao-http.md): what of it is not shown to work with HyperBEAM's is in docs/architecture.md.
 */
import { z } from 'zod';
import { AnswerTooLarge } from '../compute/fetch-bounded.js';
import { EngineError, type EngineRead } from '../engine.js';
import { parseItem } from '../items/index.js';
import type { EvaluationResult, Item, ScheduleEntry } from '../types.js';
import { askJson, away } from './asking.js';
import { MAX_ANSWER_BYTES, resultOf, type ComputeClient } from './compute-units.js';
import type { CoreConfig } from './config.js';
import { read } from './fields.js';
import { ShownNetwork } from './shown-network.js';

/** Results asked for at once: a node shows them one by one. */
const AT_ONCE = 8;
const MOST = 64;

const atProcess = (nodeUrl: string, process: string): string => `${nodeUrl}/${process}~process@1.0`;

export class CoreNetwork extends ShownNetwork {
  /** @param maxPageBytes largest page that is read */
  constructor({ nodeUrl, gatewayUrl }: CoreConfig, maxPageBytes?: number) {
    const places = {
      schedule: (process: string, head: { nonce: number } | null) =>
        `${atProcess(nodeUrl, process)}/schedule?accept=application/aos-2&from=${head?.nonce ?? 0}`,
      send: ({ raw }: Pick<Item, 'raw'>) => {
        const { target } = parseItem(raw);
        return target === '' ? `${nodeUrl}/push` : `${atProcess(nodeUrl, target)}/push`;
      },
      gateway: gatewayUrl,
    };
    super(places, maxPageBytes);
  }
}

const answerShape = z.object({ raw: z.unknown() });

/** Results and reads of one node. */
export class CoreCompute implements ComputeClient {
  /** @param nodeUrl without a slash at its end */
  constructor(private readonly nodeUrl: string) {}

  async results(entries: readonly ScheduleEntry[]): Promise<EvaluationResult[]> {
    const results: EvaluationResult[] = [];
    for (let at = 0; at < Math.min(entries.length, MOST); at += AT_ONCE) {
      const asked = entries.slice(at, Math.min(at + AT_ONCE, MOST));
      results.push(
        ...(await Promise.all(
          asked.map(({ process, nonce }) =>
            this.ask(process, `compute&slot=${nonce}/results?require-codec=application/json`),
          ),
        )),
      );
    }
    return results;
  }

  /** Only by tags: a path has no place for data, nor for who asks. */
  async dryRun(process: string, { tags, data = '' }: EngineRead): Promise<EvaluationResult> {
    if (data !== '') throw new EngineError('refused', 'A read of a node of AO-Core has tags, and no data.');
    const parameters = tags.map(({ name, value }) => `&${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
    return this.ask(process, `as=execution/compute${parameters.join('')}?require-codec=application/json`);
  }

  private async ask(process: string, path: string): Promise<EvaluationResult> {
    const url = `${atProcess(this.nodeUrl, process)}/${path}`;
    const answer = await askJson(url, { maxBytes: MAX_ANSWER_BYTES }).catch((error: unknown) => {
      throw error instanceof AnswerTooLarge ? away(url, error) : error;
    });
    return resultOf(url, read(url, answerShape, answer).raw);
  }
}
