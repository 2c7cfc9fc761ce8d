/** `isthmus ao modules`: what processes can be spawned from here. */
import { clientOf, print } from './context.js';
import type { Common } from './options.js';
import { brief, bytes, table } from './text.js';

/** Most modules asked for: a gateway that has more is asked for them by /v1/ao/modules. */
const MAX_LISTED = 1000;

interface Module {
  id: string;
  vm: string;
  name: string | null;
  publisher: string;
  bytes: number;
}

/** @throws CommandError */
export async function modules(options: Common): Promise<void> {
  const { found, more } = await clientOf(options).list<Module>('/v1/ao/modules', 'modules', MAX_LISTED);
  print(options.json, found, () => {
    if (found.length === 0) return 'no modules yet: "isthmus ao spawn" publishes one';
    const rows = found.map((m) => [m.id, brief(m.name ?? '-', 24), brief(m.vm, 32), bytes(m.bytes)]);
    return table(['MODULE', 'NAME', 'VM', 'SIZE'], rows) + (more ? '\n… and more: /v1/ao/modules has all' : '');
  });
}
