/** What compiled code does is bounded in the code itself, whatever its makers meant. */
import v8 from 'node:v8';
import { jest } from '@jest/globals';
import fc from 'fast-check';
import { FUEL, GLOBAL, INVOKE, metered, NO_MEMORY, PER_STEP, STACK } from './metering.js';
import { ModuleRefused } from './wasm-code.js';
import { assemble, F32, F64, I32, I64, leb, size, type HandModule } from './wasm-module.js';

// Node 20 has 64-bit memories behind this flag.
v8.setFlagsFromString('--experimental-wasm-memory64');
const MAX = { maxMemoryBytes: 16 * 65_536 };
interface Running {
  call: (...args: number[]) => unknown;
  exports: Record<string, { value: number | bigint }>;
  /** Steps since `fuel` was last set. */
  fuel: WebAssembly.Global;
}
function run(module: HandModule, options = {}): Running {
  const code = new WebAssembly.Module(metered(assemble({ globals: [I32], ...module }), { ...MAX, ...options }));
  const imports = { env: Object.fromEntries((module.imports ?? []).map(({ name }) => [name, () => 0])) };
  const { exports } = new WebAssembly.Instance(code, imports);
  return {
    call: exports['run'] as Running['call'],
    exports: exports as Running['exports'],
    fuel: exports[FUEL] as WebAssembly.Global,
  };
}
const taken = ({ call, fuel }: Running, ...args: number[]) => {
  fuel.value = 1_000_000;
  const result = call(...args);
  return { result, steps: 1_000_000 - fuel.value };
};
const refused = (module: HandModule) => expect(() => run(module)).toThrow(ModuleRefused);
const run1 = (body: number[], more: Partial<HandModule> = {}): HandModule => ({
  functions: [{ name: 'run', body }],
  ...more,
});

/** global 0 += 5: five instructions, counted by the code itself. */
const COUNT = [0x23, 0, 0x41, 5, 0x6a, 0x24, 0, 0x01];

