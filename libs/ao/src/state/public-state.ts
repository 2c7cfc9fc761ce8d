/**
 * The public state of every process: what its patches said so far, one row for each leaf, written in the transaction that stores the
 * results. Reading one leaf is one look at an index; reading a table is bounded and goes in pages.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DataSource, EntityManager } from 'typeorm';
import type { ResultSink } from '../compute/result-sink.js';
import type { EvaluationResult } from '../types.js';
import { Overlay, type Writes } from './overlay.js';
import { patchesOf, writePath, type Change } from './patch.js';

/** Most leaves of one process: a token with a million holders, twice. */
export const MAX_LEAVES = 2_000_000;
/** Most bytes of one process' paths and values. */
export const MAX_STATE_BYTES = 1024 * 1024 * 1024;
/** Most leaves and bytes of one answer. */
export const MAX_PAGE_LEAVES = 5000;
export const MAX_PAGE_BYTES = 4 * 1024 * 1024;

export interface PublicStateLimits {
  leaves: number;
  bytes: number;
}

/** The last slot whose patches were refused in part or whole, and why. */
export interface Incomplete {
  nonce: number;
  reason: string;
}

/** What is under a path, as of `slot`: the last evaluated slot. Texts are JSON. */
export type StateAnswer = { slot: number; incomplete: Incomplete | null } & (
  | { kind: 'value'; json: string }
  | { kind: 'table'; json: string; next: string | null }
  | { kind: 'too-large' }
  | { kind: 'nothing' }
);

interface Size {
  leaves: number;
  bytes: number;
  refused: Incomplete | null;
}

/** What one slot says, of the slots of a process that say something. */
interface Said {
  nonce: number;
  changes: readonly Change[];
}

interface Pending {
  process: string;
  said: Said[];
  refused: Incomplete | null;
}

/** One path of one process. */
interface Place {
  process: string;
  path: string;
}

/** What the patches of a process come to. */
interface ProcessWrites extends Writes {
  process: string;
}

interface NewLeaf extends Place {
  value: string;
  nonce: number;
}

/** Results of one process in the order of its schedule; of an entry only its slot counts here. */
export interface SaidBatch {
  process: string;
  module?: string;
  results: readonly { entry: { nonce: number }; result: EvaluationResult }[];
}

export class PublicState implements ResultSink {
  constructor(
    private readonly database: DataSource,
    private readonly limits: PublicStateLimits = { leaves: MAX_LEAVES, bytes: MAX_STATE_BYTES },
  ) {}

  async take(manager: EntityManager, batches: readonly SaidBatch[]): Promise<void> {
    const pending = batches.map(read).filter((p) => p !== null);
    if (pending.length === 0) return;
    const writes = pending.map(writesOf);
    const stored = await readStored(manager, pending, writes.flatMap(leavesOf));
    const sizes = new Map(pending.map((p) => [p.process, sizeBefore(stored.sizes.get(p.process), p.refused)]));
    const roomy = new Set(pending.filter((p) => this.hasRoom(p, sizes.get(p.process) as Size)).map((p) => p.process));
    const together = writes.filter((w) => roomy.has(w.process));
    const written = await this.merge(manager, together, sizes, stored.bytes);
    // Near its bounds a process is taken slot by slot, so that what is refused does not depend on which slots came together.
    for (const { process, said, refused } of pending.filter((p) => !roomy.has(p.process)))
      for (const one of said) {
        const slot = writesOf({ process, said: [one], refused });
        const { bytes } = await readStored(manager, [], leavesOf(slot));
        await save(manager, await this.merge(manager, [slot], sizes, bytes), []);
      }
    const changed = [...sizes].filter(([process, size]) => !isDeepStrictEqual(size, stored.sizes.get(process)));
    await save(manager, written, changed);
  }

  /** Whether a process keeps its bounds even if all it says is new. */
  private hasRoom({ said }: Pending, size: Size): boolean {
    let [leaves, bytes] = [size.leaves, size.bytes];
    for (const { changes } of said) {
      leaves += changes.length;
      for (const { path, value } of changes) if (value !== null) bytes += bytesOf({ path: writePath(path), value });
    }
    return leaves <= this.limits.leaves && bytes <= this.limits.bytes;
  }

