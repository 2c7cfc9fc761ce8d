/** Who runs AO, and which home chains there are, is said in the configuration, whole and right, or which key is wrong. */
import { zeroAddress } from 'viem';
import { assetsOf, gatewaySchema } from './config.js';

const ID = 'A'.repeat(43);
const EMBEDDED = { engine: 'embedded', schedulerKeyFile: 's.key', messengerKeyFile: 'm.key' };
const LEGACY = {
  engine: 'remote',
  schedulerUrl: 'https://su.example/',
  messengerUrl: 'https://mu.example',
  gatewayUrl: 'https://arweave.example/',
  computeUrls: ['https://cu1.example/', 'https://cu2.example'],
  agreement: 2,
  scheduler: ID,
  messenger: ID,
};
const CORE = {
  engine: 'core',
  nodeUrls: ['https://node.example'],
  gatewayUrl: 'https://arweave.example',
  scheduler: ID,
  messenger: ID,
};
const TOKEN = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';
const CHAIN = {
  id: 'eip155:1',
  name: 'Ethereum',
  rpcUrls: ['https://rpc.example'],
  finality: { tag: 'finalized' },
  finalitySeconds: 768,
  vault: TOKEN,
  deployBlock: 1,
  relayerKeyFile: 'r.key',
};
const COIN = {
  id: 'eip155:1/slip44:60',
  address: zeroAddress,
  symbol: 'aETH',
  name: 'Ether on AO',
  decimals: 18,
  process: ID,
  minDeposit: '1',
  minWithdrawal: '1',
};
/** The same on another chain, in a process of its own. */
const OTHER = {
  chain: { ...CHAIN, id: 'eip155:10' },
  assets: [{ ...COIN, id: 'eip155:10/slip44:60', process: `${'A'.repeat(42)}E` }],
};
const readWhole = (ao: object, homes: unknown) =>
  gatewaySchema.safeParse({ databaseUrl: 'postgres://x', publicUrl: 'https://gateway.example', ao, homes });
const read = (ao: object) => readWhole(ao, []);
const readHomes = (...homes: unknown[]) => readWhole(EMBEDDED, homes);

it('takes each engine, with what may be left out', () => {
  expect(read(EMBEDDED).data?.ao).toMatchObject({ engine: 'embedded', workers: 1 });
  expect(read(LEGACY).data?.ao).toMatchObject({
    schedulerUrl: 'https://su.example',
    computeUrls: ['https://cu1.example', 'https://cu2.example'],
  });
  expect(read(CORE).data?.ao).toMatchObject({ agreement: 1, nodeUrls: ['https://node.example'] });
});

it.each<[string, object]>([
  ['ao.engine', { engine: 'other' }],
  ['ao.schedulerKeyFile', { ...EMBEDDED, schedulerKeyFile: '' }],
  ['ao.schedulerUrl', { ...LEGACY, schedulerUrl: 'file:///etc/passwd' }],
  ['ao.computeUrls', { ...LEGACY, computeUrls: [], agreement: 1 }],
  ['ao.computeUrls', { ...LEGACY, computeUrls: ['https://cu.example', 'https://cu.example/'] }],
  ['ao.agreement', { ...LEGACY, agreement: 3 }],
  ['ao.scheduler', { ...LEGACY, scheduler: 'short' }],
  ['ao', { ...LEGACY, workers: 2 }],
  ['ao.agreement', { ...CORE, agreement: 2 }],
  ['ao.nodeUrls', { ...CORE, nodeUrls: undefined }],
])('names a wrong %s: %j', (key, ao) => {
  const { error } = read(ao);
  expect(error?.issues.map((i) => i.path.join('.'))).toContain(key);
});

it('takes several homes, with what may be left out, and knows the assets of all', () => {
  const { data } = readHomes({ chain: CHAIN, assets: [COIN] }, OTHER);
  expect(data?.homes.map((h) => [h.chain.id, h.chain.agreement])).toEqual([
    ['eip155:1', 1],
    ['eip155:10', 1],
  ]);
  expect(data && assetsOf(data).map((a) => [a.id, a.minWithdrawal])).toEqual([
    ['eip155:1/slip44:60', 1n],
    ['eip155:10/slip44:60', 1n],
  ]);
  expect(readHomes().success).toBe(true);
});

const home = (chain: object, ...assets: object[]) => ({
  chain: { ...CHAIN, ...chain },
  assets: assets.length > 0 ? assets : [COIN],
});
it.each<[string, unknown[]]>([
  ['homes.0.chain.id', ['nonsense']],
  ['homes.0.chain.id', [{ assets: [COIN] }]],
  ['homes.0.chain.id', [home({ id: 'cosmos:hub-4' })]],
  ['homes.0.chain.id', [home({ id: 'eip155' })]],
  ['homes.0.chain.id', [home({ id: 'eip155:01' })]],
  ['homes.0.chain.id', [home({ id: 'constructor:1' })]],
  ['homes.0.chain', [home({ more: 1 })]],
  ['homes.0', [{ ...home({}), more: 1 }]],
  ['homes.0.chain.rpcUrls', [home({ rpcUrls: [] })]],
  ['homes.0.chain.vault', [home({ vault: TOKEN.toLowerCase() })]],
  ['homes.0.chain.relayerKeyFile', [home({ relayerKeyFile: undefined })]],
  ['homes.0.assets', [{ chain: CHAIN, assets: [] }]],
  ['homes.0.assets.0.address', [home({}, { ...COIN, address: '0x12' })]],
  ['homes.0.assets.0.process', [home({}, { ...COIN, process: 'short' })]],
  ['homes.0.assets.0.minDeposit', [home({}, { ...COIN, minDeposit: 1 })]],
  // Of another chain, and of another contract.
  ['homes.1.assets.0.id', [home({}), { ...OTHER, assets: [{ ...COIN, process: OTHER.assets[0]?.process }] }]],
  ['homes.0.assets.0.id', [home({}, { ...COIN, address: TOKEN })]],
  // Twice, in one home and over several.
  ['homes.1.chain.id', [home({}), home({}, { ...COIN, process: `${'A'.repeat(42)}E` })]],
  ['homes.0.assets.1.id', [home({}, COIN, { ...COIN, process: `${'A'.repeat(42)}E` })]],
  ['homes.1.assets.0.process', [home({}), { ...OTHER, assets: [{ ...OTHER.assets[0], process: ID }] }]],
])('names a wrong %s', (key, homes) => {
  const { error } = readHomes(...homes);
  expect(error?.issues.map((i) => i.path.join('.'))).toContain(key);
});

it('has no old form: a chain and assets beside homes are wrong keys', () => {
  const whole = { databaseUrl: 'postgres://x', publicUrl: 'https://gateway.example', ao: EMBEDDED };
  const { error } = gatewaySchema.safeParse({ ...whole, homes: [], chain: CHAIN, assets: [COIN] });
  expect(error?.issues).toMatchObject([{ code: 'unrecognized_keys', keys: ['chain', 'assets'] }]);
});
