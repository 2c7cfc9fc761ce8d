/** The runbook's examples are configurations: each is read with the schemas that gateway and guardian check theirs with. */
import fs from 'node:fs';
import path from 'node:path';
import { parseBitcoinTerms } from '@isthmus/bridge';
import { projectRoot } from '@isthmus/store';
import { planSchema } from '../apps/cli/src/found/plan.js';
import { gatewaySchema } from '../apps/gateway/src/config.js';
import { guardianSchema } from '../apps/guardian/src/config.js';

const RUNBOOK = fs.readFileSync(path.join(projectRoot(), 'docs/runbook.md'), 'utf8');

/** What an operator writes in the place of each name. */
const FILLED: Readonly<Record<string, string>> = {
  'guardian A': '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
  'guardian B': '0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc',
  'guardian C': '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266',
  scheduler: `${'S'.repeat(42)}A`,
  messenger: `${'M'.repeat(42)}A`,
  'vault on Ethereum': '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
  'process of aETH': `${'E'.repeat(42)}A`,
  'process of aBTC': `${'B'.repeat(42)}A`,
  'process of aSOL': `${'L'.repeat(42)}A`,
  'process of aUSDC': `${'U'.repeat(42)}A`,
  'header of that block': '0'.repeat(160),
  'relayer on Solana': '9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM',
  'nonce 0': 'Vote111111111111111111111111111111111111111',
  'nonce 1': 'Stake11111111111111111111111111111111111111',
  'nonce 2': 'Config1111111111111111111111111111111111111',
  'nonce 3': 'SysvarRent111111111111111111111111111111111',
  'vault of SOL': 'SysvarC1ock11111111111111111111111111111111',
  'vault of USDC': 'SysvarS1otHashes111111111111111111111111111',
};
const guardian = {
  name: 'guardian',
  keyFile: '/etc/isthmus/guardian.key',
  databaseUrl: 'postgres://localhost/guardian',
  port: 4611,
  gatewayUrl: 'https://gateway.example',
  scheduler: FILLED['scheduler'],
  homes: [
    {
      chain: {
        id: 'eip155:1',
        rpcUrls: ['https://one.example'],
        agreement: 1,
        finality: { tag: 'finalized' },
        vault: FILLED['vault on Ethereum'],
        deployBlock: 1,
      },
      assets: [{ id: 'eip155:1/slip44:60', address: `0x${'0'.repeat(40)}`, process: FILLED['process of aETH'] }],
    },
  ],
};
const gateway = {
  databaseUrl: 'postgres://localhost/gateway',
  publicUrl: 'https://gateway.example',
  ao: { engine: 'embedded', schedulerKeyFile: 'scheduler.key', messengerKeyFile: 'messenger.key' },
  homes: [],
};

interface Example {
  /** Line of the runbook it begins in. */
  line: number;
  /** Whose configuration it is. */
  of: 'guardian' | 'gateway' | 'plan';
  json: string;
}

/** The blocks of the runbook, those with several keys of one name apart: each key begins its line. */
function examples(text: string): Example[] {
  const found: Example[] = [];
  for (const { 1: block = '', index } of text.matchAll(/^```json\n([\s\S]*?)^```$/gm)) {
    const before = text.slice(0, index);
    const heading = /^## (.*)$/m.exec(before.slice(before.lastIndexOf('\n## ') + 1))?.[1];
    const isGuardian =
      heading === 'A guardian' || before.trimEnd().split('\n').at(-1)?.includes("guardian's own") === true;
    const line = before.split('\n').length + 1;
    const parts = block.startsWith('{') ? [block] : block.split(/^(?=")/m).map((part) => `{${part}}`);
    const of = heading === 'Bringing a bridge into being' ? 'plan' : isGuardian ? 'guardian' : 'gateway';
    found.push(...parts.map((json): Example => ({ line, of, json })));
  }
  return found;
}

/** @throws when it is no JSON, has a name nobody fills in, or is refused by the program it is for */
function read({ of, json }: Example): { homes: { chain: { id: string } }[] } {
  const filled = json.replaceAll(/<([^>]+)>/g, (all, name: string) => FILLED[name] ?? all);
  if (of === 'plan') {
    const plan = planSchema.parse(JSON.parse(filled));
    for (const { terms } of plan.homes) if (terms !== undefined) parseBitcoinTerms(terms);
    return plan;
  }
  const whole = { ...(of === 'guardian' ? guardian : gateway), ...(JSON.parse(filled) as object) };
  if (of === 'gateway') return gatewaySchema.parse(whole);
  return guardianSchema.parse(whole);
}

const ALL = examples(RUNBOOK);

it.each(
  ALL.map((e): [string, Example] => [`${e.of}, line ${e.line}: ${e.json.slice(0, 60).replaceAll('\n', ' ')}`, e]),
)('is taken: %s', (_, example) => {
  expect(() => read(example)).not.toThrow();
});

it.each(['guardian', 'gateway', 'plan'] as const)('a %s is shown a home of each family', (of) => {
  const ids = ALL.filter((e) => e.of === of && e.json.includes('"homes"')).flatMap((e) =>
    read(e).homes.map((h) => h.chain.id.split(':')[0]),
  );
  expect(new Set(ids)).toEqual(new Set(['bip122', 'eip155', 'solana']));
});

it.each([
  ['a key there is not', (json: string) => json.replace('"finalitySeconds"', '"finalitySecond"')],
  ['a name nobody fills in', (json: string) => json.replace('<process of', '<the process of')],
  ['what is no JSON', (json: string) => json.replace('}', '')],
])('refuses an example with %s', (_, spoil) => {
  for (const example of ALL.filter((e) => e.of === 'gateway' && e.json.includes('"homes"')))
    expect(() => read({ ...example, json: spoil(example.json) })).toThrow();
});
