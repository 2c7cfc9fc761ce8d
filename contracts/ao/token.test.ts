/** The token process: who may say what, what it leads to, and that nothing else moves money. */
import { sameImage } from '@isthmus/ao';
import fc from 'fast-check';
import { depositId, encodeDepositLine, withdrawalId, type DepositObservation } from '@isthmus/bridge';
import { getAddress, type Hex } from 'viem';
import {
  AUTHORITY,
  CHAIN,
  GUARDIANS,
  ODD_QUANTITIES,
  PROCESS,
  SPAWN_TAGS,
  tag,
  TOKEN,
  TokenProcess,
  VAULT,
  type Outcome,
} from './harness.js';

const [G1, G2, G3, G4, G5] = GUARDIANS as [Hex, Hex, Hex, Hex, Hex];
const ALICE = getAddress(`0x${'ab'.repeat(20)}`);
const BOB = 'B'.repeat(42) + 'A';
const OUTSIDER = getAddress(`0x${'9c'.repeat(20)}`);
const txHash = (n: number): Hex => `0x${n.toString(16).padStart(64, '0')}`;

function deposit(sequence: number, change: Partial<DepositObservation> = {}): DepositObservation {
  const reference = `${CHAIN}:${VAULT}:${sequence}`;
  return {
    id: depositId(reference),
    reference,
    txHash: txHash(sequence),
    sender: OUTSIDER,
    recipient: ALICE,
    amount: 1000n,
    tags: '-',
    ...change,
  };
}
const attest = (token: TokenProcess, guardian: string, ...deposits: DepositObservation[]) =>
  token.send(guardian, { Action: 'Attest-Deposits' }, deposits.map(encodeDepositLine).join('\n'));
const types = (o: { events: { type: string }[] }) => o.events.map((e) => e.type);

async function funded(amount = 1000n): Promise<TokenProcess> {
  const token = await TokenProcess.spawn();
  await attest(token, G1, deposit(1, { amount }));
  await attest(token, G2, deposit(1, { amount }));
  return token;
}
const withdraw = (token: TokenProcess, tags: Record<string, string> = {}, from = ALICE) =>
  token.send(from, { Action: 'Withdraw', Quantity: '100', Recipient: OUTSIDER, 'Max-Fee': '5', ...tags });
const decide = (token: TokenProcess, guardian: string, nonce: number, line: string) =>
  token.send(guardian, { Action: 'Attest-Decision', 'Decision-Nonce': String(nonce) }, line);
const packed = (guardian: Hex, fill = 'ab') =>
  `0x${GUARDIANS.indexOf(guardian).toString(16).padStart(2, '0')}${fill.repeat(64)}`;
const sign = (token: TokenProcess, guardian: Hex, number: number, epoch = 1, signature = packed(guardian)) =>
  token.send(guardian, { Action: 'Sign-Release' }, `${number} ${epoch} ${signature}`);
const attestRelease = (token: TokenProcess, guardian: string, number: number, fee = '3', outcome = 'paid') =>
  token.send(guardian, { Action: 'Attest-Release' }, `${number} ${txHash(77)} ${fee} ${outcome}`);
const books = async (token: TokenProcess) => (await token.read('Bridge-Info')) as Record<string, string>;

