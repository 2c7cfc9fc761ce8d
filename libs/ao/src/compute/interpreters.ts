/**
 * The interpreters that come with Isthmus, metered and compiled: that takes a core a fifth of a second, and is the same in every thread. The first
 * thread that needs one does it, and tells; threads begun later are given what is known by then.
 */

/** Those there are: as many as anybody keeps. */
export type Interpreter = 'lua' | 'quickjs';

export type Interpreters = Map<Interpreter, WebAssembly.Module>;

/** What this thread knows. */
const known: Interpreters = new Map();
let told: (name: Interpreter, module: WebAssembly.Module) => void = () => undefined;

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

/** For a thread that begins: what others know, and whom to tell what is compiled here. */
export function beginInterpreters(given: Interpreters, tell: typeof told): void {
  for (const [name, module] of given) known.set(name, module);
  told = tell;
}
