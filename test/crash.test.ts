/** I12: a kill -9 between any two durable steps, of the gateway or of a guardian, loses and doubles nothing. Real processes, really killed. */
import { devAccount } from '@isthmus/devnet';
import { CRASH_POINTS as GATEWAY_POINTS } from '../apps/gateway/src/crash-point.js';
import { CRASH_POINTS as GUARDIAN_POINTS } from '../apps/guardian/src/crash-point.js';
import { Stage } from './stage.js';

const HOLDER = 1;
const DEPOSIT = 10n ** 17n;
const BACK = 4n * 10n ** 16n;

let stage: Stage;
let rounds = 0n;
const payee = devAccount(6).address;

beforeAll(async () => {
  stage = await Stage.open();
  // With two of three guardians needed, the third is stopped: every crash is one the bridge has to wait for.
  await stage.stack.guardians[2]?.stop();
});
afterAll(() => stage.close());

/** One deposit and one withdrawal, from end to end, with exact amounts. */
async function thereAndBack(): Promise<void> {
  const holder = devAccount(HOLDER).address;
  const [balanceBefore, paidBefore] = [
    await stage.until('the balance answers', async () => ({ is: await stage.balance(holder) })),
    await stage.client.getBalance({ address: payee }),
  ];
  const hash = await stage.deposit(DEPOSIT, holder);
  await stage.transfer(`source=${hash}`, 'minted');
  expect(await stage.balance(holder)).toBe(balanceBefore.is + DEPOSIT);
  const { id, raw } = await stage.withdrawal(HOLDER, BACK, payee);
  await stage.send(raw);
  const released = await stage.transfer(`message=${id}`, 'released');
  expect(await stage.balance(holder)).toBe(balanceBefore.is + DEPOSIT - BACK);
  expect((await stage.client.getBalance({ address: payee })) - paidBefore).toBe(BACK - BigInt(released.fee));
  rounds += 1n;
  const owed = String(rounds * (DEPOSIT - BACK));
  expect(await stage.books()).toMatchObject({ locked: owed, supply: owed, inFlight: '0', ok: true });
}

it('goes there and back undisturbed', () => thereAndBack());

it.each(GUARDIAN_POINTS)('I12 X4 a guardian killed at %s', async (point) => {
  const guardian = stage.stack.guardians[0]!;
  await guardian.stop();
  const before = guardian.restarts;
  guardian.launch({ ISTHMUS_CRASH_AT: point });
  await thereAndBack();
  expect(guardian.restarts).toBe(before + 1);
});

it.each(GATEWAY_POINTS)('I12 X4 the gateway killed at %s', async (point) => {
  const { gateway } = stage.stack;
  await gateway.stop();
  const before = gateway.restarts;
  gateway.launch({ ISTHMUS_CRASH_AT: point });
  await thereAndBack();
  expect(gateway.restarts).toBe(before + 1);
});