it('A6 what was said to another process, or to nobody, is neither obeyed nor answered, whoever has it assigned here', async () => {
  const token = await funded();
  await withdraw(token);
  const before = [await books(token), await token.read('Balances')];
  const said: [string, Record<string, string>, string][] = [
    [ALICE, { Action: 'Transfer', Quantity: '10', Recipient: BOB, Target: PROCESS }, ''],
    [ALICE, { Action: 'Withdraw', Quantity: '100', Recipient: OUTSIDER, 'Max-Fee': '5' }, ''],
    [G1, { Action: 'Attest-Deposits' }, encodeDepositLine(deposit(2))],
    [G2, { Action: 'Attest-Deposits' }, encodeDepositLine(deposit(2))],
    [G1, { Action: 'Sign-Release' }, `1 1 ${packed(G1)}`],
    [G1, { Action: 'Attest-Release' }, `1 ${txHash(77)} 3 paid`],
    [G1, { Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause'],
    [ALICE, { Action: 'Balance' }, ''],
  ];
  for (const Target of [BOB, '']) {
    for (const [from, tags, data] of said)
      expect(await token.take({ ...token.message(from, tags, data), Target })).toEqual({
        sent: [],
        events: [],
        shown: {},
      });
  }
  expect([await books(token), await token.read('Balances')]).toEqual(before);
  for (const [from, tags, data] of said.slice(2, 4)) await token.send(from, tags, data);
  expect(Number((await books(token))['deposits'])).toBe(2); // said to the token itself, they count
});

describe('a balance', () => {
  const ask = async (token: TokenProcess, tags: Record<string, string>) =>
    (await token.send(OUTSIDER, { Action: 'Balance', ...tags })).sent[0];

  it.each([
    ['lower case', ALICE.toLowerCase()],
    ['upper case', `0x${ALICE.slice(2).toUpperCase()}`],
    ['not an address', 'nonsense!!'],
    ['nothing', ''],
    ['43 characters that no hash ends with', `${'A'.repeat(42)}B`],
  ])('of what is no AO address is refused, not read as 0: %s', async (_, account) => {
    const token = await funded();
    for (const name of ['Recipient', 'Target']) {
      const answer = await ask(token, { [name]: account });
      expect(tag(answer, 'Error')).toBe('bad-recipient');
      expect(tag(answer, 'Balance')).toBeUndefined();
      expect(answer?.Data).toContain('EIP-55');
    }
  });

  it('of an address is answered, whoever holds or holds nothing, and of the asker whatever he is called', async () => {
    const token = await funded();
    expect(tag(await ask(token, { Recipient: ALICE }), 'Balance')).toBe('1000');
    expect(tag(await ask(token, { Recipient: BOB }), 'Balance')).toBe('0');
    expect((await token.send('0', { Action: 'Balance' })).sent[0]?.Data).toBe('0');
  });
});

describe('deposits', () => {
  it('I4 mint at the M-th equal attestation, not before', async () => {
    const token = await TokenProcess.spawn();
    expect(types(await attest(token, G1, deposit(1)))).toEqual(['deposit.attested']);
    expect(await token.balance(ALICE)).toBe(0n);
    const second = await attest(token, G2, deposit(1));
    expect(types(second)).toEqual(['deposit.attested', 'deposit.minted']);
    expect(await token.balance(ALICE)).toBe(1000n);
    const notice = second.sent[0];
    expect(notice?.Target).toBe(ALICE);
    const { id, reference } = deposit(1);
    for (const [name, value] of Object.entries({
      Action: 'Credit-Notice',
      Quantity: '1000',
      Sender: OUTSIDER,
      'Deposit-Id': id,
      'Deposit-Reference': reference,
    })) {
      expect(tag(notice, name)).toBe(value);
    }
  });

  it('I1 mint once, whatever is repeated or comes late', async () => {
    const token = await funded();
    for (const guardian of [G1, G2, G3, G3]) expect((await attest(token, guardian, deposit(1))).sent).toEqual([]);
    expect(await token.balance(ALICE)).toBe(1000n);
  });

  it('I1 what was minted long ago stays minted, though its content is no longer kept', async () => {
    const token = await TokenProcess.spawn();
    const both = async (...all: DepositObservation[]) => {
      for (const guardian of [G1, G2]) await attest(token, guardian, ...all);
    };
    await both(deposit(1));
    for (let from = 2; from <= 20_002; from += 500)
      await both(...Array.from({ length: 500 }, (_, i) => deposit(from + i, { amount: 1n })));
    const before = await token.balance(ALICE);
    for (const guardian of [G1, G2, G3])
      for (const again of [deposit(1), deposit(1, { amount: 9n })]) await attest(token, guardian, again);
    expect(await token.balance(ALICE)).toBe(before);
    expect(await token.read('Deposit', { 'Deposit-Id': deposit(1).id })).toEqual({
      id: deposit(1).id,
      state: 'minted',
    });
    expect(await token.read('Deposit', { 'Deposit-Id': deposit(20_000).id })).toHaveProperty('content');
  });

  it('I4 one guardian repeating itself is one guardian', async () => {
    const token = await TokenProcess.spawn();
    for (let i = 0; i < 5; i += 1) await attest(token, G1, deposit(1));
    expect(await token.balance(ALICE)).toBe(0n);
  });

  it('a lying guardian is a visible conflict and never merges (wrong amount, wrong recipient)', async () => {
    const token = await TokenProcess.spawn();
    await attest(token, G1, deposit(1));
    const lie = await attest(token, G3, deposit(1, { amount: 9_999n }));
    expect(types(lie)).toEqual(['deposit.attested', 'deposit.conflict']);
    expect(await token.balance(ALICE)).toBe(0n);
    await attest(token, G2, deposit(1));
    expect(await token.balance(ALICE)).toBe(1000n);
    expect(types(await attest(token, G3, deposit(1, { recipient: BOB })))).toEqual(['deposit.conflict']);
    expect(await token.balance(BOB)).toBe(0n);
  });

  it('a guardian that votes twice counts once, and is reported', async () => {
    const token = await TokenProcess.spawn();
    await attest(token, G1, deposit(1, { amount: 5n }));
    expect(types(await attest(token, G1, deposit(1)))).toEqual(['guardian.double-vote']);
    await attest(token, G2, deposit(1));
    expect(await token.balance(ALICE)).toBe(0n);
  });

  it('one bad line spoils only itself', async () => {
    const token = await TokenProcess.spawn();
    const lines = ['nonsense', encodeDepositLine(deposit(1)), `${encodeDepositLine(deposit(2))} more`].join('\n');
    for (const guardian of [G1, G2]) await token.send(guardian, { Action: 'Attest-Deposits' }, lines);
    expect(await token.balance(ALICE)).toBe(1000n);
  });

  it.each([
    ['another chain (E17, X1)', `eip155:1:${VAULT}:1`],
    ['another vault (E1)', `${CHAIN}:${TOKEN}:1`],
  ])('refuse a reference of %s', async (_, reference) => {
    const token = await TokenProcess.spawn();
    const foreign = deposit(1, { reference, id: depositId(reference) });
    const outcome = await attest(token, G1, foreign);
    expect(outcome.events).toMatchObject([{ type: 'guardian.bad-line', code: 'foreign-reference' }]);
  });

  it('at most 500 lines of a message count', async () => {
    const token = await TokenProcess.spawn();
    const lines = Array.from({ length: 502 }, (_, i) => deposit(i + 1, { amount: 1n }));
    await attest(token, G1, ...lines);
    const outcome = await attest(token, G2, ...lines);
    expect(types(outcome).filter((t) => t === 'deposit.minted')).toHaveLength(500);
    expect(outcome.events.at(-1)).toMatchObject({ type: 'guardian.bad-line', code: 'too-many-lines' });
  });

  it('X- tags reach the recipient unchanged; malformed ones never stop the money (E18, X13)', async () => {
    const token = await TokenProcess.spawn();
    const tags = (text: string) => Buffer.from(text).toString('hex');
    const good = deposit(1, { tags: tags('X-Action=Swap\nX-Note=<b>"; drop table') });
    const bad = deposit(2, { tags: tags('X-A=1\nX-A=2') });
    const binary = deposit(3, { tags: 'ff00' });
    await attest(token, G1, good, bad, binary);
    const { sent } = await attest(token, G2, good, bad, binary);
    expect(tag(sent[0], 'X-Action')).toBe('Swap');
    expect(tag(sent[0], 'X-Note')).toBe('<b>"; drop table');
    expect([tag(sent[1], 'Tags-Error'), tag(sent[2], 'Tags-Error')]).toEqual(['malformed', 'malformed']);
    expect(await token.balance(ALICE)).toBe(3000n);
  });
});

describe('who is heard', () => {
  it.each([
    ['A1 a From that is not the signer', { from: G2, owner: OUTSIDER }],
    ['A1 a guardian’s name pushed by the authority', { from: G2, owner: AUTHORITY }],
    ['an outsider', { from: OUTSIDER }],
    ['a guardian of no set', { from: G4 }],
  ])('%s never counts as a guardian', async (_, sender) => {
    const token = await TokenProcess.spawn();
    await attest(token, G1, deposit(1));
    const outcome = await token.send(sender, { Action: 'Attest-Deposits' }, encodeDepositLine(deposit(1)));
    expect(tag(outcome.sent[0], 'Error')).toBe('not-a-guardian');
    expect(await token.balance(ALICE)).toBe(0n);
  });

  it('A8 a cron message moves nothing', async () => {
    const token = await funded();
    await attest(token, G1, deposit(2));
    await token.send({ from: G2, cron: true }, { Action: 'Attest-Deposits' }, encodeDepositLine(deposit(2)));
    await token.send({ from: ALICE, cron: true }, { Action: 'Transfer', Recipient: BOB, Quantity: '1' });
    expect(await token.balance(ALICE)).toBe(1000n);
  });

  it('A2 a process is spoken for by its authority only, a key by nobody', async () => {
    const token = await funded();
    const move = async (from: string, to: string, owner: string) =>
      (await token.send({ from, owner }, { Action: 'Transfer', Recipient: to, Quantity: '10' })).sent;
    await move(ALICE, BOB, ALICE);
    expect(tag((await move(BOB, OUTSIDER, OUTSIDER))[0], 'Error')).toBe('not-trusted');
    expect(tag((await move(ALICE, OUTSIDER, AUTHORITY))[0], 'Error')).toBe('not-trusted');
    expect(await token.balance(OUTSIDER)).toBe(0n);
    await move(BOB, OUTSIDER, AUTHORITY);
    expect([await token.balance(BOB), await token.balance(OUTSIDER)]).toEqual([0n, 10n]);
  });

  it('A1 A2 I4 an authority does not speak for a wallet that has signed here', async () => {
    const token = await funded();
    const move = (from: string, owner: string) =>
      token.send({ from, owner }, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER });
    await token.send(ALICE, { Action: 'Transfer', Quantity: '40', Recipient: BOB });
    expect(types(await move(BOB, AUTHORITY))).toEqual(['transfer']); // as far as anyone knows a process
    expect(types(await move(BOB, BOB))).toEqual(['transfer']);
    expect(tag((await move(BOB, AUTHORITY)).sent[0], 'Error')).toBe('not-trusted');
    const withdrawal = { Action: 'Withdraw', Quantity: '5', Recipient: ALICE, 'Max-Fee': '1' };
    expect(tag((await token.send({ from: BOB, owner: AUTHORITY }, withdrawal)).sent[0], 'Error')).toBe('not-trusted');
    expect(await token.balance(BOB)).toBe(20n);
  });

  it('A1 A2 I4 nor for one that has nothing left for a while, until 20,000 others were left with nothing', async () => {
    const token = await TokenProcess.spawn({ ...SPAWN_TAGS, 'Isthmus-Min-Withdrawal': '1' });
    for (const g of [G1, G2]) await attest(token, g, deposit(1));
    const move = (from: string, to: string, Quantity: string, owner = from) =>
      token.send({ from, owner }, { Action: 'Transfer', Quantity, Recipient: to, Cast: 'y' });
    const forged = async () => types(await move(BOB, OUTSIDER, '1', AUTHORITY));
    await move(ALICE, BOB, '40');
    await move(BOB, BOB, '40'); // all of it, to itself
    expect(await forged()).toEqual([]);
    await move(BOB, ALICE, '40');
    await move(ALICE, BOB, '40');
    expect(await forged()).toEqual([]);
    await move(BOB, ALICE, '40');
    const wallet = (n: number) => `${String(n).padStart(42, '0')}A`;
    const pass = async (from: number, to: number) => {
      for (let n = from; n < to; n += 1) await move(wallet(n), wallet(n + 1), '1');
    };
    await move(ALICE, wallet(0), '1');
    await pass(0, 19_999);
    await move(ALICE, BOB, '40');
    expect(await forged()).toEqual([]);
    await pass(19_999, 20_001);
    expect(await forged()).toEqual([]); // holds something, and nobody who does is forgotten
    await move(BOB, ALICE, '40');
    await move(ALICE, BOB, '40');
    expect(await forged()).toEqual([]);
    await move(BOB, ALICE, '40');
    await pass(20_001, 40_001);
    await move(ALICE, BOB, '40');
    expect(await forged()).toEqual(['transfer']);
  });

  it('A3 A9 a credit notice, an Eval or a Mint is nothing to it', async () => {
    const token = await funded();
    for (const action of ['Credit-Notice', 'Eval', 'Mint', 'Burn', 'toString', '__index']) {
      expect(await token.send('deployer', { Action: action, Quantity: '5', Recipient: BOB }, 'balances = {}')).toEqual({
        sent: [],
        events: [],
        shown: {},
        error: undefined,
      });
    }
    expect(await token.balance(ALICE)).toBe(1000n);
  });
});

describe('transfers', () => {
  it('move the amount, notify both, forward X- tags', async () => {
    const token = await funded();
    const { sent, events } = await token.send(ALICE, {
      Action: 'Transfer',
      Recipient: BOB,
      Quantity: '400',
      'X-Memo': 'hi',
    });
    expect(sent.map((m) => [m.Target, tag(m, 'Action'), tag(m, 'Quantity'), tag(m, 'X-Memo')])).toEqual([
      [ALICE, 'Debit-Notice', '400', 'hi'],
      [BOB, 'Credit-Notice', '400', 'hi'],
    ]);
    expect(tag(sent[1], 'Sender')).toBe(ALICE);
    expect(events).toEqual([{ type: 'transfer', from: ALICE, to: BOB, amount: 400n }]);
    expect([await token.balance(ALICE), await token.balance(BOB)]).toEqual([600n, 400n]);
    expect((await token.send(ALICE, { Action: 'Transfer', Recipient: BOB, Quantity: '1', Cast: 'true' })).sent).toEqual(
      [],
    );
  });

  it('I8 a crowd of holders of next to nothing takes no memory: the first credit could be withdrawn, and places are used again', async () => {
    const token = await funded();
    const move = (from: string, to: string, amount: number) =>
      token.send(from, { Action: 'Transfer', Recipient: to, Quantity: String(amount) });
    expect(tag((await move(ALICE, BOB, 9)).sent[0], 'Error')).toBe('below-minimum');
    expect(types(await move(ALICE, BOB, 10))).toEqual(['transfer']);
    expect(types(await move(ALICE, BOB, 1))).toEqual(['transfer']); // who holds some may get any amount
    expect(types(await move(BOB, OUTSIDER, 11))).toEqual(['transfer']);
    expect(await token.read('Balances')).toEqual({ [ALICE]: '989', [OUTSIDER]: '11' });
    expect(types(await move(ALICE, BOB, 20))).toEqual(['transfer']);
    expect(await token.read('Balances')).toEqual({ [ALICE]: '969', [BOB]: '20', [OUTSIDER]: '11' });
    expect(tag((await move(ALICE, PROCESS, 20)).sent[0], 'Error')).toBe('forbidden-recipient');
  });

  it.each([
    ['2,049 bytes of X- tags', { 'X-Note': 'n'.repeat(2049 - 6) }],
    ['65 X- tags', Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`X-${i}`, 'v']))],
    ['a Reference that leaves them no room', { 'X-Note': 'n'.repeat(1000), Reference: '9'.repeat(1100) }],
  ])('A18 %s, which no notice could carry, move and burn nothing', async (_, tags) => {
    const token = await funded();
    const move = { Action: 'Transfer', Quantity: '10', Recipient: BOB };
    const out = { Action: 'Withdraw', Quantity: '10', Recipient: ALICE, 'Max-Fee': '1' };
    for (const wanted of [move, out])
      expect(tag((await token.send(ALICE, { ...wanted, ...tags })).sent[0], 'Error')).toBe('too-many-tags');
    expect(await token.balance(ALICE)).toBe(1000n);
    const fits = { 'X-Note': 'n'.repeat(2048 - 6) };
    expect(types(await token.send(ALICE, { ...move, ...fits }))).toEqual(['transfer']);
  });

  it('to oneself changes nothing', async () => {
    const token = await funded();
    await token.send(ALICE, { Action: 'Transfer', Recipient: ALICE, Quantity: '1000' });
    expect(await token.balance(ALICE)).toBe(1000n);
  });

  it.each([...ODD_QUANTITIES, '1001'])('A4 E15 refuse the quantity %p', async (quantity) => {
    const token = await funded();
    const { sent, events } = await token.send(ALICE, { Action: 'Transfer', Recipient: BOB, Quantity: quantity });
    expect(tag(sent[0], 'Action')).toBe('Transfer-Error');
    expect(events).toEqual([]);
    expect([await token.balance(ALICE), await token.balance(BOB)]).toEqual([1000n, 0n]);
  });

  it.each(['', 'bob', 'B'.repeat(43), ALICE.toLowerCase(), `0x${'0'.repeat(40)}`, `${BOB}\n`, 'B'.repeat(10_000)])(
    'E18 refuse the recipient %p',
    async (recipient) => {
      const token = await funded();
      const { sent } = await token.send(ALICE, { Action: 'Transfer', Recipient: recipient, Quantity: '1' });
      expect(tag(sent[0], 'Error')).toBe('bad-recipient');
      expect(await token.balance(ALICE)).toBe(1000n);
    },
  );
});

