/** A module that does not load gives a process whose every message fails with the reason, the same in each copy; a host that cannot load it gives none. */
import type { MemoryImage, ProcessEnv, Vm, VmMessage } from '../types.js';
import { loadProcess } from './loading.js';
import { HostFailure, ProcessError } from './traps.js';
import { aosModule, I32 } from './wasm-module.js';
import { WorkerPool } from './worker-pool.js';

const [LUA, JS, AOS, EVM] = ['isthmus-lua-5.4', 'isthmus-js-quickjs', 'wasm32-unknown-emscripten4', 'isthmus-evm'];
const env: ProcessEnv = {
  Process: { Id: 'p'.repeat(43), Owner: 'o', Tags: [] },
  Module: { Id: 'm'.repeat(43), Owner: 'o', Tags: [] },
};
const message = (nonce: number): VmMessage => ({
  Id: 'x',
  Owner: 'o',
  From: 'o',
  Target: 'p'.repeat(43),
  Anchor: '',
  Data: '',
  Tags: [],
  Module: 'm'.repeat(43),
  Epoch: 0,
  Nonce: nonce,
  Timestamp: 1,
  'Block-Height': '0',
  'Hash-Chain': '',
  Cron: false,
});
const ANSWER = [0x41, 0x80, 0x08];
const function_ = (body: number[]) => [{ name: 'begin', body }];
const trapping = aosModule(ANSWER, { functions: function_([0]), sections: [{ id: 8, body: [0] }] });
const outside = aosModule(ANSWER, { data: { at: 1_000_000, bytes: Buffer.from('x') } });
const asking = aosModule(ANSWER, { imports: [{ module: 'env', name: 'evil', params: [I32] }] });

describe('A13 A16 I13 what fails to load', () => {
  let pool: WorkerPool;
  beforeAll(() => {
    pool = new WorkerPool(1);
  });
  afterAll(() => pool.stop());

  it.each([
    ['Lua that is none', LUA, 'this is not lua (', "module:1: syntax error near 'is'"],
    ['Lua that throws', LUA, 'error("on purpose")', 'module:1: on purpose'],
    ['Lua that goes on for ever', LUA, 'while true do end', 'out of work'],
    ['JavaScript that is none', JS, 'x = ', "SyntaxError: unexpected token in expression: ''"],
    ['JavaScript that throws', JS, 'throw "on purpose"', 'on purpose'],
    ['JavaScript that goes too deep', JS, '(function f() { f() + 1 })()', 'stack overflow'],
    ['bytes that are no WebAssembly', AOS, 'no module', 'This is no valid WebAssembly module.'],
    ['a module that asks for more', AOS, asking, 'The module asks for env.evil, which no process has.'],
    ['wide memory', AOS, aosModule([0x42, 0], { wide: true }), 'addresses of another width than its format says.'],
    ['data outside the memory', AOS, outside, 'memory access out of bounds'],
    ['a start function', AOS, trapping, 'A module of this machine has no start function'],
    ['hex that is none', EVM, '0xno', 'The module begins with 0x, but is not hex.'],
  ])('is a process that fails every message alike: %s', async (name, format, module, reason) => {
    const bytes = Buffer.from(module);
    await pool.open(name, bytes, format, env, null);
    const results = await pool.handle(name, [message(0), message(1)]);
    const error = results[0]?.Error;
    expect(error).toMatch(/^The module does not load: /);
    expect(error).toContain(reason);
    expect(results[1]).toEqual(results[0]);
    expect(results[0]).toEqual({ Messages: [], Spawns: [], Assignments: [], Output: '', Error: error });
    if (reason === 'out of work') return; // it takes its time, each time
    expect(await pool.dryRun(name, message(2))).toEqual(results[0]);
    // As after an eviction, from its checkpoint.
    const image = await pool.snapshot(name);
    await pool.close(name);
    await pool.open(name, bytes, format, env, image);
    expect(await pool.handle(name, [message(2)])).toEqual([results[0]]);
  });

  it('has a reason of bounded length, and harms nobody beside it', async () => {
    await pool.open('good', Buffer.from('function handle() return "fine" end'), LUA, env, null);
    await pool.open('long', Buffer.from('error(("x"):rep(1000000))'), LUA, env, null);
    const [result] = await pool.handle('long', [message(0)]);
    expect(result?.Error?.length).toBeLessThanOrEqual(1000);
    expect(await pool.handle('good', [message(0)])).toMatchObject([{ Output: 'fine' }]);
  });
});

describe('what a host cannot load', () => {
  const failing = (error: Error): Vm => ({
    formats: ['x'],
    yields: true,
    load: () => {
      throw error;
    },
  });
  const image: MemoryImage = { size: 65_536, pages: new Map() };
  const load = (error: Error, from: MemoryImage | null) =>
    loadProcess(failing(error), new Uint8Array(), 'x', env, from);

  it('is no result: not for want of memory, not for what nobody knows, and not for what has loaded before', async () => {
    await expect(load(new HostFailure('no memory'), null)).rejects.toThrow('no memory');
    await expect(load(new RangeError('odd'), null)).rejects.toThrow(HostFailure);
    await expect(load(new ProcessError('syntax'), image)).rejects.toThrow('syntax');
    const bad = await load(new ProcessError('syntax'), null);
    expect(await bad.handle(message(0))).toMatchObject({ Error: 'The module does not load: syntax' });
  });
});
