import { BITCOIN_PREFIXES } from '@isthmus/bridge';
import fc from 'fast-check';
import { address as codec, networks, payments } from 'bitcoinjs-lib';
import { xOnlyPointFromScalar } from 'tiny-secp256k1';
import {
  addressOfScript,
  addressScript,
  encodeAddress,
  isBitcoinAddress,
  parseAddress,
  type AddressKind,
} from './address.js';
import { keyOf, secretOf } from './harness.js';
import { chainOf, networkOf, NETWORKS } from './network.js';

const key = keyOf(secretOf('someone'));
const hashes: Record<AddressKind, Uint8Array> = {
  p2pkh: payments.p2pkh({ pubkey: key }).hash!,
  p2sh: Buffer.alloc(20, 3),
  p2wpkh: payments.p2wpkh({ pubkey: key }).hash!,
  p2wsh: Buffer.alloc(32, 4),
  p2tr: xOnlyPointFromScalar(secretOf('someone')),
};
const kinds = Object.keys(hashes) as AddressKind[];
const all = Object.values(NETWORKS);

describe('an address', () => {
  it.each(all)('of each kind is read and written back on $name, as others write it', (network) => {
    for (const kind of kinds) {
      const text = encodeAddress({ kind, hash: hashes[kind] }, network);
      expect(parseAddress(text, network)).toEqual({
        kind,
        hash: Uint8Array.from(hashes[kind]),
        script: addressScript(kind, hashes[kind]),
      });
      expect(addressOfScript(addressScript(kind, hashes[kind]))?.kind).toBe(kind);
    }
    expect(encodeAddress({ kind: 'p2wpkh', hash: hashes.p2wpkh }, NETWORKS.mainnet)).toBe(
      payments.p2wpkh({ pubkey: key }).address,
    );
    expect(
      Buffer.from(
        codec.toOutputScript(encodeAddress({ kind: 'p2sh', hash: hashes.p2sh }, NETWORKS.regtest), networks.regtest),
      ),
    ).toEqual(addressScript('p2sh', hashes.p2sh));
  });

  it('X1: of another network is refused', () => {
    for (const kind of kinds)
      for (const other of ['testnet3', 'testnet4', 'signet', 'regtest'] as const) {
        expect(isBitcoinAddress(encodeAddress({ kind, hash: hashes[kind] }, NETWORKS[other]), NETWORKS.mainnet)).toBe(
          false,
        );
        expect(isBitcoinAddress(encodeAddress({ kind, hash: hashes[kind] }, NETWORKS.mainnet), NETWORKS[other])).toBe(
          false,
        );
      }
  });

  it('that is none is told what to change: its network, its checksum, its form', () => {
    for (const kind of kinds) {
      const text = encodeAddress({ kind, hash: hashes[kind] }, NETWORKS.mainnet);
      const mistyped = text.slice(0, -1) + (text.endsWith('q') ? 'p' : 'q');
      expect(() => parseAddress(text, NETWORKS.regtest)).toThrow(/address of mainnet\. Write a regtest address/);
      for (const network of all) expect(() => parseAddress(mistyped, network)).toThrow(/checksum .* mistyped/);
    }
    for (const other of ['', 'me', 'bc1', ['x'], 'o'.repeat(1_000)])
      expect(() => parseAddress(other, NETWORKS.regtest)).toThrow(/^Write a regtest address/);
  });

  it('in any other spelling is refused', () => {
    const text = encodeAddress({ kind: 'p2wpkh', hash: hashes.p2wpkh }, NETWORKS.mainnet);
    for (const other of [
      text.toUpperCase(),
      ` ${text}`,
      `${text}\n`,
      `${text}q`,
      text.slice(0, -1),
      '',
      null,
      7,
      `${text}${'q'.repeat(10_000)}`,
    ])
      expect(isBitcoinAddress(other, NETWORKS.mainnet)).toBe(false);
  });

  it('of a witness version or length that is not standard, or whose taproot key is not on the curve, is refused', () => {
    const odd = (data: Uint8Array, version: number) =>
      isBitcoinAddress(codec.toBech32(data, version, 'bc'), NETWORKS.mainnet);
    expect(odd(Buffer.alloc(32, 1), 2)).toBe(false);
    expect(odd(Buffer.alloc(20, 1), 1)).toBe(false);
    expect(odd(hashes.p2tr, 1)).toBe(true);
    expect(odd(Buffer.alloc(32, 0xff), 1)).toBe(false);
  });

  it('with one letter changed is refused', () => {
    const texts = kinds.map((kind) => encodeAddress({ kind, hash: hashes[kind] }, NETWORKS.mainnet));
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.nat(),
        fc.constantFrom(...Array.from('023456789acdefghjklmnpqrstuvwxyzABCD')),
        (text, at, letter) => {
          const i = at % text.length;
          const other = text.slice(0, i) + letter + text.slice(i + 1);
          return other === text || !isBitcoinAddress(other, NETWORKS.mainnet);
        },
      ),
    );
  });
});

it('a network has its CAIP-2 name', () => {
  expect(chainOf(NETWORKS.mainnet)).toBe('bip122:000000000019d6689c085ae165831e93');
  for (const network of all) expect(networkOf(chainOf(network))).toBe(network);
  // What the rules know addresses of, can be paid.
  expect(all.map(chainOf).toSorted()).toEqual(Object.keys(BITCOIN_PREFIXES).toSorted());
  expect(() => networkOf('bip122:12')).toThrow('none of the Bitcoin networks');
});
