/** What operators decide, on the real stack: their command, their guardians, AO, the vault, and what people see meanwhile. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { devAccount } from '@isthmus/devnet';
import { vaultAbi } from '@isthmus/chains';
import { Stage } from './stage.js';

const ETHER = 10n ** 18n;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

/** The operator's command for one guardian. */
async function decide(guardian: string, ...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['dist/apps/cli/src/main.js', 'decide', '--guardian', guardian, ...words],
    { env: { ...process.env, ISTHMUS_HOME: stage.home, NODE_OPTIONS: '' } },
  );
  return stdout;
}

const paused = () =>
  stage.client.readContract({ address: stage.stack.deployment.vault, abi: vaultAbi, functionName: 'paused' });

it('X11 I14 one operator pauses what is in flight, two let it go on, and nothing is lost', async () => {
  const holder = devAccount(3).address;
  const deposit = await stage.transfer(`source=${await stage.deposit(ETHER, holder)}`, 'minted');
  expect(deposit.amount).toBe(String(ETHER));

  const others = stage.stack.guardians.slice(1);
  await Promise.all(others.map((g) => g.stop()));
  const { id, raw } = await stage.withdrawal(3, ETHER / 2n, devAccount(7).address);
  await stage.send(raw);
  await stage.transfer(`message=${id}`, 'signing'); // one signature of the two it needs
  expect(await decide('guardian_1', 'pause')).toContain('guardian_1 votes for "pause"');
  await stage.until('the vault is paused', paused);
  for (const guardian of others) guardian.launch();
  // The vault's pause may be there before each asset's own.
  await stage.until('it waits for who may let it go on', async () => {
    const { waiting } = await stage.transfer(`message=${id}`, 'signing');
    return waiting?.reason === 'paused';
  });
  expect((await stage.books()).ok).toBe(true);

  await decide('guardian_2', 'unpause');
  await stage.mine(5);
  expect(await paused()).toBe(true);
  await decide('guardian_3', 'unpause');
  await stage.until('the vault goes on', async () => !(await paused()));
  const released = await stage.transfer(`message=${id}`, 'released');
  expect(released.releaseTx).toMatch(/^0x/);
  const { locked, supply, inFlight, ok } = await stage.books();
  expect({ locked, supply, inFlight, ok }).toEqual({
    locked: String(ETHER / 2n),
    supply: String(ETHER / 2n),
    inFlight: '0',
    ok: true,
  });
  await stage.until('nothing is left to vote for', async () =>
    (await Promise.all([1, 2, 3].map((g) => decide(`guardian_${g}`)))).every((said) => !said.includes('"')),
  );
});

it('a decision that is none is refused with the words it should have', async () => {
  await expect(decide('guardian_1', 'stop')).rejects.toThrow(/A decision is pause, unpause/);
  await expect(decide('guardian_9', 'pause')).rejects.toThrow(/No guardian guardian_9/);
});
