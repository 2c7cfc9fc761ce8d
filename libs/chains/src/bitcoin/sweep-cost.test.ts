import { creditedOf } from '@isthmus/bridge';
import fc from 'fast-check';
import { planSweep, type VaultCoin } from './batch.js';
import { makeVault, PROCESS, RECIPIENT, REGTEST } from './harness.js';
import { sweepCost } from './sweep-cost.js';
import { depositScript, vaultScript } from './vault-script.js';

const RATE = 5_000n;
const { vault } = makeVault(3, 2);
const lock = vaultScript(vault, REGTEST);
const refund = { kind: 'key' as const, key: vault.keys[0] as Uint8Array };
const terms = {
  network: REGTEST,
  vault,
  process: PROCESS,
  recipient: RECIPIENT,
  tags: [],
  refund,
  refundAfter: 65_535,
};
const home = {
  startHeight: 1,
  minDeposit: 10_000n,
  sweepFee: sweepCost(vault, REGTEST, RATE),
  sweepMargin: 72,
  leastRefund: 152,
  finality: [{ upTo: null, confirmations: 2 }],
};

it('I3 with a sweep fee for its price a vault has what it owes, however its deposits are swept, and without a reserve', () => {
  const values = fc.array(fc.bigInt(10_000n, 10n ** 9n), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(values, { maxLength: 5 }), fc.bigInt(1_000n, RATE), (groups, feeRate) => {
      let anchor: VaultCoin = { txid: 'ab'.repeat(32), vout: 0, value: 10_000n, lock, deposit: false };
      let supply = 10_000n; // nothing is left over
      for (const [g, group] of groups.entries()) {
        const coins = group.map((value, i): VaultCoin => {
          const txid = (g * 8 + i).toString(16).padStart(64, '0');
          return { txid, vout: 0, value, lock: depositScript(terms), deposit: true };
        });
        for (const value of group) supply += creditedOf(value, home) ?? 0n;
        const surplus = anchor.value + group.reduce((sum, v) => sum + v, 0n) - supply;
        const sweep = planSweep({ vault, changeTo: lock, anchor, coins, unconfirmed: 0, feeRate, reserve: surplus });
        anchor = { ...anchor, txid: `${g}`.repeat(64), value: sweep.change.value };
        expect(sweep.inputs).toHaveLength(group.length + 1);
        expect(anchor.value).toBeGreaterThanOrEqual(supply);
      }
    }),
    { numRuns: 60 },
  );
});
