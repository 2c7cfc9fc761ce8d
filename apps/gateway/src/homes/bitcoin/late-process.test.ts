/** A gateway that is up before the token process it serves: what pays the vault meanwhile is not passed over. */
import { BitcoinGateway } from '../../../bitcoin-stage.js';
import { until } from '../../../harness.js';

it('A12 I10 reads no block until it knows whose vault it reads for, and then all of them', async () => {
  let txid = '';
  const world = await BitcoinGateway.open({}, {}, async (early) => {
    txid = (await early.pay({ script: early.lock.script, value: 5_000_000n })).getId();
    await early.bitcoin.mine(3);
    await early.btc.look();
    expect(early.btc.chain.fields).toMatchObject({ tip: null, vault: null });
  });
  try {
    const known = (): Promise<{ txid: string; value: string }[]> =>
      world.gateway.database.query('select txid, value from bitcoin_coin');
    await until('the coin is known', async () => (await known()).length > 0);
    expect(await known()).toEqual([{ txid, value: '5000000' }]);
  } finally {
    await world.close();
  }
});
