/** Releases by proposal, for chains where no contract refuses a second payment: what the process keeps of them, and for how long. */
import {
  encodeProposalLine,
  encodeProposalSignLine,
  encodeDepositLine,
  depositId,
  foldEvent,
  MAX_PAID,
  parseProposalLine,
  parseProposalSignLine,
  PROPOSALS_KEPT,
  proposalId,
  viewOfSpawn,
  BridgeError,
  type ReleaseProposal,
} from '@isthmus/bridge';
import { address as bitcoin } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { getAddress, type Hex } from 'viem';
import { GUARDIANS, PROCESS, SPAWN_TAGS, tag, TokenProcess, type Outcome } from './harness.js';

const [G1, G2, G3, G4] = GUARDIANS as [Hex, Hex, Hex, Hex];
const ALICE = getAddress(`0x${'ab'.repeat(20)}`);
const CHAIN = 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328';
const pays = (byte: number): string => bitcoin.toBech32(new Uint8Array(32).fill(byte), 0, 'bcrt');
/** As many guardians' keys on the chain. */
function keysOf(count: number, from = 1): string {
  return Array.from({ length: count }, (_, i) => `02${(from + i).toString(16).padStart(64, '0')}`).join(',');
}
const TAGS = {
  ...SPAWN_TAGS,
  'Isthmus-Chain': CHAIN,
  'Isthmus-Asset': `${CHAIN}/slip44:0`,
  'Isthmus-Vault': pays(5),
  'Isthmus-Guardian-Keys': keysOf(3),
};
const tx = (n: number): string => n.toString(16).padStart(64, '0');

/** A token of a million units, with so many withdrawals of a hundred open. */
async function withOpen(count: number): Promise<TokenProcess> {
  const token = await TokenProcess.spawn(TAGS);
  const reference = `${CHAIN}:${tx(1)}:0`;
  const deposit = {
    id: depositId(reference),
    reference,
    txHash: tx(1),
    sender: '-',
    recipient: ALICE,
    amount: 1_000_000n,
    tags: '-',
  };
  for (const guardian of [G1, G2])
    await token.send(guardian, { Action: 'Attest-Deposits' }, encodeDepositLine(deposit));
  for (let i = 0; i < count; i += 1)
    await token.send(ALICE, { Action: 'Withdraw', Quantity: '100', Recipient: pays(6), 'Max-Fee': '5' });
  return token;
}
const lineOf = (change: Partial<ReleaseProposal> = {}): string =>
  encodeProposalLine({ epoch: 1n, anchor: `${tx(7)}:1`, withdrawals: [1n], content: 'ab12', ...change });
const propose = (token: TokenProcess, guardian: string, line: string): Promise<Outcome> =>
  token.send(guardian, { Action: 'Propose-Release' }, line);
const sign = (token: TokenProcess, guardian: string, line: string, signatures = '30aa,30bb'): Promise<Outcome> =>
  token.send(
    guardian,
    { Action: 'Sign-Release' },
    encodeProposalSignLine({ id: proposalId(PROCESS, line), signatures }),
  );
const release = async (token: TokenProcess, number: number): Promise<Outcome> => {
  await token.send(G1, { Action: 'Attest-Release' }, `${number} ${tx(9)} 3 paid`);
  return token.send(G2, { Action: 'Attest-Release' }, `${number} ${tx(9)} 3 paid`);
};
const shown = async (token: TokenProcess): Promise<string[]> =>
  ((await token.read('Proposals')) as { id: string }[]).map((p) => p.id);
const types = (o: Outcome) => o.events.map((e) => e.type);

it('I4 any guardian proposes, each signs once, and all of it can be read by who submits', async () => {
  const token = await withOpen(2);
  const line = lineOf({ withdrawals: [1n, 2n] });
  const id = proposalId(PROCESS, line);
  expect((await propose(token, G1, line)).events).toEqual([{ type: 'proposal.made', id, guardian: G1, line }]);
  expect(types(await propose(token, G2, line))).toEqual([]); // the same is the same, whoever says it
  expect((await sign(token, G1, line)).events).toEqual([
    { type: 'proposal.signed', id, guardian: G1, signatures: '30aa,30bb', guardians: 1 },
  ]);
  expect(types(await sign(token, G1, line))).toEqual([]);
  expect(types(await sign(token, G1, line, '30cc'))).toEqual(['guardian.double-vote']);
  expect((await sign(token, G3, line, '30dd')).events).toMatchObject([{ guardians: 2 }]);
  expect(await token.read('Proposals')).toEqual([
    {
      id,
      guardian: G1,
      line,
      signed: [
        { guardian: G1, signatures: '30aa,30bb' },
        { guardian: G3, signatures: '30dd' },
      ],
    },
  ]);
});

