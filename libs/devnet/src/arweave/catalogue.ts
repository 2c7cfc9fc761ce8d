/** What a gateway's index knows: transactions and the items in their bundles, found by id, owner, recipient, tags and bundle. Kept in memory, and made anew from the weave when a node starts. */
import { hash } from 'node:crypto';
import { dataKey, tagsOf, type Tag } from './transaction.js';
import type { FoundItem } from './unbundle.js';
import type { Held } from './weave.js';

/** Entries kept: some 500 MB. What comes after is stored, but not found by a search. */
const MAX_ENTRIES = 500_000;
/** Sorted lists kept for the next page: a few searches at once, each at most all entries. */
const MAX_LISTS = 8;

/** A transaction, or one place of an item; an item in two bundles has two. */
export interface Entry {
  readonly id: string;
  /** The transaction it is, or is in. */
  readonly held: Held;
  /** 0 for a transaction, then items in their order. */
  readonly pos: number;
  /** What it is directly in. */
  readonly parent: string | null;
  /** base64url of the hash of the key, for every kind of key */
  readonly owner: string;
  readonly recipient: string;
  readonly tags: readonly Tag[];
  /** Bytes of its data. */
  readonly size: number;
  /** Where an item lies in what is kept under this name. */
  readonly place: { readonly name: string; readonly start: number; readonly length: number } | null;
}

export interface Conditions {
  ids?: readonly string[] | undefined;
  owners?: readonly string[] | undefined;
  recipients?: readonly string[] | undefined;
  tags?: readonly { name: string; values: readonly string[]; not: boolean }[] | undefined;
  /** null: of transactions alone. */
  bundledIn?: readonly string[] | null | undefined;
  /** Heights; what waits has none, and is in no range. */
  min?: number | undefined;
  max?: number | undefined;
}

export class Catalogue {
  private readonly byKey = new Map<string, Set<Entry>>();
  private readonly ofTransaction = new Map<string, Entry[]>();
  private readonly lists = new Map<string, Entry[]>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** What was sorted may be in another order now. */
  changed(): void {
    this.lists.clear();
  }

  addTransaction(held: Held): void {
    const { tx, address } = held;
    const entry = {
      id: tx.id,
      held,
      pos: 0,
      parent: null,
      owner: address,
      recipient: tx.target,
      size: Number(tx.data_size),
    };
    this.add({ ...entry, tags: tagsOf(tx), place: null });
  }

  addItems(held: Held, found: readonly FoundItem[]): void {
    if (this.hasItems(held.tx.id)) return;
    const name = dataKey(held.tx);
    for (const [i, { item, parent, start, length }] of found.entries())
      this.add({
        id: item.id,
        held,
        pos: i + 1,
        parent,
        owner: hash('sha256', item.owner, 'base64url'),
        recipient: item.target,
        tags: item.tags,
        size: item.data.length,
        place: { name, start, length },
      });
  }

  hasItems(transaction: string): boolean {
    return (this.ofTransaction.get(transaction)?.length ?? 0) > 1;
  }

  /** Forgets the items of a transaction, and with `whole` itself. */
  remove(transaction: string, whole: boolean): void {
    const entries = this.ofTransaction.get(transaction) ?? [];
    for (const entry of entries) {
      if (entry.pos === 0 && !whole) continue;
      for (const key of keysOf(entry)) {
        const set = this.byKey.get(key);
        set?.delete(entry);
        if (set?.size === 0) this.byKey.delete(key);
      }
      this.count -= 1;
    }
    if (whole) this.ofTransaction.delete(transaction);
    else this.ofTransaction.set(transaction, entries.slice(0, 1));
    this.changed();
  }

  /** The place of an id that counts: mined before waiting, earlier before later. */
  find(id: string): Entry | undefined {
    return this.search({ ids: [id] })[0];
  }

  /** All that fit, oldest first and what waits at the end, each id once. */
  search(conditions: Conditions): readonly Entry[] {
    const key = JSON.stringify(conditions);
    const known = this.lists.get(key);
    if (known) return known;
    const first = new Map<string, Entry>();
    const fitting = this.candidates(conditions).filter((entry) => fits(entry, conditions));
    for (const entry of fitting.toSorted(compare)) if (!first.has(entry.id)) first.set(entry.id, entry);
    const list = [...first.values()];
    if (this.lists.size >= MAX_LISTS) this.lists.delete(this.lists.keys().next().value as string);
    this.lists.set(key, list);
    return list;
  }

  private add(entry: Entry): void {
    if (this.count >= MAX_ENTRIES) return;
    this.count += 1;
    const { id } = entry.held.tx;
    const others = this.ofTransaction.get(id);
    if (others) others.push(entry);
    else this.ofTransaction.set(id, [entry]);
    for (const key of keysOf(entry)) {
      const set = this.byKey.get(key);
      if (set) set.add(entry);
      else this.byKey.set(key, new Set([entry]));
    }
    this.changed();
  }

  /** The entries of the condition fewest have; all of them where there is none. */
  private candidates({ ids, owners, recipients, tags, bundledIn }: Conditions): Entry[] {
    const lists = [
      ids?.map((v) => `id ${v}`),
      owners?.map((v) => `owner ${v}`),
      recipients?.map((v) => `to ${v}`),
      bundledIn?.map((v) => `in ${v}`),
      ...(tags ?? []).filter((t) => !t.not).map((t) => t.values.map((v) => tagKey(t.name, v))),
    ].filter((keys) => keys !== undefined);
    if (lists.length === 0) return [...this.ofTransaction.values()].flat();
    const sizeOf = (keys: readonly string[]): number =>
      keys.reduce((n, key) => n + (this.byKey.get(key)?.size ?? 0), 0);
    const fewest = lists.reduce((best, keys) => (sizeOf(keys) < sizeOf(best) ? keys : best));
    return [...new Set(fewest.flatMap((key) => [...(this.byKey.get(key) ?? [])]))];
  }
}

const tagKey = (name: string, value: string): string => `tag ${JSON.stringify(name)} ${value}`;

function keysOf({ id, owner, recipient, parent, tags }: Entry): string[] {
  const keys = [`id ${id}`, `owner ${owner}`, `to ${recipient}`, ...tags.map((t) => tagKey(t.name, t.value))];
  return parent === null ? keys : [...keys, `in ${parent}`];
}

function fits(entry: Entry, { ids, owners, recipients, tags, bundledIn, min, max }: Conditions): boolean {
  const { height } = entry.held;
  const has = (name: string, values: readonly string[]): boolean =>
    entry.tags.some((t) => t.name === name && values.includes(t.value));
  return (
    (ids?.includes(entry.id) ?? true) &&
    (owners?.includes(entry.owner) ?? true) &&
    (recipients?.includes(entry.recipient) ?? true) &&
    (tags ?? []).every(({ name, values, not }) => has(name, values) !== not) &&
    (bundledIn === undefined || (bundledIn?.includes(entry.parent ?? '') ?? entry.parent === null)) &&
    (min === undefined || (height !== null && height >= min)) &&
    (max === undefined || (height !== null && height <= max))
  );
}

/** Height, arrival, place in the bundle. */
export function rankOf({ held, pos }: Entry): [number, number, number] {
  return [held.height ?? Number.MAX_SAFE_INTEGER, held.seq, pos];
}

const compare = (a: Entry, b: Entry): number => compareRanks(rankOf(a), rankOf(b));

export function compareRanks(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((n, i) => n !== b[i]);
  return at === -1 ? 0 : (a[at] as number) - (b[at] as number);
}
