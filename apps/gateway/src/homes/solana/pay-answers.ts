/** What a wallet is answered that opens a Solana Pay transaction request (https://docs.solanapay.com, transaction requests). */
import { z } from 'zod';

const label = z.strictObject({
  label: z.string().describe('Who asks for the transaction'),
  icon: z.url().describe('A picture of it'),
});
const transaction = z.strictObject({
  transaction: z
    .string()
    .regex(/^[A-Za-z0-9+/]+={0,2}$/)
    .describe('To be signed by the wallet and sent, base64'),
  message: z.string().describe('What it does, for people'),
});

export const paySchemas = { SolanaPayLabel: label, SolanaPayTransaction: transaction };
export type SolanaPayLabel = z.infer<typeof label>;
export type SolanaPayTransaction = z.infer<typeof transaction>;
