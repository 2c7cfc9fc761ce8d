/** What Solana's side of the bridge is named by, and the memo that says whose a deposit is. */
import { isAoAddress } from './address.js';
import { isBase58 } from './base58.js';
import { BridgeError } from './errors.js';
import { decodeTags, decodeUtf8, encodeTags, type DepositTag } from './tags.js';

/** A memo stands in a transaction of 1,232 bytes, beside two signatures and a transfer. */
export const MAX_MEMO_BYTES = 700;
const PREFIX = 'ao:';

/** CAIP-2 of a cluster, from its genesis hash. @throws BridgeError `bad-reference` */
export function solanaChain(genesisHash: string): string {
  if (!isBase58(genesisHash, 32)) throw new BridgeError('bad-reference', 'A genesis hash is base58 of 32 bytes.');
  return `solana:${genesisHash.slice(0, 32)}`;
}

/** CAIP-19 of a mint; null stands for SOL. @throws BridgeError `bad-address` */
export function solanaAssetId(chain: string, mint: string | null): string {
  if (mint === null) return `${chain}/slip44:501`;
  if (!isSolanaAddress(mint)) throw new BridgeError('bad-address', 'A mint is base58 of 32 bytes.');
  return `${chain}/token:${mint}`;
}

/** The inverse of `solanaAssetId`: the mint an asset's id names, null for SOL; undefined for what is no asset of Solana. */
export function solanaMintOf(id: string): string | null | undefined {
  const chain = id.slice(0, Math.max(id.indexOf('/'), 0));
  if (id === solanaAssetId(chain, null)) return null;
  const mint = id.slice(`${chain}/token:`.length);
  return isSolanaAddress(mint) && id === solanaAssetId(chain, mint) ? mint : undefined;
}

/** Whether `text` is base58 of 32 bytes. */
export function isSolanaAddress(text: unknown): text is string {
  return isBase58(text, 32);
}

/** Whose a deposit is; `tags` null when they break the rules, which never stops the money. */
export interface DepositMemo {
  recipient: string;
  tags: DepositTag[] | null;
}

/** `ao:<recipient>`, then a line for each tag. @throws BridgeError `bad-address`, `bad-tags` */
export function encodeMemo(recipient: string, tags: readonly DepositTag[] = []): Uint8Array {
  if (!isAoAddress(recipient))
    throw new BridgeError(
      'bad-address',
      'An AO recipient is a 43-character Arweave address or a checksummed 0x address.',
    );
  const lines = Buffer.from(encodeTags(tags)).toString('utf8');
  const memo = Buffer.from(`${PREFIX}${recipient}${lines === '' ? '' : `\n${lines}`}`);
  if (memo.length > MAX_MEMO_BYTES)
    throw new BridgeError('bad-tags', `A memo has at most ${MAX_MEMO_BYTES} bytes: use fewer or shorter tags.`);
  return memo;
}

/** Reads a memo; null when it names no AO recipient in the one form there is, or is not UTF-8. */
export function decodeMemo(bytes: Uint8Array): DepositMemo | null {
  const end = bytes.indexOf(10);
  const first = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
  const recipient = first.slice(PREFIX.length);
  if (decodeUtf8(bytes) === null || !first.startsWith(PREFIX) || !isAoAddress(recipient)) return null;
  if (end < 0) return { recipient, tags: [] };
  const rest = bytes.subarray(end + 1);
  return { recipient, tags: rest.length === 0 ? null : decodeTags(rest) };
}
