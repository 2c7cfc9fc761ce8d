import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot, sourceHash, tokenSource } from './root.js';

it('a source goes by its SHA-256', () => {
  // FIPS 180-2, B.1
  expect(sourceHash(Buffer.from('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

it('the token of this version is the one in its folder', () => {
  const file = fs.readFileSync(path.join(projectRoot(), 'contracts', 'ao', 'token.lua'));
  expect(sourceHash(tokenSource())).toBe(createHash('sha256').update(file).digest('hex'));
});
