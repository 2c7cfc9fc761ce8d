/** The form of bundles: what is written reads back, and nothing else reads. */
import { hash, randomBytes } from 'node:crypto';
import { createItem, decodeBundle, encodeBundle, verifyItem, type Item, type ScheduleEntry } from '@isthmus/ao';
import { Bundle } from '@dha-team/arbundles';
import fc from 'fast-check';
import {
  sampleBundle,
  sampleOutcome,
  sampleRange,
  sampleResults,
  sampleSchedule,
  sampleSigner,
} from '../../harness.js';
import {
  createCheckpoint,
  createSeal,
  digestOf,
  encodeSettledBundle,
  imageOf,
  nextResults,
  NO_RESULTS,
  openSettledBundle,
  readCheckpoint,
  readSeal,
  readTransactionTags,
  sealAtStart,
  SettlementError,
  transactionTags,
} from './index.js';

const scheduler = sampleSigner('scheduler');
const stranger = sampleSigner('stranger');
let schedules: ScheduleEntry[][];
let other: Item;

beforeAll(async () => {
  schedules = await Promise.all(['a', 'b', 'c'].map((name) => sampleSchedule(name, 12, scheduler)));
  other = await createItem({ tags: [{ name: 'Type', value: 'Module' }], data: 'code' }, stranger);
});

const schedule = (n: number): ScheduleEntry[] => schedules[n] as ScheduleEntry[];
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof SettlementError) return error.code;
    throw error;
  }
  return 'accepted';
};
/** A bundle of slots 3 to 8 of the first schedule and the whole second one, behind one other item. */
const ordinary = () =>
  sampleBundle(
    {
      sequence: 2,
      previous: randomBytes(32).toString('base64url'),
      others: [other],
      parts: [
        { schedule: schedule(0), from: 3, to: 8 },
        { schedule: schedule(1), from: 0, to: 11 },
      ],
    },
    scheduler,
  );
/** The same seal with other items behind it, resealed so that only what is tested is wrong. */
async function resealed(bytes: Buffer, change: (items: Item[]) => Item[], by = scheduler): Promise<Buffer> {
  const [head, ...items] = decodeBundle(bytes);
  const seal = readSeal(head as Item);
  const changed = change(items);
  const made = await createSeal({ ...seal, digest: digestOf(changed) }, by);
  return encodeSettledBundle(made.item, changed);
}

