/** What a token process says of its own totals, asked in the replay's machine. */
import type { Rerun } from '@isthmus/ao';
import { parseAmount } from '@isthmus/bridge';

/** Nobody, asking what anybody may. */
const READER = '0x0000000000000000000000000000000000000001';

/** Base units. */
export interface TokenTotals {
  minted: bigint;
  burned: bigint;
  released: bigint;
}

/** Null when the process goes no further on this machine. @throws Error when it is no token of the bridge, or does not answer */
export async function totalsOf(rerun: Rerun, process: string): Promise<TokenTotals | null> {
  const result = await rerun.read(process, {
    Id: 'read',
    Owner: READER,
    From: READER,
    Target: process,
    Anchor: '',
    Data: '',
    Tags: [{ name: 'Action', value: 'Bridge-Info' }],
    Module: '',
    Epoch: 0,
    Nonce: rerun.at(process),
    Timestamp: 0,
    'Block-Height': '0',
    'Hash-Chain': '',
    Cron: false,
  });
  if (!result) return null;
  if (result.Error !== undefined) throw new Error(`Process ${process} cannot say its totals: ${result.Error}`);
  const info = JSON.parse(result.Messages[0]?.Data ?? '{}') as Record<string, unknown>;
  return {
    minted: parseAmount(info['minted']),
    burned: parseAmount(info['burned']),
    released: parseAmount(info['released']),
  };
}
