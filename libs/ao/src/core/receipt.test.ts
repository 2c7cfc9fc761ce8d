/** Receipts: what a gateway signed is good wherever it was kept; everything else has a name. */
import { createPublicKey, verify } from 'node:crypto';
import fc from 'fast-check';
import { httpbis } from 'http-message-signatures';
import {
  ed25519Signer,
  HttpSignatureError,
  joinFields,
  keySetOf,
  keysOf,
  parseHttpMessage,
  ReceiptSigner,
  verifyReceipt,
  writeHttpMessage,
  type HttpMessage,
  type ReceiptKey,
} from '../index.js';
import { createdAt } from './http-signature.js';

const NOW = Date.parse('2026-11-21T10:00:00Z');
const seed = ed25519Signer(Buffer.alloc(32, 5));
const signer = new ReceiptSigner(seed, () => NOW);
const keys: ReceiptKey[] = [{ keyId: signer.keyId, until: null }];
const BODY = Buffer.from('{"id":"0xab","state":"minted"}');
const DATE = 'Sat, 21 Nov 2026 10:00:00 GMT';
const FIELDS = { 'content-type': 'application/json', date: DATE, etag: '"x"' };

async function signed(asked = '', by = signer): Promise<HttpMessage> {
  const more = await by.sign(asked, { status: 200, fields: FIELDS, body: BODY });
  return { version: '1.1', status: 200, reason: 'OK', fields: Object.entries({ ...FIELDS, ...more }), body: BODY };
}

const set = (message: HttpMessage, name: string, change: (value: string) => string | null): HttpMessage => ({
  ...message,
  fields: message.fields.flatMap(([n, value]) => {
    const changed = n === name ? change(value) : value;
    return changed === null ? [] : [[n, changed] as const];
  }),
});

/** Code of what is wrong, or 'good'. */
function verdict(message: HttpMessage | Buffer, known = keys, now = NOW): string {
  try {
    verifyReceipt(Buffer.isBuffer(message) ? parseHttpMessage(message) : message, known, now);
    return 'good';
  } catch (error) {
    if (error instanceof HttpSignatureError) return error.code;
    throw error;
  }
}

