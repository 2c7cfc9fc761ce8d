/**
 * Which withdrawals a transaction of the vault pays stands in the transaction: in its last output, which carries nothing else. Whatever is said of
 * the transaction elsewhere, by whomever, its bytes pay these and no others.
 *
 * OP_RETURN and one piece of data: the numbers in ascending order, each as what it is above the one before (the first: above nothing), seven bits a
 * byte, the lowest first, the highest bit where more follow.
 */
import { BitcoinError } from './errors.js';

const OP_RETURN = 0x6a;
/** What one byte of a script pushes. Nodes relay 80 bytes. */
export const MAX_NAMES_BYTES = 75;

/** The output script that names these withdrawals. @throws BitcoinError `bad-batch` when they do not ascend, or are too many for one output */
export function namesScript(numbers: readonly bigint[]): Uint8Array {
  const data = namesOf(numbers);
  if (data.length > MAX_NAMES_BYTES)
    throw new BitcoinError('bad-batch', 'These are more withdrawals than a batch can name.');
  return Uint8Array.of(OP_RETURN, data.length, ...data);
}

/** The withdrawals an output script names; null when it names none, or not as `namesScript` writes it. */
export function namesIn(script: Uint8Array): bigint[] | null {
  const data = script.subarray(2);
  if (script[0] !== OP_RETURN || script[1] !== data.length || data.length === 0 || data.length > MAX_NAMES_BYTES)
    return null;
  const numbers: bigint[] = [];
  let [step, shift] = [0n, 0n];
  for (const byte of data) {
    step |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80) continue;
    if (step === 0n) return null; // the same again
    numbers.push((numbers.at(-1) ?? 0n) + step);
    [step, shift] = [0n, 0n];
  }
  const isWritten = shift === 0n && Buffer.compare(namesScript(numbers), script) === 0;
  return isWritten ? numbers : null;
}

/** How many of the first of these numbers, which ascend, one output can name. */
export function namable(numbers: readonly bigint[]): number {
  let count = numbers.length;
  while (count > 0 && namesOf(numbers.slice(0, count)).length > MAX_NAMES_BYTES) count -= 1;
  return count;
}

function namesOf(numbers: readonly bigint[]): number[] {
  const data: number[] = [];
  let before = 0n;
  for (const number of numbers) {
    if (number <= before) throw new BitcoinError('bad-batch', 'Withdrawals are named in ascending order, from 1 on.');
    for (let rest = number - before; ; rest >>= 7n) {
      const low = Number(rest & 0x7fn);
      if (rest < 0x80n) {
        data.push(low);
        break;
      }
      data.push(low | 0x80);
    }
    before = number;
  }
  return data;
}
