/** What a guardian serves of the schedules it has accepted: pages, whole and bounded, and a few readers at once at most. */
import {
  assign,
  createItem,
  ed25519Signer,
  ethereumSigner,
  readTailLine,
  tagOf,
  TAIL_PAGE,
  type Tag,
} from '@isthmus/ao';
import type { ScheduleEntry, ScheduleHead } from '@isthmus/ao';
import type { Ledger } from './ledger.js';
import { TailController } from './tail.controller.js';

const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
const ALICE = ethereumSigner(`0x${'3'.repeat(64)}`);
let entries: ScheduleEntry[] = [];
let module: Buffer;
let process: string;

beforeAll(async () => {
  const tags = (value: string): Tag[] => [{ name: 'Module', value }];
  const source = await createItem({ tags: [], data: 'source' }, ALICE);
  module = source.raw;
  let head: ScheduleHead | null = null;
  for (let nonce = 0; nonce < 4; nonce += 1) {
    const message = await createItem({ tags: nonce === 0 ? tags(source.id) : [], data: String(nonce) }, ALICE);
    if (nonce === 0) process = message.id;
    const assigned = await assign(process, message.id, head, { timestamp: nonce, blockHeight: 0 }, SCHEDULER);
    head = assigned.head;
    entries.push({ process, nonce, assignment: assigned.item, message });
  }
});

/** A ledger that holds these slots, and answers when it is told to. */
function controller(answer: Promise<unknown> = Promise.resolve()): TailController {
  const ledger: Pick<Ledger, 'head' | 'entries' | 'module'> = {
    head: async () => {
      await answer;
      return { nonce: entries.length - 1, assignmentId: '', hashChain: '', timestamp: 0 };
    },
    entries: (_, from, limit) => Promise.resolve(entries.slice(from, from + Math.min(limit, TAIL_PAGE))),
    module: () => Promise.resolve(module),
  };
  return new TailController(ledger, [process]);
}

it('I11 shows slots as they were signed, from the one asked for on, and the module before slot 0', async () => {
  expect(await controller().heads()).toEqual([{ process, slot: 3 }]);
  const linesFrom = async (from: string) =>
    (await controller().page(process, from)).split('\n').slice(0, -1).map(readTailLine);
  const [first, ...rest] = await linesFrom('0');
  expect(first?.kind === 'module' && first.module.raw.equals(module)).toBe(true);
  expect(rest.map((r) => (r.kind === 'slot' ? tagOf(r.assignment, 'Nonce') : r.kind))).toEqual(['0', '1', '2', '3']);
  const two = await linesFrom('2');
  expect(two.map((r) => r.kind === 'slot' && r.message.raw)).toEqual(entries.slice(2).map((e) => e.message.raw));
  expect(await controller().page(process, '4')).toBe('');
});

it.each([undefined, '-1', '01', '1e3', '1'.repeat(16), ''])('X from %s is refused', (from) => {
  expect(() => controller().page(process, from)).toThrow('from is the number of a slot');
});

it('a process it does not follow is not there', () => {
  expect(() => controller().page('x'.repeat(43), '0')).toThrow('does not follow');
});

it('I13 few wait at once: the others are told to come later, and all goes on when it answers again', async () => {
  let go: () => void = () => undefined;
  const one = controller(new Promise<void>((resolve) => (go = resolve)));
  const waiting = Array.from({ length: 8 }, () => one.heads());
  await expect(one.heads()).rejects.toThrow('try again later');
  go();
  await Promise.all(waiting);
  expect(await one.heads()).toHaveLength(1);
});