it('I4 nobody else proposes or signs, and nothing is signed that was not proposed', async () => {
  const token = await withOpen(1);
  expect(tag((await propose(token, ALICE, lineOf())).sent[0], 'Error')).toBe('not-a-guardian');
  expect(tag((await propose(token, G4, lineOf())).sent[0], 'Error')).toBe('not-a-guardian');
  expect((await sign(token, G1, lineOf())).events).toMatchObject([
    { type: 'guardian.bad-line', code: 'unknown-proposal' },
  ]);
});

it.each([
  ['bad-withdrawals', 'one that is not there', lineOf({ withdrawals: [3n] })],
  ['bad-withdrawals', 'one that is released', lineOf({ withdrawals: [1n, 2n] })],
  ['bad-withdrawals', 'the same twice', lineOf().replace(' 1 ', ' 1,1 ')],
  ['bad-withdrawals', 'a leading zero', lineOf().replace(' 1 ', ' 01 ')],
  ['bad-withdrawals', 'none beside one', lineOf().replace(' 1 ', ' 1,- ')],
  ['other-epoch', 'the next epoch', lineOf({ epoch: 2n })],
  ['bad-line', 'a space in the content', lineOf().replace('ab12', 'ab 12')],
  ['bad-line', 'two lines', lineOf().replace('ab12', 'ab\n12')],
  ['bad-line', 'more than 16 KiB', `${lineOf()}${'a'.repeat(16_384)}`],
  ['bad-line', 'nothing', ''],
])('I8 refuses with %s what is no proposal: %s', async (code, _, line) => {
  const token = await withOpen(2);
  await release(token, 2);
  expect(tag((await propose(token, G1, line)).sent[0], 'Error')).toBe(code);
  expect(await shown(token)).toEqual([]);
});

it('on a chain whose vault refuses a second payment itself nothing is proposed', async () => {
  const token = await TokenProcess.spawn();
  expect(tag((await propose(token, G1, lineOf())).sent[0], 'Error')).toBe('not-proposed');
});

it('is gone when all it pays is released, and not before; what only moves coins stays', async () => {
  const token = await withOpen(3);
  const [both, one, none] = [
    lineOf({ withdrawals: [1n, 2n] }),
    lineOf({ withdrawals: [2n] }),
    lineOf({ withdrawals: [] }),
  ];
  for (const line of [both, one, none]) await propose(token, G1, line);
  const ids = [both, one, none].map((line) => proposalId(PROCESS, line));
  expect(types(await release(token, 2))).toEqual(['withdrawal.attested', 'proposal.dropped', 'withdrawal.released']);
  expect(await shown(token)).toEqual([ids[0], ids[2]]);
  expect(types(await release(token, 1))).toContain('proposal.dropped');
  expect(await shown(token)).toEqual([ids[2]]);
});

it('X2 I14 a rotation drops all of them', async () => {
  const token = await withOpen(1);
  await propose(token, G1, lineOf());
  for (const guardian of [G1, G2])
    await token.send(
      guardian,
      { Action: 'Attest-Decision', 'Decision-Nonce': '1' },
      `rotate 2 2 1 ${[G1, G2, G4].join(',')} ${keysOf(3)}`,
    );
  expect(await shown(token)).toEqual([]);
  expect((await sign(token, G1, lineOf())).events).toMatchObject([{ code: 'unknown-proposal' }]);
  const again = lineOf({ epoch: 2n });
  expect(types(await propose(token, G4, again))).toEqual(['proposal.made']);
  expect(types(await release(token, 1))).toContain('proposal.dropped');
});

const rotate = async (token: TokenProcess, nonce: number, line: string): Promise<Outcome> => {
  await token.send(G1, { Action: 'Attest-Decision', 'Decision-Nonce': String(nonce) }, line);
  return token.send(G2, { Action: 'Attest-Decision', 'Decision-Nonce': String(nonce) }, line);
};

