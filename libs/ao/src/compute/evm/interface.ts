/** How messages and contracts understand each other: a message as a call, events as what a process sends, a revert as an error. */
import { MAX_RESULT_BYTES } from '../bounds.js';
import type { EvaluationResult, OutboundMessage, Tag, VmMessage } from '../../types.js';
import { AbiError, AbiReader, encodeCall, selectorOf, topicOf, type Value } from './abi.js';

const MESSAGE = '(string,string,string,string,string,(string,string)[])';
const HANDLE = selectorOf(`handle(${MESSAGE})`);
const ASSIGNED = selectorOf(`assigned(${MESSAGE})`);
const SEND = topicOf('Send(string,string,(string,string)[])');
const SPAWN = topicOf('Spawn(string,string,(string,string)[])');
const ASSIGN = topicOf('Assign(string[],string)');

const ERROR = selectorOf('Error(string)').toString('hex');
const PANIC = selectorOf('Panic(uint256)').toString('hex');
/** Bytes of an error's data that are told when it has no text. */
const TOLD_BYTES = 100;

/** What Solidity calls its panics (its documentation, "Panic via assert and Error via require"). */
const PANICS: Readonly<Record<number, string>> = {
  0x01: 'an assertion failed',
  0x11: 'an amount over- or underflowed',
  0x12: 'a division by zero',
  0x21: 'no such value of an enumeration',
  0x31: 'an empty list was popped',
  0x32: 'an index out of bounds',
  0x41: 'too much memory',
};

/** An event as the EVM gives it. */
export interface Log {
  address: Uint8Array;
  topics: Uint8Array[];
  data: Uint8Array;
}

/** The call of `handle`, or of `assigned` for a message that is addressed to another process. */
export function callOf(message: VmMessage, process: string): Buffer {
  const { Id, From, Owner, Target, Data, Tags } = message;
  const tags: Value = { list: Tags.map(({ name, value }) => ({ struct: [name, value] })) };
  return encodeCall(Target === process ? HANDLE : ASSIGNED, [{ struct: [Id, From, Owner, Target, Data, tags] }]);
}

/** What events say is sent, and those that say something else. Each anchor is used once: it has the message's slot and the event's place in it. */
export function sentBy(
  logs: readonly Log[],
  own: Uint8Array,
  slot: number,
): Pick<EvaluationResult, 'Messages' | 'Spawns' | 'Assignments'> & { others: Log[] } {
  const sent = {
    Messages: [] as OutboundMessage[],
    Spawns: [] as OutboundMessage[],
    Assignments: [] as unknown[],
    others: [] as Log[],
  };
  let budget = MAX_RESULT_BYTES;
  for (const [i, log] of logs.entries()) {
    const topic =
      log.topics.length === 1 && Buffer.compare(log.address, own) === 0 ? hex(log.topics[0] ?? log.data) : '';
    if (topic !== SEND && topic !== SPAWN && topic !== ASSIGN) {
      sent.others.push(log);
      continue;
    }
    const reader = new AbiReader(log.data, budget);
    if (topic === ASSIGN) sent.Assignments.push({ Processes: reader.texts(0, 0), Message: reader.text(0, 1) });
    else {
      const target = reader.text(0, 0);
      const anchor = `${slot}-${i}`.padStart(32, '0');
      const [data, tags] = [reader.text(0, 1), tagsOf(reader)];
      if (topic === SEND)
        sent.Messages.push({ ...(target ? { Target: target } : {}), Anchor: anchor, Tags: tags, Data: data });
      else sent.Spawns.push({ Anchor: anchor, Tags: [{ name: 'Module', value: target }, ...tags], Data: data });
    }
    budget = reader.left;
  }
  return sent;
}

function tagsOf(reader: AbiReader): Tag[] {
  return reader.list(0, 2, (tag) => ({ name: reader.text(tag, 0), value: reader.text(tag, 1) }));
}

/** Why a call failed, in words. @param returned what a revert gave back */
export function reasonOf(error: string, returned: Uint8Array): string {
  if (error !== 'revert') return error;
  if (returned.length === 0) return 'reverted without a reason: there may be no such function';
  const kind = hex(returned.subarray(0, 4));
  const rest = returned.subarray(4);
  try {
    if (kind === ERROR) return `reverted: ${new AbiReader(rest, MAX_RESULT_BYTES).text(0, 0)}`;
  } catch (problem) {
    if (!(problem instanceof AbiError)) throw problem;
  }
  const code = rest.at(-1) ?? 0;
  if (kind === PANIC && rest.length === 32) return `reverted: ${PANICS[code] ?? `panic 0x${code.toString(16)}`}`;
  return `reverted with 0x${hex(returned.subarray(0, TOLD_BYTES))}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
