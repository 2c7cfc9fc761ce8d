/** The levers of the local node, under `/devnet/`, each a POST: money out of nothing, blocks, forks, drops and faults. A real node has none of them. */
import { Refused } from '../refused.js';
import type { Answer, Asked } from '../http.js';
import type { LocalArweave } from './local.js';

const MAX_BYTES = 15 * 1024 * 1024;
const ID = /^[A-Za-z0-9_-]{43}$/;

/** Answers a path under `/devnet/`; null for one there is not. @throws Refused, RangeError */
export async function answerControl(
  arweave: LocalArweave,
  { path, query, body, method }: Asked,
): Promise<Answer | null> {
  if (method !== 'POST') throw new Refused(405, 'Levers are pulled with POST.');
  const [, lever = '', first = '', second = ''] = path;
  switch (lever) {
    case 'mint':
      await arweave.mint(idOf(first), BigInt(whole(second, 25)));
      return done(String(arweave.node.weave.balance(first)));
    case 'mine':
      return done(await arweave.mine(first === '' ? 1 : Number(whole(first))).then(blockView));
    case 'fork': {
      const keep = (query.get('keep') ?? '').split(',').filter((id) => id !== '');
      return done(blockView(await arweave.fork(Number(whole(first)), { lose: query.get('lose') === '1', keep })));
    }
    case 'drop':
      await arweave.drop(idOf(first));
      return done('dropped');
    case 'fail': {
      const status = query.get('status') ?? '503';
      arweave.faults.fail({
        count: Number(whole(query.get('count') ?? '1')),
        status: status === 'none' ? null : Number(whole(status, 3)),
        path: query.get('path') ?? '/',
      });
      return done('failing');
    }
    case 'answer':
      arweave.faults.answerWith(idOf(first), await body(MAX_BYTES));
      return done('answering');
    case 'refuse-chunks':
      arweave.faults.refuseChunksAfter(Number(whole(first)));
      return done('refusing');
    case 'lag-index':
      arweave.faults.lagIndexAt(first === '' ? arweave.node.weave.head.height : Number(whole(first)));
      return done('lagging');
    case 'heal':
      arweave.faults.heal();
      return done('healed');
    default:
      return null;
  }
}

const done = (body: unknown): Answer => ({ status: 200, body });

const blockView = ({ height, hash }: { height: number; hash: string }): object => ({ height, hash });

function idOf(text: string): string {
  if (!ID.test(text)) throw new RangeError('Write an id or address: 43 characters of base64url.');
  return text;
}

function whole(text: string, digits = 7): string {
  if (!/^[0-9]+$/.test(text) || text.length > digits)
    throw new RangeError(`Write a whole number of at most ${digits} digits.`);
  return text;
}
