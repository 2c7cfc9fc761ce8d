/** What a token process says happened in a slot, read from its messages by the auditor's own reading of docs/protocol.md, section 3. */
import type { SaidOfChain } from './chain.js';
import { AuditError } from './error.js';
import type { Attested, Burn, Hex, Mint } from './facts.js';
import { addressOn, isTxOn } from './families.js';
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
  /** What must be known to read the chain. */
  said: SaidOfChain[];
}

/** Events that move no money. Any other unknown word is a token newer than this auditor: it would not know what it misses. */
const NO_MONEY = new Set([
  'deposit.attested',
  'deposit.conflict',
  'withdrawal.signed',
  'withdrawal.attested',
  'withdrawal.conflict',
  'proposal.signed',
  'proposal.dropped',
  'decision.attested',
  'decision.signed',
  'guardian.double-vote',
  'guardian.bad-line',
  'transfer',
]);

/** Where and when something was said. */
export interface SaidAt {
  /** CAIP-2 of the home chain. */
  chain: string;
  slot: number;
  /** When the slot got its place, milliseconds. */
  at: number;
}

/** @throws AuditError `malformed` */
export function readSlot(said: SaidAt, messages: readonly Sent[]): SlotFacts {
  const facts: SlotFacts = { mints: [], burns: [], attested: [], said: [] };
  for (const message of messages) {
    if (message.Target || tag(message, 'Action') !== 'Isthmus-Events' || message.Data === '') continue;
    for (const line of message.Data.split('\n')) readLine(line, said, messages, facts);
  }
  return facts;
}

function readLine(line: string, { chain, slot, at }: SaidAt, messages: readonly Sent[], facts: SlotFacts): void {
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
      tx: txOf(chain, tx),
      sender: sender === '-' ? sender : account(chain, sender),
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
      recipient: account(chain, recipient),
      ...money,
    });
  } else if (type === 'withdrawal.released') {
    const [number, tx, fee, outcome] = exactly(words, 4, line);
    if (outcome !== 'paid' && outcome !== 'held') throw malformed(line);
    facts.attested.push({
      slot,
      number: numberOf(number),
      tx: txOf(chain, tx),
      fee: amountOf(fee),
      held: outcome === 'held',
    });
  } else if (type === 'proposal.made') facts.said.push(proposalIn(line, words));
  else if (type === 'decision.applied') {
    const [, what, , threshold, , , keys = ''] = words;
    if (what === 'rotate') facts.said.push({ kind: 'rotation', threshold: Number(threshold), keys: listed(keys) });
  } else throw malformed(line);
}

function proposalIn(line: string, words: readonly string[]): SaidOfChain {
  const [, , , anchor, numbers, content] = exactly(words, 6, line);
  return { kind: 'proposal', anchor, numbers: numbers === '-' ? [] : listed(numbers).map(numberOf), content };
}

const listed = (text: string): string[] => (text === '' ? [] : text.split(','));

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

function txOf(chain: string, text: string): string {
  if (!isTxOn(chain, text)) throw malformed(text);
  return text;
}

function account(chain: string, text: string): string {
  const address = addressOn(chain, text);
  if (address === null) throw malformed(text);
  return address;
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
