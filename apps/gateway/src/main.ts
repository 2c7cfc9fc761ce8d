/** The gateway process: starts the gateway its configuration describes, and ends it in order. */
import v8 from 'node:v8';
import { createLogger, endWhenTold, exitFailed, loadConfig } from '@isthmus/store';
import { startGateway } from './app.js';
import { gatewaySchema } from './config.js';

/**
 * How far the heap grows past what lives in it, about 75 MB, before the old of it is collected. Such a collection goes through all that
 * lives and keeps both cores of a small machine busy for a tenth of a second: at 750 messages a second it came each six to ten seconds with
 * V8's own measure, and with this one twice or three times a minute. It costs up to half a gigabyte, and gives way to --max-old-space-size.
 */
const HEAP_GROWING_PERCENT = 800;

async function main(): Promise<void> {
  v8.setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const env = process.env;
  const config = loadConfig(gatewaySchema, env['ISTHMUS_CONFIG'] ?? 'gateway.json', {
    databaseUrl: env['DATABASE_URL'],
  });
  const gateway = await startGateway(config, createLogger('gateway'));
  endWhenTold(() => gateway.stop());
}

main().catch(exitFailed);
