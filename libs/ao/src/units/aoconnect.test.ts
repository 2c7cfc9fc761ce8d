/** AO developers' own tools against the units over HTTP: the unmodified aoconnect and a real aos module, nothing but its calls and fetch. Only the clock is stepped by hand. */
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot, testWallet } from '@isthmus/store';
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import { UnitsStage } from '../../harness.js';
import { AoPipeline, arweaveSigner, createItem, ed25519Signer, ethereumSigner, type Signer } from '../index.js';

/** A published 32-bit aos module; without one these tests have nothing to show. */
const MODULE = path.join(projectRoot(), '.cache/aos/aos2_0_4_32.wasm');
const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const SOLANA = ed25519Signer(Buffer.alloc(32, 5));
const MALLORY = ethereumSigner(`0x${'4'.repeat(64)}`);
/** Counts; tells others to. */
const COUNTER = `
local n = 0
function handle(msg)
  local action = msg.Tags.Action
  if action == "Count" then n = n + 1 end
  if action == "Tell" then ao.send({ Target = msg.Tags.To, Action = "Count" }) return end
  if action == "Count" or action == "Get" then ao.send({ Target = msg.From, Data = tostring(n), Action = "Counted" }) end
end`;

interface Tag {
  name: string;
  value: string;
}
interface Outcome {
  Messages: { Target: string; Data: string; Tags: Tag[] }[];
  Spawns: unknown[];
  Assignments: unknown[];
  Output: { data?: { output?: string } | string } | string;
  Error?: string;
}
/** The part of the client used here; its own types say `any`. */
interface Client {
  spawn(a: object): Promise<string>;
  message(a: object): Promise<string>;
  result(a: object): Promise<Outcome>;
  results(a: object): Promise<{ edges: { cursor: string; node: Outcome }[] }>;
  dryrun(a: object): Promise<Outcome>;
  assign(a: object): Promise<string>;
  monitor(a: object): Promise<string>;
  unmonitor(a: object): Promise<string>;
}

let stage: UnitsStage;
let pipeline: AoPipeline;
let url: string;
let client: Client;
let counter: string;
let aos: string;
let now: number;
let anchor = 0;

/** A key as a signer of the client, of whatever kind it is. */
const custom = (signer: Signer) => async (create: (key: object) => Promise<Uint8Array>) => ({
  signature: await signer.sign(await create({ publicKey: signer.publicKey, type: signer.signatureType })),
  address: signer.address,
});
const alice = custom(ALICE);
const next = () => String((anchor += 1)).padStart(32, '0');
const list = (tags: Record<string, string>): Tag[] => Object.entries(tags).map(([name, value]) => ({ name, value }));
/** A process of a module, which trusts this gateway's messenger. */
const spawn = ({ of, tags = {}, signer = alice }: { of: string; tags?: Record<string, string>; signer?: unknown }) =>
  client.spawn({
    module: of,
    scheduler: SCHEDULER.address,
    signer,
    tags: list({ Authority: MESSENGER.address, Salt: next(), ...tags }),
  });
const send = (process: string, tags: Record<string, string>, data = '', signer: unknown = alice) =>
  client.message({ process, signer, anchor: next(), tags: list(tags), data });
const outputOf = ({ Output }: Outcome): string => {
  const data = typeof Output === 'string' ? Output : Output.data;
  return (typeof data === 'string' ? data : data?.output) ?? '';
};

async function publish(format: string, data: Buffer | string): Promise<string> {
  const tags = {
    'Data-Protocol': 'ao',
    Type: 'Module',
    'Module-Format': format,
    'Input-Encoding': 'JSON-1',
    'Output-Encoding': 'JSON-1',
    'Memory-Limit': '512-mb',
    'Compute-Limit': '9000000000000',
  };
  const item = await createItem({ tags: list(tags), data }, ALICE);
  expect((await fetch(`${url}/mu`, { method: 'POST', body: item.raw })).status).toBe(202);
  return item.id;
}

