/**
 * HTTP message signatures (RFC 9421) and content digests (RFC 9530): the text that is signed, the keys that sign it, and requests that
 * clients sign. What a gateway signs is made of the same: `answer-signature.ts` and `receipt.ts`.
 */
import { constants, createHash, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import { parseDictionary, serializeDictionary, serializeInnerList, serializeItem } from 'structured-headers';
import type { BareItem, InnerList, Item as StructuredItem, Parameters } from 'structured-headers';
import { addressOfOwner } from '../items/index.js';
import type { Signer } from '../types.js';

export type HttpSignatureErrorCode =
  | 'malformed'
  | 'unsupported'
  | 'bad-signature'
  | 'bad-digest'
  | 'expired'
  | 'not-covered'
  | 'wrong-key'
  | 'old-key'
  | 'unsigned'
  | 'wrong-tag';

/** What is wrong with the signatures or digests of a message. */
export class HttpSignatureError extends Error {
  constructor(
    readonly code: HttpSignatureErrorCode,
    message: string,
  ) {
    super(message);
    this.name = 'HttpSignatureError';
  }
}

/** Names in lower case; a field that came several times is joined by `, `. */
export type Fields = Readonly<Record<string, string>>;

export interface SignedRequest {
  method: string;
  /** Path and query exactly as they are sent: `/a%20b?c=d`. */
  target: string;
  fields: Fields;
}

export interface SignedAnswer {
  status: number;
  fields: Fields;
}

/** A signature that holds. */
export interface Signature {
  label: string;
  /** AO address of the key. */
  address: string;
  /** Components it covers, as they are written: `"content-digest"`. */
  covers: string[];
}

/** Most signatures looked at in one message. */
const MAX_SIGNATURES = 4;
/** Most components of one signature. */
const MAX_COMPONENTS = 128;
/** How far clocks may be apart. */
const CLOCK_SKEW_S = 300;
/** Bytes of an RSA modulus that is taken: 2,048 to 4,096 bits. */
const RSA_BYTES = { least: 256, most: 512 };

/** `Content-Digest` of these bytes. */
export function contentDigest(body: Uint8Array): string {
  return `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;
}

/**
 * Whether a `Content-Digest` is of this body. The digest may be in base64url: aoconnect writes it so.
 * @throws HttpSignatureError `bad-digest` when it is not, or names no hash that is known.
 */
export function checkDigest(header: string, body: Uint8Array): void {
  const known = [...header.matchAll(/(?:^|,)\s*(sha-256|sha-512)=:([A-Za-z0-9+/_=-]{1,100}):/g)];
  if (known.length === 0)
    throw new HttpSignatureError('bad-digest', 'Content-Digest names neither sha-256 nor sha-512.');
  for (const [, name, digest] of known) {
    const is = createHash(name === 'sha-512' ? 'sha512' : 'sha256')
      .update(body)
      .digest();
    const said = Buffer.from(digest ?? '', 'base64');
    if (said.length !== is.length || !timingSafeEqual(said, is))
      throw new HttpSignatureError('bad-digest', 'Content-Digest is not that of the body.');
  }
}

/**
 * Every signature of a request, all of them good. None when it has none.
 * @throws HttpSignatureError when one is not, or cannot be checked.
 */
export function verifyRequest(request: SignedRequest, now = Date.now()): Signature[] {
  return signaturesIn(request.fields).map(({ label, input, signature }) => {
    const { key, address } = keyOf(input[1]);
    assertCurrent(input[1], now);
    const base = signatureBase(input, { request, answer: null });
    if (!key(Buffer.from(base), signature))
      throw new HttpSignatureError('bad-signature', `Signature ${label} is not by its key over this request.`);
    return { label, address, covers: input[0].map((c) => serializeItem(c)) };
  });
}

/** A signature as a message carries it, not yet checked. */
export interface FoundSignature {
  label: string;
  input: InnerList;
  signature: Buffer;
}

/** The signatures a message carries. @throws HttpSignatureError `malformed` */
export function signaturesIn(fields: Fields): FoundSignature[] {
  const [inputs, signatures] = [fields['signature-input'], fields['signature']];
  if (inputs === undefined && signatures === undefined) return [];
  const [input, values] = [dictionary(inputs ?? ''), dictionary(signatures ?? '')];
  if (input.size === 0 || input.size > MAX_SIGNATURES || input.size !== values.size)
    return refuse('malformed', `Signature and Signature-Input name the same 1 to ${MAX_SIGNATURES} signatures.`);
  return [...input].map(([label, list]) => {
    const value: unknown = values.get(label)?.[0];
    if (!isBytes(value)) return refuse('malformed', `Signature ${label} is not bytes.`);
    if (!isInnerList(list) || list[0].length > MAX_COMPONENTS)
      return refuse('malformed', `Signature-Input ${label} is not a list of at most ${MAX_COMPONENTS} components.`);
    return { label, input: list, signature: Buffer.from(value) };
  });
}

const isBytes = (value: unknown): value is ArrayBuffer =>
  typeof value === 'object' && value !== null && 'byteLength' in value;

export const isInnerList = (value: StructuredItem | InnerList): value is InnerList => Array.isArray(value[0]);

/** A structured field that is a dictionary. @throws HttpSignatureError `malformed` */
export function dictionary(header: string): ReturnType<typeof parseDictionary> {
  try {
    return parseDictionary(header);
  } catch {
    return refuse('malformed', 'A signature field is not a dictionary of structured fields.');
  }
}

export type KeyCheck = (message: Buffer, signature: Buffer) => boolean;

/** The key a signature names: `keyid` is the base64url of an RSA modulus or of an ed25519 key, as AO's clients write it. */
export function keyOf(parameters: Parameters): { key: KeyCheck; address: string } {
  const [algorithm, keyId] = [parameters.get('alg'), parameters.get('keyid')];
  if (typeof keyId !== 'string' || !/^[A-Za-z0-9_-]{1,800}={0,2}$/.test(keyId))
    return refuse('malformed', 'A signature names its key: keyid is the base64url of the public key.');
  const bytes = Buffer.from(keyId, 'base64url');
  if (algorithm === 'ed25519' && bytes.length === 32) {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }, format: 'jwk' });
    return { key: (message, signature) => verify(null, message, key, signature), address: addressOfOwner(2, bytes) };
  }
  if (algorithm === 'rsa-pss-sha512' && bytes.length >= RSA_BYTES.least && bytes.length <= RSA_BYTES.most) {
    const jwk = { kty: 'RSA', n: bytes.toString('base64url'), e: 'AQAB' };
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    // Clients of AO take the longest salt, RFC 9421 one of 64 bytes.
    const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
    return {
      key: (message, signature) => verify('sha512', message, options, signature),
      address: addressOfOwner(1, bytes),
    };
  }
  return refuse('unsupported', 'Signatures are checked with alg rsa-pss-sha512 or ed25519, and a key of that kind.');
}

/** When a signature says it was made, milliseconds. @throws HttpSignatureError `malformed` when it does not say */
export function createdAt(parameters: Parameters): number {
  const created = parameters.get('created');
  if (typeof created !== 'number') return refuse('malformed', 'The signature does not say when it was made.');
  return created * 1000;
}

/** @throws HttpSignatureError `expired` for one made in the future, or no longer good */
export function assertCurrent(parameters: Parameters, now: number): void {
  const [created, expires] = [parameters.get('created'), parameters.get('expires')];
  const second = now / 1000;
  if (typeof created === 'number' && created > second + CLOCK_SKEW_S)
    refuse('expired', 'The signature is of a time that has not come.');
  if (typeof expires === 'number' && expires < second - CLOCK_SKEW_S) refuse('expired', 'The signature has expired.');
}

export interface SignedContext {
  request: SignedRequest;
  /** Null when the request itself is signed. */
  answer: SignedAnswer | null;
}

/** Signs these components of a message: the two fields to add to it. */
export async function signatureFields(
  signer: Signer,
  label: string,
  input: InnerList,
  context: SignedContext,
): Promise<{ 'signature-input': string; signature: string }> {
  const signature = await signer.sign(Buffer.from(signatureBase(input, context)));
  return {
    'signature-input': serializeDictionary(new Map([[label, input]])),
    signature: serializeDictionary(new Map<string, StructuredItem>([[label, [signature, new Map()]]])),
  };
}

/** Parameters of a signature made now by an ed25519 key, in the order they are written. */
export function madeNow(keyId: string, now: number, more: readonly [string, BareItem][] = []): Parameters {
  return new Map<string, BareItem>([
    ['created', Math.floor(now / 1000)],
    ['keyid', keyId],
    ['alg', 'ed25519'],
    ...more,
  ]);
}

/** A key's name in what it signs: base64url of its 32 bytes. @throws Error for another kind of key */
export function keyIdOf(signer: Signer): string {
  if (signer.signatureType !== 2) throw new Error('Answers are signed with an ed25519 key.');
  return signer.publicKey.toString('base64url');
}

/** RFC 9421, section 2.5: the text that is signed. */
export function signatureBase(input: InnerList, context: SignedContext): string {
  const seen = new Set<string>();
  const lines = input[0].map(([name, parameters]) => {
    if (typeof name !== 'string') return refuse('malformed', 'A component has a name.');
    const written = serializeItem(name, parameters);
    if (seen.has(written)) return refuse('malformed', `Component ${written} is covered twice.`);
    seen.add(written);
    return `${written}: ${valueOf(name, parameters, context)}`;
  });
  return [...lines, `"@signature-params": ${serializeInnerList(input)}`].join('\n');
}

function valueOf(name: string, parameters: Parameters, { request, answer }: SignedContext): string {
  const key = parameters.get('key');
  const ofRequest = parameters.get('req') === true;
  const rest = parameters.size - (ofRequest ? 1 : 0) - (key === undefined ? 0 : 1);
  if (rest > 0 || (ofRequest && !answer) || (key !== undefined && typeof key !== 'string'))
    return refuse('unsupported', `Component ${serializeItem(name, parameters)} cannot be checked here.`);
  const source = ofRequest || !answer ? request : answer;
  if (name.startsWith('@')) return derived(name, source);
  const value = source.fields[name];
  if (value === undefined || !Object.hasOwn(source.fields, name))
    return refuse('not-covered', `The signature covers the field ${name}, which is missing.`);
  return key === undefined ? value.trim() : member(value, key);
}

function derived(name: string, source: SignedRequest | SignedAnswer): string {
  if ('status' in source) return name === '@status' ? String(source.status) : unknownComponent(name);
  const [path, query] = split(source.target);
  if (name === '@method') return source.method;
  if (name === '@path') return path;
  if (name === '@query') return `?${query ?? ''}`;
  if (name === '@request-target') return source.target;
  if (name === '@authority') return (source.fields['host'] ?? '').toLowerCase();
  return unknownComponent(name);
}

const unknownComponent = (name: string): never => refuse('unsupported', `Component ${name} cannot be checked here.`);

function split(target: string): [string, string | undefined] {
  const at = target.indexOf('?');
  return at < 0 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)];
}

function member(value: string, key: string): string {
  const found = dictionary(value).get(key);
  if (!found) return refuse('not-covered', `The signature covers ${key}, which is missing.`);
  return isInnerList(found) ? serializeInnerList(found) : serializeItem(found);
}

/** A component's identifier, as `Signature-Input` lists it. */
export function component(name: string, parameters: Record<string, BareItem> = {}): StructuredItem {
  return [name, new Map(Object.entries(parameters))];
}

export function refuse(code: HttpSignatureErrorCode, message: string): never {
  throw new HttpSignatureError(code, message);
}
