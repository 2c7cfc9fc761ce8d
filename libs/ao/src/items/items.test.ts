/** Items against a second implementation, both ways, and against every kind of tampering. */
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import {
  ArweaveSigner,
  bundleAndSignData,
  createData,
  DataItem,
  EthereumSigner,
  HexSolanaSigner,
  SolanaSigner,
} from '@dha-team/arbundles';
import { ed25519, ED25519_TORSION_SUBGROUP } from '@noble/curves/ed25519.js';
import { testWallet } from '@isthmus/store';
import fc from 'fast-check';
import type { Signer } from '../types.js';
import {
  arweaveSigner,
  createItem,
  decodeBundle,
  ed25519Signer,
  encodeBundle,
  ethereumSigner,
  ItemError,
  joinItem,
  parseItem,
  verifyItem,
} from './index.js';
import { signedMessage } from './layout.js';
import { isSigned } from './signature.js';

const jwk = testWallet();
const secret = `0x${randomBytes(32).toString('hex')}` as const;
const signers: Record<string, Signer> = {
  arweave: arweaveSigner(jwk),
  ed25519: ed25519Signer(randomBytes(32)),
  ethereum: ethereumSigner(secret),
  'solana (hexadecimal)': hexSolana(ed25519Signer(randomBytes(32))),
};
/** A Solana wallet that signs only text. */
function hexSolana(key: Signer): Signer {
  return { ...key, signatureType: 4, sign: (message) => key.sign(Buffer.from(Buffer.from(message).toString('hex'))) };
}
const content = {
  target: randomBytes(32).toString('base64url'),
  anchor: randomBytes(16).toString('hex'),
  tags: [{ name: 'Action', value: 'Grüße' }],
  data: 'hello',
};

describe.each(Object.entries(signers))('%s items', (_, signer) => {
  it('read back as they were made, and are accepted by arbundles', async () => {
    const item = await createItem(content, signer);
    const again = parseItem(item.raw);
    expect(again).toEqual(item);
    expect(again).toMatchObject({
      target: content.target,
      anchor: content.anchor,
      tags: content.tags,
      ownerAddress: signer.address,
    });
    expect(again.data.toString()).toBe('hello');
    expect(await verifyItem(again)).toBe(true);
    expect(await DataItem.verify(item.raw)).toBe(true);
    expect(new DataItem(item.raw).id).toBe(item.id);
  });

  it('A13 are refused after any one byte changed', async () => {
    const { raw } = await createItem(content, signer);
    const places = [...fc.sample(fc.nat({ max: raw.length - 1 }), { numRuns: 60, seed: 1 }), 66];
    for (const place of places) {
      const altered = Buffer.from(raw);
      altered[place] = (altered[place] as number) ^ 1;
      const passes = await Promise.resolve()
        .then(() => verifyItem(parseItem(altered)))
        .catch(() => false);
      expect(passes).toBe(false);
    }
  });
});

it('reads items arbundles made, with the same id and author', async () => {
  const seed = randomBytes(32);
  const { publicKey } = ed25519Signer(seed);
  const solana = base58(Buffer.concat([seed, publicKey]));
  const hex = new HexSolanaSigner(solana);
  for (const [type, signer] of [
    [1, new ArweaveSigner(jwk as never)],
    [2, new SolanaSigner(solana)],
    [3, new EthereumSigner(secret)],
    [4, hex],
  ] as const) {
    const made = createData('data', signer, {
      tags: [
        { name: 'A', value: 'b' },
        { name: 'A', value: '' },
      ],
      anchor: 'a'.repeat(32),
    });
    await made.sign(signer);
    const item = parseItem(made.getRaw());
    expect(item).toMatchObject({
      id: made.id,
      signatureType: type,
      target: '',
      anchor: 'a'.repeat(32),
      tags: made.tags,
    });
    expect(await verifyItem(item)).toBe(true);
  }
  expect(parseItem((await createItem(content, signers['ethereum']!)).raw).ownerAddress).toMatch(/^0x[0-9a-fA-F]{40}$/);
});

/** Arbundles takes a Solana key as its 64 bytes in base 58. */
function base58(bytes: Buffer): string {
  const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  let text = '';
  for (let rest = BigInt(`0x${bytes.toString('hex')}`); rest > 0n; rest /= 58n)
    text = (digits[Number(rest % 58n)] ?? '') + text;
  return text;
}

it('a signature of one type is none of another, though key and bytes fit', async () => {
  const key = signers['ed25519']!;
  for (const [signer, other] of [
    [key, 4],
    [hexSolana(key), 2],
  ] as const) {
    const { raw } = await createItem(content, signer);
    expect(await verifyItem({ raw })).toBe(true);
    raw.writeUInt16LE(other);
    expect(parseItem(raw).signatureType).toBe(other);
    expect(await verifyItem({ raw })).toBe(false);
  }
});

