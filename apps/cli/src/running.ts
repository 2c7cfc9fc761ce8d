/** One stack to a folder: a mark with the process id of whoever runs it, good only while that process lives. */
import fs from 'node:fs';
import path from 'node:path';
import { CommandError } from './said.js';

const markOf = (home: string): string => path.join(home, 'stack.pid');

/** Process id of the stack that runs from this folder, or null. A mark left by a killed run counts for nothing. */
export function runningStack(home: string): number | null {
  const file = markOf(home);
  if (!fs.existsSync(file)) return null;
  const pid = Number(fs.readFileSync(file, 'utf8'));
  return Number.isInteger(pid) && pid > 0 && isNode(pid) ? pid : null;
}

/** @throws CommandError when a stack runs from this folder. */
export function refuseRunning(home: string): void {
  const pid = runningStack(home);
  if (pid !== null)
    throw new CommandError(
      `A stack already runs from ${home} (process ${pid}): stop it with Ctrl-C first, or set ISTHMUS_HOME to another folder.`,
    );
}

/** Marks the folder as ours until the function it returns is called. @throws CommandError when a stack runs from it, or it cannot be written. */
export function claimHome(home: string): () => void {
  refuseRunning(home);
  try {
    makeFolders(path.resolve(home));
    fs.writeFileSync(markOf(home), String(process.pid));
  } catch {
    throw new CommandError(`Cannot write ${home}: make it writable, or set ISTHMUS_HOME to a folder that is.`);
  }
  return () => fs.rmSync(markOf(home), { force: true });
}

/** Those above it first, one at a time: Node's own `recursive` never ends where nothing can be made, as in /proc. */
function makeFolders(folder: string): void {
  if (fs.existsSync(folder)) return;
  makeFolders(path.dirname(folder));
  fs.mkdirSync(folder);
}

/** Alive, and where the system tells, a Node process: ids are used again after a restart of the machine. */
function isNode(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const command = `/proc/${pid}/cmdline`;
  return !fs.existsSync(command) || fs.readFileSync(command, 'utf8').includes('node');
}
