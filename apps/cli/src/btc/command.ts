/** `isthmus btc`: what a depositor of Bitcoin needs nobody for. */
import { NETWORKS } from '@isthmus/chains';
import { Command, InvalidArgumentError, Option } from 'commander';
import { addTag, gatewayUrl, whole } from '../ao/options.js';
import type { DepositAddressOptions } from './deposit-address.js';
import type { RefundOptions } from './refund.js';
import type { VerifyAddressOptions } from './verify-address.js';

export function btc(): Command {
  const group = new Command('btc').description(
    'deposits of Bitcoin: ask for an address, check what one commits to, take money back',
  );
  group
    .command('deposit-address')
    .description('ask a gateway for a deposit address of your own, and keep its recovery file')
    .argument('<recipient>', 'whom it credits: an AO address')
    .option('--refund-key <hex>', 'who may take payments back: a public key, of "isthmus btc new-refund-key"')
    .option('--refund-address <address>', 'or an address of one key of your wallet')
    .option('--refund-after <blocks>', 'confirmations after which that is possible', whole)
    .addOption(new Option('--tag <Name=Value>', 'an X- tag that travels along').argParser(addTag))
    .option('--asset <id>', 'which bitcoin (CAIP-19), where the gateway has several')
    .requiredOption('--out <file>', 'recovery file to make; an existing one is never overwritten')
    .option('--gateway <url>', 'another gateway than the local stack’s', gatewayUrl)
    .option('--json', 'print JSON')
    .action(async (recipient: string, options: DepositAddressOptions) =>
      (await import('./deposit-address.js')).depositAddress(recipient, options),
    );
  group
    .command('verify-address')
    .description(
      'check offline what a deposit address commits to, by a recovery file, your own words, or both; exit code 0: to this, 1: NOT to this, 2: could not be checked',
    )
    .argument('[file]', 'recovery file: what it says counts where you say nothing')
    .option('--address <address>', 'the deposit address')
    .addOption(new Option('--network <name>', 'its network').choices(Object.keys(NETWORKS)))
    .option('--process <id>', 'the token process on AO')
    .option('--recipient <address>', 'whom it must credit')
    .addOption(new Option('--tag <Name=Value>', 'a tag; name all there are').argParser(addTag))
    .option('--keys <hex,…>', 'the guardians’ keys, from somewhere you trust', commas)
    .option('--threshold <number>', 'how many of them move money', whole)
    .option('--refund <key or address>', 'who may take it back')
    .option('--refund-after <blocks>', 'confirmations after which that is possible', whole)
    .option('--json', 'print JSON')
    .action(async (file: string | undefined, options: VerifyAddressOptions) =>
      (await import('./verify-address.js')).verifyAddress(file, options),
    );
  group
    .command('refund')
    .description(
      'take back what a deposit address still has, once its time has come: made and signed here, sent through a Bitcoin node of your choice; exit code 1: not possible, 2: the node could not be asked',
    )
    .argument('<file>', 'recovery file')
    .requiredOption('--to <address>', 'where the money goes')
    .requiredOption('--key-file <file>', 'the refund key (mode 0600): WIF, hex, or of "isthmus btc new-refund-key"')
    .requiredOption(
      '--rpc <url>',
      'JSON-RPC of a Bitcoin Core node, its login in ISTHMUS_BITCOIN_LOGIN (user:password) or --cookie',
      gatewayUrl,
    )
    .option('--cookie <file>', 'the node’s .cookie file')
    .option('--outpoint <txid:vout...>', 'the outputs, for nodes that cannot look for them (scantxoutset)')
    .option('--fee-rate <number>', 'satoshis per virtual byte; without it what the node estimates', feeRate)
    .option('--dry-run', 'have the node judge it and send nothing')
    .option('--json', 'print JSON')
    .action(async (file: string, options: RefundOptions) => (await import('./refund.js')).refund(file, options));
  group
    .command('new-refund-key')
    .description('make the key that a deposit is refunded to, in a file only you read, and print its public key')
    .requiredOption('--out <file>', 'file to make; an existing one is never overwritten')
    .action(async ({ out }: { out: string }) => (await import('./new-refund-key.js')).newRefundKey(out));
  return group;
}

const commas = (text: string): string[] => text.split(',').map((part) => part.trim());

/** Satoshis per 1,000 virtual bytes. */
function feeRate(text: string): bigint {
  const [, whole_, fraction = ''] = /^([0-9]{1,6})(?:\.([0-9]{1,3}))?$/.exec(text) ?? [];
  if (whole_ === undefined) throw new InvalidArgumentError('Write satoshis per virtual byte, such as 12 or 1.5.');
  return BigInt(whole_ + fraction.padEnd(3, '0'));
}
