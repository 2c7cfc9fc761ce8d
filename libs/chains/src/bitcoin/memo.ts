/**
 * The memo of a payment to the vault itself: one output with OP_RETURN and one push, written in the shortest way, of at most 80 bytes:
 *
 *     "ISM1" · length of the recipient (20 or 32) · recipient · tags, as in any deposit (may be empty)
 *
 * Anything else is no memo. Money that comes without one is not credited, and not lost: it is recorded with the reason.
 */
import {
  aoAddressFromBytes,
  aoAddressToBytes,
  BridgeError,
  decodeTags,
  encodeTags,
  type DepositTag,
} from '@isthmus/bridge';
import { BitcoinError } from './errors.js';

export interface Memo {
  recipient: string;
  tags: readonly DepositTag[];
}

export type MemoFault = 'memo-missing' | 'memo-twice' | 'memo-too-long' | 'memo-malformed';
export type MemoRead = { memo: Memo } | { fault: MemoFault };

const OP_RETURN = 0x6a;
const OP_PUSHDATA1 = 0x4c;
/** Longest push without an opcode of its own. */
const MAX_DIRECT = 75;
/** Nodes relay no more. */
export const MAX_MEMO_BYTES = 80;
const MAGIC = Buffer.from('ISM1');

/** Output script of a memo. @throws BitcoinError `bad-memo` when it is too long; BridgeError for a recipient or tags that break a rule */
export function memoScript({ recipient, tags }: Memo): Buffer {
  const to = Buffer.from(aoAddressToBytes(recipient));
  const data = Buffer.concat([MAGIC, Buffer.of(to.length), to, encodeTags(tags)]);
  if (data.length > MAX_MEMO_BYTES)
    throw new BitcoinError(
      'bad-memo',
      `A memo has at most ${MAX_MEMO_BYTES} bytes: ask for a deposit address instead, which takes longer tags.`,
    );
  return Buffer.concat([Buffer.from([OP_RETURN, ...lengthOf(data)]), data]);
}

/** Reads the memo among a transaction's outputs. */
export function readMemo(outputs: readonly { script: Uint8Array }[]): MemoRead {
  const carriers = outputs.filter(({ script }) => script[0] === OP_RETURN);
  const [carrier] = carriers;
  if (!carrier) return { fault: 'memo-missing' };
  if (carriers.length > 1) return { fault: 'memo-twice' };
  const script = Buffer.from(carrier.script);
  if (script.length > MAX_MEMO_BYTES + 3) return { fault: 'memo-too-long' };
  const data = script.subarray(script[1] === OP_PUSHDATA1 ? 3 : 2);
  const head = Buffer.from([OP_RETURN, ...lengthOf(data)]);
  if (!script.equals(Buffer.concat([head, data])) || !data.subarray(0, MAGIC.length).equals(MAGIC))
    return { fault: 'memo-malformed' };
  return readData(data.subarray(MAGIC.length));
}

function readData(data: Buffer): MemoRead {
  const length = data[0] ?? 0;
  const [to, rest] = [data.subarray(1, 1 + length), data.subarray(1 + length)];
  const tags = decodeTags(rest);
  if (to.length !== length || tags === null) return { fault: 'memo-malformed' };
  try {
    return { memo: { recipient: aoAddressFromBytes(to), tags } };
  } catch (error) {
    if (error instanceof BridgeError) return { fault: 'memo-malformed' };
    throw error;
  }
}

/** The push's own bytes. */
const lengthOf = (data: Buffer): number[] => (data.length <= MAX_DIRECT ? [data.length] : [OP_PUSHDATA1, data.length]);
