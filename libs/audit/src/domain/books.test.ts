/** The auditor's books against a model that looks at everything at once; whatever order facts come in, they come to the same. */
import fc from 'fast-check';
import { zeroAddress } from 'viem';
import type { AssetPlace, Attested, Burn, Deposit, Hex, Mint, ProcessState, Release } from './facts.js';
import { Books } from './books.js';
import type { Standing } from './standing.js';
import { AuditError } from './error.js';
import { depositIdOf, forwardedTags, withdrawalIdOf } from './forms.js';
import { readSlot } from './lines.js';
import { NumberSet } from './number-set.js';
import { csvOf, hashOf, reportOf } from './report.js';

const VAULT: Hex = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';
const PROCESS = 'P'.repeat(42) + 'A';
const place: AssetPlace = {
  asset: 'eip155:1/slip44:60',
  chain: 'eip155:1',
  vault: VAULT,
  address: zeroAddress,
  process: PROCESS,
  keys: [],
  threshold: 2,
  terms: null,
};
const hash = (n: number | bigint): Hex => `0x${n.toString(16).padStart(64, '0')}`;
const refOf = (sequence: bigint): string => `eip155:1:${VAULT}:${sequence}`;

const deposit = (sequence: bigint, amount: bigint, asset: Hex = zeroAddress): Deposit => {
  return {
    reference: refOf(sequence),
    asset,
    sender: VAULT,
    amount,
    fee: 0n,
    to: { recipient: 'R'.repeat(43) },
    tags: '-',
    block: sequence,
    tx: hash(sequence),
  };
};
function mint(sequence: bigint, amount: bigint): Mint {
  const [reference, recipient] = [refOf(sequence), 'R'.repeat(43)];
  const id = depositIdOf(reference);
  const notice = new Map(
    Object.entries({
      Target: recipient,
      Quantity: String(amount),
      Sender: VAULT,
      'Deposit-Id': id,
      'Deposit-Reference': reference,
    }),
  );
  return { slot: 1, id, recipient, amount, reference, tx: hash(sequence), sender: VAULT, tags: '-', notice };
}
const burn = (number: bigint, amount: bigint): Burn => {
  return {
    slot: 2,
    at: 0,
    number,
    id: withdrawalIdOf(PROCESS, number),
    holder: 'H',
    recipient: VAULT,
    amount,
    maxFee: 0n,
  };
};
const release = (number: bigint, amount: bigint): Release => {
  return {
    process: PROCESS,
    number,
    asset: zeroAddress,
    recipient: VAULT,
    paid: amount,
    fee: 0n,
    held: false,
    block: 100n + number,
    tx: hash(number),
  };
};
const attested = (number: bigint, tx = hash(number)): Attested => ({ slot: 3, number, tx, fee: 0n, held: false });

interface Facts {
  deposits: Deposit[];
  mints: Mint[];
  burns: Burn[];
  releases: Release[];
  attested: Attested[];
}

const paidIn = (facts: Facts) => facts.releases.map(({ paid }) => ({ amount: paid }));
const sum = (list: readonly { amount: bigint }[]): bigint => list.reduce((total, { amount }) => total + amount, 0n);

/** The process and the vault as facts make them: all that is wrong is between the two. */
function standingOf(facts: Facts): Standing {
  const paid = facts.attested.filter((a, i) => facts.attested.findIndex((b) => b.number === a.number) === i);
  const released = sum(paid.flatMap((a) => facts.burns.filter((b) => b.number === a.number)));
  const [minted, burned] = [sum(facts.mints), sum(facts.burns)];
  const locked = sum(facts.deposits) - sum(paidIn(facts));
  const state: ProcessState = {
    slot: 3,
    assignment: '',
    hashChain: '',
    at: 0,
    code: '',
    minted,
    burned,
    released,
    supply: minted - burned,
    inFlight: burned - released,
    balances: minted - burned,
    holders: 1,
    paused: false,
  };
  return {
    now: 0,
    patienceMs: 1000,
    times: new Map(),
    vaultPaused: false,
    hopeless: new Set(),
    shownUntil: new Map(),
    vault: new Map([[zeroAddress, { locked, balance: locked, claimable: 0n }]]),
    processes: new Map([[PROCESS, state]]),
    knownCode: new Set(),
  };
}

