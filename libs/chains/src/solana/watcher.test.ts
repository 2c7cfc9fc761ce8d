/** The watcher on the real runtime: what counts as a deposit, and what of the history it may conclude. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createMintToInstruction,
  createSyncNativeInstruction,
  createTransferCheckedInstruction,
  createTransferInstruction,
  createRecoverNestedInstruction,
  NATIVE_MINT,
} from '@solana/spl-token';
import { Keypair, PublicKey, SystemProgram, TransactionInstruction } from '@solana/web3.js';
import { encodeMemo } from '@isthmus/bridge';
import { eventsOf, type VaultEvent } from './deposit.js';
import { catchUp, DECIMALS, FINAL, RECIPIENT, SolanaWorld } from './harness.js';
import { MEMO_PROGRAMS, memoInstruction } from './programs.js';
import type { Listed, SolanaPool } from './rpc.js';
import type { ChainTransaction, Holding } from './transaction.js';
import { SolanaWatcher, type SolanaCursor } from './watcher.js';

let world: SolanaWorld;
let cursors: { sol: SolanaCursor; token: SolanaCursor };

beforeAll(async () => {
  world = await SolanaWorld.open();
});
afterAll(() => world.chain.stop());
beforeEach(async () => {
  await world.chain.finalize();
  const [sol, token] = [await catchUp(world.watcher(world.sol)), await catchUp(world.watcher(world.token))];
  cursors = { sol: sol.cursor, token: token.cursor };
});

/** What has come since the test began, once it is final. */
async function found(asset: 'sol' | 'token' = 'token', pool: SolanaPool = world.pool()): Promise<VaultEvent[]> {
  await world.chain.finalize();
  return (await catchUp(world.watcher(world[asset], pool), cursors[asset])).events;
}

const memo = (text = Buffer.from(encodeMemo(RECIPIENT))): TransactionInstruction => memoInstruction(text);
const pay = (amount: bigint): TransactionInstruction =>
  world.instructions(world.token, amount)[0] as TransactionInstruction;
const user = () => world.user.publicKey;

