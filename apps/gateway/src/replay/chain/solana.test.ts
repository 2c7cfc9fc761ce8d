/** The books of a replay on the real token programs, against a gateway that runs: the same books, and what is wrong is named. */
import { depositId, depositReference, type DepositObservation } from '@isthmus/bridge';
import { createTransferInstruction } from '@solana/spl-token';
import { Keypair, PublicKey } from '@solana/web3.js';
import { guardianKey, until } from '../../../harness.js';
import { foundIn, replayedBooks, toldOf } from '../../../replayed-index.js';
import { HOLDER, SolanaStage } from '../../../solana-stage.js';
import type { ReplayedBooks } from './asset-books.js';

const HELD = 10n ** 12n;
let stage: SolanaStage;

beforeAll(async () => {
  stage = await SolanaStage.open();
  const { world } = stage;
  await minted(await world.run(world.instructions(world.sol, HELD, { recipient: HOLDER })));
});
afterAll(() => stage.close());

/** Guardians attest a deposit, whether there is one or not. */
async function minted(signature: string): Promise<void> {
  await stage.finalize();
  const reference = depositReference({ chain: stage.chain, signature, path: '0' });
  const sender = stage.world.user.publicKey.toBase58();
  const shared = { txHash: signature, sender, recipient: HOLDER, amount: HELD, tags: '-' as const };
  const seen: DepositObservation = { id: depositId(reference), reference, ...shared };
  for (const guardian of [0, 1]) await stage.attest(guardian, seen);
  await transfer(seen.id, 'minted');
}

const transfer = (id: string, state: string) =>
  until(`${id} is ${state}`, async () => {
    const row = await stage.get<{ state: string; releaseTx: string | null }>(`/v1/transfers/${id}`).catch(() => null);
    return row?.state === state ? row : null;
  });

/** A withdrawal, carried out as it goes, and final; attested or not. */
async function released(isAttested: boolean): Promise<void> {
  const recipient = Keypair.generate().publicKey.toBase58();
  const { number, id: withdrawal, amount } = await stage.withdraw(recipient);
  await transfer(withdrawal, 'queued');
  const payout = { process: stage.process, number, recipient, amount, fee: 20_000n, create: false };
  const plan = stage.plan(await stage.nonce(), [payout]);
  const id = await stage.propose(plan);
  for (const guardian of plan.signers) await stage.sign(id, guardian, plan);
  const tx = await until('it is paid', async () => {
    await stage.world.chain.tick();
    return (await stage.get<{ releaseTx: string | null }>(`/v1/transfers/${withdrawal}`)).releaseTx;
  });
  await stage.finalize();
  if (!isAttested) return;
  const line = `${number} ${tx} 20000 paid`;
  for (const guardian of [0, 1]) await stage.message(guardianKey(guardian), { Action: 'Attest-Release' }, line);
  await transfer(withdrawal, 'released');
}

/** The books a fresh machine comes to; `damage` is done to what the schedules came to. */
const replayed = async (damage?: string): Promise<ReplayedBooks[]> =>
  replayedBooks(
    {
      live: stage.gateway.database,
      url: await stage.cluster.fresh(),
      assets: new Map(stage.home.assets.map((a) => [a.process, a.id])),
      source: { chain: stage.chain, urls: [stage.world.chain.url] },
    },
    damage,
  );
const found = (damage?: string): Promise<string> => foundIn(replayed(damage));

it('I3 I11 deposits, payments and what the vaults hold come to the books that the gateway shows', async () => {
  await released(true);
  await released(false);
  const books = await replayed();
  const { books: shown } = await stage.get<{ books: Record<keyof ReplayedBooks, string>[] }>('/v1/books');
  expect(books.map(toldOf)).toEqual(shown.map(toldOf));
  expect(books[0]).toMatchObject({ releasedUnattested: 5_000_000n, inFlight: 5_000_000n, early: [] });
});

describe('what is wrong is named', () => {
  it.each([
    ['less than was burned', 'update transfer set amount = amount * 2 where number = 1', /for withdrawal 1; 10000000/],
    [
      'somebody else',
      `update transfer set recipient = '${Keypair.generate().publicKey.toBase58()}' where number = 2`,
      /pays somebody else for withdrawal 2/,
    ],
    [
      'another amount than was minted',
      `update transfer set amount = amount + 1 where direction = 'deposit'`,
      /was minted, 1000000000001 for .* shows 1000000000000 for/,
    ],
    [
      'a release that no block pays',
      `insert into transfer overriding system value select r.* from transfer t, jsonb_populate_record(t, '{"id": "x", "number": 3, "state": "released", "position": 99}') r where t.number = 1`,
      /Withdrawal 3 is released by .*, and no block/,
    ],
  ])('%s', async (_, damage, message) => {
    expect(await found(damage)).toMatch(message);
  });

  it('a payment whose burn is not settled is told, and no finding: it may be settled later', async () => {
    const [books] = await replayed('delete from transfer where number = 2');
    expect(books?.early).toMatchObject([{ number: 2n }]);
  });

  it('a mint of what nobody has paid', async () => {
    const bogus = `insert into transfer overriding system value select r.* from transfer t, jsonb_populate_record(t, '{"id": "x", "position": 99}') r where t.direction = 'deposit'`;
    const step = `insert into transfer_step overriding system value select r.* from transfer_step s, jsonb_populate_record(s, '{"transfer": "x"}') r where s.kind = 'minted'`;
    expect(await found(`${bogus}; ${step}`)).toMatch(/Deposit x was minted, and no final block of the chain has it/);
  });

  it('what guardians take for no withdrawal', async () => {
    const { world } = stage;
    const thief = await world.makeAccount(new PublicKey(world.sol.mint), Keypair.generate().publicKey);
    const { publicKey: multisig } = world.multisig;
    const two = world.guardians.slice(0, 2);
    const [from, keys] = [new PublicKey(world.sol.address), two.map((g) => g.publicKey)];
    const tx = await world.run([createTransferInstruction(from, thief, multisig, 1_000n, keys)], two);
    await stage.finalize();
    expect(await found()).toContain(`${tx} takes 1000 from the vault, and names no withdrawal`);
  });
});
