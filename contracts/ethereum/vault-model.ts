/** The vault against a model of it in TypeScript: long runs of random calls, good and bad, compared in outcome, books and balances. */
import {
  packSignature,
  pauseTypedData,
  releaseTypedData,
  unpauseTypedData,
  type ReleaseStatement,
} from '@isthmus/bridge';
import { listTypedData, rotateTypedData } from '@isthmus/bridge';
import { joinSignatures } from '@isthmus/chains';
import fc from 'fast-check';
import {
  decodeEventLog,
  encodeFunctionData,
  hexToBigInt,
  keccak256,
  numberToHex,
  stringToHex,
  toEventSelector,
  type Hex,
  type PrivateKeyAccount,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { COIN, RECIPIENT, Stage } from './stage.js';

const KEYS = Array.from({ length: 5 }, (_, i) => privateKeyToAccount(keccak256(stringToHex(`guardian ${i}`))));
const PROCESSES = ['P'.repeat(42) + 'A', 'Q'.repeat(42) + 'A'] as const;
const CHUNK = 12;

/** What a random call is about; indices choose among the stage's accounts. */
const release = fc.record({
  process: fc.nat({ max: 1 }),
  number: fc.constantFrom(1n, 2n, 3n, 4n, 255n, 256n, 257n, 2n ** 64n - 1n),
  asset: fc.nat({ max: 1 }),
  recipient: fc.nat({ max: 2 }),
  amount: fc.bigInt({ min: 0n, max: 700n }),
  maxFee: fc.bigInt({ min: 0n, max: 20n }),
  fee: fc.bigInt({ min: 0n, max: 12n }),
  /** How the signatures are: mostly right. */
  flaw: fc.option(fc.constantFrom('few', 'twice', 'old', 'other'), { freq: 8 }),
});
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('deposit' as const),
      asset: fc.nat({ max: 1 }),
      amount: fc.bigInt({ min: 0n, max: 2000n }),
    }),
  },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('release' as const), release }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('batch' as const), releases: fc.array(release, { maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), enough: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('unpause' as const), enough: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('list' as const),
      asset: fc.nat({ max: 1 }),
      open: fc.boolean(),
      limit: fc.bigInt({ min: 0n, max: 3000n }),
      window: fc.constantFrom(0, 1, 60, 3600),
      minDeposit: fc.bigInt({ min: 0n, max: 5n }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('rotate' as const),
      first: fc.nat({ max: 2 }),
      threshold: fc.nat({ max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('claim' as const), asset: fc.nat({ max: 1 }) }) },
);
type Drawn<A> = A extends fc.Arbitrary<infer T> ? T : never;
type Operation = Drawn<typeof operation>;
type ReleasePlan = Drawn<typeof release>;

interface Book {
  open: boolean;
  limit: bigint;
  window: bigint;
  minDeposit: bigint;
  locked: bigint;
  used: bigint;
  at: bigint;
  balance: bigint;
}

/** The rules of docs/protocol.md, section 2, in plain words. */
class Model {
  readonly books: [Book, Book] = [newBook(), newBook()];
  readonly used = new Set<string>();
  readonly received = new Map<string, bigint>();
  readonly claimable = new Map<string, bigint>();
  guardians = [0, 1, 2];
  threshold = 2;
  epoch = 1n;
  decisions = 0n;
  sequence = 0n;
  paused = false;
  now = 0n;

  decayed(book: Book): bigint {
    if (book.window === 0n) return book.used;
    const regained = (book.limit * (this.now - book.at)) / book.window;
    return book.used > regained ? book.used - regained : 0n;
  }

  available(book: Book): bigint {
    const used = this.decayed(book);
    return book.limit > used ? book.limit - used : 0n;
  }

  deposit(asset: number, amount: bigint): boolean {
    const book = this.books[asset] as Book;
    if (this.paused || !book.open || amount === 0n || amount < book.minDeposit) return false;
    book.locked += amount;
    book.balance += amount;
    this.sequence += 1n;
    return true;
  }

