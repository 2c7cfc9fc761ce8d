/** Events of a token process (`Action: Isthmus-Events`): what changed, a line each. Everything the gateway shows is derived from these. */
import type { Hex } from 'viem';
import { parseAmount } from './amount.js';
import { parseNumber } from './attestation.js';
import { BridgeError } from './errors.js';

export type BridgeEvent =
  | { type: 'deposit.attested'; id: Hex; guardian: Hex; votes: number }
  | { type: 'deposit.conflict'; id: Hex; guardian: Hex }
  | {
      type: 'deposit.minted';
      id: Hex;
      recipient: string;
      amount: bigint;
      reference: string;
      txHash: string;
      sender: string;
      tags: string;
    }
  | {
      type: 'withdrawal.queued';
      number: bigint;
      id: Hex;
      holder: string;
      recipient: string;
      amount: bigint;
      maxFee: bigint;
    }
  | { type: 'withdrawal.signed'; number: bigint; epoch: bigint; guardian: Hex; signature: Hex; signatures: number }
  | { type: 'withdrawal.attested'; number: bigint; guardian: Hex; votes: number }
  | { type: 'withdrawal.conflict'; number: bigint; guardian: Hex }
  | { type: 'withdrawal.released'; number: bigint; txHash: string; fee: bigint; outcome: 'paid' | 'held' }
  | { type: 'proposal.made'; id: Hex; guardian: Hex; line: string }
  | { type: 'proposal.signed'; id: Hex; guardian: Hex; signatures: string; guardians: number }
  | { type: 'proposal.dropped'; id: Hex }
  | { type: 'decision.attested'; nonce: bigint; guardian: Hex; votes: number; line: string }
  | { type: 'decision.signed'; nonce: bigint; guardian: Hex; signature: Hex }
  | { type: 'decision.applied'; nonce: bigint; line: string }
  | { type: 'guardian.double-vote'; guardian: Hex; kind: string; id: string }
  | { type: 'guardian.bad-line'; guardian: Hex; line: number; code: string }
  | { type: 'transfer'; from: string; to: string; amount: bigint };

type Fields = [string, string, string, string, string, string, string];
const PARSERS: { [T in BridgeEvent['type']]: [number, (f: Fields) => Extract<BridgeEvent, { type: T }>] } = {
  'deposit.attested': [
    3,
    ([id, guardian, votes]) => ({
      type: 'deposit.attested',
      id: id as Hex,
      guardian: guardian as Hex,
      votes: count(votes),
    }),
  ],
  'deposit.conflict': [2, ([id, guardian]) => ({ type: 'deposit.conflict', id: id as Hex, guardian: guardian as Hex })],
  'deposit.minted': [
    7,
    ([id, recipient, amount, reference, txHash, sender, tags]) => ({
      type: 'deposit.minted',
      id: id as Hex,
      recipient,
      amount: parseAmount(amount),
      reference,
      txHash,
      sender,
      tags,
    }),
  ],
  'withdrawal.queued': [
    6,
    ([number, id, holder, recipient, amount, maxFee]) => ({
      type: 'withdrawal.queued',
      number: parseNumber(number),
      id: id as Hex,
      holder,
      recipient,
      amount: parseAmount(amount),
      maxFee: parseAmount(maxFee),
    }),
  ],
  'withdrawal.signed': [
    5,
    ([number, epoch, guardian, signature, signatures]) => ({
      type: 'withdrawal.signed',
      number: parseNumber(number),
      epoch: parseNumber(epoch),
      guardian: guardian as Hex,
      signature: signature as Hex,
      signatures: count(signatures),
    }),
  ],
  'withdrawal.attested': [
    3,
    ([n, guardian, votes]) => ({
      type: 'withdrawal.attested',
      number: parseNumber(n),
      guardian: guardian as Hex,
      votes: count(votes),
    }),
  ],
  'withdrawal.conflict': [
    2,
    ([n, guardian]) => ({ type: 'withdrawal.conflict', number: parseNumber(n), guardian: guardian as Hex }),
  ],
  'withdrawal.released': [
    4,
    ([n, txHash, fee, outcome]) => ({
      type: 'withdrawal.released',
      number: parseNumber(n),
      txHash,
      fee: parseAmount(fee),
      outcome: outcome === 'held' ? 'held' : 'paid',
    }),
  ],
  'proposal.made': [
    3,
    ([id, guardian, line]) => ({ type: 'proposal.made', id: id as Hex, guardian: guardian as Hex, line }),
  ],
  'proposal.signed': [
    4,
    ([id, guardian, signatures, guardians]) => ({
      type: 'proposal.signed',
      id: id as Hex,
      guardian: guardian as Hex,
      signatures,
      guardians: count(guardians),
    }),
  ],
  'proposal.dropped': [1, ([id]) => ({ type: 'proposal.dropped', id: id as Hex })],
  'decision.attested': [
    4,
    ([n, guardian, votes, line]) => ({
      type: 'decision.attested',
      nonce: parseNumber(n),
      guardian: guardian as Hex,
      votes: count(votes),
      line,
    }),
  ],
  'decision.signed': [
    3,
    ([n, guardian, signature]) => ({
      type: 'decision.signed',
      nonce: parseNumber(n),
      guardian: guardian as Hex,
      signature: signature as Hex,
    }),
  ],
  'decision.applied': [2, ([n, line]) => ({ type: 'decision.applied', nonce: parseNumber(n), line })],
  'guardian.double-vote': [
    3,
    ([guardian, kind, id]) => ({ type: 'guardian.double-vote', guardian: guardian as Hex, kind, id }),
  ],
  'guardian.bad-line': [
    3,
    ([guardian, line, code]) => ({ type: 'guardian.bad-line', guardian: guardian as Hex, line: count(line), code }),
  ],
  transfer: [3, ([from, to, amount]) => ({ type: 'transfer', from, to, amount: parseAmount(amount) })],
};

const ENDS_IN_LINE: ReadonlySet<BridgeEvent['type']> = new Set([
  'decision.applied',
  'decision.attested',
  'proposal.made',
]);

/** Reads one event line. @throws BridgeError `bad-line` for an unknown event or a wrong number of fields. */
export function parseEventLine(line: string): BridgeEvent {
  const parts = line.split(' ');
  const type = parts[0] as BridgeEvent['type'];
  if (!Object.hasOwn(PARSERS, type))
    throw new BridgeError('bad-line', 'Unknown event; the gateway is older than the process.');
  const [fieldCount, parse] = PARSERS[type];
  // A line that was said holds spaces: the last field takes the rest.
  const rest = ENDS_IN_LINE.has(type) ? fieldCount : parts.length;
  const fields = [...parts.slice(1, rest), ...(rest < parts.length ? [parts.slice(rest).join(' ')] : [])];
  if (fields.length !== fieldCount || fields.includes(''))
    throw new BridgeError('bad-line', `Event ${type} has ${fieldCount} fields.`);
  return parse(fields as Fields);
}

/** The events among what a process sent, in order; messages of other kinds are passed over. */
export function eventsOf(
  messages: readonly { Target?: string; Tags: readonly { name: string; value: string }[]; Data: string }[],
): BridgeEvent[] {
  return messages
    .filter(
      (m) => !m.Target && m.Tags.some((t) => t.name === 'Action' && t.value === 'Isthmus-Events') && m.Data !== '',
    )
    .flatMap((m) => m.Data.split('\n').map(parseEventLine));
}

function count(text: string): number {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(text)) throw new BridgeError('bad-line', 'A count is a small whole number.');
  return Number(text);
}
