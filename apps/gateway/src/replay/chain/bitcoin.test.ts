/** The books of a replay on a real regtest node, against a gateway that runs: the same books, and what is wrong is named. */
import { depositId, encodeDepositLine, type DepositObservation } from '@isthmus/bridge';
import {
  changeOf,
  combine,
  encodeAddress,
  memoScript,
  parseAddress,
  planPayment,
  planSweep,
  signBatch,
  vaultScript,
  type Batch,
  type Payout,
  type VaultCoin,
} from '@isthmus/chains';
import { devAccount, devKey } from '@isthmus/devnet';
import { makeVault, secretOf, urlOf } from '../../../../../libs/chains/src/bitcoin/harness.js';
import { BITCOIN, BitcoinGateway, BTC, NETWORK, SWEEP_FEE } from '../../../bitcoin-stage.js';
import { guardianKey, until } from '../../../harness.js';
import { foundIn, replayedBooks, replayedIndex } from '../../../replayed-index.js';
import type { ReplayedBooks } from './asset-books.js';
import { Payments } from './payments.js';

const HOLDER = devAccount(5).address;
const RATE = 2_000n;
const PAID_IN = 100_000_000n;
const OTHER = encodeAddress({ kind: 'p2wpkh', hash: secretOf('other').subarray(0, 20) }, NETWORK);
let world: BitcoinGateway;
let anchor: VaultCoin;

beforeAll(async () => {
  world = await BitcoinGateway.open();
  const memo = { script: memoScript({ recipient: HOLDER, tags: [] }), value: 0n };
  const tx = await world.pay({ address: world.lock.address, value: PAID_IN }, memo);
  await world.bitcoin.mine(4);
  anchor = { txid: tx.getId(), vout: 0, value: PAID_IN, lock: world.lock, deposit: false };
  await minted(tx.getId(), PAID_IN - SWEEP_FEE);
});
afterAll(() => world.close());

/** Guardians attest a deposit, whether there is one or not. */
async function minted(txHash: string, amount: bigint): Promise<void> {
  const reference = `${BITCOIN}:${txHash}:0`;
  const id = depositId(reference);
  const seen: DepositObservation = { id, reference, txHash, sender: '-', recipient: HOLDER, amount, tags: '-' };
  for (const guardian of [0, 1])
    await world.message(guardianKey(guardian), { Action: 'Attest-Deposits' }, encodeDepositLine(seen));
  await until('it is minted', async () => (await stateOf(seen.id)) === 'minted');
}

const stateOf = async (id: string): Promise<string | null> =>
  (await world.get<{ state: string }>(`/v1/transfers/${id}`).catch(() => null))?.state ?? null;

/** A withdrawal burned on AO. */
async function burned(number: bigint, amount = 1_000_000n): Promise<Payout> {
  const recipient = encodeAddress({ kind: 'p2wpkh', hash: secretOf(`payee ${number}`).subarray(0, 20) }, NETWORK);
  const tags = { Quantity: String(amount), Recipient: recipient, 'Max-Fee': '50000' };
  await world.message(devKey(5), { Action: 'Withdraw', ...tags });
  await until('it is burned', async () => {
    const { transfers } = await world.get<{ transfers: { amount: string }[] }>(`/v1/transfers?state=queued`);
    return transfers.some((t) => t.amount === String(amount));
  });
  return { number, script: parseAddress(recipient, NETWORK).script, amount, maxFee: 50_000n };
}

const plan = (payouts: readonly Payout[]): Batch =>
  planPayment({ vault: world.vault, inputs: [anchor], changeTo: world.lock, payouts, feeRate: RATE });

/** As it goes: proposed and signed on AO, sent by the relayer; it is in a block. */
async function carriedOut(batch: Batch): Promise<Batch> {
  const id = await world.propose(0, batch, RATE);
  for (const guardian of [0, 1]) await world.sign(guardian, id, batch);
  const { mempool } = world.bitcoin.node;
  await until('it is sent', () =>
    Promise.resolve([...mempool.map.values()].some(({ tx }) => tx.txid() === batch.txid)),
  );
  await world.bitcoin.mine(4);
  anchor = changeOf(batch);
  return batch;
}

/** Guardians sign it with their keys and send it, whatever AO says; it is in a block. */
async function paid(batch: Batch): Promise<Batch> {
  const parts = world.secrets.slice(0, 2).map((secret) => signBatch(batch, secret));
  await world.bitcoin.send(combine(batch, parts));
  await world.bitcoin.mine(4);
  anchor = changeOf(batch);
  return batch;
}

