/**
 * A small local Arweave of our own: one node and gateway with a bundling service, served over HTTP on loopback, its weave kept in a folder.
 *
 * In a test, stepped by hand:
 *
 *     const arweave = await startArweave({ dir });               // port: a free one; no blockMs: blocks are mined by mine() only
 *     const jwk = await makeWallet();                            // RSA-4096, a second or two: once for a file of tests
 *     await arweave.mint(addressOfWallet(jwk), 10n ** 13n);
 *     …  POST ${arweave.url}/tx, /chunk, /graphql …              // as any node and gateway
 *     …  POST ${arweave.url}/bundler/tx …                        // a signed data item (application/octet-stream), as to Turbo; posted by the next mine()
 *     await arweave.mine();                                      // mine(20): twenty blocks
 *     await arweave.fork(2);                                     // its transactions wait again; {lose: true}: are unknown; {keep: [id]}: stay mined
 *     await arweave.drop(id);                                    // a waiting transaction is gone, a mined one's data is
 *     arweave.faults.fail({ count: 5 });                         // the next 5 requests: 503; {status: null}: no answer; {path: '/tx'}; no count: until heal()
 *     arweave.faults.answerWith(id, bytes);                      // other bytes for an id
 *     arweave.faults.refuseChunksAfter(2);                       // a half-posted bundle
 *     arweave.faults.lagIndexAt(7);                              // GraphQL knows of blocks up to this one only
 *     arweave.faults.heal();
 *     await arweave.stop();                                      // startArweave({ dir }) goes on from there, after kill -9 too
 *
 * The same from outside, each with POST: `/devnet/mint/<address>/<winston>`, `/devnet/mine[/n]`, `/devnet/fork/<depth>[?lose=1][&keep=id,id]`,
 * `/devnet/drop/<id>`, `/devnet/fail?count=5[&status=503|none][&path=/tx]`, `/devnet/answer/<id>` (the bytes are the body),
 * `/devnet/refuse-chunks/<k>`, `/devnet/lag-index[/height]`, `/devnet/heal`. What is under `/devnet/` never fails by a fault.
 *
 * As on the public network: a transaction is mined whether or not its chunks have come; a fork deeper than its anchor drops it; pending
 * transactions are in GraphQL with `block: null`; `/<id>` of one is 202 "Pending", which is not its data; data is kept by its root, so who drops
 * the data of one transaction drops that of all with the same data; signatures of items in bundles are not checked.
 */
import path from 'node:path';
import { portInUse } from '@isthmus/store';
import { Bundler } from './bundler.js';
import { mineByClock } from '../clock.js';
import { isDue } from './clock.js';
import { answerControl } from './control.js';
import { serve, type Answer, type Asked } from '../http.js';
import type { ArweaveOptions, LocalArweave } from './local.js';
import { ArweaveNode, type ForkOptions } from './node.js';
import { answerNode } from './routes.js';

export { addressOfWallet, makeWallet, walletOf, type Jwk } from './wallet.js';
export type { Outage } from '../outages.js';
export type { ArweaveOptions, LocalArweave } from './local.js';
export type { ForkOptions } from './node.js';

/** Starts a node, going on from its folder. @throws Error when the port is taken or the folder damaged */
export async function startArweave({ dir, port = 0, blockMs, fund = {} }: ArweaveOptions): Promise<LocalArweave> {
  // Looked at before the folder is: whoever has the port may be at work in it.
  if (await portInUse(port))
    throw new Error(
      `Port ${port} (arweave) on 127.0.0.1 is in use: free it, or set another with ISTHMUS_ARWEAVE_PORT.`,
    );
  const node = await ArweaveNode.open(path.resolve(dir));
  for (const [address, winston] of Object.entries(fund))
    if (!node.weave.wasMinted(address)) await node.mint(address, winston);
  const bundler = await Bundler.open(node, path.join(dir, 'bundler'));
  const local = {
    node,
    bundler,
    faults: node.faults,
    mint: (address: string, winston: bigint) => node.mint(address, winston),
    mine: async (blocks?: number) => {
      await bundler.flush();
      return node.mine(blocks);
    },
    fork: (depth: number, options?: ForkOptions) => node.fork(depth, options),
    drop: async (id: string) => {
      if (!(await bundler.drop(id))) await node.drop(id);
    },
  };
  const answer = async (asked: Asked): Promise<Answer | null> => {
    if (asked.path[0] === 'devnet') return answerControl(arweave, asked);
    return asked.path[0] === 'bundler' ? bundler.answer(asked) : answerNode(node, asked);
  };
  const served = await serve(port, node.faults, answer).catch(async (error: unknown) => {
    await node.close();
    throw error;
  });
  const clock =
    blockMs === undefined
      ? null
      : mineByClock(blockMs, (idleMs) => isDue(node.weave, bundler.size, idleMs), local.mine);
  const stop = async (): Promise<void> => {
    await clock?.stop();
    await served.close();
    await node.close();
  };
  const arweave: LocalArweave = { ...local, url: served.url, port: served.port, stop };
  return arweave;
}
