/**
 * A Lua 5.4 interpreter as a bare WebAssembly instance: the interpreter from npm's wasmoon, none of its JavaScript. Everything it could
 * ask of its host is refused or fixed, so what it computes depends on its memory and its input alone, and its whole state is that memory.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PAGE_BYTES, type KeptMemory } from '../image.js';
import { charge, endOf, JUMP_COST, MAX_PARTS, noRoom, PART_COST, stepsNow } from '../host-work.js';
import { interpreter, meteredInterpreter } from '../interpreters.js';
import { FUEL, metered } from '../metering.js';
import { LONGJMP, ProcessError } from '../traps.js';

/** Most memory one interpreter may have; beyond it Lua's own "not enough memory" is raised. */
export const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024;

/** Memory to begin with: the interpreter's data and stack (1.1 MiB) and a first heap. Then it grows in steps. */
const FIRST_BYTES = 2 * 1024 * 1024;
const GROWTH_BYTES = 1024 * 1024;

/**
 * Steps (passes of loops, calls and stretches of instructions, in C and Lua alike) one call into an interpreter may take: two seconds of
 * work, some four at worst. Lua's own count of instructions sees nothing of what one of them makes C do (a pattern, a sort, a copy); this
 * one sees all, and nothing in Lua can catch it.
 */
export const WORK_LIMIT = 2_000_000_000;

/** Where Lua keeps what only its host may see (LUAI_MAXSTACK is 1,000,000 in this build). */
const LUA_REGISTRY = -1_001_000;

interface LuaExports {
  memory: WebAssembly.Memory;
  [FUEL]: WebAssembly.Global;
  __indirect_function_table: WebAssembly.Table;
  __wasm_call_ctors(): void;
  emscripten_stack_init(): void;
  stackSave(): number;
  stackRestore(pointer: number): void;
  stackAlloc(bytes: number): number;
  setThrew(threw: number, value: number): void;
  malloc(bytes: number): number;
  free(pointer: number): void;
  luaL_newstate(): number;
  luaL_openlibs(state: number): void;
  luaL_ref(state: number, table: number): number;
  lua_rawgeti(state: number, table: number, index: bigint): number;
  lua_pushnil(state: number): void;
  lua_setglobal(state: number, name: number): void;
  luaL_loadbufferx(state: number, code: number, size: number, name: number, mode: number): number;
  lua_pcallk(
    state: number,
    args: number,
    results: number,
    handler: number,
    context: number,
    continuation: number,
  ): number;
  lua_getglobal(state: number, name: number): number;
  lua_pushlstring(state: number, bytes: number, length: number): number;
  lua_tolstring(state: number, index: number, length: number): number;
  lua_settop(state: number, index: number): void;
}

/** The code asked for something no computation may have (a file, a clock, the end of the program). */
export class LuaTrap extends ProcessError {
  constructor(message: string) {
    super(message);
    this.name = 'LuaTrap';
  }
}

/** Lua raised an error: the call had no result. Effects on the memory are the caller's to undo. */
export class LuaError extends ProcessError {
  constructor(message: string) {
    super(message);
    this.name = 'LuaError';
  }
}

const luaModule = (): WebAssembly.Module => interpreter('lua', compile);

const compile = (): WebAssembly.Module => new WebAssembly.Module(meteredInterpreter('lua', meteredLua));

/** The interpreter with its steps counted. */
export function meteredLua(): Uint8Array {
  const folder = path.dirname(createRequire(import.meta.url).resolve('wasmoon'));
  const binary = fs.readFileSync(path.join(folder, 'glue.wasm'));
  return metered(binary, { maxMemoryBytes: MEMORY_LIMIT_BYTES, firstMemoryBytes: FIRST_BYTES });
}

const EINVAL = 28;
const EPERM = -63; // "operation not permitted" in WASI's numbering, negated as system calls return it

