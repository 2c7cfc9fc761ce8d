/** Compiles the Solidity sources with solc from npm; the result is cached by the sources' hash, so a second build costs nothing. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { projectRoot } from '@isthmus/store';

const require = createRequire(import.meta.url);

interface Contract {
  abi: unknown[];
  bytecode: `0x${string}`;
}
export type Artifacts = Record<string, Contract>;

interface SolcOutput {
  errors?: { severity: string; formattedMessage: string }[];
  contracts: Record<string, Record<string, { abi: unknown[]; evm: { bytecode: { object: string } } }>>;
}

const SETTINGS = {
  optimizer: { enabled: true, runs: 100_000 },
  viaIR: true,
  evmVersion: 'cancun',
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
};

/** All contracts of a folder by name. @throws Error with solc's messages when one does not compile. */
export function compileContracts(sourceFolder = 'contracts/ethereum/src'): Artifacts {
  const folder = path.join(projectRoot(), sourceFolder);
  const sources = Object.fromEntries(
    solidityFiles(folder).map((file) => [path.relative(folder, file), { content: fs.readFileSync(file, 'utf8') }]),
  );
  const { version } = require('@openzeppelin/contracts/package.json') as { version: string };
  const solcVersion = (require('solc/package.json') as { version: string }).version;
  const key = createHash('sha256')
    .update(JSON.stringify([sources, SETTINGS, version, solcVersion]))
    .digest('hex')
    .slice(0, 16);
  const cached = path.join(projectRoot(), '.cache/contracts', `${key}.json`);
  if (fs.existsSync(cached)) return JSON.parse(fs.readFileSync(cached, 'utf8')) as Artifacts;
  const artifacts = compile(sources);
  fs.mkdirSync(path.dirname(cached), { recursive: true });
  const partial = `${cached}.${process.pid}`;
  fs.writeFileSync(partial, JSON.stringify(artifacts));
  fs.renameSync(partial, cached); // several test files may compile at once: a reader never sees half a file
  return artifacts;
}

function compile(sources: Record<string, { content: string }>): Artifacts {
  const solc = require('solc') as {
    compile(input: string, callbacks: { import(file: string): { contents: string } | { error: string } }): string;
  };
  const input = JSON.stringify({ language: 'Solidity', sources, settings: SETTINGS });
  const output = JSON.parse(solc.compile(input, { import: readImport })) as SolcOutput;
  const problems = (output.errors ?? []).filter((e) => e.severity === 'error');
  if (problems.length > 0) throw new Error(problems.map((e) => e.formattedMessage).join('\n'));
  const entries = Object.entries(output.contracts).filter(([file]) => file in sources);
  return Object.fromEntries(
    entries.flatMap(([, contracts]) =>
      Object.entries(contracts).map(([name, c]) => [
        name,
        { abi: c.abi, bytecode: `0x${c.evm.bytecode.object}` as const },
      ]),
    ),
  );
}

function readImport(file: string): { contents: string } | { error: string } {
  try {
    return { contents: fs.readFileSync(require.resolve(file), 'utf8') };
  } catch (error) {
    return { error: String(error) };
  }
}

function solidityFiles(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.sol'))
    .sort()
    .map((f) => path.join(folder, f));
}