beforeAll(async () => {
  now = Date.now();
  stage = await UnitsStage.open({ schedulerSigner: SCHEDULER, messengerSigner: MESSENGER, now: () => now });
  ({ pipeline, url } = stage);
  client = connect({
    MODE: 'legacy',
    MU_URL: `${url}/mu`,
    CU_URL: `${url}/cu`,
    GATEWAY_URL: url,
    noLog: true,
  } as never) as unknown as Client;
  counter = await publish('isthmus-lua-5.4', COUNTER);
  if (fs.existsSync(MODULE)) aos = await publish('wasm32-unknown-emscripten4', fs.readFileSync(MODULE));
});
afterAll(() => stage.close());

describe('the client', () => {
  it('signs with an Arweave wallet, an Ethereum key and a Solana key; who it was is in From', async () => {
    const jwk = testWallet();
    const wallet = arweaveSigner(jwk).address;
    const signers: [unknown, string][] = [
      [createDataItemSigner(jwk), wallet],
      [alice, ALICE.address],
      [custom(SOLANA), SOLANA.address],
    ];
    for (const [signer, address] of signers) {
      const process = await spawn({ of: counter, signer });
      const message = await send(process, { Action: 'Count' }, '', signer);
      expect((await client.result({ process, message })).Messages[0]).toMatchObject({ Target: address, Data: '1' });
    }
  });

  it('pages results both ways, from a cursor and up to one', async () => {
    const process = await spawn({ of: counter });
    for (let i = 0; i < 6; i += 1) await send(process, { Action: 'Count' });
    const page = async (range: object) => {
      const { edges } = await client.results({ process, limit: 3, ...range });
      return { data: edges.map((e) => e.node.Messages[0]?.Data), first: edges[0]?.cursor, last: edges.at(-1)?.cursor };
    };
    const up = await page({ sort: 'ASC' });
    expect(up.data).toEqual([undefined, '1', '2']);
    const further = await page({ sort: 'ASC', from: up.last });
    expect(further.data).toEqual(['3', '4', '5']);
    expect((await page({ sort: 'ASC', from: further.last })).data).toEqual(['6']);
    const down = await page({ sort: 'DESC' });
    expect(down.data).toEqual(['6', '5', '4']);
    expect((await page({ sort: 'DESC', to: down.last })).data).toEqual(['4', '3', '2']); // to is inclusive
    expect((await page({ sort: 'DESC', from: up.last, to: further.first })).data).toEqual(['3']);
  });

  it('A6 assigns a message to another process once', async () => {
    const [a, b] = [await spawn({ of: counter }), await spawn({ of: counter })];
    const message = await send(a, { Action: 'Count' });
    const id = await client.assign({ process: b, message });
    expect(await client.assign({ process: b, message })).toBe(id);
    expect((await client.result({ process: b, message: id })).Messages[0]?.Data).toBe('1');
    expect((await client.result({ process: b, message })).Messages[0]?.Data).toBe('1');
    await expect(client.assign({ process: b, message: 'A'.repeat(43) })).rejects.toThrow(/404/);
    await expect(client.assign({ process: 'A'.repeat(43), message })).rejects.toThrow(/404/);
    await expect(client.assign({ process: b, message, baseLayer: true })).rejects.toThrow(/501/);
  });

  it('A8 monitors only what its key owns, and only clocks that go by time', async () => {
    const clocked = (interval: string) => spawn({ of: counter, tags: { 'Cron-Interval': interval } });
    const process = await clocked('10-seconds');
    await expect(client.monitor({ process, signer: custom(MALLORY) })).rejects.toThrow(/403/);
    await expect(client.unmonitor({ process, signer: custom(MALLORY) })).rejects.toThrow(/403/);
    await expect(client.monitor({ process: await clocked('3-blocks'), signer: alice })).rejects.toThrow(/501.*blocks/);
    await expect(client.monitor({ process: await clocked('often'), signer: alice })).rejects.toThrow(
      /400.*Cron-Interval/,
    );
    await expect(client.monitor({ process: 'A'.repeat(43), signer: alice })).rejects.toThrow(/404/);
    const nobody = await fetch(`${url}/mu/monitor/${process}`, { method: 'POST' });
    expect([nobody.status, await nobody.json()]).toEqual([400, { error: expect.any(String) }]);
    const item = await createItem({ target: await spawn({ of: counter }), tags: [], data: ' ' }, ALICE);
    const other = await fetch(`${url}/mu/monitor/${process}`, { method: 'DELETE', body: item.raw });
    expect(other.status).toBe(400);
  });

  it('X14 pushes a result again only as far as it is one', async () => {
    const process = await spawn({ of: counter });
    const message = await send(process, { Action: 'Tell', To: process });
    const push = async (query: string) => (await fetch(`${url}/mu/push/${query}`, { method: 'POST' })).status;
    expect(await push(`${message}/0?process-id=${process}`)).toBe(202);
    expect(await push(`${message}/1?process-id=${process}`)).toBe(404);
    expect(await push(`${message}/-1?process-id=${process}`)).toBe(400);
    expect(await push(`${message}/x?process-id=${process}`)).toBe(400);
    expect(await push(`${message}/0`)).toBe(400);
    expect(await push(`${'A'.repeat(43)}/0?process-id=${process}`)).toBe(404);
    await until(process, 'Counted', '1');
    for (const bad of ['from=nonsense', 'limit=0', 'limit=x'])
      expect((await fetch(`${url}/cu/cron/${process}?${bad}`)).status).toBe(400);
    expect((await fetch(`${url}/cu/cron/${'A'.repeat(43)}`)).status).toBe(404);
  });
});

