/** `isthmus start`: everything local, up and watched until Ctrl-C. */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { devAccount, devKey, startStack, watchOver, type Stack, type StackPorts } from '@isthmus/devnet';
import { guardianNames, portInUse, stateFolder } from '@isthmus/store';
import { compileContracts } from '../../../contracts/ethereum/compile.js';
import { claimHome, refuseRunning } from './running.js';
import { CommandError } from './said.js';
import { portsOf, portsOfPart, PORT_VARIABLES } from './settings.js';
import { untilSignal } from './signals.js';

/** Blocks of the local Arweave; on the public network they are two minutes apart. */
const ARWEAVE_BLOCK_MS = 2000;
/** Between two audits of the local stack. */
const AUDIT_MS = 300_000;
/** How long the children of a killed run may take to notice and leave their ports. */
const LEAVE_MS = 5000;
/** A stop that takes longer ends at once; the watchdog and the closing pipes do the rest. */
const STOP_MS = 60_000;

export async function start(): Promise<void> {
  const home = stateFolder();
  const ports = portsOf(process.env);
  refuseDatabaseUrl(process.env);
  refuseRunning(home);
  // Heard from the first moment on: Ctrl-C while parts come up is obeyed once they are all known, and leaves none behind.
  const asked = untilSignal();
  await assertPortsFree(ports, fs.existsSync(home));
  process.once('exit', claimHome(home));
  const began = performance.now();
  const stack = await startStack({
    home,
    ports,
    contracts: compileContracts(),
    blockTime: 1,
    keepChain: true,
    arweaveBlockMs: ARWEAVE_BLOCK_MS,
    auditMs: AUDIT_MS,
    onPart: (part, ms) => console.log(`  ✓ ${part.padEnd(24)} ${(ms / 1000).toFixed(1).padStart(5)} s`),
  });
  const watchdog = watchOver([stack.postgres.pid, stack.anvil.pid]);
  console.log(
    `\nIsthmus is up after ${((performance.now() - began) / 1000).toFixed(1)} s. State is kept in ${home}.\n`,
  );
  console.log(summary(stack, ports, await unitsOf(stack.gatewayUrl)));
  await asked;
  console.log('\nStopping …');
  setTimeout(() => process.exit(1), STOP_MS).unref();
  await stack.stop();
  watchdog.dismiss();
  console.log('Stopped. "npm start" goes on from here, "npm run reset" clears it.');
}

/**
 * Looked at before a folder is made. Database and chain of an earlier run may still be there: who starts them ends those first, so
 * their ports are only asked for where there was no earlier run. @throws CommandError naming the port in use and the variable that changes it
 */
async function assertPortsFree(ports: Required<StackPorts>, ranBefore: boolean): Promise<void> {
  const parts: (keyof StackPorts)[] = ['gateway', 'arweave', 'bitcoin', 'solana', 'guardians'];
  if (!ranBefore) parts.push('anvil', 'postgres');
  const wanted = parts.flatMap((part) => portsOfPart(ports, part).map((port) => [part, port] as const));
  const until = Date.now() + (ranBefore ? LEAVE_MS : 0);
  for (const [name, port] of wanted) {
    while (await portInUse(port)) {
      if (Date.now() > until)
        throw new CommandError(
          `Port ${port} (${name}) on 127.0.0.1 is in use: free it, or set another with ${PORT_VARIABLES[name]}.`,
        );
      await delay(100); // asked again until LEAVE_MS
    }
  }
}

/** The local stack brings its own database; one of your own is for apps that are run by hand. */
function refuseDatabaseUrl(env: NodeJS.ProcessEnv): void {
  if (env['DATABASE_URL'] !== undefined)
    throw new CommandError(
      'DATABASE_URL is set, but the local stack brings its own database: unset it, or run the apps by hand (docs/runbook.md).',
    );
}

interface Units {
  address: string;
  messenger: string;
}

/** What a spawn names: the scheduler, and whose word of what processes said counts. */
async function unitsOf(gatewayUrl: string): Promise<Units> {
  return (await fetch(`${gatewayUrl}/~meta@1.0/info`)).json() as Promise<Units>;
}

function summary({ gatewayUrl, rpcUrl, arweave, deployment, homes }: Stack, ports: StackPorts, units: Units): string {
  const rows: [string, string][] = [
    ['Page', `${gatewayUrl}/`],
    ['REST, OpenAPI', `${gatewayUrl}/v1  ${gatewayUrl}/docs`],
    ['AO units', `${gatewayUrl}/su  ${gatewayUrl}/mu  ${gatewayUrl}/cu`],
    ['Scheduler', units.address],
    ['Authority', `${units.messenger}  (the messenger)`],
    [
      'Guardians',
      guardianNames()
        .map((_, i) => `http://127.0.0.1:${ports.guardians + i}/health`)
        .join('  '),
    ],
    ['Ethereum RPC', `${rpcUrl}  (chain ${deployment.chainId})`],
    ...(arweave ? [['Arweave', `${arweave.url}  (wallet ${arweave.walletFile})`] as [string, string]] : []),
    ...homes.map((h): [string, string] => [h.name, `${h.rpcUrl}  vault ${h.vault}`]),
    ['Vault', deployment.vault],
    ...deployment.assets.map((a): [string, string] => [a.symbol, `${a.address}  process ${a.process}`]),
    ...homes.flatMap((h) => h.assets.map((a): [string, string] => [a.symbol, `${a.id}  process ${a.process}`])),
    ['Dev accounts', '10,000 ETH and 1,000,000 dUSD each; keys are anvil’s well-known ones'],
    ...[0, 1, 2].map((i): [string, string] => [`  account ${i}`, `${devAccount(i).address}  ${devKey(i)}`]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n')}\n\nNext: npm run demo   (in another terminal; Ctrl-C here stops everything)`;
}
