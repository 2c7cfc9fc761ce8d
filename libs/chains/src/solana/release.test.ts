/** Releases on the real runtime: what guardians sign, what the cluster takes, and when it may be tried again. */
import { createHash } from 'node:crypto';
import { fromBase58, RESERVED_KEYS } from '@isthmus/bridge';
import {
  createFreezeAccountInstruction,
  createMintToInstruction,
  TOKEN_2022_PROGRAM_ID,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import { Keypair, Message, PublicKey, SystemProgram } from '@solana/web3.js';
import type { DepositVault } from './build.js';
import { catchUp, DECIMALS, PROCESS, SolanaWorld } from './harness.js';
import { readReleaseMemo, releaseMemo } from './memo.js';
import { nonceValue, readNonce } from './nonce.js';
import { judgeRecipient } from './recipient.js';
import {
  canHold,
  BadPlan,
  blamedFor,
  MAX_WIRE,
  paidAt,
  priceOf,
  releaseMessage,
  rotationMessage,
  signatureOfWire,
  together,
  wireSize,
  type Custody,
  type Payout,
  type ReleasePlan,
  type TransactionPlan,
} from './release.js';
import { assemble, signPart, verifyPart } from './signatures.js';

let world: SolanaWorld;
let nonce: PublicKey;

beforeAll(async () => {
  world = await SolanaWorld.open();
  nonce = await world.makeNonce();
  await world.deposit(world.sol, 10n ** 12n);
  await world.deposit(world.token, 10n ** 12n);
  await world.makeAccount(world.mint.publicKey, world.relayer.publicKey);
  await world.chain.finalize();
});
afterAll(() => world.chain.stop());
beforeEach(() => world.chain.finalize());

let numbers = 0n;
function payout(over: Partial<Payout> = {}): Payout {
  numbers += 1n;
  const recipient = Keypair.generate().publicKey.toBase58();
  return { process: PROCESS, number: numbers, recipient, amount: 5_000_000n, fee: 0n, create: false, ...over };
}

async function plan(
  vault: DepositVault,
  payouts: readonly Payout[],
  over: Partial<ReleasePlan> = {},
): Promise<ReleasePlan> {
  return {
    vault,
    custody: {
      multisig: world.multisig.publicKey.toBase58(),
      guardians: world.guardians.map((g) => g.publicKey.toBase58()),
      threshold: world.threshold,
    },
    signers: [0, 2],
    relayer: world.relayer.publicKey.toBase58(),
    nonce: { account: nonce.toBase58(), value: await world.nonceValue(nonce) },
    price: 1_000n,
    payouts,
    ...over,
  };
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
const seedOf = (pair: Keypair): Uint8Array => pair.secretKey.subarray(0, 32);
const partsOf = ({ signers }: TransactionPlan, message: Uint8Array) =>
  signers.map((i) => signPart(message, i, seedOf(world.guardians[i] as Keypair)));

function wireOf(of: TransactionPlan, message: Uint8Array): Uint8Array {
  return assemble(of, message, partsOf(of, message), seedOf(world.relayer));
}

async function send(wire: Uint8Array, skipPreflight = false): Promise<string> {
  return world.connection.sendRawTransaction(wire, { skipPreflight });
}

async function release(of: ReleasePlan): Promise<string> {
  return send(wireOf(of, releaseMessage(of)));
}

async function unitsOf(signature: string): Promise<{ used: number; err: unknown }> {
  await world.chain.tick();
  const read = await world.connection.getTransaction(signature, {
    maxSupportedTransactionVersion: 0,
    commitment: 'confirmed',
  });
  return { used: read?.meta?.computeUnitsConsumed ?? 0, err: read?.meta?.err };
}

const lamports = async (of: string): Promise<number> => world.connection.getBalance(new PublicKey(of), 'processed');

const P2022 = TOKEN_2022_PROGRAM_ID;

/** A vault of Token-2022, and who holds it. */
async function world2022(): Promise<{ vault: DepositVault; custody: Custody }> {
  const { vault, multisig } = await world.token2022();
  const { custody } = await plan(vault, []);
  return { vault, custody: { ...custody, multisig } };
}

describe('a release', () => {
  test('SOL is paid as exact SOL, and costs the relayer the fee of the cluster only; the watcher names what was paid', async () => {
    const { cursor } = await catchUp(world.watcher(world.sol));
    const [a, b] = [payout({ fee: 20_000n }), payout({ amount: 7_000_000n })];
    const before = await lamports(world.relayer.publicKey.toBase58());
    const signature = await release(await plan(world.sol, [a, b]));
    expect(await lamports(a.recipient)).toBe(4_980_000);
    expect(await lamports(b.recipient)).toBe(7_000_000);
    const { used, err } = await unitsOf(signature);
    expect(err).toBeNull();
    expect(used).toBeLessThanOrEqual(6_000);
    const kept = (await lamports(world.relayer.publicKey.toBase58())) - before;
    expect(kept).toBe(20_000 - 15_000 - 10); // 3 signatures, 10,000 units at 1,000 micro-lamports
    await world.chain.finalize();
    const { events } = await catchUp(world.watcher(world.sol), cursor);
    expect(events).toMatchObject([
      { type: 'released', process: PROCESS, number: a.number, to: a.recipient, amount: 4_980_000n },
      { type: 'released', process: PROCESS, number: b.number, to: b.recipient, amount: 7_000_000n },
    ]);
  });

  test('S6 lamports sent before to where SOL passes through keep nobody from being paid, and are the relayer’s', async () => {
    const one = await plan(world.sol, [payout()]);
    const seed = createHash('sha256').update(one.nonce.value).digest('hex').slice(0, 32);
    const passing = await PublicKey.createWithSeed(world.relayer.publicKey, seed, TOKEN_PROGRAM_ID);
    const { publicKey: fromPubkey } = world.user;
    await world.run([SystemProgram.transfer({ fromPubkey, toPubkey: passing, lamports: 890_880 })]);
    const before = await lamports(world.relayer.publicKey.toBase58());
    const { err } = await unitsOf(await release(one));
    expect(err).toBeNull();
    const [paid] = one.payouts;
    expect(await lamports(paid?.recipient ?? '')).toBe(5_000_000);
    const fee = 3 * 5_000 + Math.ceil((1_000 * 8_000) / 1_000_000);
    expect((await lamports(world.relayer.publicKey.toBase58())) - before).toBe(890_880 - fee);
  });

  test('S20 a token is paid with the account made when it is missing, the fee to the relayer', async () => {
    const { cursor } = await catchUp(world.watcher(world.token));
    const one = payout({ create: true, fee: 1_000n });
    const own = paidAt(world.token, world.relayer.publicKey.toBase58());
    const before = await world.tokens(own);
    const signature = await release(await plan(world.token, [one]));
    expect(await world.tokens(paidAt(world.token, one.recipient))).toBe(4_999_000n);
    expect((await world.tokens(own)) - before).toBe(1_000n);
    expect((await unitsOf(signature)).err).toBeNull();
    const again = await unitsOf(await release(await plan(world.token, [payout({ recipient: one.recipient })])));
    expect(again).toMatchObject({ err: null });
    expect(again.used).toBeLessThanOrEqual(6_000);
    await world.chain.finalize();
    expect((await catchUp(world.watcher(world.token), cursor)).events).toMatchObject([
      { type: 'released', number: one.number, amount: 4_999_000n },
      { type: 'released', amount: 5_000_000n },
    ]);
  });

  test('a Token-2022 token is deposited and paid alike, its vault an account that can be handed over', async () => {
    const { vault, custody } = await world2022();
    await world.deposit(vault, 10n ** 8n);
    const base = await plan(vault, [payout({ create: true })]);
    expect((await unitsOf(await release({ ...base, custody }))).err).toBeNull();
    await world.chain.finalize();
    expect((await catchUp(world.watcher(vault))).events).toMatchObject([
      { type: 'deposited', amount: 10n ** 8n },
      { type: 'released', number: base.payouts[0]?.number, amount: 5_000_000n },
    ]);
  });

  test('S20 an account of Token-2022 that wants a memo before is paid, alone and behind one that is made', async () => {
    const { vault, custody } = await world2022();
    await world.deposit(vault, 10n ** 8n);
    const [strict, other] = [Keypair.generate(), Keypair.generate()];
    for (const one of [strict, other]) await world.wantsMemo(vault, one);
    const [to, too] = [strict, other].map((one) => payout({ recipient: one.publicKey.toBase58() })) as [Payout, Payout];
    for (const payouts of [[to], [payout({ create: true }), { ...too, fee: 10n }]]) {
      const of = { ...(await plan(vault, payouts)), custody };
      if (payouts.length > 1) await world.makeAccount(new PublicKey(vault.mint), world.relayer.publicKey, P2022);
      expect(await world.pool().refusalOf(wireOf(of, releaseMessage(of)))).toBeNull();
      const { used, err } = await unitsOf(await release(of));
      expect(err).toBeNull();
      expect(used).toBeLessThan(30_000 * payouts.length);
    }
    await world.chain.finalize();
    const released = (await catchUp(world.watcher(vault))).events.filter((e) => e.type === 'released');
    expect(released).toMatchObject([{ number: to.number }, {}, { number: too.number, amount: 4_999_990n }]);
  });

  test('several payouts go into one transaction as far as it holds them, and no further', async () => {
    const base = await plan(world.sol, []);
    const payouts = Array.from({ length: 12 }, () => payout());
    const never = payout({ recipient: base.custody.multisig });
    const { together: first, impossible } = together(base, [never, ...payouts]);
    expect([first, impossible]).toEqual([payouts.slice(0, first.length), [never]]);
    expect(first.length).toBeGreaterThanOrEqual(3);
    const whole = { ...base, payouts: first };
    const message = releaseMessage(whole);
    expect(wireSize(whole, message)).toBe(wireOf(whole, message).length);
    expect(wireSize(whole, message)).toBeLessThanOrEqual(MAX_WIRE);
    expect(() => releaseMessage({ ...base, payouts: payouts.slice(0, first.length + 1) })).toThrow(
      /bytes, more than 1232/,
    );
    expect((await unitsOf(await release(whole))).err).toBeNull();
    const created = payouts.map((p) => ({ ...p, create: true }));
    const made = await plan(world.token, together(await plan(world.token, []), created).together);
    expect((await unitsOf(await release(made))).err).toBeNull();
  });

  test('I4 fewer than M, a stranger, a part of other bytes, or a changed plan: no transaction', async () => {
    const of = await plan(world.sol, [payout()]);
    const message = releaseMessage(of);
    const [first = '', second = ''] = partsOf(of, message);
    expect(releaseMessage(structuredClone(of))).toEqual(message);
    expect(verifyPart(of, message, first)).toBe(0);
    expect(() => assemble(of, message, [first, first], seedOf(world.relayer))).toThrow(/Guardians 2 have not signed/);
    expect(verifyPart(of, message, signPart(message, 1, seedOf(world.guardians[1] as Keypair)))).toBeNull(); // no signer of this plan
    expect(verifyPart(of, message, signPart(message, 0, seedOf(world.guardians[2] as Keypair)))).toBeNull();
    const other = releaseMessage({ ...of, payouts: [payout()] });
    expect(verifyPart(of, other, first)).toBeNull();
    expect(verifyPart(of, message, `${second.slice(0, -1)}${second.endsWith('0') ? '1' : '0'}`)).toBeNull();
    expect(verifyPart(of, message, '0x00')).toBeNull();
    expect(() => assemble(of, message, [first, second], seedOf(world.user))).toThrow(/not the relayer/);
  });

  test('X1 a signature is for exactly one vault, token process, withdrawal and value of a nonce, which no other cluster has', async () => {
    const of = await plan(world.sol, [payout()]);
    const [one] = of.payouts as [Payout];
    const [part = ''] = partsOf(of, releaseMessage(of));
    const elsewhere = Keypair.generate().publicKey.toBase58();
    const others: Partial<ReleasePlan>[] = [
      { vault: { ...of.vault, address: elsewhere } },
      { custody: { ...of.custody, multisig: elsewhere } },
      { nonce: { ...of.nonce, value: elsewhere } },
      { nonce: { ...of.nonce, account: elsewhere } },
      { payouts: [{ ...one, process: Buffer.alloc(32, 1).toString('base64url') }] },
      { payouts: [{ ...one, number: one.number + 1n }] },
    ];
    expect(verifyPart(of, releaseMessage(of), part)).toBe(0);
    for (const other of others) {
      const changed = { ...of, ...other };
      expect(verifyPart(changed, releaseMessage(changed), part)).toBeNull();
    }
    // The memo says which process burned; without it another's withdrawal of the same number would be paid by this.
    expect(Buffer.from(releaseMessage(of)).includes(Buffer.from(releaseMemo(one)))).toBe(true);
  });

  test('a transaction holds four signers for SOL and six for a token; more are refused, not cut', async () => {
    const guardians = Array.from({ length: 11 }, () => Keypair.generate().publicKey.toBase58());
    const size = async (vault: DepositVault, threshold: number): Promise<number> => {
      const of = await plan(vault, [payout({ create: vault !== world.sol, number: 10n ** 6n })]);
      const signers = Array.from({ length: threshold }, (_, i) => i);
      const larger = { ...of, custody: { ...of.custody, guardians, threshold }, signers };
      return wireSize(larger, releaseMessage(larger));
    };
    expect(await size(world.sol, 4)).toBeLessThanOrEqual(MAX_WIRE);
    await expect(size(world.sol, 5)).rejects.toThrow(BadPlan);
    expect(await size(world.token, 6)).toBeLessThanOrEqual(MAX_WIRE);
    await expect(size(world.token, 7)).rejects.toThrow(BadPlan);
  });

  test('what no plan may say is refused', async () => {
    const good = await plan(world.sol, [payout()]);
    const bad: Partial<ReleasePlan>[] = [
      { signers: [0] },
      { signers: [2, 0] },
      { signers: [0, 3] },
      { price: 10_000_001n },
      { relayer: good.custody.guardians[0] ?? '' },
      { payouts: [] },
      { payouts: [payout({ amount: 5n, fee: 5n })] },
      { payouts: [payout({ recipient: world.sol.address })] },
      { payouts: [payout({ recipient: 'x' })] },
      { payouts: [payout({ number: 7n }), payout({ number: 7n })] },
    ];
    for (const change of bad) expect(() => releaseMessage({ ...good, ...change })).toThrow(BadPlan);
    expect(releaseMessage(good).length).toBeGreaterThan(0);
    expect(priceOf([])).toBe(0n);
    expect(priceOf([1, 2, 3, 4])).toBe(4n);
    expect(priceOf([10 ** 12])).toBe(10_000_000n);
  });

  test('X2 what the old guardians signed is worthless once the vault is handed over', async () => {
    const mint = Keypair.generate();
    await world.makeMint(mint);
    const vault: DepositVault = { ...world.token, mint: mint.publicKey.toBase58(), address: '' };
    vault.address = (await world.makeAccount(mint.publicKey, world.multisig.publicKey)).toBase58();
    await world.run([
      createMintToInstruction(mint.publicKey, new PublicKey(vault.address), world.user.publicKey, 10n ** 9n),
    ]);
    const second = await world.makeNonce();
    const old = await plan(vault, [payout({ create: true })], {
      nonce: { account: second.toBase58(), value: await world.nonceValue(second) },
    });
    const signed = wireOf(old, releaseMessage(old));
    const [next, guardians] = [Keypair.generate(), [Keypair.generate(), Keypair.generate(), Keypair.generate()]];
    await world.makeMultisig(next, guardians);
    const over = await plan(vault, []);
    const message = rotationMessage(over, next.publicKey.toBase58());
    expect((await unitsOf(await send(wireOf(over, message)))).err).toBeNull();
    await expect(send(signed)).rejects.toThrow(/0x4|OwnerMismatch/i);
    expect(() => rotationMessage(over, over.custody.multisig)).toThrow(/another multisig/);
  });
});

describe('S19 trying again', () => {
  test('the same bytes again pay once, long after their blockhash', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const wire = wireOf(of, releaseMessage(of));
    await world.chain.tick(200);
    expect(await send(wire)).toBe(signatureOfWire(wire));
    await expect(send(wire)).rejects.toThrow(/already been processed/);
    await world.chain.tick(200);
    await expect(send(wire)).rejects.toThrow();
    expect(await lamports(one.recipient)).toBe(5_000_000);
  });

  test('other bytes under the same nonce may be signed, and at most one of them happens', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const dearer = { ...of, price: 5_000n, signers: [1, 2] };
    const [first, second] = [wireOf(of, releaseMessage(of)), wireOf(dearer, releaseMessage(dearer))];
    await send(second);
    await expect(send(first)).rejects.toThrow(/Blockhash not found/);
    expect(await lamports(one.recipient)).toBe(5_000_000);
  });

  test('a transaction that fails uses its nonce up, and what was signed over that value never happens', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const failing = { ...of, payouts: [payout({ amount: 1_000n })] }; // below the rent a new account must hold
    const signature = await send(wireOf(failing, releaseMessage(failing)), true);
    expect((await unitsOf(signature)).err).not.toBeNull();
    expect(await world.nonceValue(nonce)).not.toBe(of.nonce.value);
    await expect(send(wireOf(of, releaseMessage(of)))).rejects.toThrow(/Blockhash not found/);
    expect(await lamports(one.recipient)).toBe(0);
  });

  test('a nonce is read with its authority; another account, or another’s, is none of the relayer’s', async () => {
    await world.chain.finalize();
    const pool = world.pool();
    await pool.finalized();
    const relayer = world.relayer.publicKey.toBase58();
    const [account = null, wallet = null] = await pool.accounts([nonce.toBase58(), relayer]);
    const value = await world.nonceValue(nonce);
    expect(readNonce(account)).toEqual({ value, authority: relayer });
    expect([nonceValue(account, relayer), nonceValue(account, world.user.publicKey.toBase58())]).toEqual([value, null]);
    expect([readNonce(wallet), readNonce(null)]).toEqual([null, null]);
  });

  test('S13 a release dropped by a fork is sent again as it is', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const wire = wireOf(of, releaseMessage(of));
    const signature = await send(wire);
    await world.chain.tick(2);
    world.chain.fork([signature]);
    expect(await lamports(one.recipient)).toBe(0);
    await send(wire);
    expect(await lamports(one.recipient)).toBe(5_000_000);
  });
});

