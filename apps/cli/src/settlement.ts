/** `isthmus settlement`: how a gateway's settlement does, and posting a bundle again that Arweave has lost, which the gateway lets its operator do. */
import { clientOf, print } from './ao/context.js';
import type { Common } from './ao/options.js';
import { plural } from './ao/text.js';
import { operatorKey } from './operator-key.js';
import { CommandError } from './said.js';

export interface RepostOptions extends Common {
  operatorKey?: string;
  force?: boolean;
}

interface Settlement {
  scheduler: string;
  arweaveUrl: string;
  settles: boolean;
  sealsFrom: string | null;
  waiting: { slots: number; items: number; since: string | null };
  newest: number;
  bundles: { state: string; bundles: number; bytes: number }[];
}

interface Bundle {
  sequence: number;
  state: string;
  transaction: string | null;
  lost: string | null;
  slots: number;
  items: number;
  bytes: number;
  error: string | null;
}

/** Bundles shown, the newest. */
const SHOWN = 10;

/** @throws CommandError when the gateway settles nothing, or does not answer */
export async function settlement(options: Common): Promise<void> {
  const client = clientOf(options);
  const all = await client.get<Settlement>('/v1/settlement');
  const { found } = await client.list<Bundle>('/v1/settlement/bundles', 'bundles', SHOWN);
  print(options.json, { ...all, newestBundles: found }, () => {
    const { waiting, sealsFrom } = all;
    const since = waiting.since === null ? '' : `, since ${waiting.since}`;
    return [
      `scheduler ${all.scheduler}, settled to ${all.arweaveUrl}`,
      `in bundles: ${all.bundles.map((b) => `${b.bundles} ${b.state}`).join(', ') || 'nothing yet'}; waiting: ${plural(waiting.slots, 'slot')}, ${plural(waiting.items, 'item')}${since}`,
      ...(sealsFrom === null ? [] : [`nothing is sealed before ${sealsFrom}: Arweave’s index may lag behind`]),
      ...found.map(bundleLine),
    ].join('\n');
  });
}

/** @throws CommandError when the gateway does not know the operator, or the bundle, or it was not seen lost, or is not final, and so on its way anyway */
export async function repost(sequence: string, options: RepostOptions): Promise<void> {
  if (!/^[1-9][0-9]{0,14}$/.test(sequence))
    throw new CommandError('A bundle has a number: "isthmus settlement" shows the newest.');
  const client = clientOf(options);
  const headers = { authorization: `Bearer ${operatorKey(client.url, options.operatorKey)}` };
  const bundle = await client.post<Bundle>(
    `/v1/settlement/bundles/${sequence}/repost`,
    { force: options.force === true },
    headers,
  );
  print(options.json, bundle, () => `bundle ${sequence} is posted again: "isthmus settlement" shows how far it is`);
}

function bundleLine({ sequence, state, transaction, lost, slots, items, bytes, error }: Bundle): string {
  const wrong = lost === null ? (error ?? '') : lost === 'gone' ? 'GONE from Arweave' : 'OTHER BYTES on Arweave';
  const what = `${plural(slots, 'slot')}, ${plural(items - 2 * slots, 'item')} more, ${bytes} bytes`;
  return `${String(sequence).padStart(8)}  ${state.padEnd(9)}  ${transaction ?? '-'.padEnd(43)}  ${what}  ${wrong}`.trimEnd();
}
