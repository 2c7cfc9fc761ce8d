/** `isthmus ao state`: what a process shows of its state, read from where results are stored. */
import type { Common } from './options.js';
import { clientOf, print } from './context.js';
import { plain } from './text.js';

/** @throws CommandError when the process shows nothing there */
export async function state(process: string, path: string, options: Common): Promise<void> {
  const parts = path.split('/').filter((part) => part !== '');
  const where = parts.map((part) => `/${encodeURIComponent(part)}`).join('');
  const shown = await clientOf(options).text(`/${process}~process@1.0/now${where}`);
  print(options.json, asJson(shown), () => plain(shown));
}

/** A single value is answered as text. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
