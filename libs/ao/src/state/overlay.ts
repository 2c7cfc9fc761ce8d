/** The changes of many messages as one: what is left to write when a later one undoes an earlier one. A tree of keys, merged as deep as the tables go. */
import { writePath, type Change } from './patch.js';

interface Node {
  children: Map<string, Node>;
  /** Value written here, with the slot that did. */
  leaf: { value: string; nonce: number } | null;
  /** Whatever was below, before this overlay, is gone. */
  cleared: boolean;
  /** A value that was here before is gone. */
  removed: boolean;
}

const empty = (): Node => ({ children: new Map(), leaf: null, cleared: false, removed: false });

/** What to do to the stored leaves, in this order. Paths as `writePath` writes them. */
export interface Writes {
  /** Values at these paths go. */
  remove: string[];
  /** Everything below these paths goes. */
  clear: string[];
  /** No path of these is above or below another. */
  set: { path: string; value: string; nonce: number }[];
}

export class Overlay {
  private readonly root = empty();

  apply(change: Change, nonce: number): void {
    if (change.value === null) this.remove(change.path);
    else this.set(change.path, change.value, nonce);
  }

  /** A value at a path replaces a table there, and a table on the way to it replaces a value. */
  private set(path: readonly string[], value: string, nonce: number): void {
    let node = this.root;
    for (const key of path) {
      node.leaf = null;
      node = childOf(node, key);
    }
    node.leaf = { value, nonce };
    node.children.clear();
    node.cleared = true;
  }

  private remove(path: readonly string[]): void {
    let node = this.root;
    for (const key of path) {
      if (node.leaf) return; // there is nothing below a value
      node = childOf(node, key);
    }
    node.leaf = null;
    node.children.clear();
    node.cleared = node.removed = true;
  }

  writes(): Writes {
    const writes: Writes = { remove: [], clear: [], set: [] };
    // Not by recursion: no matter how deep, though a path is bounded.
    const open: { path: string[]; node: Node; gone: boolean }[] = [{ path: [], node: this.root, gone: false }];
    for (let next = open.pop(); next; next = open.pop()) {
      const { path, node, gone } = next;
      const written = writePath(path);
      if (node.leaf) writes.set.push({ path: written, ...node.leaf });
      else if (!gone) {
        if (node.removed) writes.remove.push(written);
        if (node.cleared) writes.clear.push(written);
      }
      for (const [key, child] of [...node.children].toReversed())
        open.push({ path: [...path, key], node: child, gone: gone || node.cleared });
    }
    return writes;
  }
}

function childOf(node: Node, key: string): Node {
  const known = node.children.get(key);
  if (known) return known;
  const child = empty();
  node.children.set(key, child);
  return child;
}
