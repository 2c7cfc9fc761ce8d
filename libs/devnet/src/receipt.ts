/**
 * Waiting for a transaction on a development chain. What mines a block for each transaction, and none besides, answers with the hash first: who looks
 * for the receipt too early and then waits for the next block, as viem does, may wait for one that never comes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { TransactionReceiptNotFoundError, type Hex, type TransactionReceipt } from 'viem';

/** A local chain takes milliseconds, one that mines by the clock seconds. */
const TIMEOUT_MS = 60_000;
const LOOK_MS = 10;

interface Chain {
  getTransactionReceipt(of: { hash: Hex }): Promise<TransactionReceipt>;
}

/** Receipt of a transaction, once it is mined. @throws Error when that takes more than a minute */
export async function receiptOf(chain: Chain, hash: Hex): Promise<TransactionReceipt> {
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await delay(LOOK_MS)) {
    const receipt = await chain.getTransactionReceipt({ hash }).catch((error: unknown) => {
      if (error instanceof TransactionReceiptNotFoundError) return null;
      throw error;
    });
    if (receipt) return receipt;
  }
  throw new Error(`The local chain has not mined transaction ${hash} for ${TIMEOUT_MS / 1000} s.`);
}
