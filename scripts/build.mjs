/** Builds everything that runs: TypeScript by swc into dist/, Solidity into .cache/contracts. What is built already is left alone: a stack may be running from it. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const compiler = 'node_modules/@swc/cli/bin/swc.js';
if (!fs.existsSync(compiler)) {
  console.error('The packages are not installed here: run "npm ci" first.');
  process.exit(1);
}
const folders = ['apps', 'libs', 'migrations', 'contracts', 'bench'].filter((f) => fs.existsSync(f));
const sources = folders.flatMap((f) => fs.readdirSync(f, { recursive: true, withFileTypes: true }))
  .filter((e) => e.isFile())
  .map((e) => path.join(e.parentPath ?? e.path, e.name));
const hash = createHash('sha256').update(process.version);
for (const file of ['.swcrc', 'package-lock.json', ...sources.toSorted()]) hash.update(file).update(fs.readFileSync(file));
const stamp = hash.digest('hex');
const built = fs.existsSync('dist/.stamp') && fs.readFileSync('dist/.stamp', 'utf8') === stamp;

if (!built) {
  console.error('building, up to a minute …'); // what stands behind may be read by a program
  const fresh = `dist.${process.pid}`;
  const swc = spawnSync(process.execPath, [compiler, ...folders, '-d', fresh, '--config-file', '.swcrc', '-q'], { stdio: 'inherit' });
  if (swc.status !== 0) {
    fs.rmSync(fresh, { recursive: true, force: true });
    process.exit(swc.status ?? 1);
  }
  await import(path.resolve(fresh, 'libs/ao/src/compute/build-interpreters.js'));
  fs.writeFileSync(path.join(fresh, '.stamp'), stamp);
  fs.rmSync('dist', { recursive: true, force: true });
  fs.renameSync(fresh, 'dist');
}
const { compileContracts } = await import('../dist/contracts/ethereum/compile.js');
compileContracts();
