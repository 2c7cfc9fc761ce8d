/**
 * Receipts: answers signed as RFC 9421 has it when a client asks for that (`Accept-Signature`), so that whoever keeps one can show later what a
 * gateway said, when, without the gateway. A receipt stands for itself: it covers nothing of the request, and the answer says what it is of.
 */
import { serializeItem } from 'structured-headers';
import type { BareItem, InnerList, Parameters } from 'structured-headers';
import type { Signer } from '../types.js';
import { joinFields, type HttpMessage } from './http-message.js';
import {
  assertCurrent,
  checkDigest,
  component,
  contentDigest,
  createdAt,
  dictionary,
  HttpSignatureError,
  isInnerList,
  keyIdOf,
  keyOf,
  madeNow,
  refuse,
  signatureBase,
  signatureFields,
  signaturesIn,
  type Fields,
  type FoundSignature,
  type SignedAnswer,
} from './http-signature.js';

/** What the signature of a receipt says it is for: no other signature by the same key is one. */
export const RECEIPT_TAG = 'isthmus-receipt';
/** Under which a gateway signs when the client names no label. */
export const RECEIPT_LABEL = 'isthmus';
/** What every receipt covers. */
export const RECEIPT_COVERS = ['@status', 'content-type', 'content-digest', 'date'] as const;

/** What was asked for, path and query: covered wherever an answer has it, for an empty page says nothing of whose it is. */
const PLACE = 'content-location';

/** Signatures of one answer, and components of each: what a client may ask for. */
const MAX_ASKED = 4;
const MAX_COMPONENTS = 32;
const MAX_NONCE = 256;
/** Keys of a published set. */
const MAX_KEYS = 64;

/** No part of a request is covered. */
const NO_REQUEST = { method: '', target: '', fields: {} };

interface Asked {
  label: string;
  names: readonly string[];
  nonce?: string;
}
const OWN: Asked = { label: RECEIPT_LABEL, names: RECEIPT_COVERS };

/** Signs receipts with a gateway's receipt key (ed25519). */
export class ReceiptSigner {
  /** The key as receipts name it: base64url of its 32 bytes. */
  readonly keyId: string;

  /** @throws Error for another kind of key */
  constructor(
    private readonly signer: Signer,
    private readonly now: () => number = Date.now,
  ) {
    this.keyId = keyIdOf(signer);
  }

  /**
   * Fields to add to an answer: digest and signatures. `asked` is the request's `Accept-Signature`; of what it asks for, that is done which makes
   * a receipt and can be covered. When none does, the answer gets the gateway's own (RFC 9421, section 5.2, leaves both to us).
   * @param answer its fields include `content-type` and `date`
   */
  async sign(asked: string, answer: SignedAnswer & { body: Uint8Array }): Promise<Record<string, string>> {
    const digest = contentDigest(answer.body);
    const context = {
      request: NO_REQUEST,
      answer: { status: answer.status, fields: { ...answer.fields, 'content-digest': digest } },
    };
    const { fields } = context.answer;
    const wanted = this.wanted(asked).filter(({ names }) =>
      names.every((n) => n === '@status' || Object.hasOwn(fields, n)),
    );
    const made = await Promise.all(
      (wanted.length > 0 ? wanted : [OWN]).map(({ label, names: asIs, nonce }) => {
        const names = Object.hasOwn(fields, PLACE) ? [...new Set([...asIs, PLACE])] : asIs;
        const more: [string, BareItem][] = nonce === undefined ? [] : [['nonce', nonce]];
        const parameters = madeNow(this.keyId, this.now(), [...more, ['tag', RECEIPT_TAG]]);
        return signatureFields(this.signer, label, [names.map((name) => component(name)), parameters], context);
      }),
    );
    return {
      'content-digest': digest,
      'signature-input': made.map((m) => m['signature-input']).join(', '),
      signature: made.map((m) => m.signature).join(', '),
    };
  }

  private wanted(asked: string): Asked[] {
    return [...parsed(asked)].slice(0, MAX_ASKED).flatMap(([label, member]) => {
      if (!isInnerList(member)) return [];
      const names = namesOf(member);
      return names && this.canGive(member[1]) ? [{ label, names, ...nonceOf(member[1]) }] : [];
    });
  }

  /** Whether what it asks of the signature is so in those made here. */
  private canGive(parameters: Parameters): boolean {
    const given: Readonly<Record<string, (value: BareItem) => boolean>> = {
      created: (value) => value === true,
      keyid: (value) => value === true || value === this.keyId,
      alg: (value) => value === true || value === 'ed25519',
      tag: (value) => value === true || value === RECEIPT_TAG,
      nonce: (value) => typeof value === 'string' && value.length <= MAX_NONCE,
    };
    return [...parameters].every(([name, value]) => Object.hasOwn(given, name) && given[name]?.(value) === true);
  }
}

/** A field that is no dictionary is as good as none (RFC 9651, section 4.2). */
function parsed(asked: string): ReturnType<typeof dictionary> {
  try {
    return dictionary(asked);
  } catch (error) {
    if (error instanceof HttpSignatureError) return new Map();
    throw error;
  }
}

/** Names of what is to be covered, or null when that is not what makes a receipt. */
function namesOf([components]: InnerList): string[] | null {
  const names = components.map(([name, parameters]) => (parameters.size === 0 ? name : null));
  if (names.length > MAX_COMPONENTS || new Set(names).size !== names.length) return null;
  if (!names.every((name) => typeof name === 'string')) return null;
  return RECEIPT_COVERS.every((name) => names.includes(name)) ? names : null;
}

