/** Signatures are checked in threads: each item has its own answer, whatever comes together and whatever ends meanwhile. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createItem } from './item.js';
import { ed25519Signer, ethereumSigner } from './signers.js';
import { Verifier } from './verifier.js';

const SIGNERS = [ethereumSigner(`0x${'3'.repeat(64)}`), ed25519Signer(Buffer.alloc(32, 3))];

it('A13 answers for each of many items of different owners and sizes, good and bad among each other', async () => {
  const verifier = new Verifier(2);
  const items = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      createItem({ tags: [], data: 'x'.repeat(i % 50 === 0 ? 1_000_000 : i) }, SIGNERS[i % 2]!),
    ),
  );
  const bytes = items.map(({ raw }, i) => {
    if (i % 3 === 0) raw[40] = (raw[40] as number) ^ 1; // in the signature
    return i % 7 === 0 ? raw.subarray(0, 100) : raw;
  });
  const good = await Promise.all(bytes.map((raw) => verifier.verify(raw)));
  expect(good).toEqual(bytes.map((_, i) => i % 3 !== 0 && i % 7 !== 0));
  expect(items.every(({ raw }) => raw.length > 0)).toBe(true); // nobody's memory was taken away
});

describe('a thread that ends', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-verifier-'));
  afterAll(() => fs.rmSync(folder, { recursive: true }));
  const script = (name: string, body: string) => {
    const file = path.join(folder, name);
    fs.writeFileSync(
      file,
      `const { parentPort } = require('node:worker_threads'); const fs = require('node:fs'); ${body}`,
    );
    return file;
  };

  it('is followed by another, which gets what was left', async () => {
    const mark = path.join(folder, 'died');
    const dies = script(
      'once.cjs',
      `parentPort.on('message', ({ lengths }) => {
        if (!fs.existsSync('${mark}')) { fs.writeFileSync('${mark}', ''); process.exit(1); }
        parentPort.postMessage(lengths.map((length) => length === 2));
      });`,
    );
    const verifier = new Verifier(1, dies);
    expect(await Promise.all([1, 2, 3].map((n) => verifier.verify(Buffer.alloc(n))))).toEqual([false, true, false]);
    expect(fs.existsSync(mark)).toBe(true);
  });

  it('again and again is an error, not a wait without end, and no answer', async () => {
    const verifier = new Verifier(
      1,
      script('always.cjs', `parentPort.on('message', () => { throw new Error('broken'); });`),
    );
    await expect(verifier.verify(Buffer.alloc(1))).rejects.toThrow(/Signatures cannot be checked: .*broken/);
  });
});