it('I14: guardians hold a vault by keys that can sign, each its own and none the relayer’s', () => {
  const [a, b, relayer] = [0, 1, 2].map(() => Keypair.generate().publicKey.toBase58()) as [string, string, string];
  const [nobody] = PublicKey.findProgramAddressSync([Buffer.from('x')], SystemProgram.programId);
  const holds = (guardians: string[], threshold = 1): boolean => canHold({ guardians, threshold }, relayer);
  expect([holds([a, b], 2), holds([a])]).toEqual([true, true]);
  const bad = [[a, a], [a, relayer], [a, nobody.toBase58()], [a, 'x'], []];
  expect(bad.map((list) => holds(list))).toEqual(bad.map(() => false));
  expect([holds([a, b], 3), holds([a, b], 0)]).toEqual([false, false]);
  const twelve = Array.from({ length: 12 }, () => Keypair.generate().publicKey.toBase58());
  expect([holds(twelve), holds(twelve.slice(1))]).toEqual([false, true]);
});

describe('S20 recipients', () => {
  test('missing, frozen, given away, below rent, a program: each known before anything is signed', async () => {
    const mint = Keypair.generate();
    await world.makeMint(mint, world.user.publicKey);
    const vault: DepositVault = { ...world.token, mint: mint.publicKey.toBase58(), decimals: DECIMALS };
    const owner = Keypair.generate();
    world.chain.airdrop(owner.publicKey.toBase58(), 10n ** 9n);
    const recipient = owner.publicKey.toBase58();
    const judge = async (of: DepositVault, amount = 1n, who = recipient) => {
      await world.chain.finalize();
      const pool = world.pool();
      await pool.finalized();
      const [wallet = null, account = null] = await pool.accounts([who, paidAt(of, who)]);
      return judgeRecipient(of, who, { wallet, account }, amount);
    };
    expect(await judge(vault)).toEqual({ payable: true, create: true });
    const at = await world.makeAccount(mint.publicKey, owner.publicKey);
    expect(await judge(vault)).toEqual({ payable: true, create: false });
    await world.run([createFreezeAccountInstruction(at, mint.publicKey, world.user.publicKey)]);
    expect(await judge(vault)).toEqual({ payable: false, why: 'frozen' });
    const other = Keypair.generate();
    const given = await world.makeAccount(mint.publicKey, other.publicKey);
    await world.giveAway(given, other, world.user.publicKey);
    expect(await judge(vault, 1n, other.publicKey.toBase58())).toEqual({ payable: false, why: 'not-theirs' });
    expect(await judge(world.sol)).toEqual({ payable: true, create: false });
    const fresh = Keypair.generate().publicKey.toBase58();
    expect(await judge(world.sol, 890_879n, fresh)).toEqual({ payable: false, why: 'below-rent' });
    expect(await judge(world.sol, 890_880n, fresh)).toEqual({ payable: true, create: false });
    expect(await judge(world.sol, 1n, mint.publicKey.toBase58())).toEqual({ payable: false, why: 'not-a-wallet' });
    expect(await judge(world.sol, 1n, SystemProgram.programId.toBase58())).toEqual({
      payable: false,
      why: 'not-a-wallet',
    });
  });

  test('a trial before anybody has signed says which payment makes a transaction fail, and blames none for the rest', async () => {
    const pool = world.pool();
    const [good, bad] = [payout(), payout({ amount: 1_000n })];
    const blamed = async (of: ReleasePlan): Promise<bigint | null> => {
      await world.chain.finalize();
      await pool.finalized();
      const failure = await pool.failureOf(releaseMessage(of));
      return failure && (blamedFor(of, failure)?.number ?? -1n);
    };
    expect(await blamed(await plan(world.sol, [good, payout()]))).toBeNull();
    expect(await blamed(await plan(world.sol, [good, bad]))).toBe(bad.number); // below rent
    const [owner, given] = [Keypair.generate(), Keypair.generate()];
    const at = await world.makeAccount(world.mint.publicKey, owner.publicKey);
    const lost = await world.makeAccount(world.mint.publicKey, given.publicKey);
    await world.giveAway(lost, given, world.user.publicKey);
    const taken = payout({ recipient: given.publicKey.toBase58(), create: true });
    const theirs = payout({ recipient: owner.publicKey.toBase58() });
    expect(await blamed(await plan(world.token, [theirs, taken]))).toBe(taken.number);
    expect(await blamed(await plan(world.token, [theirs, payout()], { price: 0n }))).not.toBe(theirs.number); // no account
    expect(await world.tokens(at)).toBe(0n);
    const used = { account: nonce.toBase58(), value: Keypair.generate().publicKey.toBase58() };
    expect(await blamed(await plan(world.token, [theirs], { nonce: used }))).toBe(-1n);
    const poor = Keypair.generate().publicKey.toBase58();
    expect(await blamed(await plan(world.token, [theirs], { relayer: poor }))).toBe(-1n);
  });

  test('S20 an account whose address takes the runtime long to find is made, and takes nothing from who shares its transaction', async () => {
    const mint = Keypair.fromSeed(sha256('mint'));
    await world.makeMint(mint);
    const vault: DepositVault = { ...world.token, mint: mint.publicKey.toBase58() };
    vault.address = (await world.makeAccount(mint.publicKey, world.multisig.publicKey)).toBase58();
    const { publicKey: user } = world.user;
    await world.run([createMintToInstruction(mint.publicKey, new PublicKey(vault.address), user, 10n ** 9n)]);
    await world.chain.finalize();
    // Found by trying: the bump of its account under this mint is 236.
    const slow = payout({ recipient: new PublicKey(sha256('recipient 192446')).toBase58(), create: true });
    const other = payout({ create: true });
    const pool = world.pool();
    await pool.finalized();
    for (const payouts of [[slow], [slow, other]])
      expect(await pool.failureOf(releaseMessage(await plan(vault, payouts)))).toBeNull();
    const of = await plan(vault, [slow]);
    const { used, err } = await unitsOf(await release(of));
    expect(err).toBeNull();
    expect(used).toBeGreaterThan(13_525 + 19 * 1_500);
    const { instructions } = Message.from(releaseMessage(of));
    const limit = Buffer.from(fromBase58(instructions[1]?.data ?? '')).readUInt32LE(1);
    expect(limit - used).toBeGreaterThan(20_000); // as much is left over as for any other address
    expect(await world.tokens(paidAt(vault, slow.recipient))).toBe(5_000_000n);
  });

  test.each(RESERVED_KEYS)('the runtime never pays %s: it is refused before tokens burn for it', async (recipient) => {
    const of = await plan(world.sol, [payout({ recipient, amount: 10n ** 9n })]);
    expect(await world.pool().refusalOf(wireOf(of, releaseMessage(of)))).toMatch(/InstructionError/);
  });

  test('an account that changes hands between the look and the payment makes the transaction fail whole', async () => {
    const owner = Keypair.generate();
    const at = await world.makeAccount(world.mint.publicKey, owner.publicKey);
    await world.giveAway(at, owner, world.user.publicKey);
    const of = await plan(world.token, [payout({ recipient: owner.publicKey.toBase58(), create: true })]);
    await expect(release(of)).rejects.toThrow();
    expect(await world.tokens(at)).toBe(0n);
  });
});

test('a release’s memo has one form', () => {
  const name = { process: PROCESS, number: 12n };
  expect(readReleaseMemo(releaseMemo(name))).toEqual(name);
  for (const text of [
    'isthmus:x:1',
    `isthmus:${PROCESS}:0`,
    `isthmus:${PROCESS}:01`,
    `isthmus:${PROCESS}:1 `,
    `isthmus:${PROCESS}:${2n ** 63n}`,
  ])
    expect(readReleaseMemo(Buffer.from(text))).toBeNull();
});
