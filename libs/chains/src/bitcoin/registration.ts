/**
 * Registrations of deposit addresses: a message to the token process that says the terms, so that all who follow its schedule know the address before it
 * is paid. Anyone may send one: the address follows from the terms, and whoever pays it agrees to them. The guardians' keys are not said: they are
 * those of the set of the message's slot. What is no registration is none, and harms nobody.
 */
import { BridgeError, type DepositTag } from '@isthmus/bridge';
import { z } from 'zod';
import { BitcoinError } from './errors.js';
import type { BitcoinNetwork } from './network.js';
import { depositScript, refundOwner, writeRefundOwner, type DepositTerms, type VaultKeys } from './vault-script.js';

/** What AO shows of a message. */
export interface RegistrationMessage {
  /** The process it was said to. */
  target: string;
  tags: readonly DepositTag[];
  data: Uint8Array;
}

/** What an address has that its registration does not say. */
export interface RegistrationPlace {
  network: BitcoinNetwork;
  /** The token process. */
  process: string;
  /** Keys and threshold of the guardian set of the message's slot. */
  vault: VaultKeys;
  /** Least `refundAfter`, as the home's terms have it. */
  leastRefund: number;
}

const ACTION = { name: 'Action', value: 'Deposit-Address' };
/** Tags of 2,048 bytes, each of which JSON may write as two, and what is around them. */
const MAX_DATA_BYTES = 8_192;

const shape = z.strictObject({
  recipient: z.string(),
  tags: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  refund: z.string(),
  refundAfter: z.int(),
});

/** The message that registers an address, without what every AO message has. @throws as `depositScript` */
export function encodeRegistration(terms: DepositTerms): { tags: DepositTag[]; data: string } {
  depositScript(terms);
  const { network, recipient, tags, refund, refundAfter } = terms;
  const said: z.infer<typeof shape> = {
    recipient,
    tags: tags.map(({ name, value }) => ({ name, value })),
    refund: writeRefundOwner(refund, network),
    refundAfter,
  };
  return { tags: [ACTION], data: JSON.stringify(said) };
}

/** Whether a message says it is a registration; whether it is one, `readRegistration` tells. */
export function claimsRegistration(
  { target, tags }: Pick<RegistrationMessage, 'target' | 'tags'>,
  process: string,
): boolean {
  const actions = tags.filter(({ name }) => name === ACTION.name);
  return target === process && actions.length === 1 && actions[0]?.value === ACTION.value;
}

/** The terms a message registers; null when it registers none. */
export function readRegistration(message: RegistrationMessage, place: RegistrationPlace): DepositTerms | null {
  if (!claimsRegistration(message, place.process) || message.data.length > MAX_DATA_BYTES) return null;
  const read = shape.safeParse(json(message.data));
  if (!read.success) return null;
  const { refund, ...said } = read.data;
  const { network, process, vault, leastRefund } = place;
  if (said.refundAfter < leastRefund) return null;
  try {
    const terms = { network, process, vault, ...said, refund: refundOwner(refund, network) };
    depositScript(terms);
    return terms;
  } catch (error) {
    if (error instanceof BitcoinError || error instanceof BridgeError) return null; // terms no address can have
    throw error;
  }
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return null; // no registration
  }
}
