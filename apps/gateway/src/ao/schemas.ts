/** What the routes under /v1/ao answer, written once: types and documentation come from here. */
import { z } from 'zod';
import { aoId, time } from '../api/fields.js';
import { settled } from '../settlement/schemas.js';

const tag = z.strictObject({ name: z.string(), value: z.string() });
const slot = (what: string) => z.int().describe(what);

const processShape = {
  id: aoId('The process'),
  vm: z.string().describe('Module-Format of its module: the virtual machine it runs on'),
  module: aoId('Its module'),
  owner: z.string().describe('AO address that spawned it'),
  name: z.string().nullable().describe('Its tag Name'),
  slot: slot('Newest slot of its schedule'),
  evaluated: slot('Newest slot with a result; -1 before the first'),
  lag: z.int().describe('Slots that wait for their result'),
  waitingMs: z.int().describe('How long the first of them has waited; 0 when none does'),
  memory: z.int().nullable().describe('Bytes its machine holds in this gateway; null while it is not open here'),
  stopped: z
    .strictObject({
      slot: z.int().nullable().describe('The slot it does not get past; null when it does not open'),
      reason: z
        .enum(['too-long', 'crash', 'unknown-format'])
        .describe('What it did to its compute thread there; unknown-format: no machine here runs its module'),
      since: time('When it stopped'),
      tries: z.int(),
      nextTryAt: time('When it is tried again'),
    })
    .nullable()
    .describe(
      'Why it goes no further in this gateway for now: that is no result, and stored nowhere. null when nothing is wrong',
    ),
  spawnError: z
    .string()
    .nullable()
    .describe('Why slot 0 failed: one whose module does not load fails every message so. null when it did not'),
  messagesPerSecond: z.number().describe('Messages placed in the last ten seconds, a second'),
  lastMessageAt: time('Newest message'),
};
const process = z.strictObject(processShape);
const processDetail = z.strictObject({
  ...processShape,
  spawnedAt: time('Slot 0'),
  scheduler: z.string().describe('AO address that signs its schedule'),
  tags: z.array(tag).describe('Of its spawn item'),
});
const processPage = z.strictObject({
  processes: z.array(process).describe('In the order of their ids'),
  nextCursor: z.string().nullable().describe('The cursor of the next page; null on the last'),
});

const modulePage = z.strictObject({
  modules: z
    .array(
      z.strictObject({
        id: aoId('The module: what a spawn names'),
        vm: z.string().describe('Its Module-Format: the virtual machine it runs on'),
        name: z.string().nullable().describe('Its tag Name, which whoever published it chose'),
        publisher: z.string().describe('AO address that signed it'),
        bytes: z.int().describe('Of its data'),
      }),
    )
    .describe('In the order of their ids'),
  nextCursor: z.string().nullable().describe('The cursor of the next page; null on the last'),
});

const outcome = {
  error: z.string().nullable().describe('Why the message failed and had no effect; null when it did not'),
  messages: z.int().describe('Messages it sent'),
  spawns: z.int().describe('Processes it spawned'),
  assignments: z.int().describe('Items it assigned'),
};
const slotEvent = z
  .strictObject({
    process: aoId('The process'),
    slot: slot('Its place'),
    message: aoId('The message'),
    action: z.string().nullable().describe('Its tag Action'),
    from: z.string().describe('Who sent it: the process it was pushed for, or its signer'),
    tick: z.boolean().describe('Whether its clock sent it'),
    at: time('When it was placed'),
    ...outcome,
  })
  .describe(
    'The data of an event of the type `slot`; its id is the slot, good as Last-Event-ID. Events of the type `heartbeat` carry a time.',
  );

const delivery = z
  .strictObject({
    state: z
      .enum(['waiting', 'held', 'delivered', 'dead', 'discarded', 'none', 'elsewhere'])
      .describe(
        'held: until what it tells of has its place. dead: set aside, see /v1/ao/dead-letters. discarded: given up by the operator. none: without a target it is only reported. elsewhere: its target is no process of this scheduler',
      ),
    attempts: z.int(),
    reason: z.string().nullable().describe('Why it waits or is set aside'),
    message: aoId('The pushed message').nullable(),
    process: aoId('Where it is placed').nullable(),
    slot: slot('Its slot there').nullable(),
    outcome: z.enum(['waiting', 'done', 'failed']).nullable().describe('Of its own evaluation'),
  })
  .describe('What became of it');
