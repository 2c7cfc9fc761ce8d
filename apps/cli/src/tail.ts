/** `isthmus tail`: the newest slots a guardian has accepted, in a file: what is not settled when a gateway's database is lost is there. */
import fs from 'node:fs';
import { EngineError, readTailLine, tagOf, TailClient, type TailHead } from '@isthmus/ao';
import { CommandError } from './said.js';

/** Exit code when it could not be done. */
const COULD_NOT = 2;

export interface TailOptions {
  out: string;
  slots: string;
}

/** @throws CommandError */
export async function tail(url: string, { out, slots }: TailOptions): Promise<void> {
  if (!/^https?:\/\//.test(url))
    throw new CommandError(`Write the guardian as http://host:port, not ${url}.`, COULD_NOT);
  if (!/^[1-9][0-9]{0,9}$/.test(slots)) throw new CommandError('--slots is a number of slots, at least 1.', COULD_NOT);
  const client = new TailClient(url);
  const heads = await client.heads().catch(refused);
  const file = opened(out);
  try {
    for (const head of heads) {
      const from = Math.max(0, head.slot - Number(slots) + 1);
      await write(file, client, head, from);
      console.log(head.slot < from ? `${head.process}: nothing yet` : `${head.process}: slots ${from} to ${head.slot}`);
    }
  } finally {
    fs.closeSync(file);
  }
}

async function write(file: number, client: TailClient, { process, slot }: TailHead, from: number): Promise<void> {
  for (let next = from; next <= slot;) {
    const lines = await client.page(process, next).catch(refused);
    const last = lines.at(-1);
    const read = last === undefined ? null : readTailLine(last);
    const at = read?.kind === 'slot' ? Number(tagOf(read.assignment, 'Nonce')) : NaN;
    if (!(at >= next)) throw new CommandError(`${client.url} does not show slot ${next} of ${process}.`, COULD_NOT);
    fs.writeSync(file, lines.map((line) => `${line}\n`).join(''));
    next = at + 1;
  }
}

function opened(out: string): number {
  try {
    return fs.openSync(out, 'wx');
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'EEXIST' ? 'is there already' : 'cannot be written';
    throw new CommandError(`--out: ${out} ${why}: name another file.`, COULD_NOT);
  }
}

function refused(error: unknown): never {
  throw error instanceof EngineError ? new CommandError(error.message, COULD_NOT) : error;
}
