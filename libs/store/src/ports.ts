/** Ports of this machine's loopback: which are taken, and which are free. */
import { randomInt } from 'node:crypto';
import net from 'node:net';

/** Whether somebody listens on a port now. */
export function portInUse(port: number): Promise<boolean> {
  if (!Number.isInteger(port) || port <= 0) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    const done = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}

/**
 * Below what systems give to connections that go out (from 32,768 on Linux, from 49,152 elsewhere): a port from there could be one's own
 * connection by the time somebody listens on it.
 */
const [LOWEST, HIGHEST] = [10_000, 32_000];
/**
 * Each process looks through a share of them, one after another: what it was given and will listen on in a while is not given a second time
 * meanwhile, nor to another process, which has another share as a rule.
 */
const SHARES = 40;
const SHARE = (HIGHEST - LOWEST) / SHARES;
const OWN = LOWEST + (process.pid % SHARES) * SHARE;
let next = randomInt(SHARE);

/** A port nobody listens on now. */
export const freePort = (): Promise<number> => freePorts(1);

/** First of so many ports in a row nobody listens on now. @throws when there seem to be none */
export async function freePorts(count: number): Promise<number> {
  for (let looked = 0; looked < SHARE; looked += count) {
    if (next + count > SHARE) next = 0;
    const first = OWN + next;
    next += count;
    const free = await Promise.all(Array.from({ length: count }, (_, at) => canListen(first + at)));
    if (!free.includes(false)) return first;
  }
  throw new Error(`No ${count} free ports in a row between ${OWN} and ${OWN + SHARE} on 127.0.0.1.`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
