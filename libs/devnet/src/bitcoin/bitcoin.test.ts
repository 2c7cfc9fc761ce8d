import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { address, networks, payments, script as scripts, Transaction } from 'bitcoinjs-lib';
import { startBitcoin, Purse, type LocalBitcoin } from './index.js';

const purse = Purse.of('payer');
const other = Purse.of('other');
const taproot = payments.p2tr({ pubkey: Buffer.alloc(32, 2), network: networks.regtest });
let bitcoin: LocalBitcoin;

type Answer = { result: unknown; error: { code: number; message: string } | null; status: number };

async function post(to: LocalBitcoin, body: unknown, login = to.credentials): Promise<Response> {
  return fetch(to.url, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(login).toString('base64')}` },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}
async function call(method: string, ...params: unknown[]): Promise<Answer> {
  const response = await post(bitcoin, { id: 1, method, params });
  return { ...((await response.json()) as Omit<Answer, 'status'>), status: response.status };
}
async function result<T>(method: string, ...params: unknown[]): Promise<T> {
  const { result: value, error } = await call(method, ...params);
  if (error) throw new Error(`${method}: ${error.code} ${error.message}`);
  return value as T;
}
async function refusal(method: string, ...params: unknown[]): Promise<string> {
  const { error } = await call(method, ...params);
  return error ? `${error.code} ${error.message}` : 'taken';
}
const idOf = (hex: string): string => Transaction.fromHex(hex).getId();

beforeAll(async () => {
  bitcoin = await startBitcoin({ reward: purse.script });
});
afterAll(() => bitcoin.stop());

describe('the front', () => {
  it('lets in who has the cookie, and nobody else', async () => {
    expect((await post(bitcoin, { id: 1, method: 'getblockcount' })).status).toBe(200);
    expect((await post(bitcoin, { id: 1, method: 'getblockcount' }, '__cookie__:wrong')).status).toBe(401);
    expect((await fetch(bitcoin.url, { method: 'POST', body: '{}' })).status).toBe(401);
  });

  it('says that it has no such method, with Core’s code and status', async () => {
    const { error, status } = await call('dumptxoutset', 'x');
    expect(error?.code).toBe(-32_601);
    expect(status).toBe(404);
    expect((await call('constructor')).error?.code).toBe(-32_601);
  });

  it('answers a batch in order, and what is no JSON with -32700', async () => {
    const response = await post(bitcoin, [
      { id: 1, method: 'getblockcount' },
      { id: 2, method: 'nothing' },
      { jsonrpc: '2.0', id: 3, method: 'getblockhash', params: [0] },
    ]);
    expect(await response.json()).toEqual([
      { id: 1, result: bitcoin.node.height, error: null },
      { id: 2, result: null, error: { code: -32_601, message: 'Method not found' } },
      { jsonrpc: '2.0', id: 3, result: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206' },
    ]);
    expect(await (await post(bitcoin, '{')).json()).toMatchObject({ error: { code: -32_700 } });
  });
});

describe('blocks', () => {
  it('have the genesis block, the network and the addresses of Core’s regtest', async () => {
    expect(await result('getblockchaininfo')).toMatchObject({ chain: 'regtest', initialblockdownload: false });
    expect(purse.address.startsWith('bcrt1q')).toBe(true);
    const [hash] = await result<string[]>('generatetoaddress', 1, other.address);
    const block = await result<{ tx: { vout: { scriptPubKey: unknown }[] }[] }>('getblock', hash, 2);
    expect(block.tx[0]?.vout[0]?.scriptPubKey).toMatchObject({
      address: other.address,
      type: 'witness_v0_keyhash',
      hex: Buffer.from(other.script).toString('hex'),
    });
  });

  it('are given raw, with ids, and with transactions and their fees', async () => {
    const hex = await purse.pay(bitcoin.node, [{ address: other.address, value: 50_000n }], { fee: 1_234n });
    await bitcoin.send(hex);
    const [hash = ''] = await bitcoin.mine();
    const raw = await result<string>('getblock', hash, 0);
    expect(raw.startsWith(await result<string>('getblockheader', hash, false))).toBe(true);
    const listed = await result<Record<string, unknown>>('getblock', hash);
    expect(listed).toMatchObject({ hash, confirmations: 1, nTx: 2, bits: '207fffff', height: bitcoin.node.height });
    expect(listed['tx']).toHaveLength(2);
    expect((listed['tx'] as string[])[1]).toBe(idOf(hex));
    const full = await result<{ tx: { fee?: number; hex: string; vout: { value: number }[] }[] }>('getblock', hash, 2);
    expect(full.tx[1]).toMatchObject({ fee: 0.00001234, hex });
    expect(full.tx[1]?.vout[0]?.value).toBe(0.0005);
    expect(full.tx[0]?.fee).toBeUndefined();
    expect(await result('getblockheader', hash)).toMatchObject({ hash, height: bitcoin.node.height });
  });

  it('that are not there are refused', async () => {
    expect(await refusal('getblockhash', bitcoin.node.height + 1)).toBe('-8 Block height out of range');
    expect(await refusal('getblock', '00'.repeat(32))).toBe('-5 Block not found');
    expect(await refusal('getblock', 'xyz')).toMatch(/^-8 blockhash must be of length 64/);
  });
});

describe('transactions', () => {
  it('wait, are seen as such, and are mined', async () => {
    const hex = await purse.pay(bitcoin.node, [{ address: other.address, value: 70_000n }]);
    const txid = idOf(hex);
    expect(await result('testmempoolaccept', [hex])).toMatchObject([{ txid, allowed: true, fees: { base: 0.00002 } }]);
    expect(await result('getrawmempool')).toEqual([]);
    expect(await result('sendrawtransaction', hex)).toBe(txid);
    expect(await result('sendrawtransaction', hex)).toBe(txid);
    expect(await result('testmempoolaccept', [hex])).toMatchObject([
      { allowed: false, 'reject-reason': 'txn-already-in-mempool' },
    ]);
    expect(await result('getmempoolentry', txid)).toMatchObject({ ancestorcount: 1, fees: { base: 0.00002 } });
    expect(await result('gettxout', txid, 0)).toMatchObject({ confirmations: 0, value: 0.0007 });
    expect(await result('gettxout', txid, 0, false)).toBeNull();
    const [hash] = await bitcoin.mine();
    expect(await result('getrawtransaction', txid, true)).toMatchObject({ txid, blockhash: hash, confirmations: 1 });
    expect(await result('gettxout', txid, 0)).toMatchObject({ confirmations: 1, coinbase: false });
    expect(await result<string>('gettxoutproof', [txid])).toMatch(/^[0-9a-f]{168,}$/);
    expect(await refusal('sendrawtransaction', hex)).toBe('-27 Transaction outputs already in utxo set');
    expect(await refusal('getmempoolentry', txid)).toBe('-5 Transaction not in mempool');
    expect(await refusal('getrawtransaction', '11'.repeat(32))).toMatch(/^-5 No such mempool/);
  });

  it('that are wrong are refused, each with Core’s code: nothing is ever taken silently', async () => {
    const good = Transaction.fromHex(await purse.pay(bitcoin.node, [{ address: other.address, value: 70_000n }]));
    const changed = (change: (tx: Transaction) => void): string => {
      const tx = good.clone();
      change(tx);
      return tx.toHex();
    };
    const pay = (to: Parameters<Purse['pay']>[1], fee?: bigint) =>
      purse.pay(bitcoin.node, to, fee === undefined ? {} : { fee });
    expect(await refusal('sendrawtransaction', `${good.toHex()}00`)).toMatch(/^-22 /);
    expect(await refusal('sendrawtransaction', 'zz')).toMatch(/^-22 /);
    expect(
      await refusal(
        'sendrawtransaction',
        changed((tx) => (tx.outs[0]!.value += 1n)),
      ),
    ).toMatch(/^-26 .*script-verify/);
    expect(
      await refusal(
        'sendrawtransaction',
        changed((tx) => tx.ins[0]!.hash.fill(7)),
      ),
    ).toBe('-25 bad-txns-inputs-missingorspent');
    expect(await refusal('sendrawtransaction', await pay([{ address: other.address, value: 200n }]))).toBe('-26 dust');
    expect(await refusal('sendrawtransaction', await pay([{ address: other.address, value: 294n }], 100n))).toMatch(
      /^-26 min relay fee not met/,
    );
    expect(
      await refusal('sendrawtransaction', await pay([{ address: other.address, value: 294n }], 100_000_000n)),
    ).toMatch(/^-25 Fee exceeds/);
    const data = (bytes: number) => ({ script: scripts.compile([0x6a, Buffer.alloc(bytes, 1)]), value: 0n });
    expect(await refusal('sendrawtransaction', await pay([data(81)]))).toBe('-26 scriptpubkey');
    expect(await refusal('sendrawtransaction', await pay([data(1), data(2)]))).toBe('-26 multi-op-return');
    const young = await bitcoin.node.chain.getBlock(bitcoin.node.chain.tip.hash);
    const coin = { txid: young!.txs[0]!.txid(), vout: 0, value: BigInt(young!.txs[0]!.outputs[0]!.value) };
    expect(await refusal('sendrawtransaction', await purse.pay(bitcoin.node, [], { from: coin }))).toMatch(/^-26 /);
    expect(await result('getrawmempool')).toEqual([]);
  });

  it('to a taproot address and with 80 bytes of data are taken', async () => {
    const memo = { script: scripts.compile([0x6a, Buffer.alloc(80, 1)]), value: 0n };
    const hex = await purse.pay(bitcoin.node, [{ address: taproot.address!, value: 330n }, memo]);
    expect(await result('sendrawtransaction', hex)).toBe(idOf(hex));
    await bitcoin.mine();
  });

  it('are replaced by one that pays more, with what hangs on them, and by no other', async () => {
    const from = await purse.coin(bitcoin.node);
    const first = await purse.pay(bitcoin.node, [{ address: purse.address, value: 60_000n }], { from, fee: 1_000n });
    const child = await purse.pay(bitcoin.node, [], {
      from: { txid: idOf(first), vout: 0, value: 60_000n },
      fee: 1_000n,
    });
    const pays = (fee: bigint) => purse.pay(bitcoin.node, [{ address: other.address, value: 60_000n }], { from, fee });
    await bitcoin.send(first);
    await bitcoin.send(child);
    expect(await refusal('sendrawtransaction', await pays(1_900n))).toMatch(
      /^-26 insufficient fee, .*less fees than conflicting/,
    );
    expect(await refusal('sendrawtransaction', await pays(2_010n))).toMatch(
      /^-26 insufficient fee, .*not enough additional fees/,
    );
    const forged = Transaction.fromHex(await pays(9_000n));
    forged.ins[0]!.witness[0] = Buffer.concat([
      forged.ins[0]!.witness[0]!.subarray(0, 40),
      Buffer.alloc(10, 1),
      forged.ins[0]!.witness[0]!.subarray(50),
    ]);
    expect(await refusal('sendrawtransaction', forged.toHex())).toMatch(/^-26 /);
    expect(new Set(await result<string[]>('getrawmempool'))).toEqual(new Set([idOf(first), idOf(child)]));
    const better = await pays(3_000n);
    expect(await result('testmempoolaccept', [better])).toMatchObject([{ allowed: true }]);
    expect(await result('getrawmempool')).toHaveLength(2);
    expect(await result('sendrawtransaction', better)).toBe(idOf(better));
    expect(await result('getrawmempool')).toEqual([idOf(better)]);
    await bitcoin.mine();
  });

  it('make a chain of 25 that wait and no longer one', async () => {
    let from = await purse.coin(bitcoin.node);
    for (let i = 0; i < 25; i += 1) {
      const hex = await purse.pay(bitcoin.node, [], { from, fee: 500n });
      from = { txid: await bitcoin.send(hex), vout: 0, value: from.value - 500n };
    }
    const last = await purse.pay(bitcoin.node, [], { from, fee: 500n });
    expect(await refusal('sendrawtransaction', last)).toMatch(/^-26 too-long-mempool-chain/);
    await bitcoin.mine();
    expect(await result('getrawmempool')).toEqual([]);
  });
});

describe('scantxoutset', () => {
  it('finds what is unspent of a script or an address on the chain, and nothing that waits', async () => {
    const payee = Purse.of('scanned');
    const scan = (...descriptors: string[]) => result<Record<string, unknown>>('scantxoutset', 'start', descriptors);
    const hex = await purse.pay(bitcoin.node, [
      { address: payee.address, value: 40_000n },
      { address: payee.address, value: 50_000n },
    ]);
    await bitcoin.send(hex);
    expect(await scan(`addr(${payee.address})`)).toMatchObject({ success: true, unspents: [], total_amount: 0 });
    await bitcoin.mine();
    const raw = `raw(${Buffer.from(payee.script).toString('hex')})`;
    const [txid, height] = [idOf(hex), bitcoin.node.height];
    expect(await scan(raw)).toMatchObject({
      height,
      unspents: [
        { txid, vout: 0, amount: 0.0004, height, coinbase: false, desc: raw },
        { txid, vout: 1, amount: 0.0005 },
      ],
      total_amount: 0.0009,
    });
    await bitcoin.send(await payee.pay(bitcoin.node, [], { from: { txid, vout: 0, value: 40_000n } }));
    expect((await scan(raw))['unspents']).toHaveLength(2);
    await bitcoin.mine();
    expect((await scan(raw))['unspents']).toHaveLength(2); // the other, and the change
    for (const bad of ['pkh(02)', 'addr(nobody)', 'raw(0)'])
      expect(await refusal('scantxoutset', 'start', [bad])).toMatch(/^-5 /);
    expect(await refusal('scantxoutset', 'start', [])).toMatch(/^-1 /);
    expect(await refusal('scantxoutset', 'begin')).toMatch(/^-8 /);
  });
});

describe('levers', () => {
  it('make a real reorganisation: what was mined waits again, and the old tip is a fork', async () => {
    const hex = await purse.pay(bitcoin.node, [{ address: other.address, value: 33_000n }]);
    await bitcoin.send(hex);
    const [hash] = await bitcoin.mine(2);
    const { height } = bitcoin.node;
    await bitcoin.branch(2);
    expect(bitcoin.node.height).toBe(height + 1);
    expect(await result('getblockhash', height - 1)).not.toBe(hash);
    expect(await result('getblockheader', hash)).toMatchObject({ confirmations: -1 });
    expect(await result('getrawmempool')).toEqual([idOf(hex)]);
    expect(await result<unknown[]>('getchaintips')).toContainEqual(
      expect.objectContaining({ branchlen: 2, status: 'valid-fork' }),
    );
    const [again] = await bitcoin.mine();
    expect(await result('getrawtransaction', idOf(hex), true)).toMatchObject({ blockhash: again });
  });

  it('let the new branch spend the same coin otherwise', async () => {
    const from = await purse.coin(bitcoin.node);
    const [one, two] = [
      await purse.pay(bitcoin.node, [{ address: other.address, value: 10_000n }], { from }),
      await purse.pay(bitcoin.node, [{ address: purse.address, value: 20_000n }], { from }),
    ];
    await bitcoin.send(one);
    await bitcoin.mine();
    await bitcoin.branch(1, { only: [two] });
    expect(await result('getrawmempool')).toEqual([]);
    expect(await result('getrawtransaction', idOf(two), true)).toMatchObject({ confirmations: 2 });
    expect(await refusal('getrawtransaction', idOf(one))).toMatch(/^-5/);
  });

  it('set what fees cost and how the front fails', async () => {
    expect(await result('estimatesmartfee', 6)).toMatchObject({ errors: [expect.any(String)] });
    bitcoin.fees.estimate = 25_000n;
    expect(await result('estimatesmartfee', 6)).toEqual({ feerate: 0.00025, blocks: 6 });
    bitcoin.outages.fail({ count: 1 });
    expect((await post(bitcoin, { id: 1, method: 'getblockcount' })).status).toBe(503);
    expect((await post(bitcoin, { id: 1, method: 'getblockcount' })).status).toBe(200);
  });
});

it('goes on from its folder, with what waited', async () => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'isthmus-bitcoin-'));
  let kept = await startBitcoin({ dir, reward: purse.script });
  try {
    const hex = await Purse.of('payer').pay(kept.node, [{ address: other.address, value: 5_000n }]);
    await kept.send(hex);
    const [tip] = await kept.mine(1, { only: [] });
    expect(await fs.readFile(path.join(dir, '.cookie'), 'utf8')).toBe(kept.credentials);
    await expect(startBitcoin({ dir, port: kept.port })).rejects.toThrow('in use');
    await kept.stop();
    kept = await startBitcoin({ dir });
    expect(kept.node.chain.tip.rhash()).toBe(tip);
    expect([...kept.node.mempool.map.values()].map(({ tx }) => tx.txid())).toEqual([idOf(hex)]);
    await kept.mine();
    expect(kept.node.mempool.map.size).toBe(0);
  } finally {
    await kept.stop();
    await fs.rm(dir, { recursive: true, force: true });
  }
});

it('knows every standard kind of output by its script', async () => {
  const { outputType } = await import('./standard.js');
  const pubkey = purse.key.publicKey;
  const options = { pubkey, network: networks.regtest };
  expect(outputType(payments.p2pkh(options).output!)).toBe('pubkeyhash');
  expect(outputType(payments.p2sh({ redeem: payments.p2wpkh(options), network: networks.regtest }).output!)).toBe(
    'scripthash',
  );
  expect(outputType(payments.p2pk(options).output!)).toBe('pubkey');
  expect(outputType(payments.p2ms({ m: 1, pubkeys: [pubkey] }).output!)).toBe('multisig');
  expect(outputType(address.toOutputScript(taproot.address!, networks.regtest))).toBe('witness_v1_taproot');
  expect(outputType(Uint8Array.of(0x52, 2, 1, 1))).toBe('witness_unknown');
  expect(outputType(Uint8Array.of(0x51))).toBe('nonstandard');
});
