/** Base58 as Solana writes bytes. */
import { AuditError } from '../../domain/error.js';

const LETTERS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** Longer texts are of no instruction that moves money, nor of a memo that counts. */
const MAX_TEXT = 1_700;

export function base58(bytes: Uint8Array): string {
  let number = BigInt(`0x0${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; number > 0n; number /= 58n) text = `${LETTERS[Number(number % 58n)]}${text}`;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + text;
}

/** Nothing for what is too long to matter. @throws AuditError `malformed` */
base58.decode = (text: string): Buffer => {
  if (text.length > MAX_TEXT) return Buffer.alloc(0);
  let number = 0n;
  for (const letter of text) {
    const at = LETTERS.indexOf(letter);
    if (at < 0) throw new AuditError('malformed', 'A source gives other letters than base58 has.');
    number = number * 58n + BigInt(at);
  }
  const zeros = /^1*/.exec(text)?.[0].length ?? 0;
  const hex = number === 0n ? '' : number.toString(16);
  return Buffer.concat([Buffer.alloc(zeros), Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex')]);
};
