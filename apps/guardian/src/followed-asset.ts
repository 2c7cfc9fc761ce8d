/**
 * One asset's token process as this guardian computes it for itself. Its view may be acted on only while the whole schedule was followed
 * soundly; until then there is none, and whoever would sign by it has nothing to sign by.
 */
import {
  parseItem,
  Replica,
  ReplicaError,
  tagOf,
  type AoNetwork,
  type EvaluationResult,
  type ScheduleEntry,
  type WorkerPool,
} from '@isthmus/ao';
import { placeOf, type PlaceToProve } from '@isthmus/arweave';
import {
  eventsOf,
  foldEvent,
  viewOfSpawn,
  type BridgeEvent,
  type OpenWithdrawal,
  type ProcessView,
  type Subject,
} from '@isthmus/bridge';
import { assertBoot, type KnownBoots } from './boot-check.js';
import type { GuardianConfig } from './config.js';
import type { Asset, Home } from './homes/home.js';
import type { Ledger, SignedProposal } from './ledger.js';
import { assertProcess, ForgedSender, UnverifiedSender } from './senders.js';

/**
 * What a process holds of votes no quorum has agreed on, all guardians together, and what a vote takes beside its line: OPEN_BYTES and
 * VOTE_BYTES of contracts/ao/token.lua. Beyond its share a guardian is not heard, so it stays well within it and says the rest later.
 */
const OPEN_BYTES = 96 * 1024 * 1024;
const VOTE_BYTES = 1024;
const SHARE_USED = 0.5;
/** Votes in a message take at most this many times its bytes: no line is shorter than 256. */
const VOTES_PER_BYTE = 5;

/** Processes remembered as such. */
const SENDERS_KNOWN = 10_000;
/** Senders looked at in one round: each is a question or two to the network. The others have their turn in the next ones. */
const SENDERS_AT_ONCE = 100;

/** Own messages noted at once: a replay from slot 0 meets all there ever were. */
const OWN_AT_ONCE = 500;

/** The process of the configuration was spawned for another asset, chain or vault: nothing is said to it. */
export class WrongProcess extends Error {
  readonly code = 'wrong-process';
  constructor(asset: Asset, tag: string, is: string | undefined, expected: string) {
    super(
      `Process ${asset.process}, configured for ${asset.id}, was spawned with ${tag} ${is ?? '(none)'}, not ${expected}: correct homes in the configuration.`,
    );
    this.name = 'WrongProcess';
  }
}

type VoteEvent = Extract<BridgeEvent, { type: 'deposit.attested' | 'deposit.minted' }>;

export interface FollowedAssetParts {
  config: Pick<GuardianConfig, 'scheduler' | 'knownSenders'>;
  asset: Asset;
  /** CAIP-2 name of its home chain. */
  chain: string;
  home: Home;
  ledger: Ledger;
  network: AoNetwork;
  workers: WorkerPool;
  /** What a process may run. */
  known: KnownBoots;
  /** AO address of this guardian: its own messages in the schedule need no more sending. */
  self: string;
}

export class FollowedAsset {
  readonly asset: Asset;
  /** By subject: the decision known to be carried out at the vault for good, and the place for which the one that holds was signed last. */
  readonly carried = new Map<Subject, bigint>();
  readonly signedPlaces = new Map<Subject, string>();
  /** Whether the vault was short of what AO owes when the books were checked last; null before that. */
  short: boolean | null = null;
  private replica: Replica;
  private current: ProcessView | null = null;
  private sound = false;
  private own: { id: string; nonce: number }[] = [];
  /** Own signatures of proposals met in the schedule. */
  private ownSigned: SignedProposal[] = [];
  private authorities: ReadonlySet<string> = new Set();
  /** In whose names an authority has moved tokens: not known to be processes yet, and known. */
  private readonly newSenders = new Set<string>();
  private readonly senders = new Set<string>();
  private readonly signed = new Map<bigint, OpenWithdrawal>();
  /** Of open withdrawals: the place whose message queued them. */
  private readonly queuedAt = new Map<bigint, PlaceToProve>();
  private signedEpoch = 0n;
  private readonly openVotes = new Map<string, number>();
  private openVoteBytes = 0;

  constructor(private readonly parts: FollowedAssetParts) {
    this.asset = parts.asset;
    this.replica = this.newReplica();
  }

