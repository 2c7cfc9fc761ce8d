/** The relayer on a real regtest node, round by round: whatever happens to batches on their way, each withdrawal is paid once and none is forgotten. */
import { encodeProposalSignLine, withdrawalId } from '@isthmus/bridge';
import {
  changeOf,
  encodeSignatures,
  parseAddress,
  planPayment,
  planReplacement,
  signBatch,
  type Batch,
  type Payout,
  type VaultCoin,
} from '@isthmus/chains';
import type { Hex } from 'viem';
import { BITCOIN, BitcoinGateway, HOLDER, NETWORK } from '../../../bitcoin-stage.js';
import { guardianKey, until } from '../../../harness.js';
import { DONE, scansOf } from '../../../plans.js';

const RATE = 2_000n;
const MAX_FEE = 50_000n;
let world: BitcoinGateway;
/** Where the next batch begins. */
let anchor: VaultCoin;

beforeAll(async () => {
  world = await BitcoinGateway.open();
  anchor = await world.funded(100_000_000n);
});
afterAll(() => world.close());

const detail = (id: Hex) => world.detail(id);
const idOf = (number: bigint) => withdrawalId(world.process, number);
const state: BitcoinGateway['state'] = (...of) => world.state(...of);
const inMempool = (txid: string) => until(`${txid} is in the mempool`, async () => world.awaits(txid));

/** As nodes do with what waits for long. */
function forget(txid: string): void {
  const entry = [...world.bitcoin.node.mempool.map.values()].find(({ tx }) => tx.txid() === txid);
  if (!entry) throw new Error(`${txid} is not in the mempool.`);
  world.bitcoin.node.mempool.evictEntry(entry);
}

const burned = (change: Partial<Pick<Payout, 'amount' | 'maxFee'>> = {}): Promise<Payout> =>
  world.burned({ amount: 1_000_000n, maxFee: MAX_FEE, ...change });

const plan = (payouts: readonly Payout[], feeRate = RATE, from = anchor): Batch =>
  planPayment({ vault: world.vault, inputs: [from], changeTo: world.lock, payouts, feeRate });

const signed = (batch: Batch, feeRate = RATE): Promise<Hex> => world.signed(batch, feeRate);

async function mined(batch: Batch): Promise<void> {
  await world.bitcoin.mine();
  for (const { number } of batch.payouts) await state(number, 'submitted', (d) => d.releaseTx === batch.txid);
  anchor = changeOf(batch);
}