it.each([63, 64, 127, 128, 1024])(
  'tags with a length of %i bytes, and as many as there may be, are read as they were written',
  async (bytes) => {
    const own = { name: 'n'.repeat(bytes), value: 'ü'.repeat(bytes / 2) };
    for (const count of [1, Math.min(bytes, Math.floor(16_000 / bytes / 2), 128)]) {
      const tags = Array.from({ length: count }, () => own);
      expect(parseItem((await createItem({ tags, data: '' }, signers['ed25519']!)).raw).tags).toEqual(tags);
    }
    const many = Array.from({ length: Math.min(bytes, 128) }, (_, i) => ({ name: 'n', value: String(i) }));
    expect(parseItem((await createItem({ tags: many, data: '' }, signers['ed25519']!)).raw).tags).toEqual(many);
  },
);

it('round-trips any tags and data', async () => {
  const tag = fc.record({
    name: fc.string({ minLength: 1, maxLength: 30 }),
    value: fc.string({ maxLength: 60, unit: 'grapheme' }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(tag, { maxLength: 20 }), fc.uint8Array({ maxLength: 200 }), async (tags, data) => {
      const item = parseItem((await createItem({ tags, data }, signers['ed25519']!)).raw);
      expect(item.tags).toEqual(tags);
      expect(item.data).toEqual(Buffer.from(data));
    }),
    { numRuns: 60 },
  );
});

it('any bytes are an item or a typed refusal', async () => {
  const { raw } = await createItem(content, signers['ed25519']!);
  const cut = fc.nat({ max: raw.length }).map((n) => raw.subarray(0, n));
  const flipped = fc
    .tuple(fc.nat({ max: raw.length - 1 }), fc.nat({ max: 255 }))
    .map(([i, b]) => Buffer.from(raw.map((v, j) => (j === i ? b : v))));
  fc.assert(
    fc.property(
      fc.oneof(
        cut,
        flipped,
        fc.uint8Array({ maxLength: 400 }).map((b) => Buffer.from(b)),
      ),
      (bytes) => {
        try {
          parseItem(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(ItemError);
        }
      },
    ),
    { numRuns: 500 },
  );
});

it.each([
  ['a tag without a name', { tags: [{ name: '', value: 'x' }] }],
  ['129 tags', { tags: Array.from({ length: 129 }, () => ({ name: 'a', value: 'b' })) }],
  ['a value over 3,072 bytes', { tags: [{ name: 'a', value: 'b'.repeat(3073) }] }],
  ['a short target', { target: 'AAAA' }],
  ['a short anchor', { anchor: 'short' }],
])('refuses to make an item with %s', async (_, part) => {
  await expect(createItem({ ...content, ...part }, signers['ed25519']!)).rejects.toBeInstanceOf(ItemError);
});

it('signs the same content to the same item, so that a repeated push is the same message', async () => {
  for (const kind of ['ethereum', 'ed25519']) {
    const [a, b] = [await createItem(content, signers[kind]!), await createItem(content, signers[kind]!)];
    expect(a.id).toBe(b.id);
  }
});

it('A6 an Ethereum item has one signature only: neither the other s nor the other recovery byte gives it a second id', async () => {
  const item = await createItem(content, signers['ethereum']!);
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const highS = Buffer.from(
    (order - BigInt(`0x${item.signature.subarray(32, 64).toString('hex')}`)).toString(16).padStart(64, '0'),
    'hex',
  );
  for (const v of [0, 1, 27, 28, 29]) {
    const twin = Buffer.from(item.raw);
    highS.copy(twin, 34);
    twin[66] = v;
    expect(await verifyItem(parseItem(twin))).toBe(false);
  }
});

describe('A6 an id names one content: ed25519', () => {
  const { Point } = ed25519;
  const FIELD = 2n ** 255n - 19n;
  /** y as 32 bytes, with the sign of x. */
  const encoded = (y: bigint, sign: 0 | 1) => {
    const bytes = Buffer.from(Buffer.from(y.toString(16).padStart(64, '0'), 'hex').toReversed());
    bytes[31] = (bytes[31] as number) | (sign << 7);
    return bytes;
  };
  const small = ED25519_TORSION_SUBGROUP.map((hex) => Buffer.from(hex, 'hex'));
  const odd = [0n, 1n, FIELD - 1n, FIELD, FIELD + 1n, 2n ** 255n - 1n].flatMap((y) => [encoded(y, 0), encoded(y, 1)]);
  const forged = (type: 2 | 4, owner: Buffer, R: Buffer, data: string) =>
    joinItem({
      type,
      signature: Buffer.concat([R, Buffer.alloc(32)]),
      owner,
      target: Buffer.alloc(0),
      anchor: Buffer.alloc(0),
      tags: [],
      data: Buffer.from(data),
    });

  it.each([2, 4] as const)('type %i takes no key and no R of small order, or in another form', async (type) => {
    expect(small).toHaveLength(8);
    const good = Buffer.from(ed25519Signer(randomBytes(32)).publicKey);
    for (const owner of [...small, ...odd])
      for (const R of [...small, ...odd])
        for (const data of ['a', 'b']) expect(isSigned(forged(type, owner, R, data).raw)).toBe(false);
    for (const R of [...small, ...odd]) expect(isSigned(forged(type, good, R, 'a').raw)).toBe(false);
  });

  it('takes no R of small order from the owner of a good key either, and no s above the order', async () => {
    const seed = randomBytes(32);
    const signer = ed25519Signer(seed);
    const item = await createItem(content, signer);
    const order = Point.Fn.ORDER;
    const s = BigInt(`0x${Buffer.from(item.signature.subarray(32).toReversed()).toString('hex')}`);
    const twin = Buffer.from(item.raw);
    encoded(s + order, 0).copy(twin, 2 + 32);
    expect(isSigned(item.raw)).toBe(true);
    expect(isSigned(twin)).toBe(false);

    // R = identity, s = k * a: the equation holds
    const { scalar } = ed25519.utils.getExtendedPublicKey(seed);
    const R = encoded(1n, 0);
    const parts = {
      type: 2 as const,
      owner: Buffer.from(signer.publicKey),
      target: Buffer.alloc(0),
      anchor: Buffer.alloc(0),
    };
    const message = signedMessage({ ...parts, tags: Buffer.alloc(0), data: Buffer.from('x') });
    const hashed = createHash('sha512')
      .update(Buffer.concat([R, parts.owner, message]))
      .digest();
    const k = Point.Fn.create(BigInt(`0x${Buffer.from(hashed.toReversed()).toString('hex')}`));
    const signature = Buffer.concat([R, encoded(Point.Fn.mul(k, scalar), 0)]);
    expect(verify(null, message, ed25519Key(parts.owner), signature)).toBe(true);
    expect(isSigned(joinItem({ ...parts, signature, tags: [], data: Buffer.from('x') }).raw)).toBe(false);
  });
});

/** As native code takes it. */
const ed25519Key = (owner: Buffer) =>
  createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), owner]),
    format: 'der',
    type: 'spki',
  });

