/**
 * What an emscripten module finds around it. It has no files, no network, no clock but its message's time, no chance, no environment: what it
 * computes depends on its memory and its input alone. What it asks for beyond that fails when it is called, or the module is refused
 * when it is no part of what such modules are given at all.
 */
import { BYTES_PER_UNIT_LOG2, FUEL, INVOKE, STACK } from '../metering.js';
import { ModuleRefused, type Signature } from '../wasm-code.js';
import { charge, JUMP_COST, MAX_PARTS, noRoom, PART_COST } from '../host-work.js';
import { PAGE_BYTES } from '../image.js';
import { LONGJMP, OUT_OF_BOUNDS, ProcessError } from '../traps.js';
import { calendarOf, secondsOf, strftime, type Calendar } from './calendar.js';

/** The code asked for something no computation may have, or broke a rule of its runtime. */
export class AosTrap extends ProcessError {
  constructor(message: string) {
    super(message);
    this.name = 'AosTrap';
  }
}

/** The part of an instance that its host works with. */
export interface Hosted {
  memory: WebAssembly.Memory;
  /** Ways through its table, by the imports that stand for them. */
  invokers: ReadonlyMap<number, Invoker>;
  fuel: WebAssembly.Global;
  stack: WebAssembly.Global;
  /** Milliseconds: the time of the message. */
  now: number;
  wide: boolean;
  maxMemoryBytes: number;
  stackSave(): number | bigint;
  stackRestore(pointer: number | bigint): void;
  setThrew(threw: number | bigint, value: number): void;
  setHigh(high: number): void;
}

type Wasm = number | bigint;
type Invoker = (index: Wasm, ...args: Wasm[]) => unknown;
/** Numbers as the host uses them; a result of none is 0. */
type Given = (host: Hosted, ...args: number[]) => number | void;

/** Error numbers of WASI, which musl uses in emscripten. */
const [EBADF, EINVAL, ENOENT, ENOSYS, ENOTTY, EPERM, ESPIPE] = [8, 28, 44, 52, 59, 63, 70];
/** Most bytes of a format: Lua asks for one date's part at a time. */
const MAX_FORMAT = 256;
/** What dates cost, measured as in host-work.ts: a part of one is some objects and texts. */
const DATE_COST = 1500;
const CONVERSION_COST = 3000;

const refused = (what: string) => () => {
  throw new AosTrap(`${what} is not available to a process.`);
};
const fails = (error: number) => () => error;

/**
 * What modules are given: the parameters' kinds, then the result's, then what it does. `p` address or size, `i` int, `l` a 64-bit integer
 * (in 32-bit modules often its two halves), `d` double, `v` none.
 */
const GIVEN: Readonly<Record<string, [string, string, Given]>> = {
  emscripten_date_now: ['', 'd', (host) => host.now],
  emscripten_get_now: ['', 'd', () => 0],
  _emscripten_get_now_is_monotonic: ['', 'i', () => 1],
  _tzset_js: ['pppp', 'v', setTimeZone],
  _gmtime_js: ['lp', 'v', writeCalendar],
  _localtime_js: ['lp', 'v', writeCalendar],
  _mktime_js: ['p', 'l', normalized],
  _timegm_js: ['p', 'l', normalized],
  strftime: ['pppp', 'p', writeTime],
  strftime_l: ['ppppp', 'p', writeTime],
  emscripten_resize_heap: ['p', 'i', grow],
  emscripten_get_heap_max: ['', 'p', (host) => host.maxMemoryBytes],
  _emscripten_memcpy_js: ['ppp', 'v', copy],
  _emscripten_throw_longjmp: [
    '',
    'v',
    (host) => {
      charge(host.fuel, JUMP_COST);
      // oxlint-disable-next-line no-throw-literal -- the compiled code's own protocol, see invoke
      throw LONGJMP;
    },
  ],
  _abort_js: ['', 'v', refused('abort')],
  abort: ['', 'v', refused('abort')],
  exit: ['i', 'v', refused('exit')],
  proc_exit: ['i', 'v', refused('exit')],
  __assert_fail: ['ppip', 'v', refused('A failed assertion')],
  __cxa_throw: ['ppp', 'v', refused('An exception')],
  emscripten_err: ['p', 'v', () => 0],
  emscripten_out: ['p', 'v', () => 0],
  metering_gasUsed: ['', 'i', () => 0],
  // No shell: that there is none, or that running a command fails.
  _emscripten_system: ['p', 'i', (_, command) => (command === 0 ? 0 : -ENOSYS)],
  environ_sizes_get: ['pp', 'i', noEnvironment],
  environ_get: ['pp', 'i', () => 0],
  fd_write: ['ippp', 'i', discard],
  fd_read: ['ippp', 'i', fails(EBADF)],
  fd_close: ['i', 'i', fails(EBADF)],
  fd_seek: ['ilip', 'i', fails(ESPIPE)],
  fd_sync: ['i', 'i', fails(EBADF)],
  fd_fdstat_get: ['ip', 'i', fails(EBADF)],
  __syscall_openat: ['ipip', 'i', fails(-ENOENT)],
  __syscall_ioctl: ['iip', 'i', fails(-ENOTTY)],
  // Files on Arweave: none is found.
  __asyncjs__weavedrive_open: ['pp', 'i', () => 0],
  __asyncjs__weavedrive_read: ['ipi', 'i', refused('WeaveDrive')],
  __asyncjs__weavedrive_close: ['i', 'i', refused('WeaveDrive')],
};