/** Findings by looking at all facts at once, as `code subject`. */
function expected(facts: Facts): string[] {
  const found: string[] = [];
  const about = (code: string, number: bigint): unknown => found.push(`${code} ${PROCESS}/${number}`);
  const seen = new Set<string>();
  for (const m of facts.mints) {
    const d = facts.deposits.find((x) => x.reference === m.reference);
    if (seen.has(m.reference)) found.push(`double-mint ${m.reference}`);
    else if (!d) found.push(`mint-without-deposit ${m.reference}`);
    else if (d.amount !== m.amount || d.asset !== zeroAddress) found.push(`mint-differs ${m.reference}`);
    seen.add(m.reference);
  }
  for (const r of facts.releases) {
    const b = facts.burns.find((x) => x.number === r.number);
    if (!b) about('release-without-burn', r.number);
    else if (b.amount !== r.paid) about('release-differs', r.number);
  }
  for (const a of facts.attested) {
    const r = facts.releases.find((x) => x.number === a.number);
    if (!r) about('attested-without-release', a.number);
    // What was never burned is not matched further: it is a finding already.
    else if (!facts.burns.some((b) => b.number === a.number)) about('attested-without-release', a.number);
    else if (r.tx !== a.tx) about('attested-differs', a.number);
  }
  return found.toSorted();
}

type Step = (books: Books) => void;
const steps = (f: Facts): Step[][] => [
  f.deposits.map((d) => (b: Books) => b.deposit(d)),
  f.mints.map((m) => (b: Books) => b.mint(PROCESS, m)),
  f.burns.map((x) => (b: Books) => b.burn(PROCESS, x)),
  f.releases.map((r) => (b: Books) => b.release(r)),
  f.attested.map((a) => (b: Books) => b.attested(PROCESS, a)),
];

/** Merges lists, each in its order; `order` says from which the next is taken. */
function interleaved(lists: readonly Step[][], order: readonly number[]): Step[] {
  const left = lists.map((l) => [...l]);
  const merged: Step[] = [];
  for (const i of order) {
    const next = left[i % left.length]?.shift();
    if (next) merged.push(next);
  }
  return [...merged, ...left.flat()];
}

const number = fc.bigInt({ min: 1n, max: 12n });
const amount = fc.constantFrom(5n, 5n, 5n, 6n);
const some = <T>(one: (n: bigint, a: bigint) => T) =>
  fc
    .uniqueArray(fc.tuple(number, amount), { maxLength: 12, selector: ([n]) => String(n) })
    .map((list) => list.map(([n, a]) => one(n, a)));
const factsOf: fc.Arbitrary<Facts> = fc
  .record({
    deposits: fc.integer({ min: 0, max: 12 }).chain((n) => fc.array(amount, { minLength: n, maxLength: n })),
    mints: fc.array(fc.tuple(number, amount), { maxLength: 12 }),
    burns: some(burn),
    releases: some(release),
    attested: some((n, a) => attested(n, a === 5n ? hash(n) : hash(99n))),
  })
  .map(({ deposits, mints, ...rest }) => ({
    deposits: deposits.map((a, i) => deposit(BigInt(i + 1), a)),
    mints: mints.map(([n, a]) => mint(n, a)),
    ...rest,
  }));

const SUMS = new Set(['undercollateralised', 'supply-differs', 'balance-below-count']);

