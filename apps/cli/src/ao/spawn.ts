/** `isthmus ao spawn`: publishes a module if it is given as a file, and spawns a process of it. */
import fs from 'node:fs';
import path from 'node:path';
import { tagList, type Signer, type Tag } from '@isthmus/ao';
import { projectRoot } from '@isthmus/store';
import { CommandError } from '../said.js';
import type { AoClient } from './client.js';
import type { SpawnOptions } from './options.js';
import { clientOf, dataOf, print, PROCESS_FAILED, readFile, signerFor, signItem } from './context.js';
import { evaluate } from './talk.js';
import { brief } from './text.js';

const ID = /^[A-Za-z0-9_-]{43}$/;
/** Where scripts/aos-module.mjs puts the module that runs without more. */
const AOS_FILE = '.cache/aos/aos2_0_4_32.wasm';
const WASM32 = 'wasm32-unknown-emscripten4';
const WASM64 = 'wasm64-unknown-emscripten-draft_2024_02_15';

/** Module-Format by what a file is called; of .wasm by its memory. */
const FORMATS: Readonly<Record<string, string>> = {
  '.lua': 'isthmus-lua-5.4',
  '.js': 'isthmus-js-quickjs',
  '.bin': 'isthmus-evm',
};

/** @throws CommandError; `PROCESS_FAILED` when the spawn or the code to evaluate ended in an Error */
export async function spawn(options: SpawnOptions): Promise<void> {
  const client = clientOf(options);
  const signer = signerFor(client, options);
  const code = options.eval === undefined ? null : readFile(options.eval).toString('utf8');
  const data = dataOf(options);
  const module = await moduleOf(client, options, signer);
  const { scheduler, messenger } = await client.units();
  const tags: Tag[] = [
    ...tagList({
      'Data-Protocol': 'ao',
      Variant: 'ao.TN.1',
      Type: 'Process',
      Module: module,
      Scheduler: scheduler,
      Authority: messenger,
    }),
    ...(options.name === undefined ? [] : tagList({ Name: options.name })),
    ...options.tag,
  ];
  const item = await signItem({ tags, data }, signer);
  await client.send(item.raw);
  const result = await client.result(item.id, item.id, options.wait);
  print(options.json, { process: item.id, module, error: result.Error ?? null }, () => item.id);
  if (result.Error !== undefined)
    throw new CommandError(
      `The process is spawned, but its spawn item failed: ${brief(result.Error, 500)}`,
      PROCESS_FAILED,
    );
  if (code !== null) await evaluate(item.id, code, options);
}

async function moduleOf(client: AoClient, { module, format }: SpawnOptions, signer: Signer): Promise<string> {
  if (module !== undefined && ID.test(module) && !fs.existsSync(module)) {
    if (format !== undefined)
      throw new CommandError('--format is for a module given as a file: a published one has its own.');
    return module;
  }
  const file = module ?? aosFile();
  const data = withPrefix(file, readFile(file));
  const tags = tagList({
    'Data-Protocol': 'ao',
    Variant: 'ao.TN.1',
    Type: 'Module',
    'Module-Format': format ?? formatOf(file, data),
    'Input-Encoding': 'JSON-1',
    'Output-Encoding': 'JSON-1',
    Name: path.basename(file, path.extname(file)),
  });
  // No anchor: the same file of the same name signed by the same key is the same module, where signing gives one signature.
  const item = await signItem({ tags, data, anchor: '' }, signer);
  await client.send(item.raw);
  return item.id;
}

/** solc writes hex without its 0x, by which the EVM tells it from bytes. */
function withPrefix(file: string, data: Buffer): Buffer {
  const isHex = path.extname(file) === '.bin' && /^[0-9a-fA-F\s]+$/.test(data.toString('latin1'));
  return isHex ? Buffer.concat([Buffer.from('0x'), data]) : data;
}

/** @throws CommandError when it is not here */
function aosFile(): string {
  const named = process.env['ISTHMUS_AOS_MODULE'];
  const file = named ?? path.join(projectRoot(), AOS_FILE);
  if (!fs.existsSync(file))
    throw new CommandError(
      'Name a module with --module, or have aos’ own here: "node scripts/aos-module.mjs" fetches it.',
    );
  return file;
}

/** @throws CommandError when the name does not tell */
function formatOf(file: string, data: Buffer): string {
  const extension = path.extname(file);
  if (extension === '.wasm') return wasmFormat(file, data);
  const format = FORMATS[extension];
  if (format === undefined)
    throw new CommandError(
      `${path.basename(file)} does not tell its virtual machine: name it with --format, such as ${Object.values(FORMATS).join(', ')}, ${WASM32}.`,
    );
  return format;
}

/** @throws CommandError for what is no WebAssembly, or has no memory of its own */
function wasmFormat(file: string, data: Buffer): string {
  const is64 = hasWideMemory(data);
  if (is64 === null)
    throw new CommandError(
      `${path.basename(file)} is no WebAssembly with a memory of its own: name its machine with --format.`,
    );
  return is64 ? WASM64 : WASM32;
}

const MEMORY_SECTION = 5;
const WIDE = 4;

/** Whether a module's memory has 64-bit addresses, as its memory section says; null when there is none. */
function hasWideMemory(data: Buffer): boolean | null {
  if (!data.subarray(0, 4).equals(Buffer.from('\0asm'))) return null;
  let at = 8;
  const number = (): number => {
    let value = 0;
    for (let factor = 1; at < data.length && factor <= 2 ** 28; factor *= 128) {
      const byte = data[at] ?? 0;
      at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < data.length) {
    const section = data[at];
    at += 1;
    const size = number();
    if (section !== MEMORY_SECTION) {
      at += size;
      continue;
    }
    return number() > 0 ? (number() & WIDE) !== 0 : null;
  }
  return null;
}