describe('a receipt', () => {
  it('says who signed what, when', async () => {
    const receipt = verifyReceipt(await signed(), keys, NOW);
    expect(receipt).toMatchObject({ keyId: signer.keyId, createdAt: NOW, label: 'isthmus', status: 200 });
    expect(receipt.covers).toEqual(['"@status"', '"content-type"', '"content-digest"', '"date"']);
  });

  it('is good as curl saves it: HTTP/2 or 1.1, CRLF or LF, after interim answers', async () => {
    const message = await signed();
    const raw = writeHttpMessage(message).toString('latin1');
    expect(verdict(Buffer.from(raw, 'latin1'))).toBe('good');
    const [head = ''] = raw.split('\r\n\r\n');
    const heads = [
      head.replace('HTTP/1.1 200 OK', 'HTTP/2 200 '),
      head.replace('HTTP/1.1 200 OK', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK'),
      head.replace(/^([^:\r]+):/gm, (name) => name.toUpperCase()).replace('HTTP/1.1 200 OK', 'HTTP/1.0 200'),
    ];
    for (const each of heads)
      for (const end of ['\r\n', '\n'])
        expect(verdict(Buffer.from(`${each.replaceAll('\r\n', end)}${end}${end}${BODY.toString()}`))).toBe('good');
  });

  it('holds for another implementation of RFC 9421', async () => {
    const { status, fields } = await signed();
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: signer.keyId }, format: 'jwk' });
    const config = {
      keyLookup: ({ keyid }: { keyid?: string }) =>
        Promise.resolve(
          keyid === signer.keyId
            ? { verify: (data: Buffer, value: Buffer) => Promise.resolve(verify(null, data, key, value)) }
            : null,
        ),
    };
    const read = async (answer: { status: number; headers: Record<string, string> }) => {
      try {
        return await httpbis.verifyMessage(config, answer);
      } catch {
        return false;
      }
    };
    const headers = Object.fromEntries(fields);
    expect(await read({ status, headers })).toBe(true);
    expect(await read({ status: 404, headers })).toBe(false);
  });

  it.each<[string, string, (message: HttpMessage) => HttpMessage]>([
    ['a tampered body', 'bad-digest', (m) => ({ ...m, body: Buffer.from(BODY.toString().replace('ab', 'cd')) })],
    ['a body cut short', 'bad-digest', (m) => ({ ...m, body: BODY.subarray(1) })],
    [
      'a body with its own digest put in',
      'bad-signature',
      (m) => set(m, 'content-digest', (v) => v.replace(/:[^:]/, ':A')),
    ],
    ['another status', 'bad-signature', (m) => ({ ...m, status: 404 })],
    ['another date', 'bad-signature', (m) => set(m, 'date', () => 'Sat, 21 Nov 2026 11:00:00 GMT')],
    ['another content type', 'bad-signature', (m) => set(m, 'content-type', () => 'text/html')],
    ['a covered field gone', 'not-covered', (m) => set(m, 'date', () => null)],
    ['the digest gone', 'not-covered', (m) => set(m, 'content-digest', () => null)],
    [
      'a component taken out of what is signed',
      'not-covered',
      (m) => set(m, 'signature-input', (v) => v.replace(' "date"', '')),
    ],
    [
      'another time of signing',
      'bad-signature',
      (m) => set(m, 'signature-input', (v) => v.replace(/created=\d/, 'created=2')),
    ],
    [
      'no signature',
      'unsigned',
      (m) =>
        set(
          set(m, 'signature', () => null),
          'signature-input',
          () => null,
        ),
    ],
    ['a signature without its input', 'malformed', (m) => set(m, 'signature-input', () => null)],
    [
      'another tag',
      'wrong-tag',
      (m) => set(m, 'signature-input', (v) => v.replace('isthmus-receipt', 'isthmus-other')),
    ],
    ['no tag', 'wrong-tag', (m) => set(m, 'signature-input', (v) => v.replace(/;tag="[^"]*"/, ''))],
    ['a signature cut short', 'bad-signature', (m) => set(m, 'signature', (v) => v.replace(/:[^:]{20}/, ':'))],
  ])('with %s is not good', async (_, code, change) => {
    const message = await signed();
    expect(verdict(message)).toBe('good');
    expect(verdict(change(message))).toBe(code);
  });

  it('by a key nobody published, or after it went out of use, or from the future, is not good', async () => {
    const message = await signed();
    const other = ed25519Signer(Buffer.alloc(32, 6)).publicKey.toString('base64url');
    expect(verdict(message, [{ keyId: other, until: null }])).toBe('wrong-key');
    expect(verdict(message, [{ keyId: signer.keyId, until: NOW }])).toBe('good');
    expect(verdict(message, [{ keyId: signer.keyId, until: NOW - 1000 }])).toBe('old-key');
    expect(verdict(message, keys, NOW - 301_000)).toBe('expired');
    // The name of a good key over another's signature.
    const forged = await signed('', new ReceiptSigner(ed25519Signer(Buffer.alloc(32, 6)), () => NOW));
    expect(verdict(set(forged, 'signature-input', (v) => v.replace(other, signer.keyId)))).toBe('bad-signature');
  });

  it('that does not say when it was made, in seconds, is not good', () => {
    expect(createdAt(new Map([['created', 7]]))).toBe(7000);
    for (const said of [new Map(), new Map([['created', '7']])])
      expect(() => createdAt(said)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  it('among others’ signatures is found, and each that claims to be one must hold', async () => {
    const two = await signed(
      'a=("@status" "content-type" "content-digest" "date"), b=("date" "@status" "content-type" "content-digest" "etag")',
    );
    expect(verdict(two)).toBe('good');
    expect(verdict(set(two, 'etag', () => '"y"'))).toBe('bad-signature');
  });
});

describe('Accept-Signature', () => {
  const inputs = async (asked: string): Promise<string> =>
    joinFields((await signed(asked)).fields)['signature-input'] ?? '';
  const ALL = '("@status" "content-type" "content-digest" "date")';

  it('is followed in label, components, nonce and parameters', async () => {
    const covers = '("etag" "@status" "content-type" "content-digest" "date")';
    const got = await inputs(
      `sig1=${covers};created;nonce="n";keyid="${signer.keyId}";alg="ed25519";tag="isthmus-receipt"`,
    );
    expect(got).toBe(
      `sig1=${covers};created=${NOW / 1000};keyid="${signer.keyId}";alg="ed25519";nonce="n";tag="isthmus-receipt"`,
    );
  });

  it.each([
    ['nothing', ''],
    ['no dictionary', '(('],
    ['an item, not a list', 'sig=1'],
    ['too little', 'sig=("@status")'],
    ['a field that is not there', 'sig=("@status" "content-type" "content-digest" "date" "x-none")'],
    ['a name every object has', 'sig=("@status" "content-type" "content-digest" "date" "tostring" "constructor")'],
    ['the same twice', 'sig=("@status" "@status" "content-type" "content-digest" "date")'],
    ['part of the request', 'sig=("@status" "content-type" "content-digest" "date" "@method";req)'],
    ['another key', `sig=${ALL};keyid="other"`],
    ['another tag', `sig=${ALL};tag="other"`],
    ['an end of its validity', `sig=${ALL};expires=2000000000`],
    ['a nonce without end', `sig=${ALL};nonce="${'n'.repeat(257)}"`],
    ['what nobody knows', `sig=${ALL};toString`],
  ])('for %s gets the gateway’s own receipt', async (_, asked) => {
    expect(await inputs(asked)).toMatch(/^isthmus=\("@status" "content-type" "content-digest" "date"\);created=/);
    expect(verdict(await signed(asked))).toBe('good');
  });

  it('for many signatures gets four', async () => {
    const asked = Array.from({ length: 9 }, (_, i) => `s${i}=${ALL}`).join(', ');
    expect((await inputs(asked)).match(/isthmus-receipt/g)).toHaveLength(4);
  });
});

describe('published keys', () => {
  it('are read as they are written; others’ kinds are passed over', () => {
    const published: ReceiptKey[] = [...keys, { keyId: Buffer.alloc(32, 9).toString('base64url'), until: 5000 }];
    const text = JSON.parse(JSON.stringify(keySetOf(published))) as { keys: object[] };
    expect(keysOf(text)).toEqual(published);
    expect(keysOf({ keys: [{ kty: 'RSA', n: 'x' }, null, ...text.keys] })).toEqual(published);
  });

  it.each([
    null,
    'text',
    {},
    { keys: [] },
    { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'short' }] },
    { keys: Array.from({ length: 65 }, () => ({})) },
  ])('%j is no key set', (value) => {
    expect(() => keysOf(value)).toThrow(HttpSignatureError);
  });
});

describe('a saved message', () => {
  const name = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/);
  const value = fc.stringMatching(/^([!-~]([ -~\t]{0,20}[!-~])?)?$/);
  const message: fc.Arbitrary<HttpMessage> = fc.record({
    version: fc.constantFrom('1.0', '1.1', '2', '3'),
    status: fc.integer({ min: 100, max: 999 }),
    reason: fc.stringMatching(/^([!-~]([ -~]{0,20}[!-~])?)?$/),
    fields: fc.array(fc.tuple(name, value), { maxLength: 10 }),
    body: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  });

  it('is read as it was written, with either ends of lines', () => {
    fc.assert(
      fc.property(message, (written) => {
        const raw = writeHttpMessage(written);
        expect(parseHttpMessage(raw)).toEqual(written);
        const head = raw.subarray(0, raw.length - written.body.length).toString('latin1');
        const withLf = Buffer.concat([Buffer.from(head.replaceAll('\r\n', '\n'), 'latin1'), written.body]);
        expect(parseHttpMessage(withLf)).toEqual(written);
      }),
    );
  });

  it('that is anything is refused with an error of ours, or read', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.string().map((s) => Buffer.from(`HTTP/1.1 200\n${s}`)),
        ),
        (bytes) => {
          try {
            parseHttpMessage(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(HttpSignatureError);
          }
        },
      ),
    );
  });

  it.each([
    ['a field that ends the fields', { fields: [['x', 'a\r\n\r\nb']] }],
    ['a field with a line of its own', { fields: [['x', 'a\nb: c']] }],
    ['a name that is none', { fields: [['x y', 'a']] }],
    ['a body that reads as an answer', { body: Buffer.from('HTTP/1.1 200 OK\n\n') }],
  ] as [string, Partial<HttpMessage>][])('with %s is not written', (_, part) => {
    const plain: HttpMessage = { version: '1.1', status: 200, reason: 'OK', fields: [], body: Buffer.alloc(0) };
    expect(() => writeHttpMessage({ ...plain, ...part })).toThrow(HttpSignatureError);
  });

  it('without end, or with fields without end, is refused', () => {
    const head = (fields: number): Buffer => Buffer.from(`HTTP/1.1 200 OK\n${'a: b\n'.repeat(fields)}\n`);
    expect(parseHttpMessage(head(256)).fields).toHaveLength(256);
    expect(() => parseHttpMessage(head(257))).toThrow(/at most 256/);
    expect(() => parseHttpMessage(Buffer.from(`HTTP/1.1 200 OK\na: ${'b'.repeat(70_000)}\n\n`))).toThrow(
      /no empty line/,
    );
  });
});
