/** What compiled code does is bounded in the code itself, whatever its makers meant. */
import v8 from 'node:v8';
import fc from 'fast-check';
import { FUEL, GLOBAL, metered, ModuleRefused, STACK } from './metering.js';
import { assemble, I32, I64, leb, size, type HandModule } from './wasm-module.js';

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

  it('A16 whatever way code takes, each step is at most 256 instructions', () => {
    fc.assert(
      fc.property(code, fc.array(fc.nat({ max: 2 ** 21 }), { minLength: 1, maxLength: 6 }), (body, inputs) => {
        const program = run({ functions: [{ name: 'run', params: [I32], locals: [I32], body }] });
        for (const input of inputs) {
          const counter = program.exports[`${GLOBAL}0`] as { value: number };
          counter.value = 0;
          const { steps } = taken(program, input);
          expect(counter.value).toBeLessThanOrEqual(256 * steps);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('A16 what is copied and filled, grown and asked of the host costs by its size', () => {
    const fill = (bytes: number) => run1([0x41, 0, 0x41, 1, 0x41, ...leb(bytes), 0xfc, 0x0b, 0]);
    expect(taken(run(fill(65_536))).steps - taken(run(fill(0))).steps).toBe(1024);
    const plain = taken(run(run1([]))).steps;
    expect(taken(run(run1([0x41, 0, 0x40, 0, 0x1a]))).steps - plain).toBe(64);
    const asking = { imports: [{ module: 'env', name: 'f' }], functions: [{ name: 'run', body: [0x10, 0] }] };
    expect(taken(run(asking)).steps - plain).toBe(64);
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
        expect(error instanceof ModuleRefused || error instanceof WebAssembly.CompileError || error).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
