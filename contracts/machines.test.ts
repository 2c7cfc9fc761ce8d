/** Processes in different machines are processes like any other: they message each other through the pipeline, and the same token does the same in each. */
import fs from 'node:fs';
import path from 'node:path';
import {
  AoPipeline,
  createItem,
  ed25519Signer,
  ethereumSigner,
  type EvaluationResult,
  type OutboundMessage,
  type Tag,
  type VmMessage,
} from '@isthmus/ao';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, projectRoot, runMigrations, testCluster, type TestCluster } from '@isthmus/store';
import fc from 'fast-check';
import type { DataSource } from 'typeorm';
import { encodeAbiParameters, encodeFunctionData, keccak256, pad, stringToHex, type Abi } from 'viem';
import { machineFor } from '../libs/ao/src/compute/machines.js';
import { compileContracts } from './ethereum/compile.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const MESSENGER = ed25519Signer(Buffer.alloc(32, 2));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
const artifacts = compileContracts('contracts/evm');
const script = (name: string) => fs.readFileSync(path.join(projectRoot(), 'contracts/js', name), 'utf8');
const list = (tags: Record<string, string>): Tag[] => Object.entries(tags).map(([name, value]) => ({ name, value }));
const tagOf = (tags: readonly Tag[], name: string) => tags.find((t) => t.name === name)?.value;

const LUA_COUNTER = `
local count = 0
function handle(msg)
  local action = msg.Tags.Action
  if action == "Increment" then
    count = count + 1
    ao.send({ Target = msg.From, Action = "Count", Data = count })
  elseif action == "Forward" then ao.send({ Target = msg.Tags.To, Action = "Increment" })
  elseif action == "Call" then ao.send({ Target = msg.Tags.To, Calldata = msg.Data })
  elseif action == "Spawn" then ao.spawn(msg.Tags.Of, { Tags = { Authority = msg.Tags.Authority, ["Constructor-Arguments"] = msg.Data } }) end
end`;
const AOS_COUNTER = `
Count = 0
Handlers.add("Increment", function(msg) Count = Count + 1 Send({ Target = msg.From, Action = "Count", Data = tostring(Count) }) end)
Handlers.add("Forward", function(msg) Send({ Target = msg.Tags.To, Action = "Increment" }) end)`;
const AOS_MODULE = path.join(projectRoot(), '.cache/aos/aos2_0_4_32.wasm');

