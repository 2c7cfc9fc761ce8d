/**
 * Results as others' compute units give them, through AO's own client. Nobody's word is taken alone where several are asked: so many must
 * agree on what a message came to, and no other answer may have as many.
 */
import { AnswerTooLarge } from '../compute/fetch-bounded.js';
import { failed, MAX_RESULT_BYTES } from '../compute/bounds.js';
import { EngineError, type EngineRead } from '../engine.js';
import { tagOf } from '../items/tags.js';
import type { EvaluationResult, OutboundMessage, ScheduleEntry } from '../types.js';
import { ask, away, jsonOf, refusal } from './asking.js';
import { read } from './fields.js';
import { z } from 'zod';

/** A page of results is asked for one by one when it is larger. */
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
/** JSON takes more than the texts in it. */
export const MAX_ANSWER_BYTES = 4 * MAX_RESULT_BYTES;
/** Results asked for one by one, of what a page does not show, before what there is goes on. */
const MAX_SINGLE = 32;

const anything = z.unknown().optional();
const sent = z.object({
  Target: anything,
  Anchor: anything,
  Data: anything,
  Tags: z.array(z.object({ name: z.string(), value: anything })).nullish(),
});
const resultShape = z.object({
  Messages: z.array(sent).nullish(),
  Spawns: z.array(sent).nullish(),
  Assignments: z.array(anything).nullish(),
  Output: anything,
  Error: anything,
});
const pageShape = z.object({ edges: z.array(z.object({ node: anything, cursor: z.string() })) });
const cursorShape = z.object({ ordinate: z.union([z.string(), z.number()]).transform(Number), cron: anything });

/** What of AO's client is used here; it is loaded only where there is a unit to ask. */
interface AoClient {
  result(args: { process: string; message: string }): Promise<unknown>;
  results(args: { process: string; from?: string; sort: string; limit: number }): Promise<unknown>;
  dryrun(args: { process: string; owner: string; tags: readonly object[]; data: string }): Promise<unknown>;
}

/** One unit that computes. @throws EngineError of every method */
export interface ComputeClient {
  /** Results of the first of these entries. */
  results(entries: readonly ScheduleEntry[]): Promise<EvaluationResult[]>;
  dryRun(process: string, query: EngineRead): Promise<EvaluationResult>;
}

export class ComputeUnits {
  /** @param units independent of each other @param agreement how many must say the same */
  constructor(
    private readonly units: readonly ComputeClient[],
    private readonly agreement: number,
  ) {}

  /** AO's legacy units at these base URLs. */
  static async connect(urls: readonly string[], agreement: number): Promise<ComputeUnits> {
    return new ComputeUnits(await Promise.all(urls.map((url) => ComputeUnitClient.connect(url))), agreement);
  }

  /** Results of the first of these entries, at least one. @throws EngineError */
  async results(entries: readonly ScheduleEntry[]): Promise<EvaluationResult[]> {
    const answers = await this.askAll((unit) => unit.results(entries));
    const agreed: EvaluationResult[] = [];
    for (const [i, entry] of entries.entries()) {
      const said = answers.flatMap((results) => results[i] ?? []);
      if (said.length < this.agreement && i > 0) return agreed;
      agreed.push(this.agreedOf(said, `slot ${entry.nonce} of ${entry.process}`));
    }
    return agreed;
  }

  /** @throws EngineError */
  async dryRun(process: string, query: EngineRead): Promise<EvaluationResult> {
    const said = await this.askAll((unit) => unit.dryRun(process, query));
    return this.agreedOf(said, `a read of ${process}`);
  }

  /** Answers of as many units as must agree, or more. @throws EngineError of those that gave none */
  private async askAll<T>(question: (unit: ComputeClient) => Promise<T>): Promise<T[]> {
    const settled = await Promise.allSettled(this.units.map(question));
    const given = settled.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
    if (given.length >= this.agreement) return given;
    const failures = settled.flatMap((s) => (s.status === 'rejected' ? [s.reason as unknown] : []));
    throw failures.find((f) => f instanceof EngineError) ?? failures[0];
  }

  private agreedOf(said: readonly EvaluationResult[], what: string): EvaluationResult {
    const groups = new Map<string, EvaluationResult[]>();
    for (const result of said) {
      const key = JSON.stringify(effectOf(result));
      groups.set(key, [...(groups.get(key) ?? []), result]);
    }
    const [first, second] = [...groups.values()].sort((a, b) => b.length - a.length);
    const most = first?.length ?? 0;
    if (first?.[0] && most >= this.agreement && most > (second?.length ?? 0)) return first[0];
    throw new EngineError(
      'disagreement',
      `Of ${this.units.length} compute units ${most} say the same of ${what}, and ${groups.size} different things are said; ${this.agreement} must agree.`,
    );
  }
}

/** One legacy unit. */
class ComputeUnitClient implements ComputeClient {
  private constructor(
    private readonly url: string,
    private readonly client: AoClient,
  ) {}

