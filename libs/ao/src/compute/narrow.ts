/**
 * A module with 64-bit addresses on a memory with 32-bit ones, which is all that any memory here needs: engines check each 64-bit address in code, and
 * 32-bit ones by pages that nobody may touch, at no cost. What the code computes stays as it is; an address goes down to 32 bits where memory is
 * touched, and one that does not fit is out of bounds, as it would be.
 */
import { constant, END, F32, F64, I32, I64, indexed, list, ModuleRefused, Reader, unsigned } from './wasm-code.js';

const [LOCAL_GET, LOCAL_SET, LOCAL_TEE, WRAP] = [0x20, 0x21, 0x22, 0xa7];
/** Of the i64 on top of the stack: whether it has more than 32 bits. */
const BEYOND = Buffer.from([0x42, 32, 0x88, WRAP]); // i64.const 32, i64.shr_u, i32.wrap_i64
/**
 * Traps out of bounds, when the i32 on top of the stack is not 0: a byte is read where no memory reaches. That nothing comes after it is said, or the
 * engine would have two ways meet behind each access.
 */
const TRAP_OUT_OF_BOUNDS = Buffer.from([0x04, 0x40, 0x41, 0x7f, 0x2d, 0, 0, 0x1a, 0x00, END]);

/** Loads and stores. */
export const isAccess = (op: number): boolean => op >= 0x28 && op <= 0x3e;

/** Type of what a store takes; null for a load. */
export const storedBy = (op: number): number | null => (op < 0x36 ? null : (STORED.get(op) ?? I64));

const STORED: ReadonlyMap<number, number> = new Map([
  [0x36, I32],
  [0x38, F32],
  [0x39, F64],
  [0x3a, I32],
  [0x3b, I32],
]);

/** The address on top of the stack, with 32 bits. @param at a local for it, of 64 bits */
export function narrowedAddress(at: number): Uint8Array {
  return Buffer.concat([
    indexed(LOCAL_TEE, at),
    BEYOND,
    TRAP_OUT_OF_BOUNDS,
    indexed(LOCAL_GET, at),
    Buffer.from([WRAP]),
  ]);
}

/** Of pages asked for, as many or, beyond 32 bits, more than any memory may have. @param wanted the local that holds them, which are on the stack too */
export function narrowedGrowth(wanted: number): Uint8Array {
  // wrap(wanted), -1, wanted has no more than 32 bits: select
  return Buffer.concat([
    Buffer.from([WRAP, 0x41, 0x7f]),
    indexed(LOCAL_GET, wanted),
    BEYOND,
    Buffer.from([0x45, 0x1b]),
  ]);
}

/**
 * What memory.copy and memory.fill take: where to, from where (or with what), how much. @param at @param from locals for the first two
 * @param length the local that holds the third
 */
export function narrowedRange(at: number, from: { index: number; type: number }, length: number): Uint8Array {
  const isCopy = from.type === I64;
  const get = (local: number) => indexed(LOCAL_GET, local);
  const both = (local: number) => [get(local), Buffer.from([0x84])]; // i64.or
  return Buffer.concat([
    Buffer.from([0x1a]), // the length
    indexed(LOCAL_SET, from.index),
    indexed(LOCAL_TEE, at),
    ...both(length),
    ...(isCopy ? both(from.index) : []),
    BEYOND,
    TRAP_OUT_OF_BOUNDS,
    get(at),
    Buffer.from([WRAP]),
    get(from.index),
    Buffer.from(isCopy ? [WRAP] : []),
    get(length),
    Buffer.from([WRAP]),
  ]);
}

/** Where data goes in the memory, with 32 bits. */
export function narrowData(reader: Reader): Uint8Array {
  const segments = list(reader, (r) => {
    const kind = r.byte();
    if (kind > 1) throw new ModuleRefused('Only data of the first memory is known.');
    const place = kind === 0 ? place64(r) : [];
    const start = r.at;
    r.take(r.number());
    return Buffer.concat([Buffer.from([kind]), ...place, r.between(start)]);
  });
  return Buffer.concat([unsigned(segments.length), ...segments]);
}

/** i64.const, which no address here has more than five bytes of. */
function place64(r: Reader): Uint8Array[] {
  const isConstant = r.byte() === 0x42;
  const start = r.at;
  const at = isConstant ? r.number() : Infinity;
  const isNegative = ((r.bytes[r.at - 1] ?? 0) & 0x40) !== 0;
  if (!isConstant || isNegative || at >= 2 ** 31 || r.at - start > 5 || r.byte() !== END)
    throw new ModuleRefused('Data has its place in memory by a constant, within what a memory may have.');
  return [constant(at), Buffer.from([END])];
}