describe('withdrawals', () => {
  it('burn, are numbered, and carry the id everyone computes', async () => {
    const token = await funded();
    const { sent, events } = await withdraw(token);
    const id = withdrawalId(PROCESS, 1n);
    expect(tag(sent[0], 'Withdrawal-Id')).toBe(id);
    expect(events).toEqual([
      { type: 'withdrawal.queued', number: 1n, id, holder: ALICE, recipient: OUTSIDER, amount: 100n, maxFee: 5n },
    ]);
    expect(await token.balance(ALICE)).toBe(900n);
    expect(await books(token)).toMatchObject({
      supply: '900',
      inFlight: '100',
      minted: '1000',
      burned: '100',
      released: '0',
    });
  });

  it.each([
    ['bad-recipient', { Recipient: '' }],
    ['bad-recipient', { Recipient: OUTSIDER.toLowerCase() }],
    ['bad-recipient', { Recipient: BOB }],
    ['bad-recipient', { Recipient: `0x${'0'.repeat(40)}` }],
    ['forbidden-recipient', { Recipient: TOKEN }],
    ['forbidden-recipient', { Recipient: VAULT }],
    ['bad-quantity', { Quantity: '0' }],
    ['bad-quantity', { Quantity: '1e2' }],
    ['bad-max-fee', { 'Max-Fee': '-1' }],
    ['fee-not-below-quantity', { 'Max-Fee': '100' }],
    ['below-minimum', { Quantity: '9' }],
    ['above-limit', { Quantity: '1000001' }],
    ['insufficient-balance', { Quantity: '1001' }],
  ])('A10 E24 I8 refuse with %s and burn nothing: %p', async (code, tags) => {
    const token = await funded();
    const { sent, events } = await withdraw(token, tags);
    expect([tag(sent[0], 'Action'), tag(sent[0], 'Error')]).toEqual(['Withdraw-Error', code]);
    expect(events).toEqual([]);
    expect(await books(token)).toMatchObject({ supply: '1000', inFlight: '0' });
  });

  it('collect signatures of the current set and epoch, each guardian’s once', async () => {
    const token = await funded();
    await withdraw(token);
    expect((await sign(token, G1, 1)).events).toMatchObject([
      { type: 'withdrawal.signed', guardian: G1, signatures: 1 },
    ]);
    expect((await sign(token, G1, 1)).events).toEqual([]);
    expect(types(await sign(token, G1, 1, 1, packed(G1, 'cd')))).toEqual(['guardian.double-vote']);
    expect((await sign(token, G2, 1, 2)).events).toMatchObject([{ code: 'other-epoch' }]);
    expect((await sign(token, G2, 1, 1, packed(G3))).events).toMatchObject([{ code: 'bad-signature' }]);
    expect((await sign(token, G2, 2)).events).toMatchObject([{ code: 'unknown-withdrawal' }]);
    expect((await sign(token, G2, 1)).events).toMatchObject([{ signatures: 2 }]);
    expect(await token.read('Withdrawal', { Number: '1' })).toMatchObject({
      state: 'queued',
      signatures: [{ guardian: G1 }, { guardian: G2 }],
    });
  });

  it('are done once M guardians say alike how they were released', async () => {
    const token = await funded();
    await withdraw(token);
    await attestRelease(token, G1, 1);
    expect(types(await attestRelease(token, G3, 1, '4'))).toEqual(['withdrawal.attested', 'withdrawal.conflict']);
    expect((await attestRelease(token, G2, 1)).events.at(-1)).toEqual({
      type: 'withdrawal.released',
      number: 1n,
      txHash: txHash(77),
      fee: 3n,
      outcome: 'paid',
    });
    expect(await books(token)).toMatchObject({ supply: '900', inFlight: '0', released: '100' });
    expect(types(await attestRelease(token, G3, 1, '5'))).toEqual(['withdrawal.conflict']);
    expect((await sign(token, G3, 1)).events).toEqual([]);
  });
});

