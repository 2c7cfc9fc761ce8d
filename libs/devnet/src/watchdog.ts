/**
 * Ends servers that are not ours to program (PostgreSQL, anvil) when the process that started them is gone, however it went: a small
 * process of its own waits for a pipe to close. Our own processes watch such a pipe themselves.
 */
import { spawn } from 'node:child_process';

/** How long a server may take to leave before it is killed. */
const LEAVE_MS = 10_000;

/** Runs on its own, as text: it must not depend on anything of its parent. Signal 0 only asks whether a process is there. */
const WATCH = `
const pids = process.argv.slice(1).map(Number);
const send = (pid, signal) => { try { process.kill(pid, signal); return true; } catch { return false; } };
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.resume().on('end', () => {
  for (const pid of pids) send(pid, 'SIGINT');
  const until = Date.now() + ${LEAVE_MS};
  setInterval(() => {
    const left = pids.filter((pid) => send(pid, 0));
    if (left.length === 0) process.exit(0);
    if (Date.now() > until) { for (const pid of left) send(pid, 'SIGKILL'); process.exit(0); }
  }, 50);
});`;

export interface Watchdog {
  pid: number;
  /** Lets the servers be: whoever calls this stops them itself. */
  dismiss(): void;
}

/** Watches over these processes until dismissed. */
export function watchOver(pids: readonly number[]): Watchdog {
  const child = spawn(process.execPath, ['-e', WATCH, ...pids.map(String)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // a Ctrl-C in the terminal must not end the one who cleans up
  });
  child.unref();
  return { pid: child.pid ?? 0, dismiss: () => void child.kill('SIGKILL') };
}
