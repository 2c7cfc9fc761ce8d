/** JSON as a validator writes it. Lamports are JSON numbers there: a local chain's stay far below 2^53. */
import { toBase58 } from '@isthmus/bridge';
import { CODE, RpcRefusal } from './error.js';
import type { Block, Executed, TokenBalance } from './ledger.js';
import type { AccountState, InnerInstruction, Outcome } from './runtime.js';
import { uiAmount } from './tokens.js';

export type Encoding = 'json' | 'base64' | 'base58';

/** The newest 2^64 - 1, as JavaScript's numbers come nearest to it: what accounts that pay no rent have. */
const NO_RENT_EPOCH = Number(2n ** 64n - 1n);
/** Agave refuses longer data in this encoding. */
const MAX_BASE58_DATA = 128;

export function accountJson(
  state: AccountState | null,
  encoding: Encoding,
  slice?: { offset: number; length: number },
) {
  if (state === null) return null;
  const data = slice === undefined ? state.data : state.data.subarray(slice.offset, slice.offset + slice.length);
  if (encoding === 'base58' && data.length > MAX_BASE58_DATA)
    throw new RpcRefusal(
      CODE.request,
      'Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.',
    );
  return {
    lamports: Number(state.lamports),
    owner: state.owner,
    data: encoding === 'base58' ? [toBase58(data), 'base58'] : [data.toString('base64'), 'base64'],
    executable: state.executable,
    rentEpoch: NO_RENT_EPOCH,
    space: state.data.length,
  };
}

/** A block's transaction; `maxVersion` is the newest version the caller can read. */
export function transactionJson(executed: Executed, encoding: Encoding, maxVersion: number | undefined) {
  const { transaction } = executed.wire;
  const versioned = transaction.message.version === 0;
  if (versioned && maxVersion === undefined)
    throw new RpcRefusal(
      CODE.version,
      'Transaction version (0) is not supported by the requesting client. Please try the request again with the following configuration parameter: "maxSupportedTransactionVersion": 0',
    );
  return {
    transaction: encoding === 'json' ? bodyJson(executed) : encoded(executed.wire.bytes, encoding),
    meta: metaJson(executed, versioned || maxVersion !== undefined),
    ...(maxVersion === undefined ? {} : { version: versioned ? 0 : 'legacy' }),
  };
}

function encoded(bytes: Buffer, encoding: 'base64' | 'base58'): [string, string] {
  return encoding === 'base64' ? [bytes.toString('base64'), encoding] : [toBase58(bytes), encoding];
}

function bodyJson({ wire }: Executed) {
  const { message, signatures } = wire.transaction;
  const { numRequiredSignatures, numReadonlySignedAccounts, numReadonlyUnsignedAccounts } = message.header;
  return {
    signatures: signatures.map((s) => toBase58(s)),
    message: {
      accountKeys: wire.staticKeys,
      header: { numRequiredSignatures, numReadonlySignedAccounts, numReadonlyUnsignedAccounts },
      recentBlockhash: wire.blockhash,
      instructions: wire.instructions.map((one) => instructionJson({ ...one, stackHeight: null })),
      ...(message.version === 0
        ? {
            addressTableLookups: message.addressTableLookups.map((t) => ({
              accountKey: t.accountKey.toBase58(),
              writableIndexes: t.writableIndexes,
              readonlyIndexes: t.readonlyIndexes,
            })),
          }
        : {}),
    },
  };
}

function instructionJson(one: Omit<InnerInstruction, 'stackHeight'> & { stackHeight: number | null }) {
  const { programIdIndex, accounts, data, stackHeight } = one;
  return { programIdIndex, accounts, data: toBase58(data), stackHeight };
}

function metaJson(executed: Executed, showLoaded: boolean) {
  const { err, fee, before, after, logs, loaded, units, returnData } = executed;
  return {
    err,
    status: err === null ? { Ok: null } : { Err: err },
    fee: Number(fee),
    preBalances: before.lamports.map(Number),
    postBalances: after.lamports.map(Number),
    preTokenBalances: before.tokens.map(tokenJson),
    postTokenBalances: after.tokens.map(tokenJson),
    innerInstructions: innerJson(executed),
    logMessages: logs,
    rewards: [],
    computeUnitsConsumed: units,
    ...(showLoaded ? { loadedAddresses: loaded } : {}),
    ...(returnData === null ? {} : { returnData: returnJson(returnData) }),
  };
}

function tokenJson({ accountIndex, mint, owner, programId, amount, decimals }: TokenBalance) {
  return { accountIndex, mint, owner, programId, uiTokenAmount: uiAmount(amount, decimals) };
}

export function innerJson({ inner }: Outcome) {
  return inner.map(({ index, instructions }) => ({ index, instructions: instructions.map(instructionJson) }));
}

export function returnJson({ programId, data }: { programId: string; data: Buffer }) {
  return { programId, data: [data.toString('base64'), 'base64'] };
}

/** A block with as much of its transactions as was asked for. */
export function blockJson(
  block: Block,
  options: { encoding: Encoding; details: string; maxVersion: number | undefined; rewards: boolean },
) {
  const { encoding, details, maxVersion, rewards } = options;
  return {
    blockHeight: block.height,
    blockTime: block.time,
    blockhash: block.blockhash,
    parentSlot: block.parentSlot,
    previousBlockhash: block.previousBlockhash,
    ...(rewards ? { rewards: [] } : {}),
    ...(details === 'full'
      ? { transactions: block.transactions.map((t) => transactionJson(t, encoding, maxVersion)) }
      : {}),
    ...(details === 'signatures' ? { signatures: block.transactions.map((t) => t.wire.signature) } : {}),
  };
}
