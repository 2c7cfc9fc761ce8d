/** A process runs a module that is known; on aos it is somebody's unless the token's source comes with its spawn. */
import {
  createItem,
  ethereumSigner,
  type EvaluationResult,
  type Item,
  type ScheduleEntry,
  type Tag,
} from '@isthmus/ao';
import { sourceHash } from '@isthmus/store';
import { assertBoot, OwnedProcess, UnknownModule } from './boot-check.js';

const LEAN = 'isthmus-lua-5.4';
const SPAWNER = ethereumSigner(`0x${'1'.repeat(64)}`);
const SOURCE = '-- the token';
const sources = new Set([sourceHash(Buffer.from(SOURCE))]);
const FINE: EvaluationResult = { Messages: [], Spawns: [], Assignments: [], Output: '' };
const tag = (name: string, value: string): Tag => ({ name, value });
const BOOT = [tag('On-Boot', 'Data')];

async function spawned(tags: Tag[], data: string): Promise<ScheduleEntry> {
  const message = await createItem({ tags, data }, SPAWNER);
  return { process: message.id, nonce: 0, assignment: message, message };
}
const moduleOf = (format: string, data: string): Promise<Item> =>
  createItem({ tags: [tag('Module-Format', format)], data }, SPAWNER);
const pinned = (module: Item) => ({ sources, modules: new Set([module.id]) });
const NONE = { sources, modules: new Set<string>() };

it('A9 a process on the lean machine is nobody’s from the beginning, when its module is a known source or is named', async () => {
  const spawn = await spawned([], '');
  const own = await moduleOf(LEAN, SOURCE);
  assertBoot(spawn, FINE, own, NONE);
  const other = await moduleOf(LEAN, `${SOURCE} mint("me")`);
  expect(() => assertBoot(spawn, FINE, other, NONE)).toThrow(UnknownModule);
  expect(() => assertBoot(spawn, FINE, other, pinned(own))).toThrow(/name it in modules/);
  assertBoot(spawn, FINE, other, pinned(other));
});

it.each(['wasm32-unknown-emscripten4', 'wasm64-unknown-emscripten-draft_2024_02_15'])(
  'A9 on %s it is when the module is named and the spawn brings a source that is known',
  async (format) => {
    const [module, spawn] = [await moduleOf(format, 'aos'), await spawned(BOOT, SOURCE)];
    assertBoot(spawn, FINE, module, pinned(module));
    expect(() => assertBoot(spawn, FINE, module, NONE)).toThrow(UnknownModule);
  },
);

it('A9 a machine nobody here knows proves nothing, even when the module is named and says it boots', async () => {
  const spawn = await spawned(BOOT, SOURCE);
  for (const format of ['isthmus-js', 'isthmus-evm', 'isthmus-lua-5.4x', 'xwasm32-unknown-emscripten4', '']) {
    const module = await moduleOf(format, SOURCE);
    expect(() => assertBoot(spawn, FINE, module, pinned(module))).toThrow(UnknownModule);
  }
});

it.each<[string, Tag[], string, Partial<EvaluationResult>]>([
  ['of another source', BOOT, `${SOURCE} Owner = "me"`, {}],
  ['of another item', [tag('On-Boot', 'B'.repeat(43))], SOURCE, {}],
  ['named in another case', [tag('on-boot', 'Data')], SOURCE, {}],
  ['named twice', [...BOOT, tag('ON-BOOT', 'B'.repeat(43))], SOURCE, {}],
  ['that failed', BOOT, SOURCE, { Error: 'spawn tag' }],
  ['that is left to a later Eval, before which anybody may come', [], '', {}],
])('A9 on aos a boot %s is refused', async (_, tags, data, result) => {
  const [module, spawn] = [await moduleOf('wasm32-unknown-emscripten4', 'aos'), await spawned(tags, data)];
  expect(() => assertBoot(spawn, { ...FINE, ...result }, module, pinned(module))).toThrow(OwnedProcess);
});