describe('a settled bundle', () => {
  it('reads back as it was sealed, whatever the ranges', async () => {
    const part = fc
      .integer({ min: 0, max: 11 })
      .chain((from) => fc.record({ from: fc.constant(from), to: fc.integer({ min: from, max: 11 }) }));
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(part, part, part),
        fc.subarray([0, 1, 2]),
        fc.boolean(),
        async (chosen, of, withOther) => {
          const parts = of.map((n) => ({ schedule: schedule(n), ...(chosen[n] as { from: number; to: number }) }));
          const others = withOther ? [other] : [];
          const { seal, bytes } = await sampleBundle({ sequence: 1, previous: null, others, parts }, scheduler);
          const opened = openSettledBundle(bytes);
          expect(opened.seal).toEqual(seal);
          expect(opened.others.map((i) => i.id)).toEqual(others.map((i) => i.id));
          expect(opened.ranges.map((r) => r.entries)).toEqual(parts.map((p) => p.schedule.slice(p.from, p.to + 1)));
          expect(await verifyItem(opened.seal.item)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('is an ANS-104 bundle to others too', async () => {
    const { seal, bytes } = await ordinary();
    const theirs = new Bundle(bytes);
    expect(theirs.items.map((i) => i.id)).toEqual(decodeBundle(bytes).map((i) => i.id));
    expect(theirs.get(0).tags).toEqual(seal.item.tags);
    expect(await theirs.verify()).toBe(true);
  });

  it('A13 with any one byte changed is no bundle, or its seal is not signed', async () => {
    const { seal, bytes } = await ordinary();
    const place = fc.integer({ min: 0, max: bytes.length - 1 });
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const altered = Buffer.from(bytes);
        altered[at] = (altered[at] as number) ^ by;
        const opened = await Promise.resolve()
          .then(() => openSettledBundle(altered))
          .catch((error: unknown) => error);
        if (opened instanceof SettlementError) return;
        // Only the seal itself can have changed, since it binds all behind it: and its signature says so.
        const { item } = (opened as ReturnType<typeof openSettledBundle>).seal;
        expect(item.raw.equals(seal.item.raw)).toBe(false);
        expect(await verifyItem(item)).toBe(false);
      }),
      { numRuns: 150 },
    );
  });

  it('A12 refuses items that are left out, doubled or in another order', async () => {
    const { bytes } = await ordinary();
    const [head, ...items] = decodeBundle(bytes) as [Item, ...Item[]];
    const [first, second] = [items[1] as Item, items[3] as Item];
    expect(codeOf(() => openSettledBundle(encodeBundle([head, ...items.slice(1)])))).toBe('wrong-count');
    expect(codeOf(() => openSettledBundle(encodeBundle([head, ...items, other])))).toBe('wrong-count');
    expect(codeOf(() => openSettledBundle(encodeBundle([head, ...items.with(1, second).with(3, first)])))).toBe(
      'wrong-digest',
    );
    expect(codeOf(() => openSettledBundle(encodeBundle([head, ...items.with(3, first)])))).toBe('wrong-digest');
    expect(codeOf(() => openSettledBundle(encodeBundle(items)))).toBe('no-seal');
    expect(codeOf(() => openSettledBundle(encodeBundle([])))).toBe('no-seal');
    expect(codeOf(() => openSettledBundle(bytes.subarray(0, -1)))).toBe('not-a-bundle');
    expect(codeOf(() => openSettledBundle(bytes))).toBe('accepted');
  });

  it('A12 names what does not fit even when it is sealed', async () => {
    const { bytes } = await ordinary();
    const forged = await Promise.all([
      // slots 3 and 4 in each other's place
      resealed(bytes, (i) => [i[0], i[3], i[4], i[1], i[2], ...i.slice(5)] as Item[]),
      // another message beside the assignment
      resealed(bytes, (i) => i.with(2, other)),
      // somebody else's bundle of this scheduler's assignments
      resealed(bytes, (i) => i, stranger),
      // nothing changed
      resealed(bytes, (i) => i),
    ]);
    expect(forged.slice(0, 3).map((b) => codeOf(() => openSettledBundle(b)))).toEqual([
      'wrong-assignment',
      'wrong-message',
      'wrong-assignment',
    ]);
    expect(codeOf(() => openSettledBundle(forged[3] as Buffer))).toBe('accepted');
  });

  it('A12 refuses a range whose hash chain breaks, begins wrongly, or does not end as sealed', async () => {
    const elsewhere = await sampleSchedule('a', 12, sampleSigner('scheduler'));
    const twice = await sampleSchedule('b', 12, scheduler);
    const broken = elsewhere.map((e) => ({ ...e }));
    const slot = broken[5] as ScheduleEntry;
    const tags = slot.assignment.tags.map((t) =>
      t.name === 'Hash-Chain' ? { ...t, value: schedule(1)[5]?.assignment.id ?? '' } : t,
    );
    slot.assignment = await createItem({ tags, data: '' }, scheduler);
    const seal = (entries: readonly ScheduleEntry[], range: ReturnType<typeof sampleRange>) => {
      const items = entries.slice(range.from, range.to + 1).flatMap((e) => [e.assignment, e.message]);
      return createSeal(
        { sequence: 1, previous: null, digest: digestOf(items), others: 0, ranges: [range] },
        scheduler,
      ).then((s) => encodeSettledBundle(s.item, items));
    };
    const inside = await seal(broken, sampleRange(broken, 3, 8));
    const end = await seal(twice, { ...sampleRange(twice, 0, 4), hashChain: sampleRange(twice, 0, 5).hashChain });
    expect(codeOf(() => openSettledBundle(inside))).toBe('wrong-hash-chain');
    expect(codeOf(() => openSettledBundle(end))).toBe('wrong-assignment');
    const first = broken[0] as ScheduleEntry;
    const begun = first.assignment.tags.map((t) =>
      t.name === 'Hash-Chain' ? { ...t, value: first.assignment.id } : t,
    );
    first.assignment = await createItem({ tags: begun, data: '' }, scheduler);
    const begin = await seal(broken, sampleRange(broken, 0, 0));
    expect(codeOf(() => openSettledBundle(begin))).toBe('wrong-hash-chain');
  });
});

describe('a seal', () => {
  const content = () => ({
    sequence: 7,
    previous: other.id,
    digest: other.id,
    others: 1,
    ranges: [sampleRange(schedule(0), 3, 8)],
  });

  it('has one written form', async () => {
    const { item } = await createSeal(content(), scheduler);
    expect(readSeal(item)).toEqual({ ...content(), item });
    const read = (change: Partial<Parameters<typeof createItem>[0]>) =>
      createItem({ tags: item.tags, data: item.data, ...change }, scheduler).then((i) => codeOf(() => readSeal(i)));
    expect(await read({})).toBe('accepted');
    expect(await read({ data: ` ${item.data.toString()}` })).toBe('bad-seal');
    expect(await read({ data: item.data.toString().replace('"others":1', '"others":1.0') })).toBe('bad-seal');
    expect(await read({ data: item.data.toString().replace('"others":1', '"others":1,"more":1') })).toBe('bad-seal');
    expect(await read({ data: 'no JSON' })).toBe('bad-seal');
    expect(await read({ tags: [...item.tags, { name: 'More', value: '1' }] })).toBe('bad-seal');
    expect(await read({ tags: item.tags.toReversed() })).toBe('bad-seal');
    expect(await read({ tags: item.tags.map((t) => (t.name === 'Sequence' ? { ...t, value: '07' } : t)) })).toBe(
      'bad-seal',
    );
    expect(await read({ tags: item.tags.filter((t) => t.name !== 'Previous') })).toBe('bad-seal');
    expect(await read({ tags: item.tags.filter((t) => t.name !== 'App-Name') })).toBe('no-seal');
    expect(await read({ anchor: 'a'.repeat(32) })).toBe('bad-seal');
  });

  it('is not made of what none can say', async () => {
    const range = sampleRange(schedule(0), 3, 8);
    const wrong = [
      { sequence: 0 },
      { sequence: 1 },
      { previous: null },
      { previous: 'short' },
      { ranges: [{ ...range, from: 9 }] },
      { ranges: [range, range] },
    ];
    for (const part of wrong)
      await expect(createSeal({ ...content(), ...part }, scheduler)).rejects.toMatchObject({ code: 'bad-seal' });
  });
});

describe('the results chain', () => {
  it('is what the protocol says, and no result can be another', () => {
    const sha = (bytes: Buffer | string): Buffer => hash('sha256', bytes, 'buffer');
    const texts = schedule(0).map(sampleOutcome);
    const chain = texts.reduce<Buffer>((sum, text) => sha(Buffer.concat([sum, sha(text)])), Buffer.alloc(32));
    expect(sampleResults(schedule(0), 11)).toBe(chain.toString('base64url'));
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        (a, b) => nextResults(NO_RESULTS, a).equals(nextResults(NO_RESULTS, b)) === (a === b),
      ),
    );
  });
});

