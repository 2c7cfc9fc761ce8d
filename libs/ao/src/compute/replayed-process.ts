/**
 * A process on a machine whose whole state is its linear memory. A message that fails is undone: the memory is put back as it was last kept and what
 * came since is handled again, which gives the same memory, since nothing but messages goes in.
 */
import type { EvaluationResult, MemoryChange, MemoryImage, VmInstance, VmMessage } from '../types.js';
import { failed } from './bounds.js';
import { KeptMemory } from './image.js';
import { reasonOf, TakesLong } from './traps.js';

/**
 * Messages handled since the memory was kept before it is kept again, bytes of theirs, and steps they took (a fifth of a second of work): how
 * much an error costs to undo. Keeping an aos memory takes one or two milliseconds.
 */
const KEEP_EVERY = 512;
const KEEP_EVERY_BYTES = 16 * 1024 * 1024;
const KEEP_EVERY_STEPS = 200_000_000;

/** A machine with its code loaded. */
export interface MemoryMachine {
  readonly memory: Uint8Array;
  /** Makes the memory what was kept, growing it when it is smaller. */
  restore(kept: KeptMemory): void;
  /** Evaluates a message on the memory as it is. With an Error, or when it throws, the memory may be anything. @throws TakesLong, only in a hurry */
  evaluate(message: VmMessage, inHurry: boolean): EvaluationResult;
  /** Steps of the last message. */
  readonly workDone: number;
}

export class ReplayedProcess implements VmInstance {
  private readonly kept: KeptMemory;
  private machine: MemoryMachine;
  private since: VmMessage[] = [];
  private bytesSince = 0;
  private workSince = 0;
  /** Whether the memory is as a dry-run left it. */
  private unsettled = false;
  /** Whether the memory may be anything: what came since it was kept is to be handled again. */
  private damaged = false;
  /** Whether it has been asked for dry-runs: then its memory is kept when nobody waits for that. */
  private read = false;

  /**
   * @param fresh a machine like any other fresh one of these, for an image to be put in @param started the machine this begins with,
   * when it begins without an image
   */
  constructor(
    private readonly fresh: () => MemoryMachine,
    started: MemoryMachine | null,
    image: MemoryImage | null,
  ) {
    this.kept = new KeptMemory(image);
    this.machine = started ?? fresh();
    if (image) this.machine.restore(this.kept);
    else this.keep();
  }

  async handle(message: VmMessage, inHurry = false): Promise<EvaluationResult> {
    this.putBack();
    const result = this.attempt(message, inHurry);
    if (result.Error !== undefined) {
      this.undo();
      return result;
    }
    this.since.push(message);
    this.bytesSince += message.Data.length;
    this.workSince += this.machine.workDone;
    if (this.since.length >= KEEP_EVERY || this.bytesSince >= KEEP_EVERY_BYTES || this.workSince >= KEEP_EVERY_STEPS)
      this.keep();
    return Promise.resolve(result);
  }

  /** Its effects are undone when the process is told to settle, or asked for anything else: the answer need not wait for that. */
  dryRun(message: VmMessage): Promise<EvaluationResult> {
    this.keepNew();
    const result = this.attempt({ ...message, 'Read-Only': true }, false);
    this.unsettled = true;
    this.read = true;
    return Promise.resolve(result);
  }

  settle(): void {
    if (this.damaged) return; // whoever asks next is told when it cannot be mended
    this.putBack();
    if (this.read) this.keepNew();
  }

  snapshot(): Promise<MemoryImage> {
    this.keepNew();
    return Promise.resolve(this.kept.image());
  }

  checkpoint(): Promise<MemoryChange> {
    this.keepNew();
    return Promise.resolve(this.kept.checkpoint());
  }

  usage(): number {
    return 2 * this.kept.bytes + Math.max(0, this.machine.memory.length - this.kept.size);
  }

  close(): Promise<void> {
    return Promise.resolve(); // memory is all it holds
  }

  /** Whatever the code itself ended it by, the message failed, and the process lives on. @throws HostFailure when it was the host, TakesLong, with no effect */
  private attempt(message: VmMessage, inHurry: boolean): EvaluationResult {
    try {
      return this.counted(this.machine.evaluate(message, inHurry));
    } catch (error) {
      try {
        if (error instanceof TakesLong) throw error;
        return this.counted(failed(reasonOf(error)));
      } catch (failure) {
        this.damaged = true;
        throw failure;
      }
    }
  }

  private counted(result: EvaluationResult): EvaluationResult {
    result.GasUsed = this.machine.workDone;
    return result;
  }

  /** A memory that grew cannot shrink: it goes, with its machine. */
  private rewind(): void {
    if (this.machine.memory.length !== this.kept.size) this.machine = this.fresh();
    this.machine.restore(this.kept);
  }

  private undo(): void {
    this.damaged = true;
    this.rewind();
    for (const message of this.since) {
      const { Error: reason } = this.machine.evaluate(message, false);
      if (reason !== undefined) throw new Error(`A message that was handled before now fails: ${reason}`);
    }
    this.damaged = false;
    this.unsettled = false;
    this.keepNew(); // the next failure costs one copy only
  }

  private putBack(): void {
    if (this.damaged) this.undo();
    if (this.unsettled) this.rewind();
    this.unsettled = false;
  }

  private keepNew(): void {
    this.putBack();
    if (this.since.length > 0) this.keep();
  }

  private keep(): void {
    this.kept.keep(this.machine.memory);
    this.since = [];
    this.bytesSince = 0;
    this.workSince = 0;
  }
}
