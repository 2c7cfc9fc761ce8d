/** What `scantxoutset` answers: the unspent outputs of some scripts. There is no index of them: all blocks are walked through, which on regtest are few. */
import { CODE, CoreError } from './core-error.js';
import { scriptOf } from './curve.js';
import type { BitcoinNode } from './node.js';
import { coins, hex } from './shapes.js';

interface Unspent {
  txid: string;
  vout: number;
  scriptPubKey: string;
  desc: string;
  amount: number;
  coinbase: boolean;
  height: number;
}

/** Descriptors looked for at once. */
const MAX_DESCRIPTORS = 25;

/** @throws CoreError for a descriptor that is neither `addr(…)` nor `raw(…)`: no others are answered here */
export async function unspentOf(node: BitcoinNode, descriptors: unknown): Promise<Record<string, unknown>> {
  const wanted = scriptsOf(descriptors);
  const unspents: Unspent[] = [];
  let [txouts, total] = [0, 0n];
  for (let height = 1; height <= node.height; height += 1) {
    const block = await node.chain.getBlock((await node.entryAt(height)).hash);
    for (const tx of block?.txs ?? [])
      for (const vout of tx.outputs.keys()) {
        const coin = await node.chain.getCoin(tx.hash('hex'), vout);
        if (!coin) continue;
        txouts += 1;
        const scriptPubKey = hex(coin.script.toRaw());
        const desc = wanted.get(scriptPubKey);
        if (desc === undefined) continue;
        total += BigInt(coin.value);
        const { coinbase } = coin;
        unspents.push({ txid: tx.txid(), vout, scriptPubKey, desc, amount: coins(coin.value), coinbase, height });
      }
  }
  const { tip } = node.chain;
  return { success: true, txouts, height: tip.height, bestblock: tip.rhash(), unspents, total_amount: coins(total) };
}

/** Descriptors by their script in hex. */
function scriptsOf(descriptors: unknown): Map<string, string> {
  if (!Array.isArray(descriptors) || descriptors.length === 0 || descriptors.length > MAX_DESCRIPTORS)
    throw new CoreError(CODE.misc, 'scanobjects argument is required for the start action.');
  return new Map(
    descriptors.map((one: unknown) => {
      const text = typeof one === 'string' ? one : '';
      const [, kind, inner = ''] = /^(raw|addr)\(([a-zA-Z0-9]+)\)$/.exec(text) ?? [];
      if (kind === 'raw' && /^(?:[0-9a-f]{2})+$/.test(inner)) return [inner, text];
      if (kind !== 'addr') throw new CoreError(CODE.invalidAddressOrKey, `'${text.slice(0, 80)}' is not answered here`);
      try {
        return [hex(scriptOf(inner)), text];
      } catch {
        throw new CoreError(CODE.invalidAddressOrKey, 'Address is not valid');
      }
    }),
  );
}