describe('steps', () => {
  it('A16 an endless loop and an endless recursion trap at the same step every time', () => {
    const loop = run(run1([0x03, 0x40, ...COUNT, 0x0c, 0, 0x0b]));
    const recursion = run({ functions: [{ name: 'run', body: [...COUNT, 0x10, 0] }] }, { stackSlots: 10_000 });
    for (const code of [loop, recursion]) {
      const counts = [1000, 1000].map((fuel) => {
        code.fuel.value = fuel;
        const counter = code.exports[`${GLOBAL}0`] as { value: number };
        counter.value = 0;
        if (code.exports[STACK]) code.exports[STACK].value = 0;
        expect(() => code.call()).toThrow(WebAssembly.RuntimeError);
        return counter.value;
      });
      expect(counts[0]).toBe(counts[1]);
      expect(counts[0]).toBeGreaterThan(0);
    }
  });

  // Code that counts its own instructions, with ways around whatever steps are in it.
  const code = fc.letrec<{ body: number[]; block: number[] }>((tie) => ({
    body: fc
      .array(
        fc.oneof(
          { depthSize: 'small' },
          fc.constant(COUNT),
          fc.constant(Array.from({ length: 40 }, () => COUNT).flat()),
          tie('block'),
        ),
        { maxLength: 6 },
      )
      .map((parts) => parts.flat()),
    block: fc.oneof(
      // block: skip its rest when a bit of the input is set, one bit each time
      fc
        .tuple(tie('body'), tie('body'), fc.nat(20))
        .map(([first, rest, bit]) => [0x02, 0x40, ...first, ...bitOf(bit), 0x0d, 0, ...rest, 0x0b]),
      fc
        .tuple(tie('body'), tie('body'), fc.nat(20))
        .map(([then, otherwise, bit]) => [...bitOf(bit), 0x04, 0x40, ...then, 0x05, ...otherwise, 0x0b]),
      fc.tuple(tie('body'), fc.nat(20)).map(([then, bit]) => [...bitOf(bit), 0x04, 0x40, ...then, 0x0b]),
      // a jump over the rest, through a table
      fc
        .tuple(tie('body'), tie('body'), fc.nat(20))
        .map(([first, rest, bit]) => [
          0x02,
          0x40,
          0x02,
          0x40,
          ...first,
          ...bitOf(bit),
          0x0e,
          1,
          0,
          1,
          0x0b,
          ...rest,
          0x0b,
        ]),
      // a loop of three passes
      fc
        .tuple(tie('body'))
        .map(([body]) => [
          0x41,
          3,
          0x21,
          1,
          0x03,
          0x40,
          ...body,
          0x20,
          1,
          0x41,
          1,
          0x6b,
          0x22,
          1,
          0x41,
          0,
          0x4a,
          0x0d,
          0,
          0x0b,
        ]),
    ),
  })).body;
  function bitOf(bit: number): number[] {
    return [0x20, 0, 0x41, ...leb(bit), 0x76, 0x41, 1, 0x71];
  }

  it('A16 whatever way code takes, each step is at most 32 instructions', () => {
    fc.assert(
      fc.property(code, fc.array(fc.nat({ max: 2 ** 21 }), { minLength: 1, maxLength: 6 }), (body, inputs) => {
        const program = run({ functions: [{ name: 'run', params: [I32], locals: [I32], body }] });
        for (const input of inputs) {
          const counter = program.exports[`${GLOBAL}0`] as { value: number };
          counter.value = 0;
          const { steps } = taken(program, input);
          expect(counter.value).toBeLessThanOrEqual(PER_STEP * steps);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('A16 what is copied and filled, grown and asked of the host costs by its size', () => {
    const fill = (bytes: number) => run1([0x41, 0, 0x41, 1, 0x41, ...leb(bytes), 0xfc, 0x0b, 0]);
    expect(taken(run(fill(65_536))).steps - taken(run(fill(0))).steps).toBe(4096);
    const plain = taken(run(run1([]))).steps;
    expect(taken(run(run1([0x41, 0, 0x40, 0, 0x1a]))).steps - plain).toBe(1000);
    const asking = { imports: [{ module: 'env', name: 'f' }], functions: [{ name: 'run', body: [0x10, 0] }] };
    expect(taken(run(asking)).steps - plain).toBe(128);
    // A length no memory has cannot give steps back.
    const wide = run({
      wide: true,
      memory: { initial: 1 },
      functions: [{ name: 'run', body: [0x42, 0, 0x41, 1, 0x42, 0x7f, 0xfc, 0x0b, 0] }],
    });
    wide.fuel.value = 2 ** 28;
    expect(() => wide.call()).toThrow(WebAssembly.RuntimeError);
    expect(wide.fuel.value).toBeLessThan(2 ** 28);
  });

  it('A16 the stack ends at a depth of its own, and calls that return give it back', () => {
    const depth = (stackSlots: number) => {
      const body = [...COUNT, 0x10, 0];
      const program = run({ functions: [{ name: 'run', body }] }, { stackSlots });
      program.fuel.value = 1_000_000;
      expect(() => program.call()).toThrow(WebAssembly.RuntimeError);
      return (program.exports[`${GLOBAL}0`] as { value: number }).value;
    };
    expect(depth(18_000)).toBe(10 * depth(1800)); // each call takes 16 slots and the 2 operands of its counting
    // What lies on the stack while others are called takes room, however few the locals.
    const holding = (operands: number) => {
      const held = Array.from({ length: operands }, () => [0x41, 1]).flat();
      const left = Array.from({ length: operands }, () => 0x1a);
      const program = run(
        { functions: [{ name: 'run', body: [...COUNT, ...held, 0x10, 0, ...left] }] },
        { stackSlots: 100_000 },
      );
      program.fuel.value = 1_000_000;
      expect(() => program.call()).toThrow(WebAssembly.RuntimeError);
      return (program.exports[`${GLOBAL}0`] as { value: number }).value;
    };
    expect(Math.abs((5 * 100_000) / holding(1000) - 1016)).toBeLessThan(20);
    // Round about, through a table, and with what a function that is not counted takes on the way.
    const around = (locals: number) => {
      const program = run(
        {
          functions: [
            { name: 'run', body: [...COUNT, 0x10, 1] },
            { name: 'way', locals: Array.from({ length: locals }, () => I64), body: [0x10, 2] },
            { name: 'back', body: [0x41, 0, 0x11, 0, 0] },
          ],
          sections: [
            { id: 4, body: [1, 0x70, 0, 1] },
            { id: 9, body: [1, 0, 0x41, 0, 0x0b, 1, 0] },
          ],
        },
        { stackSlots: 100_000 },
      );
      program.fuel.value = 1_000_000;
      expect(() => program.call()).toThrow(WebAssembly.RuntimeError);
      return (program.exports[`${GLOBAL}0`] as { value: number }).value;
    };
    expect(Math.abs((5 * 100_000) / around(0) - 51)).toBeLessThan(2);
    expect(Math.abs((5 * 100_000) / around(1000) - 1051)).toBeLessThan(20);
    const returning = run(
      {
        functions: [
          {
            name: 'run',
            params: [I32],
            results: [I32],
            body: [0x10, 1, 0x20, 0, 0x04, 0x40, 0x41, 1, 0x0f, 0x0b, 0x41, 2],
          },
          { name: 'callee', body: [0x10, 2] },
          { name: 'leaf', body: [] },
        ],
      },
      { stackSlots: 100 },
    );
    for (const input of [0, 1]) expect(taken(returning, input).result).toBe(input ? 1 : 2);
    expect(returning.exports[STACK]?.value).toBe(0);
  });
});

describe('bits of numbers', () => {
  const one = 0xfff8_0000_0000_0000n;
  const other = 0x7ff8_dead_beef_0001n;
  /** What the code makes of these bits, with what it leaves at address 0 to look at. */
  const bits = (body: number[], input = other): bigint => {
    const code = run({ functions: [{ name: 'run', params: [I64], results: [I64], body }] });
    code.fuel.value = 1000;
    return BigInt.asUintN(64, (code.call as unknown as (v: bigint) => bigint)(BigInt.asIntN(64, input)));
  };
  const asNumber = [0x20, 0, 0xbf];
  const two = [0x44, 0, 0, 0, 0, 0, 0, 0, 0x40];

  it('A14 a NaN that is computed has one form, whatever went in', () => {
    const zero = [0x44, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(bits([...zero, ...zero, 0xa3, 0xbd])).toBe(one);
    for (const op of [0x9b, 0x9c, 0x9d, 0x9e, 0x9f]) expect(bits([...asNumber, op, 0xbd])).toBe(one);
    for (const op of [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5]) expect(bits([...asNumber, ...two, op, 0xbd])).toBe(one);
    expect(bits([...asNumber, 0xb6, 0xbb, 0xbd])).toBe(one); // to 32 bits and back
    expect(bits([0x43, 0, 0, 0, 0, 0x43, 0, 0, 0, 0, 0x95, 0xbc, 0xad])).toBe(0xffc0_0000n);
    expect(bits([...two, ...two, 0xa0, 0xbd])).toBe(0x4010_0000_0000_0000n);
  });

  it('I13 bits that are only carried stay as they are: to a compiler a number is also a way to move an integer', () => {
    const carried = [
      [...asNumber, 0xbd], // reinterpreted there and back
      [0x41, 0, ...asNumber, 0x39, 3, 0, 0x41, 0, 0x29, 3, 0], // stored
      [0x41, 0, 0x20, 0, 0x37, 3, 0, 0x41, 8, 0x41, 0, 0x2b, 3, 0, 0x39, 3, 0, 0x41, 8, 0x29, 3, 0], // loaded and stored
    ];
    for (const body of carried)
      for (const input of [other, 0xffff_ffff_ffff_ffffn]) expect(bits(body, input)).toBe(input);
    expect(bits([...asNumber, 0x9a, 0xbd])).toBe(other | (1n << 63n)); // its sign turned
  });
});

it('A16 memory has a largest size, whatever the module says', () => {
  const grow = (memory: HandModule['memory']) =>
    run(
      {
        ...(memory ? { memory } : {}),
        functions: [{ name: 'run', params: [I32], results: [I32], body: [0x20, 0, 0x40, 0] }],
      },
      { maxMemoryBytes: 4 * 65_536 },
    );
  expect(taken(grow({ initial: 2 }), 2).result).toBe(2);
  expect(taken(grow({ initial: 2 }), 3).result).toBe(-1);
  expect(taken(grow({ initial: 2, maximum: 3 }), 2).result).toBe(-1);
  expect(() => grow({ initial: 5 })).toThrow(/may have 262144/);
});

it('A16 what is not known, or kept where it cannot be put back, is refused', () => {
  refused(run1([0xfd, 12, ...(Array(16).fill(0) as number[]), 0x1a])); // v128
  refused(run1([0x06, 0x40, 0x0b])); // try
  refused(run1([0x12, 0])); // return_call
  refused(run1([0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 8, 0, 0])); // memory.init
  refused(run1([0xfe, 3, 0])); // atomics
  refused(run1([0x41, 0, 0x25, 0, 0x1a], { sections: [{ id: 4, body: [1, 0x70, 0, 1] }] })); // table.get
  refused(run1([], { memory: { initial: 1, maximum: 1, flags: 3 } })); // shared memory
  refused(run1([], { sections: [{ id: 4, body: [1, 0x70, 0, ...size(1_000_000)] }] }));
  refused({
    imports: [{ module: 'env', name: 'f' }],
    functions: [{ name: 'run', body: [] }],
    sections: [
      { id: 4, body: [1, 0x70, 0, 1] },
      { id: 9, body: [1, 0, 0x41, 0, 0x0b, 1, 0] },
    ],
  });
  // What an engine would keep or move many of for a byte of code: operands that a block takes.
  refused({
    functions: [
      { name: 'run', body: [0x41, 0, 0x02, 1, 0x0b, 0x1a] },
      { name: 'taking', params: [I32], results: [I32], body: [0x20, 0] },
    ],
  });
  expect(() => metered(Buffer.from('no module'), MAX)).toThrow(ModuleRefused);
  expect(() => metered(assemble(run1([], { globals: [I32] })).subarray(0, -3), MAX)).toThrow(ModuleRefused);
});

it('A16 any bytes are refused or run, and nothing else', () => {
  const valid = assemble(run1([...COUNT, 0x03, 0x40, 0x0b], { globals: [I32, I64] }));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(), (changes, length) => {
      const bytes = Uint8Array.from(valid);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      try {
        const module = new WebAssembly.Module(metered(bytes.subarray(0, 8 + (length % bytes.length)), MAX));
        expect(module).toBeInstanceOf(WebAssembly.Module);
      } catch (error) {
        expect(error).toBeInstanceOf(ModuleRefused);
      }
    }),
    { numRuns: 500 },
  );
});

it('A16 a module that has a name of what is added to it is refused in words of ours, not in the engine’s', () => {
  for (const name of [FUEL, STACK, `${GLOBAL}0`, `${INVOKE}7`, `${GLOBAL}of its own`])
    refused({
      functions: [
        { name: 'run', body: [] },
        { name, body: [] },
      ],
    });
  expect(() =>
    run({
      functions: [
        { name: 'run', body: [] },
        { name: 'isthmus', body: [] },
      ],
    }),
  ).not.toThrow();
});

it('A16 calls that go round nowhere may not take more of the stack than recursion may', () => {
  const chain = (length: number): HandModule => ({
    functions: Array.from({ length }, (_, i) => ({
      name: i === 0 ? 'run' : `f${i}`,
      locals: Array.from({ length: 984 }, () => I64),
      body: i + 1 < length ? [0x10, ...size(i + 1)] : [],
    })),
  });
  const most = { stackSlots: 20_000 }; // each takes 1,000
  expect(() => run(chain(20), most).call()).not.toThrow();
  expect(() => run(chain(21), most)).toThrow(/too much of the stack/);
});

it('A16 code is not read otherwise than by an engine that knows several memories', () => {
  // i32.load of memory 0, named by its number: who reads two numbers takes the third, the offset, for an instruction.
  const modules = [false, true].map((wide) =>
    assemble({ globals: [I32], wide, ...run1([wide ? 0x42 : 0x41, 0, 0x28, 0x42, 0, 1, 0x1a]) }),
  );
  const engine = jest.spyOn(WebAssembly, 'validate').mockReturnValue(true);
  try {
    for (const module of modules) expect(() => metered(module, MAX)).toThrow('A module has one memory.');
  } finally {
    engine.mockRestore();
  }
});

describe('a module made to take long before it runs', () => {
  const NONE: HandModule = { functions: [{ name: 'run', body: [] }] };
  const bytes = (module: HandModule) => assemble({ globals: [I32], ...module });
  const filled = (length: number, byte: number): number[] => Array.from({ length }, () => byte);
  /** So often the same, in a function of as many locals as there may be. */
  const crowded = (count: number, body: number[], wide = false): HandModule => ({
    wide,
    functions: [{ name: 'run', locals: filled(4096, I64), body: Array.from({ length: count }, () => body).flat() }],
  });
  const BLOCK = [0x02, 0x40, 0x0b];
  const FILL = [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0b, 0];
  const LOAD = [0x42, 0, 0x29, 3, 0, 0x1a];
  const GROW = [0x41, 0, 0x40, 0, 0x1a];
  const table = (elements: number[][], least = 1) => [
    { id: 4, body: [1, 0x70, 0, ...size(least)] },
    {
      id: 9,
      body: [...size(elements.length), ...elements.flatMap((e) => [0, 0x41, 0, 0x0b, ...size(e.length), ...e])],
    },
  ];

  it.each<[string, RegExp, HandModule, HandModule]>([
    [
      'bytes',
      /most 4194304 bytes/,
      { ...NONE, data: { at: 0, bytes: new Uint8Array(60_000) } },
      { ...NONE, data: { at: 0, bytes: new Uint8Array(5_000_000) }, memory: { initial: 100 } },
    ],
    [
      'elements',
      /most 65536 elements/,
      { ...NONE, sections: table([filled(1000, 0)], 1000) },
      { ...NONE, sections: table([filled(35_000, 0), filled(35_000, 0)], 35_000) },
    ],
    [
      'parameters',
      /most 64 parameters/,
      { functions: [{ name: 'run', params: filled(64, I32), body: [] }] },
      { functions: [{ name: 'run', params: filled(65, I32), body: [] }] },
    ],
    ['bytes of a function', /function has at most 131072 bytes/, run1(filled(100_000, 1)), run1(filled(140_000, 1))],
    [
      'locals',
      /most 4096 locals/,
      { functions: [{ name: 'run', locals: filled(4096, I64), body: [] }] },
      { functions: [{ name: 'run', locals: filled(4097, I64), body: [] }] },
    ],
    [
      'results',
      /most 1 results/,
      { functions: [{ name: 'run', results: [I32], body: [0x41, 0] }] },
      { functions: [{ name: 'run', results: [I32, I32], body: [0x41, 0, 0x41, 0] }] },
    ],
    ['locals and operands in its blocks', /hold too many/, crowded(1900, BLOCK), crowded(2000, BLOCK)],
    ['in blocks that count what is filled', /hold too many/, crowded(1900, FILL), crowded(2000, FILL)],
    ['in blocks that narrow addresses', /hold too many/, crowded(1900, LOAD, true), crowded(2000, LOAD, true)],
    ['in blocks that count what grows', /hold too many/, crowded(600, GROW), crowded(700, GROW)],
    ['globals', /most 1000 globals/, { ...NONE, globals: filled(1000, I32) }, { ...NONE, globals: filled(1001, I32) }],
    [
      'numbers that have to be looked at',
      /too much code/,
      run1([0x44, ...filled(8, 0), ...filled(10_000, 0x9f), 0x1a]),
      run1([0x44, ...filled(8, 0), ...filled(120_000, 0x9f), 0x1a]),
    ],
  ])('A16 has so many %s and no more', (_, reason, good, bad) => {
    expect(WebAssembly.validate(bytes(bad))).toBe(true);
    expect(() => metered(bytes(bad), MAX)).toThrow(reason);
    expect(WebAssembly.validate(metered(bytes(good), { ...MAX, maxMemoryBytes: 200 * 65_536 }))).toBe(true);
  });

  it('A16 counted code is at most twice as much, and a MiB', () => {
    const floats = bytes(run1([0x44, ...filled(8, 0), ...filled(50_000, 0x9f), 0x1a]));
    expect(metered(floats, MAX).length).toBeLessThan(2 * floats.length + 1_048_576);
  });

  it('A16 the same function in the table again and again is one', () => {
    const module = (times: number) => bytes({ ...NONE, sections: table([filled(times, 0)], 65_000) });
    const [few, many] = [metered(module(1), MAX), metered(module(60_000), MAX)];
    expect(many.length - few.length).toBe(module(60_000).length - module(1).length);
  });
});

it('A16 a module that is not valid by itself is refused: it cannot reach the counter, nor what else is added to it', () => {
  // The module has one global and no local; the counter would be global 1, what counting needs local 0.
  refused(run1([0x03, 0x40, 0x41, 0x7f, 0x24, 1, 0x0c, 0, 0x0b]));
  refused(run1([0x20, 0, 0x1a]));
  refused(run1([0x10, 1]));
  refused({
    imports: [{ module: 'env', name: 'f' }],
    functions: [{ name: 'run', body: [] }],
    sections: [{ id: 7, body: [1, 1, 0x66, 0, 0] }],
  });
});

it('A16 a long function without loops is paid for by its length, and so is each pass of a long loop and each local', () => {
  const long = (times: number) => Array.from({ length: times }, () => [0x41, 1, 0x1a]).flat();
  for (const times of [100, 1000, 10_000])
    expect(taken(run(run1(long(times)))).steps).toBeGreaterThanOrEqual((2 * times) / PER_STEP);
  // A loop of three passes; a function that is called three times.
  const three = [0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x23, 0, 0x41, 3, 0x48, 0x0d, 0];
  for (const times of [20, 60, 1000]) {
    expect(taken(run(run1([0x03, 0x40, ...long(times), ...three, 0x0b]))).steps).toBeGreaterThanOrEqual(
      (6 * times) / PER_STEP,
    );
    const calling = {
      functions: [
        { name: 'run', body: [0x10, 1, 0x10, 1, 0x10, 1] },
        { name: 'f', body: long(times) },
      ],
    };
    expect(taken(run(calling)).steps).toBeGreaterThanOrEqual((6 * times) / PER_STEP);
  }
  const locals = Array.from({ length: 4000 }, () => I64);
  expect(taken(run({ functions: [{ name: 'run', locals, body: [] }] })).steps).toBe(4000 / PER_STEP + 1);
});

it('A16 memory the host cannot give, though the code may have it, ends it there: it is never told that there is none', () => {
  for (const wide of [false, true]) {
    const word = wide ? I64 : I32;
    const body = [0x20, 0, 0x40, 0, ...(wide ? [0xa7] : [])];
    const module = assemble({
      wide,
      globals: [I32],
      memory: { initial: 1 },
      functions: [{ name: 'run', params: [word], results: [I32], body }],
    });
    // An engine that has less than was promised: the counted module's own largest size, 9 pages, is made 3.
    const counted = Buffer.from(metered(module, { maxMemoryBytes: 9 * 65_536 }));
    const at = counted.indexOf(Buffer.from([5, 4, 1, 1, 1, 9])); // one memory, with 32-bit addresses, of 1 page to 9
    counted[at + 5] = 3;
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(counted), {});
    const call = exports['run'] as (pages: number | bigint) => number;
    const fuel = exports[FUEL] as WebAssembly.Global;
    const ask = (pages: number) => {
      fuel.value = 100_000;
      return call(wide ? BigInt(pages) : pages);
    };
    expect(ask(2)).toBe(1);
    for (const beyond of [7, 2 ** 31 - 1]) expect(ask(beyond)).toBe(-1); // more than anybody may have
    expect(() => ask(1)).toThrow(WebAssembly.RuntimeError);
    expect(fuel.value).toBe(NO_MEMORY);
  }
});

describe('calls through the host', () => {
  const table = (...functions: number[]) => [
    { id: 4, body: [1, 0x70, 0, functions.length] },
    { id: 9, body: [1, 0, 0x41, 0, 0x0b, functions.length, ...functions] },
  ];
  /** How often `again` is called until it traps, when the host calls it for `run`'s import. */
  const depth = (hostCalls?: (name: string) => string[]) => {
    const module = assemble({
      globals: [I32],
      imports: [{ module: 'env', name: 'invoke_v', params: [I32] }],
      functions: [
        { name: 'run', body: [0x41, 0, 0x10, 0] },
        { name: 'again', body: [...COUNT, 0x41, 0, 0x10, 0] },
        { name: 'other', params: [I32], body: [] },
      ],
      sections: table(3),
    });
    const code = new WebAssembly.Module(
      metered(module, { ...MAX, stackSlots: 50_000, ...(hostCalls ? { hostCalls } : {}) }),
    );
    let exports: Record<string, unknown> = {};
    const env = { invoke_v: () => (exports['again'] as () => void)() };
    exports = new WebAssembly.Instance(code, { env }).exports;
    const [fuel, count] = [FUEL, `${GLOBAL}0`].map((name) => exports[name] as WebAssembly.Global);
    (fuel as WebAssembly.Global).value = 100_000;
    expect(() => (exports['run'] as () => void)()).toThrow(WebAssembly.RuntimeError);
    return (count?.value ?? 0) / 5;
  };

  it('I13 recursion through what the host calls in its turn ends at a depth of its own, with room for the host', () => {
    expect(depth(() => ['again'])).toBe(Math.floor(50_000 / (16 + 2 + 256 + 8)));
    expect(depth()).toBeGreaterThan(400); // seen by nobody: only its work ends it
  });

  it('I13 a function of another type than the import’s is not called', () => {
    const run2 = (function_: number) => {
      const module = assemble({
        globals: [I32],
        imports: [{ module: 'env', name: 'invoke_v', params: [I32] }],
        functions: [
          { name: 'run', body: [0x41, 0, 0x10, 0] },
          { name: 'plain', body: [] },
          { name: 'other', params: [I32], body: [] },
        ],
        sections: table(function_),
      });
      let exports: Record<string, unknown> = {};
      const env = { invoke_v: (index: number) => (exports[`${INVOKE}0`] as (at: number) => void)(index) };
      exports = new WebAssembly.Instance(new WebAssembly.Module(metered(module, MAX)), { env }).exports;
      return exports['run'] as () => void;
    };
    expect(run2(2)).not.toThrow();
    expect(run2(3)).toThrow(WebAssembly.RuntimeError);
  });

  it.each([
    ['f64', F64, 0xfff8_0000_0000_0000n, [0xfff8_0000_0000_1234n, 0x7ff0_0000_0000_1234n, 0x7ff8_0000_0000_0000n]],
    ['f32', F32, 0xffc0_0000n, [0xffc0_1234n, 0x7f80_1234n, 0x7fc0_0000n]],
  ])(
    'A14 a NaN that goes through JavaScript and back is the one NaN there is; all else stays (%s)',
    (_, type, one, nans) => {
      const wide = type === F64;
      const [load, store] = wide
        ? [
            [0x2b, 3, 0],
            [0x39, 3, 0],
          ]
        : [
            [0x2a, 2, 0],
            [0x38, 2, 0],
          ];
      const module = assemble({
        globals: [I32],
        imports: [{ module: 'env', name: 'invoke_dd', params: [I32, type], results: [type] }],
        functions: [
          { name: 'run', body: [0x41, 8, 0x41, 0, 0x41, 0, ...load, 0x10, 0, ...store] },
          { name: 'same', params: [type], results: [type], body: [0x41, 16, 0x20, 0, ...store, 0x20, 0] },
        ],
        sections: table(2),
      });
      let exports: Record<string, unknown> = {};
      const env = {
        invoke_dd: (index: number, value: number) => {
          const got = (exports[`${INVOKE}0`] as (i: number, v: number) => number)(index, value);
          return Number.isNaN(got) ? Number.NaN : got; // an engine may always make it another
        },
      };
      exports = new WebAssembly.Instance(new WebAssembly.Module(metered(module, MAX)), { env }).exports;
      const memory = new DataView((exports['memory'] as WebAssembly.Memory).buffer);
      const through = (bits: bigint) => {
        if (wide) memory.setBigUint64(0, bits, true);
        else memory.setUint32(0, Number(bits), true);
        (exports['run'] as () => void)();
        return [8, 16].map((at) => (wide ? memory.getBigUint64(at, true) : BigInt(memory.getUint32(at, true))));
      };
      for (const nan of nans) expect(through(nan)).toEqual([one, one]);
      for (const bits of wide ? [0x4010_0000_0000_0000n, 1n, 0xfff0_0000_0000_0000n] : [0x4010_0000n, 1n, 0xff80_0000n])
        expect(through(bits)).toEqual([bits, bits]);
    },
  );
});
