/**
 * The recovery file: all terms of a deposit address, which its depositor keeps. With it and the refund key the money can be taken back without any server
 * of ours. A file whose address does not follow from its terms is refused: it would refund something else.
 */
import { z } from 'zod';
import { depositTerms, textsOf, type DepositTexts } from './deposit-terms.js';
import { BitcoinError } from './errors.js';
import { depositScript, type DepositTerms } from './vault-script.js';

const FORMAT = 'isthmus/bitcoin-recovery/1';
/** Terms with the most keys and tags take some kilobytes. */
const MAX_FILE = 16_384;

const shape = z.strictObject({
  format: z.literal(FORMAT),
  chain: z.string(),
  address: z.string(),
  /** The script in clear, hex: for whoever would rather use another tool. */
  script: z.string(),
  process: z.string(),
  recipient: z.string(),
  tags: z.array(z.strictObject({ name: z.string(), value: z.string() })).readonly(),
  guardians: z.array(z.string()).readonly(),
  threshold: z.int(),
  refund: z.string(),
  refundAfter: z.int(),
});

/** What a file says; whether it is true is not looked at. */
export interface RecoveryClaim {
  address: string;
  /** The script in clear, hex. */
  script: string;
  texts: DepositTexts;
}

/** The file a depositor keeps. */
export function writeRecoveryFile(terms: DepositTerms): string {
  const { address, witnessScript } = depositScript(terms);
  const { chain, ...texts } = textsOf(terms);
  const script = Buffer.from(witnessScript).toString('hex');
  const file: z.infer<typeof shape> = { format: FORMAT, chain, address, script, ...texts };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** What a file claims, for whoever holds it against other terms. @throws BitcoinError `bad-recovery-file` when it is no such file */
export function readRecoveryClaim(text: string): RecoveryClaim {
  const read = text.length <= MAX_FILE ? shape.safeParse(json(text)) : null;
  if (!read?.success) throw new BitcoinError('bad-recovery-file', 'This is no recovery file of a Bitcoin deposit.');
  const { format: _, address, script, ...texts } = read.data;
  return { address, script, texts };
}

/** @throws BitcoinError `bad-recovery-file` when it is no such file, or its address does not follow from its terms */
export function readRecoveryFile(text: string): DepositTerms {
  const { address, script, texts } = readRecoveryClaim(text);
  const terms = depositTerms(texts);
  const made = depositScript(terms);
  if (made.address !== address || Buffer.from(made.witnessScript).toString('hex') !== script)
    throw new BitcoinError('bad-recovery-file', 'The address in this file does not follow from its terms.');
  return terms;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null; // no recovery file
  }
}
