/** Where the local stack lives and which ports it takes: the environment over the defaults, checked before anything starts. */
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { stateFolder } from '@isthmus/store';
import { CommandError } from './said.js';

export interface Settings {
  home: string;
  ports: { gateway: number; anvil: number; postgres: number; guardians: number };
}

const PORTS = {
  gateway: ['ISTHMUS_GATEWAY_PORT', 4600],
  anvil: ['ISTHMUS_ANVIL_PORT', 4601],
  postgres: ['ISTHMUS_POSTGRES_PORT', 4602],
  /** First of three. */
  guardians: ['ISTHMUS_GUARDIAN_PORT', 4611],
} as const;

export const GUARDIANS = 3;

/** How long children of a killed run get to notice and leave. */
const LEAVE_MS = 5000;

/** @throws CommandError naming the variable that is wrong. */
export function settings(env: NodeJS.ProcessEnv = process.env): Settings {
  const port = (part: keyof typeof PORTS): number => {
    const [name, standard] = PORTS[part];
    const value = env[name];
    if (value === undefined || value === '') return standard;
    const highest = part === 'guardians' ? 65_536 - GUARDIANS : 65_535;
    if (!/^[1-9][0-9]{0,4}$/.test(value) || Number(value) > highest)
      throw new CommandError(`${name} is "${value}": write a port from 1 to ${highest}.`);
    return Number(value);
  };
  const ports = {
    gateway: port('gateway'),
    anvil: port('anvil'),
    postgres: port('postgres'),
    guardians: port('guardians'),
  };
  refuseSamePort(ports);
  return { home: stateFolder(env), ports };
}

function refuseSamePort({ gateway, anvil, postgres, guardians }: Settings['ports']): void {
  const taken = new Map<number, string>();
  const all: [number, string][] = [
    [gateway, PORTS.gateway[0]],
    [anvil, PORTS.anvil[0]],
    [postgres, PORTS.postgres[0]],
    ...Array.from({ length: GUARDIANS }, (_, i): [number, string] => [guardians + i, PORTS.guardians[0]]),
  ];
  for (const [port, name] of all) {
    const other = taken.get(port);
    if (other !== undefined) throw new CommandError(`${name} and ${other} both take port ${port}: change one of them.`);
    taken.set(port, name);
  }
}

/**
 * Refuses to start over someone else's server: a health check would take its answers for ours. The database and the chain look for
 * themselves, since they first end what a killed run left behind.
 * @throws CommandError naming the port and the variable that changes it.
 */
export async function assertPortsFree({ ports }: Settings, waitMs = LEAVE_MS): Promise<void> {
  const until = Date.now() + waitMs;
  const wanted: [number, string][] = [
    [ports.gateway, PORTS.gateway[0]],
    ...Array.from({ length: GUARDIANS }, (_, i): [number, string] => [ports.guardians + i, PORTS.guardians[0]]),
  ];
  for (const [port, name] of wanted) {
    while (!(await isFree(port))) {
      if (Date.now() > until)
        throw new CommandError(
          `Port ${port} on 127.0.0.1 is in use: free it, or set another with ${name}${name === PORTS.guardians[0] ? ` (the first of ${GUARDIANS})` : ''}.`,
        );
      await delay(100); // asked again until LEAVE_MS
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
