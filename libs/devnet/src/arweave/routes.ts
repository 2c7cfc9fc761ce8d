/** What a node and a gateway answer: paths, statuses and texts as Arweave's own have them. */
import { requestOfUrl } from '@isthmus/ao';
import type { Entry } from './catalogue.js';
import { Refused } from '../refused.js';
import type { Answer, Asked } from '../http.js';
import type { ArweaveNode } from './node.js';
import { search } from './search.js';
import { dataKey } from './transaction.js';
import type { Block, Held } from './weave.js';

/** A transaction with 10 MiB of data in it, the most nodes take so, as base64url and with its fields. */
const MAX_TX_BODY = 15 * 1024 * 1024;
/** A chunk of 256 KiB and its proof, as base64url. */
const MAX_CHUNK_BODY = 512 * 1024;
const MAX_GRAPHQL_BODY = 256 * 1024;
/** Nodes give larger data chunk by chunk only. */
const MAX_DATA_ANSWER = 12 * 1024 * 1024;

const ID = /^[A-Za-z0-9_-]{43}$/;
const NOT_FOUND = new Refused(404, 'Not Found.');
const PENDING: Answer = { status: 202, body: 'Pending' };
/** What a header can hold. */
const CONTENT_TYPE = /^[\x20-\x7e]{1,200}$/;

const ok = (body: unknown): Answer => ({ status: 200, body });

/** Answers what a node or gateway answers; null for a path it does not have. @throws Refused, and what GraphQL throws */
export async function answerNode(node: ArweaveNode, asked: Asked): Promise<Answer | null> {
  return asked.method === 'POST' ? posted(node, asked) : asked.method === 'GET' ? got(node, asked) : null;
}

async function posted(node: ArweaveNode, { path, body }: Asked): Promise<Answer | null> {
  switch (path.join('/')) {
    case 'tx':
      await node.post(jsonOf(await body(MAX_TX_BODY)));
      return ok('OK');
    case 'chunk':
      await node.postChunk(jsonOf(await body(MAX_CHUNK_BODY), { error: 'invalid_json' }));
      return ok({});
    case 'graphql':
      return ok(await search(jsonOf(await body(MAX_GRAPHQL_BODY)), node));
    default:
      return null;
  }
}

async function got(node: ArweaveNode, { path, query }: Asked): Promise<Answer | null> {
  const { weave } = node;
  const [first = '', second = '', third = ''] = path;
  switch (`${first}/${path.length}`) {
    case '/0':
    case 'info/1':
      return ok(infoOf(node));
    case 'health/1':
      return ok({ ok: true, height: weave.head.height, pending: weave.waiting, entries: node.catalogue.size });
    case 'peers/1':
      return ok([]);
    case 'tx_anchor/1':
      return ok(weave.anchor());
    case 'price/2':
    case 'price/3':
      return ok(String(weave.price(bytesOf(second), third)));
    case 'wallet/3':
      return walletAnswer(node, second, third);
    case 'tx/2':
    case 'tx/3':
      return txAnswer(node, second, third);
    case 'chunk/2':
      return chunkAnswer(node, Number(bytesOf(second)));
    case 'block/2':
      return second === 'current' ? ok(blockJson(weave.head)) : null;
    case 'block/3':
      return blockAnswer(node, second, third);
    case 'graphql/1':
      return ok(await search(requestOfUrl(Object.fromEntries(query)), node));
    case 'raw/2':
      return contentAnswer(node, second, true);
    default:
      return path.length === 1 && ID.test(first) ? contentAnswer(node, first, false) : null;
  }
}

function infoOf({ weave }: ArweaveNode): object {
  const { head } = weave;
  const chain = { height: head.height, current: head.hash, blocks: head.height + 1 };
  return {
    network: 'isthmus.local',
    version: 5,
    release: 1,
    ...chain,
    peers: 0,
    queue_length: 0,
    node_state_latency: 0,
  };
}

