/** The gateway's own auditor: whatever happens to the process that audits, the gateway says so and tries again. */
import { createLogger } from '@isthmus/store';
import { Registry } from 'prom-client';
import type { AuditStore } from './audit-store.js';
import { worksOf, type AuditWork } from './audit-work.js';
import { Audits } from './audits.js';

const NOWHERE: AuditWork = {
  chain: 'eip155:1',
  network: { isthmusUrl: 'http://127.0.0.1:1' },
  scheduler: 'S'.repeat(43),
  processes: ['P'.repeat(42) + 'A'],
  reading: {
    rpcUrls: ['http://127.0.0.1:1'],
    finality: { tag: 'finalized' },
    startHeight: 0,
  },
  patienceMs: 1000,
  knownCode: [],
};

let registry: Registry;
let logged: string[];
let added: number;
const auditsOf = (work: AuditWork, script?: string): Audits => {
  registry = new Registry();
  logged = [];
  added = 0;
  const store: Pick<AuditStore, 'newest' | 'add'> = {
    newest: () => Promise.resolve(null),
    add: () => Promise.resolve(void (added += 1)),
  };
  const log = createLogger('gateway', { write: (line: string) => void logged.push(line) });
  const settlement = { newestConfirmed: () => Promise.resolve(null) };
  const parts = {
    everyMs: 1000,
    works: [work],
    store: store as AuditStore,
    settlement,
    signer: null,
    keep: null,
    log,
    registry,
  };
  return new Audits(script === undefined ? parts : { ...parts, script });
};
const failures = async (): Promise<Record<string, number>> => {
  const { values } = (await registry.getSingleMetric('isthmus_audit_failures_total')?.get()) ?? { values: [] };
  return Object.fromEntries(values.map((v) => [String(v.labels['code']), v.value]));
};
async function until(look: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 120_000; !(await look());) {
    if (Date.now() > end) throw new Error('It never came.');
    await new Promise((resolve) => setTimeout(resolve, 20)); // asked again until the end above
  }
}

it('what cannot be audited is said, counted by its reason, and tried again', async () => {
  const audits = auditsOf(NOWHERE);
  audits.start();
  await until(async () => ((await failures())['unreachable'] ?? 0) >= 2);
  await audits.stop();
  expect(added).toBe(0);
  expect(logged.join('')).toMatch(/no audit could be made/);
});

it('a process that ends under way is begun again; stopping waits for none', async () => {
  // A process that knows nothing of audits: built code which ends as soon as it has begun.
  const audits = auditsOf(NOWHERE, 'dist/libs/ao/src/types.js');
  audits.start();
  await until(async () => ((await failures())['failed'] ?? 0) >= 2);
  await audits.stop();
  const idle = auditsOf(NOWHERE);
  idle.start();
  await idle.stop();
  expect(await failures()).toEqual({});
  expect(logged).toEqual([]);
});

it('each home is audited by what it is configured with, whatever its family', () => {
  const rpcUrls = ['http://one.example', 'http://two.example', 'http://three.example'];
  const on = (id: string, more: object) => ({
    chain: { id, rpcUrls, agreement: 2, ...more },
    assets: [{ process: 'P'.repeat(43) }],
  });
  const homes = [
    on('eip155:1', { finality: { tag: 'safe' }, deployBlock: 5 }),
    on('bip122:00', {}),
    on('solana:1', {}),
  ];
  const works = worksOf(
    { ao: { engine: 'embedded' } as never, homes },
    { patienceMs: 1, tokenSources: [] } as never,
    'http://gateway.example',
    'S',
  );
  const told = { rpcUrls: rpcUrls.slice(0, 2) };
  expect(works.map((w) => w.reading)).toEqual([
    { ...told, finality: { tag: 'safe' }, startHeight: 5 },
    { ...told, startHeight: 0 },
    { ...told, startHeight: 0 },
  ]);
});