  /**
   * Takes away what these changes take away, and says which leaves are to be written.
   * @param bytes what is stored at the leaves they set
   */
  private async merge(
    manager: EntityManager,
    writes: readonly ProcessWrites[],
    sizes: Map<string, Size>,
    bytes: ReadonlyMap<string, number>,
  ): Promise<NewLeaf[]> {
    const at = (paths: (w: ProcessWrites) => string[]): Place[] =>
      writes.flatMap((w) => paths(w).map((path) => ({ process: w.process, path })));
    const [removed, cleared, wanted] = [at((w) => w.remove), at((w) => w.clear), writes.flatMap(leavesOf)];
    await removeAt(manager, removed, sizes);
    await removeBelow(manager, cleared, sizes);
    const left = removed.length + cleared.length > 0 ? (await readStored(manager, [], wanted)).bytes : bytes;
    const { written, fresh } = this.admit(wanted, sizes, left);
    // What was there already has nothing above or below it; a new leaf may take the place of a table, or of a value on its way.
    await removeBelow(manager, fresh, sizes);
    await removeAt(manager, fresh.flatMap(above), sizes);
    return written;
  }

  /** The newest slot of a process, and the last one evaluated (-1 before the first); null when there is no such process. */
  async progress(process: string): Promise<{ placed: number; evaluated: number } | null> {
    const rows: { nonce: string; evaluated: string }[] = await this.database.query(
      'select nonce, evaluated from computed_process where id = $1',
      [process],
    );
    return rows[0] ? { placed: Number(rows[0].nonce), evaluated: Number(rows[0].evaluated) } : null;
  }

  /**
   * What a process shows under a path ([]: all of it). A table is given whole, or a page of it when `limit` says how many leaves at most,
   * after the leaf `after` (as `next` named it). Null when there is no such process.
   */
  async read(
    process: string,
    path: readonly string[],
    page: { limit?: number | undefined; after?: string | undefined } = {},
  ): Promise<StateAnswer | null> {
    const written = writePath(path);
    const rows: HeadRow[] = await this.database.query(
      `select p.evaluated, s.value, z.refused_nonce, z.refused from computed_process p
       left join process_state s on s.process = p.id and s.path = $2 left join process_state_size z on z.process = p.id where p.id = $1`,
      [process, written],
    );
    const head = rows[0];
    if (!head) return null;
    const refused =
      head.refused_nonce === null ? null : { nonce: Number(head.refused_nonce), reason: head.refused ?? '' };
    const known = { slot: Number(head.evaluated), incomplete: refused };
    if (head.value !== null) return { ...known, kind: 'value', json: head.value };
    return { ...known, ...((await this.table(process, written, page)) ?? (await this.inList(process, path))) };
  }

  private async table(
    process: string,
    written: string,
    { limit, after }: { limit?: number | undefined; after?: string | undefined },
  ): Promise<Answer | null> {
    const most = Math.min(limit ?? MAX_PAGE_LEAVES, MAX_PAGE_LEAVES);
    const start = written === '' ? '' : `${written}/`;
    const [from, to] = written === '' ? ['', END] : [start, `${written}0`];
    const rows: { path: string; value: string; bytes: string }[] = await this.database.query(
      `select path, value, bytes from (
         select path, value, sum(octet_length(path) + octet_length(value)) over (order by path) as bytes from (
           select path, value from process_state where process = $1 and path >= $2 and path < $3 and path > $4 order by path limit $5
         ) as first
       ) as sized where bytes <= $6 order by path`,
      [process, from, to, after === undefined ? '' : start + after, most + 1, MAX_PAGE_BYTES + MAX_PAGE_BYTES],
    );
    if (rows.length === 0) return null;
    const fitting = rows.slice(0, most).filter((row, i) => i === 0 || Number(row.bytes) <= MAX_PAGE_BYTES);
    const more = fitting.length < rows.length;
    if (more && limit === undefined) return { kind: 'too-large' };
    const leaves = fitting.map(({ path, value }) => ({ path: path.slice(start.length).split('/'), value }));
    const next = more ? (leaves.at(-1)?.path.join('/') ?? null) : null;
    return { kind: 'table', json: nest(leaves), next };
  }