const sent = z.strictObject({
  kind: z.enum(['message', 'spawn', 'assignment']),
  position: z.int().describe('Its place among its kind'),
  target: z.string().nullable(),
  action: z.string().nullable(),
  delivery,
});
const place = z.strictObject({
  process: aoId('The process'),
  slot: slot('Its slot'),
  at: time('When it was placed'),
  assignment: aoId('The scheduler’s signed item'),
  scheduler: z.string().describe('Who signed it'),
  epoch: z.string(),
  hashChain: z.string().describe('Binds it to all before it'),
  blockHeight: z.string(),
  behind: z.int().describe('Slots to be evaluated before it; 0 when it has its result'),
  stopped: z
    .enum(['too-long', 'crash', 'unknown-format'])
    .nullable()
    .describe('Why the process goes no further in this gateway for now; null when it does, or has its result'),
  result: z
    .strictObject({
      ...outcome,
      output: z.string().describe('Its output as text, of a long one the beginning'),
      gas: z.number().nullable(),
    })
    .nullable()
    .describe('null until it is evaluated'),
  sent: z.array(sent).describe('What it sent and where that is, the first hundred of each kind'),
  settlement: settled.nullable().describe('Where it is on Arweave; null while only this gateway’s database keeps it'),
});
const journey = z.strictObject({
  id: aoId('The message'),
  item: z.strictObject({
    type: z.string().describe('Message, Process or Module'),
    signer: z.string().describe('AO address that signed it'),
    signature: z.enum(['arweave', 'ed25519', 'ethereum', 'ed25519-hex']).describe('Kind of its key'),
    target: z.string().nullable(),
    anchor: z.string(),
    tags: z.array(tag),
    bytes: z.int().describe('Of its data'),
    data: z.string().describe('The beginning of its data as text'),
  }),
  sentBy: z
    .strictObject({ process: aoId('The sender'), slot: slot('The slot whose result sent it').nullable() })
    .nullable()
    .describe('For a message a process sent'),
  pushedFor: aoId('The signed message at the beginning').nullable(),
  places: z.array(place).describe('Each process it is a message of, at most 20'),
  transfers: z
    .array(z.strictObject({ id: z.string(), direction: z.enum(['deposit', 'withdrawal']), state: z.string() }))
    .describe('Transfers of the bridge this message is a step of'),
  settlement: settled
    .nullable()
    .describe(
      'Where it is on Arweave, in its first place (of a module: itself); null while only this gateway’s database keeps it',
    ),
});

const deadLetter = z.strictObject({
  id: z.string().describe('Its number'),
  process: aoId('The process that sent it'),
  kind: z
    .enum(['message', 'spawn', 'spawned', 'assignment', 'tick'])
    .describe('spawned: what a parent is told of a spawn. tick: of a process’ clock'),
  slot: slot('The slot whose result sent it; of a tick its time in milliseconds'),
  position: z.int().describe('Its place among what the slot sent of its kind'),
  message: aoId('The item, or the message to be assigned').nullable().describe('null when none was made'),
  target: z.string().nullable().describe('Process whose schedule it is for'),
  pushedFor: z.string().describe('The signed message at the beginning'),
  attempts: z.int(),
  reason: z.string().describe('Why it was set aside, in one word'),
  error: z.string().describe('Why, for people'),
  releasable: z.boolean().describe('Whether sending it again can change anything'),
});
const deadLetters = z.strictObject({
  deadLetters: z.array(deadLetter).describe('Newest first'),
  nextCursor: z.string().nullable().describe('The cursor of the next page; null on the last'),
});
const released = z.strictObject({ released: z.int().describe('How many are sent again') });
const discarded = z.strictObject({ discarded: z.int().describe('How many are given up') });
const deadLetterGroups = z.strictObject({
  groups: z
    .array(
      z.strictObject({
        process: aoId('The process that sent them'),
        reason: z.string().describe('Why they were set aside, in one word'),
        count: z.int(),
      }),
    )
    .describe('The largest first, at most 500'),
});

const health = z.strictObject({
  ok: z.boolean().describe('Whether nothing has waited longer than a minute for its result'),
  scheduler: z.string().describe('AO address that signs schedules'),
  messenger: z.string().describe('AO address that pushes messages'),
  processes: z.int(),
  open: z.int().describe('Of these, open in this gateway'),
  memory: z.int().describe('Bytes those hold'),
  lag: z.int().describe('Slots that wait for their result, of all processes'),
  waitingMs: z.int().describe('How long the first of them has waited; 0 when none does'),
  deliveries: z
    .strictObject({ waiting: z.int(), dead: z.int(), failed: z.int() })
    .describe('Not yet delivered; set aside; and of these what this gateway failed to place, which is not well'),
  reasons: z.array(z.string()).describe('What is not well'),
});

/** By the name each has in the documentation. */
export const aoSchemas = {
  AoProcess: process,
  AoProcessDetail: processDetail,
  AoProcessPage: processPage,
  AoModulePage: modulePage,
  AoSlotEvent: slotEvent,
  AoDelivery: delivery,
  AoSent: sent,
  AoPlace: place,
  AoJourney: journey,
  AoDeadLetter: deadLetter,
  AoDeadLetterPage: deadLetters,
  AoReleased: released,
  AoDiscarded: discarded,
  AoDeadLetterGroups: deadLetterGroups,
  AoHealth: health,
} as const;

type Of<S extends z.ZodType> = z.infer<S>;
export type AoProcess = Of<typeof process>;
export type AoProcessDetail = Of<typeof processDetail>;
export type AoProcessPage = Of<typeof processPage>;
export type AoModulePage = Of<typeof modulePage>;
export type AoSlotEvent = Of<typeof slotEvent>;
export type AoDelivery = Of<typeof delivery>;
export type AoSent = Of<typeof sent>;
export type AoPlace = Of<typeof place>;
export type AoJourney = Of<typeof journey>;
export type AoDeadLetter = Of<typeof deadLetter>;
export type AoDeadLetterPage = Of<typeof deadLetters>;
export type AoReleased = Of<typeof released>;
export type AoDiscarded = Of<typeof discarded>;
export type AoDeadLetterGroups = Of<typeof deadLetterGroups>;
export type AoHealth = Of<typeof health>;
