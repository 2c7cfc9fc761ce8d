/**
 * What a GraphQL document asks for at most, known before any of it is done: fragments stand wherever they are spread, every alias is a
 * value of its own, and what is inside a list comes as often as the list may be long.
 */
import { Kind, type DocumentNode, type FieldNode, type FragmentDefinitionNode, type SelectionSetNode } from 'graphql';
import { UnitError } from './errors.js';

export interface DocumentBounds {
  /** Fields directly below an operation: each is a search. */
  rootFields: number;
  /** Levels of fields. What Arweave's gateways answer has five; tools that ask for the schema go down fifteen. */
  depth: number;
  /** Values of one answer. */
  values: number;
  /** What a list may hold: by the name of the field, from its `first` (undefined: none was given). 1 for what is no list. */
  lengthOf(field: string, first: number | undefined): number;
  /** What a `first` counts as whose value is not known. */
  mostFirst: number;
}

interface Cost {
  values: number;
  depth: number;
}

/** @throws UnitError saying what is too much */
export function assertAffordable(
  document: DocumentNode,
  variables: Readonly<Record<string, unknown>>,
  bounds: DocumentBounds,
): void {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const costs = new CostReader(fragments, variables, bounds);
  for (const one of document.definitions) {
    if (one.kind !== Kind.OPERATION_DEFINITION) continue;
    if (costs.fieldsOf(one.selectionSet) > bounds.rootFields)
      throw new UnitError(400, `At most ${bounds.rootFields} searches are made for one request.`);
    const { values, depth } = costs.of(one.selectionSet);
    if (depth > bounds.depth) throw new UnitError(400, `At most ${bounds.depth} levels of fields are answered.`);
    if (values > bounds.values)
      throw new UnitError(
        400,
        `This may come to ${values} values, and at most ${bounds.values} are answered at once: ask for fewer fields, or for a smaller \`first\`.`,
      );
  }
}

class CostReader {
  /** Of each fragment once, however often it is spread; null while it is being read. */
  private readonly spread = new Map<string, { cost: Cost; fields: number } | null>();

  constructor(
    private readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>,
    private readonly variables: Readonly<Record<string, unknown>>,
    private readonly bounds: DocumentBounds,
  ) {}

  of(set: SelectionSetNode): Cost {
    const sum: Cost = { values: 0, depth: 0 };
    for (const one of set.selections) {
      const { values, depth } =
        one.kind === Kind.FIELD
          ? this.ofField(one)
          : one.kind === Kind.INLINE_FRAGMENT
            ? this.of(one.selectionSet)
            : this.ofFragment(one.name.value).cost;
      sum.values += values;
      sum.depth = Math.max(sum.depth, depth);
    }
    return sum;
  }

  /** Fields of the set itself, those of its fragments among them. */
  fieldsOf(set: SelectionSetNode): number {
    return set.selections
      .map((one) => {
        if (one.kind === Kind.FIELD) return 1;
        return one.kind === Kind.INLINE_FRAGMENT
          ? this.fieldsOf(one.selectionSet)
          : this.ofFragment(one.name.value).fields;
      })
      .reduce((sum, n) => sum + n, 0);
  }

  private ofField(field: FieldNode): Cost {
    if (!field.selectionSet) return { values: 1, depth: 1 };
    const inside = this.of(field.selectionSet);
    const times = this.bounds.lengthOf(field.name.value, this.firstOf(field));
    return { values: 1 + times * inside.values, depth: 1 + inside.depth };
  }

  /** A fragment nobody defines is for validation to name. @throws UnitError for one that is inside itself */
  private ofFragment(name: string): { cost: Cost; fields: number } {
    const known = this.spread.get(name);
    if (known) return known;
    if (known === null) throw new UnitError(400, `Fragment ${name} is spread inside itself.`);
    const set = this.fragments.get(name)?.selectionSet;
    if (!set) return { cost: { values: 0, depth: 0 }, fields: 0 };
    this.spread.set(name, null);
    const read = { cost: this.of(set), fields: this.fieldsOf(set) };
    this.spread.set(name, read);
    return read;
  }

  private firstOf(field: FieldNode): number | undefined {
    const value = field.arguments?.find((a) => a.name.value === 'first')?.value;
    if (!value || value.kind === Kind.NULL) return undefined;
    const given =
      value.kind === Kind.INT
        ? Number(value.value)
        : value.kind === Kind.VARIABLE
          ? this.variables[value.name.value]
          : undefined;
    const { mostFirst } = this.bounds;
    return typeof given === 'number' && Number.isInteger(given) ? Math.min(Math.max(given, 1), mostFirst) : mostFirst;
  }
}