describe('deposits on Solana', () => {
  test('a token deposit and a SOL deposit, with tags, each once and with all that is known of it', async () => {
    const tags = [{ name: 'X-Order', value: '7' }];
    const signature = await world.run(world.instructions(world.token, 700n, { tags }));
    const sol = await world.deposit(world.sol, 3n);
    expect(await found()).toEqual([
      {
        type: 'deposited',
        signature,
        path: '0',
        slot: expect.any(Number),
        time: expect.any(Number),
        sender: user().toBase58(),
        amount: 700n,
        memo: { recipient: RECIPIENT, tags },
      },
    ]);
    expect(await found('sol')).toMatchObject([
      { signature: sol, amount: 3n, memo: { recipient: RECIPIENT, tags: [] } },
    ]);
  });

  test('S1 a transaction that failed after the transfer is no deposit, listed as failed or read as failed', async () => {
    const signature = await world.run(
      [
        ...world.instructions(world.token, 5n),
        SystemProgram.transfer({ fromPubkey: user(), toPubkey: user(), lamports: 10 ** 15 }),
      ],
      [],
      true,
    );
    expect(await found()).toEqual([]);
    const pool = world.pool();
    await pool.finalized();
    const [listed] = await pool.page(world.token.address, await world.deposit(world.token, 1n).then(final), null);
    const [failed] = await pool.transactions([listed as Listed]);
    expect(failed).toMatchObject({ signature, failed: true });
    expect(eventsOf(failed as ChainTransaction, world.token)).toEqual([]);
  });

  test('S2 S11 a transfer that another program made counts by its path; its memo is behind the instruction that called it', async () => {
    // The associated-token program takes back what was sent to an account of an account: the real way to a transfer by another program.
    const owner = Keypair.generate();
    world.chain.airdrop(owner.publicKey.toBase58(), 10n ** 10n);
    const mint = world.mint.publicKey;
    const outer = await world.makeAccount(mint, owner.publicKey);
    const nested = await world.makeAccount(mint, outer);
    await world.run([createTransferCheckedInstruction(world.account(user()), mint, nested, user(), 44n, DECIMALS)]);
    await world.chain.finalize();
    const vault = { ...world.token, address: outer.toBase58() };
    const { cursor } = await catchUp(new SolanaWatcher(world.pool(), vault));
    await world.run(
      [createRecoverNestedInstruction(nested, mint, outer, outer, mint, owner.publicKey), memo()],
      [owner],
    );
    await world.chain.finalize();
    const { events } = await catchUp(new SolanaWatcher(world.pool(), vault), cursor);
    expect(events).toMatchObject([
      { type: 'deposited', path: '0.0', amount: 44n, sender: outer.toBase58(), memo: { recipient: RECIPIENT } },
    ]);
  });

  test('S3 what looks like a transfer to the vault and is of another program is none', async () => {
    const [real, lamports] = [pay(9n), world.instructions(world.sol, 9n)[0] as TransactionInstruction];
    // The first memo program takes any text with any accounts: here what reads like a transfer of 8 units into the vault.
    const posing = ({ keys, data }: TransactionInstruction, at: number): TransactionInstruction => {
      const like = Buffer.from(data);
      like.writeBigUInt64LE(8n, at);
      return new TransactionInstruction({ programId: new PublicKey(MEMO_PROGRAMS[1] ?? ''), keys, data: like });
    };
    await world.run([posing(real, 1), memo(), real, memo()]);
    await world.run([posing(lamports, 4), memo(), lamports, memo()]);
    expect(await found()).toMatchObject([{ path: '2', amount: 9n }]);
    expect(await found('sol')).toMatchObject([{ path: '2', amount: 9n }]);
  });

  test('S4 logs are not looked at: cut to nothing, the deposit is the same', async () => {
    const front = await world.chain.serve();
    front.source.logBytes = 1;
    await world.deposit(world.token, 11n);
    expect(await found('token', world.pool([front]))).toMatchObject([{ amount: 11n, memo: { recipient: RECIPIENT } }]);
  });

  test('S5 S6 another mint, and another account of the same owner, are not the vault', async () => {
    const other = Keypair.generate();
    await world.makeMint(other);
    const theirs = await world.makeAccount(other.publicKey, world.multisig.publicKey);
    const beside = await world.makePlainAccount(world.mint.publicKey, world.multisig.publicKey);
    const mine = world.account(user());
    const users = await world.makeAccount(other.publicKey, user());
    await world.run([createMintToInstruction(other.publicKey, users, user(), 100n)]);
    // All in one transaction with a deposit: the vault's history has no others.
    await world.run([
      createTransferInstruction(mine, beside, user(), 5n),
      memo(),
      createTransferInstruction(users, theirs, user(), 7n),
      memo(),
      pay(6n),
      memo(),
    ]);
    expect(theirs.toBase58()).not.toBe(world.token.address);
    expect(await found()).toMatchObject([{ path: '4', amount: 6n }]);
    const wrong = { ...world.token, mint: other.publicKey.toBase58() };
    await expect(catchUp(new SolanaWatcher(world.pool(), wrong))).rejects.toThrow(/holds .* not/);
  });

  test('S9 addresses from a lookup table are resolved', async () => {
    const { address, mint } = world.token;
    const table = await world.lookupTable([address, mint]);
    const signature = await world.runV0(world.instructions(world.token, 13n), [table]);
    expect(await found()).toMatchObject([{ signature, amount: 13n, memo: { recipient: RECIPIENT } }]);
  });

  test('S10 two transfers in one transaction are two deposits, each with its own memo', async () => {
    const other = Buffer.alloc(32, 1).toString('base64url');
    await world.run([
      ...world.instructions(world.token, 1n),
      ...world.instructions(world.token, 2n, { recipient: other }),
    ]);
    expect(await found()).toMatchObject([
      { path: '0', amount: 1n, memo: { recipient: RECIPIENT } },
      { path: '2', amount: 2n, memo: { recipient: other } },
    ]);
  });

  test('S13 what is confirmed and then dropped by a fork is never seen', async () => {
    const dropped = await world.deposit(world.token, 21n);
    await world.chain.tick(FINAL - 1);
    expect((await catchUp(world.watcher(world.token), cursors.token)).events).toEqual([]);
    world.chain.fork([dropped]);
    expect(await found()).toEqual([]);
  });

  test('S14 skipped slots change nothing', async () => {
    await world.deposit(world.token, 1n);
    await world.chain.skip(5);
    await world.deposit(world.token, 2n);
    await world.chain.skip(1);
    expect(await found()).toMatchObject([{ amount: 1n }, { amount: 2n }]);
  });

  test.each([
    ['S15 two memos', () => [pay(1n), memo(), memo()], 'two-memos'],
    ['S15 a memo that is not UTF-8', () => [pay(2n), memoInstruction(Buffer.from('fe', 'hex'))], null],
    ['S15 a memo of another instruction', () => [pay(3n), transferAway(), memo()], 'no-memo'],
    ['S15 a memo in front', () => [memo(), pay(4n)], 'no-memo'],
    ['S15 a memo for somebody else', () => [pay(5n), memo(Buffer.from('12345678'))], 'bad-memo'],
    [
      'S15 a recipient that is not written in its one form',
      () => [pay(6n), memo(Buffer.from(`ao:${RECIPIENT} `))],
      'bad-memo',
    ],
  ])('%s: the deposit is kept for nobody, or refused by the chain', async (_, instructions, why) => {
    const sent = world.run(instructions());
    if (why === null) {
      await expect(sent).rejects.toThrow();
      return;
    }
    await sent;
    expect(await found()).toMatchObject([{ type: 'deposited', memo: why }]);
  });

  test('S15 malformed tags never stop the money', async () => {
    await world.run([pay(7n), memo(Buffer.from(`ao:${RECIPIENT}\nnot a tag`))]);
    expect(await found()).toMatchObject([{ amount: 7n, memo: { recipient: RECIPIENT, tags: null } }]);
  });

  test('S18 what came by no transfer is nobody’s: only what a transfer moved is credited', async () => {
    const vault = new PublicKey(world.sol.address);
    const gift = SystemProgram.transfer({ fromPubkey: user(), toPubkey: vault, lamports: 1_000 });
    await world.run([gift]);
    await world.run([
      SystemProgram.transfer({ fromPubkey: user(), toPubkey: vault, lamports: 1 }),
      memo(),
      createSyncNativeInstruction(vault),
    ]);
    expect(await found('sol')).toMatchObject([
      { amount: 1_000n, memo: 'no-memo' },
      { amount: 1n, memo: { recipient: RECIPIENT } },
    ]);
    expect(await world.tokens(vault)).toBeGreaterThan(1_000n);
  });

  test('S18 where the vault received less than its transfers say, one counts for what came, of several none', async () => {
    const pool = world.pool();
    const read = async (signature: string): Promise<ChainTransaction> => {
      await world.chain.finalize();
      await pool.finalized();
      const listed = await pool.newest(world.token.address, null, await pool.finalized());
      expect(listed?.signature).toBe(signature);
      const [transaction] = await pool.transactions([listed as Listed]);
      return transaction as ChainTransaction;
    };
    /** As if a fee of 3 had been kept from what the vault received. */
    const short = ({ holdings, ...rest }: ChainTransaction): ChainTransaction => {
      const { before, after } = holdings.get(world.token.address) as { before: Holding; after: Holding };
      const token = after.token && { ...after.token, amount: after.token.amount - 3n };
      return {
        ...rest,
        holdings: new Map([...holdings, [world.token.address, { before, after: { ...after, token } }]]),
      };
    };
    const one = await read(await world.deposit(world.token, 13n));
    expect(eventsOf(one, world.token)).toMatchObject([{ amount: 13n }]);
    expect(eventsOf(short(one), world.token)).toMatchObject([{ amount: 10n, memo: { recipient: RECIPIENT } }]);
    const two = await read(
      await world.run([...world.instructions(world.token, 5n), ...world.instructions(world.token, 7n)]),
    );
    expect(eventsOf(two, world.token)).toMatchObject([{ amount: 5n }, { amount: 7n }]);
    const unclear = { amount: 0n, memo: 'amount-unclear' };
    expect(eventsOf(short(two), world.token)).toMatchObject([unclear, unclear]);
  });

  test('wrapped SOL counts like SOL', async () => {
    const mine = await world.makeAccount(NATIVE_MINT, user());
    await world.run([
      SystemProgram.transfer({ fromPubkey: user(), toPubkey: mine, lamports: 500 }),
      createSyncNativeInstruction(mine),
    ]);
    await world.run([createTransferInstruction(mine, new PublicKey(world.sol.address), user(), 500n), memo()]);
    expect(await found('sol')).toMatchObject([{ amount: 500n, path: '0', memo: { recipient: RECIPIENT } }]);
  });
});

