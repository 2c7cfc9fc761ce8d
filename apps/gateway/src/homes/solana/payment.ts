/** How a deposit is paid in on Solana: the two instructions as they are, the transaction for whoever has said who they are, the link for wallets. */
import { encodeMemo, encodeTags } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import type { DepositRequest } from '../home.js';
import type { SolanaPayment } from './answers.js';

/** Path of the Solana Pay endpoints under the gateway's public address. */
export const PAY_PATH = 'v1/solana/pay';

type Account = SolanaPayment['instructions'][number]['accounts'][number];

/** Stands for a sender who is not named; replaced by null wherever it, or its token account, would stand. */
const NOBODY = '11111111111111111111111111111111';

/** @throws BridgeError `bad-tags` for tags a memo cannot hold */
export function paymentOf(
  vault: solana.DepositVault,
  asset: string,
  { amount, recipient, tags, sender }: DepositRequest,
  { publicUrl, blockhash }: { publicUrl: string; blockhash: string | null },
): SolanaPayment {
  const request = { sender: sender ?? NOBODY, amount: BigInt(amount), recipient, tags };
  const roleOf = (address: string): Account['role'] => {
    if (address === vault.address) return 'vault';
    if (address === vault.mint) return 'mint';
    return address === request.sender ? 'sender' : 'sender-account';
  };
  const instructions = solana.depositInstructions(vault, request).map(({ programId, keys, data }) => ({
    program: programId.toBase58(),
    accounts: keys.map(({ pubkey, isSigner, isWritable }): Account => {
      const address = pubkey.toBase58();
      const role = roleOf(address);
      const isTheirs = role === 'sender' || role === 'sender-account';
      return {
        role,
        address: isTheirs && sender === undefined ? null : address,
        signer: isSigner,
        writable: isWritable,
      };
    }),
    data: data.toString('base64'),
  }));
  return {
    vault: vault.address,
    memo: Buffer.from(encodeMemo(recipient, tags)).toString('utf8'),
    instructions,
    transaction:
      sender === undefined || blockhash === null ? null : solana.depositTransaction(vault, request, blockhash),
    link: linkOf(publicUrl, asset, { amount, recipient, tags }),
  };
}

/** Null where wallets would not open it. */
function linkOf(
  publicUrl: string,
  asset: string,
  { amount, recipient, tags }: Pick<DepositRequest, 'amount' | 'recipient' | 'tags'>,
): string | null {
  const endpoint = new URL(PAY_PATH, publicUrl.endsWith('/') ? publicUrl : `${publicUrl}/`);
  const asked = {
    asset,
    amount,
    recipient,
    ...(tags.length > 0 ? { tags: Buffer.from(encodeTags(tags)).toString() } : {}),
  };
  for (const [name, value] of Object.entries(asked)) endpoint.searchParams.set(name, value);
  try {
    return solana.payLink(endpoint);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