describe('the books', () => {
  it('find what a look at everything at once finds, in whatever order facts come', () => {
    fc.assert(
      fc.property(factsOf, fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 80 }), (facts, order) => {
        const books = new Books([place]);
        for (const step of interleaved(steps(facts), order)) step(books);
        const standing = standingOf(facts);
        const { lines, findings, more } = books.drawUp(standing);
        expect(more).toBe(0);
        const traced = findings.filter((f) => !SUMS.has(f.code)).map((f) => `${f.code} ${f.subject}`);
        expect(traced.toSorted()).toEqual(expected(facts));
        // What is owed is short exactly when it is more than what is there: to holders, to who waits to be paid, and to who waits for a mint.
        const [line] = lines;
        const claims =
          sum(facts.mints) - sum(facts.burns.filter((b) => facts.releases.some((r) => r.number === b.number)));
        const unpaid = sum(
          facts.attested.flatMap((a) =>
            facts.releases.some((r) => r.number === a.number) ? [] : facts.burns.filter((b) => b.number === a.number),
          ),
        );
        const waiting = sum(facts.deposits.filter((d) => !facts.mints.some((m) => m.reference === d.reference)));
        const owed = claims - unpaid + waiting;
        expect(line?.surplus).toBe(sum(facts.deposits) - sum(paidIn(facts)) - owed);
        expect(findings.some((f) => f.code === 'undercollateralised')).toBe((line?.surplus ?? 0n) < 0n);
      }),
      { numRuns: 500 },
    );
  });

  it('double-release and double-attestation, which no sound vault and token do, have a name', () => {
    for (const again of [false, true]) {
      const books = new Books([place]);
      books.deposit(deposit(1n, 50n));
      books.mint(PROCESS, mint(1n, 50n));
      books.burn(PROCESS, burn(1n, 5n));
      books.release(release(1n, 5n));
      books.attested(PROCESS, attested(1n));
      if (again) {
        books.release(release(1n, 5n));
        books.attested(PROCESS, attested(1n));
        books.burn(PROCESS, burn(1n, 5n));
      }
      const codes = books
        .drawUp(standingOf({ deposits: [], mints: [], burns: [], releases: [], attested: [] }))
        .findings.map((f) => f.code);
      for (const code of ['double-release', 'double-attestation', 'double-burn'] as const)
        expect(codes.includes(code)).toBe(again);
    }
  });

  it('a mint of a deposit of another asset differs, whichever is known first', () => {
    const other: Hex = '0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65';
    for (const first of ['deposit', 'mint']) {
      const books = new Books([place]);
      const both: Step[] = [(b) => b.deposit(deposit(1n, 5n, other)), (b) => b.mint(PROCESS, mint(1n, 5n))];
      for (const step of first === 'deposit' ? both : both.toReversed()) step(books);
      const found = books.drawUp(
        standingOf({ deposits: [], mints: [], burns: [], releases: [], attested: [] }),
      ).findings;
      expect(found.map((f) => f.code)).toContain('mint-differs');
    }
  });

  it('keep so many mismatches, and count the rest', () => {
    const books = new Books([place]);
    for (let i = 0; i < 10_005; i += 1) books.mint(PROCESS, { ...mint(1n, 5n), reference: 'none' });
    const standing = standingOf({ deposits: [], mints: [], burns: [], releases: [], attested: [] });
    const found = books.drawUp(standing);
    expect(found.more).toBe(5);
    const inputs = { chain: '', vault: '', height: '1', blockHash: '', blockTime: 0, patienceMs: 0, processes: [] };
    const report = reportOf(inputs, found);
    expect(report.findings).toHaveLength(1000);
    expect(report.more + report.findings.length).toBe(found.findings.length + 5);
    expect(report.result).toBe('safety');
  });
});

describe('a number set', () => {
  it('holds what was put in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 0n, max: 40_000n })),
        fc.bigInt({ min: 0n, max: 40_000n }),
        (list, probe) => {
          const set = new NumberSet();
          for (const n of list) set.add(n);
          expect(list.every((n) => set.has(n))).toBe(true);
          expect(set.has(probe)).toBe(list.includes(probe));
        },
      ),
    );
  });
});

