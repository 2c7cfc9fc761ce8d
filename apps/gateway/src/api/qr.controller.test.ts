/** A payment link as a picture, and nothing but a payment link. */
import { Problem } from './problem.js';
import { QrController } from './qr.controller.js';

const qr = new QrController();

it('draws payment links, the same link alike and another otherwise', async () => {
  const one = await qr.draw({ link: 'bitcoin:bcrt1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq?amount=0.5' });
  const other = await qr.draw({ link: 'solana:https://gateway.example/v1/solana/pay?x=1' });
  for (const svg of [one, other])
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"[^<]*(<path[^<]*\/>)+<\/svg>\s*$/);
  expect(one).not.toBe(other);
  expect(await qr.draw({ link: 'bitcoin:bcrt1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq?amount=0.5' })).toBe(one);
});

it.each([
  [{}],
  [{ link: '' }],
  [{ link: ['bitcoin:a', 'bitcoin:b'] }],
  [{ link: 'https://evil.example/' }],
  [{ link: 'javascript:alert(1)' }],
  [{ link: 'bitcoin:a b' }],
  [{ link: `bitcoin:${'a'.repeat(1_000)}` }],
  [{ link: 'bitcoin:a', size: '9' }],
])('X13 X14 refuses what is none: %j', (query) => {
  expect(() => qr.draw(query)).toThrow(Problem);
});
