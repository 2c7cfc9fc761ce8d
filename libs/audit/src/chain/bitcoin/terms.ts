/** The terms of a home, as its token process was spawned with them: read anew, as docs/protocol.md writes them. Amounts in satoshis. */
import { AuditError } from '../../domain/error.js';

export interface HomeTerms {
  /** From here on blocks are read. */
  startHeight: number;
  /** Less is not credited. */
  least: bigint;
  /** Taken of each output that is. */
  fee: bigint;
  /** Blocks before a refund opens in which nobody is credited. */
  margin: number;
  /** Least `refundAfter` of an address. */
  refund: number;
  /** Confirmations that are enough for the least money. */
  confirmations: number;
}

/** Blocks that guardians' tips may be apart. */
const APART = 6;
const MAX_CONFIRMATIONS = 144;
const MAX_STEPS = 16;
const FIELDS = ['start', 'least', 'fee', 'margin', 'refund', 'final'] as const;
type Field = (typeof FIELDS)[number];

/** @throws AuditError `bad-request` for what has another form, or terms that cannot be */
export function termsIn(text: string | null): HomeTerms {
  const parts = (text ?? '').split(' ').map((part) => part.split('='));
  const isForm = parts.length === FIELDS.length && parts.every((p, i) => p.length === 2 && p[0] === FIELDS[i]);
  const values = Object.fromEntries(parts) as Record<Field, string>;
  if (!isForm) throw none('its fields are not those there are');
  const blocks = (field: Field, least: number, most: number): number => {
    const number = Number(whole(values[field], 10));
    if (number < least || number > most) throw none(`${field} is not between ${least} and ${most}`);
    return number;
  };
  const steps = values.final.split(',').map((step) => step.split(':'));
  let [money, confirmations] = [0n, 1];
  for (const [i, [upTo = '', count = '', more]] of steps.entries()) {
    const isLast = i === steps.length - 1;
    const [above, needs] = [upTo === '*' ? null : whole(upTo, 16), Number(whole(count, 3))];
    const rises = (above === null) === isLast && (above === null || above > money) && needs >= confirmations;
    if (!rises || more !== undefined || needs > MAX_CONFIRMATIONS || i >= MAX_STEPS)
      throw none('finality does not rise');
    [money, confirmations] = [above ?? money, needs];
  }
  const [least, fee] = [whole(values.least, 16), whole(values.fee, 16)];
  if (fee >= least) throw none('the fee takes the least deposit');
  const margin = blocks('margin', 1, 10_000);
  return {
    startHeight: blocks('start', 1, 2 ** 31 - 1),
    least,
    fee,
    margin,
    refund: blocks('refund', 2 * margin + confirmations + APART, 65_535),
    confirmations: Number(steps[0]?.[1]),
  };
}

function whole(text: string, digits: number): bigint {
  if (!/^(?:0|[1-9][0-9]*)$/.test(text) || text.length > digits) throw none(`${text.slice(0, 30)} is no number`);
  return BigInt(text);
}

const none = (why: string): AuditError =>
  new AuditError('bad-request', `The process was spawned with no terms of a home on Bitcoin: ${why}.`);
