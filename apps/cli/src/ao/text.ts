/** What processes say, for a terminal: nothing in it may steer the terminal, and tables have columns. */

/** Control characters (all but newline and tab) with the sequences they begin, and those that turn the direction of writing. */
const STEERING = /(?![\n\t])\p{Cc}(\[[0-9;?]*[ -/]*[@-~])?|[\u202a-\u202e\u2066-\u2069]/gu;

export const plain = (text: string): string => text.replace(STEERING, '');

/** One line of it, shortened. */
export function brief(text: string, length = 100): string {
  const line = plain(text).replace(/\s+/g, ' ').trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** An id or address by its ends. */
export const short = (id: string): string => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id);

export const clock = (iso: string): string => iso.slice(11, 23);

export function bytes(count: number): string {
  const mebi = count / (1024 * 1024);
  return mebi >= 0.1 ? `${mebi.toFixed(1)} MiB` : `${Math.ceil(count / 1024)} KiB`;
}

export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** Rows under their heads; numbers are set to the right. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => (row[i] ?? '').length)));
  const isNumber = heads.map((_, i) => rows.length > 0 && rows.every((row) => /^[\d.,-]+( \w+)?$/.test(row[i] ?? '')));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [heads, ...rows].map(line).join('\n');
}
