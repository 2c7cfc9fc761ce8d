/**
 * One source, several machines: the same messages lead to the same replies, events and state on the lean Lua machine and on real aos
 * modules, and what nobody may do on one, nobody may on the others.
 */
import { WorkerPool, type EvaluationResult, type MemoryImage } from '@isthmus/ao';
import {
  ALICE,
  ATTEST,
  BOB,
  effects,
  eventsIn,
  G1,
  G2,
  G3,
  G4,
  hex,
  line,
  OUTSIDER,
  packed,
  pair,
  READS,
  said,
  sameAsOnTheLeanMachine,
  SURROGATE,
  type Said,
} from './differential.js';
import {
  AUTHORITY,
  environment,
  ODD_QUANTITIES,
  PROCESS,
  SPAWN_TAGS,
  SPAWNER,
  tag,
  TOKEN,
  tokenSource,
  VAULT,
} from './harness.js';
import { aosModules, HostedToken, LEAN, type Machine } from './machines.js';

const MACHINES: readonly Machine[] = [LEAN, ...aosModules()];
const REAL_AOS = MACHINES.filter((m) => m !== LEAN);

it('there are aos modules to run these tests with: node scripts/aos-module.mjs puts them into .cache/aos', () =>
  expect(REAL_AOS).not.toEqual([]));

let pool: WorkerPool;
beforeAll(() => (pool = new WorkerPool(1)));
afterAll(() => pool.stop());

const refusals = (result: EvaluationResult | undefined) =>
  (result?.Messages ?? []).flatMap((m) => tag(m, 'Error') ?? []);

/** A live token with 1,000 units of ALICE's and 1,000 of BOB's, a process: made once for each machine, then gone on from. */
async function funded(machine: Machine): Promise<HostedToken> {
  const image = FUNDED.get(machine);
  if (image) return HostedToken.resumed(machine, pool, image);
  const token = await HostedToken.live(machine, pool);
  await fund(token);
  FUNDED.set(machine, await token.snapshot());
  return token;
}
const FUNDED = new Map<Machine, MemoryImage>();
async function fund(token: HostedToken): Promise<void> {
  for (const g of [G1, G2]) await token.send(g, ATTEST, [line(1), line(2, '1000', BOB)].join('\n'));
}
/** Everything a token's state decides that anybody can read. */
async function books(token: HostedToken): Promise<string[]> {
  const reads = ['Balances', 'Total-Supply', 'Withdrawals', 'Pending-Deposits', 'Decisions', 'Bridge-Info'];
  const results = await token.handle(reads.map((Action) => token.message('reader', { Action })));
  return results.map((r) => r.Error ?? JSON.stringify(r.Messages.map((m) => m.Data)));
}

// The same on all -----------------------------------------------------------------------------------------------------

