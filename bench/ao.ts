/** The AO pipeline: aos and Lua, over HTTP and beneath it, a thousand processes, a long history. */
import { aosFigures } from './ao/aos.js';
import { aosGrowthFigures, growthFigures } from './ao/growth.js';
import { httpFigures } from './ao/http.js';
import { parallelFigures } from './ao/parallel.js';
import type { Figure } from './figure.js';

export async function run(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const part of [aosFigures, httpFigures, aosGrowthFigures, parallelFigures, growthFigures])
    figures.push(...(await part()));
  return figures;
}