  /** A list is one value; its members are reached by their number, from 1 as AO counts. */
  private async inList(process: string, path: readonly string[]): Promise<Answer> {
    const ways = path.map((_, i) => writePath(path.slice(0, i))).slice(1);
    const rows: { path: string; value: string }[] =
      ways.length === 0
        ? []
        : await this.database.query('select path, value from process_state where process = $1 and path = any($2)', [
            process,
            ways,
          ]);
    const list = rows[0];
    if (!list) return { kind: 'nothing' };
    const rest = path.slice(list.path.split('/').length);
    const found = rest.reduce<unknown>(member, JSON.parse(list.value));
    return found === undefined ? { kind: 'nothing' } : { kind: 'value', json: JSON.stringify(found) };
  }

  /** Values within the process' bounds; those it had are changed all the same. `fresh` are those of them that are new. */
  private admit(
    wanted: readonly NewLeaf[],
    sizes: ReadonlyMap<string, Size>,
    before: ReadonlyMap<string, number>,
  ): { written: NewLeaf[]; fresh: NewLeaf[] } {
    const fresh: NewLeaf[] = [];
    const written: NewLeaf[] = [];
    for (const leaf of wanted) {
      const size = sizes.get(leaf.process) as Size;
      const stored = before.get(keyOf(leaf));
      const grows = bytesOf(leaf) - (stored ?? 0);
      const isNew = stored === undefined;
      if (size.bytes + grows > this.limits.bytes || (isNew && size.leaves >= this.limits.leaves)) {
        size.refused = {
          nonce: leaf.nonce,
          reason: `A process shows at most ${this.limits.leaves} values of ${this.limits.bytes} bytes.`,
        };
        if (isNew || grows > 0) continue;
      }
      size.bytes += grows;
      size.leaves += isNew ? 1 : 0;
      written.push(leaf);
      if (isNew) fresh.push(leaf);
    }
    return { written, fresh };
  }
}

type Answer =
  | { kind: 'value'; json: string }
  | { kind: 'table'; json: string; next: string | null }
  | { kind: 'too-large' }
  | { kind: 'nothing' };

/** The size of a process (path null), or what is stored at a path of it. */
interface StoredRow {
  process: string;
  path: string | null;
  bytes: string;
  leaves: string | null;
  refused_nonce: string | null;
  refused: string | null;
}

interface HeadRow {
  evaluated: string;
  value: string | null;
  refused_nonce: string | null;
  refused: string | null;
}

/** After every written path: those hold ASCII only. */
const END = '\x7f';

function read({ process, results }: SaidBatch): Pending | null {
  const pending: Pending = { process, said: [], refused: null };
  for (const { entry, result } of results) {
    const patched = patchesOf(result);
    if (!patched) continue;
    const { nonce } = entry;
    pending.said.push({ nonce, changes: patched.changes });
    if (patched.refused !== null) pending.refused = { nonce, reason: patched.refused };
  }
  return pending.said.length > 0 ? pending : null;
}

function writesOf({ process, said }: Pending): ProcessWrites {
  const overlay = new Overlay();
  for (const { nonce, changes } of said) for (const change of changes) overlay.apply(change, nonce);
  return { process, ...overlay.writes() };
}

/** What is set, each with whose it is. */
const leavesOf = ({ process, set }: ProcessWrites): NewLeaf[] => set.map((leaf) => ({ process, ...leaf }));

