/** The pipeline’s routes over real HTTP: what is listed, followed and told is what happened, and strangers can neither slow it nor change it. */
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import {
  type AoPipeline,
  createItem,
  ethereumSigner,
  type EvaluationResult,
  type Item,
  type ScheduleEntry,
  type Tag,
} from '@isthmus/ao';
import { jest } from '@jest/globals';
import { devKey } from '@isthmus/devnet';
import { writeKeyFile } from '@isthmus/store';
import { GatewayStage, until } from '../../harness.js';
import type { z } from 'zod';
import { Operator } from './operator.js';
import { aoSchemas, type AoProcess, type AoSlotEvent } from './schemas.js';

const ALICE = ethereumSigner(devKey(5));
const NOBODY = 'A'.repeat(43);
const RELAY = `
function handle(msg)
  local a = msg.Tags.Action
  if a == "Fail" then error("on purpose") end
  if a == "Relay" then
    ao.send({ Target = msg.Tags.To, Action = "Hello", Data = "from a relay" })
    ao.send({ Target = "${'B'.repeat(43)}", Action = "Away" })
    ao.send({ Action = "Report" })
    return "relayed"
  end
  if a == "Loop" then ao.send({ Target = ao.id, Action = "Loop" }) end
  if a == "Too-Much" then
    local tags = {} for i = 1, 8 do tags[i] = { name = "X-" .. i, value = string.rep("x", 3000) } end
    ao.send({ Target = msg.Tags.To, Tags = tags })
  end
end`;

let world: GatewayStage;
let module: Item;
let sent = 0;
let folder: string;

