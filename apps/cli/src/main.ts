/** The command line. Whatever goes wrong is one line that says what to change, and an exit code that is not 0. */
import { Help, type Command, type Option } from 'commander';
import { program, run } from './program.js';
import { CommandError, said, withoutLogins } from './said.js';

/** Of words nobody understands: no command's own verdict, which may be an alarm (`audit` says 1 of money). */
const BAD_WORDS = 2;

const help = new Help();
const described = (option: Option): string =>
  `${help.optionDescription(option)}${option.mandatory ? ' (required)' : ''}`;

function exiting(command: Command): Command {
  command.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : BAD_WORDS));
  command.configureHelp({ optionDescription: described });
  command.configureOutput({ outputError: (words, write) => write(withoutLogins(words)) });
  for (const one of command.commands) exiting(one);
  return command;
}

/** What a shell gives for a program that ended since nobody reads what it writes. */
const UNREAD = 141;

// Whoever reads has heard enough, as `head` has: nobody to tell. It has not come to its end, where 0 may say that something is good.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(UNREAD);
});

run(process.argv.slice(2), exiting(program())).catch((error: unknown) => {
  console.error(said(error));
  process.exit(error instanceof CommandError ? error.exitCode : 1);
});
