/** Which payments go into a transaction, when many cannot be made. */
import type { OpenWithdrawal } from '@isthmus/bridge';
import { AgreementLost, solana } from '@isthmus/chains';
import { jest } from '@jest/globals';
import { Keypair, Message, PublicKey } from '@solana/web3.js';
import { pino } from 'pino';
import { Nonces } from './nonces.js';
import { Payments } from './payments.js';
import type { Place } from './proposals.js';

const key = (): string => Keypair.generate().publicKey.toBase58();
const guardians = [key(), key(), key()];
const vault: solana.DepositVault = { address: key(), mint: solana.NATIVE, program: solana.TOKEN, decimals: 9 };
const custody = { multisig: key(), guardians, threshold: 2 };
const relayer = key();
const PROCESS = Buffer.alloc(32, 1).toString('base64url');
const nonce = { account: key(), value: key() };
const plan: solana.TransactionPlan = { vault, custody, signers: [0, 1], relayer, nonce, price: 0n };
const nonces = new Nonces({ accountsAt: () => Promise.resolve({ accounts: [], slot: 0 }) }, [nonce.account]);
const place: Place = { process: PROCESS, vault, custody, relayer, nonces };

function withdrawal(number: number, recipient = key()): OpenWithdrawal {
  const said = { amount: 10_000_000n, maxFee: 10n, holder: PROCESS, signatures: new Map() };
  return { id: `0x${number.toString(16).padStart(64, '0')}`, number: BigInt(number), recipient, ...said };
}

interface Chain {
  /** Recipients at which a program stands. */
  programs?: ReadonlySet<string>;
  /** Recipients whose payment a trial shows to fail. */
  failing?: ReadonlySet<string>;
}

function open({ programs = new Set(), failing = new Set() }: Chain) {
  const clock = { now: 0 };
  const accounts = jest.fn((addresses: readonly string[]) =>
    Promise.resolve(
      addresses.map((a) =>
        programs.has(a) ? { lamports: 1n, owner: relayer, data: Buffer.alloc(0), executable: true } : null,
      ),
    ),
  );
  const failureOf = jest.fn((message: Uint8Array): Promise<solana.Failure | null> => {
    const { instructions, accountKeys } = Message.from(message);
    const at = instructions.findIndex((i) => i.accounts.some((a) => failing.has(accountKeys[a]?.toBase58() ?? '')));
    return Promise.resolve(at < 0 ? null : { instruction: at });
  });
  const store = { paidAmong: () => Promise.resolve(new Set<bigint>()) };
  const payments = new Payments({
    pool: { accounts, failureOf },
    store,
    log: pino({ level: 'silent' }),
    now: () => clock.now,
  });
  const over = async (withdrawals: readonly OpenWithdrawal[]): Promise<bigint[]> =>
    (await payments.over(place, plan, 5n, withdrawals)).map((p) => p.number);
  return { over, accounts, failureOf, payments, clock };
}

const many = (count: number, from = 1): OpenWithdrawal[] =>
  Array.from({ length: count }, (_, i) => withdrawal(from + i));
const recipients = (some: readonly OpenWithdrawal[]): Set<string> => new Set(some.map((w) => w.recipient));

it('S20 however many cannot be paid, who can is, in the first round that comes to them and in every one after', async () => {
  const bad = many(1_000);
  const good = many(2, 2_001);
  const { over, accounts } = open({ programs: recipients(bad) });
  const rounds = [await over([...bad, ...good]), await over([...bad, ...good]), await over([...bad, ...good])];
  expect(rounds).toEqual([[], [], [2_001n, 2_002n]]);
  accounts.mockClear();
  expect(await over([...bad, ...good])).toEqual([2_001n, 2_002n]);
  expect(accounts).toHaveBeenCalledTimes(1);
});

it('S20 what trials show to fail gives way, and goes back to its place once it can be paid', async () => {
  const all = many(40);
  const failing = recipients(all.slice(0, 30));
  const { over, failureOf } = open({ failing });
  const first = [await over(all), await over(all), await over(all), await over(all)];
  expect(first.slice(0, 3)).toEqual([[], [], []]);
  expect(failureOf).toHaveBeenCalledTimes(16 + 16 + 16 + 13); // in each of several, and alone
  expect(first[3]?.[0]).toBe(31n);
  expect(await over(all)).toEqual(first[3]);
  failing.clear();
  const now = await over(all.slice(0, 30));
  expect(now).toContain(1n);
  expect((await over(all))[0]).toBe(1n);
});

/** Whom a transaction pays, by number. */
const paidIn = (message: Uint8Array, all: readonly OpenWithdrawal[]): bigint[] => {
  const keys = new Set(Message.from(message).accountKeys.map((k) => k.toBase58()));
  return all.filter((w) => keys.has(w.recipient)).map((w) => w.number);
};

/** Where in a transaction without price an instruction that names a recipient is. */
const instructionOf = (message: Uint8Array, { recipient }: OpenWithdrawal): number => {
  const { instructions, accountKeys } = Message.from(message);
  return instructions.findIndex((i) => i.accounts.some((a) => accountKeys[a]?.toBase58() === recipient));
};

