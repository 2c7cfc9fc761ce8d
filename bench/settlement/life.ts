/**
 * The bridge's own life, as fast as a local stack takes it: deposits that wait on the chain, seen and attested by three guardians, and as many transfers
 * and withdrawals, which guardians sign, a relayer pays and guardians attest, all settled; then rebuilt from Arweave and the same chain, books and all.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, ethereumSigner, type Item } from '@isthmus/ao';
import { devAccount, devKey, type Stack } from '@isthmus/devnet';
import { zeroAddress } from 'viem';
import { Client } from '../ao/http.js';
import { bridgeInfo } from '../backlog.js';
import { depositCoins, rpc } from '../deposits.js';
import { atLeast, type Figure } from '../figure.js';
import { onStack } from '../stack.js';
import { replay, settled } from './replay.js';

const DEPOSITS = 1_000;
const TRANSFERS = 1_000;
const WITHDRAWALS = 1_000;
const VALUE = 10n ** 17n;
const BACK = 10n ** 16n;
const CLIENTS = 16;
const PATIENCE_MS = 400_000;
/** Blocks come so often while releases wait for them. */
const BLOCK_MS = 200;

export async function lifeFigures(): Promise<Figure[]> {
  return onStack({ pollMs: 200, settles: true }, async (stack) => {
    await depositCoins(stack, DEPOSITS, VALUE);
    const token = stack.deployment.assets.find((a) => a.address === zeroAddress)?.process ?? '';
    const items = await messages(token);
    const { ao } = (await new Client(stack.gatewayUrl).json('/v1/chains')) as { ao: { scheduler: string } };
    const live = await lived(stack, token, items);
    await settled(stack.gatewayUrl);
    for (const one of [...stack.guardians, stack.gateway]) await one.stop();
    const request = { from: stack.arweave?.url ?? '', scheduler: ao.scheduler, rpc: [stack.rpcUrl] };
    const { slots, milliseconds, books } = await replay(request);
    console.error(`  rebuilt in ${(milliseconds / 1000).toFixed(1)} s: ${slots} slots, and the chain`);
    if (!books.some((b) => b.process === token)) throw new Error('The books were not rebuilt.');
    return [atLeast('settlement', 'replay.over_live', (live * 1000) / milliseconds, 'x', 10, 'living it')];
  });
}

/** Seconds from the guardians' start, with all deposits final on the chain, to the last release that AO knows. */
async function lived(stack: Stack, token: string, items: readonly Item[]): Promise<number> {
  const began = performance.now();
  const until = async (what: string, isSo: (info: Record<string, unknown>) => boolean): Promise<void> => {
    while (!isSo(await bridgeInfo(stack, token))) {
      if (performance.now() - began > PATIENCE_MS)
        throw new Error(`It never came that ${what}: ${JSON.stringify(await bridgeInfo(stack, token))}`);
      await rpc(stack, [{ method: 'evm_mine', params: [] }]);
      await delay(BLOCK_MS);
    }
  };
  for (const guardian of stack.guardians) guardian.launch();
  await until('all deposits are minted', (info) => info['deposits'] === DEPOSITS);
  const minted = performance.now();
  const client = new Client(stack.gatewayUrl);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let item = items[next++]; item; item = items[next++]) await client.send(item);
  };
  await Promise.all(Array.from({ length: CLIENTS }, work));
  await until('all is released', (info) => info['withdrawals'] === WITHDRAWALS && info['inFlight'] === '0');
  const seconds = (from: number): number => (performance.now() - from) / 1000;
  console.error(
    `  lived: ${DEPOSITS} deposits in ${(seconds(began) - seconds(minted)).toFixed(1)} s, ${TRANSFERS} transfers and ${WITHDRAWALS} withdrawals in ${seconds(minted).toFixed(1)} s`,
  );
  return seconds(began);
}

/** Transfers and withdrawals of the one who has all of it, mixed. */
function messages(token: string): Promise<Item[]> {
  const every = Math.ceil(TRANSFERS / WITHDRAWALS);
  const signer = ethereumSigner(devKey(1));
  const transfer = { Action: 'Transfer', Recipient: devAccount(2).address, Quantity: '1' };
  const back = {
    Action: 'Withdraw',
    Recipient: devAccount(3).address,
    Quantity: String(BACK),
    'Max-Fee': String(BACK / 10n),
  };
  return Promise.all(
    Array.from({ length: TRANSFERS + WITHDRAWALS }, (_, i) => {
      const action = i % (every + 1) === 0 ? back : transfer;
      const all = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...action };
      const tags = Object.entries(all).map(([name, value]) => ({ name, value }));
      return createItem({ target: token, anchor: String(i).padStart(32, '0'), tags, data: '' }, signer);
    }),
  );
}
