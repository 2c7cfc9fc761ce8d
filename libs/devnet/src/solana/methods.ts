/** What a validator's JSON-RPC answers, from the ledger as one source shows it. What is not here is refused by name, never made up. */
import { fromBase58 } from '@isthmus/bridge';
import { VersionedMessage } from '@solana/web3.js';
import { accountJson, blockJson, innerJson, returnJson, transactionJson } from './encode.js';
import { CODE, phraseOf, RpcRefusal, type TransactionError } from './error.js';
import { memoOf, type Block, type Executed, type Ledger, type Located } from './ledger.js';
import {
  addressOf,
  commitmentOf,
  countOf,
  encodingOf,
  flag,
  invalid,
  Params,
  signatureOf,
  type Fields,
} from './params.js';
import type { Outcome } from './runtime.js';
import type { Source } from './source.js';
import { decimalsOf, tokenState, TOKEN_PROGRAMS, uiAmount } from './tokens.js';
import { feeOf, readWire, type Wire } from './wire.js';

/** As many signatures in one answer, addresses and statuses in one question as a validator allows. */
const MAX_SIGNATURES = 1_000;
const MAX_ACCOUNTS = 100;
const MAX_STATUSES = 256;
const MAX_BLOCKS = 500_000;
/** The faucet's gift at most: 1,000,000 SOL, so that all amounts stay exact in JSON. */
const MAX_AIRDROP = 10 ** 15;
const VERSION = { 'solana-core': '4.0.0', 'feature-set': 0 };

export interface Node {
  ledger: Ledger;
  genesisHash: string;
  source: Source;
  airdrop: (address: string, lamports: bigint) => Executed;
}

type Method = (node: Node, params: Params) => unknown;

/** @throws RpcRefusal */
export function answer(node: Node, method: string, values: readonly unknown[]): unknown {
  const found = Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
  if (!found) throw new RpcRefusal(CODE.method, `This local chain does not answer ${method.slice(0, 60)}.`);
  return found(node, new Params(values));
}