function walletAnswer({ weave }: ArweaveNode, address: string, what: string): Answer | null {
  if (!ID.test(address)) throw new Refused(400, 'Invalid address.');
  if (what === 'balance') return ok(String(weave.balance(address)));
  return what === 'last_tx' ? ok(weave.lastTx(address)) : null;
}

async function txAnswer(node: ArweaveNode, id: string, what: string): Promise<Answer | null> {
  if (id === 'pending' && what === '') return ok(node.weave.pendingIds());
  if (!ID.test(id)) throw new Refused(400, 'Invalid hash.');
  const held = node.weave.txs.get(id);
  if (!held) throw NOT_FOUND;
  const block = node.weave.blockOf(held);
  if (!block) return PENDING;
  switch (what) {
    case '':
      return ok({ ...held.tx, data: '', data_tree: [] });
    case 'status':
      return ok({
        block_height: block.height,
        block_indep_hash: block.hash,
        number_of_confirmations: node.weave.head.height - block.height + 1,
      });
    case 'offset': {
      const size = Number(held.tx.data_size);
      if (size === 0) throw NOT_FOUND;
      return ok({ size: String(size), offset: String(held.start + size) });
    }
    case 'data': {
      if (Number(held.tx.data_size) > MAX_DATA_ANSWER) throw new Refused(400, 'tx_data_too_big');
      const data = node.faults.otherBytes(id) ?? (await node.dataOf(held));
      if (!data) throw NOT_FOUND;
      return ok(data.toString('base64url'));
    }
    default:
      return null;
  }
}

async function chunkAnswer(node: ArweaveNode, offset: number): Promise<Answer> {
  const held = node.weave.at(offset);
  const chunk = held && node.weave.chunkAt(dataKey(held.tx), offset - held.start - 1);
  if (!held || !chunk) throw new Refused(404, { error: 'not_found' });
  const bytes =
    node.faults.otherBytes(held.tx.id)?.subarray(chunk.start, chunk.end) ??
    (await node.chunkBytes(dataKey(held.tx), chunk));
  return ok({ chunk: bytes.toString('base64url'), data_path: chunk.path, packing: 'unpacked' });
}

function blockAnswer({ weave }: ArweaveNode, by: string, which: string): Answer | null {
  if (by !== 'height' && by !== 'hash') return null;
  const block = weave.block(by === 'height' ? Number(bytesOf(which)) : which);
  if (!block) throw new Refused(404, 'Block not found.');
  return ok(blockJson(block));
}

function blockJson({ height, hash, previous, timestamp, nonce, txs, weaveSize, pool }: Block): object {
  const sizes = { weave_size: String(weaveSize), reward_pool: String(pool) };
  return { height, indep_hash: hash, previous_block: previous, timestamp, nonce, txs, ...sizes, diff: '0', tags: [] };
}

/** The data of a transaction or of an item in a bundle, as gateways give it: once it is mined. */
async function contentAnswer(node: ArweaveNode, id: string, raw: boolean): Promise<Answer> {
  const entry = ID.test(id) ? node.catalogue.find(id) : undefined;
  if (!entry) throw NOT_FOUND;
  if (!isMined(entry.held)) {
    if (raw) throw NOT_FOUND;
    return PENDING;
  }
  const bytes = node.faults.otherBytes(id) ?? (await node.bytesOf(entry));
  if (!bytes) throw NOT_FOUND;
  return { status: 200, body: bytes, type: typeOf(entry) };
}

const isMined = ({ height }: Held): boolean => height !== null;

function typeOf({ tags }: Entry): string | undefined {
  const type = tags.find((t) => t.name.toLowerCase() === 'content-type')?.value;
  return type !== undefined && CONTENT_TYPE.test(type) ? type : undefined;
}

function bytesOf(text: string): bigint {
  if (!/^[0-9]{1,15}$/.test(text)) throw new Refused(400, 'size_must_be_an_integer');
  return BigInt(text);
}

function jsonOf(body: Buffer, said: string | { error: string } = 'Invalid JSON.'): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refused(400, said);
  }
}
