/** `isthmus audit`: what it is told, and how each option is read. */
import { Command, InvalidArgumentError } from 'commander';
import { anId, gatewayUrl, slot, whole } from '../ao/options.js';
import type { AuditOptions } from './audit.js';

const several =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly T[] = []): T[] => [...before, read(text)];

export function auditCommand(): Command {
  return new Command('audit')
    .description(
      'trace every mint to a deposit and every release to a burn; exit code 0 fine, 1 safety findings, 2 no audit could be made, 3 liveness findings only',
    )
    .option('--rpc <url>', 'RPC source of the chain; several must say the same', several(gatewayUrl))
    .option(
      '--chain <id>',
      'which home chain is audited (CAIP-2), where there are several; without it all of the local stack',
    )
    .option('--gateway <url>', 'where schedules are read, checked here; without it the local stack’s', gatewayUrl)
    .option('--from <url>', 'read schedules from this gateway of Arweave instead', gatewayUrl)
    .option('--process <id>', 'token process, all of one vault; without it those the gateway lists', several(anId))
    .option('--scheduler <address>', 'whose schedules count; without it the one the spawn names', anId)
    .option('--start-height <n>', 'on Ethereum: block of the vault’s deployment, or any before its first money', height)
    .option(
      '--finality <word>',
      'finalized, safe, or a number of confirmations: not less than the guardians wait for; on Bitcoin as many as they want for the least money',
      finality,
    )
    .option('--height <n>', 'audit as of this block', height)
    .option('--slot <n>', 'audit as of this slot, of one process', slot)
    .option('--patience <minutes>', 'how long a deposit, a withdrawal, an attestation may take', whole, 60)
    .option('--code <sha256>', 'of a token’s source that is known, or "any"; without it this version’s', several(code))
    .option('--every <seconds>', 'go on: audit again and again, reading only what is new', whole)
    .option('--json', 'print JSON, a line for each report')
    .option('--csv', 'print tables for a spreadsheet')
    .action(async (options: AuditOptions) => (await import('./audit.js')).audit(options));
}

function height(text: string): bigint {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('Write a block: a whole number from 0 on.');
  return BigInt(text);
}

function finality(text: string): AuditOptions['finality'] {
  if (text === 'finalized' || text === 'safe') return { tag: text };
  if (/^[1-9][0-9]{0,3}$/.test(text)) return { confirmations: Number(text) };
  throw new InvalidArgumentError('Write finalized, safe, or a number of confirmations.');
}

function code(text: string): string {
  if (text === 'any' || /^[0-9a-f]{64}$/.test(text)) return text;
  throw new InvalidArgumentError('Write the SHA-256 as 64 digits a-f, 0-9, or any.');
}
