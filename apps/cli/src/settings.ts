/** Which ports the local stack takes, or has taken: the environment over the defaults, checked before anything starts. */
import fs from 'node:fs';
import path from 'node:path';
import type { StackPorts } from '@isthmus/devnet';
import { guardianNames, stateFolder } from '@isthmus/store';
import { z } from 'zod';
import { CommandError } from './said.js';

/** The variable that sets each port; guardians take as many as there are, from theirs upwards, Solana the next for its websockets. */
export const PORT_VARIABLES: Readonly<Record<keyof StackPorts, string>> = {
  gateway: 'ISTHMUS_GATEWAY_PORT',
  anvil: 'ISTHMUS_ANVIL_PORT',
  postgres: 'ISTHMUS_POSTGRES_PORT',
  guardians: 'ISTHMUS_GUARDIAN_PORT',
  arweave: 'ISTHMUS_ARWEAVE_PORT',
  bitcoin: 'ISTHMUS_BITCOIN_PORT',
  solana: 'ISTHMUS_SOLANA_PORT',
};

const STANDARD: Readonly<Required<StackPorts>> = {
  gateway: 4600,
  anvil: 4601,
  postgres: 4602,
  arweave: 4603,
  bitcoin: 4604,
  solana: 4605,
  guardians: 4611,
};

/** The ports a stack is to take. @throws CommandError naming the variable that is wrong, or the two that take the same port. */
export function portsOf(env: NodeJS.ProcessEnv): Required<StackPorts> {
  const ports = portsOver(STANDARD, env);
  refuseSamePort(ports);
  return ports;
}

/** The ports the stack in this folder took when it was started last, for those who ask it; what the environment says comes first. @throws CommandError */
export function portsInUse(env: NodeJS.ProcessEnv): Required<StackPorts> {
  return portsOver({ ...STANDARD, ...portsTaken(stateFolder(env)) }, env);
}

function portsOver(otherwise: Readonly<Required<StackPorts>>, env: NodeJS.ProcessEnv): Required<StackPorts> {
  const of = (part: keyof StackPorts): number => port(env, part, otherwise[part]);
  return {
    gateway: of('gateway'),
    anvil: of('anvil'),
    postgres: of('postgres'),
    arweave: of('arweave'),
    bitcoin: of('bitcoin'),
    solana: of('solana'),
    guardians: of('guardians'),
  };
}

const withPort = z.object({ port: z.int().positive() });
const ethereum = z.object({
  chain: z.object({ id: z.string().startsWith('eip155:'), rpcUrls: z.array(z.url()).min(1) }),
});
const gatewayFile = withPort.extend({ homes: z.array(z.unknown()), databaseUrl: z.url() });

/** As the stack's own configurations say, as far as they are there. */
function portsTaken(home: string): Partial<StackPorts> {
  const gateway = gatewayFile.safeParse(configIn(home, 'gateway')).data;
  const anvil = gateway?.homes.map((one) => ethereum.safeParse(one).data?.chain.rpcUrls[0]).find((url) => url);
  const nodes = (['arweave', 'bitcoin', 'solana'] as const).flatMap((name) => {
    const { data } = withPort.safeParse(configIn(home, name));
    return data ? [[name, data.port] as const] : [];
  });
  const guardian = withPort.safeParse(configIn(home, guardianNames()[0] ?? '')).data;
  return {
    ...(gateway && {
      gateway: gateway.port,
      postgres: Number(new URL(gateway.databaseUrl).port),
    }),
    ...(anvil !== undefined && { anvil: Number(new URL(anvil).port) }),
    ...Object.fromEntries(nodes),
    ...(guardian && { guardians: guardian.port }),
  };
}

const homeSources = z.object({ chain: z.object({ id: z.string(), rpcUrls: z.array(z.string()) }) });

/** Where the local stack's gateway reads its home chains, with logins; none when it was never started there. */
export function localSources(folder: string): { chain: string; url: string }[] {
  const homes = z.object({ homes: z.array(homeSources) }).safeParse(configIn(folder, 'gateway')).data?.homes ?? [];
  return homes.flatMap(({ chain: { id, rpcUrls } }) => rpcUrls.map((url) => ({ chain: id, url })));
}

function configIn(home: string, name: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(path.join(home, `${name}.json`), 'utf8'));
  } catch {
    return null; // never started from there, or half written
  }
}

function port(env: NodeJS.ProcessEnv, part: keyof StackPorts, otherwise: number): number {
  const name = PORT_VARIABLES[part];
  const value = env[name];
  if (value === undefined || value === '') return otherwise;
  const highest = 65_536 - countOf(part);
  if (!/^[1-9][0-9]{0,4}$/.test(value) || Number(value) > highest)
    throw new CommandError(`${name} is "${value}": write a port from 1 to ${highest}.`);
  return Number(value);
}

/** How many a part takes, from its own upwards. */
function countOf(part: keyof StackPorts): number {
  if (part === 'guardians') return guardianNames().length;
  return part === 'solana' ? 2 : 1;
}

/** Every port a part takes. */
export const portsOfPart = (ports: Required<StackPorts>, part: keyof StackPorts): number[] =>
  Array.from({ length: countOf(part) }, (_, i) => ports[part] + i);

function refuseSamePort(ports: Required<StackPorts>): void {
  const taken = new Map<number, string>();
  const parts = Object.keys(ports) as (keyof StackPorts)[];
  for (const [number, part] of parts.flatMap((p) => portsOfPart(ports, p).map((n) => [n, p] as const))) {
    const name = PORT_VARIABLES[part];
    const other = taken.get(number);
    if (other !== undefined)
      throw new CommandError(`${name} and ${other} both take port ${number}: change one of them.`);
    taken.set(number, name);
  }
}
