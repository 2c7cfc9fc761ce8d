/**
 * Our local Arweave is held against arlocal: every fact of the suite is asked of arlocal too. Where arlocal is known not to be as Arweave is, the fact
 * is of ours only, the reason stands here, and it is asked all the same: should arlocal come to hold it, this fails and the reason goes.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { addressOfWallet, makeWallet } from '@isthmus/devnet';
import { freePort, projectRoot } from '@isthmus/store';
import { FACTS, get, type World } from '../libs/devnet/src/arweave/suite/index.js';

const INSTALL_MS = 600_000;

/** What arlocal 1.1.66 does otherwise than Arweave's nodes and gateways, by fact. */
const OURS_ONLY: Readonly<Record<string, string>> = {
  'says Pending (202) of a transaction until it is mined, and then how deep it is': 'it says Pending with 200',
  'counts the block a transaction is in as its first confirmation': 'it counts the blocks after that one',
  'gives the data of a mined transaction under /raw': 'it has no /raw',
  'gives a chunk by its place in the weave, proven against the data root': 'it gives a chunk by its first byte only',
  'refuses a reward below the price': 'it takes any reward the wallet can pay',
  'refuses a transaction its wallet cannot pay': 'it leaves the reward out of the sum',
  'takes a transaction that is there already for processed (208)': 'it takes it once more',
  'refuses a chunk that is not proven': 'it takes any chunk',
  'refuses chunks of data no transaction is for': 'it takes any chunk',
  'has no data of a transaction before its last chunk has come': 'it gives what has come so far',
  'gives the data of an item in a bundle under /raw': 'it has no /raw',
  'says in which bundle an item is, and finds a bundle’s items': 'it takes no notice of bundledIn',
  'gives the signature, key and anchor of an item': 'it forgets the anchor',
  'opens bundles inside bundles': 'it opens the outermost only',
};

let arlocal: ChildProcess;
let world: World;
let folder: string;

beforeAll(async () => {
  execFileSync(process.execPath, [path.join(projectRoot(), 'scripts/arlocal.mjs')], { stdio: 'inherit' });
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-arlocal-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const entry = path.join(projectRoot(), '.cache/arlocal/node_modules/arlocal/bin/index.js');
  arlocal = spawn(process.execPath, [entry, String(port), '--hide-logs'], { cwd: folder, stdio: 'ignore' });
  while (
    !(await get(`${url}/info`).then(
      (r) => r.status === 200,
      () => false,
    ))
  )
    await delay(50); // bounded by INSTALL_MS
  const jwk = await makeWallet();
  world = { url, jwk, mine: () => get(`${url}/mine`).then(() => undefined) };
}, INSTALL_MS);

// Each fact has a full wallet: arlocal lets one of them empty it.
beforeEach(() => get(`${world.url}/mint/${addressOfWallet(world.jwk)}/10000000000000000`));

afterAll(async () => {
  const ended = once(arlocal, 'exit');
  arlocal.kill('SIGKILL');
  await ended;
  fs.rmSync(folder, { recursive: true, force: true });
});

it('every fact said to be of ours only is one of the suite', () => {
  expect(Object.keys(OURS_ONLY).filter((name) => !(name in FACTS))).toEqual([]);
});

describe('as our local Arweave, arlocal', () => {
  for (const [name, holds] of Object.entries(FACTS)) if (!(name in OURS_ONLY)) it(name, () => holds(world));
});

describe('unlike Arweave, arlocal does not hold that it', () => {
  for (const [name, why] of Object.entries(OURS_ONLY))
    it.failing(`${name} (${why})`, () => (FACTS[name] as (typeof FACTS)[string])(world));
});
