/**
 * aos in a worker. The modules are not part of this repository: those found in `.cache/aos` (or named by ISTHMUS_AOS_MODULE) are run;
 * what needs none is proven without.
 */
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot } from '@isthmus/store';
import type { ProcessEnv, Tag, VmMessage } from '../../types.js';
import { WorkerPool } from '../worker-pool.js';

const PROCESS = 'p'.repeat(43);
const env: ProcessEnv = {
  Process: { Id: PROCESS, Owner: 'owner', Tags: [] },
  Module: { Id: 'm'.repeat(43), Owner: 'o', Tags: [] },
};
const tagsOf = (tags: Record<string, string>): Tag[] => Object.entries(tags).map(([name, value]) => ({ name, value }));
let nonce = 0;
function message(tags: Record<string, string>, data = '', id = `id-${nonce}`): VmMessage {
  nonce += 1;
  return {
    Id: id,
    Owner: 'owner',
    From: 'owner',
    Target: PROCESS,
    Anchor: '',
    Data: data,
    Tags: tagsOf(tags),
    Module: env.Module.Id,
    Epoch: 0,
    Nonce: nonce,
    Timestamp: 1_700_000_000_000 + nonce,
    'Block-Height': '1',
    'Hash-Chain': '',
    Cron: false,
  };
}
const spawn = () => message({ Type: 'Process' }, '', PROCESS);
const evaluate = (source: string) => message({ Action: 'Eval' }, source);
const COUNTER = `n = 0
Handlers.add("count", "Count", function(m) n = n + 1; ao.send({ Target = m.From, Data = tostring(n) .. " " .. tostring(os.time()) .. " " .. tostring(math.random(1000000)), Number = 7 }) end)
Handlers.add("spin", "Spin", function() while true do end end)`;

function modules(): [string, string][] {
  const folder = path.join(projectRoot(), '.cache/aos');
  const found = fs.existsSync(folder) ? fs.readdirSync(folder).map((f) => path.join(folder, f)) : [];
  return [...found, process.env['ISTHMUS_AOS_MODULE'] ?? '']
    .filter((f) => f.endsWith('.wasm'))
    .map((f) => [f, formatOf(f)]);
}
/** The published 32-bit modules are named so. */
function formatOf(file: string): string {
  return file.endsWith('_32.wasm') ? 'wasm32-unknown-emscripten4' : 'wasm64-unknown-emscripten-draft_2024_02_15';
}

let pool: WorkerPool;
beforeEach(() => (pool = new WorkerPool(1)));
afterEach(() => pool.stop());

it('a module that is no WebAssembly is refused, and its worker lives on', async () => {
  const format = 'wasm32-unknown-emscripten4';
  await expect(pool.open(PROCESS, Buffer.from('no module'), format, env, null)).rejects.toThrow(/WebAssembly/);
  await pool.open('lua', Buffer.from('function handle() end'), 'isthmus-lua-5.4', env, null);
  expect(await pool.handle('lua', [spawn()])).toMatchObject([{ Messages: [] }]);
});

for (const [file, format] of modules()) {
  describe(path.basename(file), () => {
    const data = async (...messages: VmMessage[]) =>
      (await pool.handle(PROCESS, messages)).map((r) => r.Error ?? r.Messages[0]?.Data ?? '');

    it('keeps state, undoes failures, dry-runs without effect, goes on from a snapshot exactly', async () => {
      const module = fs.readFileSync(file);
      await pool.open(PROCESS, module, format, env, null);
      await data(spawn(), evaluate(COUNTER));
      const [first] = await pool.handle(PROCESS, [message({ Action: 'Count' })]);
      expect(first?.Messages[0]?.Data).toMatch(/^1 /);
      expect(first?.Messages[0]?.Tags).toContainEqual({ name: 'Number', value: '7' });
      const failing = evaluate('n = 100; error("on purpose")');
      expect((await pool.handle(PROCESS, [failing]))[0]?.Error).toMatch(/on purpose/);
      const dry = message({ Action: 'Count' });
      expect((await pool.dryRun(PROCESS, dry)).Messages[0]?.Data).toMatch(/^2 /);
      expect((await pool.dryRun(PROCESS, dry)).Messages[0]?.Data).toMatch(/^2 /);
      const image = await pool.snapshot(PROCESS);
      const next = [message({ Action: 'Count' }), message({ Action: 'Count' })];
      const went = await data(...next);
      expect(went.map((d) => d.split(' ')[0])).toEqual(['2', '3']);
      await pool.close(PROCESS);
      await pool.open(PROCESS, module, format, env, image);
      expect(await data(...next)).toEqual(went);
    });

    it('I13 an endless loop costs only its worker, in bounded time', async () => {
      const hasty = new WorkerPool(1, 3000);
      await hasty.open(PROCESS, fs.readFileSync(file), format, env, null);
      await hasty.handle(PROCESS, [spawn(), evaluate(COUNTER)]);
      await expect(hasty.handle(PROCESS, [message({ Action: 'Spin' })])).rejects.toThrow(/longer than/);
      expect(hasty.isOpen(PROCESS)).toBe(false);
      await hasty.stop();
    });
  });
}