  /** `used` and `limit` are reasons to skip; `bad` reverts everything. */
  obstacle(r: ReleasePlan): 'used' | 'limit' | 'bad' | null {
    const book = this.books[r.asset] as Book;
    if (this.used.has(key(r))) return 'used';
    if (r.amount > this.available(book)) return 'limit';
    if (r.flaw !== null || r.fee > r.maxFee || r.maxFee > r.amount || r.amount > book.locked) return 'bad';
    return null;
  }

  pay(r: ReleasePlan): boolean {
    const book = this.books[r.asset] as Book;
    this.used.add(key(r));
    book.used = this.decayed(book) + r.amount;
    book.at = this.now;
    book.locked -= r.amount;
    book.balance -= r.fee;
    const payout = r.amount - r.fee;
    const held = r.asset === 0 && r.recipient === 2 && payout > 0n;
    const slot = `${r.asset} ${r.recipient}`;
    if (held) {
      this.claimable.set(slot, (this.claimable.get(slot) ?? 0n) + payout);
    } else {
      book.balance -= payout;
      this.received.set(slot, (this.received.get(slot) ?? 0n) + payout);
    }
    return held;
  }
}

const newBook = (): Book => ({
  open: false,
  limit: 0n,
  window: 0n,
  minDeposit: 0n,
  locked: 0n,
  used: 0n,
  at: 0n,
  balance: 0n,
});
const key = (r: ReleasePlan): string => `${r.process} ${r.number}`;

/** One call as sent, and what the model says it does. */
interface Sent {
  operation: Operation;
  to: Hex;
  data: Hex;
  value: bigint;
  succeeds: boolean;
  /** `held` of each release paid, and reasons of those skipped, in order of the events. */
  paid: boolean[];
  skipped: number[];
}

const RELEASED = toEventSelector('Released(bytes32,uint64,address,address,uint256,uint256,bool)');
const SKIPPED = toEventSelector('ReleaseSkipped(bytes32,uint64,uint8)');

let stage: Stage;
let token: Hex;
let recipients: Hex[];

/** Opens the stage for all runs of a file. */
export async function openStage(): Promise<void> {
  stage = await Stage.open();
  token = await stage.token();
  const refusing = await stage.deploy('Recipient', [1]);
  recipients = [numberToHex(0xa11ce, { size: 20 }), numberToHex(0xb0b, { size: 20 }), refusing];
  await rpc([['evm_setBlockGasLimit', [numberToHex(10n ** 12n)]]]);
}
export const closeStage = (): Promise<void> => stage.anvil.stop();

