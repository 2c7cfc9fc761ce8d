/**
 * The token process on each machine it must behave the same on, in a worker as in service. The aos modules are not part of this
 * repository (scripts/aos-module.mjs fetches them): those found in `.cache/aos`, or named by ISTHMUS_AOS_MODULE, are run.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { EvaluationResult, MemoryImage, VmMessage, WorkerPool } from '@isthmus/ao';
import { projectRoot } from '@isthmus/store';
import { environment, messageTo, PROCESS, SPAWN_TAGS, SPAWNER, tokenSource, type Sender } from './harness.js';

export interface Machine {
  name: string;
  /** The module's Module-Format. */
  format: string;
  /** The module a token's source runs on; `null` when the source is the module. */
  module: Buffer | null;
}

export const LEAN: Machine = { name: 'lean Lua', format: 'isthmus-lua-5.4', module: null };

export function aosModules(): Machine[] {
  const folder = path.join(projectRoot(), '.cache/aos');
  const found = fs.existsSync(folder) ? fs.readdirSync(folder).map((f) => path.join(folder, f)) : [];
  return [...found, process.env['ISTHMUS_AOS_MODULE'] ?? '']
    .filter((file) => file.endsWith('.wasm'))
    .map((file) => ({ name: path.basename(file), format: formatOf(file), module: fs.readFileSync(file) }));
}

/** The published 32-bit modules are named so. */
function formatOf(file: string): string {
  return file.endsWith('_32.wasm') ? 'wasm32-unknown-emscripten4' : 'wasm64-unknown-emscripten-draft_2024_02_15';
}

interface HostedOptions {
  tags?: Readonly<Record<string, string>>;
  /** Lua that runs before the token's source, to make a machine fail where no message could. */
  before?: string;
}

/** One token process in a pool of workers. */
export class HostedToken {
  private nonce = 0;

  private constructor(
    readonly machine: Machine,
    private readonly pool: WorkerPool,
    private readonly options: HostedOptions,
  ) {}

  /** A token that is live: spawned, its source loaded, its owner gone. @throws Error when the machine refuses it */
  static async live(machine: Machine, pool: WorkerPool, options: HostedOptions = {}): Promise<HostedToken> {
    const token = await HostedToken.spawned(machine, pool, options);
    if (machine.module) {
      if (options.before) await token.evaluate(options.before);
      await token.evaluate(tokenSource().toString());
    }
    return token;
  }

  /** A process that has handled its spawn item and nothing else; `data` is that item's. */
  static async spawned(
    machine: Machine,
    pool: WorkerPool,
    options: HostedOptions = {},
    data = '',
  ): Promise<HostedToken> {
    const token = new HostedToken(machine, pool, options);
    await token.open(null);
    const spawn = { ...messageTo(0, SPAWNER, options.tags ?? SPAWN_TAGS, data), Id: PROCESS };
    succeeded(await pool.handle(PROCESS, [spawn]));
    return token;
  }

  /** A token that goes on from a snapshot of such a one. */
  static async resumed(
    machine: Machine,
    pool: WorkerPool,
    image: MemoryImage,
    options: HostedOptions = {},
  ): Promise<HostedToken> {
    const token = new HostedToken(machine, pool, options);
    await token.open(image);
    return token;
  }

  /** Evaluates Lua as the spawner, which owns an aos process until it gives it up. @throws Error when it fails */
  async evaluate(source: string): Promise<EvaluationResult> {
    const results = await this.handle([this.message(SPAWNER, { Action: 'Eval' }, source)]);
    return succeeded(results);
  }

  message(sender: Sender | string, tags: Readonly<Record<string, string>>, data = ''): VmMessage {
    this.nonce += 1;
    return messageTo(this.nonce, sender, tags, data);
  }

  handle(messages: VmMessage[]): Promise<EvaluationResult[]> {
    return this.pool.handle(PROCESS, messages);
  }

  async send(sender: Sender | string, tags: Readonly<Record<string, string>>, data = ''): Promise<EvaluationResult> {
    return first(await this.handle([this.message(sender, tags, data)]));
  }

  /** The Data a read answers. */
  async read(action: string, tags: Readonly<Record<string, string>> = {}): Promise<string> {
    const result = succeeded([await this.send('reader', { Action: action, ...tags })]);
    return result.Messages[0]?.Data ?? '';
  }

  snapshot(): Promise<MemoryImage> {
    return this.pool.snapshot(PROCESS);
  }

  /** Goes on from a snapshot in a fresh instance; from nothing with `null`. */
  async open(image: MemoryImage | null): Promise<void> {
    const { machine, options, pool } = this;
    const module = machine.module ?? Buffer.concat([Buffer.from(options.before ?? ''), tokenSource()]);
    await pool.close(PROCESS);
    await pool.open(PROCESS, module, machine.format, environment(options.tags), image);
  }
}

function first(results: EvaluationResult[]): EvaluationResult {
  const [result] = results;
  if (!result) throw new Error('A message was handled without a result.');
  return result;
}

function succeeded(results: EvaluationResult[]): EvaluationResult {
  const result = first(results);
  if (result.Error !== undefined) throw new Error(result.Error);
  return result;
}
