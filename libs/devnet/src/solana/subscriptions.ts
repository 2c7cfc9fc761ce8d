/** Subscriptions of one websocket: signatures, logs, accounts, slots. Each notification follows from the ledger after it changed. */
import { accountJson } from './encode.js';
import { CODE, RpcRefusal } from './error.js';
import type { Block, Commitment, Executed } from './ledger.js';
import type { Node } from './methods.js';
import { addressOf, commitmentOf, encodingOf, invalid, Params } from './params.js';

/** Subscriptions of one connection at most. */
const MAX_SUBSCRIPTIONS = 1_000;

interface Subscription {
  /** Looks whether there is something to tell; true ends it. */
  look: (executed: Executed | null) => boolean;
}

export class Subscriptions {
  private readonly active = new Map<number, Subscription>();
  private next = 1;
  private readonly unwatch: () => void;

  constructor(
    private readonly node: Node,
    private readonly send: (notification: unknown) => void,
  ) {
    this.unwatch = node.ledger.watch((executed) => this.look(executed));
  }

  close(): void {
    this.unwatch();
    this.active.clear();
  }

  /** The answer to a subscription's call; undefined for a method of another kind. @throws RpcRefusal */
  answer(method: string, values: readonly unknown[]): unknown {
    const params = new Params(values);
    if (method.endsWith('Unsubscribe')) return this.active.delete(params.count(0));
    const begin = BEGIN[method];
    if (begin === undefined) {
      if (!method.endsWith('Subscribe')) return undefined;
      throw new RpcRefusal(CODE.method, `This local chain does not answer ${method.slice(0, 60)}.`);
    }
    if (this.active.size >= MAX_SUBSCRIPTIONS)
      throw invalid(`A connection has at most ${MAX_SUBSCRIPTIONS} subscriptions.`);
    const id = this.next++;
    const notify = (slot: number | null, value: unknown): void =>
      this.send({
        jsonrpc: '2.0',
        method: method.replace('Subscribe', 'Notification'),
        params: { result: slot === null ? value : { context: { slot }, value }, subscription: id },
      });
    this.active.set(id, begin(this.node, params, notify));
    // After the answer: the caller learns its number first.
    setImmediate(() => this.look(null));
    return id;
  }

  private look(executed: Executed | null): void {
    for (const [id, subscription] of this.active) if (subscription.look(executed)) this.active.delete(id);
  }
}

type Notify = (slot: number | null, value: unknown) => void;
type Begin = (node: Node, params: Params, notify: Notify) => Subscription;

const BEGIN: { readonly [method: string]: Begin } = {
  signatureSubscribe: (node, p, notify) => {
    const signature = p.signature(0);
    const commitment = commitmentOf(p.options(1));
    return {
      look: () => {
        const found = node.ledger.find(signature);
        if (found === undefined || found.block.height > headOf(node, commitment).height) return false;
        notify(found.block.slot, { err: found.executed.err });
        return true;
      },
    };
  },

  slotSubscribe: (node, _, notify) => {
    let last = headOf(node, 'processed').slot;
    return {
      look: () => {
        const { slot, parentSlot } = headOf(node, 'processed');
        if (slot !== last) notify(null, { slot, parent: parentSlot, root: headOf(node, 'finalized').slot });
        last = slot;
        return false;
      },
    };
  },

  accountSubscribe: (node, p, notify) => {
    const address = p.address(0);
    const options = p.options(1);
    const encoding = encodingOf(options, 'base58');
    const commitment = commitmentOf(options);
    const now = () => JSON.stringify(accountJson(node.ledger.accountAt(address, headOf(node, commitment)), encoding));
    let last = now();
    return {
      look: () => {
        const shown = now();
        if (shown !== last) notify(headOf(node, commitment).slot, JSON.parse(shown));
        last = shown;
        return false;
      },
    };
  },

  logsSubscribe: (node, p, notify) => {
    const mentioned = mentionedBy(p.at(0));
    const commitment = commitmentOf(p.options(1));
    const tell = (block: Block, executed: Executed): void => {
      if (mentioned !== null && !executed.keys.includes(mentioned)) return;
      const { wire, err, logs } = node.source.cut(executed);
      notify(block.slot, { signature: wire.signature, err, logs });
    };
    let told = headOf(node, commitment).height;
    return {
      look: (executed) => {
        if (commitment === 'processed') {
          if (executed !== null) tell(node.ledger.open, executed);
          return false;
        }
        const { height } = headOf(node, commitment);
        for (const block of node.ledger.between(told, height)) for (const one of block.transactions) tell(block, one);
        told = Math.max(told, height);
        return false;
      },
    };
  },
};

function headOf(node: Node, commitment: Commitment): Block {
  return node.ledger.head(commitment, node.source.behind);
}

/** The one address whose logs are asked for; null for all. */
function mentionedBy(filter: unknown): string | null {
  if (filter === 'all' || filter === 'allWithVotes') return null;
  if (typeof filter !== 'object' || filter === null || !('mentions' in filter))
    throw invalid('Invalid Request: Invalid filter provided');
  const [address, ...more] = new Params([filter.mentions]).list(0, 2);
  if (more.length > 0) throw invalid('Invalid Request: Only 1 address supported');
  return addressOf(address);
}
