/** Deposit addresses as people meet them, over real HTTP on a real regtest node: asked for, paid, seen, taken back by a reorg, confirmed. */
import { encodeDepositLine, depositId } from '@isthmus/bridge';
import {
  depositScript,
  memoScript,
  readRecoveryFile,
  readRegistration,
  refundable,
  refundOwner,
  type DepositTerms,
} from '@isthmus/chains';
import { parseItem } from '@isthmus/ao';
import { openDatabase } from '@isthmus/store';
import { keyOf, RECIPIENT, secretOf } from '../../../../../libs/chains/src/bitcoin/harness.js';
import { BITCOIN, BitcoinGateway, BTC, NETWORK, type Detail } from '../../../bitcoin-stage.js';
import { guardianKey, until } from '../../../harness.js';
import type { DepositAddressAnswer, DepositAddressDetail } from './answers.js';

const KEY = Buffer.from(keyOf(secretOf('depositor'))).toString('hex');
let world: BitcoinGateway;
beforeAll(async () => {
  world = await BitcoinGateway.open();
  await until('the process is known', async () => (await known()) && (await post('/v1/deposit-addresses', terms())).ok);
});
afterAll(() => world.close());

const known = async () =>
  (await world.get<{ chains: { vault: string | null }[] }>('/v1/chains')).chains[0]?.vault === world.lock.address;