const METHODS: { readonly [name: string]: Method } = {
  getVersion: () => VERSION,
  getHealth: () => 'ok',
  getGenesisHash: ({ genesisHash }) => genesisHash,
  getSlot: (node, p) => head(node, p.options(0)).slot,
  getBlockHeight: (node, p) => head(node, p.options(0)).height,
  getEpochInfo: (node, p) => {
    const { slot, height } = head(node, p.options(0));
    return {
      absoluteSlot: slot,
      blockHeight: height,
      epoch: 0,
      slotIndex: slot,
      slotsInEpoch: 432_000,
      transactionCount: null,
    };
  },
  getLatestBlockhash: (node, p) => {
    const at = head(node, p.options(0));
    const named = at.blockhash === '' ? (node.ledger.lifetime(at.previousBlockhash) ?? at) : at;
    return within(at, { blockhash: named.blockhash, lastValidBlockHeight: named.height + 150 });
  },
  isBlockhashValid: (node, p) => within(head(node, p.options(1)), node.ledger.lifetime(p.text(0)) !== undefined),
  getBlockTime: (node, p) => blockAt(node, p.count(0)).time,
  getBlock: (node, p) => {
    const options = p.options(1);
    const commitment = commitmentOf(options);
    if (commitment === 'processed') throw invalid('Method does not support commitment below `confirmed`');
    const block = blockAt(node, p.count(0));
    if (block.height > head(node, options).height) throw notAvailable(block.slot);
    return blockJson(block, {
      encoding: encodingOf(options, 'json'),
      details: typeof options['transactionDetails'] === 'string' ? options['transactionDetails'] : 'full',
      maxVersion: versionOf(options),
      rewards: options['rewards'] !== false,
    });
  },
  getBlocks: (node, p) => {
    const options = p.options(p.has(1) && typeof p.at(1) === 'number' ? 2 : 1);
    const first = p.count(0);
    const last = typeof p.at(1) === 'number' ? p.count(1) : head(node, options).slot;
    if (last - first > MAX_BLOCKS) throw invalid(`Slot range too large; max ${MAX_BLOCKS}`);
    const newest = head(node, options).slot;
    return node.ledger.slots().filter((s) => s >= first && s <= last && s <= newest);
  },
  getFirstAvailableBlock: ({ ledger }) => ledger.slots()[0] ?? 0,
  minimumLedgerSlot: ({ ledger }) => ledger.slots()[0] ?? 0,
  getSignaturesForAddress: signaturesForAddress,
  getTransaction: (node, p) => {
    const options = p.options(1);
    if (commitmentOf(options) === 'processed') throw invalid('Method does not support commitment below `confirmed`');
    const found = seen(node, p.signature(0), options);
    if (found === null || node.source.hides(found.executed.wire.signature)) return null;
    const { block, executed } = found;
    const shown = node.source.cut(executed);
    return {
      slot: block.slot,
      blockTime: block.time,
      ...transactionJson(shown, encodingOf(options, 'json'), versionOf(options)),
    };
  },
  getSignatureStatuses: (node, p) => {
    const now = node.ledger.head('processed', node.source.behind);
    const statuses = p.list(0, MAX_STATUSES).map((s) => statusOf(node, signatureOf(s)));
    return within(now, statuses);
  },
  sendTransaction,
  simulateTransaction,
  getFeeForMessage: (node, p) => {
    const message = VersionedMessage.deserialize(Buffer.from(p.text(0), 'base64'));
    const signatures = Buffer.alloc(64 * message.header.numRequiredSignatures);
    const wire = readWire(
      Buffer.concat([Buffer.of(message.header.numRequiredSignatures), signatures, Buffer.from(message.serialize())]),
    );
    const known = node.ledger.lifetime(wire.blockhash) !== undefined || node.ledger.runtime.nonceIsGood(wire);
    return within(head(node, p.options(1)), known ? Number(feeOf(wire)) : null);
  },
  getRecentPrioritizationFees: ({ ledger }) =>
    ledger
      .slots()
      .slice(-150)
      .map((slot) => ({ slot, prioritizationFee: 0 })),
  getMinimumBalanceForRentExemption: ({ ledger }, p) => Number(ledger.runtime.rentExempt(p.count(0))),
  getAccountInfo: (node, p) => {
    const options = p.options(1);
    return within(head(node, options), account(node, p.address(0), options));
  },
  getMultipleAccounts: (node, p) => {
    const options = p.options(1);
    const values = p.list(0, MAX_ACCOUNTS).map((a) => account(node, addressOf(a), options));
    return within(head(node, options), values);
  },
  getBalance: (node, p) => {
    const at = head(node, p.options(1));
    return within(at, Number(node.ledger.accountAt(p.address(0), at)?.lamports ?? 0n));
  },
  getTokenAccountBalance: (node, p) => {
    const at = head(node, p.options(1));
    const state = tokenState(node.ledger.accountAt(p.address(0), at));
    if (state === null) throw invalid('Invalid param: could not find account');
    return within(at, uiAmount(state.amount, decimalsOf(node.ledger.accountAt(state.mint, at))));
  },
  getTokenSupply: (node, p) => {
    const at = head(node, p.options(1));
    const mint = node.ledger.accountAt(p.address(0), at);
    if (mint === null || mint.data.length < 82) throw invalid('Invalid param: could not find mint');
    return within(at, uiAmount(mint.data.readBigUInt64LE(36), decimalsOf(mint)));
  },
  getTokenAccountsByOwner: (node, p) => {
    const owner = p.address(0);
    const filter = p.options(1);
    const options = p.options(2);
    const programs = filter['programId'] === undefined ? TOKEN_PROGRAMS : [addressOf(filter['programId'])];
    const mint = filter['mint'] === undefined ? null : addressOf(filter['mint']);
    const found = programs
      .flatMap((program) => node.ledger.runtime.owned(program))
      .filter(({ state }) => {
        const token = tokenState(state);
        return token?.owner === owner && (mint === null || token.mint === mint);
      });
    const encoding = encodingOf(options, 'base64');
    return within(
      head(node, options),
      found.map(({ address, state }) => ({ pubkey: address, account: accountJson(state, encoding) })),
    );
  },
  requestAirdrop: (node, p) => {
    const lamports = p.count(1);
    if (lamports > MAX_AIRDROP) throw invalid(`The faucet gives at most ${MAX_AIRDROP} lamports at once.`);
    return node.airdrop(p.address(0), BigInt(lamports)).wire.signature;
  },
};

