/**
 * The aos virtual machine: WebAssembly modules as AO's own compute units run them, kept hot instead of copied in and out for each message.
 * Only for worker threads: the loader it uses replaces its thread's clock and random numbers.
 */
import v8 from 'node:v8';
import type {
  EvaluationResult,
  MemoryChange,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  Vm,
  VmInstance,
  VmMessage,
} from '../../types.js';
import { excessOf, failed } from '../bounds.js';
import { KeptMemory } from '../image.js';

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

  readonly counted = false;

  /** @throws Error when the module is no WebAssembly of this format. */
  async load(module: Uint8Array, format: string, env: ProcessEnv, image: MemoryImage | null): Promise<VmInstance> {
    const instantiate = await loader(module, format);
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
  private readonly kept: KeptMemory;
  /** Memory to be put in place before the next message. */
  private pending: Uint8Array | null = null;

  constructor(
    private readonly instantiate: () => Promise<Handle>,
    private readonly env: ProcessEnv,
    private evaluate: Handle,
    image: MemoryImage | null,
  ) {
    this.kept = new KeptMemory(image);
    this.rewind();
  }

  async handle(message: VmMessage): Promise<EvaluationResult> {
    const result = await this.attempt(message);
    if (result.Error !== undefined) {
      await this.undo();
      return result;
    }
    this.since.push(message);
    if (this.since.length >= IMAGE_EVERY) this.keep();
    return result;
  }

  async dryRun(message: VmMessage): Promise<EvaluationResult> {
    this.keep();
    const result = await this.attempt({ ...message, 'Read-Only': true });
    await this.undo();
    return result;
  }

  snapshot(): Promise<MemoryImage> {
    this.keep();
    return Promise.resolve(this.kept.image());
  }

  checkpoint(): Promise<MemoryChange> {
    this.keep();
    return Promise.resolve(this.kept.checkpoint());
  }

  usage(): number {
    return 2 * this.kept.bytes + Math.max(0, (this.memory?.byteLength ?? 0) - this.kept.size);
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
    if (!this.memory || this.memory.byteLength !== this.kept.size) this.evaluate = await this.instantiate();
    this.rewind();
    const again = this.since;
    for (const message of again) {
      const { Error: reason } = await this.attempt(message);
      if (reason !== undefined) throw new Error(`A message that was handled before now fails: ${reason}`);
    }
  }

  /** The memory as it was kept, to be put in place before the next message. */
  private rewind(): void {
    if (this.kept.size === 0) return;
    this.pending = new Uint8Array(this.kept.size);
    this.kept.putBack(this.pending);
  }

  private keep(): void {
    if (this.since.length === 0 || !this.memory) return;
    this.kept.keep(new Uint8Array(this.memory));
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
