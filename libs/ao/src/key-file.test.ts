import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ConfigError, writeKeyFile } from '@isthmus/store';
import { ed25519Signer } from './items/index.js';
import { signerOfFile, signerOfKey } from './key-file.js';

const KEY = `0x${'0a1b'.repeat(16)}` as const;
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-key-'));
afterAll(() => fs.rmSync(home, { recursive: true }));

it('a key file signs as its 32 bytes do', async () => {
  const file = path.join(home, 'good.key');
  writeKeyFile(file, KEY);
  const [ours, expected] = [signerOfFile(file), ed25519Signer(Buffer.from('0a1b'.repeat(16), 'hex'))];
  expect(ours.address).toBe(expected.address);
  expect(ours.address).not.toBe(signerOfKey(`0x${'0a1c'.repeat(16)}`).address);
  expect(await ours.sign(Buffer.from('x'))).toEqual(await expected.sign(Buffer.from('x')));
});

it('a key file that others can read signs nothing, nor one that is not there', () => {
  const file = path.join(home, 'open.key');
  writeKeyFile(file, KEY);
  fs.chmodSync(file, 0o644);
  for (const name of [file, path.join(home, 'none.key')]) expect(() => signerOfFile(name)).toThrow(ConfigError);
});