function member(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return /^[1-9][0-9]{0,8}$/.test(key) ? (value[Number(key) - 1] as unknown) : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

/** Sorted leaves as one JSON text: written, never made into objects, so that no key means anything. */
function nest(leaves: readonly { path: readonly string[]; value: string }[]): string {
  let text = '';
  let open: readonly string[] = [];
  for (const { path, value } of leaves) {
    const tables = path.slice(0, -1);
    let shared = 0;
    while (shared < open.length && open[shared] === tables[shared]) shared += 1;
    text += '}'.repeat(open.length - shared);
    if (text !== '') text += ',';
    text += tables
      .slice(shared)
      .map((key) => `${jsonKey(key)}:{`)
      .join('');
    text += `${jsonKey(path.at(-1) as string)}:${value}`;
    open = tables;
  }
  return `{${text}${'}'.repeat(open.length)}}`;
}

const jsonKey = (written: string): string => JSON.stringify(decodeURIComponent(written));

const keyOf = ({ process, path }: Place): string => `${process} ${path}`;

const bytesOf = ({ path, value }: { path: string; value: string }): number => path.length + Buffer.byteLength(value);

function above({ process, path }: Place): Place[] {
  const keys = path.split('/');
  return keys.slice(1).map((_, i) => ({ process, path: keys.slice(0, i + 1).join('/') }));
}

/** Sizes of processes that have shown something before, and the bytes of those of these leaves that are stored, in one look. */
async function readStored(
  manager: EntityManager,
  pending: readonly Pending[],
  leaves: readonly NewLeaf[],
): Promise<{ sizes: Map<string, Size>; bytes: Map<string, number> }> {
  const rows: StoredRow[] = await manager.query(
    `select process, null as path, bytes, leaves, refused_nonce, refused from process_state_size where process = any($1)
     union all select s.process, s.path, octet_length(s.path) + octet_length(s.value), null, null, null
     from unnest($2::text[], $3::text[]) as w(process, path) join process_state s on s.process = w.process and s.path = w.path`,
    [pending.map((p) => p.process), leaves.map((l) => l.process), leaves.map((l) => l.path)],
  );
  const stored = { sizes: new Map<string, Size>(), bytes: new Map<string, number>() };
  for (const { process, path, bytes, leaves: count, refused_nonce: nonce, refused } of rows) {
    if (path !== null) stored.bytes.set(keyOf({ process, path }), Number(bytes));
    else {
      const incomplete = nonce === null ? null : { nonce: Number(nonce), reason: refused ?? '' };
      stored.sizes.set(process, { leaves: Number(count), bytes: Number(bytes), refused: incomplete });
    }
  }
  return stored;
}

/** What a process shows before these patches, of which some are refused whole. */
const sizeBefore = (stored: Size | undefined, refused: Incomplete | null): Size => ({
  leaves: stored?.leaves ?? 0,
  bytes: stored?.bytes ?? 0,
  refused: refused ?? stored?.refused ?? null,
});

/** Writes leaves, and the sizes that have changed: few of the messages that move a balance make it longer. */
async function save(
  manager: EntityManager,
  leaves: readonly NewLeaf[],
  sizes: readonly (readonly [string, Size])[],
): Promise<void> {
  if (leaves.length + sizes.length === 0) return;
  await manager.query(
    `with sized as (
       insert into process_state_size (process, leaves, bytes, refused_nonce, refused)
       select * from unnest($5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[])
       on conflict (process) do update set leaves = excluded.leaves, bytes = excluded.bytes, refused_nonce = excluded.refused_nonce, refused = excluded.refused
     )
     insert into process_state (process, path, value, nonce) select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
     on conflict (process, path) do update set value = excluded.value, nonce = excluded.nonce`,
    [
      leaves.map((l) => l.process),
      leaves.map((l) => l.path),
      leaves.map((l) => l.value),
      leaves.map((l) => l.nonce),
      sizes.map(([process]) => process),
      sizes.map(([, s]) => s.leaves),
      sizes.map(([, s]) => s.bytes),
      sizes.map(([, s]) => s.refused?.nonce ?? null),
      sizes.map(([, s]) => s.refused?.reason ?? null),
    ],
  );
}

const removeAt = (manager: EntityManager, places: readonly Place[], sizes: Map<string, Size>): Promise<void> =>
  remove(manager, places, sizes, 's.path = w.path');

const removeBelow = (manager: EntityManager, places: readonly Place[], sizes: Map<string, Size>): Promise<void> =>
  remove(manager, places, sizes, `s.path > w.path || '/' and s.path < w.path || '0'`);

async function remove(
  manager: EntityManager,
  places: readonly Place[],
  sizes: Map<string, Size>,
  condition: string,
): Promise<void> {
  if (places.length === 0) return;
  const unique = [...new Map(places.map((p) => [keyOf(p), p])).values()];
  const rows: { process: string; leaves: string; bytes: string }[] = await manager.query(
    `with gone as (
       delete from process_state s using unnest($1::text[], $2::text[]) as w(process, path)
       where s.process = w.process and ${condition} returning s.process, octet_length(s.path) + octet_length(s.value) as bytes
     ) select process, count(*) as leaves, sum(bytes) as bytes from gone group by process`,
    [unique.map((p) => p.process), unique.map((p) => p.path)],
  );
  for (const row of rows) {
    const size = sizes.get(row.process) as Size;
    size.leaves -= Number(row.leaves);
    size.bytes -= Number(row.bytes);
  }
}
