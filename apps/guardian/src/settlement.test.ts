/** Large releases wait until they can be read on Arweave (I8, I10): what one guardian signs when, on a real schedule and a local Arweave. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { arweaveSigner, decodeBundle, ed25519Signer, parseItem, tagOf, type Signer } from '@isthmus/ao';
import {
  ArweaveClient,
  ArweaveSource,
  BaseLayerPoster,
  createSeal,
  digestOf,
  encodeSettledBundle,
  openSettledBundle,
  SettlementStore,
  Settler,
} from '@isthmus/arweave';
import { testWallet } from '@isthmus/store';
import { addressOfWallet, startArweave, type LocalArweave } from '@isthmus/devnet';
import { SCHEDULER, World, type Scene, type Subject } from '../harness.js';
import { guardianSchema } from './config.js';

const UNIT = 1_000_000n;
const LARGE = 50_000n;
let world: World;
let arweave: LocalArweave;
const jwk = testWallet();
let folder: string;

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-large-'));
  [world, arweave] = await Promise.all([World.open(), startArweave({ dir: path.join(folder, 'arweave') })]);
  await arweave.mint(addressOfWallet(jwk), 10n ** 16n);
});
afterAll(async () => {
  await world.close();
  await arweave.stop();
  fs.rmSync(folder, { recursive: true });
});
afterEach(async () => {
  arweave.faults.heal();
  await world.clear();
});

/** Guardians of a coin that was minted to Alice, of which withdrawals above `LARGE` wait for settlement. */
async function funded(): Promise<{ scene: Scene; subjects: [Subject, Subject] }> {
  const scene = await world.scene();
  const settlement = { arweaveUrl: arweave.url, confirmations: 2, releaseAbove: { [scene.coin.id]: String(LARGE) } };
  const subjects: [Subject, Subject] = [
    await scene.guardian(0, { settlement }),
    await scene.guardian(1, { settlement }),
  ];
  await scene.deposited(UNIT);
  for (const s of subjects) await s.round();
  for (const s of subjects) await s.round();
  return { scene, subjects };
}

/** All that is in the units' database, sealed by this key and posted. */
async function settle(signer: Signer = SCHEDULER): Promise<void> {
  const client = new ArweaveClient(arweave.url);
  const settler = new Settler({
    database: world.database,
    store: new SettlementStore(world.database),
    signer,
    client,
    source: new ArweaveSource(arweave.url),
    poster: new BaseLayerPoster(client, arweaveSigner(jwk)),
    policy: {
      bundleBytes: 1024 * 1024,
      bundleMs: 0,
      confirmations: 1,
      finalConfirmations: 50,
      dropMs: 60_000,
      checkpointSlots: 10_000,
      indexMs: 0,
      spotCheckMs: 0,
      behindMs: 3_600_000,
      minBalance: 0n,
      minDays: 0,
    },
  });
  await settler.step();
  await settler.stop();
}
/** The bundle as a scheduler would seal it that lies about what was signed: under the same ids, other contents. */
async function lie(bytes: Buffer): Promise<Buffer> {
  const { seal } = openSettledBundle(bytes);
  const items = decodeBundle(bytes)
    .slice(1)
    .map(({ id, raw }) => {
      const other = Buffer.from(raw);
      const isMessage = parseItem(raw).data.length === 0 && tagOf(parseItem(raw), 'Action') === 'Withdraw';
      const at = isMessage ? other.lastIndexOf(String(LARGE + 1n)) : -1;
      if (at >= 0) other.write('9', at);
      return { id, raw: other };
    });
  const sealed = await createSeal({ ...seal, digest: digestOf(items) }, SCHEDULER);
  const lied = encodeSettledBundle(sealed.item, items);
  expect(openSettledBundle(lied).ranges).toHaveLength(seal.ranges.length); // it is a bundle, and the scheduler's
  expect(lied.equals(bytes)).toBe(false);
  return lied;
}
const refusals = async (subject: Subject): Promise<string[]> => {
  await subject.guardian.watch();
  await subject.guardian.follow();
  return [...(await subject.guardian.sign()).values()];
};

