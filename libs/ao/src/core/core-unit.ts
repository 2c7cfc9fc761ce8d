/**
 * What is answered on AO-Core's paths: places for signed items, results, dry-runs and public state, of the same scheduler and compute as
 * the legacy units'. docs/ao-http.md says which paths, and what the rest is answered.
 */
import { ComputeError } from '../compute/error.js';
import { ItemError, parseItem, verifyItem } from '../items/index.js';
import type { AoPipeline } from '../pipeline.js';
import { tagOf } from '../items/tags.js';
import type { StateAnswer } from '../state/public-state.js';
import { MAX_PAGE_LEAVES } from '../state/public-state.js';
import type { EvaluationResult, Item } from '../types.js';
import { UnitError } from '../units/errors.js';
import { entryView } from '../units/views.js';
import { within } from '../units/within.js';
import { checkDigest, verifyRequest, type Signature, type SignedRequest } from './http-signature.js';
import { readCorePath, type CoreCall } from './paths.js';

/** Longest a push waits for the message's own result; the answer comes without it after that. */
const PUSH_WAIT_MS = 10_000;
/** Most entries of one page of a schedule. */
const MAX_SCHEDULE_PAGE = 1000;

export interface CoreRequest extends SignedRequest {
  body: Buffer;
}

export interface CoreAnswer {
  status: number;
  /** Names in lower case. */
  fields: Record<string, string>;
  body: Buffer;
}

/** Who asks, as far as that is proven. */
interface Asker {
  /** A signed item that is the body. */
  item: Item | null;
  /** Signatures of the request itself. */
  signatures: readonly Signature[];
}

export class CoreUnit {
  constructor(private readonly pipeline: AoPipeline) {}

  /** What a request asks for; null when its path is not AO-Core's. */
  static read({ target, method }: Pick<SignedRequest, 'target' | 'method'>): CoreCall | null {
    const [path = '', query] = target.split('?', 2);
    return readCorePath(path, new URLSearchParams(query), method);
  }

  /**
   * The signatures of a request. Whatever is signed about it is checked here, its digest too.
   * @throws HttpSignatureError
   */
  check(request: CoreRequest): readonly Signature[] {
    const digest = request.fields['content-digest'];
    if (digest !== undefined) checkDigest(digest, request.body);
    return verifyRequest(request);
  }

  /** Answers a call. @throws UnitError, ItemError, ScheduleError, ComputeError */
  async answer(call: CoreCall, request: CoreRequest, signatures: readonly Signature[]): Promise<CoreAnswer> {
    switch (call.kind) {
      case 'meta':
        return this.meta(call.key);
      case 'place':
        return this.place(call.process, call.push, request, signatures);
      case 'wrong-method':
        return notAllowed(call.allow, request.method);
      case 'unanswered':
        throw new UnitError(501, `${call.reason} docs/ao-http.md lists the paths of AO-Core that are answered here.`);
      case 'malformed':
        throw new UnitError(400, call.reason);
      default:
        return this.readProcess(call, request, { item: await itemIn(request.body), signatures });
    }
  }

  private readProcess(
    call: Exclude<CoreCall, { kind: 'meta' | 'place' | 'wrong-method' | 'unanswered' | 'malformed' }>,
    request: CoreRequest,
    asker: Asker,
  ): Promise<CoreAnswer> {
    switch (call.kind) {
      case 'slot':
        return this.slot(call.process);
      case 'at-slot':
        return this.atSlot(call.process, call.now);
      case 'schedule':
        return this.schedule(call.process, queryOf(request));
      case 'result':
        return this.result(call.process, call.of, call.now);
      case 'dry-run':
        return this.dryRun(call.process, call.tags, asker);
      case 'state':
        return this.state(call, request, asker);
    }
  }

