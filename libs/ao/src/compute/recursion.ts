/**
 * Which functions count what they take of the stack: so many that no way through a module's calls leads round past all of them, and each as much
 * as the heaviest way from it to the next of them. The work is bounded by counting it, as the module is somebody's who may want it to be long.
 */

/** Calls of a module as a graph, its nodes numbered; the first ones are functions of its own. */
export interface Calls {
  /** Where each node leads. */
  ways: readonly (readonly number[])[];
  /** How many of the nodes can count. */
  functions: number;
  /** What each node takes of the stack. */
  weights: readonly number[];
}

/** Nodes and ways looked at before everything that still goes round counts: an aos module takes 200,000. */
const MAX_VISITS = 4_000_000;

/** What is known of a module's calls. */
interface Recursion {
  /** What each counting function takes, by its number. */
  slots: Map<number, number>;
  /** What the heaviest way takes that leads past no function that counts. */
  heaviest: number;
  /** Nodes and ways looked at until that was known. */
  visits: number;
}

export function recursionSlots({ ways, functions, weights }: Calls): Recursion {
  const graph = new Graph(ways);
  const counted = new Set<number>();
  for (let parts = graph.cyclicParts(counted); parts.length > 0; parts = graph.cyclicParts(counted)) {
    const spent = graph.visits > MAX_VISITS;
    for (const part of parts) {
      if (spent) for (const node of part) counted.add(node);
      else counted.add(graph.mostTravelled(part, functions));
    }
  }
  const weighed = graph.heaviestWays(counted, weights);
  const own = [...counted].filter((node) => node < functions);
  const heaviest = weighed.reduce((most, weight, node) => (counted.has(node) ? most : Math.max(most, weight)), 0);
  return { slots: new Map(own.map((node) => [node, weighed[node] ?? 0])), heaviest, visits: graph.visits };
}

class Graph {
  /** Nodes and ways looked at. */
  visits = 0;

  constructor(private readonly ways: readonly (readonly number[])[]) {}

  /** The function of a part that most ways go through. */
  mostTravelled(part: readonly number[], functions: number): number {
    const within = new Set(part);
    const [into, outOf] = [new Map<number, number>(), new Map<number, number>()];
    for (const node of part) {
      const inside = this.from(node).filter((target) => within.has(target));
      outOf.set(node, inside.length);
      for (const target of inside) into.set(target, (into.get(target) ?? 0) + 1);
    }
    let [chosen, most] = [-1, -1];
    for (const node of part) {
      const score = (into.get(node) ?? 0) * (outOf.get(node) ?? 0);
      if (node < functions && score > most) [chosen, most] = [node, score];
    }
    return chosen;
  }

  /** Weight of the heaviest way from each node, that node included, past no node of `ends`. There is no way round without them. */
  heaviestWays(ends: ReadonlySet<number>, weights: readonly number[]): Float64Array {
    const { length } = this.ways;
    const [known, heaviest] = [new Uint8Array(length), new Float64Array(length)];
    /** How many ways of each node have been looked at. */
    const next = new Uint32Array(length);
    const beyond = new Float64Array(length);
    for (let start = 0; start < length; start += 1) {
      const path = [start];
      for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
        const target = known[node] ? undefined : this.ways[node]?.[next[node] as number];
        this.visits += 1;
        if (target === undefined) {
          if (!known[node]) heaviest[node] = (weights[node] ?? 0) + (beyond[node] as number);
          known[node] = 1;
          path.pop();
        } else if (!ends.has(target) && !known[target]) path.push(target);
        else {
          if (!ends.has(target)) beyond[node] = Math.max(beyond[node] as number, heaviest[target] as number);
          next[node] = (next[node] as number) + 1;
        }
      }
    }
    return heaviest;
  }

  /** Parts of the graph, without the nodes left out, in each of which every node leads to every other, and round (Tarjan's algorithm, without recursion). */
  cyclicParts(without: ReadonlySet<number>): number[][] {
    const { ways } = this;
    const [order, low] = [new Int32Array(ways.length), new Int32Array(ways.length)];
    const finished = new Uint8Array(ways.length);
    const parts: number[][] = [];
    const members: number[] = [];
    let count = 0;
    const enter = (node: number): { node: number; next: number } => {
      order[node] = low[node] = count += 1;
      members.push(node);
      return { node, next: 0 };
    };
    const lower = (node: number, to: number): void => {
      low[node] = Math.min(low[node] as number, to);
    };
    for (let root = 0; root < ways.length; root += 1) {
      if (order[root] || without.has(root)) continue;
      const path = [enter(root)];
      for (let at = path.at(-1); at; at = path.at(-1)) {
        const { node } = at;
        const target = ways[node]?.[at.next];
        at.next += 1;
        this.visits += 1;
        if (target === undefined) {
          path.pop();
          const above = path.at(-1)?.node;
          if (above !== undefined) lower(above, low[node] as number);
          if (low[node] !== order[node]) continue;
          const part = members.splice(members.lastIndexOf(node));
          for (const member of part) finished[member] = 1;
          if (part.length > 1 || this.from(node).includes(node)) parts.push(part);
        } else if (without.has(target)) continue;
        else if (!order[target]) path.push(enter(target));
        else if (!finished[target]) lower(node, order[target] as number);
      }
    }
    return parts;
  }

  private from(node: number): readonly number[] {
    const targets = this.ways[node] ?? [];
    this.visits += 1 + targets.length;
    return targets;
  }
}
