/** Bundles read from a gateway that may answer anything: what is right comes in order, what is wrong is named with its place. */
import { once } from 'node:events';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { assign, createItem, decodeBundle, encodeBundle, type Item, type ScheduleEntry } from '@isthmus/ao';
import { sampleBundle, sampleRange, sampleSchedule, sampleSigner } from '../../harness.js';
import { createSeal, digestOf, encodeSettledBundle, openSettledBundle, type SealedRange } from '../format/index.js';
import { SettlementFinding, type Finding } from './finding.js';
import { readBundles } from './reader.js';
import { ArweaveSource, SourceError, type BundleSource, type Candidate } from './source.js';

const scheduler = sampleSigner('scheduler');
const stranger = sampleSigner('stranger');

interface Posted extends Candidate {
  sequence: number;
  bytes: Buffer | null;
}

/** A gateway that shows what it is given, in the order of posting. */
class Shown implements BundleSource {
  asked: string[] = [];
  constructor(readonly posted: Posted[] = []) {}

  post(sequence: number, bytes: Buffer | null, seal: string, tx = `tx-${this.posted.length + 1}`): this {
    this.posted.push({ sequence, bytes, seal, tx, size: bytes?.length ?? 0, isIndexed: true });
    return this;
  }

  private some(wanted: (p: Posted) => boolean): Promise<Map<number, Candidate[]>> {
    const some = new Map<number, Candidate[]>();
    for (const p of this.posted.filter(wanted)) some.set(p.sequence, [...(some.get(p.sequence) ?? []), p]);
    return Promise.resolve(some);
  }

  candidates(_scheduler: string, from: number, to: number) {
    return this.some((p) => p.sequence >= from && p.sequence <= to);
  }

  later(_scheduler: string, than: number) {
    return this.some((p) => p.sequence > than);
  }

  bytes({ tx }: Candidate): Promise<Buffer | null> {
    this.asked.push(tx);
    return Promise.resolve(this.posted.find((p) => p.tx === tx)?.bytes ?? null);
  }

  async start(candidate: Candidate): Promise<Buffer | null> {
    return this.posted.find((p) => p.tx === candidate.tx)?.bytes ?? null;
  }
}

let a: ScheduleEntry[];
let b: ScheduleEntry[];
/** Three bundles: 0-3 of a; 4-6 of a with 0-2 of b; 7-9 of a with 3-9 of b. */
let bundles: { bytes: Buffer; seal: string }[];

beforeAll(async () => {
  [a, b] = (await Promise.all(['a', 'b'].map((name) => sampleSchedule(name, 10, scheduler)))) as [
    ScheduleEntry[],
    ScheduleEntry[],
  ];
  bundles = await settled([
    [{ schedule: a, from: 0, to: 3 }],
    [
      { schedule: a, from: 4, to: 6 },
      { schedule: b, from: 0, to: 2 },
    ],
    [
      { schedule: a, from: 7, to: 9 },
      { schedule: b, from: 3, to: 9 },
    ],
  ]);
});

type Part = { schedule: ScheduleEntry[]; from: number; to: number };

async function settled(parts: readonly Part[][]): Promise<{ bytes: Buffer; seal: string }[]> {
  const made: { bytes: Buffer; seal: string }[] = [];
  for (const [i, part] of parts.entries()) {
    const { bytes, seal } = await sampleBundle(
      { sequence: i + 1, previous: made.at(-1)?.seal ?? null, parts: part },
      scheduler,
    );
    made.push({ bytes, seal: seal.item.id });
  }
  return made;
}

const shown = (from: readonly { bytes: Buffer; seal: string }[] = bundles): Shown => {
  const gateway = new Shown();
  for (const [i, { bytes, seal }] of from.entries()) gateway.post(i + 1, bytes, seal);
  return gateway;
};

async function read(source: BundleSource, upTo?: number): Promise<number[]> {
  const sequences: number[] = [];
  for await (const bundle of readBundles({ source, scheduler: scheduler.address, upTo }))
    sequences.push(bundle.seal.sequence);
  return sequences;
}

