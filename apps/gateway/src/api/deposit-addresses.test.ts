/** Who asks for too many deposit addresses waits, by himself; each is a message on AO for ever. */
import type { Request } from 'express';
import type { Home } from '../homes/home.js';
import { Homes } from '../homes/homes.js';
import { DepositAddressesController } from './deposit-addresses.controller.js';

const PROCESS = Buffer.alloc(32, 7).toString('base64url');
const BTC = 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:0';
const ETH = 'eip155:1/slip44:60';
const body = { asset: BTC, recipient: Buffer.alloc(32, 9).toString('base64url'), refund: { key: '02' } };
const from = (ip: string) => ({ ip }) as Request;

function controller(standing = { open: true }, paused: string[] = []): DepositAddressesController {
  const addresses = { perMinute: 2, give: () => Promise.resolve('given'), find: () => Promise.resolve(null) };
  const homes = [
    { assets: [{ id: BTC, process: PROCESS }], addresses },
    { assets: [{ id: ETH, process: 'other' }] },
  ] as unknown as Home[];
  const books = { standing: () => Promise.resolve(standing), paused: () => Promise.resolve(new Set(paused)) };
  const selling = { assertCarried: () => Promise.resolve() };
  return new DepositAddressesController(new Homes(homes), books as never, selling as never);
}

it('X14 counts each client by itself', async () => {
  const asked = controller();
  for (let i = 0; i < 2; i += 1) expect(await asked.give(body, from('192.0.2.1'))).toBe('given');
  await expect(asked.give(body, from('192.0.2.1'))).rejects.toMatchObject({ code: 'too-many-requests' });
  expect(await asked.give(body, from('198.51.100.7'))).toBe('given');
});

it('X14 counts all clients together too, and who is refused for himself takes nothing from them', async () => {
  const asked = controller();
  const most = 600;
  for (let i = 0; i < most - 2; i += 1) await asked.give(body, from(`192.0.${i >> 8}.${i & 255}`));
  await asked.give(body, from('192.0.0.0'));
  await expect(asked.give(body, from('192.0.0.0'))).rejects.toMatchObject({ code: 'too-many-requests' });
  await asked.give(body, from('203.0.113.1'));
  await expect(asked.give(body, from('198.51.100.7'))).rejects.toMatchObject({
    code: 'too-many-requests',
    message: expect.stringContaining(`${most} deposit addresses a minute`),
  });
});

it('gives none where there are none, and none while deposits are not taken', async () => {
  await expect(controller().give({ ...body, asset: ETH }, from('192.0.2.1'))).rejects.toMatchObject({
    code: 'bad-request',
  });
  await expect(controller({ open: false }).give(body, from('192.0.2.1'))).rejects.toMatchObject({
    code: 'asset-closed',
  });
  await expect(controller(undefined, [PROCESS]).give(body, from('192.0.2.1'))).rejects.toMatchObject({
    code: 'paused',
  });
  await expect(controller().find('x'.repeat(200))).rejects.toMatchObject({ code: 'not-found' });
});
