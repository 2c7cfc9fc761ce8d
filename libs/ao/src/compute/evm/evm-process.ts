/** One contract as a process: a message that fails leaves no effect, since the state is written down when a message has succeeded. */
import type { Address } from '@ethereumjs/util';
import type {
  EvaluationResult,
  MemoryChange,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  VmInstance,
  VmMessage,
} from '../../types.js';
import { excessOf, failed } from '../bounds.js';
import { KeptMemory } from '../image.js';
import { ProcessError } from '../traps.js';
import { bytesOfHex, hexOf } from './hex.js';
import { callOf, reasonOf, sentBy } from './interface.js';
import { addressOf, EvmMachine, type Call, type MessageTime } from './machine.js';
import { World } from './world.js';

/** What a process can be called. */
const PROCESS_ID = /^[A-Za-z0-9_-]{43}$/;
/** The state takes its records, and about as much again for finding them. */
const MEMORY_FACTOR = 3;
const NOTHING = new Uint8Array();

export class EvmProcess implements VmInstance {
  private readonly own;
  private readonly world: World;
  private readonly machine: EvmMachine;
  private readonly kept: KeptMemory;
  private readonly authorities: ReadonlySet<string>;
  private readonly creation: Uint8Array;

  /** @throws ProcessError when the arguments of the constructor are no hex */
  constructor(
    code: Uint8Array,
    private readonly env: ProcessEnv,
    image: MemoryImage | null,
    gasLimit?: bigint,
  ) {
    const { Id, Tags } = env.Process;
    this.own = addressOf(Id);
    const argumentsHex = Tags.find((t) => t.name === 'Constructor-Arguments')?.value ?? '0x';
    const constructorArguments = bytesOfHex(argumentsHex);
    if (!constructorArguments) throw new ProcessError('Constructor-Arguments must be hex, with 0x.');
    this.creation = Buffer.concat([code, constructorArguments]);
    this.authorities = new Set(Tags.filter((t) => t.name === 'Authority').map((t) => t.value));
    this.world = new World(image);
    this.machine = new EvmMachine(this.world, this.own, gasLimit);
    this.kept = new KeptMemory(image);
  }

  handle(message: VmMessage): Promise<EvaluationResult> {
    return this.attempt(message, true);
  }

  dryRun(message: VmMessage): Promise<EvaluationResult> {
    return this.attempt({ ...message, 'Read-Only': true }, false);
  }

  snapshot(): Promise<MemoryImage> {
    this.kept.keep(this.world.memory);
    return Promise.resolve(this.kept.image());
  }

  checkpoint(): Promise<MemoryChange> {
    this.kept.keep(this.world.memory);
    return Promise.resolve(this.kept.checkpoint());
  }

  usage(): number {
    return MEMORY_FACTOR * this.world.memory.length;
  }

  close(): Promise<void> {
    return Promise.resolve(); // memory is all it holds
  }

  private async attempt(message: VmMessage, keep: boolean): Promise<EvaluationResult> {
    this.world.begin();
    let result: EvaluationResult;
    try {
      result = await this.evaluate(message);
    } catch (error) {
      result = failed(error instanceof Error ? error.message : String(error));
    }
    if (result.Error === undefined && keep && !this.world.keep()) result = failed('not enough memory');
    if (result.Error !== undefined || !keep) this.world.undoAll();
    return result;
  }

  private async evaluate(message: VmMessage): Promise<EvaluationResult> {
    const refusal = this.refusalOf(message);
    if (refusal) return failed(refusal);
    const call = await this.run(message);
    if (typeof call === 'string') return failed(call);
    if (call.error !== null) return failed(reasonOf(call.error, call.returned));
    return this.resultOf(message, call);
  }

  /** A contract believes who calls it: nobody may speak for a process but those the process trusts to, and for a signer nobody but itself. */
  private refusalOf({ From, Owner, Cron }: VmMessage): string | null {
    if (From === Owner || Cron || (this.authorities.has(Owner) && PROCESS_ID.test(From))) return null;
    return `${Owner} is no Authority of this process to speak for ${From}.`;
  }

  /** @returns why there is nothing to call, as a text */
  private async run(message: VmMessage): Promise<Call | string> {
    const { Id, From, Target, Tags, Timestamp } = message;
    const time = { timestamp: Timestamp, blockHeight: message['Block-Height'] };
    const process = this.env.Process;
    const created = (await this.world.getCodeSize(this.own)) > 0;
    if (Id === process.Id) return created ? 'This process has its contract.' : this.create(addressOf(From), time);
    if (!created) return 'This process has no contract: its constructor failed.';
    const hex = Target === process.Id ? Tags.find((t) => t.name === 'Calldata')?.value : undefined;
    const data = hex === undefined ? callOf(message, process.Id) : bytesOfHex(hex);
    return data ? this.machine.call(addressOf(From), data, time) : 'Calldata must be hex, with 0x.';
  }

  private async create(spawner: Address, time: MessageTime): Promise<Call | string> {
    const call = await this.machine.create(spawner, this.creation, time);
    if (call.error !== null) return call;
    if ((await this.world.getCodeSize(this.own)) === 0)
      return 'The module creates no contract: it must be the code that creates one, not the code that runs afterwards.';
    return { ...call, returned: NOTHING }; // what a constructor returns is the contract
  }

  private resultOf(message: VmMessage, { returned, logs, gasUsed }: Call): EvaluationResult {
    const { others, ...sent } = sentBy(logs, this.own.bytes, message.Nonce);
    const data = hexOf(returned);
    const isCall = message.Tags.some((t) => t.name === 'Calldata');
    if (isCall && returned.length > 0) sent.Messages.push(answerTo(message, data));
    const told = others.map((log) => ({
      address: hexOf(log.address),
      topics: log.topics.map(hexOf),
      data: hexOf(log.data),
    }));
    const result = { ...sent, Output: { data, logs: told }, GasUsed: Number(gasUsed) };
    const excess = excessOf(result);
    return excess === null ? result : failed(excess);
  }
}

/** A call that gives something back is answered: another process has no other way to read it. */
function answerTo({ Id, From, Nonce }: VmMessage, data: string): OutboundMessage {
  const tags = [
    { name: 'Action', value: 'Return' },
    { name: 'Message-Id', value: Id },
  ];
  return { Target: From, Anchor: `${Nonce}-return`.padStart(32, '0'), Tags: tags, Data: data };
}
