import { PublicKey } from '@solana/web3.js';
import fc from 'fast-check';
import { fromBase58, isBase58, toBase58 } from './base58.js';

describe('base58', () => {
  test('any bytes come back, in the one form the web3 library writes too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(fromBase58(toBase58(bytes))).toEqual(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        expect(toBase58(bytes)).toBe(new PublicKey(bytes).toBase58());
      }),
    );
  });

  test('of text too, whatever its length: each has the bytes whose one form it is', () => {
    const text = fc.string({ unit: fc.constantFrom('1', '9', 'A', 'z', '2', 'Z', 'a', 'R', '7', 'm'), maxLength: 100 });
    fc.assert(fc.property(text, (written) => toBase58(fromBase58(written)) === written));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        const full = bytes.with(0, 255);
        expect(BigInt(`0x${Buffer.from(fromBase58(toBase58(full))).toString('hex')}`)).toBe(
          BigInt(`0x${Buffer.from(full).toString('hex')}`),
        );
      }),
    );
  });

  test('zero bytes in front are ones, and nothing is nothing', () => {
    expect(toBase58(new Uint8Array(32))).toBe('1'.repeat(32));
    expect(fromBase58('')).toEqual(new Uint8Array());
    expect(toBase58(Uint8Array.of(0, 0, 1))).toBe('112');
  });

  test.each(['0', 'O', 'I', 'l', ' ', 'é', '1'.repeat(1701)])('%# other letters, and too many, are refused', (text) => {
    expect(() => fromBase58(text)).toThrow(/Base58/);
  });

  test('a size is exact: one byte more or less is something else', () => {
    expect(isBase58('1'.repeat(32), 32)).toBe(true);
    expect(isBase58('1'.repeat(31), 32)).toBe(false);
    expect(isBase58('1'.repeat(33), 32)).toBe(false);
    expect(isBase58(5, 32)).toBe(false);
    expect(isBase58('0'.repeat(32), 32)).toBe(false);
    expect(() => toBase58(new Uint8Array(1233))).toThrow(/1232/);
  });
});
