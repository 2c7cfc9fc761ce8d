/** A replay as a process of its own. */
import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { projectRoot } from '@isthmus/store';
import type { ReplayRequest } from './messages.js';

const ENTRY = 'dist/apps/gateway/src/replay/main.js';

export interface ReplayStart {
  env?: NodeJS.ProcessEnv;
  /** Where what it has to say beside its messages goes. */
  stderr?: 'inherit' | 'pipe';
}

/**
 * Starts a replay, which tells how far it is and what became of it by `ReplayMessage`s, and ends with who started it. What is asked is told by a
 * message too: it may hold logins of a database or a node, and everybody on a machine sees what a process was started with.
 */
export function startReplay(
  request: ReplayRequest,
  { env = process.env, stderr = 'inherit' }: ReplayStart = {},
): ChildProcess {
  const child = fork(path.join(projectRoot(), ENTRY), [], { env, stdio: ['ignore', 'ignore', stderr, 'ipc'] });
  child.send(request, () => undefined); // one that takes no message has ended, and its end is heard
  return child;
}
