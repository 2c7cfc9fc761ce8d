/** `isthmus receipt`: one transfer's answer, signed by the gateway, as the bytes to keep. */
import http from 'node:http';
import https from 'node:https';
import { pairsOf, RECEIPT_COVERS, RECEIPT_LABEL, RECEIPT_TAG, writeHttpMessage, type HttpMessage } from '@isthmus/ao';
import { CommandError } from '../said.js';
import { portsInUse } from '../settings.js';

const ANSWER_MS = 20_000;
/** A transfer's answer with its whole timeline is some KiB. */
const MAX_BYTES = 8 * 1024 * 1024;
/** Fields of one connection only: they are no part of what was said. */
const OF_THE_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding']);
const ASKED = `${RECEIPT_LABEL}=(${RECEIPT_COVERS.map((name) => `"${name}"`).join(' ')});created;keyid;tag="${RECEIPT_TAG}"`;

/** @throws CommandError when there is no such transfer, or the gateway signs nothing */
export async function receipt(id: string, { gateway }: { gateway?: string }): Promise<void> {
  const base = gateway ?? `http://127.0.0.1:${portsInUse(process.env).gateway}`;
  const message = await signedAnswer(`${base}/v1/transfers/${encodeURIComponent(id)}`);
  if (message.status !== 200) throw new CommandError(detailOf(message));
  if (!message.fields.some(([name]) => name.toLowerCase() === 'signature'))
    throw new CommandError(`The gateway at ${base} signs no receipts: its operator names a key as receiptKeyFile.`);
  await new Promise<void>((resolve) => process.stdout.write(writeHttpMessage(message), () => resolve()));
}

/** An answer as it came, asked for with a signature. @throws CommandError */
export async function signedAnswer(url: string): Promise<HttpMessage> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  try {
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const client = url.startsWith('https:') ? https : http;
      client
        .get(url, { headers: { 'accept-signature': ASKED, accept: 'application/json' }, signal }, resolve)
        .on('error', reject);
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      if ((size += chunk.length) > MAX_BYTES) throw new Error('its answer has no end');
      chunks.push(chunk);
    }
    return {
      version: '1.1',
      status: answer.statusCode ?? 0,
      reason: answer.statusMessage ?? '',
      fields: pairsOf(answer.rawHeaders).filter(([name]) => !OF_THE_CONNECTION.has(name.toLowerCase())),
      body: Buffer.concat(chunks),
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandError(
      `${new URL(url).origin} does not answer (${why}): is "npm start" running, or --gateway right?`,
    );
  }
}

function detailOf({ status, body }: HttpMessage): string {
  try {
    const { detail } = JSON.parse(body.toString('utf8')) as { detail?: unknown };
    if (typeof detail === 'string') return detail;
  } catch {
    // said below: a gateway's own refusals are JSON, others' need not be
  }
  return `The gateway answered HTTP ${status}.`;
}