async function attested(number: bigint, tx: string, fee: bigint): Promise<void> {
  const line = `${number} ${tx} ${fee} paid`;
  for (const guardian of [0, 1]) await world.message(guardianKey(guardian), { Action: 'Attest-Release' }, line);
  await until('it is released', async () => {
    const { transfers } = await world.get<{ transfers: { releaseTx: string }[] }>('/v1/transfers?state=released');
    return transfers.some((t) => t.releaseTx === tx);
  });
}

/** The books a fresh machine comes to from the schedules and the node; `damage` is done to what the schedules came to. */
const replayed = async (damage?: string): Promise<ReplayedBooks[]> =>
  replayedBooks(
    {
      live: world.gateway.database,
      url: await world.cluster.fresh(),
      assets: new Map([[world.process, BTC]]),
      source: { chain: BITCOIN, urls: [urlOf(world.bitcoin)] },
    },
    damage,
  );
const found = (damage?: string): Promise<string> => foundIn(replayed(damage));

it('I3 I11 deposits, payments and what the vault holds come to the books that the gateway shows', async () => {
  const first = await carriedOut(plan([await burned(1n)]));
  await attested(1n, first.txid, first.payouts[0]?.fee ?? 0n);
  await carriedOut(plan([await burned(2n, 2_000_000n), await burned(3n, 3_000_000n)])); // not attested
  const [books] = await replayed();
  const shown = await until('the gateway has seen all', async () => {
    const { books: all } = await world.get<{ books: Record<string, string>[] }>('/v1/books');
    return all[0]?.['releasedUnattested'] === '5000000' ? all[0] : null;
  });
  const told = Object.fromEntries(Object.entries(books ?? {}).map(([name, value]) => [name, String(value)]));
  const { locked, supply, inFlight, releasedUnattested } = told;
  expect({ locked, supply, inFlight, releasedUnattested }).toEqual({
    locked: shown['locked'],
    supply: String(PAID_IN - SWEEP_FEE - 6_000_000n),
    inFlight: '5000000',
    releasedUnattested: '5000000',
  });
  expect(books?.early).toEqual([]);
});

it('a payment whose burn is not settled is told, and no finding: it may be settled later', async () => {
  const [books] = await replayed('delete from transfer where number = 3');
  expect(books?.early).toEqual([{ number: 3n, tx: anchor.txid }]);
});

describe('what is wrong is named', () => {
  it.each([
    [
      'less than was burned',
      `update transfer set amount = amount + 60000 where number = 2`,
      /pays \d+ for withdrawal 2; 2060000 were burned/,
    ],
    [
      'somebody else',
      `update transfer set recipient = '${OTHER}' where number = 2`,
      /pays somebody else for withdrawal 2/,
    ],
    [
      'another amount than was minted',
      `update transfer set amount = amount - 1 where direction = 'deposit'`,
      /was minted, 99999299 for 0x\w+, and the chain shows 99999300/,
    ],
    [
      'more than the vault has',
      `update asset_total set minted = minted + 1000`,
      /The vault holds \d+ of .*: \d+ too little/,
    ],
  ])('%s', async (_, damage, message) => {
    expect(await found(damage)).toMatch(message);
  });

  it('a release that no block pays', async () => {
    await burned(4n, 4_000_000n);
    expect(await found(`update transfer set state = 'released', release_tx = 'none' where number = 4`)).toMatch(
      /Withdrawal 4 is released by none, and no block/,
    );
    expect(await found()).toBe('nothing');
  });

  it('I2 a second payment of one withdrawal', async () => {
    const database = await replayedIndex(world.gateway.database, await world.cluster.fresh());
    const payments = new Payments(database, world.process);
    const one = { number: 2n, paid: 1_990_000n, isTo: () => true, tx: 'one' };
    await payments.take([one]);
    await expect(payments.take([{ ...one, tx: 'other' }])).rejects.toThrow(
      'Withdrawal 2 was paid twice, by other again',
    );
    await database.destroy();
  });

  it('a transaction of the guardians that no burn explains', async () => {
    const { lock } = { lock: vaultScript(makeVault(3, 2, 'thief').vault, NETWORK) };
    const sweep = {
      vault: world.vault,
      changeTo: lock,
      anchor,
      unconfirmed: 0,
      feeRate: RATE,
      coins: [],
      reserve: PAID_IN,
    };
    const thief = await paid(planSweep(sweep));
    expect(await found()).toContain(`${thief.txid} spends the vault’s coins, and does not name what it pays`);
  });

  it('a mint of what nobody has paid', async () => {
    await minted('ab'.repeat(32), 1_000n);
    expect(await found()).toMatch(/Deposit 0x\w+ was minted, and no block of the chain has it/);
  });
});