const post = (route: string, body: unknown) =>
  fetch(`${world.url}${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const terms = (change: Record<string, unknown> = {}) => ({
  asset: BTC,
  recipient: RECIPIENT,
  refund: { key: KEY },
  ...change,
});
async function asked(change: Record<string, unknown> = {}): Promise<DepositAddressAnswer> {
  const response = await post('/v1/deposit-addresses', terms(change));
  expect([response.status, await response.clone().text()]).toEqual([200, expect.anything()]);
  return (await response.json()) as DepositAddressAnswer;
}
async function refusal(change: Record<string, unknown>) {
  const response = await post('/v1/deposit-addresses', terms(change));
  return (await response.json()) as { code: string; errors?: { name: string; reason: string }[] };
}
async function refused(change: Record<string, unknown>): Promise<[code: string, field: string | undefined]> {
  const { code, errors } = await refusal(change);
  return [code, errors?.[0]?.name];
}
const idOf = (tx: string, vout = 0) => depositId(`${BITCOIN}:${tx}:${vout}`);
const transfer = (id: string) => world.get<Detail>(`/v1/transfers/${id}`).catch(() => null);
const state = (id: string, wanted: string, check: (d: Detail) => boolean = () => true) =>
  until(`${id} is ${wanted}`, async () => {
    const detail = await transfer(id);
    return detail?.state === wanted && check(detail) ? detail : null;
  });
/** Guardians attest it. */
async function minted(tx: string, amount: bigint, vout = 0): Promise<Detail> {
  const reference = `${BITCOIN}:${tx}:${vout}`;
  const seen = { id: depositId(reference), reference, txHash: tx, sender: '-', recipient: RECIPIENT, amount };
  const line = encodeDepositLine({ ...seen, tags: '-' });
  for (const guardian of [0, 1]) await world.message(guardianKey(guardian), { Action: 'Attest-Deposits' }, line);
  return state(seen.id, 'minted');
}
const allRead = () => until('all blocks are read', () => Promise.resolve(world.btc.tip === world.bitcoin.node.height));
const slots = async () => (await world.gateway.engine.head(world.process)).scheduled;

describe('a deposit address', () => {
  it('B19 commits to what was asked for, is registered by its message, and comes with all that is needed to take money back', async () => {
    const tags = [{ name: 'X-Note', value: '<b>"' }];
    const given = await asked({ tags, refundAfter: 200 });
    const read = readRecoveryFile(given.recovery.content);
    expect(depositScript(read).address).toBe(given.address);
    expect(read).toMatchObject({ recipient: RECIPIENT, process: world.process, tags, refundAfter: 200 });
    expect(read.vault).toEqual(world.vault);
    const raw = await world.pipeline.scheduler.item(given.message);
    const place = { network: NETWORK, process: world.process, vault: world.vault, leastRefund: 30 };
    expect(readRegistration(parseItem(raw as Buffer), place)).toEqual(read);
    expect(given).toMatchObject({
      minimum: '30000',
      sweepFee: '700',
      refundAfter: 200,
      uri: `bitcoin:${given.address}`,
    });
    expect(given.slot).toBe(await slots());
    expect(given.lines.map(({ code }) => code).join(' ')).toContain('OP_CHECKSEQUENCEVERIFY');
  });

  it('of the same terms is the same, and says nothing twice on AO; also when many ask at once', async () => {
    const before = await slots();
    const all = await Promise.all(Array.from({ length: 5 }, () => asked({ refundAfter: 300 })));
    expect(new Set(all.map(({ address }) => address)).size).toBe(1);
    expect(await asked({ refundAfter: 300 })).toEqual(all[0]);
    expect(await slots()).toBe(before + 1);
    expect((await asked({ refundAfter: 301 })).address).not.toBe(all[0]?.address);
    expect(await slots()).toBe(before + 2);
  });

  it('that nobody asked for is not known', async () => {
    for (const other of [world.lock.address, world.purse.address, 'x', 'x'.repeat(500)])
      expect((await fetch(`${world.url}/v1/deposit-addresses/${other}`)).status).toBe(404);
    expect((await fetch(`${world.url}/v1/deposit-addresses/${(await asked()).address}`)).status).toBe(200);
  });

  it('X1 is refused for terms that could hurt, each named by its field', async () => {
    const taproot = 'bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6';
    const mainnet = '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2';
    const before = await slots();
    expect(await refused({ recipient: 'me' })).toEqual(['bad-request', 'recipient']);
    expect(await refused({ recipient: '0x52908400098527886e0f7030069857d2e4169ee7' })).toEqual([
      'bad-request',
      'recipient',
    ]);
    expect(await refused({ recipient: world.process })).toEqual(['forbidden-recipient', 'recipient']);
    expect(await refused({ refund: undefined })).toEqual(['bad-request', 'refund']);
    expect(await refused({ refund: { key: KEY, address: world.purse.address } })).toEqual(['bad-request', 'refund']);
    expect(await refused({ refund: { key: '02'.padEnd(66, 'f') } })).toEqual(['bad-request', 'refund.key']);
    expect(await refused({ refund: { address: mainnet } })).toEqual(['bad-request', 'refund.address']);
    expect(await refused({ refund: { address: taproot } })).toEqual(['bad-request', 'refund.address']);
    expect(await refused({ refundAfter: 29 })).toEqual(['bad-request', 'refundAfter']);
    expect(await refused({ refundAfter: 65_536 })).toEqual(['bad-request', 'refundAfter']);
    expect(await refused({ tags: [{ name: 'Action', value: 'x' }] })).toEqual(['bad-request', 'tags']);
    expect(await refused({ asset: 'bip122:000000000019d6689c085ae165831e93/slip44:0' })).toEqual([
      'unknown-asset',
      undefined,
    ]);
    expect(await refused({ more: 1 })).toEqual(['bad-request', 'body']);
    expect(await slots()).toBe(before);
  });

  it.each([
    ['an address of mainnet', { address: '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2' }, /address of mainnet.*Write a regtest/],
    ['a mistyped address', { address: 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfm' }, /checksum.*mistyped/],
    ['a mistyped witness address', { address: `bcrt1q${'q'.repeat(38)}` }, /checksum.*mistyped/],
    ['a key that is none', { key: '02'.padEnd(66, 'f') }, /compressed public key/],
    ['a secret key', { key: '07'.repeat(32) }, /compressed public key.*Never the secret/],
    ['an address as a key', { key: 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn' }, /compressed public key/],
  ])('X1 says what is wrong with %s for the refund', async (_, refund, reason) => {
    expect((await refusal({ refund })).errors).toEqual([
      expect.objectContaining({ reason: expect.stringMatching(reason) }),
    ]);
  });
});

describe('what is paid to it', () => {
  it('B1 B3 I10 counts up to its confirmations, is gone with its block, and goes on in another', async () => {
    const { address } = await asked();
    const tx = await world.pay({ address, value: 50_000n });
    const id = idOf(tx.getId());
    await world.bitcoin.mine();
    const first = await state(id, 'confirming', (d) => d.confirmations !== null);
    expect(first).toMatchObject({
      amount: '49300', // what is credited
      recipient: RECIPIENT,
      sourceTx: tx.getId(),
      reference: `${BITCOIN}:${tx.getId()}:0`,
      confirmations: { have: 1, need: 2 },
      waiting: { reason: 'confirmations', detail: expect.stringContaining('1 of 2 confirmations') },
    });
    await world.bitcoin.branch(1, { only: [] });
    expect(await state(id, 'orphaned')).toMatchObject({ confirmations: null, waiting: { reason: 'reorg' } });
    expect((await world.get<DepositAddressDetail>(`/v1/deposit-addresses/${address}`)).payments).toEqual([]);
    await world.bitcoin.mine(1);
    await state(id, 'confirming', (d) => d.confirmations?.have === 1);
    await world.bitcoin.mine(1);
    const final = await state(id, 'attesting');
    expect(final.timeline.map(({ kind }) => kind)).toEqual(['seen', 'seen', 'final']);
    const { payments, tip } = await world.get<DepositAddressDetail>(`/v1/deposit-addresses/${address}`);
    // As `isthmus btc refund` tells it.
    const coin = { txid: tx.getId(), vout: 0, value: 50_000n, confirmations: 2 };
    const [early] = refundable({ refundAfter: 100 }, { height: Number(tip), coins: [coin] }).early;
    expect(payments).toEqual([
      {
        transfer: id,
        tx: tx.getId(),
        output: 0,
        amount: '50000',
        credited: '49300',
        height: Number(tip) - 1,
        confirmations: 2,
        required: 2,
        state: 'final',
        reason: null,
        minted: false,
        refundFrom: early?.opensAt,
        spentBy: null,
        refunded: false,
      },
    ]);
  });

  it('B19 I10 is shown though it was paid before the address was registered', async () => {
    const own: DepositTerms = {
      network: NETWORK,
      vault: world.vault,
      process: world.process,
      recipient: RECIPIENT,
      tags: [],
      refund: refundOwner(KEY, NETWORK),
      refundAfter: 222,
    };
    const tx = await world.pay({ address: depositScript(own).address, value: 50_000n });
    await world.bitcoin.mine(2);
    await allRead();
    expect(await transfer(idOf(tx.getId()))).toBeNull();
    const given = await asked({ refundAfter: 222 });
    expect(given.address).toBe(depositScript(own).address);
    await state(idOf(tx.getId()), 'attesting');
  });

  it('I7 is minted as guardians attest it, and the books hold', async () => {
    const { address } = await asked();
    const tx = await world.pay({ address, value: 60_000n }, { address, value: 70_000n });
    await world.bitcoin.mine(2);
    for (const [vout, amount] of [59_300n, 69_300n].entries())
      expect(await minted(tx.getId(), amount, vout)).toMatchObject({ amount: String(amount), confirmations: null });
    // AO may be quicker than this gateway's own look at the chain.
    const payments = await until('both are final', async () => {
      const shown = await world.get<DepositAddressDetail>(`/v1/deposit-addresses/${address}`);
      const own = shown.payments.filter((p) => p.tx === tx.getId());
      return own.length === 2 && own.every((p) => p.state === 'final') ? own : null;
    });
    expect(payments.map((p) => [p.credited, p.state, p.minted])).toEqual([
      ['59300', 'final', true],
      ['69300', 'final', true],
    ]);
    const { books } = await world.get<{ books: Record<string, unknown>[] }>('/v1/books');
    expect(books[0]).toMatchObject({ supply: '128600', ok: true });
    expect(BigInt(books[0]?.['locked'] as string)).toBeGreaterThanOrEqual(130_000n);
  });

  it('B5 B6 is not credited below the minimum or without a memo, and says why while it counts and in the end', async () => {
    const { address } = await asked();
    const little = await world.pay({ address, value: 29_999n });
    const lost = await world.pay({ address: world.lock.address, value: 90_000n });
    const good = await world.pay(
      { address: world.lock.address, value: 80_000n },
      { script: memoScript({ recipient: RECIPIENT, tags: [] }), value: 0n },
    );
    await world.bitcoin.mine();
    const counting = await state(idOf(little.getId()), 'confirming');
    expect(counting.waiting?.detail).toContain('less than the least deposit');
    expect((await state(idOf(lost.getId()), 'confirming')).recipient).toBe('-');
    await world.bitcoin.mine();
    const [small, none] = [await state(idOf(little.getId()), 'refused'), await state(idOf(lost.getId()), 'refused')];
    expect(small.timeline.at(-1)).toMatchObject({ kind: 'refused', proof: { reason: 'below-minimum' } });
    expect(none.timeline.at(-1)).toMatchObject({ kind: 'refused', proof: { reason: 'memo-missing' } });
    const { payments } = await world.get<{ payments: { tx: string }[] }>(`/v1/deposit-addresses/${address}`);
    expect(payments.find((p) => p.tx === little.getId())).toMatchObject({ state: 'refused', reason: 'below-minimum' });
    expect(await state(idOf(good.getId()), 'attesting')).toMatchObject({ recipient: RECIPIENT });
  });

  it('I10 is minted when the guardians mint it, whatever this gateway would have refused', async () => {
    const tx = await world.pay({ address: world.lock.address, value: 90_000n });
    await world.bitcoin.mine(2);
    const id = idOf(tx.getId());
    await state(id, 'refused');
    const seen = { id, reference: `${BITCOIN}:${tx.getId()}:0`, txHash: tx.getId(), sender: '-', amount: 90_000n };
    const line = encodeDepositLine({ ...seen, recipient: RECIPIENT, tags: '-' });
    for (const guardian of [0, 1]) await world.message(guardianKey(guardian), { Action: 'Attest-Deposits' }, line);
    expect(await state(id, 'minted')).toMatchObject({ recipient: RECIPIENT });
  });

  it('B9 is not credited when its refund is near', async () => {
    const { address } = await asked({ refundAfter: 30 });
    const tx = await world.pay({ address, value: 20_000_000n });
    await world.bitcoin.mine(4);
    await state(idOf(tx.getId()), 'attesting');
    const late = await world.pay({ address, value: 50_000n });
    await world.gateway.stop(); // whoever sees it only when its time is nearly over
    await world.bitcoin.mine(21);
    await world.restart();
    const seen = await state(idOf(late.getId()), 'refused');
    expect(seen.timeline.at(-1)).toMatchObject({ kind: 'refused', proof: { reason: 'refund-near' } });
  });

  it('B9 that was credited in time is so in an index made anew when its refund is near', async () => {
    const { address } = await asked({ refundAfter: 30 });
    const tx = (await world.pay({ address, value: 90_000n })).getId();
    await world.bitcoin.mine(2);
    const { id } = await minted(tx, 89_300n);
    await world.gateway.stop();
    await world.bitcoin.mine(21);
    const database = await openDatabase({ url: world.config.databaseUrl, migrations: [], applicationName: 'test' });
    await database.query('delete from bitcoin_coin');
    await database.query('delete from bitcoin_cursor');
    await database.query(`delete from transfer_step where kind in ('seen', 'final')`);
    await database.destroy();
    await world.begin();
    const kinds = await until('it was looked at again', async () => {
      const all = (await transfer(id))?.timeline.map(({ kind }) => kind) ?? [];
      return all.includes('final') || all.includes('refused') ? all : null;
    });
    expect(kinds).not.toContain('refused');
    expect((await transfer(id))?.state).toBe('minted');
  });

  it('I12 goes on where it was after a restart, headers and place kept', async () => {
    const headers = async () =>
      (await world.gateway.database.query<{ n: number }[]>('select count(*)::int as n from bitcoin_header'))[0]?.n;
    await allRead();
    const before = await headers();
    await world.restart();
    const { address } = await asked();
    const tx = await world.pay({ address, value: 50_000n });
    await world.bitcoin.mine(2);
    await state(idOf(tx.getId()), 'attesting');
    expect(await headers()).toBe(Number(before) + 2);
  });
});
