/** The JavaScript virtual machine: a process is a script that defines `handle(msg)`, run by QuickJS. */
import type {
  EvaluationResult,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  Vm,
  VmInstance,
  VmMessage,
} from '../../types.js';
import { excessOf, failed, MAX_RESULT_BYTES, TOO_LARGE } from '../bounds.js';
import type { KeptMemory } from '../image.js';
import { ReplayedProcess, type MemoryMachine } from '../replayed-process.js';
import { JavaScriptError, QuickJsMachine, WORK_LIMIT } from './machine.js';
import { AO, PRELUDE } from './prelude.js';

/** Module-Format of what runs here: the module's data is the script. */
export const QUICKJS_FORMAT = 'isthmus-js-quickjs';

/** A character of a result takes at most this many in JSON (`\u0000`). */
const ESCAPED_LENGTH = 6;

export class QuickJsVm implements Vm {
  readonly formats = [QUICKJS_FORMAT];
  readonly yields = true;

  /** @param workLimit steps one message may take, the same wherever its process runs */
  constructor(private readonly workLimit = WORK_LIMIT) {}

  /** @throws JavaScriptError when the script does not run */
  async load(
    module: Uint8Array,
    _format: string,
    env: ProcessEnv,
    image: MemoryImage | null,
    inHurry = false,
  ): Promise<VmInstance> {
    const fresh = () => new Script(this.workLimit);
    const started = image ? null : fresh();
    started?.begin(Buffer.from(module).toString('utf8'), env, inHurry);
    return Promise.resolve(new ReplayedProcess(fresh, started, image));
  }
}

/** An interpreter with the prelude run, and the one way into it, which the process itself cannot reach. */
class Script implements MemoryMachine {
  private readonly machine: QuickJsMachine;
  private readonly enter: number;

  constructor(workLimit: number) {
    this.machine = new QuickJsMachine(workLimit);
    this.enter = this.machine.take(PRELUDE, 'isthmus');
  }

  begin(source: string, { Process, Module }: ProcessEnv, inHurry: boolean): void {
    if (source.includes('\0')) throw new JavaScriptError('A script cannot contain U+0000.');
    this.machine.call(this.enter, JSON.stringify({ Process, Module: { Id: Module.Id, Owner: Module.Owner } }));
    this.machine.run(AO, 'isthmus');
    this.machine.run(source, 'module', inHurry);
  }

  get memory(): Uint8Array {
    return this.machine.memory;
  }

  get workDone(): number {
    return this.machine.workDone;
  }

  restore(kept: KeptMemory): void {
    this.machine.restore(kept);
  }

  evaluate(message: VmMessage, inHurry: boolean): EvaluationResult {
    return readResult(this.machine.call(this.enter, JSON.stringify(message), inHurry));
  }
}

interface Sent extends OutboundMessage {
  Target: string;
}

type Answer =
  | { Error: string }
  | { Output: string; Messages: Sent[]; Spawns: Sent[]; Assignments: { Processes: string[]; Message: string }[] };

function readResult(text: string): EvaluationResult {
  // Seen before anything is read: a process may have filled its whole memory with what it sends.
  if (text.length > MAX_RESULT_BYTES * ESCAPED_LENGTH) return failed(TOO_LARGE);
  const answer = JSON.parse(text) as Answer;
  if ('Error' in answer) return failed(answer.Error);
  const { Output, Assignments } = answer;
  const result = { Messages: answer.Messages.map(outbound), Spawns: answer.Spawns.map(outbound), Assignments, Output };
  const excess = excessOf(result);
  return excess === null ? result : failed(excess);
}

function outbound({ Target, Anchor, Data, Tags }: Sent): OutboundMessage {
  return { ...(Target ? { Target } : {}), Anchor, Tags, Data };
}
