/**
 * `isthmus found`: brings a bridge into being. All addresses and ids follow from the plan and its keys, so they are known before anything is made, and
 * who runs it again, after a crash or to see how far it is, makes nothing twice.
 */
import { ethereumSigner, type Item } from '@isthmus/ao';
import { tokenModule, tokenSpawn } from '@isthmus/founding';
import { homesSchema } from '../../../gateway/src/homes/config.js';
import { keyOf } from '../files.js';
import { AoClient } from '../ao/client.js';
import { print } from '../ao/context.js';
import { brief } from '../ao/text.js';
import { CommandError } from '../said.js';
import { foundBitcoin } from './bitcoin.js';
import { foundEthereum } from './ethereum.js';
import { readPlan, type Plan, type PlannedHome } from './plan.js';
import { foundSolana } from './solana.js';
import type { FoundedHome, Step } from './step.js';

export interface FoundOptions {
  /** Make what is not there yet; without it, only say what that is. */
  go?: boolean;
  json?: boolean;
}

/** A spawn's first result comes within seconds. */
const RESULT_SECONDS = 60;

/** @throws CommandError when the plan is wrong, or a step cannot be made: what was made stays, and counts when it is run again */
export async function found(file: string, { go, json }: FoundOptions): Promise<void> {
  const plan = readPlan(file);
  const client = new AoClient(plan.gatewayUrl);
  const homes: FoundedHome[] = [];
  for (const home of plan.homes) homes.push(await founded(home, plan));
  const { steps, processes } = await tokens(client, plan, homes);
  const all = [...homes.flatMap((home) => home.steps), ...steps];
  const check = homesSchema.safeParse(await Promise.all(homes.map((home, i) => home.gateway(processes[i] ?? []))));
  if (!check.success)
    throw new CommandError(
      `The gateway would refuse these homes:\n  ${check.error.issues.map((one) => `${one.path.join('.')}: ${one.message}`).join('\n  ')}`,
    );
  const left = homes.flatMap((home) => home.left);
  const say = json ? (): void => undefined : (line: string): void => console.log(line);
  const open: Step[] = [];
  for (const step of all) {
    const isDone = await step.isDone();
    if (!isDone) open.push(step);
    say(isDone ? `there     ${step.what}` : `${go ? 'to make' : 'missing'}   ${step.what}  (${step.cost})`);
  }
  for (const step of go ? open : []) {
    await step.make();
    say(`made      ${step.what}`);
  }
  if (!go && open.length > 0) {
    print(json, { missing: open.map(({ what, cost }) => ({ what, cost })) }, () =>
      ['', `Nothing was made. With --go ${open.length} of ${all.length} steps are.`].join('\n'),
    );
    return;
  }
  const blocks = {
    gateway: await Promise.all(homes.map((home, i) => home.gateway(processes[i] ?? []))),
    guardian: await Promise.all(homes.map((home, i) => home.guardian(processes[i] ?? []))),
  };
  const { scheduler } = await client.units();
  print(json, { ...blocks, scheduler, left }, () =>
    [
      '',
      "The gateway's configuration:",
      `"homes": ${JSON.stringify(blocks.gateway, null, 2)}`,
      '',
      "Each guardian's configuration:",
      `"scheduler": "${scheduler}",`,
      `"homes": ${JSON.stringify(blocks.guardian, null, 2)}`,
      '',
      'Left to you:',
      ...left.map((line) => `- ${line}`),
    ].join('\n'),
  );
}

function founded(home: PlannedHome, plan: Plan): Promise<FoundedHome> {
  const { id } = home.chain;
  if (id.startsWith('eip155:')) return foundEthereum(home, plan);
  if (id.startsWith('bip122:')) return foundBitcoin(home, plan);
  if (id.startsWith('solana:')) return foundSolana(home, plan);
  throw new CommandError(`${id} is of no family that is bridged: eip155, bip122, solana.`);
}

/** The module and the token processes of all homes. @throws CommandError for a key file that is none */
async function tokens(
  client: AoClient,
  { founderKeyFile, guardians, threshold, pauseThreshold }: Plan,
  homes: readonly FoundedHome[],
): Promise<{ steps: Step[]; processes: string[][] }> {
  const signer = ethereumSigner(keyOf(founderKeyFile));
  const { scheduler, messenger } = await client.units();
  const module = await tokenModule(signer);
  const steps = [itemStep(client, `module ${module.id} of the token processes`, module)];
  const processes: string[][] = [];
  for (const { tokens: plans, keys } of homes) {
    const spawns: Item[] = [];
    for (const plan of plans) {
      const set = { guardians, keys, threshold, pauseThreshold, scheduler, messenger };
      const spawn = await tokenSpawn(signer, module, plan, set);
      spawns.push(spawn);
      steps.push(spawnStep(client, `token process ${spawn.id} of ${plan.id}`, spawn));
    }
    processes.push(spawns.map((s) => s.id));
  }
  return { steps, processes };
}

function itemStep(client: AoClient, what: string, { id, raw }: Item): Step {
  return {
    what,
    cost: 'nothing',
    isDone: () =>
      client
        .text(`/raw/${id}`)
        .then(() => true)
        .catch(isMissing),
    make: () => client.send(raw),
  };
}

function spawnStep(client: AoClient, what: string, item: Item): Step {
  return {
    ...itemStep(client, what, item),
    make: async () => {
      await client.send(item.raw);
      const { Error: failed } = await client.result(item.id, item.id, RESULT_SECONDS);
      if (failed !== undefined) throw new CommandError(`${what} does not start: ${brief(failed, 500)}`);
    },
  };
}

/** Whatever keeps an item from being shown: sending it again does no harm. */
const isMissing = (error: unknown): false => {
  if (error instanceof CommandError) return false;
  throw error;
};
