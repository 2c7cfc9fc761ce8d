/** The receipt of a transaction, however late it is there: no later block comes that would have one look again. */
import { jest } from '@jest/globals';
import { TransactionReceiptNotFoundError, type TransactionReceipt } from 'viem';
import { receiptOf } from './receipt.js';

const hash = `0x${'ab'.repeat(32)}` as const;

it('is looked for again until it is there', async () => {
  const receipt = { transactionHash: hash } as TransactionReceipt;
  const answers = [
    new TransactionReceiptNotFoundError({ hash }),
    new TransactionReceiptNotFoundError({ hash }),
    receipt,
  ];
  const getTransactionReceipt = () => {
    const answer = answers.shift();
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer as TransactionReceipt);
  };
  expect(await receiptOf({ getTransactionReceipt }, hash)).toBe(receipt);
});

it('a chain that fails, or never mines it, is an error that says so', async () => {
  const gone = () => Promise.reject(new Error('no route'));
  await expect(receiptOf({ getTransactionReceipt: gone }, hash)).rejects.toThrow('no route');
  const never = () => {
    jest.spyOn(Date, 'now').mockReturnValue(Number.MAX_SAFE_INTEGER);
    return Promise.reject(new TransactionReceiptNotFoundError({ hash }));
  };
  await expect(receiptOf({ getTransactionReceipt: never }, hash)).rejects.toThrow(`not mined transaction ${hash}`);
  jest.restoreAllMocks();
});
