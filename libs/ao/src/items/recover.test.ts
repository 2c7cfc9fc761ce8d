/** Recovery of keys: whichever implementation a machine has, the same signatures count. */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import fc from 'fast-check';
import { nativeRecover, recover, wasmRecover } from './recover.js';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const FIELD = 2n ** 256n - 2n ** 32n - 977n;
const bytes32 = (n: bigint): Buffer => Buffer.from(n.toString(16).padStart(64, '0'), 'hex');
const ways = { wasm: wasmRecover, ...(nativeRecover ? { native: nativeRecover } : {}) };
const parity = fc.constantFrom<0 | 1>(0, 1);
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const edge = fc.constantFrom(
  0n,
  1n,
  ORDER / 2n,
  ORDER / 2n + 1n,
  ORDER - 1n,
  ORDER,
  ORDER + 1n,
  FIELD - ORDER,
  FIELD,
  2n ** 256n - 1n,
);
const scalar = fc.oneof(edge, fc.bigInt({ min: 0n, max: 2n ** 256n - 1n })).map(bytes32);

it('where this machine has the library compiled for it, that is what is used', () => {
  const bringsOne = process.arch === 'x64' && ['linux', 'darwin', 'win32'].includes(process.platform);
  expect(nativeRecover !== null).toBe(bringsOne);
  expect(recover).toBe(nativeRecover ?? wasmRecover);
});

it.each(Object.entries(ways))(
  'A6 %s finds the key that signed, and with the other parity another or none',
  (_, way) => {
    fc.assert(
      fc.property(digest, fc.bigInt({ min: 1n, max: ORDER - 1n }), (message, key) => {
        const signed = secp256k1.Signature.fromBytes(
          secp256k1.sign(message, bytes32(key), { prehash: false, format: 'recovered' }),
          'recovered',
        );
        const own = signed.recovery as 0 | 1;
        const mine = secp256k1.getPublicKey(bytes32(key), false);
        expect(Buffer.from(way(message, signed.toBytes('compact'), own) ?? []).equals(mine)).toBe(true);
        expect(Buffer.from(way(message, signed.toBytes('compact'), own === 0 ? 1 : 0) ?? []).equals(mine)).toBe(false);
      }),
      { numRuns: 30 },
    );
  },
);

it('A6 A13 of whatever bytes, all ways say the same', () => {
  fc.assert(
    fc.property(digest, scalar, scalar, parity, (message, r, s, bit) => {
      const signature = Buffer.concat([r, s]);
      const told = Object.values(ways).map((way) => way(message, signature, bit));
      expect(told.map((key) => (key ? Buffer.from(key).toString('hex') : null))).toEqual(
        told.map(() => (told[0] ? Buffer.from(told[0]).toString('hex') : null)),
      );
    }),
    { numRuns: 500 },
  );
});

it.each(Object.entries(ways))('A13 %s refuses what has not the length', (_, way) => {
  expect(() => way(Buffer.alloc(31), Buffer.alloc(64, 1), 0)).toThrow(TypeError);
  expect(() => way(Buffer.alloc(32), Buffer.alloc(63, 1), 0)).toThrow(TypeError);
});
