/**
 * The gateway's page: quotes, transfers as they move, one transfer's proofs, the books. Everything it shows comes from /v1, and every text is
 * set as text, never as HTML: tags and symbols are written by strangers.
 */
import { fromBaseUnits, toBaseUnits } from './amount.js';
import { findMarks, isSignature, progressWords, tagsOf, wordsOf } from './words.js';

const PAGE = 20;
const REFRESH_MS = 400;
const BOOKS_MS = 15_000;
const PROGRESS_MS = 2_000;
/** A transaction that is not final by then is asked for again by hand. */
const FOLLOWED_MS = 300_000;
const DONE = new Set(['minted', 'released']);
const STOPPED = new Set(['orphaned', 'refused', 'held']);
const STEP_NAMES = {
  seen: 'Seen on the chain',
  final: 'Final on the chain',
  attested: 'Attested by a guardian',
  conflict: 'A guardian saw it differently',
  minted: 'Minted on AO',
  queued: 'Burned on AO',
  proposed: 'Release proposed by a guardian',
  signed: 'Release signed by a guardian',
  submitted: 'Release sent',
  mined: 'Release in a block',
  reverted: 'Release transaction failed',
  'release-attested': 'Release attested by a guardian',
  released: 'Released',
  refused: 'Not credited',
  refunded: 'Taken back by its depositor',
};

/** How an address is written, by the family of its chain. */
const ADDRESSES = { eip155: '0x with checksum', solana: 'base58' };

const byId = (id) => document.getElementById(id);
const assets = new Map();
const chains = new Map();
const shown = { rows: new Map(), cursor: null, find: '', open: null };

// --- talking to the gateway

