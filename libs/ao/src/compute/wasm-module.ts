/** For tests: WebAssembly modules written by hand, so that they do what no compiler would make them do. */

export const [I32, I64, F32, F64] = [0x7f, 0x7e, 0x7d, 0x7c];

export function leb(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x3f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

/** LEB128 of an address or a size. */
export function size(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

const vector = (items: readonly (readonly number[])[]): number[] => [...size(items.length), ...items.flat()];
const text = (value: string): number[] => [...size(Buffer.byteLength(value)), ...Buffer.from(value)];
const section = (id: number, body: readonly number[]): number[] => [id, ...size(body.length), ...body];

export interface HandFunction {
  name: string;
  params?: number[];
  results?: number[];
  locals?: number[];
  body: number[];
}

export interface HandModule {
  wide?: boolean;
  imports?: { module: string; name: string; params?: number[]; results?: number[] }[];
  functions: HandFunction[];
  /** Types of mutable globals, which begin with zero. */
  globals?: number[];
  /** Pages of memory, least and most, and the flags beside. */
  memory?: { initial: number; maximum?: number; flags?: number };
  data?: { at: number; bytes: Uint8Array };
  /** More sections, by where they belong: a table (4), a start (8), elements (9). */
  sections?: { id: number; body: number[] }[];
}

/** The binary of a module; its functions are exported by their names, numbered after the imports. */
export function assemble({
  wide = false,
  imports = [],
  functions,
  globals = [],
  memory = { initial: 2 },
  data,
  sections = [],
}: HandModule): Uint8Array {
  const types = [...imports, ...functions].map(({ params = [], results = [] }) => [
    0x60,
    ...size(params.length),
    ...params,
    ...size(results.length),
    ...results,
  ]);
  const flags = memory.flags ?? (wide ? 4 : 0) + (memory.maximum === undefined ? 0 : 1);
  const zero = (type: number) => [type, 1, ...(type === I64 ? [0x42, 0] : [0x41, 0]), 0x0b];
  const parts = [
    { id: 1, body: vector(types) },
    { id: 2, body: vector(imports.map(({ module, name }, i) => [...text(module), ...text(name), 0, ...size(i)])) },
    { id: 3, body: vector(functions.map((_, i) => size(imports.length + i))) },
    { id: 5, body: [1, flags, ...size(memory.initial), ...(memory.maximum === undefined ? [] : size(memory.maximum))] },
    { id: 6, body: vector(globals.map(zero)) },
    {
      id: 7,
      body: vector([
        [...text('memory'), 2, 0],
        ...functions.map(({ name }, i) => [...text(name), 0, ...size(imports.length + i)]),
      ]),
    },
    {
      id: 10,
      body: vector(
        functions.map(({ locals = [], body }) => {
          const code = [...vector(locals.map((type) => [1, type])), ...body, 0x0b];
          return [...size(code.length), ...code];
        }),
      ),
    },
    ...(data
      ? [
          {
            id: 11,
            body: vector([[0, wide ? 0x42 : 0x41, ...leb(data.at), 0x0b, ...size(data.bytes.length), ...data.bytes]]),
          },
        ]
      : []),
    ...sections,
  ];
  const body = parts.sort((a, b) => a.id - b.id).flatMap((part) => section(part.id, part.body));
  return Uint8Array.from([...Buffer.from('\0asm\x01\0\0\0', 'latin1'), ...body]);
}

interface AosParts {
  answer?: string;
  /** Of `handle`. */
  locals?: number[];
  /** What emscripten_stack_get_current does. */
  stackSave?: number[];
  /** Name of a function that takes what none of its name does. */
  odd?: string;
}

/** What an aos module needs beside its `handle`, which takes two addresses and gives one; it answers `answer`, at 1024. */
export function aosModule(handle: number[], more: Partial<HandModule> & AosParts = {}): Uint8Array {
  const {
    wide = false,
    answer = '{"ok":true,"response":{"Output":"done","Messages":[]}}',
    functions = [],
    locals = [],
    stackSave,
    odd,
    ...rest
  } = more;
  const word = wide ? I64 : I32;
  const constant = (value: number) => [wide ? 0x42 : 0x41, ...leb(value)];
  return assemble({
    wide,
    data: { at: 1024, bytes: Buffer.from(`${answer}\0`) },
    ...rest,
    functions: [
      ...functions,
      ...(odd === undefined || OURS.includes(odd) ? [] : [{ name: odd, body: [] }]),
      { name: 'handle', params: [word, word], results: [word], locals, body: handle },
      { name: 'emscripten_stack_init', body: [] },
      { name: '__wasm_call_ctors', body: [] },
      // Always the same place: these modules do not read what they are told.
      { name: '_emscripten_stack_alloc', params: [word], results: [word], body: constant(8192) },
      { name: '_emscripten_stack_restore', params: [word], body: [] },
      { name: 'emscripten_stack_get_current', results: [word], body: stackSave ?? constant(8192) },
      { name: 'setThrew', params: [word, I32], body: [] },
    ].map(oddly(odd)),
  });
}

const OURS = ['handle', 'setThrew', '__wasm_call_ctors'];
const oddly =
  (odd: string | undefined) =>
  (its: HandFunction): HandFunction =>
    its.name === odd ? { ...its, params: [...(its.params ?? []), F64] } : its;
