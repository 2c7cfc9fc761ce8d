/** The page as people meet it: in a browser, served by the gateway of a running stack. */
import { publicKeyOf } from '@isthmus/chains';
import { call, devAccount, devWallet } from '@isthmus/devnet';
import { Browser } from './browser.js';
import { Stage } from './stage.js';

const PATIENCE_MS = 180_000;
const HOLDER = devAccount(5).address;
const REFUND = publicKeyOf(Buffer.alloc(32, 7));
let stage: Stage;
let page: Browser;

beforeAll(async () => {
  stage = await Stage.open({ homes: true });
  page = await Browser.open(`${stage.stack.gatewayUrl}/`);
  await page.until(`document.querySelector('[name=asset]').options.length === 5`, PATIENCE_MS);
});
afterAll(async () => {
  await page.close();
  await stage.close();
});

/** Chooses an asset by its symbol, as a person does in the list. */
async function choose(symbol: string, direction = 'deposit'): Promise<void> {
  await page.click(`[name=direction][value=${direction}]`);
  await page.value(`{
    const list = document.querySelector('[name=asset]');
    list.value = [...list.options].find((o) => o.text.includes(${JSON.stringify(symbol)})).value;
    list.dispatchEvent(new Event('change', { bubbles: true }));
  }`);
}
const shown = (selector: string): Promise<boolean> =>
  page.value(`document.querySelector(${JSON.stringify(selector)}).offsetParent !== null`);
const failure = '#quote-failure';
const isSaid = `document.querySelector('${failure}').innerText !== ''`;

it('opens live, with the books of every asset and nothing to complain of', async () => {
  await page.until(`document.querySelector('#live').innerText === 'live'`, PATIENCE_MS);
  await page.until(`document.querySelectorAll('#books .done').length === 5`, PATIENCE_MS);
  await page.until(`document.querySelector('#recent').getAttribute('aria-busy') === 'false'`, PATIENCE_MS);
  expect(await page.text('#failure')).toBe('');
  expect(page.complaints).toEqual([]);
});

it.each([
  ['nobody to refund', HOLDER, '', /Say who may take the money back/],
  ['nobody to credit', '', REFUND, /Name the recipient/],
  ['a recipient on another chain', devWallet(1).publicKey.toBase58(), REFUND, /An address of Solana/],
  ['a refund key that is none', HOLDER, 'ff'.repeat(33), /refund|key/i],
])('says why there is no deposit address: %s', async (_, recipient, refund, words) => {
  await choose('aBTC');
  await page.type('[name=recipient]', recipient);
  await page.type('[name=refund]', refund);
  await page.click('#ask-address');
  await page.until(`!document.querySelector('#ask-address').disabled && ${isSaid}`, PATIENCE_MS);
  expect(await page.text(failure)).toMatch(words);
  expect(await page.text('#quote-answer')).toBe('');
});

it('gives a deposit address of Bitcoin with its QR code and script, and shows the payment until it is minted', async () => {
  await choose('aBTC');
  expect([await shown('#refund-line'), await shown('#sender')]).toEqual([true, false]);
  await page.type('[name=recipient]', HOLDER);
  await page.type('[name=tags]', 'X-Action=Swap');
  await page.type('[name=refund]', REFUND);
  await page.click('#ask-address');
  await page.until(`document.querySelector('#payments')`, PATIENCE_MS);
  expect(await page.text('#quote-answer')).toContain(`${HOLDER}, X-Action=Swap`);
  expect(await page.text(failure)).toBe('');
  await page.until(`document.querySelector('#quote-answer .qr').naturalWidth > 0`, PATIENCE_MS);
  const address = await page.value<string>(`document.querySelector('#payments').dataset.address`);
  expect(await page.text('#quote-answer')).toContain(`bitcoin:${address}`);
  expect(await page.value<number>(`document.querySelectorAll('#quote-answer ol li').length`)).toBe(4);

  const bitcoin = stage.stack.homes.find((h) => h.chain.startsWith('bip122:'));
  await call(bitcoin?.rpcUrl ?? '', 'sendtoaddress', address, 0.02);
  await page.until(`/ of \\d confirmations|minted/.test(document.querySelector("#payments").innerText)`, PATIENCE_MS);
  await page.until(`document.querySelector('#payments').innerText.includes('minted')`, PATIENCE_MS);
  await page.click('#payments a');
  await page.until(`document.querySelector('#detail .state')?.innerText === 'minted'`, PATIENCE_MS);
  expect(await page.text('#detail-body')).toContain('Minted on AO');
  await page.until(`document.querySelector('#recent').innerText.includes('minted')`, PATIENCE_MS);
});

it('shows what pays a vault on Solana, and refuses a recipient of another chain on the way back', async () => {
  await choose('aSOL');
  expect([await shown('#refund-line'), await shown('#sender')]).toEqual([false, true]);
  await page.type('[name=amount]', '1.5');
  await page.type('[name=recipient]', HOLDER);
  await page.type('[name=sender]', devWallet(0).publicKey.toBase58());
  await page.click('#quote button[type=submit]');
  await page.until(`document.querySelector('#quote-answer').innerText.includes('Program 2')`, PATIENCE_MS);
  expect(await page.text('#quote-answer')).toContain(`ao:${HOLDER}\nX-Action=Swap`);
  expect(await page.text('#quote-answer')).toContain('without signatures');

  await choose('aSOL', 'withdrawal');
  await page.click('#quote button[type=submit]');
  await page.until(isSaid, PATIENCE_MS);
  expect(await page.text(failure)).toMatch(/recipient|address/i);
  expect(await page.text('#quote-answer')).toBe('');
});

it('complained of nothing but what was refused', () => {
  const refused = page.complaints.filter((c) => !/status of 4(00|22).*\/v1\/(quotes|deposit-addresses)/.test(c));
  expect(refused).toEqual([]);
});
