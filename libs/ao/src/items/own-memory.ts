/**
 * Bytes that are kept for a while. Node cuts small buffers from pieces of eight kilobytes, of which the last one that lives keeps the whole:
 * an item kept among buffers of a moment would keep them all.
 */

/** These parts as one piece, in memory of its own. */
export function joined(parts: readonly Uint8Array[]): Buffer {
  const whole = Buffer.allocUnsafeSlow(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
