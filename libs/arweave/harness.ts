/** For tests: schedules and bundles as a gateway makes them, without one. */
import { createHash } from 'node:crypto';
import {
  assign,
  createItem,
  ed25519Signer,
  type Item,
  type ScheduleEntry,
  type ScheduleHead,
  type Signer,
} from '@isthmus/ao';
import {
  createSeal,
  digestOf,
  encodeSettledBundle,
  nextResults,
  NO_RESULTS,
  type Seal,
  type SealedRange,
} from './src/format/index.js';

/** A key that is the same in each run. */
export const sampleSigner = (name: string): Signer => ed25519Signer(createHash('sha256').update(name).digest());

/** A process and its first `slots` slots, the spawn first. */
export async function sampleSchedule(name: string, slots: number, scheduler: Signer): Promise<ScheduleEntry[]> {
  const author = sampleSigner(`author of ${name}`);
  const entries: ScheduleEntry[] = [];
  let head: ScheduleHead | null = null;
  let process = '';
  for (let nonce = 0; nonce < slots; nonce += 1) {
    const type = nonce === 0 ? 'Process' : 'Message';
    const message: Item = await createItem(
      {
        target: nonce === 0 ? undefined : process,
        tags: [
          { name: 'Data-Protocol', value: 'ao' },
          { name: 'Type', value: type },
        ],
        data: `${name} ${nonce}`,
      },
      author,
    );
    if (nonce === 0) process = message.id;
    const assigned = await assign(process, message.id, head, { timestamp: nonce, blockHeight: 0 }, scheduler);
    head = assigned.head;
    entries.push({ process, nonce, assignment: assigned.item, message });
  }
  return entries;
}

/** The text of the result of a slot, as the sample processes answer. */
export const sampleOutcome = ({ process, nonce }: Pick<ScheduleEntry, 'process' | 'nonce'>): string =>
  JSON.stringify({ Messages: [], Spawns: [], Assignments: [], Output: `${process} ${nonce}` });

/** r(nonce) of a sample process. */
export function sampleResults(entries: readonly ScheduleEntry[], nonce: number): string {
  const upTo = entries.slice(0, nonce + 1);
  return upTo.reduce((sum, entry) => nextResults(sum, sampleOutcome(entry)), NO_RESULTS).toString('base64url');
}

/** The range of slots `from` to `to` of a whole sample schedule. */
export function sampleRange(schedule: readonly ScheduleEntry[], from: number, to: number): SealedRange {
  const last = schedule[to];
  if (!last) throw new Error('No such slot.');
  const hashChain = last.assignment.tags.find((t) => t.name === 'Hash-Chain')?.value ?? '';
  return {
    process: last.process,
    from,
    to,
    assignment: last.assignment.id,
    hashChain,
    results: sampleResults(schedule, to),
  };
}

/** A bundle of these items and parts of schedules. */
export async function sampleBundle(
  content: {
    sequence: number;
    previous: string | null;
    others?: readonly Item[];
    parts: readonly { schedule: readonly ScheduleEntry[]; from: number; to: number }[];
  },
  scheduler: Signer,
): Promise<{ seal: Seal; bytes: Buffer }> {
  const { sequence, previous, others = [], parts } = content;
  const slots = parts.flatMap(({ schedule, from, to }) => schedule.slice(from, to + 1));
  const items = [...others, ...slots.flatMap(({ assignment, message }) => [assignment, message])];
  const ranges = parts.map(({ schedule, from, to }) => sampleRange(schedule, from, to));
  const seal = await createSeal(
    { sequence, previous, digest: digestOf(items), others: others.length, ranges },
    scheduler,
  );
  return { seal, bytes: encodeSettledBundle(seal.item, items) };
}