describe('decisions', () => {
  it('I14 X11 one guardian pauses, M unpause, and what came meanwhile is minted then', async () => {
    const token = await funded();
    expect(types(await decide(token, G3, 1, 'pause'))).toEqual(['decision.attested', 'decision.applied']);
    expect(tag((await withdraw(token)).sent[0], 'Error')).toBe('paused');
    await attest(token, G1, deposit(2));
    expect(types(await attest(token, G2, deposit(2)))).toEqual(['deposit.attested']);
    await token.send(ALICE, { Action: 'Transfer', Recipient: BOB, Quantity: '10' });
    expect(await token.balance(BOB)).toBe(10n);
    await decide(token, G1, 2, 'unpause');
    expect(await token.balance(ALICE)).toBe(990n);
    expect(types(await decide(token, G2, 2, 'unpause'))).toEqual([
      'decision.attested',
      'decision.applied',
      'deposit.minted',
    ]);
    expect(await token.balance(ALICE)).toBe(1990n);
  });

  it('I14 one guardian cannot unpause, limit or rotate; numbers come in order', async () => {
    const token = await funded();
    for (const line of ['list open 5 1000 1', `rotate 2 1 1 ${G1}`]) await decide(token, G1, 1, line);
    expect(await books(token)).toMatchObject({ epoch: 1, limit: '1000000', paused: false });
    expect(tag((await decide(token, G2, 2, 'pause')).sent[0], 'Error')).toBe('bad-nonce');
    expect(types(await decide(token, G2, 1, 'unpause'))).toEqual(['decision.attested']);
    expect(await books(token)).toMatchObject({ decisions: 0 });
    await decide(token, G2, 1, 'list closed 500 1000 1');
    await decide(token, G3, 1, 'list closed 500 1000 1');
    expect(await books(token)).toMatchObject({ limit: '500', decisions: 1 });
    expect(tag((await withdraw(token, { Quantity: '501' })).sent[0], 'Error')).toBe('above-limit');
  });

  it('I14 guardians who begin apart can come together: the newest voice counts, once', async () => {
    const token = await funded();
    const [first, second] = ['list open 5 1000 1', 'list open 6 1000 1'];
    for (const [guardian, line] of [
      [G1, first],
      [G2, second],
      [G3, 'pause now'],
      [G1, first],
    ] as const)
      await decide(token, guardian, 1, line);
    expect(await books(token)).toMatchObject({ decisions: 0 });
    expect(types(await decide(token, G2, 1, first))).toEqual(['decision.attested', 'decision.applied']);
    expect(await books(token)).toMatchObject({ decisions: 1, limit: '5' });
  });

  it('I14 signatures for the vault: only of what is decided, each guardian’s newest, and only its own', async () => {
    const token = await funded();
    const line = 'list open 5 1000 1';
    const signed = (guardian: string, signature: string, nonce = 1) =>
      token.send(guardian, { Action: 'Sign-Decision', 'Decision-Nonce': String(nonce) }, signature);
    const error = async (sent: ReturnType<typeof signed>) => tag((await sent).sent[0], 'Error');
    await decide(token, G1, 1, line);
    expect(await error(signed(G1, packed(G1)))).toBe('not-decided');
    await decide(token, G2, 1, line);
    for (const bad of [packed(G2), '0x00', `${packed(G1)}00`, packed(G1).toUpperCase(), ''])
      expect(await error(signed(G1, bad))).toBe('bad-signature');
    expect(await error(signed(G4, packed(G1)))).toBe('not-a-guardian');
    expect(await error(signed(G1, packed(G1), 2))).toBe('not-decided');
    expect(types(await signed(G1, packed(G1)))).toEqual(['decision.signed']);
    expect(types(await signed(G1, packed(G1)))).toEqual([]);
    expect(types(await signed(G3, packed(G3)))).toEqual(['decision.signed']); // it had not voted
    const newer = packed(G1, 'cd');
    expect((await signed(G1, newer)).events).toMatchObject([{ nonce: 1n, guardian: G1, signature: newer }]);
    expect(await token.read('Decisions')).toMatchObject([
      {
        applied: line,
        votes: [
          { guardian: G1, line },
          { guardian: G2, line },
        ],
        signatures: [
          { guardian: G1, signature: newer },
          { guardian: G3, signature: packed(G3) },
        ],
      },
    ]);
  });

  it('I14 a rotation is signed for the vault by the set that leaves, in its own order', async () => {
    const token = await funded();
    const line = `rotate 2 2 1 ${[G2, G4, G5].join(',')}`;
    for (const guardian of [G1, G2]) await decide(token, guardian, 1, line);
    const signed = async (guardian: Hex, signature: string) =>
      token.send(guardian, { Action: 'Sign-Decision', 'Decision-Nonce': '1' }, signature);
    for (const guardian of [G1, G2, G3])
      expect(types(await signed(guardian, packed(guardian)))).toEqual(['decision.signed']);
    expect(tag((await signed(G2, `0x00${'ab'.repeat(64)}`)).sent[0], 'Error')).toBe('bad-signature');
    expect(tag((await signed(G4, `0x01${'ab'.repeat(64)}`)).sent[0], 'Error')).toBe('not-a-guardian');
    expect(tag((await decide(token, G1, 2, 'pause')).sent[0], 'Error')).toBe('not-a-guardian');
  });

  it.each([
    'rotate 3 2 1 X',
    'rotate 2 4 1 X',
    'rotate 2 0 1 X',
    'rotate 2 2 9 X',
    `rotate 2 1 1 ${G1},${G1}`,
    'rotate 2 1 1 nobody',
    'list open 0 5000 1',
    'list shut 5 5000 1',
    'list open 5 5500 1',
    `list open ${2n ** 104n} 5000 1`,
    `list open 5 5000 ${2n ** 104n}`,
    `list open 5 ${2n ** 32n}000 1`,
    'list open 5 5000 01',
    'limit 5 5000',
    'stop',
    '',
  ])('I14 refuses to decide %p', async (line) => {
    const token = await TokenProcess.spawn();
    const text = line.replace('X', [G1, G2, G4].join(','));
    expect(tag((await decide(token, G1, 1, text)).sent[0], 'Action')).toBe('Attest-Decision-Error');
  });

  it('X2 I14 a rotation drops the old set’s signatures and votes, and hears the new set only', async () => {
    const token = await funded();
    await withdraw(token);
    await sign(token, G1, 1);
    await attest(token, G1, deposit(2));
    const line = `rotate 2 2 1 ${[G2, G4, G5].join(',')}`;
    for (const guardian of [G1, G2]) await decide(token, guardian, 1, line);
    expect(await token.read('Withdrawal', { Number: '1' })).toMatchObject({ signatures: [], epoch: 2 });
    expect(tag((await attest(token, G3, deposit(2))).sent[0], 'Error')).toBe('not-a-guardian');
    await attest(token, G2, deposit(2));
    expect(await token.balance(ALICE)).toBe(900n);
    await attest(token, G5, deposit(2));
    expect(await token.balance(ALICE)).toBe(1900n);
    const other = `0x01${'ab'.repeat(64)}`;
    expect((await sign(token, G4, 1, 1, other)).events).toMatchObject([{ code: 'other-epoch' }]);
    expect((await sign(token, G4, 1, 2, other)).events).toMatchObject([
      { type: 'withdrawal.signed', epoch: 2n, signatures: 1 },
    ]);
  });
});

