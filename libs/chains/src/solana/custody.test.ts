/** What is read of vaults on the real runtime, and the relayer's accounts at the addresses anybody can work out. */
import {
  AuthorityType,
  createApproveInstruction,
  createCloseAccountInstruction,
  createFreezeAccountInstruction,
  createSetAuthorityInstruction,
  TOKEN_2022_PROGRAM_ID,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import { Keypair, PublicKey, SystemProgram } from '@solana/web3.js';
import {
  custodyOf,
  makeMultisig,
  makeNonce,
  MULTISIG_RENT,
  multisigAddress,
  NONCE_RENT,
  nonceAddress,
  readVault,
  signedByRelayer,
} from './custody.js';
import { SolanaWorld } from './harness.js';
import { nonceValue } from './nonce.js';
import { TOKEN } from './programs.js';

let world: SolanaWorld;
beforeAll(async () => {
  world = await SolanaWorld.open();
});
afterAll(() => world.chain.stop());
const keys = (pairs: readonly Keypair[]): string[] => pairs.map((p) => p.publicKey.toBase58());

test('a vault says its mint, its guardians and what it could pay: of SOL not the rent that keeps it', async () => {
  await world.deposit(world.sol, 7_000_000_000n);
  await world.deposit(world.token, 9_000_000n);
  await world.chain.finalize();
  const pool = world.pool();
  const custody = { multisig: world.multisig.publicKey.toBase58(), guardians: keys(world.guardians), threshold: 2 };
  const sol = await readVault(pool, world.sol.address, null);
  expect(sol).toEqual({
    vault: world.sol,
    custody,
    held: 7_000_000_000n,
    rent: 2_039_280n,
    frozen: false,
    freezable: false,
  });
  const token = await readVault(pool, world.token.address, world.token.mint);
  expect(token).toMatchObject({ vault: world.token, custody, held: 9_000_000n, rent: 0n });
});

test('a vault that nobody but one key holds has no custody; one of another mint, or none, is unfit', async () => {
  const own = await world.makePlainAccount(world.mint.publicKey, world.user.publicKey);
  await world.chain.finalize();
  const pool = world.pool();
  expect((await readVault(pool, own.toBase58(), world.token.mint)).custody).toBeNull();
  await expect(readVault(pool, own.toBase58(), null)).rejects.toMatchObject({ code: 'not-a-vault' });
  await expect(readVault(pool, keys([Keypair.generate()])[0] ?? '', null)).rejects.toMatchObject({
    code: 'not-a-vault',
  });
  const notMint = world.user.publicKey.toBase58();
  await expect(readVault(pool, own.toBase58(), notMint)).rejects.toMatchObject({ code: 'mint-refused' });
});

test('I1: a vault that who made it could close, and make anew as their own, is unfit; so is one with a delegate', async () => {
  const [thief, account] = [
    world.user.publicKey,
    await world.makePlainAccount(world.mint.publicKey, world.user.publicKey),
  ];
  const { publicKey: multisig } = world.multisig;
  const read = () => readVault(world.pool(), account.toBase58(), world.token.mint);
  await world.run([
    createSetAuthorityInstruction(account, thief, AuthorityType.CloseAccount, thief),
    createSetAuthorityInstruction(account, thief, AuthorityType.AccountOwner, multisig),
  ]);
  await world.chain.finalize();
  await expect(read()).rejects.toMatchObject({ code: 'not-a-vault' });
  // The guardians hold it, and yet it goes.
  await world.run([createCloseAccountInstruction(account, thief, thief)]);
  expect(await world.connection.getAccountInfo(account, 'processed')).toBeNull();
  const lent = await world.makePlainAccount(world.mint.publicKey, multisig);
  const two = world.guardians.slice(0, 2);
  await world.run([createApproveInstruction(lent, thief, multisig, 5n, two, TOKEN_PROGRAM_ID)], two);
  await world.chain.finalize();
  await expect(readVault(world.pool(), lent.toBase58(), world.token.mint)).rejects.toMatchObject({
    code: 'not-a-vault',
  });
});

test('X2: a vault of Token-2022 that could never be handed over, an account with extensions, is unfit; a plain one is not', async () => {
  const { vault, multisig } = await world.token2022();
  const [mint, owner] = [new PublicKey(vault.mint), new PublicKey(multisig)];
  const associated = await world.makeAccount(mint, owner, TOKEN_2022_PROGRAM_ID);
  await world.chain.finalize();
  const read = (address: string) => readVault(world.pool(), address, vault.mint);
  expect(await read(vault.address)).toMatchObject({ vault, custody: { multisig } });
  await expect(read(associated.toBase58())).rejects.toMatchObject({
    code: 'not-a-vault',
    message: expect.stringContaining('extensions'),
  });
});

test('a vault its issuer has frozen says so', async () => {
  const mint = Keypair.generate();
  await world.makeMint(mint, world.user.publicKey);
  const vault = await world.makePlainAccount(mint.publicKey, world.multisig.publicKey);
  await world.run([createFreezeAccountInstruction(vault, mint.publicKey, world.user.publicKey)]);
  await world.chain.finalize();
  const state = await readVault(world.pool(), vault.toBase58(), mint.publicKey.toBase58());
  expect(state).toMatchObject({ frozen: true, freezable: true });
});

test('nonces and multisigs stand where anybody finds them, made by the relayer alone', async () => {
  const relayer = world.relayer.publicKey.toBase58();
  const seed = world.relayer.secretKey.subarray(0, 32);
  const set = { guardians: keys(world.guardians).toReversed(), threshold: 2 };
  const pool = world.pool();
  await pool.finalized();
  // What somebody sends there first keeps nothing from being made.
  await world.run([
    SystemProgram.transfer({
      fromPubkey: world.user.publicKey,
      toPubkey: new PublicKey(nonceAddress(relayer, 0)),
      lamports: 1_000_000,
    }),
  ]);
  const instructions = [...makeNonce(relayer, 0, NONCE_RENT), ...makeMultisig(relayer, set, TOKEN, MULTISIG_RENT)];
  const wire = signedByRelayer(relayer, seed, instructions, await pool.blockhash());
  expect(await pool.refusalOf(wire)).toBeNull();
  await pool.send(wire);
  await world.chain.finalize();
  await pool.finalized();
  const address = multisigAddress(relayer, set, TOKEN);
  const [nonce = null, multisig = null] = await pool.accounts([nonceAddress(relayer, 0), address]);
  expect(nonceValue(nonce, relayer)).toEqual(await world.nonceValue(new PublicKey(nonceAddress(relayer, 0))));
  expect(custodyOf(address, multisig, TOKEN)).toEqual({ ...set, multisig: address });
  expect(multisigAddress(relayer, { ...set, threshold: 3 }, TOKEN)).not.toBe(address);
  // Made once: again it is refused, in the cluster's words.
  expect(await pool.refusalOf(signedByRelayer(relayer, seed, instructions, await pool.blockhash()))).toMatch(/Custom/);
});

test('a transaction is seen from processed on, and what is listed before it is final may go again', async () => {
  const pool = world.pool();
  await pool.finalized();
  const signature = await world.deposit(world.token, 5n);
  expect(await pool.commitmentOf(signature)).toMatchObject({ commitment: 'processed', failed: false });
  await world.chain.tick(2);
  expect(await pool.commitmentOf(signature)).toMatchObject({ commitment: 'confirmed' });
  const all = { until: null, limit: 5, known: new Set<string>() };
  const { listed, transactions } = await pool.recent(world.token.address, all);
  expect([listed.at(-1)?.signature, transactions.at(-1)?.signature]).toEqual([signature, signature]);
  expect((await pool.recent(world.token.address, { ...all, known: new Set([signature]) })).transactions).toHaveLength(
    transactions.length - 1,
  );
  world.chain.fork([signature]);
  expect(await pool.commitmentOf(signature)).toBeNull();
  expect((await pool.recent(world.token.address, all)).listed.map((l) => l.signature)).not.toContain(signature);
});