const within = (at: Block, value: unknown) => ({
  context: { slot: at.slot, apiVersion: VERSION['solana-core'] },
  value,
});

/** @throws RpcRefusal when this source has not come to the slot the caller has seen elsewhere */
function head(node: Node, options: Fields): Block {
  const block = node.ledger.head(commitmentOf(options), node.source.behind);
  const least = options['minContextSlot'];
  if (least !== undefined && least !== null && block.slot < countOf(least, 'a slot'))
    throw new RpcRefusal(CODE.minContextSlot, 'Minimum context slot has not been reached', { contextSlot: block.slot });
  return block;
}

function notAvailable(slot: number): RpcRefusal {
  return new RpcRefusal(CODE.blockNotAvailable, `Block not available for slot ${slot}`);
}

function blockAt(node: Node, slot: number): Block {
  const block = node.ledger.blockAt(slot);
  if (block !== undefined && block.blockhash !== '') return block;
  if (slot >= node.ledger.open.slot) throw notAvailable(slot);
  throw new RpcRefusal(CODE.slotSkipped, `Slot ${slot} was skipped, or missing due to ledger jump to recent snapshot`);
}

function versionOf(options: Fields): number | undefined {
  const version = options['maxSupportedTransactionVersion'];
  return version === undefined || version === null ? undefined : countOf(version, 'a version');
}

/** A transaction as far as this source shows its block. */
function seen(node: Node, signature: string, options: Fields): Located | null {
  const found = node.ledger.find(signature);
  return found !== undefined && found.block.height <= head(node, options).height ? found : null;
}

function statusOf(node: Node, signature: string) {
  const found = seen(node, signature, { commitment: 'processed' });
  if (found === null) return null;
  const { block, executed } = found;
  const is = (commitment: 'finalized' | 'confirmed'): boolean =>
    block.height <= node.ledger.heightAt(commitment, node.source.behind);
  const confirmationStatus = is('finalized') ? 'finalized' : is('confirmed') ? 'confirmed' : 'processed';
  return {
    slot: block.slot,
    confirmations: confirmationStatus === 'finalized' ? null : node.ledger.open.height - block.height,
    err: executed.err,
    status: executed.err === null ? { Ok: null } : { Err: executed.err },
    confirmationStatus,
  };
}

function signaturesForAddress(node: Node, p: Params): unknown {
  const address = p.address(0);
  const options = p.options(1);
  if (commitmentOf(options) === 'processed') throw invalid('Method does not support commitment below `confirmed`');
  const limit = options['limit'] === undefined ? MAX_SIGNATURES : countOf(options['limit'], 'a limit');
  if (limit < 1 || limit > MAX_SIGNATURES) throw invalid(`Invalid limit; max ${MAX_SIGNATURES}`);
  const { height } = head(node, options);
  const known = node.ledger.signatures(address);
  const placeOf = (name: 'before' | 'until'): number | null =>
    options[name] === undefined || options[name] === null ? null : known.lastIndexOf(signatureOf(options[name]));
  const before = placeOf('before');
  if (before === -1) return [];
  const stop = placeOf('until') ?? -1;
  const found = [];
  for (let i = (before ?? known.length) - 1; i > stop && found.length < limit; i -= 1) {
    const located = node.ledger.find(known[i] ?? '');
    if (located === undefined || located.block.height > height) continue;
    const { block, executed } = located;
    found.push({
      signature: executed.wire.signature,
      slot: block.slot,
      err: executed.err,
      memo: memoOf(executed),
      blockTime: block.time,
      confirmationStatus:
        block.height <= node.ledger.heightAt('finalized', node.source.behind) ? 'finalized' : 'confirmed',
    });
  }
  return found;
}