describe('what nobody can make it choke on', () => {
  const many = (from: number, count: number, change: Partial<DepositObservation> = {}) =>
    Array.from({ length: count }, (_, i) => deposit(from + i, { amount: 1n, ...change }));
  const minted = (o: Outcome) => types(o).filter((t) => t === 'deposit.minted').length;

  it('I13 deposits one guardian invents take its share of memory and no more; real ones mint, and its leaving frees the rest', async () => {
    const token = await funded();
    const codes = new Set<string>();
    for (let batch = 1; batch <= 14; batch += 1) {
      const { events, error } = await attest(token, G3, ...many(batch * 1000, 500, { tags: 'ab'.repeat(2048) }));
      expect(error).toBeUndefined();
      for (const e of events) if (e.type === 'guardian.bad-line') codes.add(e.code);
    }
    expect([...codes]).toEqual(['too-much-open']);
    await attest(token, G1, deposit(2));
    expect(types(await attest(token, G3, deposit(2)))).toEqual(['guardian.bad-line']);
    expect(types(await attest(token, G2, deposit(2)))).toEqual(['deposit.attested', 'deposit.minted']);

    const line = `rotate 2 2 1 ${[G1, G2, G4].join(',')}`;
    for (const guardian of [G1, G2]) await decide(token, guardian, 1, line);
    for (let i = 0; i < 14; i += 1) await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: BOB });
    expect(await token.read('Pending-Deposits', { Limit: '1000' })).toEqual([]);
    expect(await token.balance(ALICE)).toBe(2000n - 140n);
  });

  it('I13 what a quorum agrees on is nobody’s charge, however much waits for the end of a pause', async () => {
    const token = await funded();
    await decide(token, G1, 1, 'pause');
    const tags = 'ab'.repeat(2048);
    for (let batch = 1; batch <= 14; batch += 1)
      for (const guardian of [G1, G2, G3, G1]) {
        const { events } = await attest(token, guardian, ...many(batch * 1000, 500, { tags }));
        expect(events.filter((e) => e.type === 'guardian.bad-line')).toEqual([]);
      }
  });

  it('X11 a backlog is minted 500 at a time, each deposit once, whoever speaks', async () => {
    const token = await funded();
    await decide(token, G3, 1, 'pause');
    for (const from of [1001, 1501, 2001])
      for (const guardian of [G1, G2]) await attest(token, guardian, ...many(from, from === 2001 ? 200 : 500));
    await decide(token, G1, 2, 'unpause');
    const nudge = () => token.send(OUTSIDER, { Action: 'Transfer', Quantity: '0', Recipient: BOB });
    const portions = [minted(await decide(token, G2, 2, 'unpause'))];
    for (let i = 0; i < 3; i += 1) portions.push(minted(await nudge()));
    expect(portions.filter((n) => n > 500)).toEqual([]);
    expect([portions.slice(0, 3).reduce((a, b) => a + b), portions[3]]).toEqual([1200, 0]);
    expect(await token.balance(ALICE)).toBe(2200n);
    expect(await token.read('Pending-Deposits')).toEqual([]);
  });

  it('X11 a pause in the middle of a backlog holds the rest', async () => {
    const token = await funded();
    await decide(token, G3, 1, 'pause');
    for (const from of [1001, 1501]) for (const g of [G1, G2]) await attest(token, g, ...many(from, 500));
    for (const g of [G1, G2]) await decide(token, g, 2, 'unpause');
    const part = await token.balance(ALICE);
    expect(part).toBeLessThan(2000n);
    expect(minted(await decide(token, G3, 3, 'pause'))).toBe(0);
    expect(minted(await attest(token, G1, deposit(2)))).toBe(0);
    expect(await token.balance(ALICE)).toBe(part);
    for (const g of [G1, G2]) await decide(token, g, 4, 'unpause');
    for (let i = 0; i < 2; i += 1) await attest(token, G1, deposit(2));
    expect(await token.balance(ALICE)).toBe(2000n);
  });

  it('X2 a guardian of both sets signs again, and only what it signs now is listed', async () => {
    const token = await funded();
    await withdraw(token);
    for (const g of [G1, G2]) await sign(token, g, 1);
    for (const g of [G1, G2]) await decide(token, g, 1, `rotate 2 2 1 ${[G4, G2].join(',')}`);
    const listed = async () => (await token.read('Withdrawal', { Number: '1' })) as { signatures: unknown[] };
    expect((await listed()).signatures).toEqual([]);
    const now = (index: string) => `0x${index}${'ab'.repeat(64)}`;
    expect((await sign(token, G4, 1, 2, now('00'))).events).toMatchObject([{ epoch: 2n, signatures: 1 }]);
    expect((await listed()).signatures).toEqual([{ guardian: G4, signature: now('00') }]);
    expect((await sign(token, G2, 1, 2, now('01'))).events).toMatchObject([{ epoch: 2n, signatures: 2 }]);
  });

  it('I14 a vote of a guardian that left does not come back with it', async () => {
    const token = await funded();
    await attest(token, G1, deposit(2));
    for (const g of [G1, G2]) await decide(token, g, 1, `rotate 2 2 1 ${[G2, G4, G5].join(',')}`);
    for (const g of [G2, G4]) await decide(token, g, 2, `rotate 3 2 1 ${[G1, G2, G3].join(',')}`);
    expect(types(await attest(token, G2, deposit(2)))).toEqual(['deposit.attested']);
    expect(types(await attest(token, G1, deposit(2)))).toEqual(['deposit.attested', 'deposit.minted']);
  });

  it('I14 a set that needs fewer votes settles what has them already', async () => {
    const token = await funded();
    await withdraw(token);
    await withdraw(token);
    await attestRelease(token, G2, 2);
    await attest(token, G1, deposit(2));
    await decide(token, G1, 1, `rotate 2 1 1 ${[G1, G2].join(',')}`);
    expect(types(await decide(token, G2, 1, `rotate 2 1 1 ${[G1, G2].join(',')}`)).slice(-2)).toEqual([
      'deposit.minted',
      'withdrawal.released',
    ]);
    expect(await books(token)).toMatchObject({ inFlight: '100', released: '100', minted: '2000' });
  });

  it('I1 an id or a transaction has one spelling', async () => {
    const token = await TokenProcess.spawn();
    const line = encodeDepositLine(deposit(1));
    const [id, , tx] = line.split(' ') as [string, string, string];
    for (const spelt of [line.replace(id, `0x${id.slice(2).toUpperCase()}`), line.replace(tx, `0x${'A'.repeat(64)}`)])
      expect((await token.send(G1, { Action: 'Attest-Deposits' }, spelt)).events).toMatchObject([{ code: 'bad-line' }]);
  });

  it('I14 a rotation longer than any set is refused before it costs anything', async () => {
    const token = await TokenProcess.spawn();
    const distinct = Array.from({ length: 10_000 }, (_, n) => getAddress(`0x${String(n + 1).padStart(40, '0')}`));
    const line = `rotate 2 1 1 ${distinct.join(',')}`;
    expect(tag((await decide(token, G1, 1, line)).sent[0], 'Error')).toBe('bad-guardian');
    const set = Array.from({ length: 64 }, (_, i) => getAddress(`0x${String(i + 10).repeat(20)}`)).join(',');
    expect((await decide(token, G1, 1, `rotate 2 64 64 ${set}`)).error).toBeUndefined();
    expect(types(await decide(token, G2, 1, `rotate 2 64 64 ${set}`))).toContain('decision.applied');
  });
});

