/** The memo of a payment to the vault itself (docs/bitcoin.md, Memo): whom it credits, or why nobody. */
import { forwardedTags, recipientOf } from '../../domain/forms.js';

export type Memo = { to: { recipient: string } | { refused: string }; tags: string };

const OP_RETURN = 0x6a;
const OP_PUSHDATA1 = 0x4c;
const MAX_BYTES = 80;
const MAGIC = Buffer.from('ISM1');

/** @param scripts of a transaction's outputs */
export function memoIn(scripts: readonly Uint8Array[]): Memo {
  const [carrier, another] = scripts.filter((script) => script[0] === OP_RETURN);
  if (!carrier) return refused('memo-missing');
  if (another) return refused('memo-twice');
  if (carrier.length > MAX_BYTES + 3) return refused('memo-too-long');
  const script = Buffer.from(carrier);
  const data = script.subarray(script[1] === OP_PUSHDATA1 ? 3 : 2);
  const head = data.length < OP_PUSHDATA1 ? [OP_RETURN, data.length] : [OP_RETURN, OP_PUSHDATA1, data.length];
  const isShortest = script.subarray(0, script.length - data.length).equals(Buffer.from(head));
  if (!isShortest || !data.subarray(0, 4).equals(MAGIC)) return refused('memo-malformed');
  const length = data[4] ?? 0;
  const [to, tags] = [data.subarray(5, 5 + length), data.subarray(5 + length)];
  const recipient = to.length === length ? recipientOf(`0x${to.toString('hex')}`) : null;
  const written = tags.length === 0 ? '-' : tags.toString('hex');
  if (recipient === null || !forwardedTags(written)) return refused('memo-malformed');
  return { to: { recipient }, tags: written };
}

const refused = (reason: string): Memo => ({ to: { refused: reason }, tags: '-' });
