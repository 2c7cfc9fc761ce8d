/**
 * The operator's word to a guardian: what it shall vote for. It goes through the guardian's own database, so whoever may say it is whoever
 * may open that. Arguments: `[--asset <CAIP-19>] [--withdraw] [<decision>]`; without a decision it shows what is open.
 */
import { BridgeError, parseDecision } from '@isthmus/bridge';
import { guardianMigrations } from '@isthmus/migrations';
import { loadConfig, openDatabase, plainMessage } from '@isthmus/store';
import { parseArgs } from 'node:util';
import { assetsIn, guardianSchema, type GuardianConfig } from './config.js';
import type { Asset } from './homes/home.js';
import { Motions } from './motions.js';

/** What was asked for cannot be done; the message says what to write instead. */
class Refused extends Error {}

async function decide(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { asset: { type: 'string' }, withdraw: { type: 'boolean', default: false } },
  });
  const config = loadConfig(guardianSchema, process.env['ISTHMUS_CONFIG'] ?? 'guardian.json');
  const line = positionals.join(' ');
  if (line !== '') parseDecision(line);
  else if (values.withdraw) throw new Refused('Write the decision to withdraw, as it is shown.');
  const assets = chosen(config, values.asset, line);
  const database = await openDatabase({
    url: config.databaseUrl,
    migrations: guardianMigrations,
    applicationName: `${config.name}-decide`,
    poolSize: 1,
  });
  try {
    const motions = new Motions(database);
    for (const { id, process } of assets) {
      if (line === '') await show(motions, config.name, id, process);
      else if (values.withdraw)
        console.log(
          (await motions.withdraw(process, line))
            ? `${config.name} votes no further for "${line}" on ${id}.`
            : `${config.name} has no open motion "${line}" on ${id}.`,
        );
      else {
        await motions.open(process, line, 'operator');
        console.log(`${config.name} votes for "${line}" on ${id} until it is decided and the vault is as decided.`);
      }
    }
    if (line === '')
      console.log(
        'That is what it is told to vote for; GET /v1/decisions and GET /v1/assets of the gateway show what was decided and what is paused.',
      );
    else if (!values.withdraw)
      console.log(
        'It votes while it runs and is in the set; GET /v1/decisions?asset=… of the gateway shows every voice.',
      );
  } finally {
    await database.destroy();
  }
}

/** A listing is about one asset; the rest is meant for all unless one is named. */
function chosen({ homes }: GuardianConfig, id: string | undefined, line: string): Asset[] {
  if (id === undefined && line.startsWith('list '))
    throw new Refused('A listing is about one asset: name it with --asset.');
  const assets: Asset[] = assetsIn(homes);
  const found = assets.filter((a) => id === undefined || a.id === id);
  if (found.length === 0) throw new Refused(`This guardian has no asset ${id}: ${assets.map((a) => a.id).join(', ')}.`);
  return found;
}

async function show(motions: Motions, name: string, asset: string, process: string): Promise<void> {
  const open = await motions.list(process);
  if (open.length === 0) console.log(`${name} ${asset}: nothing open`);
  for (const { line, mover, asked, at } of open)
    console.log(
      `${name} ${asset}: "${line}" (${mover}, ${at.toISOString()}), ${asked === null ? 'not voted on yet' : 'voted on'}`,
    );
}

decide().catch((error: unknown) => {
  const badArguments = (error as { code?: unknown }).code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION';
  const said = error instanceof Refused || error instanceof BridgeError || badArguments;
  console.error(said ? (error as Error).message : (plainMessage(error) ?? error));
  process.exit(1);
});