it('X2 I14 the set that leaves hands the vault over, pays nobody, and is heard until the next rotation only', async () => {
  const token = await withOpen(1);
  await rotate(token, 1, `rotate 2 2 1 ${[G1, G2, G4].join(',')} ${keysOf(3, 2)}`);
  const move = lineOf({ withdrawals: [] });
  const id = proposalId(PROCESS, move);
  expect(types(await propose(token, G3, move))).toEqual(['proposal.made']);
  expect(tag((await propose(token, G4, lineOf({ withdrawals: [], content: 'other' }))).sent[0], 'Error')).toBe(
    'not-a-guardian',
  );
  expect(tag((await propose(token, G3, lineOf())).sent[0], 'Error')).toBe('bad-withdrawals');
  expect((await sign(token, G3, move)).events).toMatchObject([{ type: 'proposal.signed', id, guardian: G3 }]);
  expect((await sign(token, G4, move)).events).toMatchObject([{ type: 'guardian.bad-line', code: 'other-epoch' }]);
  const next = lineOf({ epoch: 2n });
  await propose(token, G4, next);
  expect((await sign(token, G3, next)).events).toMatchObject([{ type: 'guardian.bad-line', code: 'other-epoch' }]);
  for (const action of ['Attest-Deposits', 'Attest-Release', 'Attest-Decision'])
    expect(tag((await token.send(G3, { Action: action }, 'a')).sent[0], 'Error')).toBe('not-a-guardian');
  await rotate(token, 2, `rotate 3 2 1 ${[G1, G2, G4].join(',')} ${keysOf(3, 2)}`);
  expect(tag((await propose(token, G3, move)).sent[0], 'Error')).toBe('not-a-guardian');
});

it.each([
  ['none', ''],
  ['too few', keysOf(2)],
  ['one twice', `${keysOf(2)},${keysOf(1)}`],
  ['one in capitals', `${keysOf(2)},02${'AB'.repeat(32)}`],
  ['one that is not compressed', `${keysOf(2)},04${'ab'.repeat(32)}`],
])('X2 a set whose guardians have no key of their own on the chain is none: %s', async (_, keys) => {
  await expect(TokenProcess.spawn({ ...TAGS, 'Isthmus-Guardian-Keys': keys })).rejects.toThrow('bad-keys');
  const token = await withOpen(0);
  const line = `rotate 2 2 1 ${[G1, G2, G4].join(',')} ${keys}`.trimEnd();
  const refused = await token.send(G1, { Action: 'Attest-Decision', 'Decision-Nonce': '1' }, line);
  expect(tag(refused.sent[0], 'Error')).toMatch(/^bad-(keys|decision)$/);
});

it('where a contract knows the guardians by their addresses a set has no keys', async () => {
  await expect(TokenProcess.spawn({ ...SPAWN_TAGS, 'Isthmus-Guardian-Keys': keysOf(3) })).rejects.toThrow('bad-keys');
  const token = await TokenProcess.spawn();
  const line = `rotate 2 2 1 ${[G1, G2, G4].join(',')} ${keysOf(3)}`;
  const refused = await token.send(G1, { Action: 'Attest-Decision', 'Decision-Nonce': '1' }, line);
  expect(tag(refused.sent[0], 'Error')).toBe('bad-keys');
});

it('I13 who proposes without end crowds out nobody but itself', async () => {
  const token = await withOpen(1);
  const own = lineOf({ content: 'own' });
  await propose(token, G2, own);
  for (let i = 0; i < PROPOSALS_KEPT + 5; i += 1) await propose(token, G1, lineOf({ content: `c${i}` }));
  const kept = await shown(token);
  expect(kept).toHaveLength(PROPOSALS_KEPT + 1);
  expect(kept).toContain(proposalId(PROCESS, own));
  expect(kept).not.toContain(proposalId(PROCESS, lineOf({ content: 'c4' })));
  expect(kept).toContain(proposalId(PROCESS, lineOf({ content: 'c5' })));
});

it('I13 who signs without end takes its share of memory and no more, and has it back when what it signed is gone', async () => {
  const guardians = Array.from({ length: 15 }, (_, i) => getAddress(`0x${(i + 1).toString(16).padStart(40, '0')}`));
  const token = await TokenProcess.spawn({
    ...TAGS,
    'Isthmus-Guardians': guardians.join(','),
    'Isthmus-Guardian-Keys': keysOf(15),
    'Isthmus-Threshold': '10',
  });
  const [liar = '', ...others] = guardians;
  const share = Math.floor((32 * 1024 * 1024) / 15 / 16_000);
  const lines = Array.from({ length: share + 2 }, (_, i) => lineOf({ withdrawals: [], content: `c${i}` }));
  for (const [i, line] of lines.entries()) await propose(token, others[Math.floor(i / 20)] ?? '', line);
  const codes: string[] = [];
  for (const line of lines)
    codes.push(...(await sign(token, liar, line, 'a'.repeat(16_000))).events.map((e) => e.type));
  expect(codes).toEqual([...Array<string>(share).fill('proposal.signed'), 'guardian.bad-line', 'guardian.bad-line']);
  // Who proposed the first has it crowded out by newer ones of its own.
  for (let i = 0; i < 32; i += 1) await propose(token, others[0] ?? '', lineOf({ withdrawals: [], content: `n${i}` }));
  expect(types(await sign(token, liar, lines.at(-1) ?? '', 'a'.repeat(16_000)))).toEqual(['proposal.signed']);
});

