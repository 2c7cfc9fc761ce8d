/**
 * A local Bitcoin of our own: a real regtest full node (bcoin) that answers on loopback as Bitcoin Core does.
 *
 * In a test, stepped by hand:
 *
 *     const bitcoin = await startBitcoin();               // in memory, a free port; its soft forks are active
 *     …  POST bitcoin.url, basic auth bitcoin.credentials …
 *     const purse = Purse.of('payer');                    // startBitcoin({ reward: purse.script }) makes it rich
 *     await bitcoin.send(await purse.pay(bitcoin.node, [{ address, value: 100_000n }]));
 *     await bitcoin.mine(6);                               // mine(1, { script }): pays to a script; { only: [hex] }: these and nothing else
 *     await bitcoin.branch(2);                             // three other blocks take the place of the last two; { only: [hex] } are in the first
 *     await bitcoin.send(hex);                             // into the mempool, or refused with Core's code and words
 *     bitcoin.fees.estimate = 25_000n;                     // what estimatesmartfee says; bitcoin.fees.floor: least that is relayed
 *     bitcoin.outages.fail({ count: 3 });                  // the next three requests: HTTP 503; { status: null }: no answer; heal()
 *     await bitcoin.stop();
 *
 * With a folder it goes on from there, also after kill -9; what waited in the mempool is kept by an orderly end only, as with Core.
 *
 * Not as Core: no peers, no wallet but one that pays (`wallet`); taproot is not checked by its consensus, so a P2TR output may be paid but proves nothing when spent.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { portInUse } from '@isthmus/store';
import { mineByClock } from '../clock.js';
import { serve } from '../http.js';
import { Outages } from '../outages.js';
import type { FeeLevel } from './acceptance.js';
import { Front } from './front.js';
import { Purse } from './purse.js';
import { walletMethods } from './wallet.js';
import { BitcoinNode, type BranchOptions, type MineOptions } from './node.js';

export type { FeeLevel } from './acceptance.js';
export { Purse } from './purse.js';
export type { BranchOptions, MineOptions } from './node.js';

/** Blocks after which a transaction needs no more of them. */
const SETTLED_DEPTH = 7;
/** An idle chain still grows a little, for whatever looks at its height. */
const HEARTBEAT_MS = 60_000;
/** Where Core leaves what a client on the same machine logs in with. */
export const COOKIE_FILE = '.cookie';

export interface BitcoinOptions {
  /** Folder the chain is kept in; none: in memory. */
  dir?: string;
  /** 0 or none: a free one. */
  port?: number;
  /** From one block to the next while something waits or is not yet settled; none: blocks come by `mine` only. */
  blockMs?: number;
  /** Whom a new chain's first rewards go to: nearly all coins there will be. */
  reward?: Uint8Array;
  /** Has those rewards, and pays from them by `sendtoaddress`. */
  wallet?: Purse;
  /** `user:password`; else made up, and left in the folder's `.cookie`. */
  credentials?: string;
}

export interface LocalBitcoin {
  url: string;
  port: number;
  /** `user:password` */
  credentials: string;
  node: BitcoinNode;
  fees: FeeLevel;
  outages: Outages;
  mine: (blocks?: number, options?: MineOptions) => Promise<string[]>;
  branch: (depth: number, options?: BranchOptions) => Promise<string[]>;
  send: (hex: string) => Promise<string>;
  stop: () => Promise<void>;
}

/** Starts a node, going on from its folder. @throws Error when the port is taken */
export async function startBitcoin({
  dir,
  port = 0,
  blockMs,
  wallet,
  reward = wallet?.script,
  credentials,
}: BitcoinOptions = {}): Promise<LocalBitcoin> {
  // Looked at before the folder is: whoever has the port may be at work in it.
  if (await portInUse(port))
    throw new Error(
      `Port ${port} (bitcoin) on 127.0.0.1 is in use: free it, or set another with ISTHMUS_BITCOIN_PORT.`,
    );
  const node = await BitcoinNode.open(dir === undefined ? null : path.resolve(dir), reward);
  const login = credentials ?? `__cookie__:${randomBytes(32).toString('hex')}`;
  const front = new Front(node, login, wallet && walletMethods(wallet));
  const outages = new Outages();
  const served = await serve(port, outages, (asked) => front.answer(asked)).catch(async (error: unknown) => {
    await node.close();
    throw error;
  });
  if (dir !== undefined) await fs.writeFile(path.join(dir, COOKIE_FILE), login, { mode: 0o600 });
  const mine = (blocks?: number, options?: MineOptions) => front.alone(() => node.mine(blocks, options));
  const clock = blockMs === undefined ? null : mineByClock(blockMs, dueBy(node), () => mine());
  const stop = async (): Promise<void> => {
    await clock?.stop();
    await served.close();
    await front.alone(() => node.close());
  };
  return {
    url: served.url,
    port: served.port,
    credentials: login,
    node,
    fees: node.acceptance.fees,
    outages,
    mine,
    branch: (depth, options) => front.alone(() => node.branch(depth, options)),
    send: (hex) => front.alone(() => node.send(hex)),
    stop,
  };
}

/** While something waits, and for some blocks after. */
function dueBy(node: BitcoinNode): (idleMs: number) => boolean {
  let busyUntil = 0;
  return (idleMs) => {
    if (node.mempool.map.size > 0) busyUntil = node.height + SETTLED_DEPTH;
    return node.height < busyUntil || idleMs >= HEARTBEAT_MS;
  };
}
