/** Throws the local stack's state away, and nothing else: never under a running stack, never a folder that is not one of ours. */
import fs from 'node:fs';
import path from 'node:path';
import { stateFolder } from '@isthmus/store';
import { runningStack } from './running.js';
import { CommandError } from './said.js';

/** Any of these shows that a folder is a stack's. */
const MARKS = ['postgres', 'postgres.password', 'chain.json', 'deployment.json', 'keys', 'stack.pid', 'logs'];

/** @throws CommandError while a stack, or a database one left behind, runs from the folder. */
export function reset(home = stateFolder()): void {
  if (!fs.existsSync(home)) return console.log(`nothing to do: there is no ${home}`);
  const pid = runningStack(home);
  if (pid !== null) throw new CommandError(`The stack runs (process ${pid}): stop it with Ctrl-C first, then reset.`);
  const left = leftBehind(home);
  if (left !== null)
    throw new CommandError(
      `Process ${left} of an earlier run still uses ${home}: wait a moment or end it, then reset again.`,
    );
  const entries = fs.readdirSync(home);
  if (entries.length > 0 && !entries.some((e) => MARKS.includes(e)))
    throw new CommandError(`${home} holds no stack of Isthmus: nothing was deleted; check ISTHMUS_HOME.`);
  fs.rmSync(home, { recursive: true, force: true });
  console.log(`cleared ${home}; "npm start" begins anew`);
}

/** A database or chain whose stack was killed, while it still lives. */
function leftBehind(home: string): number | null {
  for (const [file, program] of [
    [path.join(home, 'postgres/postmaster.pid'), 'postgres'],
    [path.join(home, 'anvil.pid'), 'anvil'],
  ] as const) {
    if (!fs.existsSync(file)) continue;
    const pid = Number(fs.readFileSync(file, 'utf8').split('\n')[0]);
    const command = `/proc/${pid}/cmdline`;
    if (fs.existsSync(command) && fs.readFileSync(command, 'utf8').includes(program)) return pid;
  }
  return null;
}
