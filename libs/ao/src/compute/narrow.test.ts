/** A module with 64-bit addresses does on the narrow memory what its engine's wide one would have it do, whatever addresses it uses. */
import { createHash } from 'node:crypto';
import v8 from 'node:v8';
import fc from 'fast-check';
import { FUEL, metered } from './metering.js';
import { isAccess, storedBy } from './narrow.js';
import { reasonOf } from './traps.js';
import { ModuleRefused } from './wasm-code.js';
import { assemble, F32, F64, I32, I64, leb, size, type HandModule } from './wasm-module.js';

// Node 20 has 64-bit memories behind this flag.
v8.setFlagsFromString('--experimental-wasm-memory64');
const PAGES = 3;
const options = { maxMemoryBytes: PAGES * 65_536 };

type Outcome = { result: unknown; memory: string } | { trap: string };

/** What `run` gives and leaves in memory, or why it traps. */
function outcome(binary: Uint8Array, args: readonly (bigint | number)[]): Outcome {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(binary)), {});
  const fuel = exports[FUEL] as WebAssembly.Global | undefined;
  if (fuel) fuel.value = 2 ** 31 - 1;
  const memory = exports['memory'] as WebAssembly.Memory;
  try {
    const result = (exports['run'] as (...given: unknown[]) => unknown)(...args);
    return { result, memory: createHash('sha256').update(Buffer.from(memory.buffer)).digest('hex') };
  } catch (error) {
    return { trap: reasonOf(error) };
  }
}

function same(module: HandModule, ...args: (bigint | number)[]): Outcome {
  // A global, since every module that is metered has one.
  const binary = assemble({ wide: true, memory: { initial: 2, maximum: PAGES }, globals: [I32], ...module });
  const [wide, narrow] = [outcome(binary, args), outcome(metered(binary, options), args)];
  expect(narrow).toEqual(wide);
  return narrow;
}

const near = (...values: bigint[]) =>
  fc
    .tuple(fc.constantFrom(...values), fc.integer({ min: -9, max: 9 }))
    .map(([v, by]) => BigInt.asIntN(64, v + BigInt(by)));
const END = 2n * 65_536n;
const address = fc.oneof(
  near(
    0n,
    1024n,
    END,
    END + 65_536n,
    1n << 31n,
    1n << 32n,
    (1n << 32n) + 1024n,
    (1n << 32n) + END,
    5n << 40n,
    1n << 63n,
  ),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
);
const offset = fc.oneof(
  fc.nat(16),
  fc.integer({ min: 65_500, max: 131_080 }),
  fc.integer({ min: 2 ** 32 - 16, max: 2 ** 32 - 1 }),
);
const accesses = Array.from({ length: 0x3f }, (_, op) => op).filter(isAccess);
/** Types of what loads give, in the order of their codes. */
const LOADED = [I32, I64, F32, F64, ...Array.from({ length: 4 }, () => I32), ...Array.from({ length: 6 }, () => I64)];
const given = (type: number, value: bigint) =>
  type === I64 ? value : type === I32 ? Number(BigInt.asIntN(32, value)) : Number(value);

it('A16 every load and store at every kind of address is what it is on a wide memory', () => {
  let [done, trapped] = [0, 0];
  fc.assert(
    fc.property(
      fc.constantFrom(...accesses),
      address,
      offset,
      fc.bigInt({ min: -99n, max: 1n << 62n }),
      (op, at, beyond, value) => {
        const stores = storedBy(op);
        const access = [op, 0, ...size(beyond)];
        const module: HandModule = {
          data: { at: 1024, bytes: Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 0xf1, 0xf2, 0xf3, 0xf4]) },
          functions: [
            stores === null
              ? { name: 'run', params: [I64], results: [LOADED[op - 0x28] as number], body: [0x20, 0, ...access] }
              : { name: 'run', params: [I64, stores], body: [0x20, 0, 0x20, 1, ...access] },
          ],
        };
        const ended = same(module, at, ...(stores === null ? [] : [given(stores, value)]));
        if ('trap' in ended) trapped += 1;
        else done += 1;
      },
    ),
    { numRuns: 1500 },
  );
  expect(Math.min(done, trapped)).toBeGreaterThan(30); // about 110 of one kind: chance never takes so many away
});

it('A16 so are copies and fills, and what memory is asked for', () => {
  const [copy, fill] = [
    [0xfc, 0x0a, 0, 0],
    [0xfc, 0x0b, 0],
  ];
  const data = { at: 1024, bytes: Buffer.from('twelve bytes') };
  const length = fc.oneof(near(0n, 12n, END - 1024n, 1n << 32n, (1n << 32n) + 12n, 1n << 63n), address);
  const all = (body: number[], params: number[]): HandModule => ({ data, functions: [{ name: 'run', params, body }] });
  fc.assert(
    fc.property(address, address, length, (to, from, many) => {
      same(all([0x20, 0, 0x20, 1, 0x20, 2, ...copy], [I64, I64, I64]), to, from, many);
      same(all([0x20, 0, 0x41, 7, 0x20, 1, ...fill], [I64, I64]), to, many);
    }),
    { numRuns: 300 },
  );
  const grow: HandModule = {
    functions: [
      { name: 'run', params: [I64], results: [I64], body: [0x20, 0, 0x40, 0, 0x3f, 0, 0x42, 20, 0x86, 0x7c] },
    ],
  };
  const pages = fc.oneof(near(0n, 1n << 31n, 1n << 32n, 1n << 48n, 1n << 63n), address);
  fc.assert(
    fc.property(pages, (more) => void same(grow, more)),
    { numRuns: 200 },
  );
  expect(same(grow, 1n)).toMatchObject({ result: 2n + (3n << 20n) });
  expect(same(grow, 2n)).toMatchObject({ result: -1n + (2n << 20n) });
});

it('A16 offsets and places of data in more bytes than they need are read, beyond 32 bits they are refused', () => {
  const load = (bytes: number[]): HandModule => ({
    data: { at: 8, bytes: Buffer.from([9]) },
    functions: [{ name: 'run', results: [I64], body: [0x42, 0, 0x31, 0, ...bytes] }],
  });
  expect(same(load([0x88, 0x80, 0x80, 0x80, 0x80, 0x80, 0]))).toMatchObject({ result: 9n });
  const refused = (module: HandModule) =>
    expect(() => metered(assemble({ wide: true, globals: [I32], ...module }), options)).toThrow(ModuleRefused);
  refused(load([0x88, 0x80, 0x80, 0x80, 0x10]));
  const placed = (...place: number[]): HandModule => ({
    functions: [{ name: 'run', body: [] }],
    sections: [{ id: 11, body: [1, 0, ...place, 0x0b, 1, 9] }],
  });
  for (const place of [
    [0x42, 0x7f],
    [0x42, ...leb(2 ** 31)],
    [0x42, ...leb(2 ** 40)],
    [0x42, 1, 0x42, 2, 0x7c],
  ])
    refused(placed(...place));
  expect(() => metered(assemble({ wide: true, globals: [I32], ...placed(0x42, ...leb(1000)) }), options)).not.toThrow();
});
