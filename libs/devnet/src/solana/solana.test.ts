/** The local chain as the unmodified web3 library sees it. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  createAssociatedTokenAccountIdempotentInstruction,
  createInitializeMint2Instruction,
  createMintToInstruction,
  createTransferCheckedInstruction,
  getAssociatedTokenAddressSync,
  MINT_SIZE,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import {
  AddressLookupTableProgram,
  Connection,
  Keypair,
  NonceAccount,
  NONCE_ACCOUNT_LENGTH,
  sendAndConfirmTransaction,
  SystemProgram,
  Transaction,
  TransactionMessage,
  VersionedTransaction,
  type Signer,
  type TransactionInstruction,
} from '@solana/web3.js';
import { Solana } from './index.js';

const SOL = 1_000_000_000;
const FINAL = 5;
let chain: Solana;
let connection: Connection;
let payer: Keypair;

async function open(folder?: string): Promise<void> {
  chain = await Solana.start({ finalizedAfter: FINAL, ...(folder === undefined ? {} : { folder }) });
  connection = connect(chain.url);
  payer = Keypair.generate();
  chain.airdrop(payer.publicKey.toBase58(), 100n * BigInt(SOL));
  await chain.finalize();
}

function connect(url: string): Connection {
  return new Connection(url, { commitment: 'confirmed', disableRetryOnRateLimit: true });
}

async function send(
  instructions: TransactionInstruction[],
  signers: Signer[] = [],
  skipPreflight = false,
): Promise<string> {
  const transaction = new Transaction().add(...instructions);
  transaction.feePayer = payer.publicKey;
  transaction.recentBlockhash = (await connection.getLatestBlockhash('processed')).blockhash;
  transaction.sign(payer, ...signers);
  return connection.sendRawTransaction(transaction.serialize(), { skipPreflight });
}

const pay = (lamports: number, to = Keypair.generate().publicKey): TransactionInstruction =>
  SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: to, lamports });

beforeEach(() => open());
afterEach(() => chain.stop());

describe('the local Solana', () => {
  test('a transaction is processed, confirmed, final; each level is seen when its blocks are there', async () => {
    const to = Keypair.generate().publicKey;
    const signature = await send([pay(SOL, to)]);
    const level = async () => (await connection.getSignatureStatus(signature)).value?.confirmationStatus;
    expect(await level()).toBe('processed');
    expect(await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 })).toBeNull();
    expect(await connection.getBalance(to, 'processed')).toBe(SOL);
    expect(await connection.getBalance(to, 'confirmed')).toBe(0);
    await chain.tick();
    expect(await level()).toBe('confirmed');
    expect(await connection.getBalance(to, 'confirmed')).toBe(SOL);
    expect(await connection.getBalance(to, 'finalized')).toBe(0);
    await chain.tick(FINAL - 1);
    expect(await level()).toBe('finalized');
    expect(await connection.getBalance(to, 'finalized')).toBe(SOL);
    const read = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
    expect(read?.meta).toMatchObject({ err: null, fee: 5_000 });
    const [before = 0, paid = 0] = read?.meta?.preBalances ?? [];
    expect(read?.meta?.postBalances.slice(0, 2)).toEqual([before - SOL - 5_000, paid + SOL]);
    const block = await connection.getBlock(read?.slot ?? 0, { maxSupportedTransactionVersion: 0 });
    expect(block?.transactions.map((t) => t.transaction.signatures[0])).toEqual([signature]);
  });

  test('the web3 library confirms over the websocket while blocks come by the clock', async () => {
    const clocked = await Solana.start({ slotMs: 100, finalizedAfter: 2 }); // a hash is good for 150 slots
    try {
      const live = new Connection(clocked.url, 'confirmed'); // it looks for the websocket one port above
      const from = Keypair.generate();
      const given = await live.requestAirdrop(from.publicKey, 2 * SOL);
      const { blockhash, lastValidBlockHeight } = await live.getLatestBlockhash();
      await live.confirmTransaction({ signature: given, blockhash, lastValidBlockHeight }, 'finalized');
      const to = Keypair.generate().publicKey;
      const transfer = SystemProgram.transfer({ fromPubkey: from.publicKey, toPubkey: to, lamports: SOL });
      await sendAndConfirmTransaction(live, new Transaction().add(transfer), [from]);
      expect(await live.getBalance(to)).toBe(SOL);
      hangUp(live);
    } finally {
      await clocked.stop();
    }
  });

  test('logs, slots and accounts are told over the websocket', async () => {
    const to = Keypair.generate().publicKey;
    const slots: number[] = [];
    let listening: number[] = [];
    const told = new Promise<{ signature: string; lamports: number }>((resolve) => {
      let signature = '';
      listening = [
        connection.onSlotChange(({ slot }) => slots.push(slot)),
        connection.onLogs(to, (logs) => (signature = logs.signature), 'confirmed'),
        connection.onAccountChange(to, ({ lamports }) => resolve({ signature, lamports }), { commitment: 'confirmed' }),
      ];
    });
    // It subscribes some time after the call: paid again, another amount each time, until told.
    const sent: string[] = [];
    const heard = { yet: false };
    void told.then(() => (heard.yet = true));
    for (let i = 0; !heard.yet && i < 1_000; i += 1) {
      sent.push(await send([pay(SOL + i, to)]));
      await chain.tick();
    }
    const { signature, lamports } = await told;
    expect(sent).toContain(signature);
    expect(lamports).toBeGreaterThanOrEqual(SOL);
    expect(slots.length).toBeGreaterThan(0);
    await connection.removeSlotChangeListener(listening[0] ?? 0);
    await connection.removeOnLogsListener(listening[1] ?? 0);
    await connection.removeAccountChangeListener(listening[2] ?? 0);
    hangUp(connection);
  });

  test('signatures of an address are paged, newest first, each once, only as far as final', async () => {
    const to = Keypair.generate().publicKey;
    const sent: string[] = [];
    for (let i = 0; i < 7; i += 1) sent.push(await send([pay(SOL + i, to)]));
    await chain.finalize();
    const late = await send([pay(SOL, to)]);
    const page = async (options: object) =>
      (await connection.getSignaturesForAddress(to, options, 'finalized')).map((s) => s.signature);
    const newest = sent.toReversed();
    expect(await page({})).toEqual(newest);
    expect(await page({ limit: 3 })).toEqual(newest.slice(0, 3));
    expect(await page({ limit: 3, before: newest[2] })).toEqual(newest.slice(3, 6));
    expect(await page({ until: newest[4], before: newest[0] })).toEqual(newest.slice(1, 4));
    await chain.tick();
    expect((await connection.getSignaturesForAddress(to, { limit: 1 }, 'confirmed'))[0]?.signature).toBe(late);
    const ahead = { minContextSlot: chain.ledger.open.slot + 1 };
    await expect(connection.getSignaturesForAddress(to, ahead, 'finalized')).rejects.toThrow(/Minimum context slot/);
  });

  test('a blockhash is good for 150 blocks and not for one more; one transaction gets in once', async () => {
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash('processed');
    const signed = (): Buffer => {
      const transaction = new Transaction({ feePayer: payer.publicKey, blockhash, lastValidBlockHeight }).add(pay(SOL));
      transaction.sign(payer);
      return transaction.serialize();
    };
    await chain.tick(lastValidBlockHeight - chain.ledger.open.height);
    const wire = signed();
    await connection.sendRawTransaction(wire);
    await expect(connection.sendRawTransaction(wire)).rejects.toThrow(/already been processed/);
    await chain.tick();
    await expect(connection.sendRawTransaction(signed())).rejects.toThrow(/Blockhash not found/);
    expect((await connection.isBlockhashValid(blockhash)).value).toBe(false);
  });

  test('preflight says why, in a validator’s words; without it a failed one is in a block and has paid its fee', async () => {
    await expect(send([pay(1000 * SOL)])).rejects.toThrow(/custom program error: 0x1/);
    const before = await connection.getBalance(payer.publicKey, 'processed');
    const signature = await send([pay(1000 * SOL)], [], true);
    await chain.tick();
    const read = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
    expect(read?.meta?.err).toEqual({ InstructionError: [0, { Custom: 1 }] });
    expect(await connection.getBalance(payer.publicKey, 'processed')).toBe(before - 5_000);
    const stranger = Transaction.from(
      (await unsigned()).serialize({ requireAllSignatures: false, verifySignatures: false }),
    );
    stranger.addSignature(payer.publicKey, Buffer.alloc(64, 7));
    await expect(connection.sendRawTransaction(stranger.serialize({ verifySignatures: false }))).rejects.toThrow(
      /signature verification/,
    );
  });

  test('a durable nonce outlives blockhashes, is good once, and is used up by a transaction that failed', async () => {
    const nonce = Keypair.generate();
    await send(
      [
        SystemProgram.createAccount({
          fromPubkey: payer.publicKey,
          newAccountPubkey: nonce.publicKey,
          space: NONCE_ACCOUNT_LENGTH,
          lamports: await connection.getMinimumBalanceForRentExemption(NONCE_ACCOUNT_LENGTH),
          programId: SystemProgram.programId,
        }),
        SystemProgram.nonceInitialize({ noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey }),
      ],
      [nonce],
    );
    const value = async (): Promise<string> => {
      const account = await connection.getAccountInfo(nonce.publicKey, 'processed');
      return NonceAccount.fromAccountData(account?.data ?? Buffer.alloc(0)).nonce;
    };
    const with_ = (at: string, lamports: number): Buffer => {
      const advance = SystemProgram.nonceAdvance({ noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey });
      const transaction = new Transaction().add(advance, pay(lamports));
      transaction.feePayer = payer.publicKey;
      transaction.recentBlockhash = at;
      transaction.sign(payer);
      return transaction.serialize();
    };
    const first = await value();
    await expect(connection.sendRawTransaction(with_(first, SOL))).rejects.toThrow(/Blockhash not found/); // made in this very block
    await chain.tick(200);
    const wire = with_(first, SOL);
    await connection.sendRawTransaction(wire);
    const second = await value();
    expect(second).not.toBe(first);
    await chain.tick(200);
    await expect(connection.sendRawTransaction(wire)).rejects.toThrow();
    await connection.sendRawTransaction(with_(second, 1000 * SOL), { skipPreflight: true });
    expect(await value()).not.toBe(second);
    await chain.tick();
    await expect(connection.sendRawTransaction(with_(second, SOL))).rejects.toThrow(/Blockhash not found/);
  });

  test('token balances, inner instructions and a lookup table’s addresses are shown with a v0 transaction', async () => {
    const { mint, account } = await token();
    const other = Keypair.generate().publicKey;
    const theirs = getAssociatedTokenAddressSync(mint, other);
    const slot = await connection.getSlot('confirmed');
    const [create, table] = AddressLookupTableProgram.createLookupTable({
      authority: payer.publicKey,
      payer: payer.publicKey,
      recentSlot: slot,
    });
    const extend = AddressLookupTableProgram.extendLookupTable({
      lookupTable: table,
      authority: payer.publicKey,
      payer: payer.publicKey,
      addresses: [theirs, mint, other],
    });
    await send([create, extend]);
    await chain.tick();
    const known = (await connection.getAddressLookupTable(table)).value;
    if (!known) throw new Error('no lookup table');
    const message = new TransactionMessage({
      payerKey: payer.publicKey,
      recentBlockhash: (await connection.getLatestBlockhash('processed')).blockhash,
      instructions: [
        createAssociatedTokenAccountIdempotentInstruction(payer.publicKey, theirs, other, mint),
        createTransferCheckedInstruction(account, mint, theirs, payer.publicKey, 250n, 6),
      ],
    }).compileToV0Message([known]);
    const transaction = new VersionedTransaction(message);
    transaction.sign([payer]);
    const signature = await connection.sendTransaction(transaction);
    await chain.tick();
    await expect(connection.getTransaction(signature)).rejects.toThrow(/not supported by the requesting client/);
    const read = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
    expect(read?.version).toBe(0);
    expect(read?.meta?.loadedAddresses?.writable.map(String)).toEqual([theirs.toBase58()]);
    expect(read?.meta?.loadedAddresses?.readonly.map(String)).toEqual(
      expect.arrayContaining([mint.toBase58(), other.toBase58()]),
    );
    expect(read?.meta?.innerInstructions?.[0]?.instructions.length).toBeGreaterThan(1);
    const amounts = (
      b: typeof read extends infer R ? NonNullable<NonNullable<R>> : never,
      when: 'preTokenBalances' | 'postTokenBalances',
    ) => b.meta?.[when]?.map((t) => t.uiTokenAmount.amount);
    expect(amounts(read as NonNullable<typeof read>, 'preTokenBalances')).toEqual(['1000']);
    expect(amounts(read as NonNullable<typeof read>, 'postTokenBalances')?.toSorted()).toEqual(['250', '750']);
    expect((await connection.getSignaturesForAddress(theirs, {}, 'confirmed')).map((s) => s.signature)).toEqual([
      signature,
    ]);
    expect((await connection.getTokenAccountBalance(theirs)).value).toMatchObject({
      amount: '250',
      decimals: 6,
      uiAmountString: '0.00025',
    });
    expect((await connection.getTokenAccountsByOwner(other, { mint })).value).toHaveLength(1);
  });

  test('S13 a fork takes a confirmed transaction back, state and all, and keeps the others; what is final stays', async () => {
    const [a, b] = [Keypair.generate().publicKey, Keypair.generate().publicKey];
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash('finalized');
    const old = new Transaction({ feePayer: payer.publicKey, blockhash, lastValidBlockHeight }).add(pay(2 * SOL, b));
    old.sign(payer);
    const dropped = await send([pay(SOL, a)]);
    const kept = await connection.sendRawTransaction(old.serialize());
    await chain.tick(2);
    expect((await connection.getSignatureStatus(dropped)).value?.confirmationStatus).toBe('confirmed');
    chain.fork([dropped]);
    expect((await connection.getSignatureStatus(dropped)).value).toBeNull();
    expect(await connection.getBalance(a, 'processed')).toBe(0);
    expect(await connection.getBalance(b, 'processed')).toBe(2 * SOL);
    expect((await connection.getSignatureStatus(kept)).value?.confirmationStatus).toBe('processed');
    await chain.finalize();
    expect((await connection.getSignaturesForAddress(a)).map((s) => s.signature)).toEqual([]);
    expect(() => chain.fork([kept])).toThrow(/not final/);
  });

  test('S14 skipped slots have no block, and say so', async () => {
    const { slot } = chain.ledger.open;
    await chain.skip(3);
    await chain.finalize();
    await expect(connection.getBlock(slot + 1, { maxSupportedTransactionVersion: 0 })).rejects.toThrow(/was skipped/);
    const next = await connection.getBlock(slot + 4, { maxSupportedTransactionVersion: 0 });
    expect(next?.parentSlot).toBe(slot);
    expect(await connection.getBlocks(slot, slot + 5)).not.toContain(slot + 2);
  });

  test('a source may lag, hide a listed transaction, cut logs, or be gone, while another is sound', async () => {
    const signature = await send([pay(SOL), pay(SOL)]);
    await chain.finalize();
    const faulty = await chain.serve();
    const theirs = connect(faulty.url);
    const read = () => theirs.getTransaction(signature, { maxSupportedTransactionVersion: 0, commitment: 'finalized' });
    faulty.source.hide(signature, 1);
    expect(await read()).toBeNull();
    expect((await read())?.slot).toBeGreaterThan(0);
    faulty.source.logBytes = 60;
    expect((await read())?.meta?.logMessages).toEqual([expect.stringContaining('invoke'), 'Log truncated']);
    faulty.source.behind = FINAL + 3;
    expect(await read()).toBeNull();
    expect(await theirs.getSlot('finalized')).toBeLessThan(await connection.getSlot('finalized'));
    faulty.source.down = true;
    const asked = fetch(faulty.url, { method: 'POST', body: '{"id":1,"method":"getSlot","params":[]}' });
    await expect(asked).rejects.toThrow();
    expect((await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 }))?.slot).toBeGreaterThan(
      0,
    );
  });

  test('what it cannot do it refuses by name', async () => {
    await expect(connection.getVoteAccounts()).rejects.toThrow(/does not answer getVoteAccounts/);
    await expect(connection.getParsedAccountInfo(payer.publicKey)).rejects.toThrow(/ask for base64/);
    const answers = await fetch(chain.url, { method: 'POST', body: '[1]' }).then((r) => r.json());
    expect(answers).toMatchObject([{ error: { code: -32_600 } }]);
    expect((await fetch(chain.url, { method: 'POST', body: 'x'.repeat(2 ** 21) })).status).toBe(413);
    expect(await fetch(chain.url, { method: 'POST', body: '{' }).then((r) => r.json())).toMatchObject({
      error: { code: -32_700 },
    });
  });

  test('a chain in a folder goes on with its state and history; no nonce or hash comes twice', async () => {
    await chain.stop();
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-solana-'));
    await open(folder);
    const to = Keypair.generate().publicKey;
    const first = await send([pay(SOL, to)]);
    const { account } = await token();
    const { slot } = chain.ledger.open;
    const hash = chain.ledger.open.previousBlockhash;
    await chain.stop();
    await open(folder);
    expect(await connection.getBalance(to)).toBe(SOL);
    expect((await connection.getTokenAccountBalance(account)).value.amount).toBe('1000');
    expect(
      (await connection.getTransaction(first, { maxSupportedTransactionVersion: 0 }))?.transaction.signatures,
    ).toEqual([first]);
    expect((await connection.getSignaturesForAddress(to)).map((s) => s.signature)).toEqual([first]);
    expect(chain.ledger.open.slot).toBeGreaterThan(slot);
    expect(chain.ledger.open.previousBlockhash).not.toBe(hash);
    fs.rmSync(folder, { recursive: true });
  });

  test('a journal that has grown is written anew with what still counts', async () => {
    await chain.stop();
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-solana-'));
    const file = path.join(folder, 'blocks.jsonl');
    const limits = { finalizedAfter: 1, historyLimit: 10, folder };
    chain = await Solana.start(limits);
    connection = connect(chain.url);
    chain.airdrop(payer.publicKey.toBase58(), 100n * BigInt(SOL));
    const to = Keypair.generate().publicKey;
    const sent: string[] = [];
    for (let i = 0; i < 40; i += 1) {
      sent.push(await send([pay(SOL + i, to)]));
      await chain.tick();
    }
    await chain.stop();
    const grown = fs.statSync(file).size;
    for (let run = 0; run < 2; run += 1) {
      chain = await Solana.start(limits);
      connection = connect(chain.url);
      expect(fs.statSync(file).size).toBeLessThan(grown);
      expect(await connection.getBalance(to)).toBe(40 * SOL + (40 * 39) / 2);
      expect((await connection.getSignaturesForAddress(to)).map((s) => s.signature)).toEqual(
        sent.slice(-10).toReversed(),
      );
      if (run === 0) await chain.stop();
    }
    fs.rmSync(folder, { recursive: true });
  });

  test('old transactions are forgotten at the bound, not before', async () => {
    await chain.stop();
    chain = await Solana.start({ finalizedAfter: 1, historyLimit: 20 });
    connection = connect(chain.url);
    chain.airdrop(payer.publicKey.toBase58(), 100n * BigInt(SOL));
    const sent: string[] = [];
    for (let i = 0; i < 25; i += 1) {
      sent.push(await send([pay(SOL)]));
      await chain.tick();
    }
    await chain.tick(200);
    expect(await connection.getTransaction(sent[0] ?? '', { maxSupportedTransactionVersion: 0 })).toBeNull();
    expect(await connection.getSignaturesForAddress(payer.publicKey)).toHaveLength(20);
  });
});

/** The library would try to come back for ever to a server that is gone. */
function hangUp(from: Connection): void {
  const { _rpcWebSocket: socket } = from as unknown as { _rpcWebSocket: Reconnecting };
  socket.setAutoReconnect(false);
  socket.close();
}
interface Reconnecting {
  setAutoReconnect(reconnect: boolean): void;
  close(): void;
}

async function unsigned(): Promise<Transaction> {
  const transaction = new Transaction().add(pay(SOL));
  transaction.feePayer = payer.publicKey;
  transaction.recentBlockhash = (await connection.getLatestBlockhash('processed')).blockhash;
  return transaction;
}

/** A mint of 6 decimals, with 1,000 units at the payer's. */
async function token() {
  const mint = Keypair.generate();
  const account = getAssociatedTokenAddressSync(mint.publicKey, payer.publicKey);
  await send(
    [
      SystemProgram.createAccount({
        fromPubkey: payer.publicKey,
        newAccountPubkey: mint.publicKey,
        space: MINT_SIZE,
        lamports: await connection.getMinimumBalanceForRentExemption(MINT_SIZE),
        programId: TOKEN_PROGRAM_ID,
      }),
      createInitializeMint2Instruction(mint.publicKey, 6, payer.publicKey, null),
      createAssociatedTokenAccountIdempotentInstruction(payer.publicKey, account, payer.publicKey, mint.publicKey),
      createMintToInstruction(mint.publicKey, account, payer.publicKey, 1000n),
    ],
    [mint],
  );
  await chain.tick();
  return { mint: mint.publicKey, account };
}
