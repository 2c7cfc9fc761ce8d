/**
 * Who could change a process from within. What a process runs is its module, so that must be one this guardian knows. On the lean Lua machine
 * the module is all there is. On aos the spawner owns the process until the token's source is live in it and lets go (contracts/ao/README.md);
 * so that source must come with the spawn, where nobody can put anything before it.
 */
import { tagOf, type EvaluationResult, type Item, type ScheduleEntry } from '@isthmus/ao';
import { sourceHash } from '@isthmus/store';

/** The lean machine: a process on it has no owner, and its module is its source. */
const LEAN = 'isthmus-lua-5.4';
/** aos modules. */
const AOS = /^wasm(32|64)-unknown-emscripten/;

/** A process runs what this guardian does not know: nothing is said to it. */
export class UnknownModule extends Error {
  readonly code = 'unknown-module';
  constructor(process: string, module: Item) {
    super(
      `Process ${process} runs module ${module.id} (${tagOf(module, 'Module-Format')}), which this guardian does not know: compare it with the others, then name it in modules, or its source in tokenSources.`,
    );
    this.name = 'UnknownModule';
  }
}

/** A process was not booted with a source this guardian knows, so that its spawner may have kept it: nothing is said to it. */
export class OwnedProcess extends Error {
  readonly code = 'owned-process';
  constructor(process: string, why: string) {
    super(`Process ${process} may have an owner who can change it: ${why}.`);
    this.name = 'OwnedProcess';
  }
}

export interface KnownBoots {
  /** SHA-256 in hex of every source that may be live in a process. */
  sources: ReadonlySet<string>;
  /** Ids of modules, each of them signed bytes, that the operator has looked at. */
  modules: ReadonlySet<string>;
}

/** Takes slot 0. @param module as it was signed. @throws UnknownModule, OwnedProcess unless the process is known and in nobody's hands */
export function assertBoot(spawn: ScheduleEntry, result: EvaluationResult, module: Item, known: KnownBoots): void {
  const { process, message } = spawn;
  const format = tagOf(module, 'Module-Format');
  const isLean = format === LEAN;
  const isKnown = known.modules.has(module.id) || (isLean && known.sources.has(sourceHash(module.data)));
  if (!isKnown || !(isLean || AOS.test(format))) throw new UnknownModule(process, module);
  if (isLean) return;
  const boots = message.tags.filter((t) => t.name.toLowerCase() === 'on-boot'); // in any case, as aos takes them
  if (boots.length !== 1 || boots[0]?.name !== 'On-Boot' || boots[0].value !== 'Data')
    throw new OwnedProcess(process, 'it does not boot from its spawn, with the one tag On-Boot: Data');
  if (!known.sources.has(sourceHash(message.data)))
    throw new OwnedProcess(process, `the source in its spawn is none of those this guardian knows`);
  if (result.Error !== undefined) throw new OwnedProcess(process, `its source did not load: ${result.Error}`);
}
