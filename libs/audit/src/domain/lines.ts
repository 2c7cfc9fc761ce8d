/** What a token process says happened in a slot, read from its messages by the auditor's own reading of docs/protocol.md, section 3. */
import { getAddress, isAddress } from 'viem';
import { AuditError } from './error.js';
import type { Attested, Burn, Hex, Mint } from './facts.js';
import { amountOf } from './forms.js';

interface Sent {
  Target?: string;
  Tags: readonly { name: string; value: string }[];
  Data: string;
}

export interface SlotFacts {
  mints: Mint[];
  burns: Burn[];
  attested: Attested[];
}

/** Events that move no money. Any other unknown word is a token newer than this auditor: it would not know what it misses. */
const NO_MONEY = new Set([
  'deposit.attested',
  'deposit.conflict',
  'withdrawal.signed',
  'withdrawal.attested',
  'withdrawal.conflict',
  'proposal.made',
  'proposal.signed',
  'proposal.dropped',
  'decision.attested',
  'decision.signed',
  'decision.applied',
  'guardian.double-vote',
  'guardian.bad-line',
  'transfer',
]);

/** @param at when the slot got its place, milliseconds @throws AuditError `malformed` */
export function readSlot(slot: number, at: number, messages: readonly Sent[]): SlotFacts {
  const facts: SlotFacts = { mints: [], burns: [], attested: [] };
  for (const message of messages) {
    if (message.Target || tag(message, 'Action') !== 'Isthmus-Events' || message.Data === '') continue;
    for (const line of message.Data.split('\n')) readLine(line, slot, at, messages, facts);
  }
  return facts;
}

function readLine(line: string, slot: number, at: number, messages: readonly Sent[], facts: SlotFacts): void {
  const [type = '', ...words] = line.split(' ');
  if (NO_MONEY.has(type)) return;
  if (type === 'deposit.minted') {
    const [id, recipient, amount, reference, tx, sender, tags] = exactly(words, 7, line);
    const notice = messages.find((m) => tag(m, 'Action') === 'Credit-Notice' && tag(m, 'Deposit-Id') === id);
    facts.mints.push({
      slot,
      id: hash(id),
      recipient,
      amount: amountOf(amount),
      reference,
      tx: hash(tx),
      sender: account(sender),
      tags,
      notice: notice ? fieldsOf(notice) : null,
    });
  } else if (type === 'withdrawal.queued') {
    const [number, id, holder, recipient, amount, maxFee] = exactly(words, 6, line);
    const money = { amount: amountOf(amount), maxFee: amountOf(maxFee) };
    facts.burns.push({
      slot,
      at,
      number: numberOf(number),
      id: hash(id),
      holder,
      recipient: account(recipient),
      ...money,
    });
  } else if (type === 'withdrawal.released') {
    const [number, tx, fee, outcome] = exactly(words, 4, line);
    if (outcome !== 'paid' && outcome !== 'held') throw malformed(line);
    facts.attested.push({ slot, number: numberOf(number), tx: hash(tx), fee: amountOf(fee), held: outcome === 'held' });
  } else throw malformed(line);
}

const tag = ({ Tags }: Sent, name: string): string | undefined => Tags.find((t) => t.name === name)?.value;

/** Its tags; of one that comes twice, none: it would say two things. */
function fieldsOf({ Target = '', Tags }: Sent): Map<string, string> {
  const fields = new Map([['Target', Target]]);
  for (const { name, value } of Tags) fields.set(name, fields.has(name) ? `${fields.get(name)}, ${value}` : value);
  return fields;
}

type Words = [string, string, string, string, string, string, string];
function exactly(words: readonly string[], count: number, line: string): Words {
  if (words.length !== count || words.includes('')) throw malformed(line);
  return words as unknown as Words;
}

function hash(text: string): Hex {
  if (!/^0x[0-9a-f]{64}$/.test(text)) throw malformed(text);
  return text as Hex;
}

function account(text: string): Hex {
  if (!isAddress(text, { strict: false })) throw malformed(text);
  return getAddress(text);
}

function numberOf(text: string): bigint {
  if (!/^[1-9][0-9]{0,18}$/.test(text)) throw malformed(text);
  return BigInt(text);
}

function malformed(text: string): AuditError {
  return new AuditError(
    'malformed',
    `A token process says what docs/protocol.md does not know: "${text.slice(0, 120)}".`,
  );
}
