/** The command line. Whatever goes wrong is one line that says what to change, and exit code 1. */
import { program } from './program.js';
import { said } from './said.js';

program()
  .parseAsync()
  .catch((error: unknown) => {
    console.error(said(error));
    process.exit(1);
  });