const I32 = 0x7f;
const I64 = 0x7e;
const F64 = 0x7c;

/** Names of what modules are given. */
export const givenNames = (): string[] => Object.keys(GIVEN);

/** The functions a module asks for. @throws ModuleRefused when one is no part of what modules are given */
export function importsFor(
  wanted: readonly { module: string; name: string; signature: Signature }[],
  host: Hosted,
): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = Object.create(null) as WebAssembly.Imports;
  for (const [position, { module, name, signature }] of wanted.entries()) {
    const space = (imports[module] ??= Object.create(null) as Record<string, WebAssembly.ImportValue>);
    const known = module === 'env' || module === 'wasi_snapshot_preview1';
    const given = known ? givenFor(name, signature, host, position) : null;
    if (!given) throw new ModuleRefused(`The module asks for ${module}.${name}, which no process has.`);
    space[name] = given;
  }
  return imports;
}

function givenFor(name: string, signature: Signature, host: Hosted, position: number): WebAssembly.ImportValue | null {
  if (/^invoke_[vijfd]+$/.test(name)) return invoke(host, position, signature);
  if (Object.hasOwn(GIVEN, name)) return adapted(name, signature, host);
  // Whatever else of a system there is: it may be called, and fails.
  if (!/^(__syscall_|fd_)/.test(name) || signature.results.some((type) => type === I64)) return null;
  return fails(name.startsWith('fd_') ? EBADF : -EPERM);
}

/** Calls what setjmp guards: a longjmp ends here, anything else goes on to whoever called the module. */
function invoke(host: Hosted, position: number, { results }: Signature): WebAssembly.ImportValue {
  const nothing = results[0] === I64 ? 0n : undefined;
  return (index: Wasm, ...args: Wasm[]): unknown => {
    const called = host.invokers.get(position);
    if (!called) throw new AosTrap('A module may not call through its host while it begins.');
    const [stack, depth] = [host.stackSave(), host.stack.value];
    try {
      return called(index, ...args);
    } catch (thrown) {
      if (thrown !== LONGJMP) throw thrown;
      host.stackRestore(stack);
      host.stack.value = depth;
      host.setThrew(host.wide ? 1n : 1, 0);
      return nothing;
    }
  };
}

/** A given function as this module calls it: addresses of its width, 64-bit integers as it passes them. */
function adapted(name: string, signature: Signature, host: Hosted): WebAssembly.ImportValue | null {
  const [kinds, result, run] = GIVEN[name] as [string, string, Given];
  const readers = readersFor(kinds, signature.params);
  if (!readers || (result === 'v' && signature.results.length > 0)) return null;
  const wideResult = signature.results[0] === I64;
  return (...values: Wasm[]): Wasm | undefined => {
    const given = run(host, ...readers.map((read) => read(values))) ?? 0;
    if (result === 'v') return undefined;
    if (wideResult) return BigInt(Math.trunc(given));
    if (result === 'l') host.setHigh(Math.floor(given / 2 ** 32) | 0);
    return result === 'd' ? given : given | 0;
  };
}

/** How to read each argument; null when the module passes others. */
function readersFor(kinds: string, params: readonly number[]): ((values: Wasm[]) => number)[] | null {
  const readers: ((values: Wasm[]) => number)[] = [];
  let at = 0;
  for (const kind of kinds) {
    const position = at;
    const type = params[at];
    const halves = kind === 'l' && type !== I64;
    at += halves ? 2 : 1;
    if (type === undefined || (kind === 'd') !== (type === F64)) return null;
    if (halves) readers.push((v) => Number(v[position + 1]) * 2 ** 32 + (Number(v[position]) >>> 0));
    else if (kind === 'p') readers.push((v) => address(v[position] as Wasm));
    else readers.push((v) => Number(v[position]));
  }
  return at === params.length ? readers : null;
}

