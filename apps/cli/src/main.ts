/** The command line. Whatever goes wrong is one line that says what to change, and an exit code that is not 0. */
import { run } from './program.js';
import { CommandError, said } from './said.js';

run(process.argv.slice(2)).catch((error: unknown) => {
  console.error(said(error));
  process.exit(error instanceof CommandError ? error.exitCode : 1);
});
