/** The gateway process: starts the gateway its configuration describes, and ends it in order. */
import { createLogger, loadConfig, plainMessage } from '@isthmus/store';
import { startGateway } from './app.js';
import { gatewaySchema } from './config.js';

async function main(): Promise<void> {
  const env = process.env;
  const config = loadConfig(gatewaySchema, env['ISTHMUS_CONFIG'] ?? 'gateway.json', {
    databaseUrl: env['DATABASE_URL'],
  });
  const gateway = await startGateway(config, createLogger('gateway'));
  const stop = (): void => void gateway.stop().then(() => process.exit(0), fail);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A supervisor that dies, however it dies, closes this pipe: nobody is left behind.
  if (env['ISTHMUS_SUPERVISED'] === '1') process.stdin.resume().on('end', stop);
}

function fail(error: unknown): void {
  console.error(plainMessage(error) ?? error);
  process.exit(1);
}

main().catch(fail);
