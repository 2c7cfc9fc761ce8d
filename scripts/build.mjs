/** Builds everything that runs: TypeScript by swc into dist/, Solidity into .cache/contracts (only when a source changed). */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
fs.rmSync('dist', { recursive: true, force: true });
const folders = ['apps', 'libs', 'migrations', 'contracts', 'bench'].filter((f) => fs.existsSync(f));
const swc = spawnSync(process.execPath, ['node_modules/@swc/cli/bin/swc.js', ...folders, '-d', 'dist', '--config-file', '.swcrc', '-q'], { stdio: 'inherit' });
if (swc.status !== 0) process.exit(swc.status ?? 1);
const { compileContracts } = await import('../dist/contracts/ethereum/compile.js');
compileContracts();
