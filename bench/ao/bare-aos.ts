/**
 * The floor and the peer of the aos figures, in a thread of its own: the module as its loader runs it, with nothing around it. Hot: the
 * memory stays where it is. Copied: the loader's ordinary call, the memory handed in and out for each message.
 */
import v8 from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import type { ProcessEnv, VmMessage } from '@isthmus/ao';

interface Answer {
  Memory: Uint8Array;
  Error?: unknown;
}
type Handle = (memory: Uint8Array | null, message: VmMessage, env: ProcessEnv) => Promise<Answer>;
type Loader = (binary: Uint8Array, options: { format: string; UNSAFE_MEMORY?: boolean }) => Promise<Handle>;

/** What the thread is told to run once it has begun. */
export interface BareOptions {
  module: Uint8Array;
  format: string;
  env: ProcessEnv;
  copied: boolean;
}

const { hrtime } = process; // the loader fixes this thread's clocks
const options = workerData as BareOptions;
v8.setFlagsFromString('--experimental-wasm-memory64');
const { default: load } = (await import('@permaweb/ao-loader')) as { default: Loader };
const handle = await load(options.module, { format: options.format, UNSAFE_MEMORY: !options.copied });
let memory: Uint8Array | null = null;
let queue = Promise.resolve();

parentPort?.on('message', (messages: VmMessage[]) => {
  queue = queue.then(() => evaluate(messages));
});

/** Answers with the milliseconds these messages took. */
async function evaluate(messages: VmMessage[]): Promise<void> {
  const { log } = console;
  const began = hrtime.bigint();
  for (const message of messages) {
    const answer: Answer = await handle(options.copied ? memory : null, message, options.env);
    if (answer.Error) throw new Error(JSON.stringify(answer.Error));
    if (options.copied) memory = answer.Memory;
  }
  console.log = log;
  parentPort?.postMessage(Number(hrtime.bigint() - began) / 1e6);
}