const PLACE = { chain: 'eip155:1', slot: 4, at: 9 };

describe('lines', () => {
  const says = (Data: string) => [{ Tags: [{ name: 'Action', value: 'Isthmus-Events' }], Data }];
  const QUEUED = `withdrawal.queued 7 ${hash(1)} holder ${VAULT} 5 1`;

  it('are read as the protocol writes them; those that move no money are passed over', () => {
    const {
      burns,
      attested: done,
      mints,
    } = readSlot(PLACE, says(`transfer a b 5\n${QUEUED}\nwithdrawal.released 7 ${hash(2)} 1 held`));
    expect(burns).toEqual([
      { slot: 4, at: 9, number: 7n, id: hash(1), holder: 'holder', recipient: VAULT, amount: 5n, maxFee: 1n },
    ]);
    expect(done).toEqual([{ slot: 4, number: 7n, tx: hash(2), fee: 1n, held: true }]);
    expect(mints).toEqual([]);
    expect(
      readSlot(
        PLACE,
        says(QUEUED).map((m) => ({ ...m, Target: 'somebody' })),
      ).burns,
    ).toEqual([]);
  });

  it.each([
    'withdrawal.minted 1',
    'withdrawal.queued 7',
    `${QUEUED} more`,
    QUEUED.replace(' 5 ', ' 05 '),
    QUEUED.replace('queued 7', 'queued 0'),
    `withdrawal.released 7 ${hash(2)} 1 lost`,
    QUEUED.replace(VAULT, '0x12'),
    ' ',
  ])('%j keeps an audit from being made', (line) => {
    expect(() => readSlot(PLACE, says(line))).toThrow(AuditError);
  });

  it('that are anything are read, or refused with an error of ours', () => {
    const words = fc.array(
      fc.oneof(
        fc.constantFrom('deposit.minted', 'withdrawal.queued', 'withdrawal.released', '7', '-', hash(1), VAULT),
        fc.string(),
      ),
    );
    fc.assert(
      fc.property(words, (list) => {
        try {
          readSlot(PLACE, says(list.join(' ')));
        } catch (error) {
          expect(error).toBeInstanceOf(AuditError);
        }
      }),
    );
  });
});

it.each([
  ['-', 0],
  [Buffer.from('X-A=1\nX-B=ü').toString('hex'), 2],
  [Buffer.from('X-A=1\nX-A=2').toString('hex'), null],
  [Buffer.from('A=1').toString('hex'), null],
  [Buffer.from('X-A=').toString('hex'), null],
  [Buffer.from('X-A=\u0007').toString('hex'), null],
  ['ff', null],
  [Buffer.from(Array.from({ length: 17 }, (_, i) => `X-${i}=1`).join('\n')).toString('hex'), null],
])('tags %j of a deposit are %s', (hex, count) => {
  expect(forwardedTags(hex)?.size ?? null).toBe(count);
});

it('a report’s hash is of all that it says; its CSV is no spreadsheet’s formula', () => {
  const inputs = { chain: 'c', vault: 'v', height: '1', blockHash: 'h', blockTime: 0, patienceMs: 0, processes: [] };
  const finding = { code: 'paused', kind: 'liveness', asset: '=1+1', subject: 'a"b', detail: 'x,y' } as const;
  const report = reportOf(inputs, { lines: [], findings: [finding], more: 0 });
  expect(hashOf({ ...report, inputs: { ...inputs, height: '2' } })).not.toBe(hashOf(report));
  expect(csvOf(report)).toContain(`liveness,paused,'=1+1,"a""b","x,y"`);
  expect(report.result).toBe('liveness');
  expect(reportOf(inputs, { lines: [], findings: [], more: 1 }).result).toBe('safety');
});
