/**
 * Turns a token process' events into transfers and their steps, slot after slot, in the transaction that moves its cursor. Dropping the
 * tables and starting again gives the same rows.
 */
import type { AoEngine, EngineSlot } from '@isthmus/ao';
import { eventsOf, parseDecision, viewOfSpawn, type BridgeEvent } from '@isthmus/bridge';
import type { EntityManager } from 'typeorm';
import { crashPoint } from '../crash-point.js';
import type { HomeAsset } from '../homes/asset-config.js';
import type { AppliedRow, DecisionStore, VoteRow } from './decision-store.js';
import { forgetProposals, takeProposals, type ProposalVoice } from './proposals.js';
import type { Move, Moved, NewDeposit, NewWithdrawal, StepRow, TransferStore } from './transfer-store.js';

const BATCH = 100;
const RETRY_MS = 2_000;

type Slot = EngineSlot & { at: Date };

/** What one batch of slots comes to. Kept in order where order counts. */
interface Changes {
  deposits: NewDeposit[];
  withdrawals: NewWithdrawal[];
  steps: StepRow[];
  attested: Move[];
  minted: Move[];
  /** By withdrawal number, since events name it so. */
  byNumber: {
    number: bigint;
    /** Carries the time of all that this entry changes. */
    step: Omit<StepRow, 'transfer'>;
    signatures?: number;
    released?: { txHash: string; fee: bigint; held: boolean };
  }[];
  /** What moves the totals of the process, in order. */
  moved: Moved[];
  /** What was said and decided about the process itself, in order. */
  voices: (VoteRow | AppliedRow)[];
  /** What was said about proposed releases, in order. */
  proposals: ProposalVoice[];
  rotated: boolean;
  decided: Decided;
  last: Date;
}

/** What the projector needs to know of an asset. */
export type ProjectedAsset = Pick<HomeAsset, 'id' | 'process'>;

export class Projector {
  private readonly running = new Map<string, Promise<void>>();
  private readonly wanted = new Set<string>();
  private stopped = false;

  constructor(
    private readonly engine: Pick<AoEngine, 'slots' | 'spawn' | 'onSlots'>,
    private readonly store: TransferStore,
    private readonly decisions: DecisionStore,
    private readonly assets: readonly ProjectedAsset[],
    private readonly onProjected: () => void,
    private readonly onFailure: (error: unknown) => void,
    private readonly batchSlots = BATCH,
  ) {}

