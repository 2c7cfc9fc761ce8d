/** What texts of each home chain are, and are not: addresses, transactions and references, each thing in one spelling. */
import fc from 'fast-check';
import { address as bitcoin } from 'bitcoinjs-lib';
import { isXOnlyPoint } from 'tiny-secp256k1';
import {
  depositReference,
  isRecipientOn,
  isSenderOn,
  isTransactionOf,
  familyOf,
  parseDepositReference,
} from './home-chain.js';
import { NOBODYS, RESERVED_KEYS } from './solana.js';
import { toBase58 } from './base58.js';
import { BridgeError } from './errors.js';

const MAIN = 'bip122:000000000019d6689c085ae165831e93';
const TEST = 'bip122:000000000933ea01ad0ee984209779ba';
const REGTEST = 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328';
const SOLANA = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });

describe('a Bitcoin address', () => {
  // Examples of BIP 173, BIP 350 and the wiki's page on Base58Check.
  it.each([
    [MAIN, 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', true],
    [MAIN, 'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0', true],
    [TEST, 'tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7', true],
    [MAIN, '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', true],
    [MAIN, '3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy', true],
    [MAIN, 'BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4', false], // the other spelling
    [MAIN, 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5', false],
    [MAIN, 'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd', false], // the older checksum
    [MAIN, 'bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y', false], // version 1, 40 bytes
    [MAIN, 'bc1pam775nxmvam4pfpqlm5q06k0y84e3x9w0xuhdpmxuna2qj3dfg6qnzh0s2', false], // a key on no curve
    [MAIN, 'bc1sw50qgdz25j', false], // version 16
    [MAIN, 'bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs', false], // version 2
    [MAIN, 'tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7', false], // X1
    [REGTEST, 'tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7', false],
    [TEST, '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', false],
    [MAIN, '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3', false],
    [MAIN, '-', false],
    [MAIN, '', false],
    ['bip122:ffffffffffffffffffffffffffffffff', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', false],
  ])('of %s: X1 E18 %s is one: %p', (chain, text, is) => expect(isRecipientOn(chain, text)).toBe(is));

  it('of each standard kind is one, on its own network only, and with any letter changed is none', () => {
    const kinds = fc.oneof(
      bytes(20).map((b) => bitcoin.toBech32(b, 0, 'bcrt')),
      bytes(32).map((b) => bitcoin.toBech32(b, 0, 'bcrt')),
      bytes(32)
        .filter((b) => isXOnlyPoint(b))
        .map((b) => bitcoin.toBech32(b, 1, 'bcrt')),
      fc.tuple(bytes(20), fc.constantFrom(0x6f, 0xc4)).map(([b, version]) => bitcoin.toBase58Check(b, version)),
    );
    fc.assert(
      fc.property(
        kinds,
        fc.nat(),
        fc.constantFrom(...Array.from('023456789acdefghjklmnpqrstuvwxyzABC')),
        (text, at, letter) => {
          expect(isRecipientOn(REGTEST, text)).toBe(true);
          expect(isRecipientOn(MAIN, text)).toBe(false);
          const changed = Array.from(text)
            .with(at % text.length, letter)
            .join('');
          expect(isRecipientOn(REGTEST, changed)).toBe(changed === text);
        },
      ),
    );
  });

  it('is not what coins without one come from, which may be sent all the same', () => {
    expect([isSenderOn(MAIN, '-'), isRecipientOn(MAIN, '-')]).toEqual([true, false]);
  });
});

it('a Solana address is 32 bytes in base58, and not the system program', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 28, maxLength: 36 }), (b) => {
      const [is, nobody] = [b.length === 32, b.every((byte) => byte === 0)];
      expect([isSenderOn(SOLANA, toBase58(b)), isRecipientOn(SOLANA, toBase58(b))]).toEqual([is, is && !nobody]);
    }),
  );
  expect(isRecipientOn(SOLANA, '1'.repeat(32))).toBe(false);
  expect(isRecipientOn(SOLANA, '0'.repeat(44))).toBe(false);
});

it.each([...RESERVED_KEYS, ...NOBODYS])('S20 %s is an address of Solana, and nobody is paid there', (key) => {
  expect([isSenderOn(SOLANA, key), isRecipientOn(SOLANA, key)]).toEqual([true, false]);
});

it('a chain is of a family there is', () => {
  expect(['eip155:1', MAIN, SOLANA].map(familyOf)).toEqual(['eip155', 'bip122', 'solana']);
  for (const chain of ['cosmos:cosmoshub-3', 'eip155:', 'eip155:01', 'bip122:xyz', 'constructor:1', '', 'eip155'])
    expect(() => familyOf(chain)).toThrow(BridgeError);
});

describe('a deposit reference', () => {
  const places = fc.oneof(
    fc.record({
      chain: fc.constant(MAIN),
      txid: bytes(32).map((b) => Buffer.from(b).toString('hex')),
      vout: fc.nat(0xffffffff),
    }),
    fc.record({
      chain: fc.constant(SOLANA),
      signature: bytes(64).map(toBase58),
      path: fc.oneof(
        fc.nat(255).map(String),
        fc.tuple(fc.nat(255), fc.nat(65_535)).map((p) => p.join('.')),
      ),
    }),
  );

  it('reads back, and names a transaction of its own chain', () => {
    fc.assert(
      fc.property(places, (place) => {
        const reference = depositReference(place);
        expect(parseDepositReference(reference)).toEqual(place);
        const tx = 'vout' in place ? place.txid : place.signature;
        expect([MAIN, SOLANA, 'eip155:1'].filter((chain) => isTransactionOf(chain, tx))).toEqual([place.chain]);
      }),
    );
  });

  const [txid, signature] = ['ab'.repeat(32), toBase58(new Uint8Array(64).fill(7))];
  it.each([
    `${MAIN}:${txid}`,
    `${MAIN}:${txid}:`,
    `${MAIN}:${txid}:00`,
    `${MAIN}:${txid}:-1`,
    `${MAIN}:${txid}:4294967296`,
    `${MAIN}:${txid.toUpperCase()}:0`,
    `${MAIN}:0x${txid}:0`,
    `${MAIN}:${txid}:0:0`,
    `${SOLANA}:${signature}`,
    `${SOLANA}:${signature}:1.`,
    `${SOLANA}:${signature}:.1`,
    `${SOLANA}:${signature}:01`,
    `${SOLANA}:${signature}:256`,
    `${SOLANA}:${signature}:1.65536`,
    `${SOLANA}:${signature}:1.2.3`,
    `${SOLANA}:${signature}1:0`,
    `eip155:1:${txid}:0`,
    'eip155:1',
    '',
  ])('X3 %s is none', (reference) => expect(() => parseDepositReference(reference)).toThrow(BridgeError));
});
