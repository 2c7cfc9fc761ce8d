/** Configuration is checked whole, and says which key is wrong. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { z } from 'zod';
import { ConfigError, loadConfig, readKeyFile, readSecret, writeKeyFile } from './config.js';

const schema = z.strictObject({
  port: z.number().int().min(0).max(65_535),
  chains: z.array(z.strictObject({ rpcUrls: z.array(z.url()).min(1) })),
});
let folder: string;
beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-config-'))));
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function file(content: string): string {
  const name = path.join(folder, 'config.json');
  fs.writeFileSync(name, content);
  return name;
}

it('reads what is right, and lets the environment override', () => {
  const name = file('{"port": 1, "chains": [{"rpcUrls": ["http://127.0.0.1:1"]}]}');
  expect(loadConfig(schema, name, { port: 2 }).port).toBe(2);
  expect(loadConfig(schema, name, { port: undefined }).port).toBe(1);
});

it.each([
  ['port', '{"port": "1", "chains": []}'],
  ['chains.0.rpcUrls.0', '{"port": 1, "chains": [{"rpcUrls": ["nonsense"]}]}'],
  ['chains.0.rpcUrls', '{"port": 1, "chains": [{"rpcUrls": []}]}'],
  ['prot', '{"port": 1, "prot": 2, "chains": []}'],
])('names the wrong key %s', (key, content) => {
  expect(() => loadConfig(schema, file(content))).toThrow(key);
});

it('refuses any garbage with its own error', () => {
  fc.assert(fc.property(fc.string(), (text) => expect(() => loadConfig(schema, file(text))).toThrow(ConfigError)));
  expect(() => loadConfig(schema, path.join(folder, 'missing.json'))).toThrow(/ISTHMUS_CONFIG/);
});

it('reads a key file only its owner can read, and never overwrites one', () => {
  const name = path.join(folder, 'a.key');
  const key = `0x${'1'.repeat(64)}` as const;
  writeKeyFile(name, key);
  expect(readKeyFile(name)).toBe(key);
  expect(readSecret(name)).toEqual(Buffer.alloc(32, 0x11));
  expect(() => writeKeyFile(name, key)).toThrow(/EEXIST/);
  fs.chmodSync(name, 0o644);
  expect(() => readKeyFile(name)).toThrow(/chmod 600/);
  fs.chmodSync(name, 0o600);
  fs.writeFileSync(name, '{"privateKey": "0x12"}');
  expect(() => readKeyFile(name)).toThrow(/64 lower-case/);
  expect(() => readKeyFile(path.join(folder, 'b.key'))).toThrow(/missing/);
});