/** Asks /v1. Throws an Error whose message is fit for people. */
async function ask(path, body) {
  const init = body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(`v1/${path}`, init).catch(() => {
    throw new Error('The gateway does not answer. Check the connection and try again.');
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw Object.assign(new Error(wordsOf(answer) ?? `The gateway answered with status ${response.status}.`), {
    status: response.status,
  });
}

function fail(place, error) {
  place.textContent = error ? error.message : '';
  place.hidden = !error;
}

// --- making elements

/** An element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

function facts(pairs) {
  const pairList = make('dl', { class: 'facts' });
  for (const [name, value] of pairs)
    if (value !== null && value !== undefined && value !== '')
      pairList.append(make('dt', {}, name), make('dd', {}, value instanceof Node ? value : String(value)));
  return pairList;
}

const code = (text) => make('code', text.length > 200 ? { class: 'long', tabindex: '0' } : {}, text);
const time = (iso) => make('time', { datetime: iso }, new Date(iso).toLocaleString());
const short = (text) => (text.length > 20 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text);

function money(units, assetId) {
  const asset = assets.get(assetId);
  return asset ? `${fromBaseUnits(units, asset.decimals)} ${asset.symbol}` : `${units} base units of ${assetId}`;
}

function stateOf({ state }) {
  const kind = DONE.has(state) ? 'state done' : STOPPED.has(state) ? 'state stopped' : 'state';
  return make('span', { class: kind }, state);
}

// --- quote

const quoteForm = byId('quote');

function describeForm() {
  const deposit = new FormData(quoteForm).get('direction') === 'deposit';
  const chain = chains.get(assets.get(quoteForm.elements.asset.value)?.chain);
  byId('recipient-label').textContent = `Recipient on ${deposit ? 'AO' : (chain?.name ?? 'its chain')}`;
  quoteForm.elements.recipient.placeholder = deposit
    ? '43 characters, or 0x with checksum'
    : (ADDRESSES[chain?.id.split(':')[0]] ?? '');
  byId('refund-line').hidden = byId('ask-address').hidden = !(deposit && chain?.id.startsWith('bip122:'));
  byId('tags-line').hidden = !deposit;
  byId('sender').hidden = !deposit || !chain?.id.startsWith('solana:');
}

// --- deposit addresses

async function askAddress() {
  const failure = byId('quote-failure');
  const button = byId('ask-address');
  const place = byId('quote-answer');
  const { asset, recipient, tags, refund: written } = Object.fromEntries(new FormData(quoteForm));
  const refund = written.trim();
  button.disabled = true;
  try {
    fail(failure, null);
    place.replaceChildren();
    if (refund === '') throw new Error('Say who may take the money back: an address of yours, or a public key.');
    const owner = /^[0-9a-fA-F]{66}$/.test(refund) ? { key: refund.toLowerCase() } : { address: refund };
    const request = { asset, recipient: recipient.trim(), tags: tagsOf(tags), refund: owner };
    place.replaceChildren(...addressAnswer(await ask('deposit-addresses', request)));
  } catch (error) {
    fail(failure, error);
  } finally {
    button.disabled = false;
  }
}

const qrCode = (link) =>
  make('img', { class: 'qr', src: `v1/qr?link=${encodeURIComponent(link)}`, alt: 'The payment link as a QR code' });

function addressAnswer(a) {
  const file = new Blob([a.recovery.content], { type: 'application/json' });
  const needs = a.confirmations.map(
    ({ upTo, confirmations }) =>
      `${confirmations} ${upTo === null ? 'for any amount' : `up to ${money(upTo, a.asset)}`}`,
  );
  return [
    make('h3', {}, 'Your deposit address'),
    qrCode(a.qr),
    facts([
      ['Address', code(a.address)],
      ['Payment link', make('a', { href: a.uri }, a.uri)],
      ['Credits', code(a.recipient)],
      ['Tags', a.tags.map(({ name, value }) => `${name}=${value}`).join(', ')],
      ['Mind', a.recipientNote],
      ['Least amount', money(a.minimum, a.asset)],
      ['Fee', `${money(a.sweepFee, a.asset)} of each payment: what it holds beyond that is credited`],
      ['Confirmations', needs.join(', ')],
      ['Refund', `possible after ${a.refundAfter} confirmations of a payment, by ${a.refund}`],
      ['Keep this', make('a', { href: URL.createObjectURL(file), download: a.recovery.fileName }, 'the recovery file')],
      ['Registered by', code(a.message)],
      ['Script', code(a.witnessScript)],
    ]),
    make('p', {}, 'What the script says; “isthmus btc verify-address” checks it offline:'),
    make(
      'ol',
      {},
      ...a.lines.map(({ code: part, means }) =>
        make('li', {}, code(part), ' ', make('span', { class: 'small' }, means)),
      ),
    ),
    make('h3', {}, 'Paid to it'),
    make('div', { id: 'payments', 'data-address': a.address }, make('p', { class: 'none' }, 'Nothing yet.')),
  ];
}

/** What was paid to the address that is shown, anew while it is. */
async function showPayments() {
  const place = document.getElementById('payments');
  if (!place) return;
  const { payments, asset } = await ask(`deposit-addresses/${encodeURIComponent(place.dataset.address)}`);
  if (payments.length === 0) return;
  place.replaceChildren(make('ul', {}, ...payments.map((payment) => paymentLine(payment, asset))));
}

function paymentLine(p, asset) {
  const link = make('a', { href: `#/transfers/${p.transfer}` }, money(p.amount, asset));
  return make('li', {}, link, `: ${paymentState(p, asset)}${p.refunded ? '; taken back' : ''}`);
}

function paymentState(p, asset) {
  if (p.minted) return `minted, ${money(p.credited, asset)} credited`;
  const count = `${Math.min(p.confirmations, p.required)} of ${p.required} confirmations`;
  if (p.state === 'refused') return `not credited${p.reason ? ` (${p.reason})` : ''}, ${count}`;
  return p.state === 'final' ? `final, ${count}; it is being credited` : `${p.state}, ${count}`;
}

async function quote(event) {
  event.preventDefault();
  const failure = byId('quote-failure');
  const button = quoteForm.querySelector('button');
  const form = Object.fromEntries(new FormData(quoteForm));
  const { direction, asset: id, amount: written, recipient, sender } = form;
  const place = byId('quote-answer');
  button.disabled = true;
  try {
    fail(failure, null);
    place.replaceChildren();
    const asset = assets.get(id);
    if (!asset) throw new Error('Choose an asset first.');
    const amount = toBaseUnits(written, asset.decimals);
    if (amount === null) throw new Error(`Write an amount above 0 with at most ${asset.decimals} decimals, like 0.5.`);
    const named = byId('sender').hidden || sender.trim() === '' ? {} : { sender: sender.trim() };
    const tags = direction === 'deposit' ? { tags: tagsOf(form.tags) } : {};
    const answer = await ask('quotes', {
      direction,
      asset: id,
      amount,
      recipient: recipient.trim(),
      ...tags,
      ...named,
    });
    place.replaceChildren(...(direction === 'deposit' ? depositAnswer(answer) : withdrawalAnswer(answer)));
  } catch (error) {
    fail(failure, error);
  } finally {
    button.disabled = false;
  }
}

const seconds = (n) => (n < 120 ? `about ${n} seconds` : `about ${Math.ceil(n / 60)} minutes`);

function depositAnswer(q) {
  return [
    facts([
      ['Mind', q.recipientNote],
      ['Fee', money(q.fee, q.asset)],
      ['You receive', money(q.receive, q.asset)],
      ['Least amount', money(q.minimum, q.asset)],
      ['Confirmations', q.confirmations],
      ['Expected time', seconds(q.expectedSeconds)],
    ]),
    ...(q.byAddress ? bitcoinWays(q) : q.instructions ? solanaCall(q) : ethereumCall(q)),
  ];
}

function ethereumCall(q) {
  return [
    ...(q.approve
      ? [
          make('h3', {}, 'First, allow the vault to take the token'),
          facts([
            ['Token', code(q.approve.token)],
            ['Spender', code(q.approve.spender)],
            ['Amount', code(q.approve.amount)],
            ['That is', money(q.approve.amount, q.asset)],
            ['Note', q.approve.note],
          ]),
        ]
      : []),
    make('h3', {}, `The call on ${chains.get(q.chain)?.name ?? q.chain}`),
    facts([
      ['To', code(q.call.to)],
      ['Value', code(q.call.value)],
      ['Function', code(q.call.function)],
      ['Data', code(q.call.data)],
    ]),
  ];
}

function bitcoinWays(q) {
  return [
    make('h3', {}, 'To an address of your own'),
    make('p', {}, 'Say above where a refund goes, and get a deposit address. ', q.byAddress.note),
    ...(q.byMemo
      ? [
          make('h3', {}, 'Or to the vault, with a memo'),
          facts([
            ['Vault', code(q.byMemo.address)],
            ['Amount', money(q.byMemo.amount, q.asset)],
            ['Memo, in one OP_RETURN output', code(q.byMemo.memo)],
            ['Note', q.byMemo.note],
          ]),
        ]
      : []),
  ];
}

/** Whose an account of an instruction is, while nobody is named. */
const ROLES = { sender: 'your wallet', 'sender-account': 'your token account' };

function solanaCall(q) {
  const payment = make(
    'form',
    { class: 'wide' },
    make(
      'label',
      {},
      make('span', {}, 'Signature of your transaction, as the wallet shows it'),
      make('input', { name: 'signature', autocomplete: 'off', spellcheck: 'false', maxlength: '88', required: '' }),
    ),
    make('button', { class: 'button quiet', type: 'submit' }, 'Follow it'),
  );
  payment.addEventListener('submit', (event) => {
    event.preventDefault();
    byId('find-text').value = new FormData(payment).get('signature').trim();
    byId('find').requestSubmit();
  });
  return [
    make('h3', {}, 'With a wallet'),
    ...(q.link ? [qrCode(q.link)] : []),
    facts([
      [
        'Solana Pay',
        q.link ? make('a', { href: q.link }, 'Open in a wallet') : 'This gateway is not reached by https.',
      ],
      ['Link', q.link && code(q.link)],
      ['Transaction to sign', q.transaction ? code(q.transaction) : 'Name your wallet above to have it ready.'],
      ['Hint', q.transaction && 'Base64, without signatures. It is good for about a minute: then ask again.'],
    ]),
    make('h3', {}, 'When you have sent it'),
    payment,
    make('h3', {}, `The instructions on ${chains.get(q.chain)?.name ?? q.chain}, with nothing between them`),
    ...q.instructions.map(({ program, accounts, data }, i) =>
      facts([
        [`Program ${i + 1}`, code(program)],
        ...accounts.map(({ role, address, signer, writable }) => [
          [role, signer && 'signs', writable && 'writable'].filter(Boolean).join(', '),
          address ? code(address) : (ROLES[role] ?? role),
        ]),
        ['Data, base64', code(data)],
      ]),
    ),
    facts([['Memo', code(q.memo)]]),
  ];
}

function withdrawalAnswer(q) {
  return [
    facts([
      ['Fee, at most', money(q.maxFee, q.asset)],
      ['A release costs', q.relayFee && money(q.relayFee, q.asset)],
      ['You receive at least', money(q.receiveAtLeast, q.asset)],
      ['Least amount', money(q.minimum, q.asset)],
      ['Expected time', seconds(q.expectedSeconds)],
    ]),
    make('h3', {}, 'The AO message'),
    facts([
      ['Send to', code(q.message.url)],
      ['Target', code(q.message.target)],
      ...q.message.tags.map(({ name, value }) => [name, code(value)]),
    ]),
  ];
}

// --- transfers

function row(transfer) {
  const { id, direction, amount, asset, recipient, waiting, updatedAt } = transfer;
  return make(
    'li',
    { 'data-id': id },
    make(
      'a',
      { href: `#/transfers/${id}` },
      stateOf(transfer),
      make('span', { class: 'amount' }, `${direction === 'deposit' ? 'To AO' : 'From AO'}: ${money(amount, asset)}`),
      make('span', { class: 'small' }, time(updatedAt)),
      make(
        'span',
        { class: 'small why' },
        waiting ? waiting.detail : `for ${recipient === '-' ? 'nobody' : short(recipient)}`,
      ),
    ),
  );
}

async function list(cursor) {
  const pages = await Promise.all(
    findMarks(shown.find).map((mark) => ask(`transfers?limit=${PAGE}${mark}${cursor ? `&cursor=${cursor}` : ''}`)),
  );
  const transfers = pages.flatMap((p) => p.transfers);
  // A cursor is a place in the whole order, so it goes on in the only list that has more.
  return { transfers, cursor: pages.length === 1 ? pages[0].nextCursor : null };
}

async function refresh() {
  const place = byId('recent');
  try {
    const { transfers, cursor } = await list(null);
    shown.rows = new Map(transfers.map((t) => [t.id, row(t)]));
    shown.cursor = cursor;
    const none = make(
      'li',
      { class: 'none' },
      shown.find === '' ? 'No transfers yet.' : 'Nothing is known under this: check that it is complete.',
    );
    const focused = document.activeElement?.closest?.('#recent li')?.dataset.id;
    place.replaceChildren(...(shown.rows.size > 0 ? shown.rows.values() : [none]));
    if (focused) shown.rows.get(focused)?.querySelector('a').focus();
    byId('more').hidden = cursor === null;
    fail(byId('failure'), null);
  } catch (error) {
    fail(byId('failure'), error);
  } finally {
    place.setAttribute('aria-busy', 'false');
  }
}

async function older() {
  try {
    const { transfers, cursor } = await list(shown.cursor);
    for (const t of transfers) {
      if (shown.rows.has(t.id)) continue;
      const item = row(t);
      shown.rows.set(t.id, item);
      byId('recent').append(item);
    }
    shown.cursor = cursor;
    byId('more').hidden = cursor === null;
  } catch (error) {
    fail(byId('failure'), error);
  }
}

async function find(event) {
  event.preventDefault();
  shown.find = byId('find-text').value.trim();
  if (/^0x[0-9a-f]{64}$/i.test(shown.find)) {
    // A transfer's own id and a transaction hash look alike.
    const found = await ask(`transfers/${shown.find}`).catch(() => null);
    if (found) location.hash = `#/transfers/${found.id}`;
  }
  await refresh();
  void followTransaction(shown.find);
}

// --- a transaction on Solana

/** Where the transaction that was asked for stands, anew until its deposits are shown as transfers, it failed, or another is asked for. */
async function followTransaction(signature) {
  const place = byId('progress');
  place.hidden = !isSignature(signature) || ![...chains.keys()].some((id) => id.startsWith('solana:'));
  if (place.hidden) return;
  place.textContent = 'Asking where this transaction stands…';
  for (const until = Date.now() + FOLLOWED_MS; shown.find === signature && Date.now() < until;) {
    try {
      const answer = await ask(`solana/transactions/${signature}`);
      if (shown.find !== signature) return;
      place.textContent = progressWords(answer);
      if (answer.transfers.length > 0 && shown.rows.size === 0) await refresh();
      if (answer.state === 'failed' || (answer.state === 'finalized' && answer.transfers.length > 0)) return;
    } catch (error) {
      place.textContent = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, PROGRESS_MS));
  }
}

// --- one transfer

async function showDetail(id) {
  const place = byId('detail-body');
  try {
    const t = await ask(`transfers/${encodeURIComponent(id)}`);
    if (shown.open !== id) return;
    place.replaceChildren(
      facts([
        ['State', stateOf(t)],
        [
          'Confirmations',
          t.confirmations && `${Math.min(t.confirmations.have, t.confirmations.need)} of ${t.confirmations.need}`,
        ],
        ['Why it waits', t.waiting && `${t.waiting.detail} (${t.waiting.reason})`],
        ['Expected', t.waiting && (t.waiting.expected ? time(t.waiting.expected) : 'not known')],
        ['Amount', money(t.amount, t.asset)],
        ['Fee', money(t.fee, t.asset)],
        ['Fee, at most', t.maxFee && money(t.maxFee, t.asset)],
        ['From', t.sender === '-' ? null : code(t.sender)],
        ['To', t.recipient === '-' ? 'nobody' : code(t.recipient)],
        ['Id', code(t.id)],
        ['Number', t.number],
        ['Reference', t.reference && code(t.reference)],
        ['Deposit transaction', t.sourceTx && code(t.sourceTx)],
        ['Release transaction', t.releaseTx && code(t.releaseTx)],
      ]),
      make('h3', {}, 'Timeline'),
      make('ol', { class: 'timeline' }, ...t.timeline.map((s) => step(s, t.asset))),
    );
  } catch (error) {
    if (shown.open === id) place.replaceChildren(make('p', { class: 'error', role: 'alert' }, error.message));
  }
}

const AMOUNTS = new Set(['amount', 'fee']);

function step({ kind, at, proof, settlement }, asset) {
  return make(
    'li',
    {},
    make('strong', {}, STEP_NAMES[kind] ?? kind),
    ' ',
    make('span', { class: 'small' }, time(at)),
    facts([
      ...Object.entries(proof).map(([name, value]) => [
        name,
        AMOUNTS.has(name) ? money(String(value), asset) : code(String(value)),
      ]),
      ['On Arweave', settlement && `${settlement.state} in bundle ${settlement.bundle}`],
      ['Arweave transaction', settlement?.transaction && code(settlement.transaction)],
    ]),
  );
}

function route() {
  const match = /^#\/transfers\/(0x[0-9a-f]{64})$/.exec(location.hash);
  const id = match ? match[1] : null;
  if (id === shown.open) return;
  shown.open = id;
  const section = byId('detail');
  section.hidden = id === null;
  if (id === null) return;
  byId('detail-body').replaceChildren(make('p', { class: 'none' }, 'Loading…'));
  section.focus();
  section.scrollIntoView();
  void showDetail(id);
}

// --- books

/** Says above everything else which assets the guardians have paused. */
function showPaused(ids) {
  const banner = byId('paused');
  banner.hidden = ids.length === 0;
  banner.replaceChildren(
    'The guardians have paused ',
    ...ids.flatMap((id, i) => [
      i > 0 ? ', ' : '',
      make('a', { href: `v1/decisions?asset=${encodeURIComponent(id)}` }, assets.get(id)?.name ?? id),
    ]),
    '. Nothing is minted or released until they let it go on; what is under way is not lost.',
  );
}

async function showBooks() {
  const place = byId('books');
  try {
    const { books, unread } = await ask('books');
    showPaused(books.filter((b) => b.paused).map((b) => b.asset));
    const cards = books.map((b) =>
      make(
        'article',
        { class: 'book' },
        make('h3', {}, assets.get(b.asset)?.name ?? b.asset),
        make('p', { class: b.ok ? 'state done' : 'state stopped' }, b.ok ? 'covered' : 'NOT COVERED'),
        b.paused ? make('p', { class: 'state stopped' }, 'paused') : null,
        facts([
          ['Locked', money(b.locked, b.asset)],
          ['On AO', money(b.supply, b.asset)],
          ['On its way back', money(b.inFlight, b.asset)],
          ['Paid, being attested', b.releasedUnattested === '0' ? null : money(b.releasedUnattested, b.asset)],
          ['Read at', `block ${b.height}, slot ${b.slot}`],
        ]),
      ),
    );
    const hidden = unread.map(({ asset, detail }) =>
      make(
        'article',
        { class: 'book' },
        make('h3', {}, assets.get(asset)?.name ?? asset),
        make('p', { class: 'error' }, detail),
      ),
    );
    cards.push(...hidden);
    const none = make('p', { class: 'none' }, 'No assets are bridged here yet.');
    place.replaceChildren(cards.length > 0 ? make('div', { class: 'books' }, ...cards) : none);
  } catch (error) {
    place.replaceChildren(make('p', { class: 'error', role: 'alert' }, error.message));
  }
}

// --- chains

/** The assets of a chain, each with its process and, where a vault has one of its own, who holds that. */
function chainCard(chain) {
  const ofChain = [...assets.values()].filter((a) => a.chain === chain.id);
  const held = new Map((chain.vaults ?? []).map((v) => [v.asset, v]));
  const keys = (of) => (of?.guardianKeys?.length ? `${of.threshold} of ${of.guardianKeys.join(', ')}` : null);
  return make(
    'article',
    { class: 'book' },
    make('h3', {}, chain.name),
    facts([
      ['Id', code(chain.id)],
      ['Vault', chain.vault && code(chain.vault)],
      ['Guardians’ keys', keys(chain) && code(keys(chain))],
      ['Relayer', chain.relayer && code(chain.relayer)],
      ['Its nonces', chain.nonces && code(chain.nonces.join(', '))],
    ]),
    ...ofChain.flatMap((asset) => [
      make('h4', {}, asset.name),
      facts([
        ['Process', code(asset.process)],
        ['Vault', asset.vault && code(asset.vault)],
        ['Multisig', held.has(asset.id) ? code(held.get(asset.id).multisig) : null],
        ['Guardians’ keys', keys(held.get(asset.id)) && code(keys(held.get(asset.id)))],
        ['A release costs', asset.relayFee && money(asset.relayFee, asset.id)],
      ]),
    ]),
  );
}

function showChains({ scheduler, messenger }) {
  const ao = make(
    'article',
    { class: 'book' },
    make('h3', {}, 'AO'),
    facts([
      ['Scheduler', code(scheduler)],
      ['Messenger', code(messenger)],
    ]),
  );
  byId('chains').replaceChildren(...[...chains.values()].map(chainCard), ao);
}

// --- live

/** Many changes at once are one look. */
function soon(work, ms) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      void work();
    }, ms);
  };
}