describe('a batch', () => {
  it('I10 I14 is combined from what two guardians signed, sent, mined, and told step by step with its share of the fee', async () => {
    const payouts = [await burned(), await burned({ amount: 2_000_000n })];
    const batch = plan(payouts);
    const id = await world.propose(0, batch, RATE);
    await until('it is proposed', async () =>
      (await detail(idOf(payouts[0]!.number))).timeline.some(({ kind }) => kind === 'proposed'),
    );
    expect((await detail(idOf(payouts[0]!.number))).state).toBe('queued');
    await world.sign(0, id, batch);
    await state(payouts[0]!.number, 'signing');
    expect(world.awaits(batch.txid)).toBe(false);
    await world.sign(1, id, batch);
    await inMempool(batch.txid);
    const sent = await state(payouts[1]!.number, 'submitted');
    const share = String(batch.payouts[1]!.fee);
    expect(sent.timeline.at(-1)).toMatchObject({
      kind: 'submitted',
      proof: { tx: batch.txid, proposal: id, batch: 2, fee: share },
    });
    await mined(batch);
    const shown = await state(payouts[1]!.number, 'submitted', (d) => d.confirmations !== null);
    expect(shown.confirmations).toEqual({ have: 1, need: 4 });
    expect(shown.timeline.map(({ kind }) => kind)).toEqual([
      'queued',
      'proposed',
      'signed',
      'signed',
      'submitted',
      'mined',
    ]);
    const { books } = await world.get<{ books: { ok: boolean; releasedUnattested: string }[] }>('/v1/books');
    expect(books[0]).toMatchObject({ ok: true, releasedUnattested: '3000000' });
    for (const { number, fee } of batch.payouts)
      for (const guardian of [0, 1])
        await world.message(guardianKey(guardian), { Action: 'Attest-Release' }, `${number} ${batch.txid} ${fee} paid`);
    expect(await state(payouts[1]!.number, 'released')).toMatchObject({ releaseTx: batch.txid, fee: share });
  });

  it('B17 a liar’s signature among them is passed over, and said', async () => {
    const payout = await burned();
    const batch = plan([payout]);
    const id = await world.propose(2, batch, RATE);
    await world.sign(0, id, batch, 1); // by a key that is another guardian's
    await world.sign(1, id, batch);
    const waiting = await state(payout.number, 'ready', (d) => d.waiting?.reason === 'signatures');
    expect(waiting.timeline.filter(({ kind }) => kind === 'signed')).toHaveLength(2);
    expect(world.awaits(batch.txid)).toBe(false);
    await world.sign(2, id, batch);
    await inMempool(batch.txid);
    expect(BitcoinGateway.logged.join('')).toContain('signatures of a batch are not good');
    await mined(batch);
  });

  it('that is not what follows from the withdrawals is none, however many sign it', async () => {
    const payout = await burned();
    const thief = parseAddress(world.purse.address, NETWORK).script;
    const batch = plan([{ ...payout, script: thief }]);
    await signed(batch);
    await state(payout.number, 'ready', (d) => d.waiting?.reason === 'signatures');
    expect(world.awaits(batch.txid)).toBe(false);
    const good = plan([payout]);
    await signed(good);
    await inMempool(good.txid);
    await mined(good);
  });

  it('X4 I12 that nodes have forgotten is sent again, also after a restart', async () => {
    const payout = await burned();
    const batch = plan([payout]);
    await signed(batch);
    await inMempool(batch.txid);
    forget(batch.txid);
    expect(world.awaits(batch.txid)).toBe(false);
    await inMempool(batch.txid);
    await world.gateway.stop();
    forget(batch.txid);
    await world.restart();
    await inMempool(batch.txid);
    await mined(batch);
    expect((await detail(idOf(payout.number))).timeline.filter(({ kind }) => kind === 'submitted')).toHaveLength(1);
  });

  it('B10 is replaced by one that pays more over the same anchor, and the one that is mined counts', async () => {
    const payout = await burned();
    const batch = plan([payout]);
    await signed(batch);
    await inMempool(batch.txid);
    const dearer = planReplacement(batch, 3n * RATE);
    await signed(dearer, 3n * RATE);
    await inMempool(dearer.txid);
    expect(world.awaits(batch.txid)).toBe(false);
    await mined(dearer);
    const rows = await world.gateway.database.query<{ txid: string; mined_hash: string | null }[]>(
      'select txid, mined_hash from bitcoin_batch where txid = any($1)',
      [[batch.txid, dearer.txid]],
    );
    expect(rows.filter((r) => r.mined_hash !== null).map((r) => r.txid)).toEqual([dearer.txid]);
  });

  it('B12 follows another before that is mined, and both are', async () => {
    const [one, two] = [await burned(), await burned()];
    const first = plan([one]);
    await signed(first);
    await inMempool(first.txid);
    const second = plan([two], RATE, changeOf(first));
    await signed(second);
    await inMempool(second.txid);
    await mined(first);
    await state(two.number, 'submitted', (d) => d.releaseTx === second.txid);
    anchor = changeOf(second);
  });

  it('X10 whose block is gone waits again, and is mined in another', async () => {
    const payout = await burned();
    const batch = plan([payout]);
    await signed(batch);
    await inMempool(batch.txid);
    await mined(batch);
    await world.bitcoin.branch(1, { only: [] });
    await state(payout.number, 'submitted', (d) => d.releaseTx === null && d.confirmations === null);
    await inMempool(batch.txid);
    await world.bitcoin.mine();
    await state(payout.number, 'submitted', (d) => d.releaseTx === batch.txid && d.confirmations?.have === 1);
    const { books } = await world.get<{ books: { ok: boolean }[] }>('/v1/books');
    expect(books[0]?.ok).toBe(true);
  });

  it('B11 another has used up the anchor of: what it alone would have paid waits for a new one', async () => {
    const [left, paid] = [await burned(), await burned()];
    const lost = plan([left], RATE);
    await signed(lost);
    await inMempool(lost.txid);
    const other = plan([paid], 5n * RATE);
    await signed(other, 5n * RATE);
    await inMempool(other.txid);
    await mined(other);
    await state(left.number, 'queued');
    const anew = plan([left]);
    await signed(anew);
    await inMempool(anew.txid);
    await mined(anew);
  });

  it('B14 pays too little for the nodes: it says so, and goes when they take it', async () => {
    const payout = await burned();
    const batch = plan([payout], 1_000n);
    world.bitcoin.fees.floor = 4_000n;
    await signed(batch, 1_000n);
    await until('it is refused', async () => (await detail(idOf(payout.number))).waiting?.reason === 'fee-too-low');
    world.bitcoin.fees.floor = 1_000n;
    await inMempool(batch.txid);
    await mined(batch);
  });

  it('I10 that nobody can build says why: too little for what it costs now, until it costs less', async () => {
    const [poor, small, fine] = [
      await burned({ maxFee: 500n }),
      await burned({ amount: 1_000n, maxFee: 999n }),
      await burned(),
    ];
    for (const { number } of [poor, small]) {
      const { waiting } = await state(number, 'queued', (d) => d.waiting?.reason === 'fee-too-low');
      expect(waiting?.expected).toBeNull();
    }
    expect((await detail(idOf(fine.number))).waiting).toMatchObject({ reason: 'signatures' });
    world.bitcoin.fees.estimate = 1_000n;
    await state(poor.number, 'queued', (d) => d.waiting?.reason === 'signatures');
    world.bitcoin.fees.estimate = null;
  });

  it('somebody else has sent is told all the same', async () => {
    const payout = await burned();
    const batch = plan([payout]);
    world.bitcoin.fees.floor = 1_000_000n; // this gateway's own way is shut
    const id = await signed(batch);
    await state(payout.number, 'ready');
    const partial = [0, 1].map((i) => signBatch(batch, world.secrets[i] as Buffer));
    expect(encodeProposalSignLine({ id, signatures: encodeSignatures(partial[0]!) })).toContain(id);
    const [row] = await until('it is put together', async () => {
      const rows = await world.gateway.database.query<{ raw: string | null }[]>(
        'select raw from bitcoin_batch where txid = $1',
        [batch.txid],
      );
      return rows[0]?.raw ? rows : null;
    });
    await world.bitcoin.mine(1, { only: [row?.raw as string] });
    world.bitcoin.fees.floor = 1_000n;
    await state(payout.number, 'submitted', (d) => d.releaseTx === batch.txid);
    anchor = changeOf(batch);
  });
});

