import fc from 'fast-check';
import {
  bitcoinTermsOf,
  creditedOf,
  encodeBitcoinTerms,
  leastRefundOf,
  parseBitcoinTerms,
  type BitcoinTerms,
} from './bitcoin-terms.js';

const GOOD = 'start=800000 least=10000 fee=1000 margin=72 refund=1008 final=1000000:2,100000000:3,*:6';

const termsOf = fc
  .record({
    startHeight: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    sweepFee: fc.bigInt(0n, 10n ** 15n - 1n),
    above: fc.bigInt(1n, 10n ** 14n),
    sweepMargin: fc.integer({ min: 1, max: 10_000 }),
    later: fc.integer({ min: 0, max: 45_000 }),
    steps: fc.uniqueArray(fc.bigInt(1n, 10n ** 16n - 1n), { maxLength: 15 }),
    confirmations: fc.array(fc.integer({ min: 1, max: 144 }), { minLength: 16, maxLength: 16 }),
  })
  .map(({ startHeight, sweepFee, above, sweepMargin, later, steps, confirmations }): BitcoinTerms => {
    const rising = confirmations.toSorted((a, b) => a - b);
    const amounts = [...steps.toSorted((a, b) => (a < b ? -1 : 1)), null];
    const finality = amounts.map((upTo, i) => ({ upTo, confirmations: rising[i] as number }));
    const leastRefund = leastRefundOf({ sweepMargin, finality }) + later;
    return { startHeight, minDeposit: sweepFee + above, sweepFee, sweepMargin, leastRefund, finality };
  });

describe('the terms of a home on Bitcoin', () => {
  it('have one form, which reads as what it was written from', () => {
    fc.assert(
      fc.property(termsOf, (terms) => {
        const text = encodeBitcoinTerms(terms);
        expect(parseBitcoinTerms(text)).toEqual(terms);
        expect(encodeBitcoinTerms(parseBitcoinTerms(text))).toBe(text);
      }),
      { numRuns: 200 },
    );
    expect(encodeBitcoinTerms(parseBitcoinTerms(GOOD))).toBe(GOOD);
  });

  it.each([
    ['nothing', ''],
    ['another order', GOOD.replace('least=10000 fee=1000', 'fee=1000 least=10000')],
    ['a leading zero', GOOD.replace('fee=1000', 'fee=01000')],
    ['two spaces', GOOD.replace(' fee', '  fee')],
    ['a line feed at the end', `${GOOD}\n`],
    ['a fee that is all of the least deposit', GOOD.replace('fee=1000', 'fee=10000')],
    ['no margin', GOOD.replace('margin=72', 'margin=0')],
    ['a refund that leaves little time between final and due', GOOD.replace('refund=1008', 'refund=155')],
    ['a refund BIP 68 cannot say', GOOD.replace('refund=1008', 'refund=65536')],
    ['the first block', GOOD.replace('start=800000', 'start=0')],
    ['a height there never is', GOOD.replace('start=800000', 'start=2147483648')],
    ['no last step', GOOD.replace(',*:6', '')],
    ['a last step in the middle', GOOD.replace('100000000:3', '*:3')],
    ['confirmations that fall', GOOD.replace('*:6', '*:2')],
    ['money that falls', GOOD.replace('1000000:2', '200000000:2')],
    ['no confirmation', GOOD.replace('1000000:2', '1000000:0')],
    ['145 confirmations', GOOD.replace('*:6', '*:145')],
    ['17 steps', GOOD.replace('1000000:2', Array.from({ length: 15 }, (_, i) => `${i + 1}:2`).join())],
  ])('B6 are none with %s', (_, text) => {
    expect(() => parseBitcoinTerms(text)).toThrow('The terms of the home are none');
  });

  it('B9 a refund right after twice the margin, the last confirmation and six blocks can be', () => {
    expect(parseBitcoinTerms(GOOD.replace('refund=1008', 'refund=156')).leastRefund).toBe(2 * 72 + 6 + 6);
  });

  it('are what the spawn has exactly once', () => {
    const tag = { name: 'Isthmus-Home-Terms', value: GOOD };
    expect(bitcoinTermsOf([{ name: 'Name', value: 'x' }, tag])).toEqual(parseBitcoinTerms(GOOD));
    expect(() => bitcoinTermsOf([])).toThrow('exactly one tag');
    expect(() => bitcoinTermsOf([tag, tag])).toThrow('exactly one tag');
  });

  it('I3 credit less than came, by the fee, and nothing below the least', () => {
    fc.assert(
      fc.property(termsOf, fc.bigInt(0n, 2n * 10n ** 15n), (terms, value) => {
        const credited = creditedOf(value, terms);
        if (value < terms.minDeposit) expect(credited).toBeNull();
        else expect(credited).toBe(value - terms.sweepFee);
        expect(credited ?? 1n).toBeGreaterThan(0n);
      }),
    );
  });
});
