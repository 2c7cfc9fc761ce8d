/** A compute worker: a thread that holds processes and answers one request after another. */
import { parentPort } from 'node:worker_threads';
import type { Vm, VmInstance, VmMessage } from '../types.js';
import { AosVm } from './aos/aos-vm.js';
import { sizeOf } from './bounds.js';
import { LuaVm } from './lua/lua-vm.js';
import type { Handled, Request, Response } from './protocol.js';

/** One answer holds about this many bytes of results at most, and one request takes about this long: then others have their turn. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const TURN_MS = 1000;

const VMS: readonly Vm[] = [new LuaVm(), new AosVm()];
const processes = new Map<string, VmInstance>();
// A machine may fix this thread's clocks for what it runs; this one stays true.
const { hrtime } = globalThis.process;
const milliseconds = (): number => Number(hrtime.bigint() / 1_000_000n);
const port = parentPort;
if (!port) throw new Error('The compute worker runs as a worker thread.');

let queue = Promise.resolve();
port.on('message', (request: Request) => {
  queue = queue.then(async () => port.postMessage(await answer(request)));
});

async function answer(request: Request): Promise<Response> {
  try {
    return { id: request.id, value: await perform(request) };
  } catch (error) {
    return { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
}

async function perform(request: Request): Promise<unknown> {
  if (request.op === 'open') {
    const vm = VMS.find((v) => v.formats.includes(request.format));
    if (!vm) throw new Error(`No virtual machine for Module-Format ${request.format}.`);
    const { module, format, env, image } = request;
    processes.set(
      request.process,
      image ? await vm.restore(module, format, env, image) : await vm.load(module, format, env),
    );
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
      return shared(await process.snapshot());
    case 'close':
      processes.delete(request.process);
      return process.close();
  }
}

async function handle(process: VmInstance, messages: readonly VmMessage[], quiet: boolean): Promise<Handled> {
  const handled: Handled = { count: 0, results: [] };
  const end = milliseconds() + TURN_MS;
  let bytes = 0;
  for (const message of messages) {
    const result = await process.handle(message);
    handled.count += 1;
    if (!quiet) {
      handled.results.push(result);
      bytes += sizeOf(result);
    }
    if (bytes >= MAX_ANSWER_BYTES || milliseconds() >= end) break;
  }
  return handled;
}

/** Memory that threads share: an image is large, and is passed on without another copy. */
function shared(image: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(image.length));
  copy.set(image);
  return copy;
}
