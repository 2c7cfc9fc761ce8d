/** What is true of a gateway: searches, and bundles opened. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { arweaveSigner, createItem, encodeBundle } from '@isthmus/ao';
import { addressOfWallet } from '../wallet.js';
import {
  accepted,
  anItem,
  BUNDLE,
  clientOf,
  find,
  freshMark,
  get,
  ids,
  jsonAt,
  post,
  transaction,
  type Fact,
  type Found,
} from './world.js';

export const GATEWAY_FACTS: Readonly<Record<string, Fact>> = {
  'finds transactions by tags, with all that GraphQL says of them': async (world) => {
    const mark = freshMark();
    const tags = [
      { name: 'Mark', value: mark },
      { name: 'Content-Type', value: 'text/plain' },
    ];
    const tx = await transaction(world, 'to be found', tags);
    await accepted(world, tx);
    await world.mine();
    const { edges } = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }]`);
    const info = await jsonAt(`${world.url}/info`);
    const [node] = edges.map((e) => e.node);
    assert.equal(edges.length, 1);
    assert.equal(node?.id, tx.id);
    assert.equal(node?.owner.address, addressOfWallet(world.jwk));
    assert.equal(node?.signature, tx.signature);
    assert.equal(node?.fee.winston, tx.reward);
    assert.deepEqual(node?.data, { size: '11', type: 'text/plain' });
    assert.deepEqual(node?.tags, tags);
    assert.equal(node?.block?.height, Number(info['height']));
    assert.equal(node?.block?.id, info['current']);
    assert.equal(node?.bundledIn, null);
  },

  'finds transactions by id, owner and recipient, and by all of a search at once': async (world) => {
    const target = randomBytes(32).toString('base64url');
    const tx = await transaction(world, '', [], { target, quantity: '1' });
    await accepted(world, tx);
    await world.mine();
    assert.deepEqual(ids(await find(world.url, `ids: ["${tx.id}"]`)), [tx.id]);
    assert.deepEqual(ids(await find(world.url, `recipients: ["${target}"]`)), [tx.id]);
    const owner = addressOfWallet(world.jwk);
    assert.deepEqual(ids(await find(world.url, `recipients: ["${target}"], owners: ["${owner}"]`)), [tx.id]);
    assert.deepEqual(ids(await find(world.url, `recipients: ["${target}"], owners: ["${target}"]`)), []);
  },

  'finds all of a search page by page, in the order asked for': async (world) => {
    const mark = freshMark();
    const posted: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      const tx = await transaction(world, `page ${i}`, [{ name: 'Mark', value: mark }]);
      await accepted(world, tx);
      await world.mine();
      posted.push(tx.id);
    }
    for (const [sort, expected] of [
      ['HEIGHT_ASC', posted],
      ['HEIGHT_DESC', posted.toReversed()],
    ] as const) {
      const search = `tags: [{ name: "Mark", values: ["${mark}"] }], first: 2, sort: ${sort}`;
      const seen: string[] = [];
      for (let [after, more] = ['', true]; more;) {
        const page = await find(world.url, after === '' ? search : `${search}, after: "${after}"`);
        seen.push(...ids(page));
        [after, more] = [page.edges.at(-1)?.cursor ?? '', page.hasNextPage];
      }
      assert.deepEqual(seen, expected, sort);
    }
  },

  'finds what is in a range of blocks': async (world) => {
    const mark = freshMark();
    const tx = await transaction(world, 'at a height', [{ name: 'Mark', value: mark }]);
    await accepted(world, tx);
    await world.mine();
    const height = Number((await jsonAt(`${world.url}/info`))['height']);
    const search = (min: number, max: number) =>
      find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }], block: { min: ${min}, max: ${max} }`);
    assert.deepEqual(ids(await search(height, height)), [tx.id]);
    assert.deepEqual(ids(await search(0, height - 1)), []);
    assert.deepEqual(ids(await search(height + 1, height + 10)), []);
  },

  'finds a transaction that waits, with no block': async (world) => {
    const mark = freshMark();
    const tx = await transaction(world, 'waits', [{ name: 'Mark', value: mark }]);
    await accepted(world, tx);
    const { edges } = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }]`);
    assert.deepEqual(
      edges.map((e) => [e.node.id, e.node.block]),
      [[tx.id, null]],
    );
  },

  'answers one transaction and the newest blocks': async (world) => {
    const tx = await transaction(world, 'single');
    await accepted(world, tx);
    await world.mine();
    const query = `{ transaction(id: "${tx.id}") { id block { height } } blocks(first: 1, sort: HEIGHT_DESC) { edges { node { id height } } } }`;
    const { data } = JSON.parse((await post(`${world.url}/graphql`, { query })).text) as {
      data: { transaction: { id: string }; blocks: { edges: { node: { id: string } }[] } };
    };
    assert.equal(data.transaction.id, tx.id);
    assert.equal(data.blocks.edges[0]?.node.id, (await jsonAt(`${world.url}/info`))['current']);
  },

  'opens a bundle: its items are found by their tags': async (world) => {
    const mark = freshMark();
    const items = await Promise.all([0, 1, 2].map((i) => anItem(mark, [{ name: 'Place', value: String(i) }])));
    const tx = await transaction(world, encodeBundle(items), BUNDLE);
    await accepted(world, tx);
    await world.mine();
    const found = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }], sort: HEIGHT_ASC`);
    assert.deepEqual(new Set(ids(found)), new Set(items.map((i) => i.id)));
    const first = found.edges.find((e) => e.node.id === items[0]?.id)?.node;
    assert.equal(first?.owner.address, items[0]?.ownerAddress);
    assert.equal(first?.block?.height, Number((await jsonAt(`${world.url}/info`))['height']));
    assert.deepEqual(first?.tags, items[0]?.tags);
  },

  'gives the data of an item in a bundle': async (world) => {
    const item = await anItem(freshMark(), [], 'inside');
    await accepted(world, await transaction(world, encodeBundle([item]), BUNDLE));
    await world.mine();
    assert.equal((await get(`${world.url}/${item.id}`)).text, 'inside');
  },

  'gives the data of an item in a bundle under /raw': async (world) => {
    const item = await anItem(freshMark(), [], 'inside raw');
    await accepted(world, await transaction(world, encodeBundle([item]), BUNDLE));
    await world.mine();
    assert.equal((await get(`${world.url}/raw/${item.id}`)).text, 'inside raw');
  },

  'says in which bundle an item is, and finds a bundle’s items': async (world) => {
    const items = await Promise.all([anItem(freshMark()), anItem(freshMark())]);
    const tx = await transaction(world, encodeBundle(items), BUNDLE);
    await accepted(world, tx);
    await world.mine();
    const found = await find(world.url, `bundledIn: ["${tx.id}"]`);
    assert.deepEqual(new Set(ids(found)), new Set(items.map((i) => i.id)));
    for (const { node } of found.edges) assert.equal(node.bundledIn?.id, tx.id);
  },

  'gives the signature, key and anchor of an item': async (world) => {
    const item = await anItem(freshMark());
    await accepted(world, await transaction(world, encodeBundle([item]), BUNDLE));
    await world.mine();
    const { node } = (await find(world.url, `ids: ["${item.id}"]`)).edges[0] as Found;
    assert.equal(node.signature, item.signature.toString('base64url'));
    assert.equal(node.owner.key, item.owner.toString('base64url'));
    assert.equal(node.anchor, item.anchor);
    assert.equal(node.data.size, String(item.data.length));
  },

  'opens bundles inside bundles': async (world) => {
    const inner = await anItem(freshMark(), [], 'innermost');
    const signer = arweaveSigner(world.jwk);
    const outer = await createItem({ tags: BUNDLE, data: encodeBundle([inner]) }, signer);
    await accepted(world, await transaction(world, encodeBundle([outer]), BUNDLE));
    await world.mine();
    assert.equal((await get(`${world.url}/${inner.id}`)).text, 'innermost');
    assert.deepEqual(ids(await find(world.url, `ids: ["${inner.id}"]`)), [inner.id]);
  },

  'opens a bundle that came chunk by chunk': async (world) => {
    const mark = freshMark();
    const items = await Promise.all([0, 1].map(() => anItem(mark, [], randomBytes(200_000))));
    const client = clientOf(world.url);
    const uploader = await client.transactions.getUploader(await transaction(world, encodeBundle(items), BUNDLE));
    while (!uploader.isComplete) await uploader.uploadChunk();
    await world.mine();
    const found = await find(world.url, `tags: [{ name: "Mark", values: ["${mark}"] }]`);
    assert.deepEqual(new Set(ids(found)), new Set(items.map((i) => i.id)));
  },
};