function account(node: Node, address: string, options: Fields) {
  const slice = options['dataSlice'];
  const part =
    typeof slice === 'object' && slice !== null
      ? {
          offset: countOf((slice as Fields)['offset'], 'an offset'),
          length: countOf((slice as Fields)['length'], 'a length'),
        }
      : undefined;
  return accountJson(node.ledger.accountAt(address, head(node, options)), encodingOf(options, 'base64'), part);
}

function wireOf(p: Params, options: Fields): Wire {
  const encoding = options['encoding'] ?? 'base58';
  const text = p.text(0);
  if (encoding === 'base64') return readWire(Buffer.from(text, 'base64'));
  if (encoding !== 'base58') throw invalid('Invalid params: a transaction is base64 or base58');
  let bytes: Uint8Array;
  try {
    bytes = fromBase58(text);
  } catch {
    throw invalid('invalid base58 encoding');
  }
  return readWire(Buffer.from(bytes));
}

/** Preflight sees the open block, whatever commitment it is asked for: what it lets through is executed at once. */
function sendTransaction(node: Node, p: Params): unknown {
  const options = p.options(1);
  const wire = wireOf(p, options);
  if (!flag(options, 'skipPreflight')) {
    const refused = node.ledger.refusal(wire);
    const tried = refused === null ? node.ledger.runtime.simulate(wire, true) : null;
    const err = refused ?? tried?.err ?? null;
    if (err === 'SignatureFailure') throw new RpcRefusal(CODE.signature, 'Transaction signature verification failure');
    if (err !== null)
      throw new RpcRefusal(
        CODE.preflight,
        `Transaction simulation failed: ${phraseOf(err)}`,
        simulationJson(err, tried),
      );
  }
  node.ledger.submit(wire); // without preflight a validator does not say either whether it got into a block
  return wire.signature;
}

function simulationJson(err: TransactionError | null, tried: Outcome | null) {
  return {
    err,
    logs: tried?.logs ?? [],
    accounts: null,
    unitsConsumed: tried?.units ?? 0,
    returnData: tried?.returnData ? returnJson(tried.returnData) : null,
    innerInstructions: null,
  };
}

function simulateTransaction(node: Node, p: Params): unknown {
  const options = p.options(1);
  const wire = wireOf(p, options);
  const replace = flag(options, 'replaceRecentBlockhash');
  const verify = flag(options, 'sigVerify');
  if (verify && replace) throw invalid('sigVerify may not be used with replaceRecentBlockhash');
  const at = head(node, options);
  const refused = replace ? null : node.ledger.refusal(wire);
  if (refused !== null) return within(at, simulationJson(refused, null));
  const tried = node.ledger.runtime.simulate(wire, verify);
  const wanted = options['accounts'];
  const addresses =
    typeof wanted === 'object' && wanted !== null
      ? new Params([(wanted as Fields)['addresses']]).list(0, MAX_ACCOUNTS)
      : null;
  return within(at, {
    ...simulationJson(tried.err, tried),
    accounts: addresses?.map((a) => accountJson(tried.after.get(addressOf(a)) ?? null, 'base64')) ?? null,
    innerInstructions: flag(options, 'innerInstructions') ? innerJson(tried) : null,
    ...(replace
      ? { replacementBlockhash: { blockhash: at.previousBlockhash, lastValidBlockHeight: at.height + 150 } }
      : {}),
  });
}