describe('configuration', () => {
  it.each([
    ['Isthmus-Threshold', '4'],
    ['Isthmus-Threshold', '0'],
    ['Isthmus-Guardians', ''],
    ['Isthmus-Guardians', `${G1},${G1}`],
    ['Isthmus-Guardians', G1.toLowerCase()],
    ['Isthmus-Vault', 'nowhere'],
    ['Isthmus-Limit', '-5'],
    ['Name', 'a\nb'],
  ])('a process with %s = %p never starts', async (name, value) => {
    await expect(async () => TokenProcess.spawn({ ...SPAWN_TAGS, [name]: value })).rejects.toThrow(/spawn tag/);
  });
});

describe('reads', () => {
  it('X13 answer JSON and tags whatever texts hold, and change nothing', async () => {
    const token = await TokenProcess.spawn({ ...SPAWN_TAGS, Name: '"><script>', Ticker: "'; --" });
    const before = await token.snapshot();
    expect(await token.read('Pending-Deposits')).toEqual([]);
    expect(await token.read('Balances')).toEqual({});
    expect(await token.read('Bridge-Info')).toMatchObject({ vault: VAULT, guardians: [G1, G2, G3], threshold: 2 });
    expect(sameImage(await token.snapshot(), before)).toBe(true);
  });

  it('page through balances, every holder once', async () => {
    const token = await TokenProcess.spawn();
    const all = Array.from({ length: 250 }, (_, i) =>
      deposit(i + 1, { recipient: getAddress(`0x${(i + 1).toString(16).padStart(40, '0')}`) }),
    );
    for (const guardian of [G1, G2]) await attest(token, guardian, ...all);
    const seen: Record<string, string> = {};
    for (const cursor of ['1', '101', '201'])
      Object.assign(seen, await token.read('Balances', { Cursor: cursor, Limit: '100' }));
    expect(Object.keys(seen)).toHaveLength(250);
    expect(await token.read('Balances', { Cursor: '251' })).toEqual({});
  });
});