function follow() {
  const live = byId('live');
  const say = (on, text) => {
    live.classList.toggle('on', on);
    live.textContent = text;
  };
  const look = soon(refresh, REFRESH_MS);
  const lookAtOpen = soon(() => shown.open && showDetail(shown.open), REFRESH_MS);
  const lookAtBooks = soon(showBooks, REFRESH_MS * 5);
  const events = new EventSource('v1/events');
  events.addEventListener('open', () => say(true, 'live'));
  events.addEventListener('error', () => say(false, 'connection lost, trying again'));
  events.addEventListener('transfer', ({ data }) => {
    look();
    lookAtBooks();
    if (JSON.parse(data).transfer === shown.open) lookAtOpen();
  });
}

async function start() {
  quoteForm.addEventListener('submit', (event) => void quote(event));
  quoteForm.addEventListener('change', describeForm);
  byId('ask-address').addEventListener('click', () => void askAddress());
  byId('find').addEventListener('submit', (event) => void find(event));
  byId('more').addEventListener('click', () => void older());
  window.addEventListener('hashchange', route);
  describeForm();
  try {
    const [told, listed] = await Promise.all([ask('chains'), ask('assets')]);
    for (const chain of told.chains) chains.set(chain.id, chain);
    for (const asset of listed.assets) {
      assets.set(asset.id, asset);
      quoteForm.elements.asset.append(make('option', { value: asset.id }, `${asset.symbol} (${asset.name})`));
    }
    describeForm();
    showChains(told.ao);
    showPaused([...assets.values()].filter((a) => a.paused).map((a) => a.id));
  } catch (error) {
    fail(byId('failure'), error);
  }
  route();
  follow();
  await Promise.all([refresh(), showBooks()]);
  setInterval(() => {
    void showBooks();
    // Confirmations are counted where no state changes.
    if (shown.open) void showDetail(shown.open);
    void showPayments().catch(() => undefined); // shown again in the next round
  }, BOOKS_MS);
}

void start();
