/** What is wrong with what was settled, in one word each, and where it breaks. A finding is about the data; that a gateway cannot be asked is none. */

export type FindingKind =
  /** A number for which nobody shows a bundle of the scheduler, though a later one is there. */
  | 'missing-bundle'
  /** A schedule goes on without one of its slots. */
  | 'missing-slot'
  /** A module that a spawn names was not settled before it. */
  | 'missing-module'
  /** The right items, or bundles, in another order. */
  | 'reordered'
  /** A seal, an assignment, a message or another item that its owner has not signed, or that is not the scheduler's. */
  | 'forged'
  /** A slot twice, or a message with two places in one schedule. */
  | 'doubled'
  /** Bytes that are not those of what was asked for. */
  | 'other-bytes'
  /** Two different bundles of the scheduler under one number, or one that builds on another history. */
  | 'forked-settlement'
  /** Two different messages in one slot, both places signed by the scheduler: a tail shows another history than was settled. */
  | 'forked-schedule'
  /** A slot that does not build on the one before it. */
  | 'broken-chain'
  /** Evaluating gives another outcome than the seal commits to. */
  | 'results-differ'
  /** A checkpoint with another memory than evaluating gives. */
  | 'checkpoint-differs'
  /** The vault holds less than AO owes. */
  | 'books-short';

/** Where it breaks; null where that does not apply or is not known. */
export interface Place {
  /** Number of the bundle. */
  bundle: number | null;
  /** Transaction (or bundling service's item) that carries it. */
  tx: string | null;
  process: string | null;
  slot: number | null;
  /** The item in question. */
  item: string | null;
}

export interface Finding extends Place {
  kind: FindingKind;
  /** For people, one sentence. */
  message: string;
}

const NOWHERE: Place = { bundle: null, tx: null, process: null, slot: null, item: null };

/** What was read is not what a scheduler settled in order. */
export class SettlementFinding extends Error {
  readonly finding: Finding;

  constructor(kind: FindingKind, message: string, place: Partial<Place> = {}) {
    super(`${kind}: ${message}`);
    this.name = 'SettlementFinding';
    this.finding = { ...NOWHERE, ...place, kind, message };
  }

  /** The same, where more is known of its place. */
  at(place: Partial<Place>): SettlementFinding {
    const { kind, message, ...known } = this.finding;
    const said = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== null));
    return new SettlementFinding(kind, message, { ...place, ...said });
  }
}
