/** A vault on Bitcoin is its guardians' keys: nothing is made there. It opens with its first coin, which any wallet can pay. */
import { BridgeError, parseBitcoinTerms, type BitcoinTerms } from '@isthmus/bridge';
import { BitcoinError, BitcoinPool, networkOf, sweepCost, vaultKeys, vaultScript } from '@isthmus/chains';
import { CommandError } from '../said.js';
import { shownAsset, type Plan, type PlannedHome } from './plan.js';
import { OWN, type FoundedHome } from './step.js';

/** Least that opens a vault, and what a guardian keeps back for sweeps and hand-overs unless told otherwise. */
const FIRST_COIN = 10_000n;
const RESERVE = 100_000n;
/** Blocks ahead within which the first coin can be paid without anybody waiting: a day. */
const SOON = 144;
/** Within so many blocks what an estimate is asked for. */
const TARGET = 6;

/** @throws CommandError for keys or terms that are none, or that do not fit the chain as it stands */
export async function foundBitcoin(
  { chain, keys, terms: words, assets }: PlannedHome,
  plan: Plan,
): Promise<FoundedHome> {
  const { id, rpcUrls, agreement } = chain;
  const [asset] = assets;
  if (!asset || assets.length > 1) throw new CommandError(`A home on Bitcoin has its one coin, ${id}/slip44:0.`);
  try {
    const network = networkOf(id);
    const vault = vaultKeys(
      keys.map((key) => Buffer.from(key, 'hex')),
      plan.threshold,
    );
    const { address } = vaultScript(vault, network);
    const terms = parseBitcoinTerms(words ?? '');
    const pool = new BitcoinPool({ urls: rpcUrls, agreement, network });
    checkStart(terms, await pool.height());
    const rate = await pool.feeRate(TARGET);
    const least = rate === null ? 'not known: the node estimates none' : `${sweepCost(vault, network, rate)} satoshis`;
    return {
      steps: [],
      keys,
      tokens: [{ ...asset, chain: id, vault: address, terms }],
      gateway: async ([process = '']) => ({ chain, assets: [shownAsset(asset, process)] }),
      guardian: async ([process]) => ({
        chain: { id, rpcUrls: OWN.rpcUrls, agreement, ...anchorOf(chain) },
        keyFile: OWN.keyFile,
        assets: [{ id: asset.id, process }],
      }),
      left: [
        `Pay the vault its first coin, ${FIRST_COIN} satoshis at the least and the guardians' reserve (${RESERVE} unless told otherwise), in a block from ${terms.startHeight} on: ${address}`,
        `The terms take ${terms.sweepFee} satoshis of each deposit for moving it; at what the node estimates now that costs ${least}.`,
      ],
    };
  } catch (error) {
    if (error instanceof BitcoinError || error instanceof BridgeError)
      throw new CommandError(`${id}: ${error.message}`);
    throw error;
  }
}

/** What was paid before `start` is never credited, and blocks from there on are all read. */
function checkStart({ startHeight }: BitcoinTerms, height: number): void {
  if (startHeight > height + SOON)
    throw new CommandError(
      `terms: start=${startHeight} is more than ${SOON} blocks ahead of the chain, which is at ${height}: nobody would be credited before it.`,
    );
}

const anchorOf = (chain: PlannedHome['chain']): object =>
  'headerAnchor' in chain ? { headerAnchor: chain['headerAnchor'] } : {};
