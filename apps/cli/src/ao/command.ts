/** `isthmus ao`: AO processes from the command line. Each command loads what it needs only when it runs. */
import { Command, Option } from 'commander';
import {
  addTag,
  anId,
  gatewayUrl,
  KEY_TYPES,
  slot,
  whole,
  type Common,
  type DeadLetterOptions,
  type MessageOptions,
  type Signed,
  type SpawnOptions,
} from './options.js';

const common = (command: Command): Command =>
  command
    .addOption(new Option('--gateway <url>', 'gateway; the local stack’s without it').argParser(gatewayUrl))
    .option('--json', 'print JSON');

const signed = (command: Command): Command =>
  common(command)
    .option(
      '--key <file>',
      'key file that signs (mode 0600): Arweave wallet, Solana keypair, or of "isthmus keys"; on the local stack its account 0 without it',
    )
    .addOption(
      new Option('--key-type <type>', 'what a key of "isthmus keys" signs as').choices(KEY_TYPES).default('ethereum'),
    )
    .addOption(new Option('--wait <seconds>', 'how long to wait for a result').argParser(whole).default(30));

const written = (command: Command): Command =>
  command
    .option('--action <action>', 'its tag Action')
    .option('--data <text>', 'its data')
    .option('--data-file <file>', 'a file whose content is its data')
    .addOption(
      new Option('--tag <Name=Value>', 'a tag; may be given several times').argParser(addTag).default([], 'none'),
    );

/** The command group. Exit codes: 0 done; 1 it could not be done, one line says why; 2 the process answered with an Error. */
export function ao(): Command {
  const group = new Command('ao').description('AO processes: spawn them, talk to them, watch them');

  signed(group.command('spawn').description('spawn a process; prints its id'))
    .option(
      '--module <id or file>',
      'module by its id, or a file to publish as one: .lua, .js, .wasm, .bin (solc); aos, if it is here, without it',
    )
    .option('--format <Module-Format>', 'virtual machine of the file; told by its name without it')
    .option('--name <name>', 'its tag Name')
    .option('--data <text>', 'data of the spawn item')
    .option('--data-file <file>', 'a file whose content is that data')
    .addOption(
      new Option('--tag <Name=Value>', 'a tag; may be given several times').argParser(addTag).default([], 'none'),
    )
    .option('--eval <file>', 'Lua to evaluate in it at once (aos)')
    .action(async (options: SpawnOptions) => (await import('./spawn.js')).spawn(options));

  signed(group.command('eval').description('evaluate Lua in an aos process that is yours; prints its output'))
    .argument('<process>', 'the process', anId)
    .argument('<lua>', 'what to evaluate')
    .action(async (process: string, lua: string, options: Signed) =>
      (await import('./talk.js')).evaluate(process, lua, options),
    );

  written(signed(group.command('message').description('send a message and wait for its result')))
    .argument('<process>', 'the process', anId)
    .action(async (process: string, options: MessageOptions) => (await import('./talk.js')).message(process, options));

  written(common(group.command('read').description('ask a process without leaving a trace (dry-run)')))
    .option('--owner <address>', 'who asks; nobody without it')
    .argument('<process>', 'the process', anId)
    .action(async (process: string, options: MessageOptions & { owner?: string }) =>
      (await import('./talk.js')).read(process, options),
    );

  common(group.command('tail').description('watch a process live: a line for each new slot; Ctrl-C ends it'))
    .argument('<process>', 'the process', anId)
    .addOption(new Option('--from <slot>', 'begin with this slot; with the next one without it').argParser(slot))
    .addOption(new Option('--count <n>', 'end after so many').argParser(whole))
    .action(async (process: string, options: Common & { from?: number; count?: number }) =>
      (await import('./watch.js')).tail(process, options),
    );

  common(
    group.command('list').description('processes with their virtual machine, slots, lag, memory and messages a second'),
  )
    .addOption(new Option('--limit <n>', 'most shown, the newest in use first').argParser(whole).default(50))
    .action(async (options: Common & { limit: number }) => (await import('./watch.js')).list(options));

  common(group.command('modules').description('modules that processes can be spawned from')).action(
    async (options: Common) => (await import('./modules.js')).modules(options),
  );

  signed(group.command('whoami').description('the AO address of a key')).action(async (options: Signed) =>
    (await import('./whoami.js')).whoami(options),
  );

  common(group.command('journey').description('one message’s whole way: item, places, results, deliveries'))
    .argument('<message>', 'the message, or its assignment', anId)
    .action(async (message: string, options: Common) => (await import('./journey.js')).journey(message, options));

  common(group.command('state').description('what a process shows of its state, without asking it (patch@1.0)'))
    .argument('<process>', 'the process', anId)
    .argument('[path]', 'what of it, such as balances/0x…; all without it', '')
    .action(async (process: string, path: string, options: Common) =>
      (await import('./state.js')).state(process, path, options),
    );

  common(
    group.command('dead-letters').description('what could not be delivered and why; has it sent again, or gives it up'),
  )
    .addOption(new Option('--process <id>', 'only those this process sent').argParser(anId))
    .option('--reason <word>', 'only those set aside for this')
    .option('--all', 'one by one, also without --process')
    .addOption(new Option('--limit <n>', 'most shown, the newest first').argParser(whole).default(50))
    .option('--release <number>', 'send this one again (operators)')
    .option('--discard <number>', 'give this one up (operators)')
    .addOption(
      new Option('--discard-all <process>', 'give up all of this process, or those of --reason (operators)').argParser(
        anId,
      ),
    )
    .addOption(
      new Option('--release-all <process>', 'send all of this process again that can be (operators)').argParser(anId),
    )
    .option('--operator-key <file>', 'the operator’s key file; the local stack’s without it')
    .action(async (options: DeadLetterOptions) => (await import('./dead-letters.js')).deadLetters(options));

  common(group.command('verify').description('compute a process again from slot 0 on this machine, and compare'))
    .argument('<process>', 'the process', anId)
    .option('--scheduler <address>', 'the scheduler whose signatures count; the gateway’s own without it')
    .action(async (process: string, options: Common & { scheduler?: string }) =>
      (await import('./verify.js')).verify(process, options),
    );

  for (const [name, running] of [
    ['monitor', true],
    ['unmonitor', false],
  ] as const)
    signed(group.command(name).description(`${running ? 'start' : 'stop'} the clocks of a process that is yours`))
      .argument('<process>', 'the process', anId)
      .action(async (process: string, options: Signed) =>
        (await import('./monitor.js')).monitor(process, running, options),
      );

  return group;
}
