/**
 * The canonical state of a scheduler as of one seal, as text everybody who has what was settled writes alike, and its hash (protocol,
 * section 6). And the index: a line for each transfer as AO knows it by then. Pure.
 */
import { createHash } from 'node:crypto';

/** How far a process is settled. */
export interface ProcessState {
  process: string;
  /** Last slot settled. */
  slot: number;
  /** Id and hash chain of its assignment. */
  assignment: string;
  hashChain: string;
  /** r(slot) as the seal commits to it; null when it does not. */
  results: string | null;
}

/** The books of a token process up to the slot settled; base units. */
export interface AssetState {
  /** CAIP-19 */
  asset: string;
  process: string;
  minted: bigint;
  burned: bigint;
  released: bigint;
}

/** One step of a transfer on AO. */
export interface IndexStep {
  kind: string;
  key: string;
  message: string;
  slot: number;
}

/** What AO knows of a transfer. */
export interface IndexTransfer {
  id: string;
  direction: string;
  asset: string;
  process: string;
  sender: string;
  recipient: string;
  amount: string;
  fee: string;
  number: string | null;
  reference: string | null;
  sourceTx: string | null;
  releaseTx: string | null;
  steps: readonly IndexStep[];
}

export const processLine = ({ process, slot, assignment, hashChain, results }: ProcessState): string =>
  `process ${process} ${slot} ${assignment} ${hashChain} ${results ?? '-'}`;

export const assetLine = ({ asset, process, minted, burned, released }: AssetState): string =>
  `asset ${asset} ${process} ${minted} ${burned} ${released}`;

/** The state's lines in their one order. */
export function stateLines(processes: readonly ProcessState[], assets: readonly AssetState[]): string[] {
  return [...processes.map(processLine), ...assets.map(assetLine)].sort();
}

/** SHA-256 over the lines joined by line feeds; hexadecimal. */
export const stateHash = (lines: readonly string[]): string =>
  createHash('sha256').update(lines.join('\n')).digest('hex');

/** A transfer as a line of JSON, its steps in the order of their slots and keys. */
export function indexLine(transfer: IndexTransfer): string {
  const { id, direction, asset, process, sender, recipient, amount, fee, number, reference, sourceTx, releaseTx } =
    transfer;
  const steps = transfer.steps
    .toSorted((a, b) => a.slot - b.slot || (a.key < b.key ? -1 : 1))
    .map(({ kind, key, message, slot }) => [kind, key, message, slot]);
  const row = [id, direction, asset, process, sender, recipient, amount, fee, number, reference, sourceTx, releaseTx];
  return JSON.stringify([...row, steps]);
}

/** The index' hash, line by line in the order of the transfers' ids: SHA-256 over the lines, each ended by a line feed; hexadecimal. */
export class IndexHash {
  private readonly hash = createHash('sha256');
  private last = '';
  /** Lines so far. */
  count = 0;

  /** @throws RangeError when the line is not of a later id */
  add(id: string, line: string): void {
    if (id <= this.last) throw new RangeError(`Transfer ${id} comes after ${this.last}.`);
    this.last = id;
    this.count += 1;
    this.hash.update(line).update('\n');
  }

  digest(): string {
    return this.hash.digest('hex');
  }
}
