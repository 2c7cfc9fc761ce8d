/**
 * AO's public units for tests, as their own code answers (not as those of Isthmus do): slots asked for are exclusive, the spawn is shown only
 * when no slot is named, assignments carry random anchors that are shown on request, what is no UTF-8 is null, and a gateway gives data alone.
 */
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { testWallet } from '@isthmus/store';
import { arweaveSigner, joinItem } from '../items/index.js';
import { signedMessage } from '../items/layout.js';
import { encodeItemTags, tagList, tagOf } from '../items/tags.js';
import { firstHash, nextHash } from '../scheduler/assignment.js';
import type { Item, Signer, Tag } from '../types.js';
import type { NetworkConfig } from './config.js';

/** Signs an item with an anchor of any bytes. */
export async function anchored(
  signer: Signer,
  {
    target = '',
    anchor = Buffer.alloc(0),
    tags,
    data = Buffer.alloc(0),
  }: { target?: string; anchor?: Buffer; tags: readonly Tag[]; data?: Buffer },
): Promise<Item> {
  const type = signer.signatureType;
  const parts = { type, owner: signer.publicKey, target: Buffer.from(target, 'base64url'), anchor, data };
  const signature = await signer.sign(signedMessage({ ...parts, tags: encodeItemTags(tags) }));
  return joinItem({ ...parts, signature, tags });
}

export interface Slot {
  assignment: Item;
  message: Item;
  /** Assigned by its id: the unit does not have the message itself. */
  bare: boolean;
}

type Lie = (path: string, answer: string | Buffer | null) => string | Buffer | null | Promise<string | Buffer | null>;

/** One machine with a scheduler unit under /su, a messenger unit under /mu and an Arweave gateway at the root. */
export class PublicUnits {
  readonly slots: Slot[] = [];
  readonly sent: Buffer[] = [];
  /** What the gateway has. */
  readonly settled = new Map<string, Item>();
  readonly asked: string[] = [];
  /** Changes an answer; null is a 404, 'cut' none at all. */
  lie: Lie = (_, answer) => answer;

  private constructor(
    readonly signer: Signer,
    private readonly server: http.Server,
  ) {}

  static async open(): Promise<PublicUnits> {
    const server = http.createServer((request, response) => void units.answer(request, response));
    const units = new PublicUnits(arweaveSigner(testWallet()), server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return units;
  }

  get urls(): NetworkConfig {
    const url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return { schedulerUrl: `${url}/su`, messengerUrl: `${url}/mu`, gatewayUrl: url };
  }

  get process(): string {
    return this.slots[0]?.message.id ?? '';
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Gives a message its place, as AO's own scheduler unit writes it. */
  async place(message: Item, bare = false): Promise<void> {
    const nonce = this.slots.length;
    const process = this.process || message.id;
    const last = this.slots.at(-1)?.assignment;
    const hash = last ? nextHash({ assignmentId: last.id, hashChain: tagOf(last, 'Hash-Chain') }) : firstHash(process);
    const tags = tagList({
      Process: process,
      Epoch: '0',
      Nonce: String(nonce),
      'Hash-Chain': hash,
      'Block-Height': '1700000',
      Timestamp: String(1_700_000_000_000 + nonce),
      'Data-Protocol': 'ao',
      Type: 'Assignment',
      Variant: 'ao.TN.1',
      ...(nonce === 0 ? {} : { Message: message.id }),
    });
    this.slots.push({ assignment: await anchored(this.signer, { anchor: randomBytes(32), tags }), message, bare });
  }

  private async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? '/';
    this.asked.push(path);
    const answer = await this.lie(path, this.honest(new URL(path, 'http://x'), Buffer.concat(chunks)));
    if (answer === 'cut') return void response.destroy();
    response.writeHead(answer === null ? 404 : 200).end(answer ?? 'Not Found');
  }

  private honest(url: URL, body: Buffer): string | Buffer | null {
    const [, first, second, third] = url.pathname.split('/');
    if (first === 'mu') {
      this.sent.push(body);
      return '{"message":"Processing DataItem"}';
    }
    if (first === 'raw') return this.settled.get(second ?? '')?.data ?? null;
    if (first === 'graphql') return this.graphql(JSON.parse(body.toString()) as { variables: { ids: string[] } });
    if (first === 'su' && second === 'processes') return this.spawn(third ?? '');
    return first === 'su' && second === this.process ? this.page(url.searchParams) : null;
  }

  private page(query: URLSearchParams): string {
    const from = query.get('from-nonce');
    const limit = Number(query.get('limit') ?? 100);
    const after = from === null ? -1 : Number(from);
    // The spawn is kept apart, and shown when no slot is named.
    const found = this.slots.filter((_, nonce) => nonce > after && (nonce > 0 || from === null));
    const edges = found.slice(0, limit).map(({ assignment, message, bare }) => ({
      node: {
        message: bare ? null : { ...view(message), data: utf8(message.data) },
        assignment: view(assignment, query.has('show-anchor')),
      },
      cursor: tagOf(assignment, 'Timestamp'),
    }));
    return JSON.stringify({ page_info: { has_next_page: found.length > limit }, edges });
  }

  private spawn(id: string): string | null {
    const item = id === this.process ? this.slots[0]?.message : undefined;
    if (!item) return null;
    const { id: process_id, ...fields } = view(item);
    return JSON.stringify({ process_id, ...fields, data: utf8(item.data), block: '1700000', timestamp: 1 });
  }

  private graphql({ variables }: { variables: { ids: string[] } }): string {
    const edges = variables.ids.flatMap((id) => {
      const item = this.settled.get(id);
      if (!item) return [];
      const { target: recipient, ...fields } = view(item);
      return [{ node: { ...fields, recipient, anchor: anchorOf(item).toString('base64url') } }];
    });
    return JSON.stringify({ data: { transactions: { edges } } });
  }
}

function view(item: Item, showAnchor = false) {
  const key = item.owner.toString('base64url');
  const anchor = anchorOf(item);
  const shown = utf8(anchor) ?? (showAnchor ? anchor.toString('base64url') : '');
  return {
    id: item.id,
    owner: { address: createHash('sha256').update(item.owner).digest('base64url'), key },
    tags: item.tags,
    signature: item.signature.toString('base64url'),
    anchor: shown === '' ? null : shown,
    target: item.target,
  };
}

/** `Item.anchor` is text; the bytes lie after signature, key and target. */
function anchorOf(item: Item): Buffer {
  const at = 2 + item.signature.length + item.owner.length + (item.target ? 33 : 1);
  return item.raw[at] === 1 ? item.raw.subarray(at + 1, at + 33) : Buffer.alloc(0);
}

function utf8(bytes: Buffer): string | null {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : null;
}
