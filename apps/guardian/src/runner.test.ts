/** The runner: rounds, what it says of them, and how long it waits. */
import { createLogger } from '@isthmus/store';
import { backoffMs, GuardianMetrics, Runner, type Steps } from './runner.js';

class Refused extends Error {
  readonly code = 'agreement-lost';
}

/** Steps that are counted, and fail as told. */
function steps(fails: Partial<Record<string, Error>>, serving = true) {
  const calls: string[] = [];
  const step = (name: string) => async () => {
    calls.push(name);
    const error = fails[name];
    if (error) throw error;
  };
  const guardian: Steps = {
    watch: step('watch'),
    follow: step('follow'),
    attest: step('attest'),
    sign: async () => {
      await step('sign')();
      return new Map([['0x1', 'paused'] as const, ['0x2', 'paused'] as const, ['0x3', 'behind'] as const]);
    },
    decide: step('decide'),
    send: async () => {
      await step('send')();
      return 0;
    },
    get serving() {
      return serving;
    },
    height: 7n,
    lostDeposits: 2,
    outbox: async () => 3,
  };
  return { guardian, calls };
}

function runnerOf(guardian: Steps) {
  const lines: string[] = [];
  const log = createLogger('test', { write: (line: string) => void lines.push(line) });
  const metrics = new GuardianMetrics();
  metrics.countCalls('eip155:1', () => 11);
  return { runner: new Runner(guardian, 'eip155:1', 20, metrics, log), lines, metrics };
}

const ALL = ['watch', 'follow', 'attest', 'sign', 'decide', 'send'];

describe('a round', () => {
  it('goes through every part, and says how it went and what waits', async () => {
    const { guardian, calls } = steps({});
    const { runner, metrics: counted } = runnerOf(guardian);
    expect(runner.isReady()).toBe(false); // before the first
    expect(await runner.round()).toBe(true);
    expect(calls).toEqual(ALL);
    expect(runner.isReady()).toBe(true);
    expect(runner.isReady(Date.now() + 3_600_000)).toBe(false); // a round that was long ago
    expect(runner.health.sign).toMatchObject({ ok: true, waiting: { paused: 2, behind: 1 } });
    const metrics = await counted.registry.metrics();
    expect(metrics).toMatch(/isthmus_guardian_height\{chain="eip155:1"\} 7/);
    expect(metrics).toMatch(/isthmus_guardian_lost_deposits\{chain="eip155:1"\} 2/);
    expect(metrics).toMatch(/isthmus_guardian_outbox\{chain="eip155:1"\} 3/);
    for (const part of ALL)
      expect(metrics).toMatch(new RegExp(`isthmus_guardian_seconds_total{chain="eip155:1",part="${part}"} [0-9.e-]+`));
    expect(metrics).toMatch(/isthmus_guardian_rpc_calls\{chain="eip155:1"\} 11/);
  });

  it('X10 without a sound look at the chain nothing is followed, said or signed', async () => {
    const { guardian, calls } = steps({ watch: new Refused('too few agree') });
    const { runner, lines, metrics } = runnerOf(guardian);
    expect(await runner.round()).toBe(false);
    expect(await runner.round()).toBe(false);
    expect(calls).toEqual(['watch', 'watch']);
    expect(runner.health).toEqual({
      watch: { ok: false, code: 'agreement-lost', detail: 'too few agree', at: expect.any(String) },
    });
    expect(runner.isReady()).toBe(false);
    expect(lines).toHaveLength(1); // once, while it stays the same
    expect(await metrics.registry.metrics()).toMatch(
      /failures_total\{chain="eip155:1",part="watch",code="agreement-lost"\} 2/,
    );
  });

  it('A12 when no process can be followed nothing is said or signed; when some can, they are served', async () => {
    for (const [serving, done] of [
      [false, ['watch', 'follow']],
      [true, ALL],
    ] as const) {
      const { guardian, calls } = steps({ follow: new Error('no schedule') }, serving);
      const { runner } = runnerOf(guardian);
      expect(await runner.round()).toBe(false);
      expect(calls).toEqual(done);
      expect(runner.health.follow).toMatchObject({ ok: false, code: 'failed', detail: 'no schedule' });
    }
  });

  it('a part that fails keeps none after it from its turn', async () => {
    const { guardian, calls } = steps({ attest: new Refused('a'), sign: new Refused('b') });
    const { runner } = runnerOf(guardian);
    expect(await runner.round()).toBe(false);
    expect(calls).toEqual(ALL);
    expect(runner.health).toMatchObject({ attest: { ok: false }, sign: { ok: false }, send: { ok: true } });
    expect(runner.isReady()).toBe(false);
  });

  it('goes on round after round until it is stopped, and then not at all', async () => {
    const { guardian, calls } = steps({});
    const third = new Promise<void>((resolve) => {
      const { send } = guardian;
      guardian.send = async () => {
        const sent = await send();
        if (calls.filter((c) => c === 'send').length === 3) resolve();
        return sent;
      };
    });
    const { runner } = runnerOf(guardian);
    runner.start();
    await third;
    await runner.stop();
    const done = calls.length;
    expect(await runner.round()).toBe(true);
    expect(calls).toHaveLength(done);
  });
});

describe('the wait between rounds', () => {
  it('grows while all fails, and is bounded', () => {
    const waits = Array.from({ length: 40 }, (_, failed) => backoffMs(1000, failed, false));
    expect(waits.slice(0, 6)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000]);
    expect(Math.max(...waits)).toBe(30_000);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  });

  it('is short while only some assets fail, and never below the time that was asked for', () => {
    expect([0, 1, 9].map((failed) => backoffMs(500, failed, true))).toEqual([500, 1000, 2000]);
    expect([0, 9].map((failed) => backoffMs(60_000, failed, true))).toEqual([60_000, 60_000]);
    expect(backoffMs(60_000, 9, false)).toBe(60_000);
  });

  it('ends soon where rounds are close together', () => {
    expect([0, 1, 9].map((failed) => backoffMs(100, failed, false))).toEqual([100, 200, 3000]);
    expect(backoffMs(20, 9, true)).toBe(600);
  });
});
