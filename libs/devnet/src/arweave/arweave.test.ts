/** The local Arweave: the facts of any, then what only this one can: forks, drops, faults, and going on after its process was killed. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { testWallet } from '@isthmus/store';
import { addressOfWallet, startArweave, type LocalArweave } from './index.js';
import { FACTS, type World } from './suite/index.js';

const RICH = 10n ** 16n;
const jwk = testWallet();
let arweave: LocalArweave;
let dir: string;
let world: World;

beforeEach(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-arweave-'));
  arweave = await startArweave({ dir });
  await arweave.mint(addressOfWallet(jwk), RICH);
  world = { url: arweave.url, jwk, mine: () => arweave.mine().then(() => undefined) };
});

afterEach(async () => {
  await arweave.stop();
  fs.rmSync(dir, { recursive: true, force: true });
});

describe('as any Arweave node and gateway, it', () => {
  for (const [name, holds] of Object.entries(FACTS)) it(name, () => holds(world));
});