const tags = (pairs: Record<string, string>): Tag[] => Object.entries(pairs).map(([name, value]) => ({ name, value }));
const item = (content: Partial<Item>, more: Record<string, string>) => {
  sent += 1;
  const all = tags({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', ...more });
  return createItem({ target: '', anchor: String(sent).padStart(32, '0'), data: '', ...content, tags: all }, ALICE);
};

async function spawn(more: Record<string, string> = {}): Promise<string> {
  const made = await item({}, { Type: 'Process', Module: module.id, Scheduler: NOBODY, ...more });
  await world.post(made);
  return made.id;
}

async function send(process: string, more: Record<string, string>, data = ''): Promise<string> {
  const made = await item({ target: process, data: Buffer.from(data) }, { Type: 'Message', ...more });
  await world.post(made);
  await pipelineOf(world).compute.result(process, made.id);
  return made.id;
}

/** An answer, held against what the documentation says of it. */
async function get<N extends keyof typeof aoSchemas>(name: N, route: string): Promise<z.output<(typeof aoSchemas)[N]>> {
  return aoSchemas[name].parse(await world.get(route)) as z.output<(typeof aoSchemas)[N]>;
}
const readOf = (process: string) => ({
  Id: '0',
  Owner: '0',
  From: '0',
  Target: process,
  Anchor: '',
  Data: '',
  Tags: [],
  Timestamp: 0,
  'Block-Height': '0',
});
function pipelineOf({ gateway }: GatewayStage): AoPipeline {
  if (!gateway.pipeline) throw new Error('This gateway runs no pipeline.');
  return gateway.pipeline;
}
const journey = (id: string) => get('AoJourney', `/v1/ao/messages/${id}`);
async function problem(route: string, init: RequestInit = {}): Promise<[status: number, code: string]> {
  const response = await fetch(`${world.url}${route}`, init);
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  return [response.status, ((await response.json()) as { code: string }).code];
}

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-operator-'));
  writeKeyFile(path.join(folder, 'operator.key'), `0x${'9'.repeat(64)}`);
  world = await GatewayStage.open((config) => ({
    ...config,
    operatorKeyFile: path.join(folder, 'operator.key'),
    trustProxy: ['127.0.0.1'],
    aoLimits: { items: 1, reads: 1, dryRuns: 1, searches: 1 },
  }));
  module = await item({ data: Buffer.from(RELAY) }, { Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
  await world.post(module);
});
afterAll(async () => {
  await world.close();
  fs.rmSync(folder, { recursive: true });
});

describe('processes', () => {
  it('are listed page after page, each once, as they stand', async () => {
    const mine = [await spawn({ Name: 'one' }), await spawn({ Name: 'two' }), await spawn()];
    await send(mine[0] as string, { Action: 'Count' });
    // Placed just now, however long the looks take.
    await world.gateway.database.query('update assignment set timestamp = timestamp + 3600000 where process = $1', [
      mine[0],
    ]);
    const seen: AoProcess[] = [];
    for (let cursor = ''; ;) {
      const page = await get('AoProcessPage', `/v1/ao/processes?limit=1${cursor}`);
      expect(page.processes).toHaveLength(1);
      seen.push(...page.processes);
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(new Set(seen.map((p) => p.id)).size).toBe(seen.length);
    expect(seen.map((p) => p.id)).toEqual(expect.arrayContaining([...mine, world.process]));
    const one = seen.find((p) => p.name === 'one');
    expect(one).toMatchObject({
      id: mine[0],
      vm: 'isthmus-lua-5.4',
      module: module.id,
      owner: ALICE.address,
      slot: 1,
      evaluated: 1,
      lag: 0,
      waitingMs: 0,
      messagesPerSecond: 0.2,
    });
    expect(seen.find((p) => p.id === mine[2])?.name).toBeNull();
    const detail = await get('AoProcessDetail', `/v1/ao/processes/${mine[0]}`);
    expect(detail).toMatchObject({ id: mine[0], slot: 1, scheduler: pipelineOf(world).scheduler.address });
    expect(detail.tags).toContainEqual({ name: 'Name', value: 'one' });
  });

  it('that wait say so, and since when', async () => {
    const process = await spawn();
    await send(process, { Action: 'Count' });
    await world.gateway.database.query('update progress set evaluated = 0 where process = $1', [process]);
    await world.gateway.database.query('update assignment set timestamp = timestamp - 61000 where process = $1', [
      process,
    ]);
    const { lag, waitingMs } = await get('AoProcessDetail', `/v1/ao/processes/${process}`);
    expect([lag, waitingMs > 60_000]).toEqual([1, true]);
    const health = await until('health says it', async () => {
      const found = await get('AoHealth', '/v1/ao/health');
      return found.ok ? null : found;
    });
    expect(health).toMatchObject({ lag: 1, reasons: [expect.stringMatching(/has waited \d+ s/)] });
    // What nothing here runs waits for nobody.
    const formatted = (format: string) =>
      world.gateway.database.query('update module set format = $2 where id = $1', [module.id, format]);
    await formatted('foo');
    await until('it does not count', async () => (await get('AoHealth', '/v1/ao/health')).ok);
    await formatted('isthmus-lua-5.4');
    await until('it counts again', async () => !(await get('AoHealth', '/v1/ao/health')).ok);
    await world.gateway.database.query('update progress set evaluated = 1 where process = $1', [process]);
    await until('it is well again', async () => (await get('AoHealth', '/v1/ao/health')).ok);
  });

  it('I13 that ended their compute threads say where and why, and when they are tried again', async () => {
    const process = await spawn();
    expect((await get('AoProcessDetail', `/v1/ao/processes/${process}`)).stopped).toBeNull();
    const { compute } = pipelineOf(world);
    const since = new Date(1_700_000_000_000);
    const next = new Date(since.getTime() + 4000);
    const stopped = jest
      .spyOn(compute, 'stopped')
      .mockReturnValue([{ process, slot: 7, reason: 'too-long', since, tries: 3, next }]);
    const shown = { slot: 7, reason: 'too-long', since: since.toISOString(), tries: 3, nextTryAt: next.toISOString() };
    expect((await get('AoProcessDetail', `/v1/ao/processes/${process}`)).stopped).toEqual(shown);
    const figures = await (await fetch(`${world.url}/metrics`)).text();
    expect(figures).toContain('isthmus_ao_stopped_processes{reason="too-long"} 1');
    expect(figures).toContain('isthmus_ao_stopped_processes{reason="crash"} 0');
    expect((await get('AoHealth', '/v1/ao/health')).reasons).toContainEqual(
      expect.stringContaining('1 processes ended'),
    );
    stopped.mockRestore();
  });

  it('A13 that no machine here runs show it, and are nothing the operator must mend', async () => {
    const process = await spawn();
    const { compute } = pipelineOf(world);
    await compute.result(process, process);
    const since = new Date();
    const stopped = jest
      .spyOn(compute, 'stopped')
      .mockReturnValue([{ process, slot: null, reason: 'unknown-format', since, tries: 1, next: since }]);
    expect((await get('AoProcessDetail', `/v1/ao/processes/${process}`)).stopped?.reason).toBe('unknown-format');
    expect((await get('AoHealth', '/v1/ao/health')).reasons).not.toContainEqual(expect.stringContaining('ended'));
    await world.gateway.database.query('update progress set evaluated = -1 where process = $1', [process]);
    expect((await journey(process)).places).toMatchObject([{ result: null, stopped: 'unknown-format' }]);
    await world.gateway.database.query('update progress set evaluated = 0 where process = $1', [process]);
    expect((await journey(process)).places).toMatchObject([{ stopped: null }]);
    stopped.mockRestore();
  });

  it('A13 whose module does not load say why', async () => {
    const bad = await item({ data: Buffer.from('x = = 1') }, { Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' });
    await world.post(bad);
    const made = await item({}, { Type: 'Process', Module: bad.id });
    await world.post(made);
    await pipelineOf(world).compute.result(made.id, made.id);
    const shown = await get('AoProcessDetail', `/v1/ao/processes/${made.id}`);
    expect(shown).toMatchObject({
      spawnError: expect.stringMatching(/^The module does not load: module:1:/),
      lag: 0,
      stopped: null,
    });
    expect((await get('AoProcessDetail', `/v1/ao/processes/${await spawn()}`)).spawnError).toBeNull();
  });

  it('that are not there, and questions that are none, are refused', async () => {
    expect(await problem(`/v1/ao/processes/${NOBODY}`)).toEqual([404, 'not-found']);
    expect(await problem('/v1/ao/processes/%00')).toEqual([404, 'not-found']);
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'cursor=x', 'page=2', 'limit=1&limit=2'])
      expect([query, ...(await problem(`/v1/ao/processes?${query}`))]).toEqual([query, 400, 'bad-request']);
  });
});

it('modules are listed page after page, with their machine, name and size', async () => {
  const named = await item(
    { data: Buffer.from(RELAY) },
    { Type: 'Module', 'Module-Format': 'isthmus-lua-5.4', Name: 'relay' },
  );
  await world.post(named);
  const seen: unknown[] = [];
  for (let cursor = ''; ;) {
    const page = await get('AoModulePage', `/v1/ao/modules?limit=1${cursor}`);
    seen.push(...page.modules);
    if (page.nextCursor === null) break;
    cursor = `&cursor=${page.nextCursor}`;
  }
  const common = { vm: 'isthmus-lua-5.4', publisher: ALICE.address, bytes: Buffer.byteLength(RELAY) };
  expect(seen).toContainEqual({ id: module.id, name: null, ...common });
  expect(seen).toContainEqual({ id: named.id, name: 'relay', ...common });
  for (const query of ['limit=0', 'limit=101', 'cursor=x', 'page=2'])
    expect([query, ...(await problem(`/v1/ao/modules?${query}`))]).toEqual([query, 400, 'bad-request']);
});

describe('a message’s journey', () => {
  it('has its item, its place, its result, and where what it sent has come to', async () => {
    const [relay, other] = [await spawn(), await spawn()];
    const id = await send(relay, { Action: 'Relay', To: other }, 'x'.repeat(5000));
    const found = await until('what it sent is evaluated', async () => {
      const now = await journey(id);
      return now.places[0]?.sent[0]?.delivery.outcome === 'done' ? now : null;
    });
    expect(found.item).toMatchObject({
      type: 'Message',
      signer: ALICE.address,
      signature: 'ethereum',
      target: relay,
      bytes: 5000,
    });
    expect(found.item.data).toBe('x'.repeat(2000));
    const [place] = found.places;
    expect(place).toMatchObject({
      process: relay,
      slot: 1,
      behind: 0,
      scheduler: pipelineOf(world).scheduler.address,
      result: { error: null, output: 'relayed', messages: 3, spawns: 0, assignments: 0 },
    });
    expect(place?.sent.map((s) => [s.action, s.target, s.delivery.state])).toEqual([
      ['Hello', other, 'delivered'],
      ['Away', 'B'.repeat(43), 'elsewhere'],
      ['Report', null, 'none'],
    ]);
    const { delivery } = place?.sent[0] ?? {};
    expect(delivery).toMatchObject({ process: other, slot: 1, reason: null });
    expect(await journey(delivery?.message as string)).toMatchObject({
      sentBy: { process: relay, slot: 1 },
      pushedFor: id,
      places: [{ process: other, slot: 1, sent: [] }],
    });
    expect(await journey(place?.assignment as string)).toEqual(found);
    expect(found).toMatchObject({ sentBy: null, settlement: null, transfers: [] });
  });

  it('says why a message failed, what was not sent, and what still waits', async () => {
    const process = await spawn();
    const id = await send(process, { Action: 'Fail' });
    const [place] = (await journey(id)).places;
    expect(place).toMatchObject({ result: { error: expect.stringContaining('on purpose'), messages: 0 }, sent: [] });
    await world.gateway.database.query('update progress set evaluated = -1 where process = $1', [process]);
    expect((await journey(id)).places).toMatchObject([{ result: null, behind: 1 }]);
    await world.gateway.database.query('update progress set evaluated = 1 where process = $1', [process]);
  });

  it('of spawns and assignments, too', async () => {
    const [parent, other] = [await spawn(), await spawn()];
    const id = await send(parent, { Action: 'Relay', To: other });
    const pipeline = pipelineOf(world);
    const stored = await pipeline.compute.results(parent, 1, 1);
    const tagged = tags({ Module: module.id, Action: 'Born' });
    const asked = {
      ...stored?.[0]?.result,
      Spawns: [{ Anchor: 's'.repeat(32), Tags: tagged, Data: '' }],
      Assignments: [{ Processes: [other], Message: id }],
    };
    // The lean machines send messages only: the same result with more, as aos gives it.
    const [entry] = await pipeline.scheduler.entries(parent, 1, 1);
    await world.gateway.database.transaction(async (manager) => {
      await manager.query('update result set outcome = $2 where process = $1 and nonce = 1', [
        parent,
        JSON.stringify(asked),
      ]);
      const results = [{ entry: entry as ScheduleEntry, result: asked as EvaluationResult }];
      await pipeline.messenger.take(manager, [{ process: parent, module: module.id, results }]);
    });
    await pipeline.messenger.deliver();
    const found = await until('all is placed', async () => {
      const now = await journey(id);
      return now.places.length === 2 &&
        now.places[0]?.sent.every((s) => s.kind === 'message' || s.delivery.outcome === 'done')
        ? now
        : null;
    });
    expect(found.places.map((p) => [p.process, p.slot])).toEqual([
      [parent, 1],
      [other, 2],
    ]);
    const [born, assigned] = found.places[0]?.sent.filter((s) => s.kind !== 'message') ?? [];
    expect(born).toMatchObject({ kind: 'spawn', action: 'Born', delivery: { state: 'delivered', slot: 0 } });
    expect(born?.delivery.process).toBe(born?.delivery.message);
    expect(await journey(born?.delivery.message as string)).toMatchObject({
      item: { type: 'Process' },
      sentBy: { process: parent, slot: 1 },
    });
    expect(assigned).toMatchObject({
      kind: 'assignment',
      target: other,
      delivery: { process: other, slot: 2, message: id },
    });
  });

  it('does not take a stranger’s word for who sent a message', async () => {
    const process = await spawn();
    const id = await send(process, { Action: 'Count', 'From-Process': world.process });
    expect((await journey(id)).sentBy).toBeNull();
  });

  it('of modules and spawns, and of what nobody knows', async () => {
    expect(await journey(module.id)).toMatchObject({ item: { type: 'Module' }, places: [] });
    expect(await journey(world.process)).toMatchObject({ item: { type: 'Process' }, places: [{ slot: 0 }] });
    expect(await problem(`/v1/ao/messages/${NOBODY}`)).toEqual([404, 'not-found']);
    expect(await problem('/v1/ao/messages/%27')).toEqual([404, 'not-found']);
  });
});

describe('dead letters', () => {
  const OPERATOR = `0x${'9'.repeat(64)}` as const;
  const post = (route: string, shown?: string): RequestInit & { route: string } => ({
    route,
    method: 'POST',
    body: '{}',
    headers: {
      'content-type': 'application/json',
      ...(shown === undefined ? {} : { authorization: `Bearer ${shown}` }),
    },
  });
  const ask = (request: ReturnType<typeof post>) => fetch(`${world.url}${request.route}`, request);
  const list = (query = '') => get('AoDeadLetterPage', `/v1/ao/dead-letters?${query}`);

  it('are seen with why, page after page, and sent again by the operator alone', async () => {
    const [sender, other] = [await spawn(), await spawn()];
    const root = await send(sender, { Action: 'Loop' });
    const dead = await until(
      'the loop has come to its end',
      async () => (await list(`process=${sender}`)).deadLetters[0],
    );
    expect(dead).toMatchObject({ kind: 'message', position: 0, pushedFor: root, reason: 'hops', releasable: true });
    await send(sender, { Action: 'Too-Much', To: other });
    const [final] = (await list(`process=${sender}&reason=bad-item`)).deadLetters;
    expect(final).toMatchObject({ slot: dead.slot + 1, target: null, message: null, releasable: false });
    const first = await list(`process=${sender}&limit=1`);
    expect(first.deadLetters).toEqual([final]);
    expect((await list(`process=${sender}&limit=1&cursor=${first.nextCursor}`)).deadLetters).toEqual([dead]);
    expect((await list(`message=${root}`)).deadLetters).toEqual([dead]);
    const [last] = (await pipelineOf(world).scheduler.entries(sender, dead.slot, 1)) as [ScheduleEntry];
    const stopped = async () => (await journey(last.message.id)).places[0]?.sent[0]?.delivery;
    expect(await stopped()).toMatchObject({ state: 'dead', reason: dead.error });
    await until('health says it', async () => (await get('AoHealth', '/v1/ao/health')).deliveries.dead > 1);
    // What the senders did is nothing to mend; what the gateway failed to place is.
    expect((await get('AoHealth', '/v1/ao/health')).reasons).not.toContainEqual(expect.stringContaining('delivered'));
    const become = (reason: string) =>
      world.gateway.database.query('update outbox set reason = $2 where id = $1', [dead.id, reason]);
    await become('failed');
    const ill = await until('the operator is told', async () => {
      const health = await get('AoHealth', '/v1/ao/health');
      return health.deliveries.failed === 1 ? health : null;
    });
    expect(ill.reasons).toContainEqual(expect.stringMatching(/^1 messages could not be delivered/));
    await become('hops');

    const release = `/v1/ao/dead-letters/${dead.id}/release`;
    for (const shown of [undefined, 'x', `0x${'8'.repeat(64)}`, `${OPERATOR}0`, OPERATOR.toUpperCase()])
      expect([shown, ...(await problem(release, post(release, shown)))]).toEqual([shown, 401, 'unauthorized']);
    expect((await ask(post(release))).headers.get('www-authenticate')).toBe('Bearer');
    expect((await list(`process=${sender}`)).deadLetters).toHaveLength(2);
    expect(await (await ask(post(release, OPERATOR))).json()).toEqual({ released: 1 });
    await until('it is delivered after all', async () => (await stopped())?.state === 'delivered');
    const next = await until('and the loop ends again', async () => (await list(`message=${root}`)).deadLetters[0]);
    expect(next.slot).toBe(dead.slot + 2);

    const hopeless = `/v1/ao/dead-letters/${final?.id}/release`;
    expect(await problem(hopeless, post(hopeless, OPERATOR))).toEqual([409, 'undeliverable']);
    expect(await problem(release, post(release, OPERATOR))).toEqual([404, 'not-found']);
    const all = `/v1/ao/processes/${sender}/dead-letters/release`;
    expect(await problem(all, post(all))).toEqual([401, 'unauthorized']);
    expect(await (await ask(post(all, OPERATOR))).json()).toEqual({ released: 1 });
    await until(
      'it went on once more',
      async () => (await list(`message=${root}`)).deadLetters[0]?.slot === dead.slot + 3,
    );
    const nobody = `/v1/ao/processes/${NOBODY}/dead-letters/release`;
    expect(await problem(nobody, post(nobody, OPERATOR))).toEqual([404, 'not-found']);

    const groups = async () =>
      (await get('AoDeadLetterGroups', '/v1/ao/dead-letters/groups')).groups.filter((g) => g.process === sender);
    expect(await groups()).toEqual([
      { process: sender, reason: 'bad-item', count: 1 },
      { process: sender, reason: 'hops', count: 1 },
    ]);
    const give = (id: string | undefined) => `/v1/ao/dead-letters/${id}/discard`;
    expect(await problem(give(final?.id), post(give(final?.id)))).toEqual([401, 'unauthorized']);
    expect(await (await ask(post(give(final?.id), OPERATOR))).json()).toEqual({ discarded: 1 });
    expect(await problem(give(final?.id), post(give(final?.id), OPERATOR))).toEqual([404, 'not-found']);
    const rest = `/v1/ao/processes/${sender}/dead-letters/discard`;
    expect(await problem(rest, post(rest))).toEqual([401, 'unauthorized']);
    expect(await problem(`${rest}?reason=%27`, post(`${rest}?reason=%27`, OPERATOR))).toEqual([400, 'bad-request']);
    expect(await (await ask(post(`${rest}?reason=answers`, OPERATOR))).json()).toEqual({ discarded: 0 });
    expect(await (await ask(post(rest, OPERATOR))).json()).toEqual({ discarded: 1 });
    expect(await groups()).toEqual([]);
    const [given] = (await pipelineOf(world).scheduler.entries(sender, dead.slot + 3, 1)) as [ScheduleEntry];
    expect((await journey(given.message.id)).places[0]?.sent[0]?.delivery.state).toBe('discarded');
  });

  it('of a gateway without an operator’s key are nobody’s to send', () => {
    for (const shown of [undefined, 'Bearer null', 'Bearer ', `Bearer ${OPERATOR}`])
      expect(() => new Operator(null).admit(shown)).toThrow(/operatorKeyFile/);
    expect(() => new Operator(OPERATOR).admit(`bearer ${OPERATOR}`)).not.toThrow();
  });

  it.each(['process=x', 'reason=%27', 'cursor=-1', 'cursor=x', 'limit=101', 'all=1'])(
    '%s is refused',
    async (query) => {
      expect(await problem(`/v1/ao/dead-letters?${query}`)).toEqual([400, 'bad-request']);
    },
  );
});

describe('a process live', () => {
  /** Slots of the stream until `count` are there. */
  async function read(process: string, last: string | null, count: number): Promise<AoSlotEvent[]> {
    const stop = new AbortController();
    const headers: Record<string, string> = last === null ? {} : { 'last-event-id': last };
    const response = await fetch(`${world.url}/v1/ao/processes/${process}/events`, { headers, signal: stop.signal });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    const events: AoSlotEvent[] = [];
    let text = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (block.includes('event: slot') && data !== undefined)
          events.push(aoSchemas.AoSlotEvent.parse(JSON.parse(data)));
      }
      if (events.length >= count) break;
    }
    stop.abort();
    return events;
  }

  it('tells each slot once, in order, and goes on from the last one read', async () => {
    const process = await spawn();
    for (const Action of ['Count', 'Fail', 'Relay']) await send(process, { Action, To: process });
    const all = await until('the answer to itself too', async () => {
      const events = await read(process, '-1', 5);
      return events.length === 5 ? events : null;
    });
    expect(all.map((e) => [e.slot, e.action, e.error === null, e.messages])).toEqual([
      [0, null, true, 0],
      [1, 'Count', true, 0],
      [2, 'Fail', false, 0],
      [3, 'Relay', true, 3],
      [4, 'Hello', true, 0],
    ]);
    expect([all[1]?.from, all[4]?.from]).toEqual([ALICE.address, process]);
    expect(await read(process, '2', 2)).toEqual(all.slice(3));
    const next = read(process, null, 1);
    const later = await send(process, { Action: 'Count' });
    const again = setInterval(() => void send(process, { Action: 'Count' }), 50); // the stream may have been opened after the first
    expect((await next)[0]?.slot).toBeGreaterThanOrEqual((await journey(later)).places[0]?.slot ?? 0);
    clearInterval(again);
  });

  it('I13 has so many readers and no more, and one that leaves makes room', async () => {
    const process = await spawn();
    const open = () =>
      new Promise<{ request: http.ClientRequest; status: number }>((resolve, reject) => {
        const request = http.get(`${world.url}/v1/ao/processes/${process}/events`, (response) => {
          response.on('error', () => undefined).resume();
          resolve({ request, status: response.statusCode ?? 0 });
        });
        request.on('error', reject);
      });
    const readers = [];
    for (let i = 0; i < 200; i += 1) readers.push(open());
    const opened = await Promise.all(readers);
    expect(new Set(opened.map((o) => o.status))).toEqual(new Set([200]));
    expect(await problem(`/v1/ao/processes/${process}/events`)).toEqual([503, 'too-many-streams']);
    for (const { request } of opened) request.on('error', () => undefined).destroy();
    await until('there is room again', async () => {
      const { request, status } = await open();
      request.on('error', () => undefined).destroy();
      return status === 200;
    });
  });

  it('I13 X14 one client from elsewhere has so many readers, and no other loses a place by it', async () => {
    const process = await spawn();
    for (const stream of [`/v1/ao/processes/${process}/events`, '/v1/events']) {
      const stop = new AbortController();
      const open = (headers: Record<string, string>) =>
        fetch(`${world.url}${stream}`, { headers, signal: stop.signal });
      const opened = await Promise.all(Array.from({ length: 21 }, () => open({ via: 'a proxy' })));
      const statuses = opened.map((r) => r.status).toSorted((a, b) => a - b);
      expect(statuses).toEqual(Array.from({ length: 21 }, (_, i) => (i < 20 ? 200 : 503)));
      const refused = opened.find((r) => r.status === 503);
      expect(await refused?.json()).toMatchObject({ code: 'too-many-streams' });
      expect((await open({})).status).toBe(200);
      stop.abort();
      await until('its places are free again', async () => {
        const again = new AbortController();
        const { status } = await fetch(`${world.url}${stream}`, { headers: { via: 'a proxy' }, signal: again.signal });
        again.abort();
        return status === 200;
      });
    }
  });

  it('of nobody, or from no slot, is refused', async () => {
    expect(await problem(`/v1/ao/processes/${NOBODY}/events`)).toEqual([404, 'not-found']);
    const headers = { 'last-event-id': 'last week' };
    expect(await problem(`/v1/ao/processes/${world.process}/events`, { headers })).toEqual([400, 'bad-request']);
  });
});

it('the documentation has a line for each route of the units and of AO-Core', async () => {
  const { paths } = await world.get<{ paths: Record<string, Record<string, { summary?: string; tags?: string[] }>> }>(
    '/docs-json',
  );
  const ofUnits = Object.entries(paths).filter(([route]) => /^\/(su|mu|cu|graphql|raw|push|~|\{)/.test(route));
  expect(ofUnits.length).toBeGreaterThan(20);
  for (const [route, operations] of ofUnits)
    for (const [method, { summary, tags: under }] of Object.entries(operations))
      expect([method, route, summary, under]).toEqual([
        method,
        route,
        expect.stringMatching(/^\S.{5,}/),
        [expect.stringMatching(/^ao/)],
      ]);
  const { routes } = await world.get<{ routes: { path: string }[] }>('/v1');
  expect(routes.map((r) => r.path)).toEqual(
    expect.arrayContaining(['/v1/ao/processes', '/v1/ao/dead-letters/{id}/release']),
  );
});

it('figures say what happened, with labels that strangers cannot multiply', async () => {
  const exact = async (name: string) => {
    const text = await (await fetch(`${world.url}/metrics`)).text();
    return Number(
      text
        .split('\n')
        .find((l) => l.startsWith(`${name} `))
        ?.split(' ')[1],
    );
  };
  const process = await spawn();
  const so = async (name: string) => (await exact(name)) || 0; // what has not happened has no line
  const [failed, messages] = [
    await so('isthmus_ao_results_total{outcome="failed"}'),
    await so('isthmus_ao_sent_total{kind="message"}'),
  ];
  await send(process, { Action: 'Fail' });
  await send(process, { Action: 'Relay', To: process });
  await until('they are counted', async () => (await exact('isthmus_ao_sent_total{kind="message"}')) === messages + 3);
  expect(await exact('isthmus_ao_results_total{outcome="failed"}')).toBe(failed + 1);
  expect(await exact('isthmus_ao_processes')).toBeGreaterThan(1);
  expect(await exact('isthmus_ao_open_processes{vm="isthmus-lua-5.4"}')).toBeGreaterThan(1);
  const open = await exact('isthmus_ao_memory_bytes{vm="isthmus-lua-5.4"}');
  const { memory } = await get('AoProcessDetail', `/v1/ao/processes/${process}`);
  expect([memory !== null && memory > 65_536, memory !== null && open > memory]).toEqual([true, true]);
  expect(await exact('isthmus_ao_threads{kind="quick"}')).toBe(1);
  expect(await exact('isthmus_ao_opened_total')).toBeGreaterThan(1);
  expect(await exact('isthmus_ao_evicted_total')).toBe(0);
  const reads = await exact('isthmus_ao_dry_runs_total');
  await pipelineOf(world).compute.dryRun(process, readOf(process));
  expect(await exact('isthmus_ao_dry_runs_total')).toBeGreaterThan(reads); // the gateway asks as well
  expect(await exact('isthmus_ao_deliveries_total{outcome="done"}')).toBeGreaterThan(0);
  await send(process, { Action: 'Loop' });
  await until('the loop has ended', async () => (await exact('isthmus_ao_dead_letters{reason="hops"}')) > 0);
  await until('nothing waits', async () => (await exact('isthmus_ao_lag_slots')) === 0);
  expect(await exact('isthmus_ao_slots{state="placed"}')).toBe(await exact('isthmus_ao_slots{state="evaluated"}'));
  expect(await exact('isthmus_ao_requests_total{group="items",status="2xx"}')).toBeGreaterThan(3);
  const text = await (await fetch(`${world.url}/metrics`)).text();
  expect(text.split('\n').filter((l) => l.startsWith('isthmus_ao') && l.includes(process))).toEqual([]);
});

it('clients behind a trusted proxy are bounded one by one, this machine’s own tools are not', async () => {
  const post = (client: string | null) =>
    fetch(`${world.url}/graphql`, {
      method: 'POST',
      body: '{}',
      headers: client === null ? {} : { 'x-forwarded-for': client },
    });
  expect((await post('192.0.2.1')).status).not.toBe(429);
  const refused = await post('192.0.2.1');
  expect([refused.status, await refused.json()]).toEqual([429, { error: expect.stringContaining('At most 1 ') }]);
  expect((await post('192.0.2.2')).status).not.toBe(429);
  for (let i = 0; i < 3; i += 1) expect((await post(null)).status).not.toBe(429);
});
