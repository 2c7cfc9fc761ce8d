/**
 * A gateway whose relayer of batches on Bitcoin is killed (kill -9) between two of its durable steps and begun again on the same database, on a real
 * regtest node: each withdrawal is paid once, and each is shown as released. For I2, I12 and X4.
 */
import { changeOf, hexOf, planPayment, type Batch, type VaultCoin } from '@isthmus/chains';
import { freePort } from '@isthmus/store';
import { Transaction } from 'bitcoinjs-lib';
import { BitcoinGateway, type Detail } from '../apps/gateway/bitcoin-stage.js';
import { guardianKey } from '../apps/gateway/harness.js';
import type { CrashPoint } from '../apps/gateway/src/crash-point.js';
import { KilledGateway, until } from './killed-gateway.js';

const RATE = 2_000n;
const AMOUNT = 1_000_000n;
const MAX_FEE = 50_000n;
/** No batch pays as much: nodes take none. */
const SHUT = 1_000_000n;

let world: BitcoinGateway;
let anchor: VaultCoin;
let begun: number;
beforeAll(async () => {
  world = await BitcoinGateway.open({}, { port: await freePort() });
  begun = world.bitcoin.node.height;
  anchor = await world.funded(100_000_000n);
});
afterAll(() => world.close());

/** A batch of two that enough guardians have signed, with a gateway that could send it to nobody and is stopped. */
async function heldBack(): Promise<Batch> {
  const { vault, lock: changeTo, bitcoin } = world;
  const floor = bitcoin.fees.floor;
  bitcoin.fees.floor = SHUT;
  const [one, two] = [
    await world.burned({ amount: AMOUNT, maxFee: MAX_FEE }),
    await world.burned({ amount: AMOUNT, maxFee: MAX_FEE }),
  ];
  const batch = planPayment({ vault, inputs: [anchor], changeTo, payouts: [one, two], feeRate: RATE });
  await world.signed(batch, RATE);
  for (const { number } of batch.payouts)
    await world.state(number, 'ready', (d) => d.waiting?.reason === 'fee-too-low');
  await world.gateway.stop();
  bitcoin.fees.floor = floor;
  anchor = changeOf(batch);
  return batch;
}

/** What blocks have paid a script since the test began, satoshis each. */
async function paid(script: Uint8Array): Promise<bigint[]> {
  const { node } = world.bitcoin;
  const found: bigint[] = [];
  for (let height = begun + 1; height <= node.height; height += 1) {
    const block = await node.chain.getBlock((await node.entryAt(height)).hash);
    for (const tx of block?.txs ?? [])
      for (const out of Transaction.fromBuffer(tx.toRaw()).outs)
        if (hexOf(out.script) === hexOf(script)) found.push(out.value);
  }
  return found;
}

const kindsOf = ({ timeline }: Detail): string[] => timeline.map(({ kind }) => kind);

/** The relayer's steps, in their order. */
export const POINTS = [
  'relay.after-sign',
  'relay.after-broadcast',
  'relay.before-mined',
  'relay.after-mined',
] as const satisfies readonly CrashPoint[];

/** Kills the gateway at these points, in this order, over one batch, and sees that nothing is paid twice or lost. */
export async function survives(points: readonly (typeof POINTS)[number][]): Promise<void> {
  const { folder, config, homes, bitcoin } = world;
  const { databaseUrl, port } = config;
  const batch = await heldBack();
  const more = { homes, pollMs: 20, stuckMs: 200, rateLimit: 100_000 };
  const killed = new KilledGateway({ folder, port, databaseUrl, more, crashAt: points });
  try {
    const killedAt = (all: readonly string[]): Promise<void> =>
      until(`the gateway is killed at ${all.join(', ')}`, () => Promise.resolve(killed.kills === all.length));
    await killedAt(points.filter((point) => !point.endsWith('mined')));
    await until('the batch is sent', () => Promise.resolve(world.awaits(batch.txid)));
    await bitcoin.mine();
    await killedAt(points);
    for (const { number } of batch.payouts)
      await world.state(number, 'submitted', (d) => d.releaseTx === batch.txid && kindsOf(d).includes('mined'));
    await bitcoin.mine(3);
    for (const { number, fee } of batch.payouts)
      for (const guardian of [0, 1])
        await world.message(guardianKey(guardian), { Action: 'Attest-Release' }, `${number} ${batch.txid} ${fee} paid`);
    for (const { number, script, fee } of batch.payouts) {
      const shown = await world.state(number, 'released', (d) => d.releaseTx === batch.txid);
      for (const kind of ['submitted', 'mined', 'released'])
        expect([kind, kindsOf(shown).filter((k) => k === kind)]).toEqual([kind, [kind]]);
      expect(await paid(script)).toEqual([AMOUNT - fee]);
    }
    const { books } = await world.get<{ books: { ok: boolean }[] }>('/v1/books');
    expect(books[0]?.ok).toBe(true);
    expect(killed.kills).toBe(points.length);
  } finally {
    await killed.end();
    await world.begin();
  }
}