  /** Follows the engine's results from where the last run ended. */
  async start(): Promise<void> {
    this.engine.onSlots((process) => void this.project(process));
    await Promise.all(this.assets.map((a) => this.project(a.process)));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running.values());
  }

  /** Takes in what is new of a process. A failure is reported and tried again after a while. */
  project(process: string): Promise<void> {
    if (this.stopped) return Promise.resolve();
    const asset = this.assets.find((a) => a.process === process);
    if (!asset) return Promise.resolve();
    this.wanted.add(process);
    const running = this.running.get(process) ?? this.work(asset);
    this.running.set(process, running);
    return running;
  }

  private async work(asset: ProjectedAsset): Promise<void> {
    try {
      while (this.wanted.delete(asset.process) && !this.stopped) {
        while (await this.batch(asset)) this.store.announce();
      }
      this.onProjected();
    } catch (error) {
      this.onFailure(error);
      if (!this.stopped) setTimeout(() => void this.project(asset.process), RETRY_MS).unref();
    } finally {
      this.running.delete(asset.process);
    }
  }

  /** One batch; false when there was nothing. The cursor's row is locked, so of two gateways one goes on and the other looks again. */
  private async batch(asset: ProjectedAsset): Promise<boolean> {
    const before = await this.store.transaction((manager) => cursorOf(manager, asset.process, ''));
    const found = await this.engine.slots(asset.process, before.at + 1, this.batchSlots);
    const slots = upToRotation(found.map((slot) => ({ ...slot, at: new Date(slot.timestamp) })));
    const last = slots.at(-1);
    if (!last) return false;
    const any = await this.store.transaction(async (manager) => {
      const cursor = await cursorOf(manager, asset.process, 'for update');
      if (cursor.at !== before.at) return true;
      const decided = cursor.at < 0 ? await this.spawned(asset.process) : cursor;
      const after = await this.apply(manager, asset, slots, decided);
      await manager.query(
        'update projection set nonce = $2, epoch = $3, threshold = $4, paused = $5 where process = $1',
        [asset.process, last.nonce, String(after.epoch), after.threshold, after.paused],
      );
      crashPoint('project.before-commit');
      return true;
    });
    if (any) crashPoint('project.after-commit');
    return any;
  }

  /** The guardian set a process was spawned with. */
  private async spawned(process: string): Promise<Decided> {
    const spawn = await this.engine.spawn(process);
    if (!spawn) throw new Error(`Token process ${process} is not spawned here.`);
    const { set, paused } = viewOfSpawn(spawn.tags);
    return { epoch: set.epoch, threshold: set.threshold, paused };
  }

  private async apply(
    manager: EntityManager,
    asset: ProjectedAsset,
    slots: readonly Slot[],
    decided: Decided,
  ): Promise<Decided> {
    const changes: Changes = {
      decided,
      deposits: [],
      withdrawals: [],
      steps: [],
      attested: [],
      minted: [],
      byNumber: [],
      moved: [],
      voices: [],
      proposals: [],
      rotated: false,
      last: new Date(0),
    };
    for (const slot of slots) {
      changes.last = slot.at;
      for (const [index, event] of eventsOf(slot.result.Messages).entries())
        collect(changes, asset, slot, event, index);
    }
    const { store } = this;
    await store.addDeposits(manager, changes.deposits);
    await store.settleDeposits(manager, changes.deposits);
    await store.addWithdrawals(manager, changes.withdrawals);
    await store.addSteps(manager, changes.steps);
    await store.moveEach(manager, changes.attested, ['seen', 'confirming', 'orphaned'], 'attesting');
    await store.moveEach(manager, changes.minted, ['seen', 'confirming', 'attesting', 'orphaned', 'refused'], 'minted');
    await this.applyWithdrawals(manager, asset, changes);
    await store.addTotals(manager, asset.process, changes.moved);
    for (const voice of changes.voices)
      await ('guardian' in voice ? this.decisions.addVote(manager, voice) : this.decisions.addApplied(manager, voice));
    return changes.decided;
  }

  private async applyWithdrawals(
    manager: EntityManager,
    asset: ProjectedAsset,
    { byNumber, proposals, rotated, last, decided }: Changes,
  ): Promise<void> {
    const { threshold } = decided;
    const done = new Set(byNumber.flatMap((c) => (c.released ? [c.number] : [])));
    await takeProposals(manager, this.store, asset.process, proposals, { threshold, released: done });
    if (rotated) await forgetProposals(manager, asset.process);
    const ids = await this.store.withdrawalIds(
      manager,
      asset.process,
      byNumber.map((c) => c.number),
    );
    const known = byNumber.flatMap((c) => {
      const transfer = ids.get(String(c.number));
      return transfer ? [{ ...c, transfer }] : [];
    });
    await this.store.addSteps(
      manager,
      known.map(({ transfer, step }) => ({ transfer, ...step })),
    );
    const signed = known.filter((c) => c.signatures !== undefined);
    const moves = (changes: typeof known): Move[] =>
      changes.map(({ transfer, step }) => ({ id: transfer, at: step.at }));
    await this.store.moveEach(manager, moves(signed), ['queued'], 'signing');
    const enough = signed.filter((c) => (c.signatures ?? 0) >= threshold);
    await this.store.moveEach(manager, moves(enough), ['queued', 'signing'], 'ready');
    if (rotated) await this.dropSignatures(manager, asset.process, last);
    for (const { transfer, released, step } of known) {
      if (!released) continue;
      await manager.query('update transfer set release_tx = $2, fee = $3 where id = $1', [
        transfer,
        released.txHash,
        String(released.fee),
      ]);
      await this.store.move(
        manager,
        [transfer],
        ['queued', 'signing', 'ready', 'submitted'],
        released.held ? 'held' : 'released',
        step.at,
      );
    }
  }

  private async dropSignatures(manager: EntityManager, process: string, at: Date): Promise<void> {
    const rows: { id: string }[] = await manager.query(
      `select id from transfer where process = $1 and state in ('signing', 'ready')`,
      [process],
    );
    await this.store.move(
      manager,
      rows.map((r) => r.id),
      ['signing', 'ready'],
      'queued',
      at,
    );
  }
}

/** How far a process is projected, and what was decided up to there. */
async function cursorOf(
  manager: EntityManager,
  process: string,
  lock: '' | 'for update',
): Promise<Decided & { at: number }> {
  await manager.query('insert into projection (process, nonce) values ($1, -1) on conflict do nothing', [process]);
  const [row]: { nonce: string; epoch: string; threshold: number; paused: boolean }[] = await manager.query(
    `select nonce, epoch, threshold, paused from projection where process = $1 ${lock}`,
    [process],
  );
  if (!row) throw new Error(`The place of process ${process} in the index is gone.`);
  return { at: Number(row.nonce), epoch: BigInt(row.epoch), threshold: row.threshold, paused: row.paused };
}