/** What a process of the lean machine tells by a dry-run, or what an expression is in an aos process. */
async function read(process: string, expression: string): Promise<string> {
  const outcome = await client.dryrun({
    process,
    tags: [{ name: 'Action', value: expression === 'Counted' ? 'Get' : 'Eval' }],
    data: `return ${expression}`,
    Owner: ALICE.address,
  });
  return expression === 'Counted' ? (outcome.Messages[0]?.Data ?? '') : outputOf(outcome);
}

/** Until an expression is what it is to be: deliveries go on by themselves. */
async function until(process: string, expression: string, value: string | RegExp): Promise<string> {
  for (let tries = 0; tries < 300; tries += 1) {
    const said = await read(process, expression);
    if (typeof value === 'string' ? said === value : value.test(said)) return said;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${expression} of ${process} is ${await read(process, expression)}, not ${value}`);
}

if (fs.existsSync(MODULE))
  describe('aos', () => {
    const evaluate = async (process: string, code: string, signer?: unknown) => {
      const message = await send(process, { Action: 'Eval' }, code, signer);
      return client.result({ process, message });
    };

    it('A7 A9 evaluates for its owner, and for nobody else; a dry-run leaves no trace', async () => {
      const process = await spawn({ of: aos });
      expect(outputOf(await evaluate(process, 'N = 20 + 1; return N'))).toBe('21');
      expect((await evaluate(process, 'error("on purpose")')).Error).toMatch(/on purpose/);
      await evaluate(process, 'N = 0', custom(MALLORY));
      expect(await read(process, 'N')).toBe('21');
      expect(await read(process, '(function() N = N + 1; return N end)()')).toBe('22'); // a dry-run leaves no trace
      expect(await read(process, 'N')).toBe('21');
      expect(await read(process, 'Owner')).toBe(ALICE.address);
    });

    it('sends to another process, which replies, and receives', async () => {
      const [a, b] = [await spawn({ of: aos }), await spawn({ of: aos })];
      await evaluate(b, 'Handlers.add("ping", "Ping", function(m) m.reply({ Data = "pong " .. m.From }) end)');
      await evaluate(a, `Got = Send({ Target = "${b}", Action = "Ping" }).receive().Data`);
      expect(await until(a, 'Got or ""', /pong/)).toBe(`pong ${a}`);
    });

    it('spawns, is told which process it is, owns it, and assigns to it', async () => {
      const parent = await spawn({ of: aos });
      const authority = `Authority = "${MESSENGER.address}"`;
      await evaluate(parent, `Child = Spawn("${aos}", { Name = "child", ${authority} }).receive().Process`);
      const child = await until(parent, 'Child or ""', /^[\w-]{43}$/);
      const order = (code: string) => evaluate(parent, `Send({ Target = Child, Action = "Eval", Data = [[${code}]] })`);
      await order(
        'ao.addAssignable("all", function() return true end) Handlers.add("note", "Note", function(m) Seen = m.Id end)',
      );
      const note = await send(parent, { Action: 'Note' });
      await order(`Ready = Name .. " of " .. Owner; Send({ Target = Owner, Action = "Ready", Data = Ready })`);
      await until(parent, 'Inbox[#Inbox].Action', 'Ready');
      expect(await read(parent, 'Inbox[#Inbox].Data')).toBe(`child of ${parent}`);
      await evaluate(parent, `Assign({ Processes = { Child }, Message = "${note}" })`);
      // A message that is sent after it may be placed before it.
      const isPlaced = async () =>
        (await pipeline.scheduler.entries(child, 0, 1000)).some((e) => e.message.id === note);
      while (!(await isPlaced())) await new Promise((resolve) => setTimeout(resolve, 20)); // until the test's own limit
      await evaluate(
        parent,
        `Send({ Target = Child, Action = "Eval", Data = [[Send({ Target = Owner, Action = "Seen", Data = Seen })]] })`,
      );
      await until(parent, 'Inbox[#Inbox].Action', 'Seen');
      expect(await read(parent, 'Inbox[#Inbox].Data')).toBe(note);
    });

    it('A8 hears its clock from monitor to unmonitor', async () => {
      const process = await spawn({ of: aos, tags: { 'Cron-Interval': '10-seconds', 'Cron-Tag-Action': 'Cron' } });
      await evaluate(
        process,
        'T = 0 Handlers.add("tick", "Cron", function(m) T = T + 1; Last = m.From; Send({ Target = ao.id, Action = "Ticked" }) end)',
      );
      const step = async (seconds: number) => {
        now += seconds * 1000;
        await pipeline.monitors.tick();
      };
      await step(30);
      await client.monitor({ process, signer: alice });
      await step(10);
      await until(process, 'T', '1');
      await step(10);
      await until(process, 'T', '2');
      await step(60); // an outage, as it were
      await until(process, 'T', '3');
      expect(await read(process, 'Last')).toBe(ALICE.address);
      await until(process, 'Inbox[#Inbox].Action', 'Ticked'); // what a tick leads to is delivered
      await client.unmonitor({ process, signer: alice });
      await step(60);
      const cron = async (query = '') => {
        const answer = await fetch(`${url}/cu/cron/${process}?${query}`);
        return (await answer.json()) as {
          pageInfo: { hasNextPage: boolean };
          edges: { cursor: string; node: Outcome }[];
        };
      };
      const all = await cron();
      expect(all.edges).toHaveLength(3);
      expect(all.edges.every((e) => e.node.Messages[0]?.Tags.some((t) => t.value === 'Ticked'))).toBe(true);
      const first = await cron('limit=2');
      expect(first).toEqual({ pageInfo: { hasNextPage: true }, edges: all.edges.slice(0, 2) });
      const rest = await cron(`limit=2&from=${encodeURIComponent(first.edges[1]?.cursor ?? '')}`);
      expect(rest).toEqual({ pageInfo: { hasNextPage: false }, edges: all.edges.slice(2) });
      expect(await read(process, 'T')).toBe('3');
    });
  });
