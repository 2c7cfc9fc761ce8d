/** Amounts between people's writing ("1.5") and base units ("1500000"), by digits only: no float ever holds money. */

/** Base units of what was written, or null when it is not an amount of that many decimals above 0. */
export function toBaseUnits(written, decimals) {
  const match = /^([0-9]{1,39})(?:\.([0-9]{1,39}))?$/.exec(written.trim());
  if (!match || (match[2] ?? '').length > decimals) return null;
  const units = BigInt(match[1] + (match[2] ?? '').padEnd(decimals, '0'));
  return units > 0n && String(units).length <= 39 ? String(units) : null;
}

/** How base units are written for people. */
export function fromBaseUnits(units, decimals) {
  const digits = units.padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return fraction === '' ? whole : `${whole}.${fraction}`;
}