describe('a checkpoint', () => {
  const label = () => ({ process: other.id, module: other.id, nonce: 41, hashChain: other.id, results: other.id });
  const image = {
    size: 4 * 65_536,
    pages: new Map([
      [2, randomBytes(65_536)],
      [0, Buffer.alloc(65_536, 7)],
    ]),
  };

  it('reads back, and is refused when its memory is another, or longer, or cut short', async () => {
    const item = await createCheckpoint(label(), image, scheduler);
    const read = readCheckpoint(item);
    if (!read) throw new Error('no checkpoint');
    expect(read).toMatchObject({ ...label(), size: image.size });
    const again = await imageOf(read);
    expect(again.size).toBe(image.size);
    expect([...again.pages.keys()]).toEqual([0, 2]);
    expect(again.pages.get(2)).toEqual(image.pages.get(2));
    for (const wrong of [
      { size: 65_536 },
      { size: 8 * 65_536 },
      { sha256: '00' },
      { item: { ...item, data: item.data.subarray(0, 50) } },
    ])
      await expect(imageOf({ ...read, ...wrong })).rejects.toMatchObject({ code: 'bad-checkpoint' });
  });

  it('is told from other items, and refused with tags that none has', async () => {
    expect(readCheckpoint(other)).toBeNull();
    const item = await createCheckpoint(label(), image, scheduler);
    const wrong: [string, string][] = [
      ['Nonce', '041'],
      ['Nonce', '-1'],
      ['Size', String(2 ** 40)],
      ['Content-Encoding', 'gzip'],
    ];
    for (const [name, value] of wrong) {
      const tags = item.tags.map((t) => (t.name === name ? { name, value } : t));
      expect(codeOf(() => readCheckpoint({ ...item, tags }))).toBe('bad-checkpoint');
    }
  });
});

describe('the tags of a transaction', () => {
  const label = { scheduler: 's', sequence: 3, seal: 'x'.repeat(43) };

  it('say what it carries', () => {
    expect(readTransactionTags(transactionTags(label))).toEqual(label);
    for (const { name } of transactionTags(label))
      expect(readTransactionTags(transactionTags(label).filter((t) => t.name !== name))).toBeNull();
    for (const value of ['0', '-1', '03', '1.5', 'x'])
      expect(
        readTransactionTags(transactionTags(label).map((t) => (t.name === 'Isthmus-Sequence' ? { ...t, value } : t))),
      ).toBeNull();
  });
});

describe('the start of a bundle', () => {
  it('shows its seal as soon as all of it is there, and not before', async () => {
    const { bytes, seal } = await ordinary();
    const end = 32 + 64 * decodeBundle(bytes).length + seal.item.raw.length;
    for (const length of [end, bytes.length]) expect(sealAtStart(bytes.subarray(0, length))).toEqual(seal);
    for (const length of [0, 95, 96, end - 1]) expect(sealAtStart(bytes.subarray(0, length))).toBeNull();
  });

  it('shows none where another item is first, or none at all', async () => {
    const { bytes } = await ordinary();
    const [, ...behind] = decodeBundle(bytes);
    expect(sealAtStart(encodeBundle(behind))).toBeNull();
    expect(sealAtStart(encodeBundle([]))).toBeNull();
    expect(sealAtStart(Buffer.alloc(4096))).toBeNull();
    expect(sealAtStart(Buffer.alloc(4096, 0xff))).toBeNull();
  });
});