it('S20 who is blamed for what another took from the transaction they share is paid, alone, again and again', async () => {
  const [taker, victim] = many(2) as [OpenWithdrawal, OpenWithdrawal];
  const { over, failureOf } = open({});
  failureOf.mockImplementation((message) => {
    const paid = paidIn(message, [taker, victim]);
    if (!paid.includes(1n)) return Promise.resolve(null);
    return Promise.resolve({ instruction: instructionOf(message, paid.includes(2n) ? victim : taker) });
  });
  for (let i = 0; i < 3; i += 1) expect(await over([taker, victim])).toEqual([2n]);
  expect(await over([taker])).toEqual([]);
  failureOf.mockResolvedValue(null);
  expect(await over([taker, ...many(1, 7)])).toEqual([7n]); // who gave way is not packed with others
  expect(await over([taker])).toEqual([1n]);
});

it('S20 when several fail and nobody is blamed each is tried alone, and who fails so gives way', async () => {
  const [taker, victim] = many(2) as [OpenWithdrawal, OpenWithdrawal];
  const { over, failureOf } = open({});
  failureOf.mockImplementation((message) =>
    Promise.resolve(paidIn(message, [taker, victim]).includes(1n) ? { account: 0 } : null),
  );
  for (let i = 0; i < 3; i += 1) expect(await over([taker, victim])).toEqual([2n]);
});

/** A proposal that enough have signed. */
function proposal(id: number, withdrawals: bigint[], anchor = 'A') {
  const said = { epoch: 1n, content: 'c', guardian: relayer as `0x${string}`, signatures: new Map() };
  return { id: `0x${id}` as const, withdrawals, anchor, ...said };
}

it('S20 who fails alone each time is tried again after a wait that doubles up to an hour, and keeps no other waiting', async () => {
  const { over, payments, clock } = open({});
  const [bad, good] = many(2) as [OpenWithdrawal, OpenWithdrawal];
  const waits: number[] = [];
  const failed = [];
  for (let i = 1; i <= 9; i += 1) {
    failed.push(proposal(i, [1n], `A${i}`), proposal(100 + i, [1n], `A${i}`)); // with others to sign it: one was sent
    payments.cameToNothing(PROCESS, failed);
    payments.cameToNothing(PROCESS, failed);
    const began = clock.now;
    while ((await over([bad])).length === 0) {
      expect(await over([bad, good])).toEqual([2n]);
      clock.now += 30_000;
    }
    waits.push((clock.now - began) / 60_000);
  }
  expect(waits).toEqual([0, 1, 2, 4, 8, 16, 32, 60, 60]);
  payments.keepOpen(PROCESS, new Map());
  payments.cameToNothing(PROCESS, []);
  payments.cameToNothing(PROCESS, [proposal(1, [1n, 2n], 'B'), proposal(2, [1n], 'B')]);
  expect(await over([bad])).toEqual([1n]); // the other may be what was sent
});

it('S20 those that shared what came to nothing are paid alone, and who was alone in it behind all others', async () => {
  const { over, payments } = open({});
  const some = many(4);
  payments.cameToNothing(PROCESS, [proposal(1, [1n, 2n])]);
  expect(await over(some)).toEqual([1n]);
  const both = [proposal(1, [1n, 2n]), proposal(2, [1n])];
  payments.cameToNothing(PROCESS, both);
  expect([await over(some), await over(some.slice(2)), await over(some.slice(0, 1))]).toEqual([[2n], [3n, 4n], [1n]]);
  payments.cameToNothing(PROCESS, both);
  expect(await over([...some.slice(0, 1), ...some.slice(2)])).toEqual([3n, 4n]); // it stays behind, though its trial succeeds
});

it('a transaction that cannot be, whomever it pays, has nobody give way', async () => {
  const { over, failureOf } = open({});
  const both = many(2);
  failureOf.mockResolvedValue({ other: 'BlockhashNotFound' });
  expect(await over(both)).toEqual([]);
  failureOf.mockResolvedValue(null);
  expect(await over(both)).toEqual([1n, 2n]);
});

it('S20 none that gave way is forgotten while it is open, and each that is no longer', async () => {
  const bad = Array.from({ length: 10_800 }, (_, i) => withdrawal(i + 1, numbered(i)));
  const { over, accounts, payments } = open({ programs: recipients(bad) });
  const all = [...bad, withdrawal(20_000)];
  const byNumber = new Map(all.map((w) => [w.number, w]));
  let paid: bigint[] = [];
  for (let i = 0; i < 24 && paid.length === 0; i += 1) {
    payments.keepOpen(PROCESS, byNumber);
    paid = await over(all);
  }
  expect(paid).toEqual([20_000n]);
  payments.keepOpen(PROCESS, new Map());
  accounts.mockClear();
  expect(await over(all)).toEqual([]); // as if none had been seen
  expect(accounts).toHaveBeenCalledTimes(10);
});

/** Some address; a key pair takes a millisecond. */
function numbered(i: number): string {
  const bytes = Buffer.alloc(32, 9);
  bytes.writeUInt32BE(i);
  return new PublicKey(bytes).toBase58();
}

it('A10 what no transaction can pay gives way too', async () => {
  const never = Array.from({ length: 60 }, (_, i) => withdrawal(i + 1, custody.multisig));
  const { over } = open({});
  const rounds = [await over([...never, withdrawal(61)]), await over([...never, withdrawal(61)])];
  expect(rounds).toEqual([[], [61n]]);
});

it('what the sources do not say stops nobody, and anything else that goes wrong is told', async () => {
  const { over, failureOf } = open({});
  failureOf.mockRejectedValueOnce(new AgreementLost('a trial', 0, 1, []));
  expect(await over([withdrawal(1)])).toEqual([1n]);
  failureOf.mockRejectedValueOnce(new Error('another'));
  await expect(over([withdrawal(1)])).rejects.toThrow('another');
});
