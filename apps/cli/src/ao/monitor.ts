/** `isthmus ao monitor` and `unmonitor`: the clocks of a process, which its owner starts and stops. */
import { tagList, type Tag } from '@isthmus/ao';
import { clientOf, print, signerFor, signItem } from './context.js';
import type { Signed } from './options.js';
import { plural } from './text.js';

/** @throws CommandError when the gateway does not take it from this key */
export async function monitor(process: string, running: boolean, options: Signed): Promise<void> {
  const client = clientOf(options);
  const tags = tagList({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: running ? 'Monitor' : 'Unmonitor' });
  const item = await signItem({ target: process, tags, data: Buffer.alloc(0) }, signerFor(client, options));
  await client.send(item.raw, `/mu/monitor/${process}`, running ? 'POST' : 'DELETE');
  const spawn = await client.get<{ tags: Tag[] }>(`/v1/ao/processes/${process}`);
  const clocks = spawn.tags.filter((t) => t.name === 'Cron-Interval').length;
  print(options.json, { process, running, clocks }, () => {
    if (clocks === 0) return `${process} has no clocks: they are tags of its spawn (--tag Cron-Interval=10-seconds).`;
    return `${plural(clocks, 'clock')} of ${process}: ${running ? 'running' : 'stopped'}`;
  });
}
