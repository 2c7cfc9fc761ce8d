/** Runs first, on any Node: says in one line that this one is not fit, before anything newer than it is loaded. */
import fs from 'node:fs';

const { engines } = JSON.parse(fs.readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const [, minMajor, minMinor, below] = /^>=(\d+)\.(\d+) <(\d+)$/.exec(engines.node).map(Number);
const [major, minor] = process.versions.node.split('.').map(Number);
const old = major < minMajor || (major === minMajor && minor < minMinor);
if (old || major >= below) {
  console.error(
    `Isthmus runs on Node ${engines.node}, this is ${process.versions.node}: install Node 22, or switch with "nvm use 22".`,
  );
  process.exit(1);
}
