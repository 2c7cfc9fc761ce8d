/** The auditor's own reading of a token process: its schedule, checked and evaluated in a machine of its own, and what it says of itself then. */
import { createHash } from 'node:crypto';
import {
  EngineError,
  ItemError,
  parseItem,
  PassingStore,
  Replica,
  ReplicaError,
  tagOf,
  verifyItem,
  WorkerLost,
  tagList,
  type AoNetwork,
  type EvaluationResult,
  type Item,
  type ScheduleEntry,
  type ScheduleHead,
  type ShownEntry,
  type WorkerPool,
} from '@isthmus/ao';
import type { SaidOfChain } from '../domain/chain.js';
import { AuditError } from '../domain/error.js';
import type { AssetPlace, Attested, Burn, Mint, ProcessState } from '../domain/facts.js';
import { addressOfAsset, addressOn } from '../domain/families.js';
import { amountOf } from '../domain/forms.js';
import { readSlot } from '../domain/lines.js';

/** Nobody, asking what anybody may. */
const READER = '0x0000000000000000000000000000000000000001';
/** Balances a process shows at once. */
const PAGE = 1000;
/** The machine whose module is the source itself; on others the spawn carries it. */
const LEAN = 'isthmus-lua-5.4';

/** A network whose schedules may come in pieces: what it shows grows with each. */
export interface ShownSchedules extends AoNetwork {
  /** Reads one more piece; false when there is none now. @throws AuditError */
  advance?(): Promise<boolean>;
}

/** Where facts go. */
export interface ProcessSink {
  mint(process: string, mint: Mint): void;
  burn(process: string, burn: Burn): void;
  attested(process: string, attested: Attested): void;
  /** @param at when the slot got its place, milliseconds */
  said(process: string, at: number, said: SaidOfChain): void;
}

export interface ProcessOptions {
  process: string;
  network: ShownSchedules;
  workers: WorkerPool;
  /** Address of the scheduler; absent: the one the spawn names, which the process' id vouches for. */
  scheduler?: string | undefined;
  /** Told of each slot that was evaluated. */
  onSlot?: ((slot: number) => void) | undefined;
}

export class ProcessReader {
  private constructor(
    private readonly options: ProcessOptions,
    readonly place: AssetPlace,
    private readonly network: UpTo,
    private readonly store: ModuleStore,
    private readonly replica: Replica,
    private readonly told: Told,
  ) {}

  /** Reads what the process was spawned as. @throws AuditError */
  static async open(options: ProcessOptions): Promise<ProcessReader> {
    const { process, workers } = options;
    return inWords(process, async () => {
      const network = new UpTo(options.network);
      const spawn = await spawnOf(options);
      if (!spawn || spawn.id !== process) throw new AuditError('bad-schedule', `Nobody shows the spawn of ${process}.`);
      const scheduler = options.scheduler ?? tagOf(spawn, 'Scheduler');
      const place = placeOf(spawn);
      const told: Told = { last: null, sink: null, code: null };
      const store = new ModuleStore();
      const onResult = (entry: ScheduleEntry, result: EvaluationResult): void => {
        learn(told, store, place.chain, entry, result);
        options.onSlot?.(entry.nonce);
      };
      const replica = new Replica({ process, scheduler, store, workers, network, onResult });
      return new ProcessReader(options, place, network, store, replica, told);
    });
  }

  /** Last slot evaluated; -1 before the first. */
  get slot(): number {
    return this.replica.nonce;
  }

  /** Evaluates what is new, up to a slot when one is named, and hands on what happened. @throws AuditError */
  async read(sink: ProcessSink, upTo = Infinity): Promise<void> {
    await inWords(this.options.process, async () => {
      this.network.last = upTo;
      this.told.sink = sink;
      await this.replica.sync();
    });
  }

  /** @throws AuditError when the schedule ends before a slot that was asked for */
  assertReached(slot: number): void {
    const { process } = this.options;
    if (this.replica.nonce < slot)
      throw new AuditError('bad-request', `${process} has no slot ${slot}; the last is ${this.replica.nonce}.`);
  }

  /** What the process says of itself as of the slot read last. @throws AuditError */
  state(): Promise<ProcessState> {
    return inWords(this.options.process, async () => {
      const { last, code } = this.told;
      if (!last || code === null) throw new AuditError('bad-request', 'Nothing was read.');
      const info = parsed((await this.ask('Bridge-Info')).data);
      const { balances, holders } = await this.balances();
      const amount = (name: string): bigint => amountOf(info[name]);
      return {
        slot: last.nonce,
        assignment: last.assignment.id,
        hashChain: tagOf(last.assignment, 'Hash-Chain'),
        at: Number(tagOf(last.assignment, 'Timestamp')),
        code,
        minted: amount('minted'),
        burned: amount('burned'),
        released: amount('released'),
        supply: amount('supply'),
        inFlight: amount('inFlight'),
        balances,
        holders,
        paused: info['paused'] === true,
      };
    });
  }

  private async balances(): Promise<{ balances: bigint; holders: number }> {
    let [balances, holders] = [0n, 0];
    for (let cursor: string | undefined = '1'; cursor !== undefined;) {
      const page: Read = await this.ask('Balances', { Cursor: cursor, Limit: String(PAGE) });
      for (const amount of Object.values(parsed(page.data))) {
        balances += amountOf(amount);
        holders += 1;
      }
      if (page.next !== undefined && Number(page.next) <= Number(cursor))
        throw new AuditError('malformed', `${this.options.process} shows its balances in circles.`);
      cursor = page.next;
    }
    return { balances, holders };
  }

