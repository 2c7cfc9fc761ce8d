/** The gateway process: starts the gateway its configuration describes, and ends it in order. */
import { createLogger, endWhenTold, exitFailed, loadConfig } from '@isthmus/store';
import { startGateway } from './app.js';
import { gatewaySchema } from './config.js';

async function main(): Promise<void> {
  const env = process.env;
  const config = loadConfig(gatewaySchema, env['ISTHMUS_CONFIG'] ?? 'gateway.json', {
    databaseUrl: env['DATABASE_URL'],
  });
  const gateway = await startGateway(config, createLogger('gateway'));
  endWhenTold(() => gateway.stop());
}

main().catch(exitFailed);
