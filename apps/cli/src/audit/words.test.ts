/** What an audit is called, and the exit code it ends with. */
import type { AuditReport } from '@isthmus/audit';
import { exitCodeOf } from './audit.js';
import { inWords } from './words.js';

const report = (unshown: string, result: AuditReport['result'] = 'fine', more = 0): AuditReport => ({
  format: 'isthmus.audit.1',
  inputs: {
    chain: 'eip155:1',
    vault: '0x0',
    height: '1',
    blockHash: `0x${'0'.repeat(64)}`,
    blockTime: 0,
    patienceMs: 0,
    processes: [],
  },
  result,
  assets: [
    {
      asset: 'eip155:1/slip44:60',
      balance: '1',
      supply: '1',
      inFlight: '0',
      unattested: '0',
      waiting: '0',
      unmintable: '0',
      claimable: '0',
      surplus: '0',
      deposits: 1,
      mints: 1,
      burns: 1,
      releases: 1,
      unshown,
    } as AuditReport['assets'][number],
  ],
  findings: [],
  more,
});

it('releases whose burns nobody shows yet are not fine: the exit code is 3, and the words say what to do', () => {
  expect([exitCodeOf(report('0')), inWords(report('0'), null)]).toEqual([
    0,
    expect.stringContaining('\nfine: every mint'),
  ]);
  const words = inWords(report('20'), null);
  expect([exitCodeOf(report('20')), words]).toEqual([3, expect.stringContaining('NOT ALL LOOKED AT')]);
  expect(words).toMatch(/not looked at yet: 20 of slip44:60 .* audit again later/);
  expect(words).not.toContain('fine: every');
});

it('is worse when something worse was found', () => {
  expect(exitCodeOf(report('20', 'safety'))).toBe(1);
  expect(inWords(report('20', 'safety'), null)).toContain('NOT SAFE');
  expect(exitCodeOf(report('0', 'safety', 5))).toBe(1);
});
