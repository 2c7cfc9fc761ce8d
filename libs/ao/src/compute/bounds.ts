/** How much one message may give: the same everywhere, so that every copy of a process fails the same messages. */
import type { EvaluationResult, OutboundMessage } from '../types.js';

/**
 * Most bytes of one result. The token's largest message (a quorum on 500 deposits, 500 more due, all with the largest tags) gives
 * about 7.5 MB; so far a process may always go, and no further.
 */
export const MAX_RESULT_BYTES = 8 * 1024 * 1024;
/** Most messages of one result, and most spawns, and most assignments: the token's largest message sends 1,002. */
export const MAX_SENT = 1024;
/** Most characters kept of why a message failed. */
const MAX_REASON = 1000;
/** What a message and a tag take beside their texts. */
const MESSAGE_BYTES = 64;
const TAG_BYTES = 32;

/** The result of a message that failed: nothing but why. */
export function failed(reason: string): EvaluationResult {
  const why = reason.slice(0, MAX_REASON) || 'The process failed without saying why.';
  return { Messages: [], Spawns: [], Assignments: [], Output: '', Error: why };
}

/** Why a result is more than a message may give; null when it is not. */
export function excessOf(result: EvaluationResult): string | null {
  const { Messages, Spawns, Assignments } = result;
  if ([Messages, Spawns, Assignments].some((sent) => sent.length > MAX_SENT)) return TOO_MANY;
  return sizeOf(result) > MAX_RESULT_BYTES ? TOO_LARGE : null;
}

export const TOO_MANY = `A message may send at most ${MAX_SENT} messages.`;
export const TOO_LARGE = `A message may give at most ${MAX_RESULT_BYTES} bytes.`;

/** Bytes a result counts for. */
export function sizeOf({ Messages, Spawns, Assignments, Output }: EvaluationResult): number {
  const texts = [Output, ...Assignments].map((v) => (typeof v === 'string' ? v : (JSON.stringify(v) ?? '')));
  let size = 0;
  for (const text of texts) size += Buffer.byteLength(text);
  for (const message of Messages) size += messageSize(message);
  for (const message of Spawns) size += messageSize(message);
  return size;
}

function messageSize({ Target = '', Anchor, Data, Tags }: OutboundMessage): number {
  let size = MESSAGE_BYTES + Buffer.byteLength(Target) + Buffer.byteLength(Anchor) + Buffer.byteLength(Data);
  for (const { name, value } of Tags) size += TAG_BYTES + Buffer.byteLength(name) + Buffer.byteLength(value);
  return size;
}
