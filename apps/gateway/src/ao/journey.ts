/** One message's whole way: the item, its places, what each gave, and what became of what was sent. Everything is read, nothing is guessed. */
import {
  parseItem,
  tagOf,
  type AoPipeline,
  type EvaluationResult,
  type Item,
  type OutboundMessage,
  type ScheduleEntry,
} from '@isthmus/ao';
import { slotKey, type SettlementStore } from '@isthmus/arweave';
import type { TransferStore } from '../transfers/transfer-store.js';
import type { AoStore, ArrivalRow, DeliveryRow, PlaceRow } from './ao-store.js';
import { outcomeOf, timeOf } from './process-view.js';
import type { AoDelivery, AoJourney, AoPlace, AoSent } from './schemas.js';

/** Most places shown, and most of what one place sent, of each kind. */
const MAX_PLACES = 20;
const MAX_SENT = 100;
/** Most transfers one message is a step of that are shown. */
const MAX_TRANSFERS = 20;
/** Characters shown of data and output. */
const MAX_TEXT = 2000;

const SIGNATURES = { 1: 'arweave', 2: 'ed25519', 3: 'ethereum', 4: 'ed25519-hex' } as const;

export class Journeys {
  constructor(
    private readonly pipeline: AoPipeline,
    private readonly store: AoStore,
    private readonly transfers: TransferStore,
    private readonly settlement: SettlementStore,
  ) {}

  /** The way of a message, named by its own id or its assignment's; null when it is not known here. */
  async of(id: string): Promise<AoJourney | null> {
    const raw = await this.pipeline.scheduler.item(id);
    if (!raw) {
      const message = await this.store.messageOfAssignment(id);
      return message === null ? null : this.of(message);
    }
    const item = parseItem(raw);
    const places: AoPlace[] = [];
    // One after another: a message may have 4 MiB, a result 8.
    for (const row of await this.store.places(id, MAX_PLACES)) places.push(...(await this.place(id, row)));
    return {
      id,
      item: itemView(item),
      sentBy: await this.sender(item, places[0]),
      pushedFor: tagOf(item, 'Pushed-For') || null,
      places,
      transfers: (await this.transfers.list({ message: id, limit: MAX_TRANSFERS })).map(
        ({ id: transfer, direction, state }) => ({
          id: transfer,
          direction,
          state,
        }),
      ),
      settlement: places[0]?.settlement ?? (await this.settlement.ofItem(id)),
    };
  }

  private async place(id: string, { process, slot, evaluated }: PlaceRow): Promise<AoPlace[]> {
    const entry = await this.pipeline.scheduler.entryOf(process, id);
    if (!entry) return [];
    const [stored] = evaluated >= slot ? await this.pipeline.compute.results(process, slot, 1) : [];
    const result = stored?.nonce === slot ? stored.result : null;
    return [
      {
        ...assignmentView(entry),
        behind: result ? 0 : Math.max(0, slot - evaluated - 1),
        stopped: result ? null : (this.pipeline.compute.stopped().find((s) => s.process === process)?.reason ?? null),
        result: result && {
          ...outcomeOf(result),
          output: textOf(result.Output),
          gas: result.GasUsed ?? null,
        },
        sent: result ? await this.sent(process, slot, result) : [],
        settlement: (await this.settlement.ofSlots([{ process, slot }])).get(slotKey(process, slot)) ?? null,
      },
    ];
  }

  private async sent(process: string, slot: number, result: EvaluationResult): Promise<AoSent[]> {
    const rows = await this.store.deliveries(process, slot, MAX_SENT);
    const arrivals = await this.store.arrivals([...new Set(rows.map((row) => row.itemId).filter(Boolean))]);
    const of = (kind: DeliveryRow['kind'], position: number) =>
      rows.find((row) => row.kind === kind && row.position === position);
    return [
      ...result.Messages.slice(0, MAX_SENT).map((message, position) =>
        sentView('message', position, message, of('message', position), arrivals),
      ),
      ...result.Spawns.slice(0, MAX_SENT).map((spawn, position) =>
        sentView('spawn', position, spawn, of('spawn', position), arrivals),
      ),
      // One asked for may be several places: each that the messenger has made of it is shown.
      ...rows
        .filter((row) => row.kind === 'assignment')
        .map((row) => sentView('assignment', row.position, { Target: row.target, Tags: [] }, row, arrivals)),
    ];
  }

  /** Only what the messenger of this gateway signed was sent by a process. */
  private async sender(item: Item, place: AoPlace | undefined): Promise<AoJourney['sentBy']> {
    const process = tagOf(item, 'From-Process');
    if (!process || item.ownerAddress !== this.pipeline.messenger.address) return null;
    const slot = place ? await this.store.sendingSlot(process, item.id, Date.parse(place.at)) : null;
    return { process, slot };
  }
}

function itemView(item: Item): AoJourney['item'] {
  return {
    type: tagOf(item, 'Type'),
    signer: item.ownerAddress,
    signature: SIGNATURES[item.signatureType],
    target: item.target || null,
    anchor: item.anchor,
    tags: item.tags,
    bytes: item.data.length,
    data: item.data.subarray(0, MAX_TEXT).toString('utf8'),
  };
}

function assignmentView({ process, nonce, assignment }: ScheduleEntry) {
  return {
    process,
    slot: nonce,
    at: timeOf(Number(tagOf(assignment, 'Timestamp'))),
    assignment: assignment.id,
    scheduler: assignment.ownerAddress,
    epoch: tagOf(assignment, 'Epoch'),
    hashChain: tagOf(assignment, 'Hash-Chain'),
    blockHeight: tagOf(assignment, 'Block-Height'),
  };
}

function sentView(
  kind: AoSent['kind'],
  position: number,
  { Target: target, Tags: tags }: Pick<OutboundMessage, 'Target' | 'Tags'>,
  row: DeliveryRow | undefined,
  arrivals: readonly ArrivalRow[],
): AoSent {
  return {
    kind,
    position,
    target: target || null,
    action: tags.find((t) => t.name === 'Action')?.value ?? null,
    delivery: row ? deliveryView(row, arrivals) : notDelivered(target),
  };
}

/** What has no place in the outbox is none of this scheduler's. */
function notDelivered(target: string | undefined): AoDelivery {
  const state = target ? 'elsewhere' : 'none';
  return { state, attempts: 0, reason: null, message: null, process: null, slot: null, outcome: null };
}

function deliveryView(
  { kind, itemId, target, state, attempts, error }: DeliveryRow,
  arrivals: readonly ArrivalRow[],
): AoDelivery {
  // A message may be assigned to further processes: this is about where it was sent.
  const process = kind === 'spawn' ? itemId : target;
  const arrival = arrivals.find((a) => a.message === itemId && a.process === process);
  return {
    state,
    attempts,
    reason: state === 'delivered' ? null : error,
    message: itemId || null,
    process: arrival?.process ?? null,
    slot: arrival?.slot ?? null,
    outcome: arrival ? outcomeAt(arrival) : null,
  };
}

function outcomeAt({ failed }: ArrivalRow): AoDelivery['outcome'] {
  if (failed === null) return 'waiting';
  return failed ? 'failed' : 'done';
}

function textOf(output: unknown): string {
  const text = typeof output === 'string' ? output : (JSON.stringify(output) ?? '');
  return text.slice(0, MAX_TEXT);
}