  private async ask(action: string, more: Record<string, string> = {}): Promise<Read> {
    const { process } = this.options;
    const { last } = this.told;
    const tags = tagList({ Action: action, ...more });
    const result = await this.replica.dryRun({
      Id: 'audit',
      Owner: READER,
      From: READER,
      Target: process,
      Anchor: '0',
      Data: '',
      Tags: tags,
      Timestamp: Number(last ? tagOf(last.assignment, 'Timestamp') : 0),
      'Block-Height': last ? tagOf(last.assignment, 'Block-Height') : '0',
    });
    const [answer] = result.Messages;
    if (result.Error !== undefined || !answer)
      throw new AuditError('malformed', `${process} does not answer ${action}: ${result.Error ?? 'it says nothing'}.`);
    return { data: answer.Data, next: answer.Tags.find((t) => t.name === 'Next-Cursor')?.value };
  }
}

interface Read {
  data: string;
  next: string | undefined;
}

/** What was learned of slots so far. */
interface Told {
  last: ScheduleEntry | null;
  sink: ProcessSink | null;
  /** SHA-256 of the source. */
  code: string | null;
}

function learn(told: Told, store: ModuleStore, chain: string, entry: ScheduleEntry, result: EvaluationResult): void {
  const { process, nonce, assignment, message } = entry;
  told.last = entry;
  told.code ??= sourceOf(message, store.module0);
  const at = Number(tagOf(assignment, 'Timestamp'));
  // A deposit address needs no answer of the process.
  if (isRegistration(message, process)) told.sink?.said(process, at, { kind: 'address', data: message.data });
  // A slot that failed had no effect, whatever it says it sent.
  if (result.Error !== undefined) return;
  const { mints, burns, attested, said } = readSlot({ chain, slot: nonce, at }, result.Messages);
  for (const mint of mints) told.sink?.mint(process, mint);
  for (const burn of burns) told.sink?.burn(process, burn);
  for (const one of attested) told.sink?.attested(process, one);
  for (const one of said) told.sink?.said(process, at, one);
}

/** Whether somebody says that this registers a deposit address (docs/protocol.md, section 3). */
function isRegistration({ target, tags }: Item, process: string): boolean {
  const [action, another] = tags.filter(({ name }) => name === 'Action');
  return target === process && action?.value === 'Deposit-Address' && another === undefined;
}

function sourceOf(spawn: Item, module: Item | null): string | null {
  if (!module) return null;
  const source = tagOf(module, 'Module-Format') === LEAN ? module.data : spawn.data;
  return createHash('sha256').update(source).digest('hex');
}

/** Keeps the one module a process has. */
class ModuleStore extends PassingStore {
  module0: Item | null = null;

  override saveModule(_id: string, raw: Buffer): Promise<void> {
    this.module0 = parseItem(raw);
    return Promise.resolve();
  }
}

/** A network that ends at a slot. */
class UpTo implements AoNetwork {
  last = Infinity;
  readonly asSigned?: (item: Item) => Promise<Item | null>;

  constructor(private readonly network: AoNetwork) {
    if (network.asSigned) this.asSigned = network.asSigned.bind(network);
  }

  async schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]> {
    const shown = await this.network.schedule(process, head, limit);
    return shown.filter(({ assignment }) => Number(tagOf(assignment, 'Nonce')) <= this.last);
  }

  item(id: string): Promise<Item | null> {
    return this.network.item(id);
  }

  send(): Promise<void> {
    return Promise.reject(new Error('An auditor says nothing.'));
  }
}

/** The spawn as it was signed, as soon as it is shown: what it says decides which vault is looked at. */
async function spawnOf({ process, network }: ProcessOptions): Promise<Item | null> {
  for (;;) {
    const [first] = await network.schedule(process, null, 1);
    if (first)
      return (await verifyItem(first.message)) ? first.message : ((await network.asSigned?.(first.message)) ?? null);
    if ((await network.advance?.()) !== true) return null;
  }
}

function placeOf(spawn: Item): AssetPlace {
  const [asset, chain, vault] = ['Isthmus-Asset', 'Isthmus-Chain', 'Isthmus-Vault'].map((name) => tagOf(spawn, name));
  const address = vault && chain ? addressOn(chain, vault) : null;
  if (!asset || !chain || address === null)
    throw new AuditError(
      'bad-request',
      `${spawn.id} was spawned for no asset of a vault: it is no token process of this bridge.`,
    );
  const keys = (tagOf(spawn, 'Isthmus-Guardian-Keys') || null)?.split(',') ?? [];
  return {
    process: spawn.id,
    asset,
    chain,
    vault: address,
    address: addressOfAsset(asset, chain),
    keys,
    threshold: Number(tagOf(spawn, 'Isthmus-Threshold')),
    terms: tagOf(spawn, 'Isthmus-Home-Terms') || null,
  };
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // said below, as for what is JSON and no object
  }
  throw new AuditError('malformed', 'A token process answers with what is no JSON object.');
}

/** What others throw, as what keeps an audit from being made. */
async function inWords<T>(process: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof ReplicaError)
      throw new AuditError(
        error.code === 'unreachable' ? 'unreachable' : 'bad-schedule',
        `${process} (${error.code}): ${error.message}`,
      );
    if (error instanceof EngineError) throw new AuditError('unreachable', error.message);
    if (error instanceof ItemError) throw new AuditError('bad-schedule', `${process}: ${error.message}`);
    if (error instanceof WorkerLost)
      throw new AuditError('unreachable', `${process} cannot be computed here: ${error.message}`);
    throw error;
  }
}
