/** Shapes of the audit's answers. */
import { z } from 'zod';

const units = z.string().describe('Base units, decimal digits');
const count = z.int();

const report = z.strictObject({
  format: z.literal('isthmus.audit.1'),
  inputs: z.strictObject({
    chain: z.string(),
    vault: z.string(),
    height: z.string(),
    blockHash: z.string(),
    blockTime: z.int().describe('Milliseconds'),
    patienceMs: z.int(),
    processes: z.array(
      z.strictObject({
        process: z.string(),
        slot: z.int(),
        assignment: z.string(),
        hashChain: z.string(),
        code: z.string().describe('SHA-256 of the source it runs'),
      }),
    ),
  }),
  result: z.enum(['fine', 'safety', 'liveness']),
  assets: z.array(
    z.strictObject({
      asset: z.string().describe('CAIP-19'),
      process: z.string(),
      balance: units.describe('What the vault really has'),
      locked: units.describe('What it counts'),
      claimable: units,
      supply: units,
      balances: units.describe('Sum of all balances on AO'),
      holders: count,
      inFlight: units,
      minted: units,
      burned: units,
      released: units.describe('Paid on the chain'),
      unattested: units.describe('Of that, what the process does not know yet'),
      waiting: units.describe('Deposits not minted yet'),
      unmintable: units.describe('Deposits of which nobody can be credited'),
      costs: units.describe('Fees the vault paid itself, out of that'),
      unshown: units.describe('Paid for burns in slots that are not shown yet; of a gateway’s own audits, 0'),
      surplus: z.string().describe('Beyond all that is owed; negative: short'),
      deposits: count,
      mints: count,
      burns: count,
      releases: count,
    }),
  ),
  findings: z.array(
    z.strictObject({
      code: z.string(),
      kind: z.enum(['safety', 'liveness']),
      asset: z.string(),
      subject: z.string(),
      detail: z.string(),
    }),
  ),
  more: z.int().describe('Findings there are besides'),
});

const item = z.string().nullable().describe('Id of the signed item that is settled, at /raw/<id>');

const audit = z
  .strictObject({
    report,
    hash: z.string().describe('SHA-256 of the report as JSON: whoever audits the same gets the same'),
    made: z.strictObject({
      at: z.iso.datetime(),
      arweave: z
        .strictObject({ sequence: z.int(), seal: z.string(), tx: z.string() })
        .nullable()
        .describe('Newest bundle that was on Arweave'),
    }),
    item,
  })
  .describe('An audit');

const feed = z
  .strictObject({
    reports: z.array(
      z.strictObject({
        hash: z.string(),
        chain: z.string().describe('CAIP-2'),
        result: z.enum(['fine', 'safety', 'liveness']),
        height: z.string(),
        at: z.iso.datetime(),
        item,
      }),
    ),
    nextCursor: z.string().nullable(),
  })
  .describe('Audits, newest first');

export const auditSchemas = { Audit: audit, AuditFeed: feed } as const;
export type AuditFeed = z.infer<typeof feed>;
export type AuditAnswerBody = z.infer<typeof audit>;
