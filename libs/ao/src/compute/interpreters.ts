/**
 * The interpreters that come with Isthmus, metered and compiled. Metering takes a core up to a fifth of a second, so the build does it once, and what
 * runs unbuilt does it itself. Compiled they are the same in every thread: the first that needs one tells, and threads begun later are given what is
 * known by then.
 */
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Those there are: as many as anybody keeps. */
export type Interpreter = 'lua' | 'quickjs';

export type Interpreters = Map<Interpreter, WebAssembly.Module>;

/** What this thread knows. */
const known: Interpreters = new Map();
let told: (name: Interpreter, module: WebAssembly.Module) => void = () => undefined;

/** Where the build keeps the metered code of an interpreter: beside the code that meters, whose counts it has. */
const builtFile = (name: Interpreter): string => fileURLToPath(new URL(`./${name}.metered.wasm`, import.meta.url));

/** The metered code of an interpreter, as it was built, or else made now. @throws what `make` throws */
export function meteredInterpreter(name: Interpreter, make: () => Uint8Array): Uint8Array<ArrayBuffer> {
  const file = builtFile(name);
  return new Uint8Array(fs.existsSync(file) ? fs.readFileSync(file) : make());
}

/** For the build: keeps the metered code of an interpreter. */
export function keepInterpreter(name: Interpreter, code: Uint8Array): void {
  fs.writeFileSync(builtFile(name), code);
}

/** An interpreter, compiled here unless it was given. @throws what `compile` throws */
export function interpreter(name: Interpreter, compile: () => WebAssembly.Module): WebAssembly.Module {
  const there = known.get(name);
  if (there) return there;
  const module = compile();
  known.set(name, module);
  told(name, module);
  return module;
}

/** All that is known here, for a thread that is begun. */
export const interpretersKnown = (): Interpreters => new Map(known);

/** Takes what another thread has compiled. */
export function learnInterpreter(name: Interpreter, module: WebAssembly.Module): void {
  known.set(name, module);
}

/** For a thread that begins: all that it knows, which is what others do, and whom to tell what is compiled here. */
export function beginInterpreters(given: Interpreters, tell: typeof told): void {
  known.clear();
  for (const [name, module] of given) known.set(name, module);
  told = tell;
}
