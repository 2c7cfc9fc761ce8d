/** Amounts: integers in base units, `bigint` inside, decimal strings at every boundary. No float ever holds money (I6). */
import { BridgeError } from './errors.js';

const AMOUNT = /^(0|[1-9][0-9]{0,38})$/;

/** Largest amount the text form can carry: 39 digits. */
export const MAX_AMOUNT = 10n ** 39n - 1n;

/** Whether `text` is an amount in its one canonical form. */
export function isAmount(text: unknown): text is string {
  return typeof text === 'string' && AMOUNT.test(text);
}

/** Reads an amount. @throws BridgeError `bad-amount` for any other form: sign, leading zero, hex, exponent, spaces, numbers. */
export function parseAmount(text: unknown): bigint {
  if (!isAmount(text)) {
    throw new BridgeError(
      'bad-amount',
      'An amount is a string of 1 to 39 decimal digits in base units, without sign or leading zero.',
    );
  }
  return BigInt(text);
}

/** Writes an amount. @throws BridgeError `bad-amount` when negative or over 39 digits. */
export function formatAmount(amount: bigint): string {
  if (amount < 0n || amount > MAX_AMOUNT) {
    throw new BridgeError('bad-amount', 'An amount lies between 0 and 39 decimal digits.');
  }
  return amount.toString();
}

/** Writes base units as a person reads them, exactly: `1500000` with 6 decimals is `1.5`. */
export function formatUnits(amount: bigint, decimals: number): string {
  const digits = amount.toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return fraction ? `${whole}.${fraction}` : whole;
}

/** Reads what a person wrote (`1.5`) as base units. @throws BridgeError `bad-amount` for anything but plain decimals that fit `decimals`. */
export function parseUnits(text: string, decimals: number): bigint {
  const match = /^(0|[1-9][0-9]{0,38})(?:\.([0-9]+))?$/.exec(text);
  const fraction = match?.[2] ?? '';
  if (!match || fraction.length > decimals) {
    throw new BridgeError('bad-amount', `Write a plain decimal number with at most ${decimals} decimals, such as 1.5.`);
  }
  return parseAmount((match[1] + fraction.padEnd(decimals, '0')).replace(/^0+(?=.)/, ''));
}
