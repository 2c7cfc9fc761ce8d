/** Modules that a thread keeps compiled: the last used ones, as many as are worth their memory. Their native code is in nobody's process and so in no budget. */

/** Modules kept at most, however small: each costs beside its code. */
const MAX_COMPILED = 16;
/** Bytes of native code kept at most in each thread; the last used module is always kept. */
const MAX_COMPILED_BYTES = 128 * 1024 * 1024;
/** Bytes of native code for each byte of a module, about, with what counts its work: a guess on the safe side, since V8 does not tell. */
export const NATIVE_FACTOR = 10;

export class CompiledModules<Module> {
  private readonly kept = new Map<string, { module: Module; bytes: number }>();

  constructor(private readonly mostBytes = MAX_COMPILED_BYTES) {}

  /** The module of this key, compiled when it is not kept. @param compile gives it with the bytes of its code */
  of(key: string, compile: () => { module: Module; bytes: number }): Module {
    const found = this.kept.get(key) ?? compile();
    this.kept.delete(key);
    this.kept.set(key, found); // the last used last
    let bytes = 0;
    let count = 0;
    for (const [old, one] of [...this.kept].toReversed()) {
      bytes += one.bytes;
      count += 1;
      if (old !== key && (count > MAX_COMPILED || bytes > this.mostBytes)) this.kept.delete(old);
    }
    return found.module;
  }
}