/** What reading comes to: the finding, with its place. */
async function found(source: BundleSource): Promise<Partial<Finding>> {
  try {
    return { kind: undefined, message: `nothing: ${(await read(source)).join(' ')}` } as unknown as Finding;
  } catch (error) {
    if (error instanceof SettlementFinding) return error.finding;
    throw error;
  }
}

/** Bundle `n` with other items behind the same seal, headers made anew. */
function altered(n: number, change: (items: Item[]) => Item[]): Shown {
  const { bytes, seal } = bundles[n - 1] as { bytes: Buffer; seal: string };
  const [head, ...items] = decodeBundle(bytes);
  return shown(bundles.with(n - 1, { bytes: encodeBundle([head as Item, ...change(items)]), seal }));
}

/** Bundle 2 sealed anew by the scheduler over other items and ranges; what follows builds on it. */
async function resealed(
  change: (items: Item[]) => Item[],
  ranges: SealedRange[] = [sampleRange(a, 4, 6), sampleRange(b, 0, 2)],
  more: { previous?: string; by?: typeof scheduler; sequence?: number } = {},
): Promise<Shown> {
  const [first, second] = bundles as [{ bytes: Buffer; seal: string }, { bytes: Buffer; seal: string }];
  const items = change(decodeBundle(second.bytes).slice(1));
  const content = { sequence: more.sequence ?? 2, previous: more.previous ?? first.seal, others: 0 };
  const seal = await createSeal({ ...content, digest: digestOf(items), ranges }, more.by ?? scheduler);
  return shown([first, { bytes: encodeSettledBundle(seal.item, items), seal: seal.item.id }]);
}

const swapped = <T>(list: T[], i: number, j: number): T[] => list.with(i, list[j] as T).with(j, list[i] as T);

