/**
 * `isthmus btc verify-address`: makes the address anew from its terms, offline. A recovery file only shows that it agrees with itself: what its holder says
 * comes before what it says, so that an address of another recipient or of other guardians is found out.
 */
import type { DepositTag } from '@isthmus/bridge';
import { BridgeError } from '@isthmus/bridge';
import {
  BitcoinError,
  chainOf,
  depositScript,
  depositTerms,
  NETWORKS,
  networkOf,
  readRecoveryClaim,
  textsOf,
  type DepositTexts,
  type NetworkName,
  type RecoveryClaim,
} from '@isthmus/chains';
import { print } from '../ao/context.js';
import { plain } from '../ao/text.js';
import { readBounded } from '../files.js';
import { CommandError } from '../said.js';

export interface VerifyAddressOptions {
  address?: string;
  network?: NetworkName;
  process?: string;
  recipient?: string;
  tag?: DepositTag[];
  keys?: string[];
  threshold?: number;
  refund?: string;
  refundAfter?: number;
  json?: boolean;
}

interface Verdict {
  good: boolean;
  address: string;
  /** The address of these terms. */
  expected: string;
  terms: DepositTexts;
  /** Terms its holder named. */
  named: string[];
  /** Of those, what the file says otherwise. */
  otherwise: string[];
}

const NOT_CHECKED = 2;
const MAX_FILE = 64 * 1024;
/** The option that names each term. */
const OPTION_OF: Readonly<Record<keyof DepositTexts, string>> = {
  chain: '--network',
  process: '--process',
  recipient: '--recipient',
  tags: '--tag',
  guardians: '--keys',
  threshold: '--threshold',
  refund: '--refund',
  refundAfter: '--refund-after',
};
/** Who says nothing of tags means that there are none. */
const NO_TAGS = { tags: [] };

/** Prints the verdict; exit code 1 when the address does not commit to this. @throws CommandError with exit code 2 when it could not be checked */
export function verifyAddress(file: string | undefined, options: VerifyAddressOptions): void {
  const verdict = judged(() => judge(file === undefined ? null : claimIn(file), options));
  print(options.json, verdict, () => inWords(verdict));
  if (!verdict.good) process.exitCode = 1;
}

function claimIn(file: string): RecoveryClaim {
  return readRecoveryClaim(readBounded(file, MAX_FILE, NOT_CHECKED).toString('utf8'));
}

function judge(claim: RecoveryClaim | null, options: VerifyAddressOptions): Verdict {
  const { address = claim?.address } = options;
  const mine = namedIn(options);
  const texts: Partial<DepositTexts> = { ...(claim?.texts ?? NO_TAGS), ...mine };
  const missing = Object.keys(OPTION_OF).filter((term) => !(term in texts)) as (keyof DepositTexts)[];
  const unsaid = [...(address === undefined ? ['--address'] : []), ...missing.map((term) => OPTION_OF[term])];
  if (address === undefined || unsaid.length > 0)
    throw new CommandError(`Name the recovery file, or ${unsaid.join(', ')} as well.`, NOT_CHECKED);
  const terms = depositTerms(texts as DepositTexts); // none is missing
  const made = depositScript(terms);
  const ofFile = claim === null || claim.script === Buffer.from(made.witnessScript).toString('hex');
  const named = Object.keys(mine) as (keyof DepositTexts)[];
  return {
    good: made.address === address && ofFile,
    address,
    expected: made.address,
    terms: textsOf(terms),
    named: [...(options.address === undefined ? [] : ['--address']), ...named.map((term) => OPTION_OF[term])],
    otherwise: claim === null ? [] : named.filter((term) => !same(claim.texts[term], mine[term])),
  };
}

function namedIn(options: VerifyAddressOptions): Partial<DepositTexts> {
  const { network, process: token, recipient, tag, keys, threshold, refund, refundAfter } = options;
  const terms = {
    chain: network === undefined ? undefined : chainOf(NETWORKS[network]),
    process: token,
    recipient,
    tags: tag,
    guardians: keys?.toSorted(),
    threshold,
    refund,
    refundAfter,
  };
  return Object.fromEntries(Object.entries(terms).filter(([, value]) => value !== undefined));
}

function inWords({ good, address, expected, terms, named, otherwise }: Verdict): string {
  const { tags, guardians, threshold, refund, refundAfter } = terms;
  const about = [
    `network    ${networkOf(terms.chain).name}`,
    `process    ${terms.process}`,
    `recipient  ${terms.recipient}`,
    `tags       ${tags.map(({ name, value }) => `${name}=${value}`).join(', ') || 'none'}`,
    `guardians  any ${threshold} of ${guardians.length}: ${guardians.join(', ')}`,
    `refund     to ${refund}, once a payment has ${refundAfter} confirmations`,
  ].map((line) => `  ${line}`);
  if (!good)
    return plain(
      [
        `NOT GOOD: ${address} does not commit to this. Do not pay it.`,
        ...about,
        `the address of these terms is ${expected}`,
        otherwise.length > 0
          ? `the file has another ${otherwise.join(', ')} than you named`
          : 'what says that the address is of these terms is wrong or was changed',
      ].join('\n'),
    );
  const against =
    named.length > 0
      ? `as you named it: ${named.join(', ')}`
      : 'the file agrees with itself. Name what you know, such as --recipient, --process and the guardians’ --keys from somewhere you trust, to hold it against that';
  return plain([`good: ${address} commits to this`, ...about, against].join('\n'));
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What breaks a rule of terms could not be checked. */
function judged<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof BitcoinError || error instanceof BridgeError)
      throw new CommandError(error.message, NOT_CHECKED);
    throw error;
  }
}
