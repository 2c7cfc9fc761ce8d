/** What the facts are asked with: a signed transaction, a signed item, a search, over HTTP alone. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createItem, ed25519Signer, type Item } from '@isthmus/ao';
import Arweave from 'arweave';
import type { Jwk } from '../wallet.js';

export interface World {
  url: string;
  /** Has money. */
  jwk: Jwk;
  mine: () => Promise<void>;
}

export type Fact = (world: World) => Promise<void>;
export interface Tag {
  name: string;
  value: string;
}

export const BUNDLE: readonly Tag[] = [
  { name: 'Bundle-Format', value: 'binary' },
  { name: 'Bundle-Version', value: '2.0.0' },
];
export const CHUNK = 256 * 1024;

export function clientOf(url: string): Arweave {
  const { hostname, port } = new URL(url);
  return Arweave.init({ host: hostname, port: Number(port), protocol: 'http' });
}

/** A signed transaction. */
export async function transaction(
  world: World,
  data: Uint8Array | string,
  tags: readonly Tag[] = [],
  more: object = {},
) {
  const client = clientOf(world.url);
  const content = data.length > 0 ? { data } : {};
  const tx = await client.createTransaction({ ...content, ...more }, world.jwk);
  for (const { name, value } of tags) tx.addTag(name, value);
  await client.transactions.sign(tx, world.jwk);
  return tx;
}

export type Transaction = Awaited<ReturnType<typeof transaction>>;

export async function post(url: string, body: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

export async function get(url: string): Promise<{ status: number; text: string; bytes: Buffer; type: string | null }> {
  const response = await fetch(url);
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, text: bytes.toString('utf8'), bytes, type: response.headers.get('content-type') };
}

export const jsonAt = async (url: string): Promise<Record<string, unknown>> =>
  JSON.parse((await get(url)).text) as Record<string, unknown>;

export interface Found {
  cursor: string;
  node: {
    id: string;
    anchor: string;
    signature: string;
    recipient: string;
    owner: { address: string; key: string };
    fee: { winston: string };
    quantity: { winston: string };
    data: { size: string; type: string | null };
    tags: Tag[];
    block: { id: string; height: number; timestamp: number; previous: string } | null;
    bundledIn: { id: string } | null;
  };
}

const NODE = `id anchor signature recipient owner { address key } fee { winston } quantity { winston } data { size type }
  tags { name value } block { id height timestamp previous } bundledIn { id }`;

/** A search; `asked` is the text between the brackets. */
export async function find(url: string, asked: string): Promise<{ edges: Found[]; hasNextPage: boolean }> {
  const query = `{ transactions(${asked}) { pageInfo { hasNextPage } edges { cursor node { ${NODE} } } } }`;
  const { text } = await post(`${url}/graphql`, { query });
  const { data, errors } = JSON.parse(text) as {
    data?: { transactions: { pageInfo: { hasNextPage: boolean }; edges: Found[] } };
    errors?: { message: string }[];
  };
  if (!data) throw new Error(errors?.map((e) => e.message).join(' ') ?? text);
  return { edges: data.transactions.edges, hasNextPage: data.transactions.pageInfo.hasNextPage };
}

export const ids = (found: { edges: Found[] }): string[] => found.edges.map((e) => e.node.id);
const seed = ed25519Signer(createHash('sha256').update('suite').digest());

/** A signed item. */
export const anItem = (mark: string, tags: readonly Tag[] = [], data: Uint8Array | string = mark): Promise<Item> =>
  createItem({ tags: [{ name: 'Mark', value: mark }, ...tags], data, anchor: randomBytes(16).toString('hex') }, seed);

export const freshMark = (): string => randomBytes(8).toString('hex');

export async function accepted(world: World, tx: Transaction): Promise<void> {
  const { status, text } = await post(`${world.url}/tx`, tx);
  assert.equal(status, 200, text);
}

export async function refused(world: World, tx: unknown): Promise<void> {
  const { status, text } = await post(`${world.url}/tx`, tx);
  assert.ok(status >= 400, `HTTP ${status} ${text}`);
}

export const confirmed = async (world: World, id: string): Promise<boolean> =>
  (await get(`${world.url}/tx/${id}/status`)).status === 200;
