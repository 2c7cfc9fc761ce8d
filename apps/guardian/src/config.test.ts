/** A guardian starts with a configuration that is right, or says which key is wrong. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CoreNetwork, IsthmusNetwork, LegacyNetwork } from '@isthmus/ao';
import { ConfigError, loadConfig } from '@isthmus/store';
import { zeroAddress } from 'viem';
import { guardianSchema, networkOf } from './config.js';

const VAULT = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';
const TOKEN = '0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc';
const ID = 'A'.repeat(43);
const coin = { id: 'eip155:1/slip44:60', address: zeroAddress, process: ID };
const token = { id: `eip155:1/erc20:${TOKEN}`, address: TOKEN, process: 'B'.repeat(42) + 'A' };
const chain = {
  id: 'eip155:1',
  rpcUrls: ['https://one.example/rpc', 'https://two.example', 'http://127.0.0.1:8545'],
  agreement: 2,
  finality: { tag: 'finalized' },
  vault: VAULT,
  deployBlock: 5,
};
const NETWORK = {
  schedulerUrl: 'https://su.example/',
  messengerUrl: 'https://mu.example',
  gatewayUrl: 'https://arweave.example/',
};
const good = {
  name: 'guardian 1',
  keyFile: '/etc/isthmus/guardian.key',
  databaseUrl: 'postgres://guardian@localhost/guardian',
  port: 4700,
  gatewayUrl: 'https://gateway.example/',
  scheduler: ID,
  homes: [{ chain, assets: [coin, token] }],
};
/** Another home. */
const home = (change: object): object => ({ homes: [{ chain, assets: [coin, token], ...change }] });

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-config-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

function load(content: unknown) {
  const file = path.join(folder, 'guardian.json');
  fs.writeFileSync(file, JSON.stringify(content));
  return loadConfig(guardianSchema, file);
}

it('takes a right one, and fills in what may be left out', () => {
  expect(load(good)).toMatchObject({
    gatewayUrl: 'https://gateway.example',
    host: '127.0.0.1',
    batch: 200,
    pollMs: 1000,
    homes: [{ chain: { agreement: 2, finality: { tag: 'finalized' } } }],
  });
  const { homes } = load({ ...good, ...home({ chain: { ...chain, finality: { confirmations: 12 } } }) });
  expect(homes).toMatchObject([{ chain: { finality: { confirmations: 12 } } }]);
});

it('takes an Isthmus gateway or the units of a network, and reads there', () => {
  expect(networkOf(load(good))).toBeInstanceOf(IsthmusNetwork);
  const { gatewayUrl: _, ...rest } = good;
  const config = load({ ...rest, network: NETWORK });
  expect(config.network).toEqual({
    schedulerUrl: 'https://su.example',
    messengerUrl: 'https://mu.example',
    gatewayUrl: 'https://arweave.example',
  });
  expect(networkOf(config)).toBeInstanceOf(LegacyNetwork);
  const core = { nodeUrl: 'https://hb.example/', gatewayUrl: 'https://arweave.example' };
  expect(networkOf(load({ ...rest, network: core }))).toBeInstanceOf(CoreNetwork);
});

it.each<[string, object]>([
  ['name', { name: '' }],
  ['keyFile', { keyFile: 7 }],
  ['databaseUrl', { databaseUrl: 'localhost' }],
  ['databaseUrl', { databaseUrl: 'https://localhost/guardian' }],
  ['port', { port: 70_000 }],
  ['gatewayUrl', { gatewayUrl: 'gateway.example' }],
  ['gatewayUrl', { gatewayUrl: 'file:///etc/passwd' }],
  ['gatewayUrl', { gatewayUrl: undefined }],
  ['gatewayUrl', { network: NETWORK }],
  ['network.messengerUrl', { gatewayUrl: undefined, network: { ...NETWORK, messengerUrl: 'ftp://mu.example' } }],
  ['network', { gatewayUrl: undefined, network: { ...NETWORK, schedulerUrl: undefined } }],
  ['tokenSources.0', { tokenSources: ['AB'] }],
  ['modules.0', { modules: ['short'] }],
  ['knownSenders.0', { knownSenders: ['short'] }],
  ['scheduler', { scheduler: 'A'.repeat(42) + 'B' }],
  ['batch', { batch: 501 }],
  ['pollMs', { pollMs: 0 }],
  ['homes.0.chain.id', home({ chain: { ...chain, id: 'eip155:01' } })],
  ['homes.0.chain.rpcUrls', home({ chain: { ...chain, rpcUrls: [] } })],
  ['homes.0.chain.rpcUrls.1', home({ chain: { ...chain, rpcUrls: [chain.rpcUrls[0], 'ws://one.example'] } })],
  ['homes.0.chain.rpcUrls', home({ chain: { ...chain, rpcUrls: ['https://one.example', 'https://one.example'] } })],
  ['homes.0.chain.rpcUrls', home({ chain: { ...chain, rpcUrls: ['https://one.example', 'https://ONE.example/'] } })],
  ['homes.0.chain.agreement', home({ chain: { ...chain, agreement: 0 } })],
  ['homes.0.chain.agreement', home({ chain: { ...chain, agreement: 4 } })],
  ['homes.0.chain.finality', home({ chain: { ...chain, finality: { tag: 'latest' } } })],
  ['homes.0.chain.finality.confirmations', home({ chain: { ...chain, finality: { confirmations: 0 } } })],
  ['homes.0.chain.vault', home({ chain: { ...chain, vault: zeroAddress } })],
  ['homes.0.chain.vault', home({ chain: { ...chain, vault: VAULT.toLowerCase() } })],
  ['homes.0.chain.deployBlock', home({ chain: { ...chain, deployBlock: -1 } })],
  ['homes.0.assets', home({ assets: [] })],
  ['homes.0.assets.0.id', home({ assets: [{ ...coin, id: 'eip155:2/slip44:60' }] })],
  ['homes.0.assets.1.id', home({ assets: [coin, { ...token, id: 'eip155:1/slip44:61' }] })],
  ['homes.0.assets', home({ assets: [coin, { ...token, id: coin.id }] })],
  ['homes.0.assets.0.address', home({ assets: [{ ...token, address: TOKEN.toLowerCase() }] })],
  ['homes.0.assets.0.process', home({ assets: [{ ...coin, process: 'short' }] })],
  ['homes.0.assets', home({ assets: [coin, { ...coin, process: token.process }] })],
  ['homes', home({ assets: [coin, { ...token, process: coin.process }] })],
  ['homes', { homes: [] }],
  ['homes', { homes: [...good.homes, ...good.homes] }],
  ['homes.0.chain.id', home({ chain: { ...chain, id: 'cosmos:hub' } })],
  ['homes.0', { homes: ['eip155:1'] }],
  ['(whole file)', { pollMS: 5 }],
])('refuses at start, and names, a wrong %s: %j', (key, change) => {
  expect(() => load({ ...good, ...change })).toThrow(ConfigError);
  const [, wrong] = refusalOf({ ...good, ...change }).split('\n');
  expect(wrong?.trim().split(': ')[0]).toBe(key);
});

function refusalOf(content: unknown): string {
  try {
    load(content);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

it('names every wrong key at once', () => {
  const said = refusalOf({ ...good, port: -1, scheduler: 'x', ...home({ chain: { ...chain, agreement: 9 } }) });
  for (const key of ['port', 'scheduler', 'homes.0.chain.agreement']) expect(said).toContain(`  ${key}: `);
});
