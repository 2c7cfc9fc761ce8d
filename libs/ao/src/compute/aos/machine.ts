/**
 * An aos module as a bare WebAssembly instance: metered, with a host that gives it nothing of the world. Between two messages its whole
 * state is its memory; what the code keeps in globals is put back before each message.
 */
import { createHash } from 'node:crypto';
import v8 from 'node:v8';
import type { VmMessage } from '../../types.js';
import { writtenPages, type KeptMemory } from '../image.js';
import { exportsOf, hasStart, GLOBAL, importsOf, memoryOf, metered } from '../metering.js';
import { ModuleRefused, type Signature } from '../wasm-code.js';
import { endOf, STACK_SLOTS, stepsNow } from '../host-work.js';
import { CompiledModules, NATIVE_FACTOR } from './compiled-modules.js';
import {
  address,
  checkExports,
  AosTrap,
  exported,
  growMemory,
  hostCalls,
  hostedBy,
  importsFor,
  textAt,
  type Hosted,
} from './host.js';

/**
 * Steps one message may take: one or two seconds of ordinary work, some ten of code made to be slow. A transfer of a token takes 700,000. The other
 * machines have twice as many, as their code is known.
 */
export const WORK_LIMIT = 1_000_000_000;
/** Most bytes of what a module answers: a largest result, each of its bytes written with an escape of two. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

interface Compiled {
  module: WebAssembly.Module;
  imports: { module: string; name: string; signature: Signature }[];
  wide: boolean;
  maxMemoryBytes: number;
  /** Pages of a fresh instance's memory that are not all zero: the same of every one. */
  written: ReadonlySet<number> | null;
}

const compiled = new CompiledModules<Compiled>();

export interface AosOptions {
  wide: boolean;
  maxMemoryBytes: number;
  /** Steps one message may take. */
  workLimit: number;
}

/** A module ready to run; compiled once in each thread. @throws ModuleRefused, WebAssembly.CompileError */
function compile(binary: Uint8Array, { wide, maxMemoryBytes }: AosOptions): Compiled {
  const key = `${createHash('sha256').update(binary).digest('hex')} ${wide} ${maxMemoryBytes}`;
  return compiled.of(key, () => ({
    module: compiledNew(binary, wide, maxMemoryBytes),
    bytes: NATIVE_FACTOR * binary.length,
  }));
}

function compiledNew(binary: Uint8Array, wide: boolean, maxMemoryBytes: number): Compiled {
  const code = metered(binary, { maxMemoryBytes, stackSlots: STACK_SLOTS, hostCalls });
  const memory = memoryOf(binary);
  if (memory.wide !== wide) throw new ModuleRefused('The module has addresses of another width than its format says.');
  // It would run before its host has its memory and its counter, and nobody could say why it ended.
  if (hasStart(binary))
    throw new ModuleRefused('A module of this machine has no start function: it begins by __wasm_call_ctors.');
  checkExports(exportsOf(binary), wide);
  return {
    module: new WebAssembly.Module(code),
    imports: importsOf(binary),
    wide,
    maxMemoryBytes: Math.min(maxMemoryBytes, memory.maximumBytes),
    written: null,
  };
}

type Wasm = number | bigint;

export class AosMachine {
  /** Steps the last message took. */
  workDone = 0;
  /** Pages that are not all zero in a fresh instance. */
  private readonly written: ReadonlySet<number>;

  private begun = false;
  private readonly host: Hosted;
  private readonly globals: { global: { value: Wasm }; rest: Wasm }[];
  private readonly evaluate: (...args: Wasm[]) => Wasm;
  private readonly stackAlloc: (...args: Wasm[]) => Wasm;

  private readonly workLimit: number;

  /** A fresh instance, its constructors run: every fresh one has the same memory. @throws ModuleRefused, WebAssembly.CompileError; TakesLong, only in a hurry */
  constructor(binary: Uint8Array, options: AosOptions, inHurry = false) {
    // Node 20 reads 64-bit memories, before they are narrowed, behind this flag, which counts for all threads: always set, or why a module is refused would depend on what ran before.
    v8.setFlagsFromString('--experimental-wasm-memory64');
    const code = compile(binary, options);
    this.workLimit = options.workLimit;
    const { module, imports, wide, maxMemoryBytes } = code;
    const host = { now: 0, wide, maxMemoryBytes } as Hosted;
    const { exports } = new WebAssembly.Instance(module, importsFor(imports, host));
    this.host = Object.assign(host, hostedBy(exports));
    this.evaluate = exported(exports, 'handle');
    this.stackAlloc = exported(exports, '_emscripten_stack_alloc', 'stackAlloc');
    this.begin(exports, inHurry);
    this.written = code.written ??= writtenPages(this.memory);
    this.globals = Object.keys(exports)
      .filter((name) => name.startsWith(GLOBAL))
      .map((name) => ({ global: exports[name] as { value: Wasm }, rest: (exports[name] as { value: Wasm }).value }));
  }

  get memory(): Uint8Array {
    return this.bytes();
  }

  /** Puts the memory back as it was kept, of this or of another machine of the same module. */
  restore(kept: KeptMemory): void {
    const missing = kept.size - this.memory.length;
    if (missing > 0) growMemory(this.host.memory, missing);
    kept.putBack(this.memory, this.begun ? undefined : this.written);
    this.begun = true;
  }

  /** What the module answers to a message. @throws AosTrap and WebAssembly's own errors; TakesLong, only in a hurry; the memory is then anyhow */
  answer(message: VmMessage, environment: string, inHurry: boolean): string {
    this.begun = true;
    for (const { global, rest } of this.globals) global.value = rest;
    this.host.now = message.Timestamp;
    return this.counted(() => {
      const texts = [JSON.stringify(message), environment].map((text) => this.pass(text));
      const at = address(this.evaluate(...texts));
      return textAt(this.bytes(), at, MAX_ANSWER_BYTES);
    }, inHurry);
  }

  private begin(exports: Record<string, unknown>, inHurry: boolean): void {
    this.counted(() => {
      exported(exports, 'emscripten_stack_init')();
      exported(exports, '__wasm_call_ctors')();
    }, inHurry);
  }

  private counted<T>(work: () => T, inHurry: boolean): T {
    const { fuel, stack } = this.host;
    const steps = stepsNow(this.workLimit, inHurry);
    fuel.value = steps;
    stack.value = 0;
    try {
      return work();
    } catch (error) {
      const end = endOf(fuel, steps === this.workLimit, { depth: stack, most: STACK_SLOTS });
      throw end === null ? error : new AosTrap(end);
    } finally {
      this.workDone = steps - fuel.value;
    }
  }

  /** Puts a text on the module's stack, as its compiler's own runtime does. */
  private pass(text: string): Wasm {
    const bytes = Buffer.from(`${text}\0`);
    const pointer = this.stackAlloc(this.host.wide ? BigInt(bytes.length) : bytes.length);
    const at = address(pointer);
    const memory = this.bytes();
    if (at + bytes.length > memory.length) throw new AosTrap('The message is larger than the module’s stack.');
    memory.set(bytes, at);
    return pointer;
  }

  private bytes(): Buffer {
    return Buffer.from(this.host.memory.buffer);
  }
}