/** An address or a size, which no module means to be negative. */
export function address(value: Wasm): number {
  return typeof value === 'bigint' ? Number(BigInt.asUintN(64, value)) : value >>> 0;
}

const bytesOf = (host: Hosted): Buffer => Buffer.from(host.memory.buffer);

const stepsForBytes = (bytes: number): number => Math.ceil(bytes / 2 ** BYTES_PER_UNIT_LOG2);

/** The memory, when all of these bytes are in it. @throws AosTrap when they are not */
function bytesAt(host: Hosted, at: number, size: number): Buffer {
  const memory = bytesOf(host);
  if (at + size > memory.length) throw new AosTrap(OUT_OF_BOUNDS);
  return memory;
}

/** The text at an address, up to its zero. @throws AosTrap when it has none within `limit` bytes */
export function textAt(memory: Buffer, at: number, limit: number): string {
  const end = memory.subarray(at, at + limit + 1).indexOf(0);
  if (end < 0) throw new AosTrap(`A text has no end within ${limit} bytes.`);
  return memory.toString('utf8', at, at + end);
}

/** @throws RangeError beyond the largest size */
export function growMemory(memory: WebAssembly.Memory, bytes: number): void {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  try {
    memory.grow(pages);
  } catch (error) {
    // Newer engines take a bigint where addresses have 64 bits.
    if (!(error instanceof TypeError)) throw error;
    memory.grow(BigInt(pages));
  }
}

function grow(host: Hosted, wanted: number): number {
  if (wanted > host.maxMemoryBytes) return 0;
  const missing = wanted - host.memory.buffer.byteLength;
  try {
    if (missing > 0) growMemory(host.memory, missing);
  } catch (error) {
    throw noRoom(error);
  }
  return 1;
}

function copy(host: Hosted, to: number, from: number, size: number): void {
  charge(host.fuel, stepsForBytes(size));
  // As far as it is within the memory: modules copy nothing to nowhere when they are out of memory, and go on.
  bytesOf(host).copyWithin(to, from, from + size);
}

/** What a process prints goes nowhere. */
function discard(host: Hosted, file: number, parts: number, count: number, written: number): number {
  if (file !== 1 && file !== 2) return EBADF;
  if (count > MAX_PARTS) return EINVAL;
  charge(host.fuel, count * PART_COST);
  const [word, pair] = host.wide ? [8, 16] : [4, 8];
  let total = 0;
  for (let i = 0; i < count; i += 1) total += readWord(host, parts + i * pair + word);
  writeWord(host, total, written);
  return 0;
}

function noEnvironment(host: Hosted, count: number, size: number): number {
  writeWord(host, 0, count);
  writeWord(host, 0, size);
  return 0;
}

function readWord(host: Hosted, at: number): number {
  const memory = bytesAt(host, at, host.wide ? 8 : 4);
  return host.wide ? Number(memory.readBigUInt64LE(at)) : memory.readUInt32LE(at);
}

function writeWord(host: Hosted, value: number, at: number): void {
  const memory = bytesAt(host, at, host.wide ? 8 : 4);
  if (host.wide) memory.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
  else memory.writeUInt32LE(value >>> 0, at);
}

const UTC = Buffer.from('UTC\0');

function setTimeZone(host: Hosted, offset: number, summer: number, standardName: number, summerName: number): void {
  writeWord(host, 0, offset);
  bytesAt(host, summer, 4).writeInt32LE(0, summer);
  for (const name of [standardName, summerName]) bytesAt(host, name, UTC.length).set(UTC, name);
}

const FIELDS = ['second', 'minute', 'hour', 'day', 'month', 'year', 'weekday', 'yearday'] as const;

/** C's struct tm: nine ints, then the offset from UTC as a long. */
function writeCalendar(host: Hosted, seconds: number, at: number): void {
  charge(host.fuel, DATE_COST);
  const date = calendarOf(seconds);
  if (!date) throw new AosTrap('A date is too far away.');
  const memory = bytesAt(host, at, 36);
  FIELDS.forEach((field, i) => memory.writeInt32LE(date[field], at + 4 * i));
  memory.writeInt32LE(0, at + 32);
  writeWord(host, 0, at + (host.wide ? 40 : 36));
}

function readCalendar(host: Hosted, at: number): Calendar {
  charge(host.fuel, DATE_COST);
  const memory = bytesAt(host, at, 32);
  return Object.fromEntries(FIELDS.map((field, i) => [field, memory.readInt32LE(at + 4 * i)])) as Record<
    (typeof FIELDS)[number],
    number
  >;
}

