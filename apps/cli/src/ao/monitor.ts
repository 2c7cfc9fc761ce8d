/** `isthmus ao monitor` and `unmonitor`: the clocks of a process, which its owner starts and stops. */
import { clientOf, print, signerFor, signItem, tagsOf } from './context.js';
import type { Signed } from './options.js';

/** @throws CommandError when the gateway does not take it from this key */
export async function monitor(process: string, running: boolean, options: Signed): Promise<void> {
  const client = clientOf(options);
  const tags = tagsOf({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: running ? 'Monitor' : 'Unmonitor' });
  const item = await signItem({ target: process, tags, data: Buffer.alloc(0) }, signerFor(client, options));
  await client.send(item.raw, `/mu/monitor/${process}`, running ? 'POST' : 'DELETE');
  print(options.json, { process, running }, () =>
    running ? `the clocks of ${process} run, if it has any (Cron-Interval)` : `the clocks of ${process} stand`,
  );
}