describe('a quote', () => {
  const quoted = async (body: object): Promise<[number, Record<string, unknown>]> => {
    const response = await fetch(`${world.url}/v1/quotes`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ asset: `${BITCOIN}/slip44:0`, ...body }),
    });
    return [response.status, (await response.json()) as Record<string, unknown>];
  };

  it('of a deposit says both ways: an address of one’s own, or the vault with a memo', async () => {
    const [status, answer] = await quoted({ direction: 'deposit', amount: '2000000', recipient: HOLDER });
    expect([status, answer]).toMatchObject([
      200,
      {
        amount: '2000000',
        fee: '700',
        receive: '1999300',
        minimum: '30000',
        confirmations: 4,
        byAddress: { url: '/v1/deposit-addresses', body: { recipient: HOLDER } },
        byMemo: { address: world.lock.address, amount: '2000000' },
      },
    ]);
    // A link to the vault would be paid without the memo, and nobody credited.
    expect(JSON.stringify(answer['byMemo'])).not.toContain('bitcoin:');
    const memo = (answer['byMemo'] as { memo: string }).memo;
    expect(memo).toBe(
      Buffer.concat([Buffer.from('ISM1'), Buffer.of(20), Buffer.from(HOLDER.slice(2), 'hex')]).toString('hex'),
    );
    const tags = [{ name: 'X-Long', value: 'x'.repeat(80) }];
    expect(
      (await quoted({ direction: 'deposit', amount: '2000000', recipient: HOLDER, tags }))[1]['byMemo'],
    ).toBeNull();
  });

  it('of a withdrawal follows the price of a block, and is given for this network’s addresses alone', async () => {
    const ask = { direction: 'withdrawal', amount: '5000000', recipient: world.purse.address };
    world.bitcoin.fees.estimate = 10_000n;
    const low = BigInt((await quoted(ask))[1]['maxFee'] as string);
    world.bitcoin.fees.estimate = 30_000n;
    expect(BigInt((await quoted(ask))[1]['maxFee'] as string)).toBeGreaterThan((29n * low) / 10n);
    world.bitcoin.fees.estimate = null;
    expect((await quoted(ask))[0]).toBe(200);
    for (const recipient of ['1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', 'me', '0x52908400098527886E0F7030069857D2E4169EE7'])
      expect(await quoted({ ...ask, recipient })).toMatchObject([400, { code: 'bad-request' }]);
    expect(await quoted({ ...ask, recipient: world.lock.address })).toMatchObject([
      400,
      { code: 'forbidden-recipient' },
    ]);
  });
});

it('no round reads all transfers, or all batches there ever were, however many are done', async () => {
  await world.gateway.database.query(
    `insert into bitcoin_batch (chain, txid, process, proposal, anchor, numbers, fees, fee, vsize, fee_rate, change_script, change_value, state)
     select $1, 'done' || i, $2, 'done' || i, 'done' || i - 1 || ':0', '{}', '{}', 1, 1, 1, '', 1, 'done' from generate_series(1, ${DONE}) i`,
    [BITCOIN, world.process],
  );
  const [payout] = [await burned(), await burned()];
  const batch = plan([payout]);
  const ask = [`t.state = 'ready'`, `set waits = j.why`, `as orphan`, `select vsize, fee from bitcoin_batch`];
  const make = async () => {
    if (world.awaits(batch.txid)) return;
    await signed(batch);
    await inMempool(batch.txid);
  };
  const rounds = { ask, make, tables: ['bitcoin_batch'] };
  expect(await scansOf(world.gateway.database, world.process, rounds)).toEqual([]);
});
