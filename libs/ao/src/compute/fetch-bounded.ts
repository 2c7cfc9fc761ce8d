/** Reading from a unit nobody has to trust: it answers itself, in time, and no more than is asked for. */
const TIMEOUT_MS = 20_000;

/** The answer goes on beyond what was asked for at most. */
export class AnswerTooLarge extends Error {
  constructor() {
    super('the answer is too large');
    this.name = 'AnswerTooLarge';
  }
}

export interface BoundedRequest {
  method?: string;
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer> | string;
  /** Time for all of the answer. */
  timeoutMs?: number;
}

export interface BoundedAnswer {
  status: number;
  headers: Headers;
  body: Buffer;
}

/** An answer, whatever length it announces. @throws AnswerTooLarge; Error when there is none or a late one */
export async function fetchBounded(
  url: string,
  maxBytes: number,
  request: BoundedRequest = {},
): Promise<BoundedAnswer> {
  const response = await begin(url, request);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += (chunk as Uint8Array).byteLength;
    if (size > maxBytes) throw new AnswerTooLarge();
    chunks.push(chunk as Uint8Array);
  }
  return { status: response.status, headers: response.headers, body: Buffer.concat(chunks) };
}

/** As `fetchBounded`, of an answer of which the first bytes are enough. @throws Error when there is none or a late one */
export async function fetchStart(
  url: string,
  bytes: number,
  request: BoundedRequest = {},
): Promise<{ status: number; body: Buffer }> {
  const response = await begin(url, request);
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop lets go of the rest.
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk as Uint8Array);
    if ((size += (chunk as Uint8Array).byteLength) >= bytes) break;
  }
  return { status: response.status, body: Buffer.concat(chunks).subarray(0, bytes) };
}

function begin(url: string, { timeoutMs = TIMEOUT_MS, ...request }: BoundedRequest): Promise<Response> {
  return fetch(url, {
    headers: { accept: 'application/octet-stream' },
    ...request,
    redirect: 'error', // the unit that was configured answers, or none
    signal: AbortSignal.timeout(timeoutMs),
  });
}
