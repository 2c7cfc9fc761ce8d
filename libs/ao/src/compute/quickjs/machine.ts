/**
 * A QuickJS interpreter as a bare WebAssembly instance: the interpreter from npm's quickjs-wasmfile-release-sync, none of its JavaScript.
 * Everything it could ask of its host is refused or fixed, so what it computes depends on its memory and its input alone, and its whole state is
 * that memory.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PAGE_BYTES, type KeptMemory } from '../image.js';
import { endOf, noRoom, STACK_SLOTS, stepsNow } from '../host-work.js';
import { interpreter, meteredInterpreter } from '../interpreters.js';
import { FUEL, metered, STACK } from '../metering.js';
import { ProcessError } from '../traps.js';

/** Most memory one interpreter may have; beyond it JavaScript's own "out of memory" is thrown. */
export const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024;
/** Memory is taken in steps of this many bytes. */
const GROWTH_BYTES = 1024 * 1024;
/** Bytes to begin with: the interpreter's data and stack (5.1 MiB) and a first heap. It declares 16 MiB, which every process would be written down with. */
const FIRST_BYTES = 6 * 1024 * 1024;
/** Where the build below says how large its memory is at first: 256 pages, as two bytes of LEB128. */
const FIRST_PAGES = { before: Buffer.from([2, 1, 0x80, 2, 0x80, 0x80, 2]), at: 2 };

/** Steps (passes of loops, calls and stretches of instructions, in the interpreter's own code) one message may take: two seconds of work. Nothing in JavaScript can catch their end. */
export const WORK_LIMIT = 2_000_000_000;

/** Bytes of its own stack at which the interpreter throws "stack overflow", which JavaScript can catch: some 700 calls deep, before the slots end. */
const SCRIPT_STACK_BYTES = 128 * 1024;

/** The build whose imports and exports are named below; its names are single letters that another build gives to other things. */
const BUILD_SHA256 = '105c3bed22d457e43e3d1c3c1c6959fda62a8fe06f0fc8a985303c3a2be72232';

/** What a context has: all that the standard names, but no Date. From JS_AddIntrinsic* in the order of the interface's flags. */
const INTRINSICS = {
  baseObjects: 1,
  eval: 4,
  stringNormalize: 8,
  regExp: 16,
  regExpCompiler: 32,
  json: 64,
  proxy: 128,
  mapSet: 256,
  typedArrays: 512,
  promise: 1024,
  bigInt: 2048,
};
const INTRINSIC_FLAGS = Object.values(INTRINSICS).reduce((all, flag) => all | flag, 0);

interface QuickJs {
  [FUEL]: WebAssembly.Global;
  [STACK]: WebAssembly.Global;
  start(): void;
  malloc(bytes: number): number;
  free(pointer: number): void;
  newRuntime(): number;
  setMaxStackSize(runtime: number, bytes: number): void;
  newContext(runtime: number, intrinsics: number): number;
  undefined(): number;
  newString(context: number, text: number): number;
  getString(context: number, value: number): number;
  freeString(context: number, text: number): void;
  freeValue(context: number, value: number): void;
  call(context: number, callee: number, self: number, count: number, values: number): number;
  /** The error, when the value is an exception; else 0. */
  exceptionOf(context: number, value: number): number;
  evaluate(context: number, code: number, size: number, name: number, detectModule: number, flags: number): number;
  isJobPending(runtime: number): number;
  runJobs(runtime: number, most: number, context: number): number;
  stackRestore(pointer: number): void;
  stackGet(): number;
}

const EXPORTS: Readonly<Record<Exclude<keyof QuickJs, typeof FUEL | typeof STACK>, string>> = {
  start: 'u',
  malloc: 'v',
  free: 'M',
  newRuntime: 'K',
  setMaxStackSize: 'D',
  newContext: 'N',
  undefined: 'E',
  newString: '_',
  getString: '$',
  freeString: 'S',
  freeValue: 'P',
  call: 'ma',
  exceptionOf: 'na',
  evaluate: 'pa',
  isJobPending: 'fa',
  runJobs: 'ga',
  stackRestore: 'Ma',
  stackGet: 'Oa',
};

