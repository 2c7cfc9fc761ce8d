/** The gateway process: starts the gateway its configuration describes, and ends it in order. */
import { ConfigError, createLogger, loadConfig } from '@isthmus/store';
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
  const inUse = (error as { code?: string }).code === 'EADDRINUSE';
  console.error(
    inUse
      ? 'The gateway’s port is in use: free it, or set another "port" in its configuration.'
      : error instanceof ConfigError
        ? error.message
        : error,
  );
  process.exit(1);
}

main().catch(fail);
