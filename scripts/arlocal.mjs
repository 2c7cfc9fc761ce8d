/**
 * Puts arlocal into .cache/arlocal, for the soak that holds our own local Arweave against it. It is no dependency: it brings 400 packages (220 MB),
 * takes a minute or two, and installs only when a git dependency deep inside is replaced by the package of the same name.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const MANIFEST = { private: true, dependencies: { arlocal: '1.1.66' }, overrides: { avsc: 'npm:avsc@5.7.7' } };
const INSTALL_MS = 600_000;
const target = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '.cache', 'arlocal');
const stamp = path.join(target, 'installed');

if (!fs.existsSync(stamp)) {
  fs.rmSync(target, { recursive: true, force: true });
  fs.mkdirSync(target, { recursive: true });
  fs.writeFileSync(path.join(target, 'package.json'), JSON.stringify(MANIFEST, null, 2));
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: target, stdio: 'inherit', timeout: INSTALL_MS, shell: process.platform === 'win32' });
  fs.writeFileSync(stamp, '');
}