describe('processes in different machines', () => {
  let cluster: TestCluster;
  let database: DataSource;
  let pipeline: AoPipeline;
  const failures: unknown[] = [];
  let anchor = 0;
  const next = () => String((anchor += 1)).padStart(32, '0');

  async function publish(format: string, data: string | Buffer): Promise<string> {
    const tags = list({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': format });
    return (await pipeline.scheduler.schedule((await createItem({ tags, data }, ALICE)).raw)).id;
  }
  async function spawn(module: string): Promise<string> {
    const tags = list({ 'Data-Protocol': 'ao', Type: 'Process', Module: module, Authority: MESSENGER.address });
    return (await pipeline.scheduler.schedule((await createItem({ tags, anchor: next(), data: '' }, ALICE)).raw))
      .process;
  }
  async function send(target: string, more: Record<string, string>, data = ''): Promise<void> {
    const tags = list({ 'Data-Protocol': 'ao', Type: 'Message', ...more });
    await pipeline.scheduler.schedule((await createItem({ target, anchor: next(), tags, data }, ALICE)).raw);
  }
  /** Until nothing is left to evaluate or to deliver: in one look, as between two what waited would have been placed. */
  async function settle(): Promise<void> {
    for (;;) {
      const [left]: [{ behind: string[]; waiting: boolean }] = await database.query(
        `select array(select id from computed_process where evaluated < nonce) as behind,
           exists(select 1 from outbox where state in ('waiting', 'held')) as waiting`,
      );
      if (left.behind.length === 0 && !left.waiting) return;
      await Promise.all(left.behind.map((id) => pipeline.compute.advance(id)));
      await pipeline.messenger.deliver();
    }
  }
  const results = async (process: string) => (await pipeline.compute.results(process, 0, 1000)).map((r) => r.result);
  const counts = async (process: string) =>
    (await results(process)).flatMap((r) =>
      r.Messages.filter((m) => tagOf(m.Tags, 'Action') === 'Count').map((m) => m.Data),
    );
  /** Who has told a process a count. */
  const heard = async (process: string) =>
    (await pipeline.scheduler.entries(process, 0, 1000))
      .filter((e) => tagOf(e.message.tags, 'Action') === 'Count')
      .map((e) => tagOf(e.message.tags, 'From-Process'));

  beforeAll(async () => {
    cluster = await testCluster();
    database = await openDatabase({
      url: await cluster.fresh(),
      migrations: gatewayMigrations,
      applicationName: 'test',
    });
    await runMigrations(database);
    pipeline = new AoPipeline({
      database,
      schedulerSigner: SCHEDULER,
      messengerSigner: MESSENGER,
      workers: 2,
      onFailure: (_, error) => failures.push(error),
    });
  });
  afterAll(async () => {
    await pipeline.stop();
    await database.destroy();
    await cluster.close();
  });

  it('each has each of the others count, and hears of it', async () => {
    const modules = [
      await publish('isthmus-lua-5.4', LUA_COUNTER),
      await publish('isthmus-js-quickjs', script('counter.js')),
      await publish('isthmus-evm', artifacts['Counter']?.bytecode ?? ''),
    ];
    if (fs.existsSync(AOS_MODULE))
      modules.push(await publish('wasm32-unknown-emscripten4', fs.readFileSync(AOS_MODULE)));
    const processes: string[] = [];
    for (const module of modules) processes.push(await spawn(module));
    const aos = processes[3];
    if (aos) await send(aos, { Action: 'Eval' }, AOS_COUNTER);
    for (const from of processes)
      for (const to of processes) if (from !== to) await send(from, { Action: 'Forward', To: to });
    await settle();
    for (const process of processes) {
      const others = processes.filter((p) => p !== process);
      expect((await results(process)).filter((r) => r.Error !== undefined)).toEqual([]);
      expect(await counts(process)).toEqual(others.map((_, i) => String(i + 1)));
      expect(new Set(await heard(process))).toEqual(new Set(others));
    }
    expect(failures).toEqual([]);
  });

  it('a Lua process spawns a contract, calls it by its ABI and is answered', async () => {
    const [lua, contract] = [
      await publish('isthmus-lua-5.4', LUA_COUNTER),
      await publish('isthmus-evm', artifacts['Probe']?.bytecode ?? ''),
    ];
    const parent = await spawn(lua);
    const given = encodeAbiParameters([{ type: 'uint256' }], [42n]);
    await send(parent, { Action: 'Spawn', Of: contract, Authority: MESSENGER.address }, given);
    await settle();
    const told = (await pipeline.scheduler.entries(parent, 0, 100)).find(
      (e) => tagOf(e.message.tags, 'Action') === 'Spawned',
    );
    const child = tagOf(told?.message.tags ?? [], 'Process') ?? '';
    const abi = artifacts['Probe']?.abi as Abi;
    for (const functionName of ['given', 'spawner'])
      await send(parent, { Action: 'Call', To: child }, encodeFunctionData({ abi, functionName }));
    await settle();
    const answers = (await pipeline.scheduler.entries(parent, 0, 100)).filter(
      (e) => tagOf(e.message.tags, 'Action') === 'Return' && tagOf(e.message.tags, 'From-Process') === child,
    );
    // Its parent spawned it, not the messenger that passed the wish on.
    const spawner = pad(`0x${keccak256(stringToHex(parent)).slice(-40)}`);
    expect(answers.map((e) => e.message.data.toString())).toEqual([given, spawner]);
    expect(failures).toEqual([]);
  });
});

describe('the same token in each machine', () => {
  const SUPPLY = 10n ** 12n;
  const HOLDERS = ['a', 'b', 'c', 'd'].map((c) => c.repeat(43));
  const [OWNER = ''] = HOLDERS;
  const LUA_TOKEN = `
local balances = { [ao.env.Process.Owner] = math.tointeger(ao.env.Process.Tags.Supply) }
local function transfer(msg)
  local recipient, text = msg.Tags.Recipient or "", msg.Tags.Quantity or ""
  if recipient == "" then error("Recipient is missing", 0) end
  if not text:match("^[1-9]%d*$") and text ~= "0" then error("Quantity is no amount", 0) end
  local quantity, held = math.tointeger(tonumber(text)), balances[msg.From] or 0
  if quantity > held then ao.send({ Target = msg.From, Action = "Transfer-Error", Data = "Insufficient Balance!" }) return end
  balances[msg.From] = held - quantity
  balances[recipient] = (balances[recipient] or 0) + quantity
  ao.send({ Target = msg.From, Action = "Debit-Notice", Quantity = text, Recipient = recipient })
  ao.send({ Target = recipient, Action = "Credit-Notice", Quantity = text, Sender = msg.From })
end
function handle(msg)
  if msg.Tags.Action == "Transfer" then transfer(msg)
  elseif msg.Tags.Action == "Balance" then
    ao.send({ Target = msg.From, Action = "Balance", Data = balances[msg.Tags.Recipient or msg.From] or 0 })
  end
end`;
  const PROCESS = 'P'.repeat(43);
  const env = {
    Process: {
      Id: PROCESS,
      Owner: OWNER,
      Tags: list({
        Supply: String(SUPPLY),
        'Constructor-Arguments': encodeAbiParameters([{ type: 'string' }, { type: 'uint256' }], [OWNER, SUPPLY]),
      }),
    },
    Module: { Id: 'M'.repeat(43), Owner: 'o', Tags: [] },
  };
  const MODULES = [
    ['isthmus-lua-5.4', LUA_TOKEN],
    ['isthmus-js-quickjs', script('token.js')],
    ['isthmus-evm', artifacts['Token']?.bytecode ?? ''],
  ] as const;
  let nonce = 0;
  const message = (From: string, tags: Record<string, string>, Id = `id-${(nonce += 1)}`): VmMessage => ({
    Id,
    Owner: From,
    From,
    Target: PROCESS,
    Anchor: '',
    Data: '',
    Tags: list(tags),
    Module: env.Module.Id,
    Epoch: 0,
    Nonce: nonce,
    Timestamp: 1_700_000_000_000,
    'Block-Height': '1',
    'Hash-Chain': '',
    Cron: false,
  });
  /** What must be the same everywhere: who is sent what; and that it failed, not in which words. */
  const said = ({ Error: reason, Messages }: EvaluationResult) =>
    reason === undefined
      ? Messages.map(({ Target, Data, Tags }: OutboundMessage) => ({
          Target,
          Data,
          tags: Object.fromEntries(Tags.map((t) => [t.name, t.value])),
        }))
      : 'failed';

  async function tokens(names: readonly string[]) {
    const instances = await Promise.all(
      MODULES.filter(([format]) => names.includes(format)).map(async ([format, source]) => {
        const machine = machineFor(format);
        if (!machine) throw new Error(`No machine for ${format}.`);
        return machine.load(Buffer.from(source), format, env, null);
      }),
    );
    for (const instance of instances)
      expect((await instance.handle(message(OWNER, {}, PROCESS))).Error).toBeUndefined();
    return instances;
  }

  const holder = fc.constantFrom(...HOLDERS);
  const amount = fc.oneof(
    { weight: 6, arbitrary: fc.bigInt({ min: 0n, max: SUPPLY }).map((n) => String(n / 10n ** (n % 9n))) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('', '-1', '+1', '1.5', '01', '1e3', '0x10', ' 1', '1 ', '\u0661', 'Infinity'),
    },
  );
  const transfer = fc
    .record({ from: holder, Recipient: fc.oneof({ weight: 9, arbitrary: holder }, fc.constant('')), Quantity: amount })
    .map(({ from, ...tags }) => message(from, { Action: 'Transfer', ...tags }));

  it.each([
    [60, ['isthmus-lua-5.4', 'isthmus-js-quickjs']],
    [12, ['isthmus-lua-5.4', 'isthmus-evm']],
  ])(
    'answers the same random transfers (%s times 40) with the same words, and holds the same balances: %s',
    async (numRuns, names) => {
      const instances = await tokens(names);
      let transfers = 0;
      let failed = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(transfer, { minLength: 40, maxLength: 40 }), async (messages) => {
          for (const m of messages) {
            const [lua, other] = await Promise.all(instances.map(async (instance) => said(await instance.handle(m))));
            expect(other).toEqual(lua);
            transfers += 1;
            if (lua === 'failed') failed += 1;
          }
          let sum = 0n;
          for (const Recipient of HOLDERS) {
            const asked = message(OWNER, { Action: 'Balance', Recipient });
            const [lua, other] = await Promise.all(
              instances.map(async (instance) => (await instance.dryRun(asked)).Messages[0]?.Data),
            );
            expect(other).toBe(lua);
            sum += BigInt(lua ?? '');
          }
          expect(sum).toBe(SUPPLY);
        }),
        { numRuns, endOnFailure: true },
      );
      expect(transfers).toBe(40 * numRuns);
      expect(failed).toBeGreaterThan(transfers / 20);
      expect(failed).toBeLessThan(transfers / 2);
    },
  );
});