it('what is proposed, signed, released and rotated in whatever order, who follows the events has what the process shows', async () => {
  const withdrawals = fc
    .uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 4 })
    .map((n) => n.toSorted((a, b) => a - b).map(BigInt));
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(fc.constant('propose' as const), fc.constantFrom(G1, G2), withdrawals, fc.nat(3)),
    },
    { weight: 4, arbitrary: fc.tuple(fc.constant('sign' as const), fc.constantFrom(G1, G2), fc.nat(20), fc.nat(2)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('release' as const), fc.integer({ min: 1, max: 5 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('rotate' as const)) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const token = await withOpen(5);
      const view = viewOfSpawn(Object.entries(TAGS).map(([name, value]) => ({ name, value })));
      const lines: string[] = [];
      const fold = (o: Outcome): void => o.events.forEach((e) => foldEvent(view, e));
      for (const s of steps) {
        const { epoch } = view.set;
        if (s[0] === 'propose') {
          const line = lineOf({ epoch, withdrawals: s[2], content: `c${s[3]}` });
          lines.push(line);
          fold(await propose(token, s[1], line));
        } else if (s[0] === 'sign') {
          const line = lines.at(s[2] % Math.max(1, lines.length));
          if (line) fold(await sign(token, s[1], line, `s${s[3]}`));
        } else if (s[0] === 'release') fold(await release(token, s[1]));
        else {
          const line = `rotate ${epoch + 1n} 2 1 ${[G1, G2].join(',')} ${keysOf(2)}`;
          for (const guardian of [G1, G2])
            fold(
              await token.send(
                guardian,
                { Action: 'Attest-Decision', 'Decision-Nonce': String(view.decisions + 1n) },
                line,
              ),
            );
        }
      }
      const followed = [...view.proposals.values()].map(({ id, guardian, signatures, ...proposal }) => ({
        id,
        guardian,
        line: encodeProposalLine(proposal),
        signed: [G1, G2].flatMap((g) => (signatures.has(g) ? [{ guardian: g, signatures: signatures.get(g) }] : [])),
      }));
      expect(await token.read('Proposals')).toEqual(followed);
    }),
    { numRuns: 40 },
  );
});

it('lines read back, and what is none is refused', () => {
  const numbers = fc.uniqueArray(fc.bigInt({ min: 1n, max: 2n ** 40n }), { maxLength: 20 });
  fc.assert(
    fc.property(
      numbers,
      fc.stringMatching(/^[A-Za-z0-9]{1,50}$/),
      fc.stringMatching(/^[A-Za-z0-9:.-]{1,50}$/),
      (n, content, anchor) => {
        const withdrawals = n.toSorted((a, b) => (a < b ? -1 : 1));
        const proposal = { epoch: 3n, anchor, withdrawals, content };
        expect(parseProposalLine(encodeProposalLine(proposal))).toEqual(proposal);
      },
    ),
  );
  const many = Array.from({ length: MAX_PAID + 1 }, (_, i) => BigInt(i + 1));
  const bad = [
    '',
    '1 a 1',
    '1 a 2,1 c',
    '1 a 1,1 c',
    '1 a 1 c d',
    '0 a 1 c',
    '1 a! 1 c',
    '1 a 1 c!',
    `1 a ${many.join(',')} c`,
  ];
  for (const line of bad) expect(() => parseProposalLine(line)).toThrow(BridgeError);
  for (const line of [
    '',
    `0x${'ab'.repeat(32)}`,
    `0x${'ab'.repeat(31)} aa`,
    `0x${'ab'.repeat(32)} a a`,
    `0x${'ab'.repeat(32)} a!`,
  ])
    expect(() => parseProposalSignLine(line)).toThrow(BridgeError);
});
