/** A headless Chromium that opens the page as people do, driven over its DevTools protocol. What it complains of is kept. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { projectRoot } from '@isthmus/store';
import WebSocket from 'ws';

const START_MS = 60_000;
const ANSWER_MS = 60_000;
const LOOK_MS = 100;
/** Where scripts/chromium.mjs puts it. */
const CACHED = path.join(projectRoot(), '.cache/chromium');
const FLAGS = [
  '--headless',
  '--no-sandbox', // tests may run as root, and open nothing but the page
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--remote-debugging-port=0',
];

interface Event {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: { message: string };
}

export class Browser {
  private asked = 0;
  private readonly answers = new Map<number, (event: Event) => void>();
  private session: string | undefined;
  /** Errors of scripts, of the console and of requests, as they came. */
  readonly complaints: string[] = [];

  private constructor(
    private readonly child: ChildProcess,
    private readonly socket: WebSocket,
    private readonly folder: string,
  ) {
    socket.on('message', (data: Buffer) => this.heard(JSON.parse(data.toString()) as Event));
  }

  /** @throws Error when it does not start: with what it said */
  static async open(url: string): Promise<Browser> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-browser-'));
    const file = process.env['ISTHMUS_CHROMIUM'] ?? path.join(CACHED, 'chromium');
    const env = { ...process.env, HOME: folder, LD_LIBRARY_PATH: path.join(CACHED, 'lib') };
    const child = spawn(file, [...FLAGS, `--user-data-dir=${folder}`, 'about:blank'], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const socket = new WebSocket(await addressOf(child));
    await once(socket, 'open');
    const browser = new Browser(child, socket, folder);
    const { targetId } = await browser.ask<{ targetId: string }>('Target.createTarget', { url: 'about:blank' });
    const attach = { targetId, flatten: true };
    browser.session = (await browser.ask<{ sessionId: string }>('Target.attachToTarget', attach)).sessionId;
    for (const domain of ['Page', 'Runtime', 'Log']) await browser.ask(`${domain}.enable`);
    await browser.ask('Page.navigate', { url });
    return browser;
  }

  async close(): Promise<void> {
    this.socket.close();
    const gone = this.child.exitCode === null ? once(this.child, 'exit') : null;
    this.child.kill();
    await gone;
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /** The value of an expression in the page. @throws Error when it throws there */
  async value<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.ask<{ result: { value: T }; exceptionDetails?: object }>(
      'Runtime.evaluate',
      { expression, returnByValue: true, awaitPromise: true },
    );
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  }

  /** What can be read in the first element a selector finds; empty where there is none, or it is hidden. */
  text(selector: string): Promise<string> {
    return this.value(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`);
  }

  /** Types into a field, in the place of what is there. */
  async type(selector: string, text: string): Promise<void> {
    const field = JSON.stringify(selector);
    await this.value(`{ const field = document.querySelector(${field}); field.focus(); field.select(); }`);
    if (text === '') await this.value(`document.querySelector(${field}).value = ''`);
    else await this.ask('Input.insertText', { text });
  }

  async click(selector: string): Promise<void> {
    await this.value(`document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  /** Waits until an expression in the page is true. @throws Error with what the page shows */
  async until(expression: string, patienceMs: number): Promise<void> {
    const end = Date.now() + patienceMs;
    // What it names may not be there yet.
    while (!(await this.value<boolean>(`(() => { try { return Boolean(${expression}) } catch { return false } })()`))) {
      if (Date.now() > end)
        throw new Error(`It never came that ${expression}; the page shows: ${await this.text('main')}`);
      await delay(LOOK_MS);
    }
  }

  private ask<T = unknown>(method: string, params: object = {}): Promise<T> {
    const id = (this.asked += 1);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`The browser does not answer ${method}.`)), ANSWER_MS);
      this.answers.set(id, ({ result, error }) => {
        clearTimeout(late);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result as T);
      });
      this.socket.send(JSON.stringify({ id, method, params, sessionId: this.session }));
    });
  }

  private heard(event: Event): void {
    if (event.id !== undefined) {
      this.answers.get(event.id)?.(event);
      this.answers.delete(event.id);
      return;
    }
    const { method, params = {} } = event;
    const entry = params['entry'] as { level: string; text: string; url?: string } | undefined;
    if (method === 'Runtime.exceptionThrown' || (method === 'Runtime.consoleAPICalled' && params['type'] === 'error'))
      this.complaints.push(JSON.stringify(params));
    if (method === 'Log.entryAdded' && entry?.level === 'error') this.complaints.push(`${entry.text} ${entry.url}`);
  }
}

/** Where a browser that starts says it is reached. */
async function addressOf(child: ChildProcess): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      child.kill();
      reject(new Error(`Chromium does not start: ${why} ("node scripts/chromium.mjs" puts one into .cache) ${said}`));
    };
    const late = setTimeout(() => fail('it says nothing in time.'), START_MS);
    child.once('error', ({ message }) => fail(message));
    child.once('exit', (code) => fail(`it ended with ${code}.`));
    child.stderr?.on('data', (part: Buffer) => {
      said += part.toString();
      const [, url] = /listening on (ws:\S+)/.exec(said) ?? [];
      if (url === undefined) return;
      clearTimeout(late);
      child.removeAllListeners('exit');
      resolve(url);
    });
  });
}