function nonceOf(parameters: Parameters): { nonce?: string } {
  const nonce = parameters.get('nonce');
  return typeof nonce === 'string' ? { nonce } : {};
}

/** A key that a gateway publishes for its receipts. */
export interface ReceiptKey {
  /** base64url of the 32 bytes. */
  keyId: string;
  /** What it signed after this is no receipt (milliseconds); null while it is in use. */
  until: number | null;
}

/** A JSON Web Key Set (RFC 7517, RFC 8037). */
export interface KeySet {
  keys: { kty: 'OKP'; crv: 'Ed25519'; x: string; kid: string; use: 'sig'; exp?: number }[];
}

/** The set to publish; `exp` is when a key went out of use, in seconds. */
export function keySetOf(keys: readonly ReceiptKey[]): KeySet {
  return {
    keys: keys.map(({ keyId, until }) => ({
      kty: 'OKP',
      crv: 'Ed25519',
      x: keyId,
      kid: keyId,
      use: 'sig',
      ...(until === null ? {} : { exp: Math.floor(until / 1000) }),
    })),
  };
}

/** The receipt keys of a published set; keys of other kinds are passed over. @throws HttpSignatureError `malformed` when it is no such set, or holds none */
export function keysOf(set: unknown): ReceiptKey[] {
  const list: unknown = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : null;
  if (!Array.isArray(list) || list.length > MAX_KEYS)
    return refuse('malformed', `A key set is {"keys": […]} with at most ${MAX_KEYS} keys.`);
  const keys = list.flatMap((entry: unknown): ReceiptKey[] => {
    if (typeof entry !== 'object' || entry === null) return [];
    const { kty, crv, x, exp } = entry as Record<string, unknown>;
    if (kty !== 'OKP' || crv !== 'Ed25519' || typeof x !== 'string' || !isKeyId(x)) return [];
    return [{ keyId: x, until: typeof exp === 'number' ? exp * 1000 : null }];
  });
  return keys.length > 0 ? keys : refuse('malformed', 'The key set holds no ed25519 key.');
}

/** Whether this is the base64url of 32 bytes, in its one form. */
export const isKeyId = (text: string): boolean =>
  /^[A-Za-z0-9_-]{43}$/.test(text) && Buffer.from(text, 'base64url').toString('base64url') === text;

/** What a good receipt shows. */
export interface Receipt {
  keyId: string;
  /** When it was signed, milliseconds. */
  createdAt: number;
  label: string;
  covers: string[];
  status: number;
  fields: Fields;
  /** Path and query it answers; null when the signature does not say. */
  place: string | null;
}

/**
 * Checks that whoever holds one of these keys has given this answer. Every signature of it that says it is a receipt's, by one of the keys, must hold.
 * @throws HttpSignatureError `unsigned`, `wrong-tag`, `wrong-key`, `old-key`, `not-covered`, `bad-digest`, `bad-signature`, `expired` (made in the
 * future), `malformed`
 */
export function verifyReceipt(message: HttpMessage, keys: readonly ReceiptKey[], now = Date.now()): Receipt {
  const fields = joinFields(message.fields);
  const found = signaturesIn(fields);
  if (found.length === 0) refuse('unsigned', 'The answer carries no signature: ask for one with Accept-Signature.');
  const tagged = found.filter(({ input }) => input[1].get('tag') === RECEIPT_TAG);
  if (tagged.length === 0) refuse('wrong-tag', `No signature of it has the tag ${RECEIPT_TAG}: it is no receipt.`);
  const byKey = new Map(keys.map((key) => [key.keyId, key]));
  const known = tagged.flatMap((signature) => {
    const keyId = signature.input[1].get('keyid');
    const key = typeof keyId === 'string' ? byKey.get(keyId) : undefined;
    return key ? [{ signature, key }] : [];
  });
  const receipts = known.map(({ signature, key }) => checked(signature, key, message, fields, now));
  return receipts[0] ?? refuse('wrong-key', `It is signed with a key that is not among those given: ${named(tagged)}.`);
}

function checked(
  { label, input, signature }: FoundSignature,
  { keyId, until }: ReceiptKey,
  { status, body }: HttpMessage,
  fields: Fields,
  now: number,
): Receipt {
  const covers = input[0].map((c) => serializeItem(c));
  for (const name of RECEIPT_COVERS)
    if (!covers.includes(`"${name}"`)) refuse('not-covered', `The signature does not cover ${name}.`);
  const base = signatureBase(input, { request: NO_REQUEST, answer: { status, fields } });
  if (!keyOf(input[1]).key(Buffer.from(base), signature))
    refuse('bad-signature', 'The signature is not over this status and these fields: something was changed.');
  checkDigest(fields['content-digest'] ?? '', body);
  const created = createdAt(input[1]);
  assertCurrent(input[1], now);
  if (until !== null && created > until)
    refuse('old-key', `It is signed with a key that went out of use at ${new Date(until).toISOString()}, before it.`);
  const place = covers.includes(`"${PLACE}"`) ? (fields[PLACE] ?? null) : null;
  return { keyId, createdAt: created, label, covers, status, fields, place };
}

const named = (signatures: readonly FoundSignature[]): string =>
  signatures.map(({ input }) => JSON.stringify(input[1].get('keyid') ?? 'none')).join(', ');
