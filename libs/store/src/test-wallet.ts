/** Arweave wallets for tests. A key of 4,096 bits takes a core seconds to make, so each is made once on a machine and kept beside what else is cached. */
import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { projectRoot } from './root.js';

/** An RSA key pair as JWK, as Arweave's own tools write it. */
export type TestWallet = {
  kty: 'RSA';
  n: string;
  e: 'AQAB';
  d: string;
  p: string;
  q: string;
  dp: string;
  dq: string;
  qi: string;
};

/** The wallet of this number: different numbers, different wallets. Nobody else's money is ever sent to one. */
export function testWallet(number = 0): TestWallet {
  const file = path.join(projectRoot(), '.cache/wallets', `${number}.json`);
  if (!fs.existsSync(file)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const partial = `${file}.${process.pid}`;
    fs.writeFileSync(partial, JSON.stringify(privateKey.export({ format: 'jwk' })), { mode: 0o600 });
    fs.renameSync(partial, file); // several test files may make one at once: a reader never sees half a file
  }
  return JSON.parse(fs.readFileSync(file, 'utf8')) as TestWallet;
}
