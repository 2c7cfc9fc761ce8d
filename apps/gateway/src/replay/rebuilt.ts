/** What a gateway must know of a database that was rebuilt from Arweave: whether it is whole. */
import { ConfigError } from '@isthmus/store';
import type { DataSource } from 'typeorm';

/** @throws ConfigError when a rebuild of these tables has begun and not ended: a gateway that went on with them would give places twice */
export async function assertWhole(database: DataSource): Promise<void> {
  const rows: { begun: Date }[] = await database.query('select begun from rebuilt where ended is null');
  if (rows[0])
    throw new ConfigError(
      `The rebuild of this database that began ${rows[0].begun.toISOString()} has not ended: drop and create the database, and rebuild it again.`,
    );
}
