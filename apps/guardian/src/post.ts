/** Hands one message to the gateway. What the gateway answers is bounded: it is nobody to trust. */

const TIMEOUT_MS = 20_000;
/** Of an answer, this much is read. */
const MAX_ANSWER_BYTES = 512;

/** The gateway does not answer: nothing else is worth sending now. */
export class GatewayUnreachable extends Error {
  readonly code = 'unreachable';
  constructor(reason: string) {
    super(`The gateway does not answer: ${reason}`);
    this.name = 'GatewayUnreachable';
  }
}

/** The gateway will not take this message. */
export class MessageRefused extends Error {
  readonly code = 'message-refused';
  constructor(id: string, status: number, reason: string) {
    super(`The gateway refused message ${id}: HTTP ${status} ${reason}`);
    this.name = 'MessageRefused';
  }
}

/** Resolves once the gateway has the item. @throws GatewayUnreachable, MessageRefused */
export async function postItem(gatewayUrl: string, id: string, item: Uint8Array): Promise<void> {
  const { ok, status, text } = await post(`${gatewayUrl}/mu`, item).catch((error: unknown) => {
    throw new GatewayUnreachable(error instanceof Error ? error.message : String(error));
  });
  if (!ok) throw new MessageRefused(id, status, text);
}

async function post(url: string, item: Uint8Array): Promise<{ ok: boolean; status: number; text: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: new Uint8Array(item),
    redirect: 'error', // a gateway does not choose whom else a guardian writes to
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  let text = Buffer.alloc(0);
  // Leaving the loop lets go of the rest.
  for await (const chunk of response.body ?? []) {
    text = Buffer.concat([text, chunk as Uint8Array]);
    if (text.length >= MAX_ANSWER_BYTES) break;
  }
  return { ok: response.ok, status: response.status, text: text.subarray(0, MAX_ANSWER_BYTES).toString('utf8') };
}
