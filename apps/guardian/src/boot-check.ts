/**
 * Who could change a process from within. On the lean Lua machine the module is all there is. On aos the spawner owns the process until the
 * token's source is live in it and lets go (contracts/ao/README.md); so that source must be there before anything else of the owner's.
 */
import { createHash } from 'node:crypto';
import { tagOf, type EvaluationResult, type Item, type ScheduleEntry } from '@isthmus/ao';

/** Machines on which a process has no owner. */
const OWNERLESS: ReadonlySet<string> = new Set(['isthmus-lua-5.4']);

/** A process was not booted with a source this guardian knows, so that its spawner may have kept it: nothing is said to it. */
export class OwnedProcess extends Error {
  readonly code = 'owned-process';
  constructor(process: string, why: string) {
    super(`Process ${process} may have an owner who can change it: ${why}.`);
    this.name = 'OwnedProcess';
  }
}

export const sourceHash = (source: Uint8Array): string => createHash('sha256').update(source).digest('hex');

/** The first slots of one process, as they come. */
export class BootCheck {
  private spawner = '';
  private isLive: boolean;

  /** @param format the module's Module-Format @param sources SHA-256 in hex of every source that may be live in a process */
  constructor(
    private readonly format: string,
    private readonly sources: ReadonlySet<string>,
  ) {
    this.isLive = OWNERLESS.has(format);
  }

  /** Whether the process is in nobody's hands. */
  get live(): boolean {
    return this.isLive;
  }

  /** Takes the next slot. @throws OwnedProcess as soon as the process can no more be in nobody's hands */
  see({ process, nonce, message }: ScheduleEntry, result: EvaluationResult): void {
    if (this.isLive) return;
    const refuse = (why: string): never => {
      throw new OwnedProcess(process, why);
    };
    if (nonce === 0) this.spawner = message.ownerAddress;
    const boots = named(message, 'on-boot');
    if (nonce === 0 && boots.length === 0) return;
    if (nonce === 0 && (boots.length !== 1 || boots[0]?.name !== 'On-Boot' || boots[0].value !== 'Data'))
      refuse('it boots from elsewhere than its spawn');
    if (nonce > 0 && !this.isOwnersEval(message, process))
      refuse(`slot ${nonce} is not its spawner's Eval of the token's source, and nothing else may come first`);
    if (!this.sources.has(sourceHash(message.data)))
      refuse(`the source in slot ${nonce} of its ${this.format} is none of those this guardian knows`);
    if (result.Error !== undefined) refuse(`its source did not load in slot ${nonce}: ${result.Error}`);
    this.isLive = true;
  }

  private isOwnersEval(message: Item, process: string): boolean {
    const actions = named(message, 'action');
    return (
      message.ownerAddress === this.spawner &&
      message.target === process &&
      tagOf(message, 'From-Process') === '' &&
      actions.length === 1 &&
      actions[0]?.name === 'Action' &&
      actions[0].value === 'Eval'
    );
  }
}

/** Tags of this name in any case, as aos takes them. */
const named = ({ tags }: Item, name: string) => tags.filter((t) => t.name.toLowerCase() === name);
