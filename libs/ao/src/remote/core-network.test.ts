/** A node of AO-Core as a network: Isthmus' own node, over real HTTP, followed by a replica and by the remote engine. */
import type { DataSource } from 'typeorm';
import { UnitsStage } from '../../harness.js';
import { createItem, ed25519Signer, ethereumSigner } from '../items/index.js';
import { AoPipeline } from '../pipeline.js';
import type { Item } from '../types.js';
import { ComputeUnits } from './compute-units.js';
import { CoreCompute, CoreNetwork } from './core-network.js';
import { tagList } from '../items/tags.js';
import { RemoteEngine } from './remote-engine.js';

const [SCHEDULER, MESSENGER] = [1, 2].map((n) => ed25519Signer(Buffer.alloc(32, n))) as [
  ReturnType<typeof ed25519Signer>,
  ReturnType<typeof ed25519Signer>,
];
const ALICE = ethereumSigner(`0x${'5'.repeat(64)}`);
const COUNTER = `local n = 0
function handle(msg)
  if msg.Tags.Action == "Count" then n = n + 1 end
  ao.send({ Target = msg.From, Data = n .. (msg.Tags.Note or "") })
end`;

let stage: UnitsStage;
let database: DataSource;
let pipeline: AoPipeline;
let url: string;
let network: CoreNetwork;
let process: string;
let count = 0;

const say = (action: string): Promise<Item> =>
  createItem(
    {
      target: process,
      anchor: String((count += 1)).padStart(32, '0'),
      tags: tagList({ 'Data-Protocol': 'ao', Type: 'Message', Action: action }),
      data: 'x',
    },
    ALICE,
  );

beforeAll(async () => {
  stage = await UnitsStage.open({ schedulerSigner: SCHEDULER, messengerSigner: MESSENGER });
  ({ database, pipeline, url } = stage);
  network = new CoreNetwork({ nodeUrl: url, gatewayUrl: url });
  const format = { 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' };
  const module = await createItem({ tags: tagList(format), data: COUNTER }, ALICE);
  const tags = tagList({ 'Data-Protocol': 'ao', Type: 'Process', Module: module.id });
  const spawn = await createItem({ tags, data: '' }, ALICE);
  process = spawn.id;
  for (const item of [module, spawn]) await network.send(item);
});
afterAll(() => stage.close());

it('takes items, shows them in their places, and gives results and reads', async () => {
  for (let i = 0; i < 11; i += 1) await network.send(await say('Count'));
  const shown = await network.schedule(process, null, 100);
  expect(shown.map((e) => e.message.raw)).toEqual(
    (await pipeline.scheduler.entries(process, 0, 100)).map((e) => e.message.raw),
  );
  const engine = new RemoteEngine({
    database,
    network,
    compute: new ComputeUnits([new CoreCompute(url)], 1),
    scheduler: SCHEDULER.address,
    messenger: MESSENGER.address,
    processes: [process],
    pollMs: 5,
    onFailure: () => undefined,
    onSound: () => undefined,
  });
  await engine.sync(process);
  await network.send(await say('Count'));
  await engine.sync(process);
  const slots = await engine.slots(process, 0, 100);
  expect(slots.map((s) => s.result.Messages[0]?.Data)).toEqual(Array.from({ length: 13 }, (_, i) => String(i)));
  const read = await engine.dryRun(process, { owner: 'x', tags: [{ name: 'Note', value: ' & /más=?' }] });
  expect(read.Messages[0]?.Data).toBe('12 & /más=?');
});

it('I9 says what it cannot do, and what the node refuses', async () => {
  const compute = new CoreCompute(url);
  await expect(compute.dryRun(process, { owner: 'x', tags: [], data: 'data' })).rejects.toMatchObject({
    code: 'refused',
  });
  await expect(compute.dryRun('Q'.repeat(43), { owner: 'x', tags: [] })).rejects.toMatchObject({
    code: 'refused',
    status: 404,
  });
  await expect(network.schedule('Q'.repeat(43), null, 10)).rejects.toMatchObject({ code: 'refused', status: 404 });
  const item = await say('Count');
  const forged = { ...item, raw: Buffer.from(item.raw.map((b, i) => (i === item.raw.length - 1 ? b ^ 1 : b))) };
  await expect(network.send(forged)).rejects.toMatchObject({ code: 'refused', status: 400 });
});
