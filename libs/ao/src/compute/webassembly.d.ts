/** The part of WebAssembly's JavaScript interface used here; Node's own types leave it to the browser's. */
declare namespace WebAssembly {
  function validate(bytes: Uint8Array): boolean;
  class Module {
    constructor(bytes: Uint8Array);
    static imports(module: Module): { module: string; name: string; kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports: Imports);
    readonly exports: Record<string, unknown>;
  }
  class CompileError extends Error {}
  class RuntimeError extends Error {}
  class Memory {
    constructor(limits: { initial: number; maximum: number });
    readonly buffer: ArrayBuffer;
    /** Newer engines take a bigint where addresses have 64 bits. */
    grow(pages: number | bigint): number | bigint;
  }
  /** An i32 of the module. */
  interface Global {
    value: number;
  }
  class Table {
    get(index: number): unknown;
  }
  type ImportValue = ((...args: never[]) => unknown) | Memory;
  type Imports = Record<string, Record<string, ImportValue>>;
}
