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
