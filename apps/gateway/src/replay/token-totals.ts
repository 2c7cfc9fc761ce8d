/** What a token process says of its own totals, asked in the replay's machine. */
import type { Rerun } from '@isthmus/ao';
import { parseAmount } from '@isthmus/bridge';
import { answerIn, BRIDGE_INFO, READER } from '../transfers/token-answers.js';

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
    Tags: [{ name: 'Action', value: BRIDGE_INFO }],
    Module: '',
    Epoch: 0,
    Nonce: rerun.at(process),
    Timestamp: 0,
    'Block-Height': '0',
    'Hash-Chain': '',
    Cron: false,
  });
  if (!result) return null;
  const info = (answerIn(process, BRIDGE_INFO, result) ?? {}) as Record<string, unknown>;
  return {
    minted: parseAmount(info['minted']),
    burned: parseAmount(info['burned']),
    released: parseAmount(info['released']),
  };
}
