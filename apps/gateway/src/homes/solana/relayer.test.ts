/** The relayer on the real runtime: what guardians have proposed and signed is put together, sent and paid once, whatever happens on the way. */
import { depositId, depositReference, type DepositObservation } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import { Keypair, PublicKey } from '@solana/web3.js';
import type { Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { guardianKey, until } from '../../../harness.js';
import { scansOf } from '../../../plans.js';
import { HOLDER, SolanaStage } from '../../../solana-stage.js';
import type { TransferDetail } from '../../api/schemas.js';

let stage: SolanaStage;
const HELD = 10n ** 12n;

beforeAll(async () => {
  stage = await SolanaStage.open((config) => {
    for (const asset of config.homes.flatMap((home) => [...home.assets])) asset.relayFee ??= 20_000n;
    return config;
  });
  const signature = await stage.world.deposit(stage.world.sol, HELD);
  await stage.finalize();
  const reference = depositReference({ chain: stage.chain, signature, path: '0' });
  const sender = stage.world.user.publicKey.toBase58();
  const shared = { txHash: signature, sender, recipient: HOLDER, amount: HELD, tags: '-' as const };
  const deposit: DepositObservation = { id: depositId(reference), reference, ...shared };
  for (const guardian of [0, 1]) await stage.attest(guardian, deposit);
  await stateOf(deposit.id, 'minted');
});
afterAll(() => stage.close());

const detail = (id: string) => stage.get<TransferDetail>(`/v1/transfers/${id}`);
const stateOf = (id: string, wanted: string): Promise<TransferDetail> =>
  until(`${id} is ${wanted}`, async () => {
    const row = await detail(id).catch(() => null);
    return row?.state === wanted ? row : null;
  });
const nobody = (): string => Keypair.generate().publicKey.toBase58();
const lamports = (address: string): Promise<number> =>
  stage.world.connection.getBalance(new PublicKey(address), 'processed');
const sent = (): Promise<{ signature: string; state: string; numbers: string[] }[]> =>
  stage.gateway.database.query('select signature, state, numbers from solana_submission order by sent_at, signature');

interface Proposed {
  recipient: string;
  withdrawal: Hex;
  id: Hex;
  plan: solana.ReleasePlan;
}

/** A withdrawal with a proposal that pays it, without signatures. */
async function proposed(nonce = 0, over: Partial<solana.ReleasePlan> = {}): Promise<Proposed> {
  const recipient = nobody();
  const { number, id: withdrawal, amount } = await stage.withdraw(recipient);
  await stateOf(withdrawal, 'queued');
  const payout = { process: stage.process, number, recipient, amount, fee: 20_000n, create: false };
  const plan = stage.plan(await stage.nonce(nonce), [payout], over);
  return { recipient, withdrawal, plan, id: await stage.propose(plan) };
}

async function signed(one: Proposed): Promise<void> {
  for (const guardian of one.plan.signers) await stage.sign(one.id, guardian, one.plan);
}

/** Guardians attest that it was paid. */
async function attested(one: Proposed, tx: string): Promise<void> {
  const line = `${one.plan.payouts[0]?.number} ${tx} 20000 paid`;
  for (const guardian of [0, 1]) await stage.message(guardianKey(guardian), { Action: 'Attest-Release' }, line);
}

test('a proposal signed by two keys is put together, sent, in a block, final and released', async () => {
  const one = await proposed();
  await stage.sign(one.id, 0, one.plan);
  expect((await stateOf(one.withdrawal, 'signing')).waiting).toMatchObject({ reason: 'signatures' });
  await stage.sign(one.id, 2, one.plan);
  const { timeline } = await stateOf(one.withdrawal, 'submitted');
  const tx = String(timeline.find((s) => s.kind === 'submitted')?.proof['tx']);
  await until('it is paid', async () => (await lamports(one.recipient)) === 4_980_000);
  await stage.finalize();
  await until('its end is known', async () => (await sent()).some((s) => s.signature === tx && s.state === 'final'));
  const paid = await detail(one.withdrawal);
  expect(paid.releaseTx).toBe(tx);
  expect(paid.timeline.filter((s) => s.kind === 'mined').at(-1)).toMatchObject({
    proof: { tx, commitment: 'finalized' },
  });
  const { books } = await stage.get<{ books: { releasedUnattested: string; ok: boolean }[] }>('/v1/books');
  expect(books[0]).toMatchObject({ releasedUnattested: '5000000', ok: true });
  await attested(one, tx);
  await stateOf(one.withdrawal, 'released');
});

test('a bad signature, and one of another guardian, are passed over: it waits for signatures, and goes when they are good', async () => {
  const one = await proposed();
  await stage.sign(one.id, 0, one.plan);
  // The third has signed something else; the second, whom the plan does not name, its own part.
  const other = { ...one.plan, price: one.plan.price + 1n };
  await stage.sign(one.id, 2, one.plan, stage.part(2, other));
  const waits = await until('it waits', async () => {
    const row = await detail(one.withdrawal);
    return row.state === 'ready' && row.waiting?.reason === 'signatures' ? row : null;
  });
  expect(waits.releaseTx).toBeNull();
  expect((await sent()).flatMap((s) => s.numbers)).not.toContain(String(one.plan.payouts[0]?.number));
  // Guardians propose it anew, at another price.
  const again = { ...one, plan: other, id: await stage.propose(other) };
  await signed(again);
  await until('it is paid', async () => (await lamports(one.recipient)) === 4_980_000);
  await stage.finalize();
});

test('S13 a release that a fork drops is sent again, and pays once', async () => {
  const one = await proposed(1);
  await signed(one);
  await until('it is paid', async () => (await lamports(one.recipient)) === 4_980_000);
  const tx = (await sent()).at(-1)?.signature ?? '';
  await stage.world.chain.tick(2);
  stage.world.chain.fork([tx]);
  await until('it is paid again', async () => (await lamports(one.recipient)) === 4_980_000);
  await stage.finalize();
  await until('its end is known', async () => (await sent()).some((s) => s.signature === tx && s.state === 'final'));
  expect(await lamports(one.recipient)).toBe(4_980_000);
});

test('X5 after a restart nothing is paid twice, and what was not seen is sent again as it is', async () => {
  const one = await proposed();
  await signed(one);
  await until('it is paid', async () => (await lamports(one.recipient)) === 4_980_000);
  await stage.restart();
  const [before] = (await sent()).slice(-1);
  stage.world.chain.fork([before?.signature ?? '']);
  await until('it is paid again', async () => (await lamports(one.recipient)) === 4_980_000);
  await stage.finalize();
  await until('its end is known', async () => (await sent()).at(-1)?.state === 'final');
  expect((await sent()).at(-1)?.signature).toBe(before?.signature);
});

test('of two proposals over one nonce the dearer goes, and the other is never sent', async () => {
  const cheap = await proposed();
  const plan = { ...cheap.plan, price: 500_000n };
  const dear = { ...cheap, plan, id: await stage.propose(plan) };
  await stage.gateway.database.query('update projection set paused = true where process = $1', [stage.process]);
  await signed(cheap);
  await signed(dear);
  await until('it waits', async () => (await detail(cheap.withdrawal)).waiting?.reason === 'paused');
  await stage.gateway.database.query('update projection set paused = false where process = $1', [stage.process]);
  await until('it is paid', async () => (await lamports(cheap.recipient)) === 4_980_000);
  await stage.finalize();
  await until('its end is known', async () => (await sent()).at(-1)?.state === 'final');
  const number = String(cheap.plan.payouts[0]?.number);
  expect((await sent()).filter((s) => s.numbers.includes(number))).toHaveLength(1);
});

test('one that would fail is not sent: its nonce is not used up, and it waits for the relayer', async () => {
  const one = await proposed(0);
  // More than the vault has: as if the books were short.
  await stage.gateway.database.query(`update transfer set amount = $2 where id = $1`, [
    one.withdrawal,
    String(2n * HELD),
  ]);
  const short = { ...one.plan, payouts: one.plan.payouts.map((p) => ({ ...p, amount: 2n * HELD })) };
  const id = await stage.propose({ ...short, price: 2_000n });
  for (const guardian of [0, 2]) await stage.sign(id, guardian, { ...short, price: 2_000n });
  await until('it waits', async () => {
    const row = await detail(one.withdrawal);
    return row.state === 'ready' && row.waiting?.reason === 'relayer';
  });
  expect((await stage.nonce()).value).toBe(one.plan.nonce.value);
});

test('S19 what one guardian proposes over accounts that are no nonces of the relayer’s is not read, and holds up nobody', async () => {
  const good = await proposed();
  const { runtime } = stage.world.chain.ledger;
  // Two of them are more than one answer may hold, as programs' accounts are.
  for (const large of [nobody(), nobody()]) {
    runtime.put(large, { lamports: 10n ** 12n, owner: nobody(), data: Buffer.alloc(9_000_000), executable: false });
    await stage.propose({ ...good.plan, nonce: { account: large, value: nobody() } });
  }
  await stage.finalize();
  await signed(good);
  await until('it is paid', async () => (await lamports(good.recipient)) === 4_980_000);
  await stage.finalize();
  await until('its end is known', async () => (await sent()).at(-1)?.state === 'final');
});

test('S20 I10 a withdrawal that cannot be paid says why: its recipient, until that can be, or its Max-Fee', async () => {
  const recipient = nobody();
  const { id } = await stage.withdraw(recipient, 800_000n);
  const { id: poor } = await stage.withdraw(nobody(), 5_000_000n, 19_999n);
  const waits = async (of: Hex, reason: string): Promise<TransferDetail> =>
    until(`${of} waits for ${reason}`, async () => {
      const row = await detail(of).catch(() => null);
      return row?.waiting?.reason === reason ? row : null;
    });
  const { state, waiting } = await waits(id, 'recipient');
  expect([state, waiting?.expected, waiting?.detail]).toEqual(['queued', null, expect.stringMatching(/must hold/)]);
  await waits(poor, 'fee-too-low');
  stage.world.chain.airdrop(recipient, 10n ** 9n);
  await stage.finalize();
  await waits(id, 'signatures');
});

test('the multisig of a set that was decided on is made where anybody finds it', async () => {
  const guardians = Array.from({ length: 3 }, nobody);
  await stage.gateway.database.query(
    `insert into decision (process, nonce, line, message, slot, applied_at) values ($1, 99, $2, 'm', 1, now())`,
    [
      stage.process,
      `rotate 2 2 1 ${[0, 1, 2].map((i) => privateKeyToAccount(guardianKey(i)).address).join(',')} ${guardians.join(',')}`,
    ],
  );
  const relayer = stage.world.relayer.publicKey.toBase58();
  const address = solana.multisigAddress(relayer, { guardians, threshold: 2 }, solana.TOKEN);
  const account = await until('it is made', async () => {
    await stage.world.chain.tick();
    return stage.world.connection.getAccountInfo(new PublicKey(address), 'finalized');
  });
  const chainAccount = { ...account, lamports: BigInt(account.lamports), owner: account.owner.toBase58() };
  expect(solana.custodyOf(address, chainAccount, solana.TOKEN)).toEqual({ multisig: address, guardians, threshold: 2 });
});

test('no round reads all transfers, however many are done', async () => {
  const { id } = await stage.withdraw(nobody());
  await stateOf(id, 'queued');
  const ask = [`state = 'queued'\n       order by position <= $2`];
  expect(await scansOf(stage.gateway.database, stage.process, { ask })).toEqual([]);
});
