/** The books of a replay on a real vault, against a gateway that runs: the same books, and what is wrong is named. */
import { depositId, depositReference, type DepositObservation } from '@isthmus/bridge';
import { devAccount, devKey } from '@isthmus/devnet';
import type { Hex } from 'viem';
import { CHAIN, COIN_ID, GatewayStage, guardianKey, until } from '../../../harness.js';
import { foundIn, replayedBooks, toldOf } from '../../../replayed-index.js';
import type { ReplayedBooks } from './asset-books.js';

const HOLDER = devAccount(5).address;
const HELD = 10n ** 18n;
const AMOUNT = 5_000_000n;
const MAX_FEE = 20_000n;
const OTHER = devAccount(7).address;
let world: GatewayStage;

beforeAll(async () => {
  world = await GatewayStage.open();
  const { transactionHash } = await world.stage.deposit(HELD, HOLDER);
  await minted(await world.stage.read<bigint>('sequence'), transactionHash);
  await released(1n, true);
  await released(2n, false);
});
afterAll(() => world.close());

/** Guardians attest a deposit, whether there is one or not. */
async function minted(sequence: bigint, txHash: Hex): Promise<void> {
  const reference = depositReference({ chain: CHAIN, vault: world.stage.vault, sequence });
  const of = { sender: world.stage.account.address, recipient: HOLDER, amount: HELD, tags: '-' as const };
  const seen: DepositObservation = { id: depositId(reference), reference, txHash, ...of };
  for (const guardian of [0, 1]) await world.attest(guardian, seen);
  await untilShown(1, 'minted');
}

/** As many transfers in a state as there are to be. */
const untilShown = (count: number, state: string) =>
  until(`${count} are ${state}`, async () => {
    const { transfers } = await world.get<{ transfers: object[] }>(`/v1/transfers?state=${state}`);
    return transfers.length === count;
  });

/** Paid by the vault to who is to have it, whatever AO says of it; the block is final. */
async function paid(number: bigint, process = world.process): Promise<Hex> {
  const recipient = devAccount(100 + Number(number)).address;
  const statement = world.stage.statement({ process, number, recipient, amount: AMOUNT, maxFee: MAX_FEE });
  const { transactionHash } = await world.stage.release(statement, 1_000n);
  await world.mine(5);
  return transactionHash;
}

/** A withdrawal, burned and paid; attested or not. */
async function released(number: bigint, isAttested: boolean): Promise<void> {
  const recipient = devAccount(100 + Number(number)).address;
  const tags = { Quantity: String(AMOUNT), Recipient: recipient, 'Max-Fee': String(MAX_FEE) };
  await world.message(devKey(5), { Action: 'Withdraw', ...tags });
  await untilShown(1, 'queued');
  const tx = await paid(number);
  if (!isAttested) return;
  const line = `${number} ${tx} 1000 paid`;
  for (const guardian of [0, 1]) await world.message(guardianKey(guardian), { Action: 'Attest-Release' }, line);
  await untilShown(1, 'released');
}

/** The books a fresh machine comes to; `damage` is done to what the schedules came to. */
const replayed = async (damage?: string): Promise<ReplayedBooks[]> =>
  replayedBooks(
    {
      live: world.gateway.database,
      url: await world.cluster.fresh(),
      assets: new Map([[world.process, COIN_ID]]),
      source: { chain: CHAIN, urls: [world.stage.anvil.url] },
    },
    damage,
  );
const found = (damage?: string): Promise<string> => foundIn(replayed(damage));

it('I3 I11 deposits, payments and what the vault holds come to the books that the gateway shows', async () => {
  const books = await replayed();
  const shown = await until('the gateway has seen all', async () => {
    const { books: all } = await world.get<{ books: Record<keyof ReplayedBooks, string>[] }>('/v1/books');
    return all[0]?.releasedUnattested === String(AMOUNT) ? all : null;
  });
  expect(books.map(toldOf)).toEqual(shown.map(toldOf));
  expect(books[0]).toMatchObject({ locked: HELD - 2n * AMOUNT, inFlight: AMOUNT, early: [] });
});

describe('what is wrong is named', () => {
  const bogus = `insert into transfer overriding system value select r.* from transfer t, jsonb_populate_record(t, '{"id": "x", "position": 99}') r where t.direction = 'deposit'`;
  const step = `insert into transfer_step overriding system value select r.* from transfer_step s, jsonb_populate_record(s, '{"transfer": "x"}') r where s.kind = 'minted'`;
  it.each([
    ['less than was burned', 'update transfer set amount = amount * 2 where number = 1', /for withdrawal 1; 10000000/],
    [
      'somebody else',
      `update transfer set recipient = '${OTHER}' where number = 2`,
      /pays somebody else for withdrawal 2/,
    ],
    [
      'another amount than was minted',
      `update transfer set amount = amount + 1 where direction = 'deposit'`,
      /was minted, 1000000000000000001 for .* shows 1000000000000000000 for/,
    ],
    [
      'a mint for somebody else',
      `update transfer set recipient = '${OTHER}' where direction = 'deposit'`,
      new RegExp(`was minted, ${HELD} for ${OTHER}, and the chain shows ${HELD} for ${HOLDER}`),
    ],
    [
      'a mint of what nobody has paid',
      `${bogus}; ${step}`,
      /Deposit x was minted, and no final block of the chain has it/,
    ],
    [
      'a release that no block pays',
      `insert into transfer overriding system value select r.* from transfer t, jsonb_populate_record(t, '{"id": "x", "number": 3, "state": "released", "position": 99}') r where t.number = 1`,
      /Withdrawal 3 is released by .*, and no block/,
    ],
    [
      'more than the vault has',
      'update asset_total set minted = minted + 1000',
      /The vault holds \d+ of .*: 1000 too little/,
    ],
  ])('%s', async (_, damage, message) => {
    expect(await found(damage)).toMatch(message);
  });

  it('a payment whose burn is not settled is told, and no finding: it may be settled later', async () => {
    const [books] = await replayed('delete from transfer where number = 2');
    expect(books?.early).toMatchObject([{ number: 2n }]);
  });

  it('a release that no burn explains: of a process that has no money there', async () => {
    await paid(1n, `${'Q'.repeat(42)}A`);
    expect(await found()).toMatch(new RegExp(`The vault holds ${HELD - 3n * AMOUNT} of .*: ${AMOUNT} too little`));
  });
});