/** Names of imports, for telling what was asked for. */
const IMPORTS: Readonly<Record<string, string>> = {
  b: 'an assertion',
  c: 'writing a file',
  d: 'closing a file',
  g: 'a module',
  h: 'a module',
  i: 'an interruption',
  j: 'a timer',
  l: 'keeping the program alive',
  m: 'local time',
  n: 'a time zone',
  o: 'seeking in a file',
  q: 'the end of the program',
  r: 'the end of the program',
  s: 'a function of the host',
  t: 'a reference to the host',
};

/** JavaScript threw, or was ended: the call had no result. Effects on the memory are the caller's to undo. */
export class JavaScriptError extends ProcessError {
  constructor(message: string) {
    super(message);
    this.name = 'JavaScriptError';
  }
}

const quickJsModule = (): WebAssembly.Module => interpreter('quickjs', compile);

const compile = (): WebAssembly.Module => new WebAssembly.Module(meteredInterpreter('quickjs', meteredQuickJs));

/** The interpreter with its steps counted. @throws Error when the package holds another build */
export function meteredQuickJs(): Uint8Array {
  const entry = createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync');
  const binary = fs.readFileSync(path.join(path.dirname(entry), 'emscripten-module.wasm'));
  const sha256 = createHash('sha256').update(binary).digest('hex');
  if (sha256 !== BUILD_SHA256)
    throw new Error(`@jitl/quickjs-wasmfile-release-sync holds another build (${sha256}): install version 0.32.0.`);
  const pages = FIRST_BYTES / PAGE_BYTES;
  binary.set([0x80 | (pages % 128), pages >> 7], binary.indexOf(FIRST_PAGES.before) + FIRST_PAGES.at);
  return metered(binary, { maxMemoryBytes: MEMORY_LIMIT_BYTES, stackSlots: STACK_SLOTS });
}

export class QuickJsMachine {
  private readonly linear = new WebAssembly.Memory({
    initial: FIRST_BYTES / PAGE_BYTES,
    maximum: MEMORY_LIMIT_BYTES / PAGE_BYTES,
  });
  private readonly js: QuickJs;
  private readonly runtime: number;
  private readonly context: number;
  /** Steps the last call took. */
  workDone = 0;

  /** A fresh interpreter: every fresh one has the same memory. @param workLimit steps a call may take */
  constructor(private readonly workLimit = WORK_LIMIT) {
    const { exports } = new WebAssembly.Instance(quickJsModule(), { a: { a: this.linear, ...this.imports() } });
    const named = Object.entries(EXPORTS).map(([name, letters]) => [name, exports[letters]]);
    this.js = { ...Object.fromEntries(named), [FUEL]: exports[FUEL], [STACK]: exports[STACK] } as QuickJs;
    this.refuel();
    this.js.start();
    this.runtime = this.js.newRuntime();
    this.js.setMaxStackSize(this.runtime, SCRIPT_STACK_BYTES);
    this.context = this.js.newContext(this.runtime, INTRINSIC_FLAGS);
  }

  /** Runs a script once, and what it has promised. @throws JavaScriptError; TakesLong, only in a hurry */
  run(source: string, name: string, inHurry = false): void {
    this.guarded(() => {
      this.js.freeValue(this.context, this.evaluate(source, name));
      this.runJobs();
    }, inHurry);
  }

  /** Value of a script, kept; the number stands for it, the same in every machine that took the same ones. @throws JavaScriptError */
  take(source: string, name: string): number {
    return this.guarded(() => this.evaluate(source, name), false);
  }

  /**
   * Calls a taken function with a text, does what it has promised, and calls it again with an empty text for its result. No text may contain U+0000.
   * @throws JavaScriptError; TakesLong, only in a hurry
   */
  call(callee: number, argument: string, inHurry = false): string {
    return this.guarded(() => {
      this.callOnce(callee, argument);
      this.runJobs();
      return this.callOnce(callee, '');
    }, inHurry);
  }

  /** The memory as it is: the whole state between calls. */
  get memory(): Uint8Array {
    return this.bytes();
  }

  /** Puts the memory back as it was kept, of this or of another machine. */
  restore(kept: KeptMemory): void {
    const missing = kept.size - this.linear.buffer.byteLength;
    if (missing > 0) this.linear.grow(missing / PAGE_BYTES);
    kept.putBack(this.bytes());
  }

