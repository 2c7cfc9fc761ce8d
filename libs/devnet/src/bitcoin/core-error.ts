/** A refusal in the words and with the codes of Bitcoin Core's JSON-RPC. */

/** Codes of Bitcoin Core, src/rpc/protocol.h. */
export const CODE = {
  parse: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  misc: -1,
  type: -3,
  invalidAddressOrKey: -5,
  insufficientFunds: -6,
  invalidParameter: -8,
  deserialization: -22,
  /** What it spends is missing or spent, or its fee is beyond what was allowed. */
  transaction: -25,
  rejected: -26,
  alreadyInChain: -27,
} as const;

export class CoreError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
    this.name = 'CoreError';
  }
}
