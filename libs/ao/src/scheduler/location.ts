/** Where this scheduler is, said as AO's clients look for it: a signed item of its own, found by its owner. The newest one counts. */
import { createItem } from '../items/index.js';
import type { Signer } from '../types.js';
import { tagOf } from '../items/tags.js';
import { indexKey, type ItemIndex } from './item-index.js';
import type { Scheduler } from './scheduler.js';

/** How long clients may remember it: an hour, in milliseconds. */
const TIME_TO_LIVE_MS = 3_600_000;

/** Publishes `url` as the scheduler's, unless that is what was published last. Returns the id of the item that counts. */
export async function publishLocation(
  scheduler: Scheduler,
  index: ItemIndex,
  signer: Signer,
  url: string,
): Promise<string> {
  await index.settle();
  const conditions = [[indexKey('owner', signer.address)], [indexKey('tag:Type', 'Scheduler-Location')]];
  const [last] = await index.search({ conditions, after: undefined, newestFirst: true, limit: 1 });
  const head = last && (await scheduler.heads([last.id])).get(last.id);
  if (head && tagOf(head.item, 'Url') === url) return head.item.id;
  const item = await createItem(
    {
      // An address may be taken up again after another: then it is news again.
      anchor: String(Date.now()).padStart(32, '0'),
      tags: [
        { name: 'Data-Protocol', value: 'ao' },
        { name: 'Variant', value: 'ao.TN.1' },
        { name: 'Type', value: 'Scheduler-Location' },
        { name: 'Url', value: url },
        { name: 'Time-To-Live', value: String(TIME_TO_LIVE_MS) },
      ],
      data: '',
    },
    signer,
  );
  await scheduler.keep(item);
  await index.settle();
  return item.id;
}
