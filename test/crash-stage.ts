/** A real stack whose gateway or guardian is really killed at a durable step of a deposit or a withdrawal. For I12 and X4. */
import { setTimeout as delay } from 'node:timers/promises';
import { devAccount, type Stack } from '@isthmus/devnet';
import { Stage } from './stage.js';

const HOLDER = 1;
const DEPOSIT = 10n ** 17n;
const BACK = 4n * 10n ** 16n;
const LOOK_MS = 20;

let stage: Stage;
let rounds = 0n;
const payee = devAccount(6).address;

beforeAll(async () => {
  stage = await Stage.open();
  // With two of three guardians needed, the third is stopped: every crash is one the bridge has to wait for.
  await stage.stack.guardians[2]?.stop();
});
afterAll(() => stage.close());

/** What the gateway answers, once it does: it may be killed just when it is asked. */
async function told<T>(look: () => Promise<T>): Promise<T> {
  return (await stage.until('the gateway answers', async () => ({ is: await look() }))).is;
}

/** One deposit and one withdrawal, from end to end, with exact amounts. */
export async function thereAndBack(): Promise<void> {
  const holder = devAccount(HOLDER).address;
  const balance = (): Promise<bigint> => told(() => stage.balance(holder));
  const [balanceBefore, paidBefore] = [await balance(), await stage.client.getBalance({ address: payee })];
  const hash = await stage.deposit(DEPOSIT, holder);
  await stage.transfer(`source=${hash}`, 'minted');
  expect(await balance()).toBe(balanceBefore + DEPOSIT);
  const { id, raw } = await stage.withdrawal(HOLDER, BACK, payee);
  await stage.send(raw);
  const released = await stage.transfer(`message=${id}`, 'released');
  expect(await balance()).toBe(balanceBefore + DEPOSIT - BACK);
  expect((await stage.client.getBalance({ address: payee })) - paidBefore).toBe(BACK - BigInt(released.fee));
  rounds += 1n;
  const owed = String(rounds * (DEPOSIT - BACK));
  expect(await told(() => stage.books())).toMatchObject({ locked: owed, supply: owed, inFlight: '0', ok: true });
}

/** A child of the stack that is killed. */
export type Victim = (stack: Stack) => Stack['gateway'];
export const guardian: Victim = (stack) => stack.guardians[0]!;
export const gateway: Victim = (stack) => stack.gateway;

/** There and back with a kill where `at` says (`<point>`, or `<point>@<n>` the n-th time it is passed). Returns whether it came to that. */
export async function survives(victim: Victim, at: string): Promise<boolean> {
  const child = victim(stage.stack);
  await child.stop();
  const before = child.restarts;
  child.launch({ ISTHMUS_CRASH_AT: at });
  await thereAndBack();
  return child.restarts > before;
}

/** Kills of one child, in this order. */
export interface Kills {
  victim: Victim;
  points: readonly string[];
}

/**
 * There and back while each of these is killed at each of its points, each kill while the work that the ones before cut off goes on; once more
 * for points that the rest of that work does not pass.
 */
export async function survivesAll(plan: readonly Kills[]): Promise<void> {
  let isOver = false;
  const left = plan.map(({ points }) => [...points]);
  const killEach = async (child: Stack['gateway'], points: string[]): Promise<void> => {
    await child.stop();
    for (let [point] = points; point !== undefined; [point] = points) {
      child.launch({ ISTHMUS_CRASH_AT: point });
      while (isAlive(child.pid)) {
        if (isOver) return;
        await delay(LOOK_MS);
      }
      await child.stop(); // it is begun again for the next point, not by its supervisor
      points.shift();
    }
    child.launch();
  };
  const killing = Promise.all(plan.map(({ victim }, i) => killEach(victim(stage.stack), left[i]!)));
  try {
    for (let before = Infinity; left.flat().length > 0 && left.flat().length < before;) {
      before = left.flat().length;
      await thereAndBack();
    }
  } finally {
    isOver = true;
    await killing;
  }
  expect(left.flat()).toEqual([]); // all were passed
}

function isAlive(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
}
