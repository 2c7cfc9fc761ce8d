/**
 * Answers that anyone can hold the gateway to: the signature covers what was asked too, so that neither can be shown with another.
 */
import { serializeItem } from 'structured-headers';
import type { InnerList, Item as StructuredItem } from 'structured-headers';
import type { Signer } from '../types.js';
import {
  checkDigest,
  component,
  contentDigest,
  createdAt,
  keyIdOf,
  keyOf,
  madeNow,
  refuse,
  signatureBase,
  signatureFields,
  signaturesIn,
  type Signature,
  type SignedAnswer,
  type SignedRequest,
} from './http-signature.js';

/** Under which a gateway's signature is found in its answers. */
export const ANSWER_LABEL = 'isthmus';
/** Digest of the request's body, in the answer, since clients seldom send one of their own. */
export const REQUEST_DIGEST = 'request-digest';

/** Signs answers with a gateway's ed25519 key. */
export class AnswerSigner {
  /** The key as answers name it: base64url of its 32 bytes. */
  readonly keyId: string;

  /**
   * What the key signs besides, ANS-104 items, is always a hash of 48 bytes; a signature base is text, longer, and begins with a quote:
   * neither can pass for the other.
   */
  constructor(
    private readonly signer: Signer,
    private readonly now: () => number = Date.now,
  ) {
    this.keyId = keyIdOf(signer);
  }

  /**
   * Fields to add to an answer: its digest, the digest of the request's body, and the signature over the answer's status and all its fields,
   * the request's method, path and query, and the request's own signatures and digest.
   */
  async sign(
    request: SignedRequest & { body: Uint8Array; signatures: readonly Signature[] },
    answer: SignedAnswer & { body: Uint8Array },
  ): Promise<Record<string, string>> {
    const fields: Record<string, string> = { ...answer.fields, 'content-digest': contentDigest(answer.body) };
    if (request.body.length > 0) fields[REQUEST_DIGEST] = contentDigest(request.body);
    const components: StructuredItem[] = [
      component('@status'),
      ...Object.keys(fields).map((name) => component(name)),
      ...OF_REQUEST.map((name) => component(name, { req: true })),
      ...(request.fields['content-digest'] === undefined ? [] : [component('content-digest', { req: true })]),
      ...request.signatures.map(({ label }) => component('signature', { req: true, key: label })),
    ];
    const input: InnerList = [components, madeNow(this.keyId, this.now())];
    const context = { request, answer: { status: answer.status, fields } };
    return { ...fields, ...(await signatureFields(this.signer, ANSWER_LABEL, input, context)) };
  }
}

const OF_REQUEST = ['@method', '@path', '@query'] as const;

export interface AnswerProof {
  /** What was asked, with the body that was sent. */
  request: SignedRequest & { body?: Uint8Array };
  answer: SignedAnswer & { body: Uint8Array };
  /** The gateway's key: base64url of 32 bytes, known beforehand (`/~meta@1.0/info/keys` of a gateway one trusts). */
  publicKey: string;
  /** Oldest answer taken, in milliseconds; any age when absent. */
  maxAgeMs?: number;
  now?: number;
}

/**
 * Checks that a gateway has given exactly this answer to exactly this request. Returns when it said so (milliseconds).
 * @throws HttpSignatureError saying what is not so
 */
export function verifyAnswer({ request, answer, publicKey, maxAgeMs, now = Date.now() }: AnswerProof): number {
  const { input, signature } =
    signaturesIn(answer.fields).find(({ label }) => label === ANSWER_LABEL) ??
    refuse('not-covered', 'The answer is not signed.');
  const parameters = input[1];
  if (parameters.get('keyid') !== publicKey) return refuse('wrong-key', 'The answer is signed with another key.');
  const { key } = keyOf(parameters);
  const covered = new Set(input[0].map((c) => serializeItem(c)));
  for (const needed of neededIn(request, answer))
    if (!covered.has(needed)) return refuse('not-covered', `The signature does not cover ${needed}.`);
  checkDigest(answer.fields['content-digest'] ?? '', answer.body);
  if (request.body && request.body.length > 0) checkDigest(answer.fields[REQUEST_DIGEST] ?? '', request.body);
  if (!key(Buffer.from(signatureBase(input, { request, answer })), signature))
    return refuse('bad-signature', 'The signature is not over this request and this answer.');
  const created = createdAt(parameters);
  if (maxAgeMs !== undefined && now - created > maxAgeMs) return refuse('expired', 'The answer is too old.');
  return created;
}

/** What the signature of an answer to this request must cover to mean anything. */
function neededIn(request: AnswerProof['request'], answer: SignedAnswer): string[] {
  const needed = ['"@status"', '"content-digest"', ...OF_REQUEST.map((name) => `"${name}";req`)];
  if (answer.fields['content-type'] !== undefined) needed.push('"content-type"');
  if (request.body && request.body.length > 0) needed.push(`"${REQUEST_DIGEST}"`);
  if (request.fields['content-digest'] !== undefined) needed.push('"content-digest";req');
  for (const { label } of signaturesIn(request.fields)) needed.push(`"signature";req;key="${label}"`);
  return needed;
}
