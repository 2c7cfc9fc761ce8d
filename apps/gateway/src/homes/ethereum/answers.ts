/** What answers about a chain, an asset and a deposit have on Ethereum only. */
import { z } from 'zod';
import { address, amount } from '../../api/fields.js';

export const ethereumChain = {
  vault: address('The vault, EIP-55'),
  deployBlock: z.int().describe('The block the vault was deployed in: a guardian begins there'),
  finality: z
    .union([z.strictObject({ tag: z.enum(['finalized', 'safe']) }), z.strictObject({ confirmations: z.int() })])
    .describe('When a block counts as final'),
};

export const ethereumAsset = {
  address: address('Contract on the chain, the zero address for its coin'),
};

export const ethereumPayment = {
  approve: z
    .strictObject({
      token: address('The token'),
      spender: address('Who may take it: the vault'),
      amount: amount('How much'),
      note: z.string(),
    })
    .nullable()
    .describe('What to approve first; null for the chain’s coin'),
  call: z
    .strictObject({
      to: address('The vault'),
      value: amount('Coin to send along'),
      data: z.string().regex(/^0x[0-9a-f]*$/),
      function: z.string(),
    })
    .describe('The transaction to send, as it is'),
};

type Fields<S extends z.ZodRawShape> = z.infer<z.ZodObject<S>>;
export type EthereumChainFields = Fields<typeof ethereumChain>;
export type EthereumAssetFields = Fields<typeof ethereumAsset>;
export type EthereumPayment = Fields<typeof ethereumPayment>;
