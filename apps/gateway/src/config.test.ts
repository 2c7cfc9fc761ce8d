/** Who runs AO is said in the configuration, whole and right, or which key is wrong. */
import { zeroAddress } from 'viem';
import { gatewaySchema } from './config.js';

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
const read = (ao: object) =>
  gatewaySchema.safeParse({
    databaseUrl: 'postgres://x',
    publicUrl: 'https://gateway.example',
    relayerKeyFile: 'r.key',
    ao,
    chain: {
      id: 'eip155:1',
      name: 'Ethereum',
      rpcUrls: ['https://rpc.example'],
      finality: { tag: 'finalized' },
      finalitySeconds: 768,
      vault: zeroAddress,
      deployBlock: 1,
    },
    assets: [],
  });

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