/** mktime: the date's parts put into their ranges, and its seconds. */
function normalized(host: Hosted, at: number): number {
  const seconds = secondsOf(readCalendar(host, at));
  if (seconds === null) return -1;
  writeCalendar(host, seconds, at);
  return seconds;
}

function writeTime(host: Hosted, to: number, size: number, format: number, date: number): number {
  const wanted = textAt(bytesOf(host), format, MAX_FORMAT);
  charge(host.fuel, CONVERSION_COST * wanted.split('%').length);
  const text = Buffer.from(`${strftime(wanted, readCalendar(host, date))}\0`);
  if (text.length > size) return 0;
  text.copy(bytesAt(host, to, text.length), to);
  return text.length - 1;
}

/** Exports that the host calls while the module waits for it, by what they are for. */
const CALLED = {
  stackSave: ['emscripten_stack_get_current', 'stackSave'],
  stackRestore: ['_emscripten_stack_restore', 'stackRestore'],
  setThrew: ['setThrew'],
  setHigh: ['_emscripten_tempret_set', 'setTempRet0'],
} as const;

/** What the host calls of a module, at any time: parameters and result, in the words of GIVEN. */
const CALLABLE: readonly (readonly [readonly string[], string, string])[] = [
  [['handle'], 'pp', 'p'],
  [['emscripten_stack_init'], '', 'v'],
  [['__wasm_call_ctors'], '', 'v'],
  [['_emscripten_stack_alloc', 'stackAlloc'], 'p', 'p'],
  [CALLED.stackSave, '', 'p'],
  [CALLED.stackRestore, 'p', 'v'],
  [CALLED.setThrew, 'pi', 'v'],
  [CALLED.setHigh, 'i', 'v'],
];

/** What the host calls takes and gives what it is given and asked: else the engine would say so, in its own words. @throws ModuleRefused */
export function checkExports(exports: ReadonlyMap<string, Signature>, wide: boolean): void {
  const types = (kinds: string) => Array.from(kinds.replace('v', ''), (kind) => (kind === 'p' && wide ? I64 : I32));
  for (const [names, kinds, result] of CALLABLE)
    for (const name of names) {
      const its = exports.get(name);
      if (its && (its.params.join() !== types(kinds).join() || its.results.join() !== types(result).join()))
        throw new ModuleRefused(`The module’s ${name} takes or gives something else than such a function does.`);
    }
}

/** Which of them a function of the host calls. */
export function hostCalls(name: string): readonly string[] {
  if (name.startsWith('invoke_')) return [...CALLED.stackSave, ...CALLED.stackRestore, ...CALLED.setThrew];
  return Object.hasOwn(GIVEN, name) && GIVEN[name]?.[1] === 'l' ? CALLED.setHigh : [];
}

/** An instance's exports as its host works with them. @throws ModuleRefused when one is missing */
export function hostedBy(
  exports: Record<string, unknown>,
): Pick<Hosted, 'memory' | 'invokers' | 'fuel' | 'stack' | 'stackSave' | 'stackRestore' | 'setThrew' | 'setHigh'> {
  const { memory } = exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new ModuleRefused('The module does not export its memory.');
  const setHigh = CALLED.setHigh.some((name) => name in exports);
  return {
    memory,
    invokers: new Map(
      Object.entries(exports).flatMap(([name, value]): [number, Invoker][] =>
        name.startsWith(INVOKE) ? [[Number(name.slice(INVOKE.length)), value as Invoker]] : [],
      ),
    ),
    fuel: exports[FUEL] as WebAssembly.Global,
    stack: exports[STACK] as WebAssembly.Global,
    stackSave: exported(exports, ...CALLED.stackSave) as Hosted['stackSave'],
    stackRestore: exported(exports, ...CALLED.stackRestore) as Hosted['stackRestore'],
    setThrew: exported(exports, ...CALLED.setThrew) as Hosted['setThrew'],
    setHigh: (setHigh ? exported(exports, ...CALLED.setHigh) : () => undefined) as Hosted['setHigh'],
  };
}

/** The first of these functions that a module has. @throws ModuleRefused when it has none */
export function exported(exports: Record<string, unknown>, ...names: string[]): (...args: Wasm[]) => Wasm {
  const found = names.map((name) => exports[name]).find((value) => typeof value === 'function');
  if (!found) throw new ModuleRefused(`The module does not export ${names.join(' or ')}.`);
  return found as (...args: Wasm[]) => Wasm;
}