export class LuaMachine {
  private readonly lua: LuaExports;
  private readonly state: number;
  /** Steps the last call took. */
  workDone = 0;

  /**
   * A fresh interpreter with the standard libraries open: every fresh one has the same memory.
   * @param state where the interpreter is in a memory that is to be put in place; without it, one is made
   */
  constructor(state?: number) {
    const instance = new WebAssembly.Instance(luaModule(), this.imports());
    this.lua = instance.exports as unknown as LuaExports;
    this.refuel();
    this.lua.emscripten_stack_init();
    this.state = state ?? this.begin();
  }

  /** Where the interpreter is in the memory: the same place in every one. */
  get place(): number {
    return this.state;
  }

  private begin(): number {
    this.lua.__wasm_call_ctors();
    const state = this.lua.luaL_newstate();
    this.lua.luaL_openlibs(state);
    return state;
  }

  /** Runs a chunk of source once. @throws LuaError; TakesLong, only in a hurry */
  run(source: string, name: string, inHurry = false): void {
    this.guarded(() => {
      const code = this.write(Buffer.from(source));
      const label = this.write(Buffer.from(`=${name}\0`));
      const mode = this.write(Buffer.from('t\0')); // source only: precompiled code could break the interpreter
      const loaded = this.lua.luaL_loadbufferx(this.state, code, Buffer.byteLength(source), label, mode);
      for (const pointer of [code, label, mode]) this.lua.free(pointer);
      if (loaded !== 0 || this.lua.lua_pcallk(this.state, 0, 0, 0, 0, 0) !== 0)
        throw new LuaError(this.top().toString('utf8'));
    }, inHurry);
  }

  /** Takes a global function out of the program's reach; the number calls it, the same in every machine that took the same ones. */
  take(name: string): number {
    const label = this.write(Buffer.from(`${name}\0`));
    this.lua.lua_getglobal(this.state, label);
    const reference = this.lua.luaL_ref(this.state, LUA_REGISTRY);
    this.lua.lua_pushnil(this.state);
    this.lua.lua_setglobal(this.state, label);
    this.lua.free(label);
    return reference;
  }

  /** Calls a taken function with one string, gives its one string result. @throws LuaError, LuaTrap; TakesLong, only in a hurry */
  call(reference: number, argument: Buffer, inHurry = false): Buffer {
    return this.guarded(() => {
      this.lua.lua_rawgeti(this.state, LUA_REGISTRY, BigInt(reference));
      const bytes = this.write(argument);
      this.lua.lua_pushlstring(this.state, bytes, argument.length);
      this.lua.free(bytes);
      const failed = this.lua.lua_pcallk(this.state, 1, 1, 0, 0, 0) !== 0;
      const result = this.top();
      if (failed) throw new LuaError(result.toString('utf8'));
      return result;
    }, inHurry);
  }

  /** The memory as it is: the whole state between calls. */
  get memory(): Uint8Array {
    return this.bytes();
  }

  /** Puts the memory back as it was kept, of this or of another machine. @param written its pages that are not all zero, if known */
  restore(kept: KeptMemory, written?: ReadonlySet<number>): void {
    const missing = kept.size - this.lua.memory.buffer.byteLength;
    if (missing > 0) this.lua.memory.grow(Math.ceil(missing / PAGE_BYTES));
    kept.putBack(this.bytes(), written);
  }

  private bytes(): Buffer {
    return Buffer.from(this.lua.memory.buffer);
  }

  /** After an error Lua's own stack is left as it is: whoever called puts the memory back, or lets the machine go. */
  private guarded<T>(work: () => T, inHurry: boolean): T {
    const steps = stepsNow(WORK_LIMIT, inHurry);
    this.lua[FUEL].value = steps;
    const stack = this.lua.stackSave();
    try {
      const result = work();
      this.lua.lua_settop(this.state, 0);
      return result;
    } catch (error) {
      const end = endOf(this.lua[FUEL], steps === WORK_LIMIT);
      throw end === null ? error : new LuaError(end);
    } finally {
      this.workDone = steps - this.lua[FUEL].value;
      this.refuel();
      this.lua.stackRestore(stack);
    }
  }

