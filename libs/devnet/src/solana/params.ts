/** Parameters of a call, each read once and refused as a validator refuses them. */
import { isBase58 } from '@isthmus/bridge';
import type { Encoding } from './encode.js';
import { CODE, RpcRefusal } from './error.js';
import type { Commitment } from './ledger.js';

export type Fields = Readonly<Record<string, unknown>>;

export const invalid = (message: string): RpcRefusal => new RpcRefusal(CODE.params, message);

export class Params {
  constructor(private readonly values: readonly unknown[]) {}

  /** The options object at a place; none is empty. */
  options(at: number): Fields {
    const value = this.values[at] ?? {};
    if (typeof value === 'string') return { commitment: value };
    if (typeof value !== 'object' || Array.isArray(value)) throw invalid('Invalid params: expected an object');
    return value as Fields; // any key may be looked up
  }

  address(at: number): string {
    return addressOf(this.values[at]);
  }

  signature(at: number): string {
    return signatureOf(this.values[at]);
  }

  text(at: number): string {
    const value = this.values[at];
    if (typeof value !== 'string') throw invalid('Invalid params: expected a string');
    return value;
  }

  count(at: number): number {
    return countOf(this.values[at], 'a number');
  }

  list(at: number, most: number): unknown[] {
    const value = this.values[at];
    if (!Array.isArray(value)) throw invalid('Invalid params: expected a list');
    if (value.length > most) throw invalid(`Too many inputs provided; max ${most}`);
    return value;
  }

  has(at: number): boolean {
    return this.values[at] !== undefined && this.values[at] !== null;
  }

  at(at: number): unknown {
    return this.values[at];
  }
}

export function addressOf(value: unknown): string {
  if (!isBase58(value, 32)) throw invalid('Invalid param: WrongSize');
  return value;
}

export function signatureOf(value: unknown): string {
  if (!isBase58(value, 64)) throw invalid('Invalid param: WrongSize');
  return value;
}

export function countOf(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw invalid(`Invalid params: expected ${what}`);
  return value;
}

export function commitmentOf(options: Fields): Commitment {
  const value = options['commitment'] ?? 'finalized';
  if (value === 'processed' || value === 'confirmed' || value === 'finalized') return value;
  throw invalid(`Invalid params: unknown commitment ${JSON.stringify(value).slice(0, 40)}`);
}

/** @throws RpcRefusal for `jsonParsed`, which this front does not write */
export function encodingOf(options: Fields, otherwise: Encoding): Encoding {
  const value = options['encoding'] ?? otherwise;
  if (value === 'json' || value === 'base64' || value === 'base58') return value;
  throw invalid(
    `This local chain writes json, base64 and base58, not ${JSON.stringify(value).slice(0, 40)}: ask for base64.`,
  );
}

export function flag(options: Fields, name: string): boolean {
  return options[name] === true;
}
