/** `isthmus start`: everything local, up and watched until Ctrl-C. */
import net from 'node:net';
import { devAccount, devKey, guardianNames, startStack, type Stack, type StackPorts } from '@isthmus/devnet';
import { compileContracts } from '../../../contracts/ethereum/compile.js';
import { homeOf, portsOf, PORT_VARIABLES } from './settings.js';

export async function start(): Promise<void> {
  const home = homeOf(process.env);
  const ports = portsOf(process.env);
  await assertPortsFree(ports);
  const began = performance.now();
  const stack = await startStack({
    home,
    ports,
    contracts: compileContracts(),
    blockTime: 1,
    keepChain: true,
    onPart: (part, ms) => console.log(`  ${'✓'} ${part.padEnd(24)} ${(ms / 1000).toFixed(1).padStart(5)} s`),
  });
  console.log(
    `\nIsthmus is up after ${((performance.now() - began) / 1000).toFixed(1)} s. State is kept in ${home}.\n`,
  );
  console.log(summary(stack, ports));
  await untilSignal();
  console.log('\nStopping …');
  await stack.stop();
  console.log('Stopped. "npm start" goes on from here, "npm run reset" clears it.');
}

/** @throws Error naming each port in use and the variable that changes it */
async function assertPortsFree(ports: StackPorts): Promise<void> {
  const wanted: [keyof StackPorts, number][] = [
    ['gateway', ports.gateway],
    ...guardianNames().map((_, i): [keyof StackPorts, number] => ['guardians', ports.guardians + i]),
  ];
  for (const [name, port] of wanted) {
    if (await inUse(port))
      throw new Error(
        `Port ${port} (${name}) on 127.0.0.1 is in use: free it, or set another with ${PORT_VARIABLES[name]}.`,
      );
  }
}

function inUse(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    const done = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}

function summary({ gatewayUrl, rpcUrl, deployment }: Stack, ports: StackPorts): string {
  const rows: [string, string][] = [
    ['Page', `${gatewayUrl}/`],
    ['REST, OpenAPI', `${gatewayUrl}/v1  ${gatewayUrl}/docs`],
    ['AO units', `${gatewayUrl}/su  ${gatewayUrl}/mu  ${gatewayUrl}/cu`],
    [
      'Guardians',
      guardianNames()
        .map((_, i) => `http://127.0.0.1:${ports.guardians + i}/health`)
        .join('  '),
    ],
    ['Ethereum RPC', `${rpcUrl}  (chain ${deployment.chainId})`],
    ['Vault', deployment.vault],
    ...deployment.assets.map((a): [string, string] => [a.symbol, `${a.address}  process ${a.process}`]),
    ['Dev accounts', '10,000 ETH and 1,000,000 dUSD each; keys are anvil’s well-known ones'],
    ...[0, 1, 2].map((i): [string, string] => [`  account ${i}`, `${devAccount(i).address}  ${devKey(i)}`]),
  ];
  return `${rows.map(([name, value]) => `  ${name.padEnd(14)} ${value}`).join('\n')}\n\nNext: npm run demo   (in another terminal; Ctrl-C here stops everything)`;
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