  private evaluate(source: string, name: string): number {
    const code = this.write(source);
    const label = this.write(name);
    const value = this.js.evaluate(this.context, code, Buffer.byteLength(source), label, 0, 0);
    for (const pointer of [code, label]) this.js.free(pointer);
    this.throwIfException(value);
    return value;
  }

  private callOnce(callee: number, argument: string): string {
    const text = this.write(argument);
    const value = this.js.newString(this.context, text);
    this.js.free(text);
    const values = this.allocate(4);
    this.bytes().writeUInt32LE(value, values);
    const result = this.js.call(this.context, callee, this.js.undefined(), 1, values);
    this.js.free(values);
    this.js.freeValue(this.context, value);
    this.throwIfException(result);
    const read = this.read(result);
    this.js.freeValue(this.context, result);
    return read;
  }

  /** What promises wait for, until nothing waits. A job that throws has nobody to tell. */
  private runJobs(): void {
    if (this.js.isJobPending(this.runtime) === 0) return;
    const last = this.allocate(4);
    while (this.js.isJobPending(this.runtime) !== 0)
      this.js.freeValue(this.context, this.js.runJobs(this.runtime, 1, last));
    this.js.free(last);
  }

  private throwIfException(value: number): void {
    const error = this.js.exceptionOf(this.context, value);
    if (error !== 0) throw new JavaScriptError(this.read(error));
  }

  /** After an error the memory is anything: whoever called puts it back, or lets the machine go. */
  private guarded<T>(work: () => T, inHurry: boolean): T {
    const steps = stepsNow(this.workLimit, inHurry);
    this.refuel(steps);
    const stack = this.js.stackGet();
    try {
      return work();
    } catch (error) {
      const end = endOf(this.js[FUEL], steps === this.workLimit, { depth: this.js[STACK], most: STACK_SLOTS });
      throw end === null ? error : new JavaScriptError(end);
    } finally {
      this.workDone = steps - this.js[FUEL].value;
      this.refuel();
      this.js.stackRestore(stack);
    }
  }

  private refuel(steps = this.workLimit): void {
    this.js[FUEL].value = steps;
    this.js[STACK].value = 0;
  }

  private allocate(bytes: number): number {
    const pointer = this.js.malloc(bytes);
    if (pointer === 0) throw new JavaScriptError('out of memory');
    return pointer;
  }

  /** A text that ends with a zero byte, as C has them. */
  private write(text: string): number {
    const content = Buffer.from(`${text}\0`);
    const pointer = this.allocate(content.length);
    this.bytes().set(content, pointer);
    return pointer;
  }

  private read(value: number): string {
    const text = this.js.getString(this.context, value);
    if (text === 0) return '';
    const bytes = this.bytes();
    const read = bytes.toString('utf8', text, bytes.indexOf(0, text));
    this.js.freeString(this.context, text);
    return read;
  }

  private bytes(): Buffer {
    return Buffer.from(this.linear.buffer);
  }

  private imports(): Record<string, WebAssembly.ImportValue> {
    const refused = Object.entries(IMPORTS).map(([letter, what]) => [
      letter,
      () => {
        throw new JavaScriptError(`${what} is not available to a process`);
      },
    ]);
    return {
      ...(Object.fromEntries(refused) as Record<string, WebAssembly.ImportValue>),
      // An empty environment; a clock that stands still: a process knows time from its messages.
      f: (count: number, size: number) => {
        this.bytes().writeUInt32LE(0, count);
        this.bytes().writeUInt32LE(0, size);
        return 0;
      },
      e: () => 0,
      p: () => 0,
      k: (wanted: number) => this.grow(wanted >>> 0),
    };
  }

  private grow(wanted: number): number {
    if (wanted > MEMORY_LIMIT_BYTES) return 0;
    const missing = Math.ceil(wanted / GROWTH_BYTES) * GROWTH_BYTES - this.linear.buffer.byteLength;
    try {
      if (missing > 0) this.linear.grow(missing / PAGE_BYTES);
    } catch (error) {
      throw noRoom(error);
    }
    return 1;
  }
}
