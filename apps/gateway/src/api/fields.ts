/** The fields answers are made of, each described where it is used. */
import type { TransferState } from '@isthmus/bridge';
import { z } from 'zod';

export const units = z.string().regex(/^(0|[1-9][0-9]{0,38})$/);
export const amount = (what: string) => units.describe(`${what}, base units`);
export const time = (what: string) =>
  z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    .describe(`${what}, UTC`);
export const hash = (what: string) =>
  z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .describe(what);
export const transaction = (what: string) =>
  z
    .string()
    .regex(/^(0x[0-9a-f]{64}|[0-9a-f]{64}|[1-9A-HJ-NP-Za-km-z]{64,88})$/)
    .describe(`${what}: as its chain writes it`);
export const address = (what: string) =>
  z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/)
    .describe(what);
export const aoId = (what: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .describe(what);
export const assetId = z.string().describe('CAIP-19');
export const chainId = z.string().describe('CAIP-2');
export const recipientNote = z.string().nullable().describe('What to think of before money is sent to this recipient');

/** Of a transfer. */
export const STATES = [
  'seen',
  'confirming',
  'attesting',
  'minted',
  'orphaned',
  'refused',
  'queued',
  'signing',
  'ready',
  'submitted',
  'released',
  'held',
] as const satisfies readonly TransferState[];
