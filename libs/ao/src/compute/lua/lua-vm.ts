/** The lean Lua virtual machine: a process is a Lua source with a global `handle(msg)`. */
import type {
  EvaluationResult,
  MemoryChange,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  Tag,
  Vm,
  VmInstance,
  VmMessage,
} from '../../types.js';
import { excessOf, failed, MAX_RESULT_BYTES, MAX_SENT, TOO_LARGE, TOO_MANY } from '../bounds.js';
import { KeptMemory } from '../image.js';
import { LuaError, LuaMachine, WORK_LIMIT } from './machine.js';
import { PRELUDE } from './prelude.js';

/** Messages handled since the last image before a new one is taken: how much an error costs to undo. */
const IMAGE_EVERY = 512;

/** Module-Format of what runs here. Its work is counted, so that it ends by itself, at the same step everywhere. */
export const LUA_FORMAT = 'isthmus-lua-5.4';

export class LuaVm implements Vm {
  readonly formats = [LUA_FORMAT];

  readonly counted = true;

  /** @throws LuaError when the module's source does not load. */
  load(module: Uint8Array, _format: string, env: ProcessEnv, image: MemoryImage | null): Promise<VmInstance> {
    return Promise.resolve(new LuaProcess(image ? prepare() : start(module, env), image));
  }
}

/** An interpreter with the prelude run, and the two ways into it, which the process itself cannot reach. */
interface Prepared {
  machine: LuaMachine;
  setEnvironment: number;
  handle: number;
}

function prepare(): Prepared {
  const machine = new LuaMachine();
  machine.run(PRELUDE, 'isthmus');
  return { machine, setEnvironment: machine.take('__environment'), handle: machine.take('__handle') };
}

function start(module: Uint8Array, env: ProcessEnv): Prepared {
  const prepared = prepare();
  const { machine, setEnvironment } = prepared;
  machine.call(
    setEnvironment,
    Buffer.concat([text(env.Process.Id), text(env.Process.Owner), text(env.Module.Id), tagBytes(env.Process.Tags)]),
  );
  machine.run(Buffer.from(module).toString('utf8'), 'module');
  return prepared;
}

/**
 * One Lua process. An error in `handle` undoes the message: the last image is put back and what came since is handled again, which
 * gives the same memory, since nothing but messages goes in.
 */
class LuaProcess implements VmInstance {
  private readonly kept: KeptMemory;
  private since: Buffer[] = [];
  /** Steps of the messages since the image: doing them again must not take longer than one message may. */
  private workSince = 0;

  constructor(
    private prepared: Prepared,
    image: MemoryImage | null,
  ) {
    this.kept = new KeptMemory(image);
    if (image) this.machine.restore(this.kept);
    else this.keep();
  }

  handle(message: VmMessage): Promise<EvaluationResult> {
    const bytes = messageBytes(message);
    const result = this.attempt(bytes);
    if (result.Error === undefined) {
      this.since.push(bytes);
      this.workSince += this.machine.workDone;
      if (this.since.length >= IMAGE_EVERY || this.workSince >= WORK_LIMIT) this.keep();
    } else {
      this.undo();
    }
    return Promise.resolve(result);
  }

  dryRun(message: VmMessage): Promise<EvaluationResult> {
    this.keepNew();
    const result = this.attempt(messageBytes({ ...message, 'Read-Only': true }));
    this.rewind();
    return Promise.resolve(result);
  }

  snapshot(): Promise<MemoryImage> {
    this.keepNew();
    return Promise.resolve(this.kept.image());
  }

  checkpoint(): Promise<MemoryChange> {
    this.keepNew();
    return Promise.resolve(this.kept.checkpoint());
  }

  usage(): number {
    return 2 * this.kept.bytes + Math.max(0, this.machine.memory.length - this.kept.size);
  }

  close(): Promise<void> {
    return Promise.resolve(); // memory is all it holds
  }

  private attempt(message: Buffer): EvaluationResult {
    try {
      const result = readResult(this.machine.call(this.prepared.handle, message));
      const excess = excessOf(result);
      return excess === null ? result : failed(excess);
    } catch (error) {
      // Whatever ended it, Lua's own error or a WebAssembly trap (a stack overflow, say): the message failed, the process lives on.
      const reason = error instanceof LuaError || error instanceof Error ? error.message : String(error);
      return failed(reason);
    }
  }

  private get machine(): LuaMachine {
    return this.prepared.machine;
  }

  /** A memory that grew cannot shrink: it goes, with its machine. */
  private rewind(): void {
    if (this.machine.memory.length !== this.kept.size) this.prepared = prepare();
    this.machine.restore(this.kept);
  }

  private undo(): void {
    this.rewind();
    for (const message of this.since) this.machine.call(this.prepared.handle, message);
    this.keepNew(); // the next failure costs one copy only
  }

  private keepNew(): void {
    if (this.since.length > 0) this.keep();
  }

  private keep(): void {
    this.kept.keep(this.machine.memory);
    this.since = [];
    this.workSince = 0;
  }
}

function text(value: string): Buffer {
  return blob(Buffer.from(value));
}

function blob(bytes: Buffer): Buffer {
  const size = Buffer.allocUnsafe(4);
  size.writeUInt32LE(bytes.length);
  return Buffer.concat([size, bytes]);
}

function tagBytes(tags: readonly Tag[]): Buffer {
  const count = Buffer.allocUnsafe(4);
  count.writeUInt32LE(tags.length);
  return Buffer.concat([count, ...tags.flatMap(({ name, value }) => [text(name), text(value)])]);
}

function messageBytes(m: VmMessage): Buffer {
  const numbers = Buffer.allocUnsafe(18);
  numbers.writeBigInt64LE(BigInt(m.Nonce), 0);
  numbers.writeBigInt64LE(BigInt(m.Timestamp), 8);
  numbers[16] = m.Cron ? 1 : 0;
  numbers[17] = m['Read-Only'] ? 1 : 0;
  const texts = [m.Id, m.From, m.Owner, m.Target, m.Anchor, m.Data, m.Module, m['Block-Height']].map(text);
  return Buffer.concat([...texts, numbers, tagBytes(m.Tags)]);
}

function readResult(bytes: Buffer): EvaluationResult {
  let at = 0;
  const number = () => bytes.readUInt32LE((at += 4) - 4);
  const string = () => {
    const size = number();
    return bytes.toString('utf8', at, (at += size));
  };
  const count = number();
  // Seen before anything is read: a process may have filled its whole memory with what it sends.
  if (count > MAX_SENT) throw new LuaError(TOO_MANY);
  if (bytes.length > MAX_RESULT_BYTES) throw new LuaError(TOO_LARGE);
  const output = string();
  const messages: OutboundMessage[] = [];
  for (let i = 0; i < count; i += 1) {
    const target = string();
    const anchor = string();
    const data = string();
    const tags: Tag[] = Array.from({ length: number() }, () => ({ name: string(), value: string() }));
    messages.push({ ...(target ? { Target: target } : {}), Anchor: anchor, Tags: tags, Data: data });
  }
  return { Messages: messages, Spawns: [], Assignments: [], Output: output };
}