describe('the history', () => {
  test('what was stopped goes on behind its cursor: each deposit once, in order, over pages and restarts', async () => {
    const amounts = Array.from({ length: 230 }, (_, i) => BigInt(i + 1));
    for (const amount of amounts) {
      await world.deposit(world.token, amount);
      if (amount % 50n === 0n) await world.chain.tick();
    }
    await world.chain.finalize();
    let { token: cursor } = cursors;
    const seen: bigint[] = [];
    for (;;) {
      // A new watcher each time: nothing of the walk is kept but the cursor.
      const scan = await world.watcher(world.token).step(cursor);
      if (scan === null) break;
      seen.push(...scan.events.flatMap((e) => (e.type === 'deposited' ? [e.amount] : [])));
      ({ cursor } = scan);
    }
    expect(seen).toEqual(amounts);
    expect(cursor.balance).toBe(await world.tokens(world.token.address));
  });

  test('a transaction that is withheld shows in the balance: nothing after it is concluded', async () => {
    await world.deposit(world.token, 1n);
    const withheld = await world.deposit(world.token, 2n);
    await world.deposit(world.token, 3n);
    await world.chain.finalize();
    const pool = world.pool();
    const page = pool.page.bind(pool);
    pool.page = async (...args) => (await page(...args)).filter((l) => l.signature !== withheld);
    await expect(catchUp(world.watcher(world.token, pool), cursors.token)).rejects.toMatchObject({
      code: 'balance-gap',
    });
    expect(await found()).toHaveLength(3);
  });

  test('null for a listed transaction is no answer: it is asked for again and nothing is passed over', async () => {
    const front = await world.chain.serve();
    const signature = await world.deposit(world.token, 5n);
    await world.chain.finalize();
    front.source.hide(signature, 1);
    const watcher = world.watcher(world.token, world.pool([front]));
    await expect(watcher.step(cursors.token)).rejects.toThrow(/does not give it/);
    expect((await watcher.step(cursors.token))?.events).toMatchObject([{ amount: 5n }]);
  });

  test('I9 X1 X10 below the agreement nothing is concluded; a stale source does not count, nor one of another cluster', async () => {
    const [stale, down] = [await world.chain.serve(), await world.chain.serve()];
    const fronts = [world.chain.front, stale, down];
    const watcher = world.watcher(world.token, world.pool(fronts, 2));
    await world.deposit(world.token, 5n);
    await world.chain.finalize();
    down.source.down = true;
    stale.source.behind = 10;
    // With one sound source, final is what the stale one holds final too; or nothing, when that is before the cursor.
    expect(await watcher.step(cursors.token).catch(() => null)).toBeNull();
    stale.source.behind = 0;
    expect((await watcher.step(cursors.token))?.events).toMatchObject([{ amount: 5n }]);
    stale.source.down = true;
    await expect(watcher.step(cursors.token)).rejects.toMatchObject({ code: 'agreement-lost' });
    const elsewhere = world.pool([world.chain.front], 1, Keypair.generate().publicKey.toBase58());
    await expect(world.watcher(world.token, elsewhere).step(cursors.token)).rejects.toThrow(/another cluster/);
  });

  test('X10 who reads accounts at a slot that cannot be final yet gives no answer; the others do, and below the agreement nobody', async () => {
    const server = createServer((asked, answer) => void lie(asked, answer)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const liar = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
    const [pool, both] = [world.pool([world.chain.front, liar]), world.pool([world.chain.front, liar], 2)];
    try {
      for (const one of [pool, both]) await one.finalized();
      const agreed = await world.pool().finalized();
      const { slot } = await pool.accountsAt([world.token.address]);
      expect([slot >= agreed, slot <= agreed + 1_000]).toEqual([true, true]);
      await expect(both.accountsAt([world.token.address])).rejects.toThrow(/far above what is final/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('a final transaction that is not there any more stops everything', async () => {
    await world.deposit(world.token, 5n);
    await world.chain.finalize();
    const gone = { ...cursors.token, signature: '1'.repeat(64) };
    await expect(world.watcher(world.token).step(gone)).rejects.toMatchObject({ code: 'finality-violated' });
    const moved = { ...cursors.token, slot: cursors.token.slot - 1 };
    await expect(world.watcher(world.token).step(moved)).rejects.toMatchObject({ code: 'finality-violated' });
  });
});

async function final(signature: string): Promise<string> {
  await world.chain.finalize();
  return signature;
}

/** Some transfer that has nothing to do with a vault. */
function transferAway(): TransactionInstruction {
  return SystemProgram.transfer({ fromPubkey: user(), toPubkey: user(), lamports: 1 });
}

/** Passes a question on, and answers that it read at a slot nobody will come to. */
async function lie(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of asked) chunks.push(chunk as Buffer);
  const headers = { 'content-type': 'application/json' };
  const given = await fetch(world.chain.front.url, { method: 'POST', headers, body: Buffer.concat(chunks) });
  const text = (await given.text()).replace(
    /("context":\{[^}]*"slot":)\d+/,
    (_, head: string) => `${head}9000000000000000`,
  );
  answer.writeHead(200, headers).end(text);
}