/** A walk past every kind of event. */
const WALK: readonly Said[] = [
  said(G1, ATTEST, [line(1), line(2, '5000', BOB, hex('X-Action=Swap')), 'nonsense'].join('\n')),
  said(G3, ATTEST, line(1, '9999')),
  said(G2, ATTEST, [line(1), line(2, '5000', BOB, hex('X-Action=Swap'))].join('\n')),
  said(G3, ATTEST, line(1)),
  said(G1, ATTEST, line(3, '7', ALICE, SURROGATE)),
  said(G1, ATTEST, line(3, '7')),
  said(G3, ATTEST, line(3, '7', ALICE, SURROGATE)),
  said(ALICE, { Action: 'Transfer', Quantity: '100', Recipient: BOB, 'X-Memo': 'hi', Reference: '9' }),
  said({ from: BOB, owner: AUTHORITY }, { Action: 'Withdraw', Quantity: '400', Recipient: OUTSIDER, 'Max-Fee': '3' }),
  said(ALICE, { Action: 'Withdraw', Quantity: '40', Recipient: OUTSIDER, 'Max-Fee': '3' }),
  said(G1, { Action: 'Sign-Release' }, `1 1 ${packed(G1)}`),
  said(G2, { Action: 'Sign-Release' }, `1 1 ${packed(G2)}\n2 1 ${packed(G2)}`),
  said(G1, { Action: 'Attest-Release' }, `1 0x${'7'.repeat(64)} 3 paid`),
  said(G3, { Action: 'Attest-Release' }, `1 0x${'8'.repeat(64)} 3 paid`),
  said(G2, { Action: 'Attest-Release' }, `1 0x${'7'.repeat(64)} 3 paid`),
  said(G3, { Action: 'Sign-Decision', 'Decision-Nonce': '1' }, packed(G3)),
  said(G3, { Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause'),
  ...[G3, G1].map((g) => said(g, { Action: 'Sign-Decision', 'Decision-Nonce': '1' }, packed(g))),
  said(ALICE, { Action: 'Withdraw', Quantity: '40', Recipient: OUTSIDER, 'Max-Fee': '3' }),
  said(G1, ATTEST, line(4)),
  said(G2, ATTEST, line(4)),
  ...[G1, G2].map((g) => said(g, { Action: 'Attest-Decision', 'Decision-Nonce': '2' }, 'unpause')),
  ...[G1, G3].map((g) =>
    said(g, { Action: 'Attest-Decision', 'Decision-Nonce': '3' }, `rotate 2 1 1 ${[G2, G4].join(',')}`),
  ),
  ...[G1, G4].map((g) => said(g, { Action: 'Sign-Decision', 'Decision-Nonce': '3' }, packed(g))),
  said(G4, ATTEST, line(5)),
  said(G2, { Action: 'Sign-Release' }, `2 2 0x00${'ab'.repeat(64)}`),
];

describe.each(REAL_AOS)('$name', (machine) => {
  it('every kind of event comes of the same messages, and the same state, as on the lean machine', () =>
    pair(machine, pool, async (aos, lean) => {
      const steps = [...WALK, ...READS];
      const [there, here] = [await effects(aos, steps), await effects(lean, steps)];
      expect(there).toEqual(here);
      expect(JSON.stringify(here)).toContain(`"balances/${ALICE}=`);
      const seen = JSON.stringify(here).match(
        /(?<=["\\n])(deposit|withdrawal|decision|guardian)\.[a-z-]+|(?<=["\\n])transfer(?= )/g,
      );
      expect([...new Set(seen)].sort()).toEqual([
        'decision.applied',
        'decision.attested',
        'decision.signed',
        'deposit.attested',
        'deposit.conflict',
        'deposit.minted',
        'guardian.bad-line',
        'guardian.double-vote',
        'transfer',
        'withdrawal.attested',
        'withdrawal.conflict',
        'withdrawal.queued',
        'withdrawal.released',
        'withdrawal.signed',
      ]);
    }));

  it('whatever is said in whatever order, by whomever, leads to the same as on the lean machine', () =>
    sameAsOnTheLeanMachine(machine, pool, 15, 8_000));

  it('A9 its source is loaded by its spawner alone, once', async () => {
    const token = await HostedToken.spawned(machine, pool);
    const thief = async (sender: string) =>
      (await token.send(sender, { Action: 'Eval' }, 'ao.send({ Target = "thief", Data = "mine" })')).Messages;
    expect(await thief(OUTSIDER)).toEqual([]);
    expect(await thief(SPAWNER)).toMatchObject([{ Target: 'thief', Data: 'mine' }]);
    await token.evaluate(tokenSource().toString());
    expect(await thief(SPAWNER)).toEqual([]);
    expect(JSON.parse(await token.read('Bridge-Info'))).toMatchObject({ asset: SPAWN_TAGS['Isthmus-Asset'] });
  });

  it('A9 spawned with its source and On-Boot it is live from its first slot', async () => {
    const tags = { ...SPAWN_TAGS, 'On-Boot': 'Data' };
    const token = await HostedToken.spawned(machine, pool, { tags }, tokenSource().toString());
    expect((await token.send(SPAWNER, { Action: 'Eval' }, 'Handlers.list = {}')).Error).toBeUndefined();
    for (const g of [G1, G2]) await token.send(g, ATTEST, line(1));
    expect(await token.read('Balances')).toBe(`{"${ALICE}":"1000"}`);
  });

  it('a configuration that is refused leaves the process with its spawner, and no token', async () => {
    const token = await HostedToken.spawned(machine, pool, { tags: { ...SPAWN_TAGS, 'Isthmus-Threshold': '4' } });
    await expect(token.evaluate(tokenSource().toString())).rejects.toThrow(/spawn tags name no guardian set/);
    expect((await token.evaluate('ao.send({ Target = Owner })')).Messages).toMatchObject([{ Target: SPAWNER }]);
    expect(await token.read('Info')).toBe('');
  });
});

// Nothing of this on any of them --------------------------------------------------------------------------------------

describe.each(MACHINES)('$name', (machine) => {
  it('A9 nobody evaluates anything in a live process: not its spawner, not itself, not whom an authority names', async () => {
    const token = await funded(machine);
    const before = await books(token);
    const code = 'Handlers.list = {} Owner = "thief" ao.send({ Target = "thief", Data = "mine" })';
    const tricks: Record<string, string>[] = [
      { Action: 'Eval' },
      { action: 'Eval' },
      { Action: 'Eval', Id: PROCESS },
      { Action: 'Eval', Id: PROCESS, Type: 'Process', 'On-Boot': 'Data' },
      { Action: 'Credit-Notice', Id: PROCESS, Type: 'Process', 'On-Boot': 'Data' },
    ];
    const messages = [SPAWNER, PROCESS, AUTHORITY, G1, OUTSIDER, 'none', 'true', ''].flatMap((from) =>
      [from, AUTHORITY, OUTSIDER].flatMap((owner) => tricks.map((tags) => token.message({ from, owner }, tags, code))),
    );
    const results = await token.handle([
      ...messages,
      { ...token.message(SPAWNER, { Action: 'Eval' }, code), Id: PROCESS },
    ]);
    expect(results.flatMap((r) => r.Error ?? [])).toEqual([]);
    expect(results.flatMap((r) => r.Messages).filter((m) => m.Data === 'mine')).toEqual([]);
    expect(await books(token)).toEqual(before);
    const paid = await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER });
    expect(eventsIn(paid)).toEqual([`transfer ${ALICE} ${OUTSIDER} 10`]);
  });

  it('A4 every quantity that is no plain whole number is refused, to move and to withdraw', async () => {
    const token = await funded(machine);
    const before = await books(token);
    for (const action of ['Transfer', 'Withdraw']) {
      const results = await token.handle(
        ODD_QUANTITIES.map((Quantity) =>
          token.message(ALICE, { Action: action, Quantity, Recipient: OUTSIDER, 'Max-Fee': '0' }),
        ),
      );
      expect(results.map(refusals)).toEqual(ODD_QUANTITIES.map(() => ['bad-quantity']));
    }
    expect(await books(token)).toEqual(before);
    for (const Quantity of ['1001', '9'.repeat(39)])
      expect(refusals(await token.send(ALICE, { Action: 'Transfer', Quantity, Recipient: OUTSIDER }))).toEqual([
        'insufficient-balance',
      ]);
  });

  it('A10 a withdrawal without a good recipient, fee or amount burns nothing', async () => {
    const token = await funded(machine);
    const before = await books(token);
    const good = { Action: 'Withdraw', Quantity: '100', Recipient: OUTSIDER, 'Max-Fee': '5' };
    const { Recipient: _, ...nobody } = good;
    const cases: [string, Record<string, string>][] = [
      ['bad-recipient', nobody],
      ['bad-recipient', { ...good, Recipient: '' }],
      ['bad-recipient', { ...good, Recipient: OUTSIDER.toLowerCase() }],
      ['bad-recipient', { ...good, Recipient: BOB }],
      ['bad-recipient', { ...good, Recipient: `0x${'0'.repeat(40)}` }],
      ['forbidden-recipient', { ...good, Recipient: VAULT }],
      ['forbidden-recipient', { ...good, Recipient: TOKEN }],
      ['bad-max-fee', { ...good, 'Max-Fee': '-1' }],
      ['fee-not-below-quantity', { ...good, 'Max-Fee': '100' }],
      ['below-minimum', { ...good, Quantity: '9' }],
      ['insufficient-balance', { ...good, Quantity: '1001' }],
      ['above-limit', { ...good, Quantity: '1000001' }],
    ];
    const results = await token.handle(cases.map(([, tags]) => token.message(ALICE, tags)));
    expect(results.map(refusals)).toEqual(cases.map(([code]) => [code]));
    expect(await books(token)).toEqual(before);
    expect(eventsIn(await token.send(ALICE, good))).toEqual([expect.stringContaining('withdrawal.queued 1 ')]);
  });

  it('A8 what a clock sends moves nothing, nor does what passes for it', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const move = { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER };
    await token.handle([
      token.message({ from: G2, cron: true }, ATTEST, line(3)),
      token.message({ from: ALICE, cron: true }, move),
      token.message({ from: ALICE, cron: true }, { ...move, Cron: '' }),
      token.message(ALICE, { ...move, Cron: 'false' }),
    ]);
    expect(await books(token)).toEqual(before);
  });

  it('A3 a notice of another token is nothing to it', async () => {
    const token = await funded(machine);
    const before = await books(token);
    const notice = { Quantity: '5', Sender: ALICE, Recipient: BOB, 'From-Process': BOB };
    const results = await token.handle(
      ['Credit-Notice', 'Debit-Notice', 'Mint', 'Burn'].flatMap((Action) => [
        token.message({ from: BOB, owner: AUTHORITY }, { ...notice, Action }),
        token.message({ from: PROCESS, owner: AUTHORITY }, { ...notice, Action }),
      ]),
    );
    expect(results.map((r) => r.Error ?? r.Messages)).toEqual(results.map(() => []));
    expect(await books(token)).toEqual(before);
  });

  it('A2 a process is spoken for by its authority only, a key and an authority by themselves', async () => {
    const token = await funded(machine);
    const move = { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER };
    await token.send(ALICE, { ...move, Recipient: AUTHORITY });
    const before = await books(token);
    await token.handle(
      [
        { from: BOB, owner: OUTSIDER },
        { from: AUTHORITY, owner: OUTSIDER },
        { from: ALICE, owner: AUTHORITY },
      ].flatMap((sender) => [
        token.message(sender, move),
        token.message(sender, { ...move, Action: 'Withdraw', Quantity: '10', 'Max-Fee': '1' }),
      ]),
    );
    expect(await books(token)).toEqual(before);
    const paid = await token.send({ from: BOB, owner: AUTHORITY }, move);
    expect(eventsIn(paid)).toEqual([`transfer ${BOB} ${OUTSIDER} 10`]);
  });

  it('A1 nobody is a guardian or a holder by saying so, in From or in a tag', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const claims = ['From', 'Owner', 'From-Process', 'Forwarded-By', 'Pushed-For', 'from', 'owner', 'From_Process'];
    const acts: [Record<string, string>, string][] = [
      [ATTEST, line(3)],
      [{ Action: 'Attest-Decision', 'Decision-Nonce': '1' }, 'pause'],
      [{ Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER }, ''],
      [{ Action: 'Withdraw', Quantity: '10', Recipient: OUTSIDER, 'Max-Fee': '1' }, ''],
    ];
    const messages = acts.flatMap(([tags, data]) => [
      ...[G2, ALICE].flatMap((from) =>
        [OUTSIDER, AUTHORITY, PROCESS].map((owner) => token.message({ from, owner }, tags, data)),
      ),
      ...[G2, ALICE].flatMap((who) => claims.map((claim) => token.message(OUTSIDER, { [claim]: who, ...tags }, data))),
    ]);
    const results = await token.handle(messages);
    expect(results.flatMap(eventsIn)).toEqual([]);
    expect(await books(token)).toEqual(before);
    expect(eventsIn(await token.send(G2, ATTEST, line(3)))).toEqual([expect.stringContaining('deposit.minted')]);
  });

  it('A6 what was said to another process does nothing when it is assigned to this one', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const claims: Record<string, string>[] = [{}, { Target: PROCESS }, { target: PROCESS }];
    const elsewhere = [BOB, ''].flatMap((Target) =>
      claims.flatMap((claim) => [
        { ...token.message(G2, { ...ATTEST, ...claim }, line(3)), Target },
        { ...token.message(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER, ...claim }), Target },
      ]),
    );
    expect((await token.handle(elsewhere)).flatMap(eventsIn)).toEqual([]);
    expect(await books(token)).toEqual(before);
  });

  it('no tag stops it, whatever place in the message it takes', async () => {
    const token = await funded(machine);
    const names = ['Nonce', 'Id', 'Timestamp', 'Block-Height', 'Epoch', 'Module', 'Tags', 'TagArray', 'Data', 'reply'];
    await token.handle(names.map((name) => token.message(OUTSIDER, { [name]: 'x', Action: 'Info' })));
    const paid = await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient: OUTSIDER });
    expect(eventsIn(paid)).toEqual([`transfer ${ALICE} ${OUTSIDER} 10`]);
  });

  it('Data that aos would decode counts on no machine', async () => {
    const token = await funded(machine);
    await token.send(G1, ATTEST, line(3));
    const before = await books(token);
    const json = { ...ATTEST, 'Content-Type': 'application/json' };
    expect(refusals(await token.send(G2, json, JSON.stringify(line(3))))).toEqual(['bad-data']);
    expect(refusals(await token.send(G2, json, '{}'))).toEqual(['bad-data']);
    expect(eventsIn(await token.send(G2, json, line(3)))).toEqual([]); // here aos itself fails
    expect(await books(token)).toEqual(before);
  });

  it('A16 a message that meets the limit of memory or work halfway leaves everything as it was', async () => {
    // The token itself stays far below both, so the machine is made to meet them where a mint is half done.
    const before = `
local len = utf8.len
utf8.len = function(text)
  if text == "X-Do=eat" then while true do text = text .. text end end
  if text == "X-Do=spin" then while true do end end
  return len(text)
end
`;
    const token = await HostedToken.live(machine, pool, { before });
    await fund(token);
    const [eat, spin] = [line(4, '5', BOB, hex('X-Do=eat')), line(5, '6', BOB, hex('X-Do=spin'))];
    await token.send(G1, ATTEST, [line(3), eat, spin].join('\n'));
    const settled = await books(token);

    const starved = await token.send(G2, ATTEST, [line(3), eat].join('\n'));
    expect(starved).toMatchObject({ Error: expect.stringMatching(/memory/), Messages: [] });
    expect(await books(token)).toEqual(settled);

    const endless = await token.send(G2, ATTEST, [line(3), spin].join('\n'));
    expect(endless).toMatchObject({ Error: expect.stringMatching(/out of (instructions|work)/), Messages: [] });
    expect(await books(token)).toEqual(settled);
    expect(eventsIn(await token.send(G2, ATTEST, line(3)))).toEqual([expect.stringContaining('deposit.minted')]);
  });

  it('A18 a recipient that traps on its Credit-Notice harms neither the token nor the others', async () => {
    const CAROL = 'C'.repeat(42) + 'A';
    const trap = `function handle(msg) if msg.Tags.Action == "Credit-Notice" then local function f() return 1 + f() end f() end end`;
    const count = `local n = 0 function handle(msg) if msg.Tags.Action == "Credit-Notice" then n = n + msg.Tags.Quantity end ao.send({ Target = "t", Data = n }) end`;
    const token = await funded(machine);
    for (const [id, source] of [
      [BOB, trap],
      [CAROL, count],
    ] as const) {
      const env = environment();
      await pool.open(id, Buffer.from(source), LEAN.format, { ...env, Process: { ...env.Process, Id: id } }, null);
    }
    /** What the messenger does with a result: each message to its target, from this process. */
    const deliver = async ({ Messages }: EvaluationResult): Promise<EvaluationResult[]> => {
      const outcomes: EvaluationResult[] = [];
      for (const { Target, Tags, Data } of Messages) {
        if (Target !== BOB && Target !== CAROL) continue;
        const message = { ...token.message({ from: PROCESS, owner: AUTHORITY }, {}, Data), Target, Tags };
        outcomes.push(...(await pool.handle(Target, [message])));
      }
      return outcomes;
    };
    const pay = async (Recipient: string) =>
      deliver(await token.send(ALICE, { Action: 'Transfer', Quantity: '10', Recipient }));
    for (let round = 1; round <= 2; round += 1) {
      expect(await pay(BOB)).toMatchObject([{ Error: expect.stringContaining('overflow'), Messages: [] }]);
      expect(await pay(CAROL)).toMatchObject([{ Messages: [{ Data: String(10 * round) }] }]);
    }
    await token.send(G1, ATTEST, [line(3, '5', BOB), line(4, '6', CAROL)].join('\n'));
    const minted = await token.send(G2, ATTEST, [line(3, '5', BOB), line(4, '6', CAROL)].join('\n'));
    expect(await deliver(minted)).toMatchObject([
      { Error: expect.stringContaining('overflow') },
      { Messages: [{ Data: '26' }] },
    ]);
    expect(JSON.parse(await token.read('Balances'))).toEqual({ [ALICE]: '960', [BOB]: '1025', [CAROL]: '26' });
  });
});
