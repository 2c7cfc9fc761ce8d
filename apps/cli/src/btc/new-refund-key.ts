/** `isthmus btc new-refund-key`: a key of the depositor's own, of which only the public part is ever shown. */
import { publicKeyOf } from '@isthmus/chains';
import { newKeyFile } from '../keys.js';

/** @throws CommandError for a file that is there or cannot be made */
export function newRefundKey(out: string): void {
  const { file, key } = newKeyFile(out);
  console.log(
    `refund key in ${file}: keep it with the recovery file, nobody can replace it\npublic key ${publicKeyOf(Buffer.from(key.slice(2), 'hex'))}`,
  );
}
