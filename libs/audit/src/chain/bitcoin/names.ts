/** Which withdrawals a transaction of the vault pays, as its last output names them (docs/bitcoin.md, Names). */

const OP_RETURN = 0x6a;
const MAX_BYTES = 75;
/** Numbers of withdrawals fit into 64 bits: ten bytes of seven. */
const MAX_BYTES_OF_ONE = 10;

/** The numbers an output script names, in ascending order; null when it names none. */
export function numbersIn(script: Uint8Array): bigint[] | null {
  const data = script.subarray(2);
  if (script[0] !== OP_RETURN || data.length === 0 || data.length > MAX_BYTES || script[1] !== data.length) return null;
  const numbers: bigint[] = [];
  let [sum, shift, before] = [0n, 0n, 0n];
  for (const byte of data) {
    sum += BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80 && shift < BigInt(7 * MAX_BYTES_OF_ONE)) continue;
    // A last byte of zero would be another way to write the same, or a number twice.
    if (byte === 0 || byte >= 0x80) return null;
    before += sum;
    numbers.push(before);
    [sum, shift] = [0n, 0n];
  }
  return shift === 0n ? numbers : null;
}
