/** An interpreter is compiled once for all threads that begin after it was. */
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot } from '@isthmus/store';
import { beginInterpreters, interpreter, interpretersKnown, learnInterpreter } from './interpreters.js';
import { LUA_FORMAT } from './lua/lua-vm.js';
import { meteredLua } from './lua/machine.js';
import { meteredQuickJs } from './quickjs/machine.js';
import { WorkerPool } from './worker-pool.js';

const EMPTY = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const empty = () => new WebAssembly.Module(EMPTY);
const never = (): WebAssembly.Module => {
  throw new Error('It is compiled already.');
};

/** As a thread that nobody gave anything: others of this process may have compiled some, and some of these are none. */
const fromNothing = (): void => beginInterpreters(new Map(), () => undefined);
beforeEach(fromNothing);
afterEach(fromNothing);

it('what one thread has compiled the main thread learns, for threads begun later', async () => {
  expect(interpretersKnown().has('lua')).toBe(false);
  const pool = new WorkerPool(1);
  const nobody = { Id: '', Owner: '', Tags: [] };
  const open = (process: string) =>
    pool.open(process, Buffer.from('function handle() end'), LUA_FORMAT, { Process: nobody, Module: nobody }, null);
  await open('a');
  const learnt = interpretersKnown().get('lua');
  expect(WebAssembly.Module.imports(learnt as WebAssembly.Module).length).toBeGreaterThan(0);
  await pool.stop();
  await open('b'); // in a thread that was given it, which has nothing to tell
  expect(interpretersKnown().get('lua')).toBe(learnt);
  await pool.stop();
});

it('is compiled once where nobody gave it, told once, and tried again when it did not compile', () => {
  const told: string[] = [];
  beginInterpreters(new Map(), (name) => void told.push(name));
  expect(() => interpreter('quickjs', never)).toThrow('already');
  expect([interpretersKnown().has('quickjs'), told]).toEqual([false, []]);
  const module = interpreter('quickjs', empty);
  expect(interpreter('quickjs', never)).toBe(module);
  expect(told).toEqual(['quickjs']);
});

it('given or learnt from another thread, it is not compiled here', () => {
  const [given, learnt] = [empty(), empty()];
  beginInterpreters(new Map([['lua', given]]), never);
  expect(interpreter('lua', never)).toBe(given);
  learnInterpreter('lua', learnt);
  expect(interpreter('lua', never)).toBe(learnt);
});

it.each([
  ['lua', meteredLua],
  ['quickjs', meteredQuickJs],
])('%s counts the same steps, metered by the build or here', (name, metered) => {
  const built = path.join(projectRoot(), 'dist/libs/ao/src/compute', `${name}.metered.wasm`);
  expect(Buffer.compare(fs.readFileSync(built), metered())).toBe(0);
});