  static async connect(url: string): Promise<ComputeUnitClient> {
    const { connect } = await import('@permaweb/aoconnect');
    const settings = { MODE: 'legacy' as const, CU_URL: url, noLog: true, fetch: boundedFetch };
    return new ComputeUnitClient(url, connect(settings) as unknown as AoClient);
  }

  /** Results of the first of these entries: from a page, and one by one where the unit has not evaluated yet. */
  async results(entries: readonly ScheduleEntry[]): Promise<EvaluationResult[]> {
    const page = await this.page(entries);
    const results: EvaluationResult[] = [];
    let single = 0;
    for (const { process, nonce, message } of entries) {
      let found = page.get(nonce);
      if (found === undefined) {
        if (single === MAX_SINGLE) break;
        single += 1;
        found = await this.client.result({ process, message: message.id });
      }
      results.push(resultOf(this.url, found));
    }
    return results;
  }

  async dryRun(process: string, { owner, tags, data = '' }: EngineRead): Promise<EvaluationResult> {
    return resultOf(this.url, await this.client.dryrun({ process, owner, tags, data }));
  }

  /** What the unit shows of these slots, by slot; nothing when it is too much for one answer. */
  private async page(entries: readonly ScheduleEntry[]): Promise<Map<number, unknown>> {
    const [first] = entries;
    if (!first || entries.length === 1) return new Map();
    const { process, nonce } = first;
    const from = nonce > 0 ? { from: cursorBefore(first) } : {};
    try {
      const answer = await this.client.results({ process, ...from, sort: 'ASC', limit: entries.length });
      return new Map(read(this.url, pageShape, answer).edges.flatMap(({ node, cursor }) => slotOf(cursor, node)));
    } catch (error) {
      if (error instanceof AnswerTooLarge) return new Map();
      throw error;
    }
  }
}

/** The client reads whatever comes, from wherever: here it gets an answer of the unit itself, of bounded length, or a typed error. */
async function boundedFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const url = input instanceof Request ? input.url : String(input);
  const { method = 'GET', body } = init ?? {};
  const headers = Object.fromEntries(new Headers(init?.headers));
  const page = new URL(url).pathname.includes('/results/');
  const maxBytes = page ? MAX_PAGE_BYTES : MAX_ANSWER_BYTES;
  const question = { method, headers, maxBytes, ...(typeof body === 'string' ? { body } : {}) };
  const answer = await ask(url, question).catch((error: unknown) => {
    throw error instanceof AnswerTooLarge && !page ? away(url, error) : error;
  });
  if (answer.status === 202) throw away(url, 'it is still evaluating');
  if (answer.status !== 200) throw refusal(url, answer);
  jsonOf(url, answer.body);
  return new Response(new Uint8Array(answer.body), { headers: { 'content-type': 'application/json' } });
}

/** Cursors of compute units are exclusive, and name a slot by its time and number. */
function cursorBefore({ assignment, nonce }: ScheduleEntry): string {
  const timestamp = Number(tagOf(assignment, 'Timestamp'));
  return Buffer.from(JSON.stringify({ timestamp, ordinate: String(nonce - 1), cron: null, sort: 'ASC' })).toString(
    'base64',
  );
}

/** A result by its slot; what a clock caused in between, or a cursor says in another way, has none. */
function slotOf(cursor: string, node: unknown): [number, unknown][] {
  try {
    const { ordinate, cron } = cursorShape.parse(JSON.parse(Buffer.from(cursor, 'base64').toString('utf8')));
    return cron === null || cron === undefined ? [[ordinate, node]] : [];
  } catch {
    return [];
  }
}

/** @throws EngineError `malformed` */
export function resultOf(url: string, answer: unknown): EvaluationResult {
  const { Messages, Spawns, Assignments, Output, Error: reason } = read(url, resultShape, answer);
  if (reason !== undefined && reason !== null && reason !== '' && reason !== false) return failed(textOf(reason));
  return {
    Messages: (Messages ?? []).map(messageOf),
    Spawns: (Spawns ?? []).map(messageOf),
    Assignments: Assignments ?? [],
    Output: Output ?? '',
  };
}

function messageOf({ Target, Anchor, Data, Tags }: z.output<typeof sent>): OutboundMessage {
  const target = textOf(Target);
  return {
    ...(target === '' ? {} : { Target: target }),
    Anchor: textOf(Anchor),
    Data: textOf(Data),
    Tags: (Tags ?? []).map(({ name, value }) => ({ name, value: textOf(value) })),
  };
}

/** Processes put numbers and tables where texts belong. */
function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What two units must say the same of: what a message sent, and whether it failed; why, and what it printed, is their own. */
function effectOf({ Messages, Spawns, Assignments, Error: reason }: EvaluationResult): unknown {
  return reason === undefined ? [Messages, Spawns, Assignments] : 'failed';
}
