/** Migrations on a database of one's own; the embedded one is migrated by the apps themselves. */
import { gatewayMigrations, guardianMigrations } from '@isthmus/migrations';
import { openDatabase, plainMessage, runMigrations } from '@isthmus/store';
import { CommandError } from './said.js';

/** @throws CommandError when DATABASE_URL is missing or the database cannot be reached. */
export async function migrate(app: string, url = process.env['DATABASE_URL']): Promise<void> {
  const migrations = { gateway: gatewayMigrations, guardian: guardianMigrations }[app];
  if (!migrations) throw new CommandError(`"${app}" has no migrations: write gateway or guardian.`);
  if (!url) throw new CommandError('Set DATABASE_URL to the database to migrate: postgres://user:password@host/name.');
  const plainly = (error: unknown): never => {
    throw new CommandError(plainMessage(error) ?? String(error));
  };
  const database = await openDatabase({ url, migrations, applicationName: 'isthmus-migrate', poolSize: 2 }).catch(
    plainly,
  );
  try {
    const ran = await runMigrations(database).catch(plainly);
    console.log(ran.length > 0 ? `ran ${ran.join(', ')}` : 'nothing to do: the database is up to date');
  } finally {
    await database.destroy();
  }
}
