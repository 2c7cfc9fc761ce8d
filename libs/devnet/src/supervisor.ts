/** Child processes of a local stack: started, watched, started again when they crash, and stopped in order. None outlives its parent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface ChildPlan {
  name: string;
  /** Built entry file. */
  entry: string;
  /** Configuration file, given as ISTHMUS_CONFIG. */
  config: string;
  logFile: string;
  /** URL that answers once the child serves. */
  healthUrl: string;
  /** Options of Node itself that it is begun with. */
  nodeOptions?: readonly string[];
}

/**
 * Stack traces with the lines of the sources, for who looks for a fault: the sources of every package that are kept for them take a gateway
 * 20 MB, which each collection of garbage goes through. Traces without them name the built files, which have the same functions.
 */
const FOR_DEBUGGING = ['--enable-source-maps'];

const FIRST_RESTART_MS = 500;
const MAX_RESTART_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;
const HEALTH_TIMEOUT_MS = 60_000;

/** A child did not come up; the message ends with what it last said. */
export class ChildFailed extends Error {
  constructor(name: string, said: string) {
    super(`${name} did not start: ${said}`);
    this.name = 'ChildFailed';
  }
}

export class SupervisedChild {
  private child: ChildProcess | null = null;
  private stopping = false;
  private failures = 0;
  private wake = new AbortController();
  restarts = 0;

  constructor(readonly plan: ChildPlan) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts the child without waiting for it, with more environment for this run only; from here on a crash starts it again. */
  launch(env: Record<string, string> = {}): void {
    this.stopping = false;
    this.failures = 0;
    this.spawn(env);
    this.child?.once('exit', () => void this.restart());
  }

  /** Starts the child and waits until it serves; one that does not come up is not tried again. @throws ChildFailed */
  async start(): Promise<void> {
    this.stopping = false;
    this.failures = 0;
    this.spawn({});
    const until = Date.now() + HEALTH_TIMEOUT_MS;
    while (!(await answers(this.plan.healthUrl))) {
      const ended = this.child === null || this.child.exitCode !== null || this.child.signalCode !== null;
      if (ended || Date.now() > until) {
        await this.stop();
        throw new ChildFailed(this.plan.name, lastLine(this.plan.logFile));
      }
      await delay(50); // asked again until HEALTH_TIMEOUT_MS
    }
    this.child?.once('exit', () => void this.restart());
  }

  /** Asks the child to end, and ends it when it does not. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.wake.abort();
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(late);
  }

  private spawn(env: Record<string, string>): void {
    fs.mkdirSync(path.dirname(this.plan.logFile), { recursive: true });
    const log = fs.openSync(this.plan.logFile, 'a');
    const debugging = process.env['ISTHMUS_DEBUG'] === undefined ? [] : FOR_DEBUGGING;
    this.child = spawn(process.execPath, [...debugging, ...(this.plan.nodeOptions ?? []), this.plan.entry], {
      // A pipe that closes with its parent, however that one ends.
      stdio: ['pipe', log, log],
      // Own process group: a Ctrl-C in the terminal reaches the supervisor alone.
      detached: true,
      env: { ...process.env, ...env, ISTHMUS_CONFIG: this.plan.config, ISTHMUS_SUPERVISED: '1' },
    });
    fs.closeSync(log);
  }

  private async restart(): Promise<void> {
    if (this.stopping) return;
    this.failures += 1;
    const { signal } = (this.wake = new AbortController());
    await delay(Math.min(FIRST_RESTART_MS * 2 ** (this.failures - 1), MAX_RESTART_MS), undefined, {
      signal,
    }).catch(() => undefined);
    if (signal.aborted) return; // stopped, and perhaps launched anew since
    this.restarts += 1;
    this.spawn({});
    this.child?.once('exit', () => void this.restart());
  }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(2000) }).then(
    (r) => r.ok,
    () => false,
  );
}

/** What a child said last; the inner lines of a printed error say less than its first. */
function lastLine(file: string): string {
  const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n') : [];
  return lines.findLast((line) => /^\S.*\w/.test(line)) ?? 'it said nothing';
}
