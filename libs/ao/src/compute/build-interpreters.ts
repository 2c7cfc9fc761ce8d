/** A step of the build: meters the interpreters. Run from the built files, it writes beside them. */
import { keepInterpreter } from './interpreters.js';
import { meteredLua } from './lua/machine.js';
import { meteredQuickJs } from './quickjs/machine.js';

keepInterpreter('lua', meteredLua());
keepInterpreter('quickjs', meteredQuickJs());