it('A6 RSA signatures are those of their key’s length, below the modulus, whatever the modulus', async () => {
  const item = await createItem(content, signers['arweave']!);
  const modulus = BigInt(`0x${item.owner.toString('hex')}`);
  const higher = BigInt(`0x${item.signature.toString('hex')}`) + modulus;
  const altered = (signature: Buffer, owner: Buffer) =>
    Buffer.concat([item.raw.subarray(0, 2), signature, owner, item.raw.subarray(1026)]);
  if (higher < 2n ** 4096n) expect(isSigned(altered(Buffer.from(higher.toString(16), 'hex'), item.owner))).toBe(false);
  const bytes = (n: bigint) => Buffer.from(n.toString(16).padStart(1024, '0'), 'hex');
  for (const owner of [0n, 1n, 2n, 3n, 65537n, 2n ** 2048n - 1n, 2n ** 4095n, 2n ** 4096n - 1n])
    for (const signature of [0n, 1n, 2n, owner - 1n])
      if (signature >= 0n) expect(isSigned(altered(bytes(signature), bytes(owner)))).toBe(false);
  expect(isSigned(altered(item.signature, item.owner))).toBe(true);
});

describe('bundles', () => {
  it('round-trip, and agree with arbundles', async () => {
    const items = await Promise.all(
      ['a', 'b', 'c'].map((data) => createItem({ ...content, data }, signers['ed25519']!)),
    );
    expect(decodeBundle(encodeBundle(items))).toEqual(items);
    expect(decodeBundle(encodeBundle([]))).toEqual([]);
    const signer = new EthereumSigner(secret);
    const made = createData('x', signer);
    const bundle = await bundleAndSignData([made], signer);
    expect(decodeBundle(bundle.getRaw()).map((i) => i.id)).toEqual([made.id]);
  });

  it('A13 refuse an id that is not the hash of its signature, cut or trailing bytes, and absurd lengths', async () => {
    const bundle = encodeBundle([await createItem(content, signers['ed25519']!)]);
    const wrongId = Buffer.from(bundle);
    wrongId[64] = (wrongId[64] as number) ^ 1;
    const longer = Buffer.concat([bundle, Buffer.from([0])]);
    const absurd = Buffer.alloc(32, 0xff);
    for (const bad of [wrongId, longer, bundle.subarray(0, -1), bundle.subarray(0, 40), absurd])
      expect(() => decodeBundle(bad)).toThrow(ItemError);
  });
});
