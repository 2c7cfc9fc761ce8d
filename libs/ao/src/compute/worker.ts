/** A compute worker: a thread that holds processes and answers one request after another. */
import { parentPort } from 'node:worker_threads';
import type { MemoryChange, MemoryImage, VmInstance, VmMessage } from '../types.js';
import { sizeOf } from './bounds.js';
import { machineFor } from './machines.js';
import type { Handled, Request, Response } from './protocol.js';

/** One answer holds about this many bytes of results at most, and one request takes about this long: then others have their turn. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const TURN_MS = 1000;

const processes = new Map<string, VmInstance>();
const port = parentPort;
if (!port) throw new Error('The compute worker runs as a worker thread.');

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
  if (request.op === 'open') {
    const { process, module, format, env, image } = request;
    const machine = machineFor(format);
    if (!machine) throw new Error(`No virtual machine for Module-Format ${format}.`);
    processes.set(process, await machine.load(module, format, env, image));
    return null;
  }
  const process = processes.get(request.process);
  if (!process) throw new Error(`Process ${request.process} is not open in this worker.`);
  switch (request.op) {
    case 'handle':
      return handle(process, request.messages, request.quiet);
    case 'dry-run':
      return process.dryRun(request.message);
    case 'snapshot':
      return process.snapshot();
    case 'checkpoint':
      return process.checkpoint();
    case 'close':
      processes.delete(request.process);
      return process.close();
  }
}

async function handle(process: VmInstance, messages: readonly VmMessage[], quiet: boolean): Promise<Handled> {
  const handled: Handled = { count: 0, results: [], milliseconds: 0 };
  const begun = performance.now();
  let bytes = 0;
  for (const message of messages) {
    const result = await process.handle(message);
    handled.count += 1;
    if (!quiet) {
      handled.results.push(result);
      bytes += sizeOf(result);
    }
    handled.milliseconds = performance.now() - begun;
    if (bytes >= MAX_ANSWER_BYTES || handled.milliseconds >= TURN_MS) break;
  }
  return handled;
}

/** Pages go to the other thread as they are, without another copy. */
function buffersOf(value: unknown): ArrayBuffer[] {
  const { pages, changed } = (value ?? {}) as Partial<MemoryImage & MemoryChange>;
  const bytes = pages ? [...pages.values()] : (changed ?? []).map(([, page]) => page);
  return [...new Set(bytes.flatMap((page) => (page ? [page.buffer as ArrayBuffer] : [])))];
}
