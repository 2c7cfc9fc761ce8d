/** Bytes as hex with 0x, as Ethereum's tools write them. */

/** Bytes of `0x` and pairs of hex digits; null when it is something else. */
export function bytesOfHex(text: string): Buffer | null {
  return /^0x(?:[0-9a-fA-F]{2})*$/.test(text) ? Buffer.from(text.slice(2), 'hex') : null;
}

export function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}
