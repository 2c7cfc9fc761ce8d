/** What the command line offers. Commands load what they need only when they run. */
import { Command } from 'commander';
import { ao } from './ao/command.js';
import { auditCommand } from './audit/command.js';
import { btc } from './btc/command.js';
import { gatewayUrl, withIdsMarked, type Common } from './ao/options.js';
import type { DecideOptions } from './decide.js';
import type { FoundOptions } from './found/found.js';
import type { ReplayOptions } from './replay.js';
import type { RepostOptions } from './settlement.js';
import type { TailOptions } from './tail.js';
import type { VerifyOptions } from './receipts/verify.js';

/** Runs what the words after `isthmus` say. */
export async function run(words: readonly string[], isthmus = program()): Promise<void> {
  await isthmus.parseAsync(['ao', 'audit'].includes(words[0] ?? '') ? withIdsMarked(words) : words, { from: 'user' });
}

function settlementCommand(): Command {
  const group = new Command('settlement')
    .description('how a gateway’s settlement on Arweave does')
    .option('--gateway <url>', 'another gateway than the local stack’s', gatewayUrl)
    .option('--json', 'print JSON')
    .action(async (options: Common) => (await import('./settlement.js')).settlement(options));
  group
    .command('repost')
    .description('post a bundle again that Arweave has lost (operators): the same seal, which counts once')
    .argument('<number>', 'the bundle’s number')
    .option('--operator-key <file>', 'the operator’s key file; the local stack’s without it')
    .option(
      '--force',
      'also one that was not seen lost: its bytes are paid for a second time, and if it is still there nothing is gained',
    )
    .action(async (sequence: string, options: RepostOptions) =>
      (await import('./settlement.js')).repost(sequence, { ...group.opts<Common>(), ...options }),
    );
  return group;
}

export function program(): Command {
  const isthmus = new Command('isthmus').description(
    'Bridge between AO and other chains: the local stack and its tools',
  );
  isthmus
    .command('start')
    .description('start everything on this machine: database, chain, gateway, guardians')
    .action(async () => (await import('./start.js')).start());
  isthmus
    .command('demo')
    .description('send money to AO and back through a running stack, and show the proofs')
    .action(async () => (await import('./demo/demo.js')).demo());
  isthmus
    .command('status')
    .description('how a running stack does')
    .action(async () => (await import('./status.js')).status());
  isthmus
    .command('reset')
    .description('throw away the local stack’s state: chain, database, keys')
    .action(async () => (await import('./reset.js')).reset());
  isthmus
    .command('decide')
    .description(
      'have a guardian vote: pause, unpause, list <open|closed> <limit> <window ms> <least deposit>, rotate <epoch> <M> <K> <g1,g2,…>; no words show what is open',
    )
    .argument('[decision...]', 'the decision, in the words of the protocol')
    .requiredOption(
      '--guardian <name or file>',
      'a guardian of the local stack (guardian_1), or its configuration file',
    )
    .option('--asset <id>', 'one asset (CAIP-19); otherwise all of the guardian’s')
    .option('--withdraw', 'vote for it no further')
    .action(async (words: string[], options: DecideOptions) => (await import('./decide.js')).decide(words, options));
  isthmus
    .command('migrate')
    .description('run missing migrations in DATABASE_URL')
    .argument('<app>', 'gateway or guardian')
    .action(async (app: string) => (await import('./migrate.js')).migrate(app));
  isthmus
    .command('keys')
    .description('make a key file only its owner reads, and print its address if it has one')
    .argument(
      '<kind>',
      'guardian, relayer, scheduler, messenger, registrar, bitcoin or solana (keys on home chains), receipt or operator',
    )
    .requiredOption('--out <file>', 'file to make; an existing one is never overwritten')
    .action(async (kind: string, options: { out: string }) => (await import('./keys.js')).keys(kind, options.out));
  isthmus
    .command('found')
    .description(
      'bring a bridge into being by a plan: vaults on the home chains, token processes on AO, and what gateway and guardians are told of them; safe to run again',
    )
    .argument('<plan>', 'JSON file, as docs/runbook.md describes it')
    .option('--go', 'make what is missing; without it nothing is made, only said with what it costs')
    .option('--json', 'print JSON')
    .action(async (plan: string, options: FoundOptions) => (await import('./found/found.js')).found(plan, options));
  isthmus.addCommand(auditCommand());
  isthmus
    .command('receipt')
    .description('a transfer’s answer signed by the gateway, to keep: isthmus receipt <id> > receipt.http')
    .argument('<transfer>', 'the transfer’s id')
    .option('--gateway <url>', 'another gateway than the local stack’s', gatewayUrl)
    .action(async (id: string, options: { gateway?: string }) =>
      (await import('./receipts/receipt.js')).receipt(id, options),
    );
  isthmus
    .command('verify')
    .description('check a kept receipt, offline: exit code 0 good, 1 not good, 2 could not be checked')
    .argument('<file>', 'the HTTP answer as it came, also from curl -i')
    .option(
      '--key <key, file or url>',
      'whose receipt it must be: a key’s id, a file of published keys, or where they are',
    )
    .option('--json', 'print JSON')
    .action(async (file: string, options: VerifyOptions) =>
      (await import('./receipts/verify.js')).verify(file, options),
    );
  isthmus
    .command('replay')
    .description(
      'rebuild everything from Arweave, believing nobody, and compare it with a gateway; without --from: the local stack. Exit code 1: something is wrong, 2: it could not be done',
    )
    .option('--from <url>', 'a gateway of Arweave')
    .option('--scheduler <address>', 'whose settlement to read')
    .option('--process <id...>', 'token processes to take for the bridge’s; otherwise those the scheduler names')
    .option(
      '--rpc <chain=url...>',
      'sources of the home chains (<CAIP-2>=<url>, or <url> where there is one), of which more than half must agree: holds the books against the vaults',
    )
    .option('--chain <id>', 'which home chain those of --rpc are of that name none')
    .option('--from-block <number>', 'on Ethereum no vault is older than this block')
    .option('--checkpoint', 'begin each process at its newest checkpoint')
    .option('--into <database url>', 'rebuild into this empty database, for a gateway to go on with')
    .option(
      '--tail <url or file...>',
      'with --into: slots that were not settled yet, from guardians, or files made with isthmus tail',
    )
    .option('--compare <url>', 'hold the state against what this gateway shows as of the same seal')
    .option('--dump <file>', 'write state and index, line by line')
    .option('--json', 'print one JSON object')
    .action(async (options: ReplayOptions) => (await import('./replay.js')).replay(options));
  isthmus.addCommand(settlementCommand());
  isthmus
    .command('tail')
    .description('keep what a guardian has of its processes’ newest slots in a file, for isthmus replay --tail')
    .argument('<guardian url>', 'where the guardian answers, such as http://127.0.0.1:4611')
    .requiredOption('--out <file>', 'file to write; an existing one is never overwritten')
    .option('--slots <number>', 'newest slots of each process', '10000')
    .action(async (url: string, options: TailOptions) => (await import('./tail.js')).tail(url, options));
  isthmus.addCommand(ao());
  isthmus.addCommand(btc());
  return isthmus;
}
