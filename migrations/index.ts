/** All migrations, named one by one: what runs is what is listed. */
import { AoPipeline1700000000100 } from './gateway/1700000000100-ao-pipeline.js';

export const gatewayMigrations = [AoPipeline1700000000100];
