/** A process on aos is somebody's until the token's source is live in it: what must come first, and what spoils it. */
import {
  createItem,
  ethereumSigner,
  type EvaluationResult,
  type ScheduleEntry,
  type Signer,
  type Tag,
} from '@isthmus/ao';
import { BootCheck, OwnedProcess, sourceHash } from './boot-check.js';

const AOS = 'wasm32-unknown-emscripten4';
const SPAWNER = ethereumSigner(`0x${'1'.repeat(64)}`);
const OTHER = ethereumSigner(`0x${'2'.repeat(64)}`);
const SOURCE = '-- the token';
const SOURCES = new Set([sourceHash(Buffer.from(SOURCE))]);
const FINE: EvaluationResult = { Messages: [], Spawns: [], Assignments: [], Output: '' };

let process: string;
async function slot(nonce: number, tags: Tag[], data: string, signer: Signer = SPAWNER): Promise<ScheduleEntry> {
  const message = await createItem({ ...(nonce > 0 ? { target: process } : {}), tags, data }, signer);
  if (nonce === 0) process = message.id;
  return { process, nonce, assignment: message, message };
}
const tag = (name: string, value: string): Tag => ({ name, value });
const EVAL = [tag('Action', 'Eval')];
const BOOT = [tag('On-Boot', 'Data')];

it('A9 a process on the lean machine is nobody’s from the beginning', async () => {
  const check = new BootCheck('isthmus-lua-5.4', new Set());
  expect(check.live).toBe(true);
  check.see(await slot(0, [], ''), FINE);
  check.see(await slot(1, EVAL, 'anything'), FINE);
  expect(check.live).toBe(true);
});

it('A9 on aos it is once its spawn, or its spawner’s first message, has loaded a source that is known', async () => {
  const booted = new BootCheck(AOS, SOURCES);
  expect(booted.live).toBe(false);
  booted.see(await slot(0, BOOT, SOURCE), FINE);
  expect(booted.live).toBe(true);
  booted.see(await slot(1, EVAL, 'whatever its spawner says now'), FINE);

  const loaded = new BootCheck(AOS, SOURCES);
  loaded.see(await slot(0, [], ''), FINE);
  expect(loaded.live).toBe(false);
  loaded.see(await slot(1, EVAL, SOURCE), FINE);
  expect(loaded.live).toBe(true);
});

it.each<[string, Tag[], string, Partial<EvaluationResult>]>([
  ['of another source', BOOT, `${SOURCE} Owner = "me"`, {}],
  ['of another item', [tag('On-Boot', 'B'.repeat(43))], SOURCE, {}],
  ['named in another case', [tag('on-boot', 'Data')], SOURCE, {}],
  ['named twice', [...BOOT, tag('ON-BOOT', 'B'.repeat(43))], SOURCE, {}],
  ['that failed', BOOT, SOURCE, { Error: 'spawn tag' }],
])('A9 a boot %s is refused', async (_, tags, data, result) => {
  const check = new BootCheck(AOS, SOURCES);
  const spawn = await slot(0, tags, data);
  expect(() => check.see(spawn, { ...FINE, ...result })).toThrow(OwnedProcess);
  expect(check.live).toBe(false);
});

it.each<[string, Tag[], string, Signer, Partial<EvaluationResult>]>([
  ['of another source', EVAL, `${SOURCE} `, SPAWNER, {}],
  ['by somebody else', EVAL, SOURCE, OTHER, {}],
  ['that is no Eval', [tag('Action', 'Info')], SOURCE, SPAWNER, {}],
  ['that says two things', [...EVAL, tag('action', 'Info')], SOURCE, SPAWNER, {}],
  ['in another’s name', [...EVAL, tag('From-Process', 'B'.repeat(43))], SOURCE, SPAWNER, {}],
  ['that failed', EVAL, SOURCE, SPAWNER, { Error: 'spawn tag' }],
])('A9 a first message %s is refused', async (_, tags, data, signer, result) => {
  const check = new BootCheck(AOS, SOURCES);
  check.see(await slot(0, [], ''), FINE);
  const first = await slot(1, tags, data, signer);
  expect(() => check.see(first, { ...FINE, ...result })).toThrow(OwnedProcess);
  expect(check.live).toBe(false);
});

it('A9 what was said to another process and assigned to this one loads nothing', async () => {
  const check = new BootCheck(AOS, SOURCES);
  check.see(await slot(0, [], ''), FINE);
  const entry = await slot(1, EVAL, SOURCE);
  const elsewhere = { ...entry, message: { ...entry.message, target: 'B'.repeat(43) } };
  expect(() => check.see(elsewhere, FINE)).toThrow(OwnedProcess);
});
