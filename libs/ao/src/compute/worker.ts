/** A compute worker: a thread that holds processes and answers one request after another. */
import { parentPort } from 'node:worker_threads';
import type { EvaluationResult, Vm, VmInstance } from '../types.js';
import { AosVm } from './aos/aos-vm.js';
import { LuaVm } from './lua/lua-vm.js';
import type { Request, Response } from './protocol.js';

const VMS: readonly Vm[] = [new LuaVm(), new AosVm()];
const processes = new Map<string, VmInstance>();
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
    case 'handle': {
      const results: EvaluationResult[] = [];
      for (const message of request.messages) results.push(await process.handle(message));
      return results;
    }
    case 'dry-run':
      return process.dryRun(request.message);
    case 'snapshot':
      return process.snapshot();
    case 'close':
      processes.delete(request.process);
      return process.close();
  }
}