describe('bundles as they were settled', () => {
  it('come in order of their numbers, each once, whoever posted them, as far as is asked', async () => {
    expect(await read(shown())).toEqual([1, 2, 3]);
    const mixed = shown();
    mixed.posted.reverse();
    expect(await read(mixed)).toEqual([1, 2, 3]);
    expect(await read(shown(), 2)).toEqual([1, 2]);
    expect(await read(new Shown())).toEqual([]);
  });

  it('A13 a bundle posted twice counts once, and is read from where it is whole', async () => {
    const twice = shown();
    const [, second] = bundles as [unknown, { bytes: Buffer; seal: string }];
    twice.post(2, second.bytes, second.seal, 'again');
    expect(await read(twice)).toEqual([1, 2, 3]);
    expect(twice.asked).not.toContain('again');
    // The first of the two has lost its data: the other one will do.
    (twice.posted[1] as Posted).bytes = null;
    expect(await read(twice)).toEqual([1, 2, 3]);
    expect(twice.asked).toContain('again');
  });

  it('A13 what others post under the scheduler’s tags is passed over', async () => {
    const { bytes } = await sampleBundle({ sequence: 1, previous: null, parts: [] }, stranger);
    const crowded = shown();
    const [rubbish] = decodeBundle(bytes) as [Item];
    crowded.posted.unshift(
      { sequence: 2, tx: 'noise', seal: 'x'.repeat(43), size: 5, bytes: Buffer.from('noise'), isIndexed: false },
      { sequence: 2, tx: 'stranger', seal: rubbish.id, size: bytes.length, bytes, isIndexed: false },
    );
    crowded.post(9, bytes, rubbish.id, 'claims to be later');
    expect(await read(crowded)).toEqual([1, 2, 3]);
  });

  it('A13 what others post as the next bundle is no end but the last one’s: nobody makes a replay find what is not', async () => {
    const noise = { sequence: 4, seal: 'x'.repeat(43), size: 5, isIndexed: false };
    for (const bytes of [Buffer.from('noise'), null, bundles[0]?.bytes ?? null]) {
      const claimed = shown();
      claimed.posted.push({ ...noise, tx: 'noise', bytes });
      expect(await read(claimed)).toEqual([1, 2, 3]);
      claimed.posted.push({ ...noise, tx: 'more', seal: 'y'.repeat(43), bytes });
      expect(await read(claimed)).toEqual([1, 2, 3]);
    }
    // With a bundle of the scheduler's behind it something is wrong.
    const hidden = shown();
    hidden.posted[1] = { ...noise, sequence: 2, tx: 'noise', bytes: Buffer.from('noise') };
    expect(await found(hidden)).toMatchObject({ kind: 'other-bytes', bundle: 2, tx: 'noise' });
  });

  it('A13 what a gateway cannot give hides nothing beside it', async () => {
    const away = new SourceError('unreachable', 'It does not answer.');
    const silent = new (class extends Shown {
      override bytes(one: Candidate) {
        return one.tx === 'silent' ? Promise.reject(away) : super.bytes(one);
      }
      override start(one: Candidate) {
        return one.tx === 'silent' ? Promise.reject(away) : super.start(one);
      }
    })(shown().posted);
    silent.posted.unshift({ sequence: 2, tx: 'silent', seal: 'x'.repeat(43), size: 5, bytes: null, isIndexed: false });
    expect(await read(silent)).toEqual([1, 2, 3]);
    // The same seal at both: nothing tells them apart beforehand.
    (silent.posted[0] as Posted).seal = bundles[1]?.seal ?? '';
    expect(await read(silent)).toEqual([1, 2, 3]);
    // Alone it may be anything.
    silent.posted.splice(2);
    await expect(read(silent)).rejects.toThrow(SourceError);
  });

  it('A13 a flood of transactions under the scheduler’s tags hides no bundle that the index has by its seal', async () => {
    const tags = (list: Record<string, string>) => Object.entries(list).map(([name, value]) => ({ name, value }));
    const noise = Array.from({ length: 100 }, (_, i) => ({
      cursor: String(i),
      node: {
        id: String(i).padStart(43, 'n'),
        tags: tags({
          'App-Name': 'Isthmus',
          'Bundle-Format': 'binary',
          'Bundle-Version': '2.0.0',
          'Isthmus-Scheduler': scheduler.address,
          'Isthmus-Sequence': '1',
          'Isthmus-Seal': 'x'.repeat(43),
        }),
      },
    }));
    let isIndexing = true;
    const seals = bundles.map(({ seal }, i) => ({
      cursor: seal,
      node: { id: seal, tags: tags({ Sequence: String(i + 1) }), bundledIn: { id: `t${i}`.padStart(43, 't') } },
    }));
    const server = http.createServer((request, response) => {
      const raw = /^\/raw\/t+([0-9])$/.exec(request.url ?? '');
      if (raw) return response.end(bundles[Number(raw[1])]?.bytes);
      if (request.url !== '/graphql') return response.writeHead(404).end();
      void text(request).then((body) => {
        const { variables } = JSON.parse(body) as { variables: { owners?: string[]; tags: { values: string[] }[] } };
        const isSeals = variables.owners?.[0] === scheduler.address;
        const edges = isSeals ? (isIndexing ? seals : []) : noise;
        const transactions = { pageInfo: { hasNextPage: !isSeals }, edges };
        response.end(JSON.stringify({ data: { transactions } }));
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const source = new ArweaveSource(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
    try {
      expect(await read(source)).toEqual([1, 2, 3]);
      isIndexing = false;
      await expect(read(source)).rejects.toMatchObject({ code: 'crowded' });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe('what is wrong is named, with where it breaks', () => {
  const at = (n: number) => ({ bundle: n, tx: `tx-${n}` });

  it('A13 missing-bundle: one number is not there, though a later one is; its data is gone', async () => {
    const gap = shown();
    gap.posted.splice(1, 1);
    expect(await found(gap)).toMatchObject({ kind: 'missing-bundle', bundle: 2, tx: null });
    const lost = shown();
    (lost.posted[1] as Posted).bytes = null;
    expect(await found(lost)).toMatchObject({ kind: 'missing-bundle', ...at(2) });
  });

  it('other-bytes: a gateway that answers with another item’s bytes', async () => {
    const [first, second, third] = bundles as [{ bytes: Buffer; seal: string }, { bytes: Buffer; seal: string }, never];
    expect(await found(shown([first, { bytes: first.bytes, seal: second.seal }, third]))).toMatchObject({
      kind: 'other-bytes',
      ...at(2),
    });
    expect(await found(shown([first, { bytes: Buffer.from('no bundle'), seal: second.seal }]))).toMatchObject({
      kind: 'other-bytes',
      ...at(2),
    });
    // One message of the bundle is another one that its author has signed as well.
    const message = b[9]?.message as Item;
    expect(await found(altered(2, (items) => items.with(3, message)))).toMatchObject({
      kind: 'other-bytes',
      ...at(2),
      process: a[0]?.process,
      slot: 5,
      item: message.id,
    });
  });

  it('other-bytes: an item whose header names another', async () => {
    const { bytes, seal } = bundles[1] as { bytes: Buffer; seal: string };
    const renamed = Buffer.from(bytes);
    renamed.writeUInt8(renamed.readUInt8(64 + 64 * 4) ^ 1, 64 + 64 * 4);
    expect(await found(shown(bundles.with(1, { bytes: renamed, seal })))).toMatchObject({
      kind: 'other-bytes',
      ...at(2),
      process: a[0]?.process,
      slot: 5,
    });
  });

  it('A12 missing-slot: cut out of a bundle, or never settled', async () => {
    expect(await found(altered(2, (items) => items.toSpliced(2, 2)))).toMatchObject({
      kind: 'missing-slot',
      ...at(2),
      process: a[0]?.process,
      slot: 5,
    });
    const skipping = await resealed((items) => items.slice(2), [sampleRange(a, 5, 6), sampleRange(b, 0, 2)]);
    expect(await found(skipping)).toMatchObject({ kind: 'missing-slot', ...at(2), process: a[0]?.process, slot: 4 });
  });

  it('A12 reordered: slots of a bundle, or bundles', async () => {
    const order = (items: Item[]) => swapped(swapped(items, 0, 2), 1, 3);
    const place = { process: a[0]?.process, slot: 4, ...at(2) };
    expect(await found(altered(2, order))).toMatchObject({ kind: 'reordered', ...place });
    expect(await found(await resealed(order))).toMatchObject({ kind: 'reordered', ...place });
    const [first, second, third] = bundles as [never, never, never];
    expect(await found(shown([first, third, second]))).toMatchObject({ kind: 'reordered', ...at(2) });
  });

  it('A13 forged: seal, message, assignment', async () => {
    const foreign = await resealed((items) => items, undefined, { by: stranger });
    expect(await found(foreign)).toMatchObject({ kind: 'forged', ...at(2) });
    const { bytes, seal } = bundles[1] as { bytes: Buffer; seal: string };
    const items = decodeBundle(bytes);
    const changed = Buffer.from(bytes);
    // The last byte of the seal's data, inside its JSON.
    const end = 32 + 64 * items.length + (items[0] as Item).raw.length;
    changed.writeUInt8(changed.readUInt8(end - 4) ^ 1, end - 4);
    expect(await found(shown(bundles.with(1, { bytes: changed, seal })))).toMatchObject({ kind: 'forged', item: seal });
    const tampered = (n: number) =>
      altered(2, (all) => all.map((item, i) => (i === n ? { ...item, raw: flipped(item.raw) } : item)));
    expect(await found(tampered(3))).toMatchObject({ kind: 'forged', ...at(2), process: a[0]?.process, slot: 5 });
    // The scheduler itself sealed what the author has not signed.
    const message = (a[5] as ScheduleEntry).message.raw;
    const sealedSo = await resealed((all) => all.with(3, { ...(all[3] as Item), raw: flipped(message) }));
    expect(await found(sealedSo)).toMatchObject({ kind: 'forged', ...at(2), process: a[0]?.process, slot: 5 });
  });

  it('A6 doubled: a slot settled again, or twice in one bundle', async () => {
    const entry = a[3] as ScheduleEntry;
    const again = await resealed(
      (items) => [entry.assignment, entry.message, ...items],
      [sampleRange(a, 3, 6), sampleRange(b, 0, 2)],
    );
    expect(await found(again)).toMatchObject({ kind: 'doubled', ...at(2), process: a[0]?.process, slot: 3 });
    const twice = altered(2, (items) => [...items.slice(0, 2), ...items.slice(0, 2), ...items.slice(4)]);
    expect(await found(twice)).toMatchObject({ kind: 'doubled', ...at(2), process: a[0]?.process, slot: 5 });
  });

  it('A12 forked-settlement: two seals of one number, or a seal on another history', async () => {
    const other = (await resealed((items) => items.slice(0, 6), [sampleRange(a, 4, 6)])).posted[1] as Posted;
    const forked = shown();
    forked.post(2, other.bytes, other.seal, 'fork');
    expect(await found(forked)).toMatchObject({ kind: 'forked-settlement', bundle: 2, tx: 'fork', item: other.seal });
    const elsewhere = await resealed((items) => items, undefined, { previous: 'A'.repeat(43) });
    expect(await found(elsewhere)).toMatchObject({ kind: 'forked-settlement', ...at(2) });
  });

  it('A12 broken-chain: a range that does not build on the slot before it', async () => {
    const other = await otherHistory();
    const broken = await resealed(
      (items) => [...other.slice(4, 7).flatMap((e) => [e.assignment, e.message]), ...items.slice(6)],
      [{ ...sampleRange(other, 4, 6) }, sampleRange(b, 0, 2)],
    );
    expect(await found(broken)).toMatchObject({ kind: 'broken-chain', ...at(2), process: a[0]?.process, slot: 4 });
  });
});

/** The same messages with other assignments by the same key. */
async function otherHistory(): Promise<ScheduleEntry[]> {
  const entries: ScheduleEntry[] = [];
  let head: Parameters<typeof assign>[2] = null;
  for (const { process, nonce, message } of a) {
    const made: Awaited<ReturnType<typeof assign>> = await assign(
      process,
      message.id,
      head,
      { timestamp: 1000 + nonce, blockHeight: 0 },
      scheduler,
    );
    head = made.head;
    entries.push({ process, nonce, assignment: made.item, message });
  }
  return entries;
}

function flipped(raw: Buffer): Buffer {
  const other = Buffer.from(raw);
  other.writeUInt8(other.readUInt8(other.length - 1) ^ 1, other.length - 1);
  return other;
}

it('takes what it reads apart once: what a bundle opens to is what was sealed', async () => {
  for await (const bundle of readBundles({ source: shown(), scheduler: scheduler.address })) {
    const { bytes } = bundles[bundle.seal.sequence - 1] as { bytes: Buffer };
    const { seal, others, ranges } = openSettledBundle(bytes);
    expect({ seal: bundle.seal, others: bundle.others, ranges: bundle.ranges }).toEqual({ seal, others, ranges });
  }
});

it('A17 forged: a module whose code was changed after it was signed, as any item of no schedule, though the seal is of it', async () => {
  const module = await createItem({ tags: [{ name: 'Type', value: 'Module' }], data: 'code' }, stranger);
  const sealedAs = { ...module, raw: flipped(module.raw) };
  const seal = await createSeal(
    { sequence: 1, previous: null, others: 1, digest: digestOf([sealedAs]), ranges: [] },
    scheduler,
  );
  const bytes = encodeSettledBundle(seal.item, [sealedAs]);
  expect(await found(shown([{ bytes, seal: seal.item.id }]))).toMatchObject({
    kind: 'forged',
    bundle: 1,
    item: module.id,
  });
});
