import fc from 'fast-check';
import { toBase58 } from './base58.js';
import { decodeMemo, encodeMemo, solanaAssetId, solanaChain, solanaMintOf } from './solana.js';

const ADDRESS = Buffer.alloc(32, 7).toString('base64url');

describe('Solana names', () => {
  test('assets: SOL, and a mint', () => {
    const chain = solanaChain('5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d');
    expect(chain).toBe('solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp');
    expect(solanaAssetId(chain, null)).toBe(`${chain}/slip44:501`);
    expect(solanaAssetId(chain, '1'.repeat(32))).toBe(`${chain}/token:${'1'.repeat(32)}`);
    expect(() => solanaAssetId(chain, '0')).toThrow(/base58/);
  });
});

describe('S15 memos', () => {
  test('what is written is read, tags and all', () => {
    const tags = [{ name: 'X-Order', value: 'grün=7' }];
    expect(decodeMemo(encodeMemo(ADDRESS, tags))).toEqual({ recipient: ADDRESS, tags });
    expect(decodeMemo(encodeMemo(ADDRESS))).toEqual({ recipient: ADDRESS, tags: [] });
    expect(() => encodeMemo(ADDRESS, [{ name: 'X-Long', value: 'x'.repeat(700) }])).toThrow(/700 bytes/);
    expect(() => encodeMemo('nobody')).toThrow(/AO recipient/);
  });

  test('any other bytes name nobody', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (random) => decodeMemo(random) === null));
    for (const text of ['', 'ao:', `AO:${ADDRESS}`, ` ao:${ADDRESS}`, `ao:${ADDRESS}\r\nX-A=1`, `ao:${ADDRESS}=`])
      expect(decodeMemo(Buffer.from(text))).toBeNull();
    expect(decodeMemo(Buffer.concat([Buffer.from(`ao:${ADDRESS}\nX-A=`), Buffer.of(0xff)]))).toBeNull();
  });

  test('lines that are no tags are no tags, and the recipient stands', () => {
    for (const rest of ['\n', '\nX-A', '\nX-A=1\nX-A=2'])
      expect(decodeMemo(Buffer.from(`ao:${ADDRESS}${rest}`))).toEqual({ recipient: ADDRESS, tags: null });
  });
});

it('an asset’s id names its mint, or SOL, and nothing else is an asset of Solana', () => {
  const chain = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
  const mint = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => toBase58(bytes));
  fc.assert(fc.property(mint, (m) => expect(solanaMintOf(solanaAssetId(chain, m))).toBe(m)));
  expect(solanaMintOf(solanaAssetId(chain, null))).toBeNull();
  for (const id of [
    '',
    '/',
    chain,
    `${chain}/token:`,
    `${chain}/token:0`,
    `${chain}/slip44:60`,
    `${chain}/slip44:501/`,
  ])
    expect(solanaMintOf(id)).toBeUndefined();
});
