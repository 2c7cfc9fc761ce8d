/** How the cost of a transfer grows with those before it: scheduled, computed and projected on a real database, early and late. */
import { AoPipeline, createItem, ed25519Signer, EmbeddedEngine, ethereumSigner, type Tag } from '@isthmus/ao';
import { depositId, depositReference, encodeDepositLine } from '@isthmus/bridge';
import { gatewayMigrations } from '@isthmus/migrations';
import { openDatabase, runMigrations, testCluster } from '@isthmus/store';
import { getAddress, type Hex } from 'viem';
import { Projector } from '../apps/gateway/src/transfers/projector.js';
import { DecisionStore } from '../apps/gateway/src/transfers/decision-store.js';
import { TransferStore } from '../apps/gateway/src/transfers/transfer-store.js';
import { SPAWN_TAGS, tokenSource, CHAIN, VAULT } from '../contracts/ao/harness.js';
import type { Figure } from './figure.js';

const EARLY = 1_000;
const LATE = 100_000;
/** Transfers of one measurement. */
const SAMPLE = 4_000;
const BATCH = 200;

const guardians = [1, 2, 3].map((i) => ethereumSigner(`0x${String(i).repeat(64)}`));
const tags = (all: Record<string, string>): Tag[] => Object.entries(all).map(([name, value]) => ({ name, value }));

export async function run(): Promise<Figure[]> {
  const cluster = await testCluster();
  const database = await openDatabase({
    url: await cluster.fresh(),
    migrations: gatewayMigrations,
    applicationName: 'bench',
  });
  try {
    await runMigrations(database);
    const fail = (_: unknown, error: unknown): void => {
      throw error;
    };
    const pipeline = new AoPipeline({
      database,
      schedulerSigner: ed25519Signer(Buffer.alloc(32, 1)),
      messengerSigner: ed25519Signer(Buffer.alloc(32, 2)),
      workers: 1,
      onFailure: fail,
    });
    const process = await spawn(pipeline);
    const asset = {
      id: SPAWN_TAGS['Isthmus-Asset'] as string,
      address: VAULT,
      symbol: 'T',
      name: 'Token',
      decimals: 6,
      process,
      minDeposit: 1n,
      minWithdrawal: 1n,
    };
    const projector = new Projector(
      new EmbeddedEngine(pipeline, database),
      new TransferStore(database),
      new DecisionStore(database),
      [asset],
      () => undefined,
      (error) => fail(null, error),
    );
    await projector.start();
    let at = 0;
    const load = async (count: number): Promise<number> => {
      const began = performance.now();
      for (const end = at + count; at < end; at += BATCH)
        await attest(pipeline, process, at, Math.min(BATCH, end - at));
      await pipeline.compute.advance(process);
      await projector.project(process);
      return (performance.now() - began) / count;
    };
    await load(EARLY);
    const early = await load(SAMPLE);
    await load(LATE - EARLY - SAMPLE);
    const late = await load(SAMPLE);
    await projector.stop();
    await pipeline.stop();
    console.error(
      `  ${(early * 1000).toFixed(0)} µs a transfer after ${EARLY}, ${(late * 1000).toFixed(0)} µs after ${LATE}`,
    );
    const value = late / early;
    return [
      {
        area: 'books',
        name: 'growth.transfer_cost',
        value,
        unit: 'x',
        against: `the cost after ${EARLY}`,
        ratio: value,
        target: '<= 1.5',
        ok: value <= 1.5,
      },
    ];
  } finally {
    await database.destroy();
    await cluster.close();
  }
}

async function spawn(pipeline: AoPipeline): Promise<string> {
  const [deployer] = guardians;
  if (!deployer) throw new Error('There are no guardians.');
  const module = await createItem(
    { tags: tags({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }), data: tokenSource() },
    deployer,
  );
  await pipeline.scheduler.schedule(module.raw);
  const config = { ...SPAWN_TAGS, Module: module.id, 'Isthmus-Guardians': guardians.map((g) => g.address).join(',') };
  const item = await createItem({ tags: tags(config), data: '' }, deployer);
  return (await pipeline.scheduler.schedule(item.raw)).process;
}

/** The same deposits by two guardians: seen, attested, minted, shown. */
async function attest(pipeline: AoPipeline, process: string, from: number, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, i) => {
    const reference = depositReference({ chain: CHAIN, vault: VAULT, sequence: BigInt(from + i + 1) });
    const hash: Hex = `0x${(from + i + 1).toString(16).padStart(64, '0')}`;
    const recipient = getAddress(`0x${(1 + ((from + i) % 5_000)).toString(16).padStart(40, '0')}`);
    return encodeDepositLine({
      id: depositId(reference),
      reference,
      txHash: hash,
      sender: VAULT,
      recipient,
      amount: 1_000n,
      tags: '-',
    });
  });
  const item = {
    target: process,
    tags: tags({ 'Data-Protocol': 'ao', Type: 'Message', Action: 'Attest-Deposits' }),
    data: lines.join('\n'),
  };
  await Promise.all(
    guardians.slice(0, 2).map(async (g) => pipeline.scheduler.schedule((await createItem(item, g)).raw)),
  );
}
