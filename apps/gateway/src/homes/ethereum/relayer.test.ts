/** The relayer on a real chain, step by step: whatever happens to its transactions, each withdrawal is paid once and none is lost. */
import {
  decisionDigest,
  depositId,
  packSignature,
  parseDecision,
  releaseTypedData,
  withdrawalId,
  type ReleaseStatement,
} from '@isthmus/bridge';
import { devAccount, devKey } from '@isthmus/devnet';
import { createLogger } from '@isthmus/store';
import {
  createPublicClient,
  createWalletClient,
  getAddress,
  http,
  keccak256,
  toHex,
  zeroAddress,
  type Hex,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { foundry } from 'viem/chains';
import { CHAIN, COIN_ID, GatewayStage, guardianKey, RELAYER_KEY, until } from '../../../harness.js';
import { DONE, scansOf } from '../../../plans.js';
import type { DecisionView } from '../../api/decision-view.js';
import type { TransferView } from '../../api/transfer-view.js';
import { DecisionStore } from '../../transfers/decision-store.js';
import { TransferStore } from '../../transfers/transfer-store.js';
import type { EthereumHomeConfig } from './config.js';
import { Relayer } from './relayer.js';

type Detail = TransferView & { timeline: { kind: string; proof: Record<string, string> }[] };
interface Submission {
  nonce: string;
  state: string;
  max_fee_per_gas: string;
  tx_hash: Hex;
}

const ALICE = devAccount(5).address;
const MAX_FEE = 10n ** 15n;
const AMOUNT = 10n ** 17n;
const LIMIT = 10n ** 24n;
let world: GatewayStage;
let snapshot: Hex;
let withdrawals = 0n;

beforeAll(async () => {
  // The gateway's own rounds stand still: this file makes them.
  world = await GatewayStage.open((config) => ({ ...config, pollMs: 3_600_000 }));
  await world.stage.deposit(10n ** 20n, ALICE);
  const reference = `${CHAIN}:${world.stage.vault}:1`;
  const deposit = {
    id: depositId(reference),
    reference,
    txHash: keccak256('0x01'),
    sender: world.stage.account.address,
    recipient: ALICE,
    amount: 10n ** 20n,
    tags: '-' as const,
  };
  for (const guardian of [0, 1]) await world.attest(guardian, deposit);
});
afterAll(async () => world.close());
beforeEach(async () => {
  snapshot = await world.stage.chain.snapshot();
});
afterEach(async () => {
  await world.stage.chain.setAutomine(true);
  await world.mine(1); // nothing is under way any more
  await world.stage.chain.revert({ id: snapshot });
  // The chain is as before; whatever this gateway has sent on it never was.
  await world.gateway.database.query(`delete from submission`);
  await world.gateway.database.query(`update transfer set state = 'held' where state in ('ready', 'submitted')`);
  await world.gateway.database.query(`update decision set vault = 'done'`);
});

/** One round; where the node mines by itself, what was sent is in a block when it ends. */
async function step(relay = () => world.home.relay()): Promise<void> {
  await relay();
  await until('it is mined', async () => !(await world.stage.chain.getAutomine()) || (await pending()) === 0);
}
const pending = async (): Promise<number> => (await world.stage.chain.getTxpoolStatus()).pending;
const detail = (id: Hex) => world.get<Detail>(`/v1/transfers/${id}`);
const sent = (): Promise<Submission[]> =>
  world.gateway.database.query('select nonce, state, max_fee_per_gas, tx_hash from submission order by id');
const balance = (address: Hex) => world.stage.client.getBalance({ address });
/** Somebody who has nothing yet. */
const nobody = (): Hex => devAccount(100 + Number(withdrawals)).address;

interface Withdrawal {
  id: Hex;
  recipient: Hex;
  statement: ReleaseStatement;
}

/** A withdrawal with its signatures, as the relayer finds it. */
async function ready({ recipient = nobody(), amount = AMOUNT, maxFee = MAX_FEE } = {}): Promise<Withdrawal> {
  withdrawals += 1n;
  const number = withdrawals;
  const tags = { Quantity: String(amount), Recipient: recipient, 'Max-Fee': String(maxFee) };
  await world.message(devKey(5), { Action: 'Withdraw', ...tags });
  const statement = world.stage.statement({ process: world.process, number, recipient, amount, maxFee });
  for (const guardian of [0, 1]) await sign(guardian, statement);
  const id = withdrawalId(world.process, number);
  await until('it is ready', async () => {
    const [row]: { state: string }[] = await world.gateway.database.query('select state from transfer where id = $1', [
      id,
    ]);
    return row?.state === 'ready';
  });
  return { id, recipient, statement };
}

async function sign(guardian: number, statement: ReleaseStatement): Promise<void> {
  const account = world.stage.guardians[guardian];
  const signature = await account?.signTypedData(releaseTypedData(world.stage.domain, statement));
  const line = `${statement.number} ${statement.epoch} ${packSignature(guardian, signature as Hex)}`;
  await world.message(guardianKey(guardian), { Action: 'Sign-Release' }, line);
}

async function expectPaidOnce({ id, recipient, statement }: Withdrawal, before = 0n): Promise<void> {
  const got = (await balance(recipient)) - before;
  expect(got).toBeGreaterThanOrEqual(statement.amount - statement.maxFee);
  expect(got).toBeLessThan(statement.amount);
  expect(await detail(id)).toMatchObject({ state: 'submitted' });
}

/** As if this long had passed without a receipt. */
const age = () => world.gateway.database.query(`update submission set sent_at = sent_at - interval '1 hour'`);

it('pays a withdrawal once, however many rounds there are', async () => {
  const one = await ready();
  for (let i = 0; i < 3; i += 1) await step();
  await expectPaidOnce(one);
  expect(await sent()).toMatchObject([{ state: 'mined' }]);
});

it('pays several at once in one transaction', async () => {
  const all = [await ready(), await ready(), await ready()];
  await step();
  for (const one of all) await expectPaidOnce(one);
  expect(await sent()).toHaveLength(1);
});

it('E21 a stuck transaction is replaced under its nonce at a fee a node takes, and pays once', async () => {
  await world.stage.chain.setAutomine(false);
  const one = await ready();
  await step();
  await step(); // nothing has become of it: the same bytes again
  expect(await sent()).toHaveLength(1);
  await age();
  await step();
  const [first, second] = await sent();
  expect(second?.nonce).toBe(first?.nonce);
  expect(BigInt(second?.max_fee_per_gas ?? 0)).toBeGreaterThanOrEqual(
    (BigInt(first?.max_fee_per_gas ?? 0) * 110n) / 100n,
  );
  expect(await world.stage.client.getTransaction({ hash: second?.tx_hash as Hex })).toMatchObject({ blockHash: null });
  await world.mine(1);
  await step();
  expect((await sent()).map((s) => s.state)).toEqual(['superseded', 'mined']);
  await expectPaidOnce(one);
  expect(await detail(one.id)).toMatchObject({ releaseTx: second?.tx_hash });
});

it('E21 the replaced transaction is the one that is mined: it counts as well', async () => {
  await world.stage.chain.setAutomine(false);
  const one = await ready();
  await step();
  const [first] = await sent();
  const raw = await world.gateway.database.query('select raw from submission');
  await age();
  await step();
  const replacement = (await sent())[1];
  await world.stage.chain.dropTransaction({ hash: replacement?.tx_hash as Hex });
  await world.stage.client.sendRawTransaction({ serializedTransaction: (raw as { raw: Hex }[])[0]?.raw as Hex });
  await world.mine(1);
  await step();
  expect((await sent()).map((s) => s.state)).toEqual(['mined', 'superseded']);
  await expectPaidOnce(one);
  expect(await detail(one.id)).toMatchObject({ releaseTx: first?.tx_hash });
});

it('E21 a nonce that another transaction of the account has used frees what ours carried', async () => {
  await world.stage.chain.setAutomine(false);
  const one = await ready();
  await step();
  const [ours] = await sent();
  await world.stage.chain.dropTransaction({ hash: ours?.tx_hash as Hex });
  const account = devAccount(9);
  expect(account.address).toBe(world.home.purse?.address);
  const wallet = createWalletClient({ chain: foundry, transport: http(world.stage.anvil.url), account });
  await wallet.sendTransaction({ to: devAccount(8).address, value: 1n, nonce: Number(ours?.nonce) });
  await world.mine(1);
  await age();
  await step(); // sees the nonce gone, and sends anew
  await world.mine(1);
  await step();
  expect((await sent()).map((s) => s.state)).toEqual(['superseded', 'mined']);
  await expectPaidOnce(one);
});

it('E6 a reorg that drops a release transaction: it is sent again, and pays once', async () => {
  const one = await ready();
  await step();
  await step();
  await expectPaidOnce(one);
  await world.stage.chain.request({ method: 'anvil_reorg' as never, params: [1, []] as never });
  expect(await balance(one.recipient)).toBe(0n);
  await world.stage.chain.setAutomine(false);
  await step();
  expect(await detail(one.id)).toMatchObject({ state: 'submitted', releaseTx: null });
  await world.mine(1);
  await step();
  await expectPaidOnce(one);
  expect(await sent()).toMatchObject([{ state: 'mined' }]);
});

it('X11 a pause that overtakes a release: it reverts, waits with the reason, and goes after the unpause', async () => {
  await world.stage.chain.setAutomine(false);
  const one = await ready();
  await step();
  const [ours] = await sent();
  await world.stage.chain.dropTransaction({ hash: ours?.tx_hash as Hex });
  await world.stage.chain.setAutomine(true);
  await world.stage.pause();
  await step(); // the same bytes again, into a paused vault
  await step();
  expect(await sent()).toMatchObject([{ state: 'failed' }]);
  const waiting = await detail(one.id);
  expect(waiting).toMatchObject({ state: 'ready', waiting: { reason: 'paused' } });
  expect(waiting.timeline.map((s) => s.kind)).toContain('reverted');
  await world.stage.unpause();
  await step();
  await expectPaidOnce(one);
});

it('a withdrawal above what may leave now waits for the limit, and goes when it frees', async () => {
  await world.stage.list(zeroAddress, { limit: AMOUNT + AMOUNT / 2n, window: 1000 });
  const [first, second] = [await ready(), await ready()];
  await step();
  await step();
  await expectPaidOnce(first);
  expect(await detail(second.id)).toMatchObject({ state: 'ready', waiting: { reason: 'limit' } });
  await world.stage.chain.increaseTime({ seconds: 1000 });
  await world.mine(1);
  await step();
  await expectPaidOnce(second);
});

it('a withdrawal whose Max-Fee is too low waits and keeps nobody else', async () => {
  const poor = await ready({ maxFee: 1n });
  const other = await ready();
  await step();
  await expectPaidOnce(other);
  expect(await detail(poor.id)).toMatchObject({ state: 'ready', waiting: { reason: 'fee-too-low' } });
});

it('E24 a recipient that refuses the money: held for it, and said so', async () => {
  const refuser = await world.stage.deploy('Recipient', [1]);
  const one = await ready({ recipient: refuser });
  await step();
  await step();
  const { releaseTx } = await detail(one.id);
  for (const guardian of [0, 1])
    await world.message(
      guardianKey(guardian),
      { Action: 'Attest-Release' },
      `${one.statement.number} ${releaseTx} 1 held`,
    );
  await until('it is held', async () => (await detail(one.id)).state === 'held');
  const claimable = await world.stage.read<bigint>('claimable', [refuser, zeroAddress]);
  expect(claimable).toBeGreaterThanOrEqual(AMOUNT - MAX_FEE);
});

it('E12 a recipient that burns gas only when it is paid in earnest: held for it, and the others of its batch are paid', async () => {
  // Runtime code of 8 bytes: GASPRICE, PUSH1 5, JUMPI, STOP, JUMPDEST, INVALID. An estimate has no gas price.
  const burner = await world.stage.mined(
    world.stage.wallet().sendTransaction({ to: null, data: '0x673a600557005bfe005f5260086018f3' }),
  );
  const recipient = getAddress(burner.contractAddress as Hex);
  expect(await world.stage.client.getCode({ address: recipient })).toBe('0x3a600557005bfe00');
  const [bad, good] = [await ready({ recipient }), await ready()];
  await step();
  await step();
  await expectPaidOnce(good);
  expect(await sent()).toMatchObject([{ state: 'mined' }]);
  expect(await world.stage.read<bigint>('claimable', [recipient, zeroAddress])).toBeGreaterThan(0n);
  expect(await detail(bad.id)).toMatchObject({ state: 'submitted' });
});

it('what was in a transaction that failed goes alone, and later each time', async () => {
  const [one, other] = [await ready(), await ready()];
  const reverted = (id: Hex, key: string) =>
    world.gateway.database.query(
      `insert into transfer_step (transfer, key, at, kind, proof) values ($1, $2, now(), 'reverted', '{}')`,
      [id, key],
    );
  await reverted(one.id, 'mined 0x1');
  await step();
  await step();
  await step();
  for (const w of [one, other]) await expectPaidOnce(w);
  expect(await sent()).toHaveLength(2);
  const late = await ready();
  for (const key of ['mined 0x1', 'mined 0x2']) await reverted(late.id, key);
  await step();
  expect(await balance(late.recipient)).toBe(0n);
  await world.gateway.database.query(`update transfer_step set at = at - interval '31 seconds' where transfer = $1`, [
    late.id,
  ]);
  await step();
  await step();
  await expectPaidOnce(late);
});

it('no round reads all transfers, or all that was ever sent for them, however many are done', async () => {
  await world.gateway.database.query(
    `insert into submission (chain, account, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, state, sent_at)
     select $1, $2, -i, $3, array[1000000 + i], '0x', 'done' || i, 1, 'mined', now() from generate_series(1, ${DONE}) i`,
    [CHAIN, privateKeyToAccount(RELAYER_KEY).address, world.process],
  );
  await ready();
  const make = async () => {
    await world.home.look();
    await world.home.relay();
  };
  const ask = [`t.state = 'ready'`, `state = 'submitted' and process`, `state = 'confirming'`];
  const rounds = { ask, make, tables: ['submission'] };
  expect(await scansOf(world.gateway.database, world.process, rounds)).toEqual([]);
});

describe('X5 several relayers', () => {
  function another(account: number): Relayer {
    const { database } = world.gateway;
    const client = createPublicClient({ transport: http(world.stage.anvil.url), cacheTime: 0 });
    const log = createLogger('other', { write: () => undefined });
    const { pollMs, stuckMs } = world.config;
    const [home] = world.config.homes as [EthereumHomeConfig];
    const parts = {
      database,
      store: new TransferStore(database),
      decisions: new DecisionStore(database),
      log,
      engine: world.gateway.engine,
      publicUrl: world.config.publicUrl,
      pollMs,
      stuckMs,
    };
    return new Relayer(home, parts, client, privateKeyToAccount(devKey(account)));
  }

  it.each([
    ['with keys of their own', 8],
    ['with the same key', 9],
  ])('on one database, %s: each withdrawal is sent by one', async (_, account) => {
    const other = another(account);
    const all = [await ready(), await ready()];
    await Promise.all([step(), step(() => other.step()), step(), step(() => other.step())]);
    await Promise.all([step(), step(() => other.step())]);
    for (const one of all) await expectPaidOnce(one);
    expect(await sent()).toMatchObject([{ state: 'mined' }]);
  });

  it('I2 somebody else has submitted it: nothing is sent, and nothing is paid twice', async () => {
    const one = await ready();
    await world.stage.release(one.statement, 0n);
    await step();
    expect(await sent()).toEqual([]);
    expect(await balance(one.recipient)).toBe(AMOUNT);
    expect(await detail(one.id)).toMatchObject({ state: 'submitted' });

    await world.stage.chain.request({ method: 'anvil_reorg' as never, params: [1, []] as never });
    expect(await balance(one.recipient)).toBe(0n); // E6: what the other had paid is taken back, and nobody else sends it again
    await step();
    await expectPaidOnce(one);
  });

  it('I2 an old copy of the database does not pay again', async () => {
    const one = await ready();
    await step();
    await step();
    const got = await balance(one.recipient);
    await world.gateway.database.query('delete from submission');
    await world.gateway.database.query(`update transfer set state = 'ready', release_tx = null where id = $1`, [
      one.id,
    ]);
    await step();
    await step();
    expect(await balance(one.recipient)).toBe(got);
    expect(await sent()).toEqual([]);
  });
});

describe('I14 what the quorum decides on AO reaches the vault', () => {
  let decided = 0;

  async function vote(guardian: number, line: string): Promise<void> {
    const tags = { Action: 'Attest-Decision', 'Decision-Nonce': String(decided + 1) };
    await world.message(guardianKey(guardian), tags, line);
  }

  const shown = async (): Promise<DecisionView[]> =>
    (await world.get<{ decisions: DecisionView[] }>(`/v1/decisions?asset=${encodeURIComponent(COIN_ID)}`)).decisions;

  /** Signs what was decided last. */
  async function signFor(guardian: number, line: string, vaultNonce?: bigint): Promise<void> {
    const place = { asset: zeroAddress, epoch: 1n, nonce: vaultNonce ?? (await world.stage.read<bigint>('decisions')) };
    const digest = decisionDigest(world.stage.domain, parseDecision(line), place);
    const signature = packSignature(guardian, (await world.stage.guardians[guardian]?.sign({ hash: digest })) as Hex);
    const tags = { Action: 'Sign-Decision', 'Decision-Nonce': String(decided) };
    await world.message(guardianKey(guardian), tags, signature);
    const { address } = world.stage.guardians[guardian] ?? {};
    await until('the signature is shown', async () =>
      (await shown()).find((d) => d.nonce === String(decided))?.votes.some((v) => v.signed && v.guardian === address),
    );
  }

  /** The decision as it is shown, once the index has it applied. */
  const applied = (line: string) =>
    until(`${line} is applied`, async () => {
      const { decisions } = await world.get<{ decisions: DecisionView[] }>(
        `/v1/decisions?asset=${encodeURIComponent(COIN_ID)}`,
      );
      return decisions.find((d) => d.nonce === String(decided + 1) && d.line === line);
    });

  async function decide(guardians: readonly number[], line: string, signers = guardians): Promise<void> {
    for (const guardian of guardians) await vote(guardian, line);
    await applied(line);
    decided += 1;
    for (const guardian of signers) await signFor(guardian, line);
    await step();
    await world.mine(3); // final
    await step();
  }

  it('pause by K, unpause by M, a listing', async () => {
    await decide([2], 'pause');
    expect(await world.stage.read('paused')).toBe(true);
    await vote(0, 'unpause');
    await step();
    expect(await world.stage.read('paused')).toBe(true);
    await decide([1], 'unpause', [0, 1]);
    expect(await world.stage.read('paused')).toBe(false);
    await decide([0, 1], `list closed ${LIMIT} 60000 7`);
    expect(await world.stage.read('listing', [zeroAddress])).toMatchObject({
      open: false,
      limit: LIMIT,
      window: 60,
      minDeposit: 7n,
    });
    const { decisions } = await world.get<{ decisions: DecisionView[] }>(
      `/v1/decisions?asset=${encodeURIComponent(COIN_ID)}`,
    );
    expect(decisions.map((d) => [d.nonce, d.line, d.vault])).toEqual([
      ['3', `list closed ${LIMIT} 60000 7`, 'done'],
      ['2', 'unpause', 'done'],
      ['1', 'pause', 'done'],
    ]);
    expect(decisions[1]?.votes).toMatchObject([
      { line: 'unpause', signed: true },
      { line: 'unpause', signed: true },
    ]);
  });

  it('signatures the vault has outrun, or that are nobody’s, are passed over for those that are good', async () => {
    const line = `list open ${LIMIT + 1n} 60000 7`;
    for (const guardian of [0, 1]) await vote(guardian, line);
    await applied(line);
    decided += 1;
    await signFor(0, line, 99n);
    await signFor(1, line);
    await step();
    expect(await world.stage.read('listing', [zeroAddress])).not.toMatchObject({ limit: LIMIT + 1n });
    expect(await sent()).toEqual([]);
    await signFor(2, line);
    await step();
    expect(await world.stage.read('listing', [zeroAddress])).toMatchObject({ limit: LIMIT + 1n });
  });

  it('E6 a reorg that drops a decision: it is carried again', async () => {
    await vote(2, 'pause');
    await applied('pause');
    decided += 1;
    await signFor(2, 'pause');
    await step();
    await step();
    expect(await world.stage.read('paused')).toBe(true);
    await world.stage.chain.request({ method: 'anvil_reorg' as never, params: [1, []] as never });
    expect(await world.stage.read('paused')).toBe(false);
    await step();
    expect(await world.stage.read('paused')).toBe(true);
    await decide([0, 1], 'unpause');
    expect(await world.stage.read('paused')).toBe(false);
  });

  it('X2 a rotation: the new set releases, and signatures of the old one are worth nothing', async () => {
    const one = await ready();
    const next = [1, 2, 0].map((i) => world.stage.guardians[i]?.address as Hex);
    await decide([0, 2], `rotate 2 2 1 ${next.join(',')}`);
    expect(await world.stage.read('epoch')).toBe(2n);
    expect(await world.stage.read('guardians')).toEqual(next);
    await step();
    expect(await detail(one.id)).toMatchObject({ state: 'queued', waiting: { reason: 'signatures' } });
    const statement = { ...one.statement, epoch: 2n };
    for (const [index, guardian] of [1, 2].entries()) {
      const account = world.stage.guardians[guardian];
      const signature = await account?.signTypedData(releaseTypedData(world.stage.domain, statement));
      const line = `${statement.number} 2 ${packSignature(index, signature as Hex)}`;
      await world.message(guardianKey(guardian), { Action: 'Sign-Release' }, line);
    }
    await until('it is ready again', async () => (await detail(one.id)).state === 'ready');
    await step();
    await step();
    await expectPaidOnce(one);
  });
});

it('X13 no key is in the log', () => {
  const log = GatewayStage.logged.join('\n');
  expect(log).not.toContain(RELAYER_KEY.slice(2));
  for (const index of [0, 1, 2]) expect(log).not.toContain(guardianKey(index).slice(2));
  expect(log).not.toContain(toHex(0x11).slice(2).repeat(32));
});
