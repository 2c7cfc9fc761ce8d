/**
 * Two engines behind one port: gateway and guardians whose processes live on another gateway's public units, on a real aos module. They see
 * nothing of it but what AO's own clients do: the schedule as JSON, results, dry-runs, items.
 */
import { devAccount } from '@isthmus/devnet';
import { aosModules } from '../contracts/ao/machines.js';
import { Stage } from './stage.js';

const HOLDER = 1;
const DEPOSIT = 10n ** 17n;
const BACK = 4n * 10n ** 16n;

let stage: Stage;
beforeAll(async () => {
  const aos = aosModules().find((m) => m.format.startsWith('wasm32'));
  if (!aos?.module) throw new Error('There is no 32-bit aos module in .cache/aos: run node scripts/aos-module.mjs.');
  stage = await Stage.open({ aos: { format: aos.format, bytes: aos.module } });
});
afterAll(() => stage.close());

it('takes a deposit and a withdrawal on aos through the units of another gateway', async () => {
  const holder = devAccount(HOLDER).address;
  const payee = devAccount(6).address;
  const before = await stage.client.getBalance({ address: payee });
  const hash = await stage.deposit(DEPOSIT, holder);
  const minted = await stage.transfer(`source=${hash}`, 'minted');
  expect(minted.amount).toBe(String(DEPOSIT));
  expect(await stage.balance(holder)).toBe(DEPOSIT);
  const { id, raw } = await stage.withdrawal(HOLDER, BACK, payee);
  await stage.send(raw);
  const released = await stage.transfer(`message=${id}`, 'released');
  expect(await stage.balance(holder)).toBe(DEPOSIT - BACK);
  expect((await stage.client.getBalance({ address: payee })) - before).toBe(BACK - BigInt(released.fee));
  const owed = String(DEPOSIT - BACK);
  expect(await stage.books()).toMatchObject({ locked: owed, supply: owed, inFlight: '0', ok: true });
});