/** A batch ends with a rotation: signatures before it are dropped, those after it count. */
function upToRotation(slots: Slot[]): Slot[] {
  const at = slots.findIndex((s) =>
    eventsOf(s.result.Messages).some((e) => e.type === 'decision.applied' && e.line.startsWith('rotate ')),
  );
  return at < 0 ? slots : slots.slice(0, at + 1);
}

/** What the quorum has decided so far. */
interface Decided {
  epoch: bigint;
  threshold: number;
  paused: boolean;
}

function decide(decided: Decided, line: string): Decided {
  const decision = parseDecision(line);
  if (decision.kind === 'rotate') return { ...decided, epoch: decision.epoch, threshold: decision.threshold };
  return decision.kind === 'list' ? decided : { ...decided, paused: decision.kind === 'pause' };
}

function collect(changes: Changes, asset: ProjectedAsset, slot: Slot, event: BridgeEvent, index: number): void {
  const proof = { message: slot.message, slot: slot.nonce };
  const step = (kind: string, who: string, more: Record<string, string | number> = {}) => ({
    key: `${kind} ${who}`.trim(),
    at: slot.at,
    kind,
    proof: { ...proof, ...more },
  });
  switch (event.type) {
    case 'deposit.attested':
      changes.attested.push({ id: event.id, at: slot.at });
      changes.steps.push({
        transfer: event.id,
        ...step('attested', event.guardian, { guardian: event.guardian, votes: event.votes }),
      });
      return;
    case 'deposit.conflict':
      changes.steps.push({
        transfer: event.id,
        ...step('conflict', `${event.guardian} ${slot.nonce} ${index}`, { guardian: event.guardian }),
      });
      return;
    case 'deposit.minted': {
      const { id, recipient, amount, reference, txHash, sender } = event;
      changes.deposits.push({
        id,
        asset: asset.id,
        process: asset.process,
        state: 'attesting',
        sender,
        recipient,
        amount,
        reference,
        txHash,
        blockNumber: null,
        at: slot.at,
      });
      changes.minted.push({ id, at: slot.at });
      changes.moved.push({ slot: slot.nonce, minted: amount });
      changes.steps.push({ transfer: id, ...step('minted', '', { recipient, amount: String(amount) }) });
      return;
    }
    case 'withdrawal.queued': {
      const { id, holder, recipient, amount, maxFee, number } = event;
      changes.withdrawals.push({
        id,
        asset: asset.id,
        process: asset.process,
        sender: holder,
        recipient,
        amount,
        maxFee,
        number,
        at: slot.at,
      });
      changes.moved.push({ slot: slot.nonce, burned: amount });
      changes.byNumber.push({ number, step: step('queued', '', { number: String(number), amount: String(amount) }) });
      return;
    }
    case 'withdrawal.signed': {
      const { guardian, epoch, signature, number, signatures } = event;
      changes.byNumber.push({
        number,
        signatures,
        step: step('signed', `${epoch} ${guardian}`, { guardian, epoch: String(epoch), signature }),
      });
      return;
    }
    case 'withdrawal.attested':
      changes.byNumber.push({
        number: event.number,
        step: step('release-attested', event.guardian, { guardian: event.guardian, votes: event.votes }),
      });
      return;
    case 'withdrawal.conflict':
      changes.byNumber.push({
        number: event.number,
        step: step('conflict', `${event.guardian} ${slot.nonce} ${index}`, { guardian: event.guardian }),
      });
      return;
    case 'withdrawal.released': {
      const { number, txHash, fee, outcome } = event;
      changes.moved.push({ slot: slot.nonce, released: number });
      changes.byNumber.push({
        number,
        released: { txHash, fee, held: outcome === 'held' },
        step: step('released', '', { tx: txHash, fee: String(fee), outcome }),
      });
      return;
    }
    case 'proposal.made':
    case 'proposal.signed':
    case 'proposal.dropped':
      changes.proposals.push({ event, message: slot.message, slot: slot.nonce, at: slot.at });
      return;
    case 'decision.attested':
    case 'decision.signed': {
      const { type: _, ...voice } = event;
      changes.voices.push({ process: asset.process, message: slot.message, slot: slot.nonce, at: slot.at, ...voice });
      return;
    }
    case 'decision.applied':
      changes.voices.push({
        process: asset.process,
        message: slot.message,
        slot: slot.nonce,
        at: slot.at,
        nonce: event.nonce,
        line: event.line,
      });
      changes.rotated ||= event.line.startsWith('rotate ');
      changes.decided = decide(changes.decided, event.line);
      return;
    default:
      return;
  }
}
