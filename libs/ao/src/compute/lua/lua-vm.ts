/** The lean Lua virtual machine: a process is a Lua source with a global `handle(msg)`. */
import type {
  EvaluationResult,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  Tag,
  Vm,
  VmInstance,
  VmMessage,
} from '../../types.js';
import { excessOf, failed, MAX_RESULT_BYTES, MAX_SENT, TOO_LARGE, TOO_MANY } from '../bounds.js';
import { KeptMemory, writtenPages } from '../image.js';
import { ReplayedProcess, type MemoryMachine } from '../replayed-process.js';
import { LuaError, LuaMachine } from './machine.js';
import { PRELUDE } from './prelude.js';

/** Module-Format of what runs here. Its work is counted, so that it ends by itself, at the same step everywhere. */
export const LUA_FORMAT = 'isthmus-lua-5.4';

export class LuaVm implements Vm {
  readonly formats = [LUA_FORMAT];

  readonly yields = true;

  /** @throws LuaError when the module's source does not load. */
  load(
    module: Uint8Array,
    _format: string,
    env: ProcessEnv,
    image: MemoryImage | null,
    inHurry = false,
  ): Promise<VmInstance> {
    const fresh = () => new LuaScript();
    const started = image ? null : fresh();
    started?.begin(Buffer.from(module).toString('utf8'), env, inHurry);
    return Promise.resolve(new ReplayedProcess(fresh, started, image));
  }
}

/** Where the ways into a program are, and the memory of one that has not begun: made once, then put into each. */
interface Template {
  place: number;
  setEnvironment: number;
  handle: number;
  memory: KeptMemory;
  /** Pages that are not all zero in a machine nothing has run in. */
  written: ReadonlySet<number>;
}

let template: Template | undefined;

function prepared(): Template {
  const machine = new LuaMachine();
  machine.run(PRELUDE, 'isthmus');
  const [setEnvironment, handle] = [machine.take('__environment'), machine.take('__handle')];
  const memory = new KeptMemory(null);
  memory.keep(machine.memory);
  const written = writtenPages(new LuaMachine(machine.place).memory);
  return { place: machine.place, setEnvironment, handle, memory, written };
}

/** An interpreter with the prelude run, and the two ways into it, which the process itself cannot reach. */
class LuaScript implements MemoryMachine {
  private readonly template = (template ??= prepared());
  private readonly machine = new LuaMachine(this.template.place);
  private empty = true;

  begin(source: string, { Process, Module }: ProcessEnv, inHurry: boolean): void {
    this.restore(this.template.memory);
    writer.text(Process.Id).text(Process.Owner).text(Module.Id).tags(Process.Tags);
    this.machine.call(this.template.setEnvironment, writer.take());
    this.machine.run(source, 'module', inHurry);
  }

  get memory(): Uint8Array {
    return this.machine.memory;
  }

  get workDone(): number {
    return this.machine.workDone;
  }

  restore(kept: KeptMemory): void {
    this.machine.restore(kept, this.empty ? this.template.written : undefined);
    this.empty = false;
  }

  evaluate(message: VmMessage, inHurry: boolean): EvaluationResult {
    const result = readResult(this.machine.call(this.template.handle, messageBytes(message), inHurry));
    const excess = excessOf(result);
    return excess === null ? result : failed(excess);
  }
}

/** Puts texts and numbers one behind the other into a piece of memory that is used again for the next. */
class Writer {
  private bytes = Buffer.allocUnsafe(64 * 1024);
  private at = 0;

  /** What was written since the last time; good until something is written again. */
  take(): Buffer {
    const taken = this.bytes.subarray(0, this.at);
    this.at = 0;
    if (taken.length > LARGE) this.bytes = Buffer.allocUnsafe(64 * 1024);
    return taken;
  }

  number(value: number): this {
    this.reserve(4);
    this.at = this.bytes.writeUInt32LE(value, this.at);
    return this;
  }

  long(value: number): this {
    this.reserve(8);
    this.at = this.bytes.writeBigInt64LE(BigInt(value), this.at);
    return this;
  }

  flag(value: boolean): this {
    this.reserve(1);
    this.bytes[this.at] = value ? 1 : 0;
    this.at += 1;
    return this;
  }

  text(value: string): this {
    this.reserve(4 + 3 * value.length); // at most, in UTF-8
    const size = this.bytes.write(value, this.at + 4);
    this.bytes.writeUInt32LE(size, this.at);
    this.at += 4 + size;
    return this;
  }

  tags(tags: readonly Tag[]): this {
    this.number(tags.length);
    for (const { name, value } of tags) this.text(name).text(value);
    return this;
  }

  private reserve(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.at + size));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }
}

/** A message of this size leaves no memory behind that is kept for the next. */
const LARGE = 1024 * 1024;
const writer = new Writer();

function messageBytes(m: VmMessage): Buffer {
  for (const text of [m.Id, m.From, m.Owner, m.Target, m.Anchor, m.Data, m.Module, m['Block-Height']])
    writer.text(text);
  return writer
    .long(m.Nonce)
    .long(m.Timestamp)
    .flag(m.Cron)
    .flag(m['Read-Only'] ?? false)
    .tags(m.Tags)
    .take();
}

function readResult(bytes: Buffer): EvaluationResult {
  let at = 0;
  const number = () => bytes.readUInt32LE((at += 4) - 4);
  const string = () => {
    const size = number();
    return bytes.toString('utf8', at, (at += size));
  };
  const counts = [number(), number(), number()] as const;
  // Seen before anything is read: a process may have filled its whole memory with what it sends.
  if (counts.some((count) => count > MAX_SENT)) throw new LuaError(TOO_MANY);
  if (bytes.length > MAX_RESULT_BYTES) throw new LuaError(TOO_LARGE);
  const times = <T>(count: number, read: () => T): T[] => Array.from({ length: count }, read);
  const output = string();
  const sent = (): OutboundMessage => {
    const [target, anchor, data] = [string(), string(), string()];
    const tags = times(number(), (): Tag => ({ name: string(), value: string() }));
    return { ...(target ? { Target: target } : {}), Anchor: anchor, Tags: tags, Data: data };
  };
  const assigned = () => ({ Message: string(), Processes: times(number(), string) });
  const [messages, spawns, assignments] = counts;
  return {
    Messages: times(messages, sent),
    Spawns: times(spawns, sent),
    Assignments: times(assignments, assigned),
    Output: output,
  };
}
