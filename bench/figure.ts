/** One line of `npm run bench`: a figure, what it is held against, and whether it meets its target. */
export interface Figure {
  area: string;
  name: string;
  value: number;
  unit: string;
  /** The named peer or floor, from the same run or the source named in docs/bench.md. */
  against: string;
  /** value / that peer's value */
  ratio: number;
  /** As a person reads it: `<= 78000`, `>= 300`. */
  target: string;
  ok: boolean;
}

/** A figure that must not be above `target`; a value that is a ratio itself names its peer. */
export function atMost(area: string, name: string, value: number, unit: string, target: number, peer?: string): Figure {
  return figure(area, name, value, unit, `<= ${target}`, value <= target, target, peer);
}

/** A figure that must not be below `target`. */
export function atLeast(
  area: string,
  name: string,
  value: number,
  unit: string,
  target: number,
  peer?: string,
): Figure {
  return figure(area, name, value, unit, `>= ${target}`, value >= target, target, peer);
}

function figure(
  area: string,
  name: string,
  value: number,
  unit: string,
  target: string,
  ok: boolean,
  bound: number,
  peer?: string,
): Figure {
  const [against, ratio] = peer === undefined ? ['the target', value / bound] : [peer, value];
  return { area, name, value, unit, against, ratio, target, ok };
}

/** The middle of some measurements. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which this share of the measurements lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