  private meta(key: string): CoreAnswer {
    const { scheduler, messenger, answers } = this.pipeline;
    if (key === 'address') return text(scheduler.address);
    const keys = answers
      ? [{ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig', kid: answers.keyId, x: answers.keyId }]
      : [];
    if (key === 'keys') return { ...json({ keys }), fields: { 'content-type': 'application/jwk-set+json' } };
    return json({ address: scheduler.address, messenger: messenger.address, keys });
  }

  /** A process, a module or a message, signed as a data item: only those can be shown to anyone from the schedule alone. */
  private async place(
    process: string | null,
    push: boolean,
    { body }: CoreRequest,
    signatures: readonly Signature[],
  ): Promise<CoreAnswer> {
    const item = readItem(body);
    if (!item && signatures.length > 0) throw new UnitError(501, NO_HTTPSIG_MESSAGES);
    if (!item) throw new UnitError(400, 'Send a signed data item (ANS-104) as the body: signing-format ans104.');
    if (process !== null && item.target !== process && item.id !== process)
      throw new UnitError(400, `The item is for ${item.target || 'no process'}, not for ${process}.`);
    const placed = await this.pipeline.scheduler.schedule(item.raw);
    const fields = { id: placed.id, process: placed.process, slot: String(placed.nonce) };
    const shown = { id: placed.id, process: placed.process, slot: placed.nonce, timestamp: placed.timestamp };
    const result = push && tagOf(item, 'Type') === 'Message' ? await this.soonResult(placed.process, placed.id) : null;
    const answer = json(result ? { ...shown, raw: result } : shown);
    return { ...answer, fields: { ...answer.fields, ...fields } };
  }

  private async soonResult(process: string, id: string): Promise<EvaluationResult | null> {
    try {
      return (await within(this.pipeline.compute.result(process, id), PUSH_WAIT_MS)).result;
    } catch (error) {
      if (error instanceof ComputeError) return null; // it has its place; the result is there later
      throw error;
    }
  }

  private async slot(process: string): Promise<CoreAnswer> {
    const { placed } = await this.progress(process);
    return text(String(placed), { slot: String(placed) });
  }

  private async atSlot(process: string, now: boolean): Promise<CoreAnswer> {
    const evaluated = await this.evaluated(process, now);
    return text(String(evaluated), { 'at-slot': String(evaluated) });
  }

  /** Last evaluated slot; with `now` not before everything placed so far is. */
  private async evaluated(process: string, now: boolean): Promise<number> {
    const { placed, evaluated } = await this.progress(process);
    if (!now || evaluated >= placed) return evaluated;
    await within(this.pipeline.compute.advance(process));
    const after = await this.progress(process);
    if (after.evaluated < placed)
      throw new ComputeError('not-ready', `Slot ${placed} could not be evaluated now: ask again.`);
    return after.evaluated;
  }

  private async progress(process: string): Promise<{ placed: number; evaluated: number }> {
    const progress = await this.pipeline.state.progress(process);
    if (!progress) throw unknownProcess(process);
    return progress;
  }

  private async schedule(process: string, query: URLSearchParams): Promise<CoreAnswer> {
    await this.progress(process);
    const [from, to] = [whole(query, 'from') ?? 0, whole(query, 'to')];
    const limit = Math.min(whole(query, 'limit') ?? 100, MAX_SCHEDULE_PAGE);
    if (limit < 1) throw new UnitError(400, 'limit is at least 1.');
    const page = await this.pipeline.scheduler.page(process, { fromNonce: from, toNonce: to, limit });
    const edges = page.entries.map((entry) => ({ cursor: String(entry.nonce), node: entryView(entry) }));
    return json({ page_info: { process, has_next_page: page.more }, edges });
  }

  private async result(process: string, of: string | null, now: boolean): Promise<CoreAnswer> {
    if (of !== null && of.length === 43) {
      const { nonce, result } = await within(this.pipeline.compute.result(process, of));
      return json({ slot: nonce, raw: result }, { slot: String(nonce) });
    }
    const { placed } = await this.progress(process);
    if (of !== null && Number(of) > placed)
      throw new UnitError(404, `Process ${process} has no slot ${of} yet; its newest is ${placed}.`);
    // A slot that is named is evaluated first; the newest result is the newest there is, unless it is asked for as of now.
    const last = await this.evaluated(process, now || of !== null);
    const slot = of === null ? last : Number(of);
    const [found] = slot < 0 ? [] : await this.pipeline.compute.results(process, slot, 1);
    if (found?.nonce !== slot) throw new ComputeError('not-ready', `Slot ${slot} is not evaluated yet: ask again.`);
    return json({ slot, raw: found.result }, { slot: String(slot) });
  }

  private async dryRun(
    process: string,
    tags: { name: string; value: string }[],
    { item, signatures }: Asker,
  ): Promise<CoreAnswer> {
    const owner = item?.ownerAddress ?? signatures[0]?.address ?? '0';
    const result = await within(
      this.pipeline.compute.dryRun(process, {
        Id: item?.id ?? '0',
        Owner: owner,
        From: owner,
        Target: process,
        Anchor: item?.anchor ?? '0',
        Data: item?.data.toString('utf8') ?? '',
        Tags: tags.filter(({ name }) => name !== 'From' && name !== 'Owner'),
        Timestamp: Date.now(),
        'Block-Height': String(this.pipeline.scheduler.blockHeight),
      }),
    );
    return json({ raw: result });
  }

  private async state(
    call: Extract<CoreCall, { kind: 'state' }>,
    request: CoreRequest,
    asker: Asker,
  ): Promise<CoreAnswer> {
    const { process, now, path } = call;
    if (now) await this.evaluated(process, true);
    const query = queryOf(request);
    const [limit, after] = [whole(query, 'limit'), query.get('after') ?? undefined];
    if (limit !== undefined && (limit < 1 || limit > MAX_PAGE_LEAVES))
      throw new UnitError(400, `limit is 1 to ${MAX_PAGE_LEAVES}.`);
    // `after` alone goes on as far as one answer reaches.
    const answer = await this.pipeline.state.read(process, path, {
      limit: limit ?? (after === undefined ? undefined : MAX_PAGE_LEAVES),
      after,
    });
    if (!answer) throw unknownProcess(process);
    return stateAnswer(answer, call, request, query, wantsJson(call, request, query, asker));
  }
}

function stateAnswer(
  answer: StateAnswer,
  { path }: { path: string[] },
  { target }: CoreRequest,
  query: URLSearchParams,
  asJson: boolean,
): CoreAnswer {
  const fields = { 'at-slot': String(answer.slot) };
  const where = `/${path.join('/')}`;
  switch (answer.kind) {
    case 'value':
      return asJson || /^[[{]/.test(answer.json) ? jsonText(answer.json, fields) : text(plain(answer.json), fields);
    case 'table': {
      if (answer.next === null) return jsonText(answer.json, fields);
      const next = new URLSearchParams(query);
      next.set('after', answer.next);
      return jsonText(answer.json, { ...fields, link: `<${target.split('?', 1)[0]}?${next.toString()}>; rel="next"` });
    }
    case 'too-large':
      throw new UnitError(
        413,
        `${where} holds more than one answer does. Ask for what you need below it, or in pages: ?limit=1000, then where Link: rel="next" says.`,
      );
    case 'nothing':
      if (answer.incomplete) {
        const { nonce, reason } = answer.incomplete;
        throw new UnitError(
          507,
          `Nothing is kept at ${where}, but not all is kept: slot ${nonce} was refused in part. ${reason}`,
        );
      }
      throw new UnitError(
        404,
        `The process shows nothing at ${where} as of slot ${answer.slot}.${path.some((key) => ETHEREUM.test(key)) ? SPELLED : ''}`,
      );
  }
}

const NO_HTTPSIG_MESSAGES =
  'A message signed by RFC 9421 cannot go on a schedule: such a signature covers fields of one HTTP request, which a schedule of data items does not hold, so nobody could check it there. Send it with signing-format ans104.';

/** An Ethereum address in whatever letters. */
const ETHEREUM = /^0x[0-9a-f]{40}$/i;
const SPELLED =
  ' Keys are as the process wrote them: an Ethereum account goes by its checksummed address (EIP-55), upper and lower case apart.';

const unknownProcess = (process: string): UnitError => new UnitError(404, `There is no process ${process} here.`);

function queryOf({ target }: SignedRequest): URLSearchParams {
  return new URLSearchParams(target.split('?', 2)[1]);
}

/** Asked for in the path, the query, a field, or a tag of the signed item, as AO's clients do. */
function wantsJson(call: { json: boolean }, { fields }: CoreRequest, query: URLSearchParams, { item }: Asker): boolean {
  const said = [
    ...['accept', 'require-codec'].flatMap((name) => [query.get(name), fields[name]]),
    item ? tagOf(item, 'require-codec') : '',
  ];
  return call.json || said.some((value) => value?.includes('application/json') || value?.includes('json@1.0'));
}

/** Text as it is, anything else as JSON writes it. */
function plain(value: string): string {
  const read = JSON.parse(value) as unknown;
  return typeof read === 'string' ? read : value;
}

function whole(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  if (!/^[0-9]{1,15}$/.test(value)) throw new UnitError(400, `${name} is a whole number.`);
  return Number(value);
}

/** An item, if the body is one at all: clients without a key send what is none. */
function readItem(body: Buffer): Item | null {
  if (body.length === 0) return null;
  try {
    return parseItem(body);
  } catch (error) {
    if (error instanceof ItemError) return null;
    throw error;
  }
}

/** The signed item a read is made with. @throws UnitError when it is not as its author signed it */
async function itemIn(body: Buffer): Promise<Item | null> {
  const item = readItem(body);
  if (item && !(await verifyItem(item)))
    throw new UnitError(400, 'The item is not signed by its owner over these contents.');
  return item;
}

function notAllowed(allow: string, method: string): CoreAnswer {
  return { ...json({ error: `${method} is not for this path: ${allow} are.` }, { allow }), status: 405 };
}

const text = (body: string, fields: Record<string, string> = {}): CoreAnswer => ({
  status: 200,
  fields: { 'content-type': 'text/plain; charset=utf-8', ...fields },
  body: Buffer.from(body),
});

const jsonText = (body: string, fields: Record<string, string> = {}): CoreAnswer => ({
  status: 200,
  fields: { 'content-type': 'application/json; charset=utf-8', ...fields },
  body: Buffer.from(body),
});

/** An answer as JSON. */
export function json(value: unknown, fields: Record<string, string> = {}): CoreAnswer {
  return jsonText(JSON.stringify(value), fields);
}
