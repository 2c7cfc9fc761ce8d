/** `npm run bench [-- <area> ...] [--json]`: runs the areas, prints a table or one JSON object a line; exit code 1 when a target is missed. */
import type { Figure } from './figure.js';

const AREAS: { readonly [area: string]: () => Promise<{ run: () => Promise<Figure[]> }> } = {
  ethereum: () => import('./ethereum.js'),
  deposits: () => import('./deposits.js'),
  books: () => import('./books.js'),
  ao: () => import('./ao.js'),
  settlement: () => import('./settlement.js'),
  bitcoin: () => import('./bitcoin.js'),
  solana: () => import('./solana.js'),
};

const args = process.argv.slice(2);
const json = args.includes('--json');
const wanted = args.filter((a) => !a.startsWith('--'));
const unknown = wanted.filter((a) => !Object.hasOwn(AREAS, a));
if (unknown.length > 0) {
  console.error(`Unknown area ${unknown.join(', ')}; there are ${Object.keys(AREAS).join(', ')}.`);
  process.exit(2);
}

let missed = 0;
for (const [area, load] of Object.entries(AREAS)) {
  if (wanted.length > 0 && !wanted.includes(area)) continue;
  const { run } = await load();
  for (const figure of await run()) {
    if (!figure.ok) missed += 1;
    console.log(json ? JSON.stringify(figure) : row(figure));
  }
}
process.exit(missed > 0 ? 1 : 0);

function row(f: Figure): string {
  const value = f.value >= 100 ? Math.round(f.value).toLocaleString('en-US') : f.value.toPrecision(3);
  return [
    f.ok ? 'ok  ' : 'MISS',
    f.name.padEnd(28),
    `${value} ${f.unit}`.padStart(22),
    f.target.padStart(12),
    `${f.ratio.toFixed(2)}x`.padStart(8),
    f.against,
  ].join('  ');
}
