/** A bundle's room is shared fairly: who wants little gets it all, and nobody's load keeps another's out. */

/**
 * What each gets of `room`: all it wants up to a level that is the same for all, the highest that fits. What is left below one whole unit
 * each goes to the first.
 */
export function fairShares(wanted: readonly number[], room: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0));
  const shares = wanted.map(() => 0);
  let left = Math.max(0, room);
  for (const [place, i] of order.entries()) {
    const share = Math.min(wanted[i] ?? 0, Math.floor(left / (order.length - place)));
    shares[i] = share;
    left -= share;
  }
  for (const [i, want] of wanted.entries()) {
    const more = Math.min(left, want - (shares[i] ?? 0));
    shares[i] = (shares[i] ?? 0) + more;
    left -= more;
  }
  return shares;
}

/** How many of `sizes`, from the first on, fit into `room`. */
export function prefixWithin(sizes: readonly number[], room: number): number {
  let sum = 0;
  for (const [i, size] of sizes.entries()) {
    sum += size;
    if (sum > room) return i;
  }
  return sizes.length;
}
