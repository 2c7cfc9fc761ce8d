/** A compute worker: a thread that holds processes and answers one request after another. */
import os from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { MemoryChange, MemoryImage, ProcessEnv, VmInstance, VmMessage } from '../types.js';
import { sizeOf } from './bounds.js';
import { beginInterpreters } from './interpreters.js';
import { loadProcess } from './loading.js';
import { machineFor } from './machines.js';
import { messageOf } from './message.js';
import { PackedEntries, PackedOutcomes, type Outcome } from './packed.js';
import type {
  Compiled,
  Evaluated,
  Handled,
  Hurried,
  Read,
  Replayed,
  Request,
  Response,
  ThreadData,
} from './protocol.js';
import { TakesLong } from './traps.js';

/** One answer holds about this many bytes of results at most, and one request takes about this long; less when others wait for their turn. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const TURN_MS = 1000;
const SHORT_TURN_MS = 20;

const { others, nice, interpreters } = workerData as ThreadData;
// On Linux a thread has a priority of its own; elsewhere it would be the whole process'.
if (nice > 0 && os.platform() === 'linux') os.setPriority(nice);
const processes = new Map<string, VmInstance>();
const environments = new Map<string, ProcessEnv>();
const port = parentPort;
if (!port) throw new Error('The compute worker runs as a worker thread.');
beginInterpreters(interpreters, (name, module) => port.postMessage({ interpreter: name, module } satisfies Compiled));

let queue = Promise.resolve();
port.on('message', (request: Request) => {
  queue = queue.then(async () => {
    const response = await answer(request);
    port.postMessage(response, 'value' in response ? buffersOf(response.value) : []);
    processes.get(request.process)?.settle?.();
  });
});

async function answer(request: Request): Promise<Response> {
  const usage = () => processes.get(request.process)?.usage() ?? 0;
  try {
    const value = await perform(request);
    return { id: request.id, usage: usage(), value };
  } catch (error) {
    return { id: request.id, usage: usage(), error: error instanceof Error ? error.message : String(error) };
  }
}

async function perform(request: Request): Promise<unknown> {
  if (request.op === 'open') return open(request);
  const process = processes.get(request.process);
  if (!process) throw new Error(`Process ${request.process} is not open in this worker.`);
  switch (request.op) {
    case 'handle':
      return handle(process, request);
    case 'replay':
      return replay(process, environments.get(request.process) as ProcessEnv, request);
    case 'evaluate':
      return evaluate(process, environments.get(request.process) as ProcessEnv, request);
    case 'follow':
      return follow(process, request.messages);
    case 'dry-run':
      return read(process, request.message);
    case 'snapshot':
      return process.snapshot();
    case 'checkpoint':
      return process.checkpoint();
    case 'close':
      processes.delete(request.process);
      environments.delete(request.process);
      return process.close();
  }
}

async function open(request: Extract<Request, { op: 'open' }>): Promise<Hurried> {
  const { process, module, format, env, image, inHurry } = request;
  const machine = machineFor(format);
  if (!machine) throw new Error(`No virtual machine for Module-Format ${format}.`);
  processes.delete(process);
  const loaded = await unlessLong(() => loadProcess(machine, module, format, env, image, inHurry));
  if (loaded === TAKES_LONG) return { takesLong: true };
  processes.set(process, loaded);
  environments.set(process, env);
  return { takesLong: false };
}

const TAKES_LONG = Symbol('takes long');

async function unlessLong<T>(work: () => Promise<T>): Promise<T | typeof TAKES_LONG> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TakesLong) return TAKES_LONG;
    throw error;
  }
}

/** How long a turn lasts, at this moment. */
const turnMs = (): number => (Atomics.load(others, 0) === 1 ? SHORT_TURN_MS : TURN_MS);

async function handle(
  process: VmInstance,
  { messages, inHurry }: Extract<Request, { op: 'handle' }>,
): Promise<Handled> {
  const handled: Handled = { results: [], milliseconds: 0, takesLong: false };
  const begun = performance.now();
  let bytes = 0;
  for (const message of messages) {
    const result = await unlessLong(() => process.handle(message, inHurry));
    handled.milliseconds = performance.now() - begun;
    if (result === TAKES_LONG) return { ...handled, takesLong: true };
    handled.results.push(result);
    bytes += sizeOf(result);
    if (bytes >= MAX_ANSWER_BYTES || handled.milliseconds >= turnMs()) break;
  }
  return handled;
}

async function replay(
  process: VmInstance,
  env: ProcessEnv,
  { process: id, entries, inHurry }: Extract<Request, { op: 'replay' }>,
): Promise<Replayed> {
  const packed = new PackedEntries(Buffer.from(entries.buffer, entries.byteOffset, entries.length), id);
  const begun = performance.now();
  const replayed: Replayed = { count: 0, bytes: 0, milliseconds: 0, takesLong: false };
  while (!packed.done && replayed.milliseconds < turnMs()) {
    const message = messageOf(packed.next(), env);
    const result = await unlessLong(() => process.handle(message, inHurry));
    replayed.milliseconds = performance.now() - begun;
    if (result === TAKES_LONG) return { ...replayed, takesLong: true };
    replayed.count += 1;
    replayed.bytes = packed.at;
  }
  return replayed;
}

async function evaluate(
  process: VmInstance,
  env: ProcessEnv,
  { process: id, entries, inHurry }: Extract<Request, { op: 'evaluate' }>,
): Promise<Evaluated> {
  const packed = new PackedEntries(Buffer.from(entries.buffer, entries.byteOffset, entries.length), id);
  const begun = performance.now();
  const outcomes: Outcome[] = [];
  let [given, bytes, milliseconds, takesLong] = [0, 0, 0, false];
  while (!packed.done && milliseconds < turnMs() && given < MAX_ANSWER_BYTES) {
    const message = messageOf(packed.next(), env);
    const result = await unlessLong(() => process.handle(message, inHurry));
    milliseconds = performance.now() - begun;
    takesLong = result === TAKES_LONG;
    if (result === TAKES_LONG) break;
    const text = Buffer.from(JSON.stringify(result));
    outcomes.push({ text, failed: result.Error !== undefined });
    given += text.length;
    bytes = packed.at;
  }
  return { count: outcomes.length, bytes, milliseconds, takesLong, outcomes: PackedOutcomes.of(outcomes) };
}

async function follow(process: VmInstance, messages: readonly VmMessage[]): Promise<null> {
  for (const message of messages) {
    const { Error: reason } = await process.handle(message);
    if (reason !== undefined) throw new Error(`A message that had its effect fails in a copy: ${reason}`);
  }
  return null;
}

async function read(process: VmInstance, message: VmMessage): Promise<Read> {
  const begun = performance.now();
  const result = await process.dryRun(message);
  return { result, milliseconds: performance.now() - begun };
}

/** Pages and outcomes go to the other thread as they are, without another copy. */
function buffersOf(value: unknown): ArrayBuffer[] {
  const { pages, changed, outcomes } = (value ?? {}) as Partial<MemoryImage & MemoryChange & Evaluated>;
  if (outcomes) return [outcomes.buffer as ArrayBuffer];
  const bytes = pages ? [...pages.values()] : (changed ?? []).map(([, page]) => page);
  return [...new Set(bytes.flatMap((page) => (page ? [page.buffer as ArrayBuffer] : [])))];
}