describe('public state', () => {
  it('shows what a message changed and nothing else, and nothing of a message that changed nothing', async () => {
    const token = await TokenProcess.spawn();
    const spawned = { ...token.message(OUTSIDER, {}), Id: PROCESS };
    expect((await token.take(spawned)).shown).toEqual({
      name: 'Bridged dollar',
      ticker: 'dUSD',
      logo: '',
      denomination: '6',
      asset: SPAWN_TAGS['Isthmus-Asset'],
      totalsupply: '0',
      paused: 'false',
    });
    const first = deposit(1, { amount: 100n });
    expect((await attest(token, G1, first)).shown).toEqual({});
    expect((await attest(token, G2, first)).shown).toEqual({ totalsupply: '100', [`balances/${ALICE}`]: '100' });
    expect((await token.send(ALICE, { Action: 'Transfer', Recipient: BOB, Quantity: '100' })).shown).toEqual({
      [`balances/${ALICE}`]: '0',
      [`balances/${BOB}`]: '100',
    });
    expect((await token.send(ALICE, { Action: 'Transfer', Recipient: BOB, Quantity: '1' })).shown).toEqual({});
    expect((await token.send(BOB, { Action: 'Balance' })).shown).toEqual({});
    expect((await token.send(G1, { Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause')).shown).toEqual({
      paused: 'true',
    });
  });
});

describe('books, against a model', () => {
  type Step = { kind: 'deposit' | 'transfer' | 'withdraw' | 'release'; who: number; n: number; amount: bigint };
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('deposit' as const, 'transfer' as const, 'withdraw' as const, 'release' as const),
    who: fc.nat({ max: 2 }),
    n: fc.integer({ min: 1, max: 6 }),
    amount: fc.oneof(fc.bigInt({ min: 0n, max: 3_000n }), fc.bigInt({ min: 0n, max: 10n ** 38n })),
  });
  // Deposits that guardians agree on, past each border of the limbs that amounts are computed in.
  const AGREED = new Map([1n, 10n ** 13n, 3n * 10n ** 37n + 1n].map((size, i) => [2 * i + 1, size]));
  const people = [ALICE, BOB, OUTSIDER];

  it('I1 I3 I6 after every step supply is the sum of balances, and minted = supply + in flight + released', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const token = await TokenProcess.spawn({ ...SPAWN_TAGS, 'Isthmus-Limit': (10n ** 38n).toString() });
        const balances = new Map<string, bigint>();
        const votes = new Map<number, Map<number, bigint>>();
        const done = new Set<number>();
        const open: { amount: bigint; votes: Set<number>; released: boolean }[] = [];
        const shown: Record<string, string> = {};
        let minted = 0n;
        for (const { kind, who, n, amount } of steps) {
          const person = people[who] as string;
          const guardian = GUARDIANS[who] as Hex;
          if (kind === 'deposit' && amount > 0n) {
            const size = AGREED.get(n) ?? amount; // even numbers: guardians disagree on the amount
            Object.assign(shown, (await attest(token, guardian, deposit(n, { amount: size }))).shown);
            const ballot = votes.get(n) ?? new Map<number, bigint>();
            votes.set(n, ballot);
            if (!ballot.has(who)) ballot.set(who, size);
            if (!done.has(n) && [...ballot.values()].filter((v) => v === ballot.get(who)).length >= 2) {
              done.add(n);
              minted += ballot.get(who) as bigint;
              balances.set(ALICE, (balances.get(ALICE) ?? 0n) + (ballot.get(who) as bigint));
            }
          } else if (kind === 'transfer') {
            const to = people[n % 3] as string;
            const { shown: now } = await token.send(person, {
              Action: 'Transfer',
              Recipient: to,
              Quantity: String(amount),
            });
            Object.assign(shown, now);
            const accepted = amount >= ((balances.get(to) ?? 0n) > 0n ? 1n : 10n); // who holds nothing is sent the least withdrawal at least
            if (accepted && amount <= (balances.get(person) ?? 0n)) {
              balances.set(person, (balances.get(person) ?? 0n) - amount);
              balances.set(to, (balances.get(to) ?? 0n) + amount);
            }
          } else if (kind === 'withdraw') {
            Object.assign(
              shown,
              (await withdraw(token, { Quantity: String(amount), 'Max-Fee': '5' }, person as Hex)).shown,
            );
            if (amount >= 10n && amount <= (balances.get(person) ?? 0n)) {
              balances.set(person, (balances.get(person) ?? 0n) - amount);
              open.push({ amount, votes: new Set(), released: false });
            }
          } else if (kind === 'release') {
            await attestRelease(token, guardian, n);
            const one = open[n - 1];
            one?.votes.add(who);
            if (one && one.votes.size >= 2) one.released = true;
          }
        }
        const sum = [...balances.values()].reduce((a, b) => a + b, 0n);
        const inFlight = open.filter((w) => !w.released).reduce((a, w) => a + w.amount, 0n);
        const released = open.filter((w) => w.released).reduce((a, w) => a + w.amount, 0n);
        expect(await books(token)).toMatchObject({
          minted: String(minted),
          supply: String(sum),
          inFlight: String(inFlight),
          released: String(released),
        });
        expect(sum + inFlight + released).toBe(minted);
        for (const person of people) {
          expect(await token.balance(person)).toBe(balances.get(person) ?? 0n);
          expect(shown[`balances/${person}`] ?? '0').toBe(String(balances.get(person) ?? 0n));
        }
        expect(shown['totalsupply'] ?? '0').toBe(String(sum));
      }),
      { numRuns: 60 },
    );
  });
});