async function rpc(calls: readonly (readonly [string, readonly unknown[]])[]): Promise<unknown[]> {
  const body = JSON.stringify(calls.map(([method, params], id) => ({ jsonrpc: '2.0', id, method, params })));
  const response = await fetch(stage.anvil.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const answers = (await response.json()) as { id: number; result?: unknown; error?: { message: string } }[];
  const ordered = answers.toSorted((a, b) => a.id - b.id);
  const failed = ordered.find((a) => a.error);
  if (failed) throw new Error(`${calls[failed.id]?.[0]}: ${failed.error?.message}`);
  return ordered.map((a) => a.result);
}

const assetAt = (index: number): Hex => (index === 0 ? COIN : token);
const abi = () => stage.artifact('Vault').abi;

async function sign(data: unknown, signers: readonly (readonly [index: number, key: number])[]): Promise<Hex> {
  const signed = signers.map(async ([index, k]) =>
    packSignature(
      index,
      await (KEYS[k] as PrivateKeyAccount).signTypedData(data as Parameters<PrivateKeyAccount['signTypedData']>[0]),
    ),
  );
  return joinSignatures(await Promise.all(signed));
}

/** The first M of the set. */
const quorum = (model: Model, count = model.threshold) =>
  model.guardians.slice(0, count).map((k, index) => [index, k] as const);

function statementOf(model: Model, r: ReleasePlan): ReleaseStatement {
  return {
    process: PROCESSES[r.process] as string,
    number: r.number,
    asset: assetAt(r.asset),
    recipient: recipients[r.recipient] as Hex,
    amount: r.amount,
    maxFee: r.maxFee,
    epoch: model.epoch,
  };
}

async function releaseCall(model: Model, r: ReleasePlan): Promise<[unknown, bigint, Hex]> {
  const statement = statementOf(model, r);
  const signed = {
    ...statement,
    epoch: r.flaw === 'old' ? model.epoch - 1n : model.epoch,
    amount: r.flaw === 'other' ? r.amount + 1n : r.amount,
  };
  const data = releaseTypedData(stage.domain, signed);
  const good = quorum(model);
  const signers = r.flaw === 'few' ? good.slice(1) : good;
  const signatures = await sign(data, signers);
  const one = signatures.slice(2, 2 + 130);
  const repeated: Hex = `0x${one.repeat(model.threshold)}`;
  const twice = r.flaw === 'twice' ? (model.threshold === 1 ? (`${signatures}00` as Hex) : repeated) : signatures;
  return [releaseTypedData(stage.domain, statement).message, r.fee, twice];
}

/** Encodes an operation against the model's state and carries it out in the model. */
async function apply(model: Model, operation_: Operation): Promise<Sent> {
  const sent: Sent = {
    operation: operation_,
    to: stage.vault,
    data: '0x',
    value: 0n,
    succeeds: false,
    paid: [],
    skipped: [],
  };
  const call = (functionName: string, args: readonly unknown[]) => {
    sent.data = encodeFunctionData({ abi: abi(), functionName, args });
  };
  switch (operation_.kind) {
    case 'deposit': {
      const { asset, amount } = operation_;
      if (asset === 0) sent.value = amount;
      call('deposit', asset === 0 ? [RECIPIENT, '0x'] : [token, amount, RECIPIENT, '0x']);
      sent.succeeds = model.deposit(asset, amount);
      break;
    }
    case 'release': {
      call('release', await releaseCall(model, operation_.release));
      sent.succeeds = !model.paused && model.obstacle(operation_.release) === null;
      if (sent.succeeds) sent.paid.push(model.pay(operation_.release));
      break;
    }
    case 'batch': {
      const calls = await Promise.all(operation_.releases.map((r) => releaseCall(model, r)));
      call('releaseBatch', [calls.map((c) => c[0]), calls.map((c) => c[1]), calls.map((c) => c[2])]);
      applyBatch(model, operation_.releases, sent);
      break;
    }
    case 'pause':
    case 'unpause':
      await applyPause(model, operation_.kind, operation_.enough, sent, call);
      break;
    case 'list':
      await applyList(model, operation_, sent, call);
      break;
    case 'rotate':
      await applyRotate(model, operation_.first, operation_.threshold, sent, call);
      break;
    case 'claim': {
      const slot = `${operation_.asset} 2`;
      const amount = model.claimable.get(slot) ?? 0n;
      sent.to = recipients[2] as Hex;
      sent.data = encodeFunctionData({
        abi: stage.artifact('Recipient').abi,
        functionName: 'claim',
        args: [stage.vault, assetAt(operation_.asset), recipients[0]],
      });
      sent.succeeds = amount > 0n;
      (model.books[operation_.asset] as Book).balance -= amount;
      model.claimable.delete(slot);
      const taken = `${operation_.asset} 0`;
      model.received.set(taken, (model.received.get(taken) ?? 0n) + amount);
      break;
    }
  }
  return sent;
}

function applyBatch(model: Model, releases: readonly ReleasePlan[], sent: Sent): void {
  const before = structuredClone({
    books: model.books,
    used: model.used,
    received: model.received,
    claimable: model.claimable,
  });
  sent.succeeds = !model.paused;
  if (model.paused) return;
  for (const r of releases) {
    const obstacle = model.obstacle(r);
    if (obstacle === 'bad') {
      Object.assign(model, before);
      Object.assign(sent, { succeeds: false, paid: [], skipped: [] });
      return;
    }
    if (obstacle === null) sent.paid.push(model.pay(r));
    else sent.skipped.push(obstacle === 'used' ? 1 : 2);
  }
}

type Encode = (functionName: string, args: readonly unknown[]) => void;

async function applyPause(
  model: Model,
  kind: 'pause' | 'unpause',
  enough: boolean,
  sent: Sent,
  call: Encode,
): Promise<void> {
  const needed = kind === 'pause' ? 1 : model.threshold;
  const decision = { epoch: model.epoch, nonce: model.decisions };
  const data = kind === 'pause' ? pauseTypedData(stage.domain, decision) : unpauseTypedData(stage.domain, decision);
  call(kind, [await sign(data, quorum(model, enough ? needed : needed - 1))]);
  sent.succeeds = enough && model.paused === (kind === 'unpause');
  if (!sent.succeeds) return;
  model.paused = kind === 'pause';
  model.decisions += 1n;
}

async function applyList(
  model: Model,
  o: Extract<Operation, { kind: 'list' }>,
  sent: Sent,
  call: Encode,
): Promise<void> {
  const { open, limit, window, minDeposit } = o;
  const asset = assetAt(o.asset);
  const data = listTypedData(stage.domain, {
    asset,
    open,
    limit,
    window,
    minDeposit,
    epoch: model.epoch,
    nonce: model.decisions,
  });
  call('list', [asset, open, limit, window, minDeposit, await sign(data, quorum(model))]);
  sent.succeeds = limit > 0n && window > 0;
  if (!sent.succeeds) return;
  const book = model.books[o.asset] as Book;
  const used = model.decayed(book);
  Object.assign(book, { open, limit, window: BigInt(window), minDeposit, used, at: model.now });
  model.decisions += 1n;
}

async function applyRotate(model: Model, first: number, threshold: number, sent: Sent, call: Encode): Promise<void> {
  const next = [first, first + 1, first + 2];
  const guardians = next.map((k) => (KEYS[k] as PrivateKeyAccount).address);
  const data = rotateTypedData(stage.domain, { guardians, threshold, pauseThreshold: 1, epoch: model.epoch + 1n });
  call('rotate', [guardians, threshold, 1, await sign(data, quorum(model))]);
  sent.succeeds = threshold >= 1 && threshold <= 3;
  if (!sent.succeeds) return;
  Object.assign(model, { guardians: next, threshold, epoch: model.epoch + 1n });
}

interface Receipt {
  status: Hex;
  logs: { address: Hex; topics: [Hex, ...Hex[]]; data: Hex }[];
}

/** Mines the calls in their order in one block at the model's time, and compares every outcome. */
async function mine(model: Model, calls: readonly Sent[]): Promise<void> {
  const from = stage.account.address;
  const [nonce] = (await rpc([['eth_getTransactionCount', [from, 'latest']]])) as [Hex];
  await rpc([['evm_setAutomine', [false]]]);
  const hashes = (await rpc(
    calls.map((c, i) => [
      'eth_sendTransaction',
      [
        {
          from,
          to: c.to,
          data: c.data,
          value: numberToHex(c.value),
          gas: '0x7a1200',
          nonce: numberToHex(hexToBigInt(nonce) + BigInt(i)),
        },
      ],
    ]),
  )) as Hex[];
  await rpc([['evm_mine', [Number(model.now)]]]);
  const receipts = (await rpc(hashes.map((hash) => ['eth_getTransactionReceipt', [hash]]))) as Receipt[];
  await rpc([['evm_setAutomine', [true]]]);
  for (const [i, c] of calls.entries()) {
    const { status, logs } = receipts[i] as Receipt;
    const ours = logs.filter((log) => log.address.toLowerCase() === stage.vault.toLowerCase());
    const events = (selector: Hex, field: string) =>
      ours
        .filter((log) => log.topics[0] === selector)
        .map(
          (log) =>
            (
              decodeEventLog({ abi: abi(), topics: log.topics, data: log.data }).args as unknown as Record<
                string,
                unknown
              >
            )[field],
        );
    const seen = {
      operation: c.operation,
      succeeds: status === '0x1',
      paid: events(RELEASED, 'held'),
      skipped: events(SKIPPED, 'reason'),
    };
    expect(seen).toEqual({ operation: c.operation, succeeds: c.succeeds, paid: c.paid, skipped: c.skipped });
  }
}

/** Every book, counter and balance, and the invariant that what is there covers what is owed. */
async function compare(model: Model): Promise<void> {
  const call = (functionName: string, args: readonly unknown[] = []) =>
    [
      'eth_call',
      [{ to: stage.vault, data: encodeFunctionData({ abi: abi(), functionName, args }) }, 'latest'],
    ] as const;
  const balance = (holder: Hex) => {
    const data = encodeFunctionData({
      abi: stage.artifact('TestToken').abi,
      functionName: 'balanceOf',
      args: [holder],
    });
    return ['eth_call', [{ to: token, data }, 'latest']] as const;
  };
  const refusing = recipients[2] as Hex;
  const answers = await rpc([
    ...['sequence', 'epoch', 'decisions', 'paused', 'threshold'].map((view) => call(view)),
    ...[0, 1].map((asset) => call('locked', [assetAt(asset)])),
    ...[0, 1].map((asset) => call('claimable', [refusing, assetAt(asset)])),
    ['eth_getBalance', [stage.vault, 'latest']],
    balance(stage.vault),
    ...recipients.map((r) => ['eth_getBalance', [r, 'latest']] as const),
    ...recipients.map((r) => balance(r)),
  ]);
  const [coin, erc20] = model.books;
  const owed = [0, 1].map((asset) => model.claimable.get(`${asset} 2`) ?? 0n);
  const got = [0, 1].flatMap((asset) => [0, 1, 2].map((r) => model.received.get(`${asset} ${r}`) ?? 0n));
  expect(answers.map((a) => hexToBigInt(a as Hex))).toEqual([
    model.sequence,
    model.epoch,
    model.decisions,
    model.paused ? 1n : 0n,
    BigInt(model.threshold),
    coin.locked,
    erc20.locked,
    ...owed,
    coin.balance,
    erc20.balance,
    ...got,
  ]);
  for (const [asset, book] of model.books.entries()) expect(book.balance).toBe(book.locked + (owed[asset] as bigint));
}

/** As many random sequences of 24 to 168 calls as `runs` says, each on a fresh vault, compared after every 4 to 12 of them. */
export async function vaultDoesWhatTheModelDoes(runs: number): Promise<void> {
  const [snapshot] = (await rpc([['evm_snapshot', []]])) as [Hex];
  let base = snapshot;
  let counted = 0;
  let succeeded = 0;
  const run = fc.tuple(
    fc.array(
      fc.record({ wait: fc.nat({ max: 2000 }), calls: fc.array(operation, { minLength: 4, maxLength: CHUNK }) }),
      {
        minLength: 6,
        maxLength: 14,
      },
    ),
  );
  await fc.assert(
    fc.asyncProperty(run, async ([chunks]) => {
      await rpc([['evm_revert', [base]]]);
      [base] = (await rpc([['evm_snapshot', []]])) as [Hex];
      const model = new Model();
      const [block] = (await rpc([['eth_getBlockByNumber', ['latest', false]]])) as [{ timestamp: Hex }];
      model.now = hexToBigInt(block.timestamp) + 10n;
      const opening = [0, 1].map((asset) => ({
        kind: 'list' as const,
        asset,
        open: true,
        limit: 2500n,
        window: 3600,
        minDeposit: 1n,
      }));
      for (const { wait, calls } of [{ wait: 1, calls: opening as Operation[] }, ...chunks]) {
        model.now += BigInt(wait + 1);
        const sent: Sent[] = [];
        for (const c of calls) sent.push(await apply(model, c));
        await mine(model, sent);
        await compare(model);
        counted += sent.length;
        succeeded += sent.filter((s) => s.succeeds).length;
      }
    }),
    { numRuns: runs },
  );
  // The runs are worth something only if much of what they try is done, and much is refused.
  expect(succeeded).toBeGreaterThan(counted / 5);
  expect(counted - succeeded).toBeGreaterThan(counted / 5);
}