  private refuel(): void {
    this.lua[FUEL].value = WORK_LIMIT;
  }

  private write(content: Buffer): number {
    const pointer = this.lua.malloc(Math.max(content.length, 1));
    if (pointer === 0) throw new LuaError('not enough memory');
    this.bytes().set(content, pointer);
    return pointer;
  }

  /** The string on top of Lua's stack. */
  private top(): Buffer {
    const sizeAt = this.lua.stackAlloc(16);
    const pointer = this.lua.lua_tolstring(this.state, -1, sizeAt);
    if (pointer === 0) return Buffer.from('(an error that is not a string)');
    const size = this.bytes().readUInt32LE(sizeAt);
    return Buffer.from(this.bytes().subarray(pointer, pointer + size));
  }

  private imports(): WebAssembly.Imports {
    const refused = (name: string) => () => {
      throw new LuaTrap(`${name} is not available to a process`);
    };
    const denied = () => EPERM;
    const env: Record<string, WebAssembly.ImportValue> = {
      // Time stands still: a process knows time from its messages. It also seeds Lua's string hashes, the same everywhere.
      emscripten_date_now: () => 0,
      _emscripten_get_now_is_monotonic: () => 1,
      emscripten_resize_heap: (wanted: number) => this.grow(wanted >>> 0),
      _emscripten_throw_longjmp: () => {
        charge(this.lua[FUEL], JUMP_COST);
        // oxlint-disable-next-line no-throw-literal -- the compiled code's own protocol, see invoke_vii
        throw LONGJMP;
      },
      invoke_vii: (index: number, a: number, b: number) => this.invoke(index, a, b),
      _tzset_js: () => undefined,
    };
    const wasi: Record<string, WebAssembly.ImportValue> = {
      environ_sizes_get: (count: number, size: number) => {
        this.bytes().writeUInt32LE(0, count);
        this.bytes().writeUInt32LE(0, size);
        return 0;
      },
      environ_get: () => 0,
      fd_write: (_fd: number, parts: number, count: number, written: number) => this.discard(parts, count, written),
    };
    const given: Record<string, Record<string, WebAssembly.ImportValue>> = { env, wasi_snapshot_preview1: wasi };
    for (const { module, name } of WebAssembly.Module.imports(luaModule())) {
      const space = (given[module] ??= {});
      space[name] ??= name.startsWith('__syscall') || name.startsWith('fd_') ? denied : refused(name);
    }
    return given;
  }

  private grow(wanted: number): number {
    if (wanted > MEMORY_LIMIT_BYTES) return 0;
    const missing = Math.ceil(wanted / GROWTH_BYTES) * GROWTH_BYTES - this.lua.memory.buffer.byteLength;
    try {
      if (missing > 0) this.lua.memory.grow(missing / PAGE_BYTES);
    } catch (error) {
      throw noRoom(error);
    }
    return 1;
  }

  private invoke(index: number, a: number, b: number): void {
    const stack = this.lua.stackSave();
    try {
      (this.lua.__indirect_function_table.get(index) as (a: number, b: number) => void)(a, b);
    } catch (thrown) {
      this.lua.stackRestore(stack);
      if (thrown !== LONGJMP) throw thrown;
      this.lua.setThrew(1, 0);
    }
  }

  /** What a process prints goes nowhere. */
  private discard(parts: number, count: number, written: number): number {
    if (count > MAX_PARTS) return EINVAL;
    charge(this.lua[FUEL], count * PART_COST);
    let total = 0;
    for (let i = 0; i < count; i += 1) total += this.bytes().readUInt32LE(parts + 8 * i + 4);
    this.bytes().writeUInt32LE(total, written);
    return 0;
  }
}