  /** What the process has come to; null until its schedule was followed to the end and nobody owns it, and again when that fails. */
  get view(): ProcessView | null {
    return this.sound ? this.current : null;
  }

  /**
   * In whose names an authority has moved tokens though nobody shows that they are processes. While there are any, nothing is to be paid out:
   * what they sent may be with anyone by now.
   */
  get unverifiedSenders(): ReadonlySet<string> {
    return this.newSenders;
  }

  /** Last slot evaluated. */
  get nonce(): number {
    return this.replica.nonce;
  }

  /** Follows the schedule to its end. @throws ReplicaError, WrongProcess, UnknownModule, OwnedProcess, ForgedSender */
  async follow(): Promise<void> {
    this.sound = false;
    try {
      await this.replica.sync();
      await this.noteOwn();
      await this.checkSenders();
    } catch (error) {
      // What the check of a schedule refuses was never evaluated. After anything else the machine may be ahead of the view, or gone.
      if (!(error instanceof ReplicaError || error instanceof ForgedSender)) this.startAfresh();
      throw error;
    }
    const { home } = this.parts;
    if (home.custody === 'proposals') home.followed(this.asset);
    this.sound = true;
  }

  /** Open withdrawals not known to be signed in this epoch, by the very content they have now. */
  notKnownSigned(view: ProcessView): OpenWithdrawal[] {
    if (this.signedEpoch !== view.set.epoch) this.signed.clear();
    this.signedEpoch = view.set.epoch;
    for (const number of this.signed.keys()) if (!view.open.has(number)) this.signed.delete(number);
    for (const number of this.queuedAt.keys()) if (!view.open.has(number)) this.queuedAt.delete(number);
    return [...view.open.values()].filter((w) => this.signed.get(w.number) !== w);
  }

  /** Remembers what the ledger holds a signature of. */
  knowSigned(withdrawals: readonly OpenWithdrawal[]): void {
    for (const w of withdrawals) this.signed.set(w.number, w);
  }

  /** Where in the schedule an open withdrawal was asked for. */
  placeOf({ number }: OpenWithdrawal): PlaceToProve | null {
    return this.queuedAt.get(number) ?? null;
  }

  /** As many of these lines as the process has room for now; `unseen` is the bytes of own messages it has not got yet. */
  heard<T extends { line: string }>(deposits: readonly T[], unseen: number, view: ProcessView): T[] {
    const share = (OPEN_BYTES / view.set.guardians.length) * SHARE_USED;
    let taken = this.openVoteBytes + unseen * VOTES_PER_BYTE;
    const first = deposits.findIndex(({ line }) => (taken += voteBytes(line)) > share);
    return first < 0 ? [...deposits] : deposits.slice(0, first);
  }

  private newReplica(): Replica {
    const { config, asset, ledger, network, workers } = this.parts;
    return new Replica({
      process: asset.process,
      scheduler: config.scheduler,
      store: ledger,
      workers,
      network,
      onResult: (entry, result) => this.learn(entry, result),
    });
  }

  /** Everything accepted is evaluated again, from slot 0. */
  private startAfresh(): void {
    this.replica = this.newReplica();
    this.current = null;
    this.own = [];
    this.ownSigned = [];
    this.signed.clear();
    this.queuedAt.clear();
    this.openVotes.clear();
    this.openVoteBytes = 0;
  }

  private async learn(entry: ScheduleEntry, result: EvaluationResult): Promise<void> {
    const { home } = this.parts;
    if (entry.nonce === 0) {
      await this.checkBoot(entry, result);
      this.current = this.viewAtSpawn(entry);
    }
    if (!this.current) throw new Error(`Process ${entry.process} has no spawn.`);
    // A slot that failed had no effect, whatever it says it sent.
    const isOwn = entry.message.ownerAddress === this.parts.self && isAddressed(entry);
    const said = isOwn ? linesById(entry) : new Map<string, string>();
    const events = result.Error === undefined ? eventsOf(result.Messages) : [];
    if (home.custody === 'proposals') await home.learn(this.asset, entry, events, this.current);
    for (const event of events) {
      this.noteSigned(event);
      foldEvent(this.current, event);
      if (event.type === 'withdrawal.queued') this.queuedAt.set(event.number, placeOf(entry));
      if (event.type === 'deposit.attested' || event.type === 'deposit.minted') this.countVote(event, said);
    }
    this.noteSender(entry, result);
    if (!isOwn) return;
    this.own.push({ id: entry.message.id, nonce: entry.nonce });
    if (this.own.length >= OWN_AT_ONCE) await this.noteOwn();
  }

