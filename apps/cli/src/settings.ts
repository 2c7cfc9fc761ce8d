/** Which ports the local stack takes: the environment over the defaults, checked before anything starts. */
import { guardianNames, type StackPorts } from '@isthmus/devnet';
import { CommandError } from './said.js';

/** The variable that sets each port; guardians take as many as there are, from theirs upwards. */
export const PORT_VARIABLES: Readonly<Record<keyof StackPorts, string>> = {
  gateway: 'ISTHMUS_GATEWAY_PORT',
  anvil: 'ISTHMUS_ANVIL_PORT',
  postgres: 'ISTHMUS_POSTGRES_PORT',
  guardians: 'ISTHMUS_GUARDIAN_PORT',
  arweave: 'ISTHMUS_ARWEAVE_PORT',
};

const STANDARD: Readonly<Required<StackPorts>> = {
  gateway: 4600,
  anvil: 4601,
  postgres: 4602,
  arweave: 4603,
  guardians: 4611,
};

/** @throws CommandError naming the variable that is wrong, or the two that take the same port. */
export function portsOf(env: NodeJS.ProcessEnv): Required<StackPorts> {
  const ports = {
    gateway: port(env, 'gateway'),
    anvil: port(env, 'anvil'),
    postgres: port(env, 'postgres'),
    arweave: port(env, 'arweave'),
    guardians: port(env, 'guardians'),
  };
  refuseSamePort(ports);
  return ports;
}

function port(env: NodeJS.ProcessEnv, part: keyof StackPorts): number {
  const name = PORT_VARIABLES[part];
  const value = env[name];
  if (value === undefined || value === '') return STANDARD[part];
  const highest = part === 'guardians' ? 65_536 - guardianNames().length : 65_535;
  if (!/^[1-9][0-9]{0,4}$/.test(value) || Number(value) > highest)
    throw new CommandError(`${name} is "${value}": write a port from 1 to ${highest}.`);
  return Number(value);
}

function refuseSamePort({ gateway, anvil, postgres, arweave, guardians }: Required<StackPorts>): void {
  const taken = new Map<number, string>();
  const all: [number, keyof StackPorts][] = [
    [gateway, 'gateway'],
    [anvil, 'anvil'],
    [postgres, 'postgres'],
    [arweave, 'arweave'],
    ...guardianNames().map((_, i): [number, keyof StackPorts] => [guardians + i, 'guardians']),
  ];
  for (const [number, part] of all) {
    const name = PORT_VARIABLES[part];
    const other = taken.get(number);
    if (other !== undefined)
      throw new CommandError(`${name} and ${other} both take port ${number}: change one of them.`);
    taken.set(number, name);
  }
}
