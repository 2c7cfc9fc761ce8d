/** Receipts: whoever asks for an answer of /v1 with `Accept-Signature` gets it signed (RFC 9421); the keys that sign are published. */
import { joinFields, ReceiptSigner, signerOfFile, type Fields, type ReceiptKey, type Signer } from '@isthmus/ao';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { GatewayConfig } from '../config.js';

/** What can be said in a header, and is of this gateway. */
const PLACE = /^\/[\x21-\x7e]*$/;

export interface ReceiptKeys {
  signer: ReceiptSigner;
  /** The key itself, for items. */
  key: Signer;
  /** The one in use first. */
  published: readonly ReceiptKey[];
}

/** The keys this gateway signs receipts with, or null when it signs none. @throws ConfigError when the key file cannot be used */
export function receiptKeys({
  receiptKeyFile,
  retiredReceiptKeys,
}: Pick<GatewayConfig, 'receiptKeyFile' | 'retiredReceiptKeys'>): ReceiptKeys | null {
  if (receiptKeyFile === undefined) return null;
  const key = signerOfFile(receiptKeyFile);
  const signer = new ReceiptSigner(key);
  const retired = retiredReceiptKeys.map((old) => ({ keyId: old.key, until: Date.parse(old.until) }));
  return { signer, key, published: [{ keyId: signer.keyId, until: null }, ...retired] };
}

/**
 * Signs answers to those who ask. An answer is held back until it is whole: what is sent in parts (live streams) is not signed, nor is what has
 * no content.
 */
export function signReceipts(signer: ReceiptSigner): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    const asked = request.headers['accept-signature'];
    if (asked === undefined || request.method === 'HEAD') return next();
    // "Not changed" has nothing in it to sign.
    delete request.headers['if-none-match'];
    delete request.headers['if-modified-since'];
    const send = response.end.bind(response) as (...parts: unknown[]) => Response;
    response.end = ((...parts: unknown[]): Response => {
      response.end = send as typeof response.end;
      const body = wholeBody(parts);
      if (response.headersSent || body === null || !response.hasHeader('content-type')) return send(...parts);
      response.setHeader('date', new Date().toUTCString());
      // Which answer it is: a page of nobody's transfers looks like any other.
      if (PLACE.test(request.originalUrl)) response.setHeader('content-location', request.originalUrl);
      response.vary('accept-signature');
      signer
        .sign(String(asked), { status: response.statusCode, fields: fieldsOf(response), body })
        .then((fields) => {
          for (const [name, value] of Object.entries(fields)) response.setHeader(name, value);
          send(body);
        })
        .catch(() => response.destroy());
      return response;
    }) as typeof response.end;
    next();
  };
}

function wholeBody([chunk, encoding]: readonly unknown[]): Buffer | null {
  if (chunk instanceof Uint8Array) return Buffer.from(chunk);
  if (typeof chunk !== 'string') return null;
  return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8');
}

function fieldsOf(response: Response): Fields {
  return joinFields(
    Object.entries(response.getHeaders()).map(([name, value]): [string, string] => [
      name,
      Array.isArray(value) ? value.join(', ') : String(value),
    ]),
  );
}
