/** Releases on the real runtime: what guardians sign, what the cluster takes, and when it may be tried again. */
import { createHash } from 'node:crypto';
import {
  ACCOUNT_SIZE,
  createAssociatedTokenAccountIdempotentInstruction,
  createFreezeAccountInstruction,
  createInitializeAccount3Instruction,
  createInitializeMint2Instruction,
  createInitializeMultisigInstruction,
  createMintToInstruction,
  getAssociatedTokenAddressSync,
  MINT_SIZE,
  MULTISIG_SIZE,
  TOKEN_2022_PROGRAM_ID,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import { Keypair, PublicKey, SystemProgram } from '@solana/web3.js';
import type { DepositVault } from './build.js';
import { catchUp, DECIMALS, PROCESS, SolanaWorld } from './harness.js';
import { freeNonce, leasesFor, nonceValue, standingOf, type FinalView, type Lease } from './leases.js';
import { readReleaseMemo, releaseMemo, type ReleaseName } from './memo.js';
import { judgeRecipient } from './recipient.js';
import {
  BadPlan,
  MAX_WIRE,
  pack,
  paidAt,
  priceOf,
  releaseMessage,
  rotationMessage,
  signatureOfWire,
  wireSize,
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
    const [mint, multisig, account] = [Keypair.generate(), Keypair.generate(), Keypair.generate()];
    const P = TOKEN_2022_PROGRAM_ID;
    const [by, keys] = [world.user.publicKey, world.guardians.map((g) => g.publicKey)];
    const mine = getAssociatedTokenAddressSync(mint.publicKey, by, false, P);
    await world.run(
      [
        await world.create(mint, MINT_SIZE, P),
        createInitializeMint2Instruction(mint.publicKey, DECIMALS, by, null, P),
        await world.create(multisig, MULTISIG_SIZE, P),
        createInitializeMultisigInstruction(multisig.publicKey, keys, world.threshold, P),
      ],
      [mint, multisig],
    );
    await world.run(
      [
        await world.create(account, ACCOUNT_SIZE, P),
        createInitializeAccount3Instruction(account.publicKey, mint.publicKey, multisig.publicKey, P),
        createAssociatedTokenAccountIdempotentInstruction(by, mine, by, mint.publicKey, P),
        createMintToInstruction(mint.publicKey, mine, by, 10n ** 9n, [], P),
      ],
      [account],
    );
    const vault: DepositVault = {
      address: account.publicKey.toBase58(),
      mint: mint.publicKey.toBase58(),
      program: P.toBase58(),
      decimals: DECIMALS,
    };
    await world.deposit(vault, 10n ** 8n);
    const base = await plan(vault, [payout({ create: true })]);
    const of = { ...base, custody: { ...base.custody, multisig: multisig.publicKey.toBase58() } };
    expect((await unitsOf(await release(of))).err).toBeNull();
    await world.chain.finalize();
    expect((await catchUp(world.watcher(vault))).events).toMatchObject([
      { type: 'deposited', amount: 10n ** 8n },
      { type: 'released', number: of.payouts[0]?.number, amount: 5_000_000n },
    ]);
  });

  test('several payouts go into one transaction as far as it holds them, and no further', async () => {
    const base = await plan(world.sol, []);
    const payouts = Array.from({ length: 12 }, () => payout());
    const packed = pack(base, payouts);
    expect(packed.flat()).toEqual(payouts);
    expect(packed[0]?.length).toBeGreaterThanOrEqual(3);
    for (const together of packed) {
      const whole = { ...base, payouts: together };
      const message = releaseMessage(whole);
      expect(wireSize(whole, message)).toBe(wireOf(whole, message).length);
      expect(wireSize(whole, message)).toBeLessThanOrEqual(MAX_WIRE);
    }
    const [first = [], second = []] = packed;
    expect(() => releaseMessage({ ...base, payouts: [...first, ...second.slice(0, 1)] })).toThrow(
      /bytes, more than 1232/,
    );
    expect((await unitsOf(await release({ ...base, payouts: first }))).err).toBeNull();
    const made = await plan(
      world.token,
      pack(
        await plan(world.token, []),
        payouts.map((p) => ({ ...p, create: true })),
      )[0] ?? [],
    );
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
  const name = ({ process, number }: ReleaseName) => `${process} ${number}`;

  async function view(watchedTo?: number): Promise<FinalView> {
    const pool = world.pool();
    const noncesAt = await pool.finalized();
    const [account = null] = await pool.accounts([nonce.toBase58()]);
    const { events } = await catchUp(world.watcher(world.sol, pool));
    const paid = new Set(events.flatMap((e) => (e.type === 'released' ? [name(e)] : [])));
    const value = nonceValue(account, world.relayer.publicKey.toBase58());
    return {
      nonces: new Map([[nonce.toBase58(), value]]),
      noncesAt,
      paid: (n) => paid.has(name(n)),
      watchedTo: watchedTo ?? noncesAt,
    };
  }

  test('the same bytes again pay once, long after their blockhash; the lease is paid', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const leases = leasesFor(of, [], await view()) as Lease[];
    expect(leases).toMatchObject([{ number: one.number, nonce: of.nonce }]);
    const wire = wireOf(of, releaseMessage(of));
    await world.chain.tick(200);
    expect(standingOf(leases[0] as Lease, await view())).toBe('open');
    expect(await send(wire)).toBe(signatureOfWire(wire));
    await expect(send(wire)).rejects.toThrow(/already been processed/);
    await world.chain.finalize();
    expect(standingOf(leases[0] as Lease, await view())).toBe('paid');
    await world.chain.tick(200);
    await expect(send(wire)).rejects.toThrow();
    expect(await lamports(one.recipient)).toBe(5_000_000);
    expect(leasesFor(await plan(world.sol, [one]), leases, await view())).toMatchObject({ why: 'paid' });
  });

  test('other bytes under the same nonce may be signed, and at most one of them happens', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const leases = leasesFor(of, [], await view()) as Lease[];
    const dearer = { ...of, price: 5_000n, signers: [1, 2] };
    expect(leasesFor(dearer, leases, await view())).toHaveLength(1);
    const [first, second] = [wireOf(of, releaseMessage(of)), wireOf(dearer, releaseMessage(dearer))];
    await send(second);
    await expect(send(first)).rejects.toThrow(/Blockhash not found/);
    expect(await lamports(one.recipient)).toBe(5_000_000);
  });

  test('another nonce is signed only when the first was used up without the payment, in final state, with the history read', async () => {
    const one = payout();
    const of = await plan(world.sol, [one]);
    const leases = leasesFor(of, [], await view()) as Lease[];
    const other = await world.makeNonce();
    await world.chain.finalize();
    const otherNonce = { account: other.toBase58(), value: await world.nonceValue(other) };
    const moved = { ...of, nonce: otherNonce };
    const with2 = (v: FinalView): FinalView => ({
      ...v,
      nonces: new Map([...v.nonces, [otherNonce.account, otherNonce.value]]),
    });
    expect(leasesFor(moved, leases, with2(await view()))).toMatchObject({ why: 'bound' });
    expect(freeNonce([of.nonce, otherNonce], leases, with2(await view()))).toEqual(otherNonce);
    // The nonce goes by a transaction that fails: its payment is below the rent a new account must hold.
    const failing = { ...of, payouts: [payout({ amount: 1_000n })] };
    const signature = await send(wireOf(failing, releaseMessage(failing)), true);
    expect((await unitsOf(signature)).err).not.toBeNull();
    expect(leasesFor(moved, leases, with2(await view()))).toMatchObject({ why: 'bound' }); // not final yet
    await world.chain.finalize();
    const after = with2(await view());
    expect(standingOf(leases[0] as Lease, { ...after, watchedTo: after.noncesAt - 1 })).toBe('unsure');
    expect(leasesFor(moved, leases, { ...after, watchedTo: after.noncesAt - 1 })).toMatchObject({ why: 'unsure' });
    expect(standingOf(leases[0] as Lease, after)).toBe('void');
    expect(leasesFor(moved, leases, after)).toHaveLength(1);
    expect(leasesFor({ ...moved, payouts: [{ ...one, recipient: payout().recipient }] }, leases, after)).toMatchObject({
      why: 'differs',
    });
    expect(leasesFor(of, [], after)).toMatchObject({ why: 'nonce-used' });
    await release(moved);
    await expect(send(wireOf(of, releaseMessage(of)))).rejects.toThrow(/Blockhash not found/);
    expect(await lamports(one.recipient)).toBe(5_000_000);
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
