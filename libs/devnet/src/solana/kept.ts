/** What of the chain is on disk: a line for each final block with transactions, and now and then for one without, so that no hash is made twice. */
import fs from 'node:fs';
import path from 'node:path';
import { Journal } from '../journal.js';
import type { TransactionError } from './error.js';
import type { Block, Executed, Ledger, TokenBalance } from './ledger.js';
import type { AccountState, InnerInstruction, Outcome } from './runtime.js';
import { readWire } from './wire.js';

/** An empty block is written this often at least; what a crash loses is fewer. */
export const MARK_BLOCKS = 1_000;

interface Accounts {
  [address: string]: { lamports: string; owner: string; data: string; executable: boolean } | null;
}

interface Line {
  slot: number;
  parentSlot: number;
  height: number;
  blockhash: string;
  previousBlockhash: string;
  time: number;
  hashes: number;
  accounts: Accounts;
  transactions: KeptTransaction[];
}

interface KeptTransaction {
  wire: string;
  err: TransactionError | null;
  logs: string[];
  units: number;
  inner: { index: number; instructions: (Omit<InnerInstruction, 'data'> & { data: string })[] }[];
  returnData: { programId: string; data: string } | null;
  keys: string[];
  loaded: Executed['loaded'];
  fee: string;
  before: KeptBalances;
  after: KeptBalances;
}

interface KeptBalances {
  lamports: string[];
  tokens: (Omit<TokenBalance, 'amount'> & { amount: string })[];
}

/** What a folder holds: the newest block's place and everything to put back. */
export interface Found {
  last: { slot: number; height: number; time: number; hashes: number } | null;
  accounts: Map<string, AccountState | null>;
  blocks: Block[];
}

/** Reads a folder's chain, and writes its journal anew when most of it counts no more. @throws Error when it is damaged */
export async function openKept(folder: string, historyLimit: number): Promise<{ journal: Journal; found: Found }> {
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'blocks.jsonl');
  const found: Found = { last: null, accounts: new Map(), blocks: [] };
  let kept = 0;
  let lines = 0;
  const journal = await Journal.open(file, (entry) => {
    const line = entry as Line; // written by `lineOf`, each line under its checksum
    const { slot, height, time, hashes } = line;
    lines += 1;
    found.last = { slot, height, time, hashes };
    for (const [address, state] of Object.entries(line.accounts))
      found.accounts.set(address, state === null ? null : readAccount(state));
    if (line.transactions.length === 0) return;
    found.blocks.push(blockOf(line));
    kept += line.transactions.length;
    while (kept > historyLimit) kept -= found.blocks.shift()?.transactions.length ?? kept;
  });
  if (found.last === null || lines < found.blocks.length * 2 + WORTH_IT) return { journal, found };
  await journal.close();
  return { journal: await rewrite(file, found, found.last), found };
}

/** Lines that count no more before a journal is written anew. */
const WORTH_IT = 20;

/** All accounts in one line, then the blocks whose transactions are kept: whole or not at all. */
async function rewrite(file: string, { accounts, blocks }: Found, last: NonNullable<Found['last']>): Promise<Journal> {
  const partial = `${file}.new`;
  fs.rmSync(partial, { force: true });
  const anew = await Journal.open(partial, () => undefined);
  for (const block of blocks)
    await anew.append({
      ...placeOf(block),
      hashes: last.hashes,
      accounts: {},
      transactions: block.transactions.map(keep),
    });
  const kept: Accounts = {};
  for (const [address, state] of accounts) kept[address] = keepAccount(state);
  const end = { parentSlot: last.slot, blockhash: '', previousBlockhash: '', transactions: [] };
  await anew.append({ ...end, ...last, accounts: kept });
  await anew.close();
  fs.renameSync(partial, file);
  return Journal.open(file, () => undefined);
}

function keepAccount(state: AccountState | null): Accounts[string] {
  return state === null ? null : { ...state, lamports: state.lamports.toString(), data: state.data.toString('base64') };
}

function placeOf({ slot, parentSlot, height, blockhash, previousBlockhash, time }: Block) {
  return { slot, parentSlot, height, blockhash, previousBlockhash, time };
}

/** What is kept of a block that is about to be final. */
export function lineOf(ledger: Ledger, block: Block): Line {
  const accounts: Accounts = {};
  for (const address of block.undo.keys()) accounts[address] = keepAccount(ledger.accountAt(address, block));
  const { hashes } = ledger.runtime;
  return { ...placeOf(block), hashes, accounts, transactions: block.transactions.map(keep) };
}

function keep(executed: Executed): KeptTransaction {
  const { wire, err, logs, units, inner, returnData, keys, loaded, fee, before, after } = executed;
  return {
    wire: wire.bytes.toString('base64'),
    err,
    logs,
    units,
    inner: inner.map(({ index, instructions }) => ({
      index,
      instructions: instructions.map((i) => ({ ...i, data: i.data.toString('base64') })),
    })),
    returnData: returnData === null ? null : { ...returnData, data: returnData.data.toString('base64') },
    keys,
    loaded,
    fee: fee.toString(),
    before: keepBalances(before),
    after: keepBalances(after),
  };
}

function keepBalances({ lamports, tokens }: Executed['before']): KeptBalances {
  return { lamports: lamports.map(String), tokens: tokens.map((t) => ({ ...t, amount: t.amount.toString() })) };
}

function readAccount({ lamports, owner, data, executable }: NonNullable<Accounts[string]>): AccountState {
  return { lamports: BigInt(lamports), owner, data: Buffer.from(data, 'base64'), executable };
}

function blockOf({ transactions, slot, parentSlot, height, blockhash, previousBlockhash, time }: Line): Block {
  return {
    slot,
    parentSlot,
    height,
    blockhash,
    previousBlockhash,
    time,
    undo: new Map(),
    transactions: transactions.map(readKept),
  };
}

function readKept(kept: KeptTransaction): Executed {
  const { err, logs, units, keys, loaded } = kept;
  const outcome: Outcome = {
    err,
    logs,
    units,
    inner: kept.inner.map(({ index, instructions }) => ({
      index,
      instructions: instructions.map((i) => ({ ...i, data: Buffer.from(i.data, 'base64') })),
    })),
    returnData:
      kept.returnData === null ? null : { ...kept.returnData, data: Buffer.from(kept.returnData.data, 'base64') },
  };
  return {
    ...outcome,
    wire: readWire(Buffer.from(kept.wire, 'base64')),
    keys,
    loaded,
    fee: BigInt(kept.fee),
    before: readBalances(kept.before),
    after: readBalances(kept.after),
  };
}

function readBalances({ lamports, tokens }: KeptBalances): Executed['before'] {
  return { lamports: lamports.map(BigInt), tokens: tokens.map((t) => ({ ...t, amount: BigInt(t.amount) })) };
}