  /** @throws UnknownModule, OwnedProcess */
  private async checkBoot(entry: ScheduleEntry, result: EvaluationResult): Promise<void> {
    const id = tagOf(entry.message, 'Module');
    const module = await this.parts.ledger.module(id);
    if (!module) throw new Error(`Module ${id} was evaluated and is not kept.`);
    assertBoot(entry, result, parseItem(module), this.parts.known);
  }

  /** A vote of this guardian, said in a message with these lines, stays open until a quorum agrees on its deposit. */
  private countVote(event: VoteEvent, said: ReadonlyMap<string, string>): void {
    const open = this.openVotes.get(event.id) ?? 0;
    const agreed = event.type === 'deposit.minted' || event.votes >= (this.current?.set.threshold ?? 0);
    const own = event.type === 'deposit.attested' && event.guardian === this.parts.self;
    const bytes = agreed ? 0 : own ? voteBytes(said.get(event.id) ?? '') : open;
    this.openVoteBytes += bytes - open;
    if (bytes > 0) this.openVotes.set(event.id, bytes);
    else this.openVotes.delete(event.id);
  }

  private noteSender(entry: ScheduleEntry, result: EvaluationResult): void {
    if (!isAddressed(entry)) return;
    const { message } = entry;
    const sender = tagOf(message, 'From-Process');
    if (sender === '' || !this.authorities.has(message.ownerAddress) || this.senders.has(sender)) return;
    if (this.parts.config.knownSenders.includes(sender)) return;
    const events = result.Error === undefined ? eventsOf(result.Messages) : [];
    if (events.some((e) => e.type === 'transfer' || e.type === 'withdrawal.queued')) this.newSenders.add(sender);
  }

  /** Those of whom nothing can be had stay, behind those not asked about yet. @throws ForgedSender */
  private async checkSenders(): Promise<void> {
    const { network, config } = this.parts;
    for (const sender of [...this.newSenders].slice(0, SENDERS_AT_ONCE)) {
      try {
        await assertProcess({ network, scheduler: config.scheduler }, sender);
      } catch (error) {
        if (!(error instanceof UnverifiedSender)) throw error;
        this.newSenders.delete(sender);
        this.newSenders.add(sender);
        continue;
      }
      if (this.senders.size >= SENDERS_KNOWN) this.senders.clear(); // they are looked at again when they move something
      this.senders.add(sender);
      this.newSenders.delete(sender);
    }
  }

  private viewAtSpawn({ message }: ScheduleEntry): ProcessView {
    const { asset, chain, home } = this.parts;
    const view = viewOfSpawn(message.tags);
    const expected = {
      'Isthmus-Asset': asset.id,
      'Isthmus-Chain': chain,
      'Isthmus-Vault': home.vaultOf(asset, view.set),
    };
    for (const [name, value] of Object.entries(expected)) {
      const is = message.tags.find((t) => t.name === name)?.value;
      if (is !== value)
        throw new WrongProcess(asset, name, is, value ?? 'none: the keys of its guardians make no vault');
    }
    this.authorities = new Set(message.tags.filter((t) => t.name === 'Authority').map((t) => t.value));
    return view;
  }

  /** Before the event is folded: then a proposal may be gone. */
  private noteSigned(event: BridgeEvent): void {
    if (event.type !== 'proposal.signed' || event.guardian !== this.parts.self) return;
    const proposal = this.current?.proposals.get(event.id);
    if (proposal) this.ownSigned.push({ id: event.id, anchor: proposal.anchor, numbers: proposal.withdrawals });
  }

  private async noteOwn(): Promise<void> {
    const { ledger } = this.parts;
    await ledger.markSeen(this.asset.process, this.own);
    await ledger.noteProposalsSigned(this.asset.process, this.ownSigned);
    this.own = [];
    this.ownSigned = [];
  }
}

const voteBytes = (line: string): number => line.length + VOTE_BYTES;

/** Whether the message was said to this process; what was said to others may be assigned to it by anyone, and is no order. */
const isAddressed = ({ process, message }: ScheduleEntry): boolean => message.target === process;

/** Lines of a guardian's message by the deposit id they begin with. */
function linesById({ message }: ScheduleEntry): Map<string, string> {
  const lines = message.data.toString('utf8').split('\n');
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(' ')), line]));
}