it('I8 signs a large release when it is settled and deep enough, and smaller ones at once', async () => {
  const { scene, subjects } = await funded();
  const [one, other] = subjects;
  await scene.withdraw(LARGE + 1n);
  await scene.withdraw(LARGE);
  expect(await refusals(one)).toEqual(['settlement']);
  expect(await one.signed()).toEqual(['2@1']);
  await settle();
  expect(await refusals(one)).toEqual(['settlement']); // taken, and in no block
  await arweave.mine();
  expect(await refusals(one)).toEqual(['settlement']); // one block is too few
  await arweave.mine();
  expect(await refusals(one)).toEqual([]);
  expect(await one.signed()).toEqual(['1@1', '2@1']);
  arweave.faults.fail();
  expect(await refusals(other)).toEqual(['settlement']); // what cannot be asked is not known to be there
  expect(await other.signed()).toEqual(['2@1']);
  arweave.faults.heal();
  expect(await refusals(other)).toEqual([]);
});

it('I8 a bundle that was lost and posted again counts, though the index goes on naming what carried it first', async () => {
  const { scene, subjects } = await funded();
  const [one] = subjects;
  await scene.withdraw(LARGE + 1n);
  await settle();
  await arweave.mine(2);
  const [row] = await new SettlementStore(world.database).page(null, 1);
  const client = new ArweaveClient(arweave.url);
  const bytes = (await client.data(row?.carrier ?? '', 10_000_000)) ?? Buffer.alloc(0);
  arweave.faults.answerWith(row?.carrier ?? '', Buffer.from('nothing'));
  expect(await refusals(one)).toEqual(['settlement']);
  const poster = new BaseLayerPoster(client, arweaveSigner(jwk));
  const label = { scheduler: SCHEDULER.address, sequence: row?.sequence ?? 0, seal: row?.seal ?? '' };
  await poster.send(await poster.sign(bytes, label), bytes, 0, () => Promise.resolve());
  await arweave.mine();
  expect(await refusals(one)).toEqual(['settlement']); // not deep enough
  await arweave.mine();
  expect(await refusals(one)).toEqual([]);
});

it('I8 believes no other bytes, and no other scheduler’s bundle', async () => {
  const { scene, subjects } = await funded();
  const [one] = subjects;
  await scene.withdraw(LARGE + 1n);
  expect(await refusals(one)).toEqual(['settlement']);
  await settle();
  await arweave.mine(2);
  const [row] = await new SettlementStore(world.database).page(null, 1);
  const bytes = await new ArweaveClient(arweave.url).data(row?.carrier ?? '', 10_000_000);
  const altered = Buffer.from(bytes ?? '');
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  arweave.faults.answerWith(row?.carrier ?? '', altered);
  expect(await refusals(one)).toEqual(['settlement']);
  arweave.faults.answerWith(row?.carrier ?? '', await lie(bytes ?? Buffer.alloc(0)));
  expect(await refusals(one)).toEqual(['settlement']);
  arweave.faults.answerWith(row?.carrier ?? '', Buffer.from('nothing'));
  expect(await refusals(one)).toEqual(['settlement']);
  arweave.faults.heal();
  await world.database.query(
    'truncate settlement_bundle, settlement_range, settlement_item, settlement_progress cascade',
  );
  await settle(ed25519Signer(Buffer.alloc(32, 9)));
  await arweave.mine(2);
  const [forged] = await new SettlementStore(world.database).page(null, 1);
  const theirs = await new ArweaveClient(arweave.url).data(forged?.carrier ?? '', 10_000_000);
  arweave.faults.answerWith(row?.carrier ?? '', theirs ?? Buffer.alloc(0));
  expect(await refusals(one)).toEqual(['settlement']);
  arweave.faults.heal();
  expect(await one.signed()).toEqual([]);
});

it('names an asset in the policy that is none of this guardian', () => {
  const read = guardianSchema.safeParse({
    name: 'g',
    keyFile: 'k',
    databaseUrl: 'postgres://x',
    port: 1,
    gatewayUrl: 'https://gateway.example',
    scheduler: 'A'.repeat(43),
    homes: [
      {
        chain: {
          id: 'eip155:1',
          rpcUrls: ['https://rpc.example'],
          agreement: 1,
          finality: { tag: 'finalized' },
          vault: `0x${'11'.repeat(20)}`,
          deployBlock: 1,
        },
        assets: [{ id: 'eip155:1/slip44:60', address: `0x${'0'.repeat(40)}`, process: 'A'.repeat(43) }],
      },
    ],
    settlement: { arweaveUrl: 'https://arweave.example', releaseAbove: { 'eip155:1/slip44:61': '1' } },
  });
  expect(read.error?.issues.map((i) => i.path.join('.'))).toEqual(['settlement.releaseAbove.eip155:1/slip44:61']);
});
