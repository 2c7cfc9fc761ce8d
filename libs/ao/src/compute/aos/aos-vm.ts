/**
 * The aos virtual machine: WebAssembly modules as AO's own compute units run them, kept hot instead of copied in and out for each message.
 * Only for worker threads: the loader it uses replaces its thread's clock and random numbers.
 */
import v8 from 'node:v8';
import type { EvaluationResult, OutboundMessage, ProcessEnv, Vm, VmInstance, VmMessage } from '../../types.js';
import { excessOf, failed } from '../bounds.js';
import { imageOf, imageSize, memoryOf } from './image.js';

/** Messages handled since the last image before a new one is taken: how much an error costs to undo. */
const IMAGE_EVERY = 64;

interface RawResult {
  Memory: ArrayBufferLike;
  Error?: unknown;
  Output?: unknown;
  Messages?: RawMessage[];
  Spawns?: RawMessage[];
  Assignments?: unknown[];
}

interface RawMessage {
  Target?: unknown;
  Anchor?: unknown;
  Data?: unknown;
  Tags?: { name: string; value: unknown }[];
}

type Handle = (memory: Uint8Array | null, message: VmMessage, env: ProcessEnv) => Promise<RawResult>;
type Loader = (binary: Uint8Array, options: { format: string; UNSAFE_MEMORY: boolean }) => Promise<Handle>;

export class AosVm implements Vm {
  readonly formats = ['wasm32-unknown-emscripten4', 'wasm64-unknown-emscripten-draft_2024_02_15'];

  /** @throws Error when the module is no WebAssembly of this format. */
  async load(module: Uint8Array, format: string, env: ProcessEnv): Promise<VmInstance> {
    const instantiate = await loader(module, format);
    return new AosProcess(instantiate, env, await instantiate(), null);
  }

  async restore(module: Uint8Array, format: string, env: ProcessEnv, snapshot: Uint8Array): Promise<VmInstance> {
    const instantiate = await loader(module, format);
    const image = snapshot.length > 0 ? Buffer.from(snapshot) : null;
    return new AosProcess(instantiate, env, await instantiate(), image);
  }
}

async function loader(module: Uint8Array, format: string): Promise<() => Promise<Handle>> {
  // Node 20 has 64-bit memories behind this flag, which a thread may still set for itself.
  if (format.startsWith('wasm64')) v8.setFlagsFromString('--experimental-wasm-memory64');
  const { default: load } = (await import('@permaweb/ao-loader')) as { default: Loader };
  return () => load(module, { format, UNSAFE_MEMORY: true });
}

/** One aos process. A message that fails is undone in a fresh instance, from the last image and the messages since. */
class AosProcess implements VmInstance {
  private memory: ArrayBufferLike | null = null;
  private since: VmMessage[] = [];
  /** Memory to be put in place before the next message. */
  private pending: Buffer | null;

  constructor(
    private readonly instantiate: () => Promise<Handle>,
    private readonly env: ProcessEnv,
    private evaluate: Handle,
    private image: Buffer | null,
  ) {
    this.pending = image && memoryOf(image);
  }

  async handle(message: VmMessage): Promise<EvaluationResult> {
    const result = await this.attempt(message);
    if (result.Error !== undefined) {
      await this.undo();
      return result;
    }
    this.since.push(message);
    if (this.since.length >= IMAGE_EVERY) this.takeImage();
    return result;
  }

  async dryRun(message: VmMessage): Promise<EvaluationResult> {
    this.takeImage();
    const result = await this.attempt({ ...message, 'Read-Only': true });
    await this.undo();
    return result;
  }

  snapshot(): Promise<Uint8Array> {
    this.takeImage();
    return Promise.resolve(this.image ?? new Uint8Array());
  }

  close(): Promise<void> {
    this.memory = null;
    return Promise.resolve();
  }

  private async attempt(message: VmMessage): Promise<EvaluationResult> {
    const memory = this.pending;
    this.pending = null;
    try {
      const raw = await withFixedWorld(message.Timestamp, () => this.evaluate(memory, message, this.env));
      this.memory = raw.Memory;
      return readResult(raw);
    } catch (error) {
      this.memory = null; // a trap may have left anything behind
      return failed(error instanceof Error ? error.message : describe(error));
    }
  }

  private async undo(): Promise<void> {
    // A memory that grew cannot shrink, and a trapped instance cannot be trusted: both go.
    if (!this.memory || !this.image || this.memory.byteLength !== imageSize(this.image))
      this.evaluate = await this.instantiate();
    this.pending = this.image && memoryOf(this.image);
    const again = this.since;
    for (const message of again) {
      const { Error: reason } = await this.attempt(message);
      if (reason !== undefined) throw new Error(`A message that was handled before now fails: ${reason}`);
    }
  }

  private takeImage(): void {
    if (this.since.length === 0 || !this.memory) return;
    this.image = imageOf(this.memory);
    this.since = [];
  }
}

/** Time is the message's, chance and duration are fixed: the same in every thread that evaluates the same message. */
async function withFixedWorld<T>(timestamp: number, work: () => Promise<T>): Promise<T> {
  const { log } = console;
  Date.now = () => timestamp;
  performance.now = () => 0;
  Math.random = () => 0.5;
  try {
    return await work();
  } finally {
    console.log = log; // the loader takes it away while it runs
  }
}

function readResult(raw: RawResult): EvaluationResult {
  if (raw.Error) return failed(describe(raw.Error));
  const result: EvaluationResult = {
    Messages: (raw.Messages ?? []).map(readMessage),
    Spawns: (raw.Spawns ?? []).map(readMessage),
    Assignments: raw.Assignments ?? [],
    Output: raw.Output ?? '',
  };
  const excess = excessOf(result);
  return excess === null ? result : failed(excess);
}

/** Processes put numbers and tables where texts belong; items carry texts only. */
function readMessage({ Target, Anchor, Data, Tags }: RawMessage): OutboundMessage {
  const target = describe(Target);
  return {
    ...(target ? { Target: target } : {}),
    Anchor: describe(Anchor),
    Data: describe(Data),
    Tags: (Array.isArray(Tags) ? Tags : []).map(({ name, value }) => ({
      name: describe(name),
      value: describe(value),
    })),
  };
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
