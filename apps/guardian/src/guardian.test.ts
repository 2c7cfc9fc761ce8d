/** A guardian between a real chain and a real schedule, both of which may lie to it. */
import {
  assign,
  createItem,
  decodeBundle,
  ed25519Signer,
  encodeBundle,
  ethereumSigner,
  parseItem,
  tagOf,
  type Item,
} from '@isthmus/ao';
import {
  depositId,
  depositReference,
  encodeDepositLine,
  parseDepositLine,
  parseSignLine,
  verifyReleaseSignature,
  withdrawalId,
  type DepositObservation,
} from '@isthmus/bridge';
import { joinSignatures } from '@isthmus/chains';
import { encodeAbiParameters, keccak256, toHex, zeroAddress, type Hex } from 'viem';
import { aosModules } from '../../../contracts/ao/machines.js';
import { COIN } from '../../../contracts/ethereum/stage.js';
import {
  ALICE,
  ALICE_KEY,
  CHAIN,
  type Door,
  guardianAddress,
  guardianKey,
  lying,
  PAYEE,
  SCHEDULER,
  World,
  type Scene,
  type Subject,
} from '../harness.js';
import { tokenSource } from '@isthmus/store';
import { DoubleSignRefused } from './ledger.js';
import { GuardianMetrics, Runner } from './runner.js';

const UNIT = 1_000_000n;

let world: World;
beforeAll(async () => {
  world = await World.open();
});
afterEach(() => world.clear());
afterAll(() => world.close());

/** A scene whose guardians have minted a first deposit for Alice, with nothing left to do. */
async function funded(guardians = [0, 1], options = {}): Promise<{ scene: Scene; subjects: Subject[] }> {
  const scene = await world.scene(options);
  const subjects = await Promise.all(guardians.map((g) => scene.guardian(g)));
  await scene.deposited(UNIT);
  for (const subject of subjects) await subject.round();
  for (const subject of subjects) await subject.look();
  return { scene, subjects };
}

const first = (subjects: readonly Subject[]): Subject => subjects[0] as Subject;
const code = (expected: string) => expect.objectContaining({ code: expected });

/** Observation of a deposit of the scene's vault, as an honest guardian would make it. */
function observation(scene: Scene, sequence: bigint, change: Partial<DepositObservation> = {}): DepositObservation {
  const reference = depositReference({ chain: CHAIN, vault: scene.vault, sequence });
  return {
    id: depositId(reference),
    reference,
    txHash: `0x${'ab'.repeat(32)}`,
    sender: world.stage.account.address,
    recipient: ALICE,
    amount: UNIT,
    tags: '-',
    ...change,
  };
}

const minted = (scene: Scene, sequence: bigint, amount = UNIT): string => {
  const o = observation(scene, sequence, { amount });
  return `deposit.minted ${o.id} ${o.recipient} ${o.amount} ${o.reference} ${o.txHash} ${o.sender} ${o.tags}`;
};
const queued = (scene: Scene, number: bigint, { recipient = PAYEE as string, amount = 5_000n, maxFee = 10n } = {}) =>
  `withdrawal.queued ${number} ${withdrawalId(scene.process, number)} ${ALICE} ${recipient} ${amount} ${maxFee}`;

/** What was signed, by a digest that stands for its content. */
const signedRow = (digest: string, epoch = 1n, number = 8n) => ({
  number,
  epoch,
  digest: `0x${digest.repeat(64)}` as Hex,
});

/** Changes what the vault counts as locked of the coin. */
async function setLocked(scene: Scene, locked: bigint): Promise<void> {
  const FLOWS = 5n; // storage slot of the vault's mapping, after EIP-712's two, the state and the decisions
  const words = [{ type: 'address' }, { type: 'uint256' }] as const;
  const index = keccak256(encodeAbiParameters(words, [COIN, FLOWS]));
  const before = BigInt((await world.stage.client.getStorageAt({ address: scene.vault, slot: index })) ?? '0x0');
  const flow = ((before >> 112n) << 112n) | locked;
  await world.stage.chain.setStorageAt({ address: scene.vault, index, value: toHex(flow, { size: 32 }) });
  await scene.finalize();
  expect(await world.stage.read<bigint>('locked', [COIN])).toBe(locked);
}

/** Scheduled entries as the gateway gives them, changed. */
const altered =
  (change: (items: Item[]) => Promise<Item[]> | Item[]): NonNullable<Door['intercept']> =>
  async ({ path }, forward) => {
    const reply = await forward();
    if (!path.startsWith('/su/')) return reply;
    return { status: 200, body: encodeBundle(await change(decodeBundle(Buffer.from(reply.body)))) };
  };
const rogue = ed25519Signer(Buffer.alloc(32, 9));
const place = (item: Item) => ({
  timestamp: Number(tagOf(item, 'Timestamp')),
  blockHeight: 0,
});
/** The pages' second pair, placed anew by a signer, after a head. */
async function replaced(items: Item[], signer = SCHEDULER, hashChain?: string, process = ''): Promise<Item[]> {
  const [head, , next, message] = items as [Item, Item, Item, Item];
  const previous = {
    nonce: Number(tagOf(head, 'Nonce')),
    assignmentId: head.id,
    hashChain: hashChain ?? tagOf(head, 'Hash-Chain'),
    timestamp: place(head).timestamp,
  };
  const { item } = await assign(process || tagOf(head, 'Process'), message.id, previous, place(next), signer);
  return [head, items[1] as Item, item, message];
}
const spoilt = (item: Item): Item => {
  const raw = Buffer.from(item.raw);
  raw.writeUInt8((raw[2] as number) ^ 1, 2); // of the signature, which decides the item's id too
  return parseItem(raw);
};
/** The second entry with a message its owner did not sign, placed by the scheduler all the same. */
const unsigned = async (items: Item[]): Promise<Item[]> => replaced(items.map((m, i) => (i === 3 ? spoilt(m) : m)));

describe('what a guardian sees', () => {
  it('I5 a deposit is attested when its block is final, not before', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    await subject.round();
    const { transactionHash } = await world.stage.deposit(UNIT, ALICE);
    await subject.round();
    await world.stage.chain.mine({ blocks: 1 });
    await subject.round();
    expect(await subject.said('Attest-Deposits')).toEqual([]);
    await world.stage.chain.mine({ blocks: 1 });
    await subject.round();
    expect(await subject.said('Attest-Deposits')).toEqual([
      encodeDepositLine(observation(scene, 1n, { txHash: transactionHash })),
    ]);
    await subject.round();
    expect(await subject.said('Attest-Deposits')).toHaveLength(1);
  });

  it('I5 E6 what a reorg replaces before it is final was never said', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    const snapshot = await world.stage.chain.snapshot();
    await world.stage.deposit(UNIT, ALICE);
    await world.stage.chain.mine({ blocks: 1 });
    await subject.round();
    await world.stage.chain.revert({ id: snapshot });
    await scene.deposited(7n);
    await subject.round();
    const lines = (await subject.said('Attest-Deposits')).map(parseDepositLine);
    expect(lines).toMatchObject([{ reference: observation(scene, 1n).reference, amount: 7n }]);
  });

  it('I7 E10 says what the vault received of a token that takes a fee', async () => {
    const token = await world.stage.deploy('FeeToken');
    const scene = await world.scene({ tokens: [token] });
    const subject = await scene.guardian(0);
    await world.stage.call('FeeToken', token, 'mint', [world.stage.account.address, 10n * UNIT]);
    await scene.depositedToken(token, UNIT);
    await scene.finalize();
    await subject.round();
    const lines = (await subject.said('Attest-Deposits')).map(parseDepositLine);
    expect(lines.map((l) => l.amount)).toEqual([990_000n]);
  });

  it('I7 E1 E2 E3 E9 an event of another contract is nothing; two deposits in one transaction are two', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    const fake = await world.stage.deploy('Lookalike');
    await world.stage.call('Lookalike', fake, 'fake', [1n, 10n ** 18n, ALICE]);
    await world.stage.call('Lookalike', fake, 'both', [scene.vault, 1n, 10n ** 18n, ALICE], 3n);
    await world.stage.call('Lookalike', fake, 'twice', [scene.vault, ALICE], 8n);
    await scene.finalize();
    await subject.round();
    const lines = (await subject.said('Attest-Deposits')).flatMap((d) => d.split('\n')).map(parseDepositLine);
    expect(lines.map((l) => l.amount)).toEqual([3n, 4n, 4n]);
  });

  it('I7 E1 stops when its source passes off the event of another contract', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    await scene.deposited(UNIT);
    scene.source.intercept = lying(({ method }, result) =>
      method === 'eth_getLogs' ? (result as object[]).map((l) => ({ ...l, address: PAYEE })) : result,
    );
    await expect(subject.guardian.watch()).rejects.toThrow(/another contract|one of the vault/);
    await subject.guardian.attest();
    expect(await subject.said('Attest-Deposits')).toEqual([]);
  });

  it('I8 E18 keeps, and attests to nobody, what credits nobody; the next deposits go on', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    await scene.deposited(5n, zeroAddress);
    await scene.deposited(6n);
    await subject.round();
    const lines = (await subject.said('Attest-Deposits')).map(parseDepositLine);
    expect(lines.map((l) => l.amount)).toEqual([6n]);
    const kept: { sequence: string; process: string | null }[] = await subject.database.query(
      'select sequence, process from observed_deposit order by sequence',
    );
    expect(kept).toEqual([
      { sequence: '1', process: null },
      { sequence: '2', process: scene.process },
    ]);
    expect(scene.logged.join('')).toContain('nobody on AO can be credited');
  });

  it('I8 a deposit of an asset it is not configured for is kept, and attested once it is', async () => {
    const token = await world.stage.token();
    const scene = await world.scene({ tokens: [token] });
    const subject = await scene.guardian(0, { assets: [scene.coin] });
    await scene.depositedToken(token, 9n);
    await scene.deposited(5n);
    await subject.round();
    const said = async () => (await subject.said('Attest-Deposits')).map((l) => parseDepositLine(l).amount);
    expect(await said()).toEqual([5n]);
    await subject.restart({ assets: scene.assets });
    await subject.round();
    expect(await said()).toEqual([5n, 9n]);
    await subject.restart({ assets: scene.assets });
    await subject.round();
    expect(await said()).toEqual([5n, 9n]);
  });

  it('X10 I9 sources that do not agree: nothing is attested or signed, health says why, and it goes on when they agree', async () => {
    const { scene, subjects } = await funded();
    const sources = await Promise.all([1, 2, 3].map(() => scene.anotherSource()));
    const [liar, dead] = sources as [Door, Door];
    expect(subjects).not.toHaveLength(0);
    const chain = { rpcUrls: sources.map((s) => s.url), agreement: 2 };
    const subject = await scene.guardian(2, { chain });
    await subject.look();
    await scene.withdraw(5_000n);
    await scene.deposited(77n);
    const runner = new Runner(subject.guardian, CHAIN, 1000, new GuardianMetrics(), subject.log);
    liar.intercept = lying(({ method }, result) =>
      method === 'eth_getLogs' ? (result as { data: string }[]).map((l) => ({ ...l, data: `${l.data}00` })) : result,
    );
    dead.intercept = () => 'cut';
    expect(await runner.round()).toBe(false);
    expect(runner.health).toMatchObject({ watch: { ok: false, code: 'agreement-lost' } });
    expect(runner.isReady()).toBe(false);
    await subject.guardian.follow();
    await subject.guardian.attest();
    await subject.guardian.sign();
    expect(await subject.said('Attest-Deposits')).toEqual([]);
    expect(await subject.signed()).toEqual([]);

    // They agree on the blocks, and no more on what the vault says.
    liar.intercept = lying(({ method }, result) => (method === 'eth_call' ? `0x${'00'.repeat(32)}` : result));
    await expect(subject.guardian.watch()).rejects.toEqual(code('agreement-lost'));
    dead.intercept = null;
    await subject.guardian.watch();
    dead.intercept = () => 'cut';
    await expect(subject.guardian.sign()).rejects.toEqual(code('agreement-lost'));
    expect(await subject.signed()).toEqual([]);

    dead.intercept = null; // two honest ones and the liar
    expect(await runner.round()).toBe(true);
    expect(runner.isReady()).toBe(true);
    expect((await subject.said('Attest-Deposits')).join('\n').split('\n')).toHaveLength(2);
    expect(await subject.signed()).toEqual(['1@1']);
  });
});

describe('what a guardian follows', () => {
  it.each<[string, string, NonNullable<Door['intercept']>]>([
    ['is shortened', 'fork', altered(() => [])],
    [
      'has another history for a known slot',
      'fork',
      altered(async (items) => {
        const [head, message] = items as [Item, Item];
        const other = { nonce: 0, assignmentId: message.id, hashChain: message.id, timestamp: 1 };
        const process = tagOf(head, 'Process');
        return [(await assign(process, message.id, other, place(head), SCHEDULER)).item, message];
      }),
    ],
    ['is signed by another scheduler', 'wrong-scheduler', altered((items) => replaced(items, rogue))],
    ['has a broken hash chain', 'broken-chain', altered((items) => replaced(items, SCHEDULER, 'A'.repeat(43)))],
    [
      'is that of another process',
      'wrong-place',
      altered((items) => replaced(items, SCHEDULER, undefined, 'B'.repeat(42) + 'A')),
    ],
    ['skips a slot', 'wrong-place', altered((items) => [...items.slice(0, 2), ...items.slice(4)])],
    ['holds a message its owner did not sign', 'bad-signature', altered(unsigned)],
    ['has an assignment without a message', 'malformed', altered((items) => items.slice(0, 3))],
    ['is no bundle at all', 'malformed', () => ({ status: 200, body: 'x'.repeat(100) })],
    ['does not come', 'unreachable', () => 'cut'],
  ])('A12 stops and says and signs nothing when the schedule %s', async (_, expected, lie) => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await scene.withdraw(5_000n);
    await scene.withdraw(6_000n);
    await scene.deposited(77n);
    scene.gateway.intercept = lie;
    await subject.guardian.watch();
    await expect(subject.guardian.follow()).rejects.toEqual(code(expected));
    await subject.guardian.attest();
    await subject.guardian.sign();
    await subject.guardian.send();
    expect(await subject.said('Attest-Deposits')).toHaveLength(1);
    expect(await subject.said('Sign-Release')).toEqual([]);
    scene.gateway.intercept = null;
    await subject.round();
    expect(await subject.said('Attest-Deposits')).toHaveLength(2);
    expect(await subject.signed()).toEqual(['1@1', '2@1']);
  });

  it('I13 a process that cannot be followed, or sends what nobody understands, keeps no other back', async () => {
    const token = await world.stage.token();
    const scene = await world.scene({ tokens: [token], puppet: true });
    const nobodys = { ...scene.coin, process: 'Z'.repeat(42) + 'A' };
    const dollar = scene.assets[1]!;
    for (const bad of [nobodys, scene.coin]) {
      const subject = await scene.guardian(0, { assets: [bad, dollar] });
      if (bad === scene.coin) await scene.emit('deposit.minted is no such line');
      await scene.depositedToken(token, 9n);
      await scene.deposited(5n);
      const runner = new Runner(subject.guardian, CHAIN, 1000, new GuardianMetrics(), subject.log);
      for (let i = 0; i < 2; i += 1) {
        expect(await runner.round()).toBe(false);
        expect(runner.health).toMatchObject({
          watch: { ok: true },
          follow: { ok: false, code: bad === nobodys ? 'unreachable' : 'bad-line' },
          attest: { ok: true },
          sign: { ok: true },
          send: { ok: true },
        });
      }
      const lines = (await subject.said('Attest-Deposits')).flatMap((d) => d.split('\n')).map(parseDepositLine);
      expect(new Set(lines.map((l) => l.amount))).toEqual(new Set([9n]));
      expect(subject.guardian.viewOf(bad.process)).toBeNull();
      expect(await subject.guardian.outbox()).toBe(0); // it was sent, and seen in the schedule
    }
  });

  it('says nothing to a process that was spawned for another asset, chain or vault', async () => {
    const token = await world.stage.token();
    const wrong: Record<string, string>[] = [
      { 'Isthmus-Asset': `${CHAIN}/erc20:${token}` },
      { 'Isthmus-Chain': 'eip155:1' },
      { 'Isthmus-Vault': token },
    ];
    for (const spawn of wrong) {
      const scene = await world.scene({ spawn });
      const subject = await scene.guardian(0);
      await scene.deposited(5n);
      await subject.guardian.watch();
      await expect(subject.guardian.follow()).rejects.toEqual(code('wrong-process'));
      await subject.guardian.attest();
      expect(await subject.guardian.outbox()).toBe(0);
    }
  });

  it('A9 says nothing to a process on aos that its spawner may have kept', async () => {
    const aos = aosModules().find((m) => m.format.startsWith('wasm32'));
    if (!aos?.module) throw new Error('There is no 32-bit aos module in .cache/aos: run node scripts/aos-module.mjs.');
    const { format, module } = aos;
    const source = tokenSource().toString();
    for (const change of ['', '\nOwner = "me"']) {
      const scene = await world.scene({ aos: { format, module, source: source + change } });
      const subject = await scene.guardian(0);
      await scene.deposited(5n);
      await subject.guardian.watch();
      if (change === '') await subject.guardian.follow();
      else await expect(subject.guardian.follow()).rejects.toEqual(code('owned-process'));
      await subject.guardian.attest();
      expect(await subject.guardian.outbox()).toBe(change === '' ? 1 : 0);
    }
  });

  it('A9 says nothing to a process whose module it does not know, and knows the token’s own source', async () => {
    for (const puppet of [true, false]) {
      const scene = await world.scene({ puppet });
      const subject = await scene.guardian(0, { modules: [] });
      await scene.deposited(5n);
      await subject.guardian.watch();
      if (puppet) await expect(subject.guardian.follow()).rejects.toEqual(code('unknown-module'));
      else await subject.guardian.follow();
      await subject.guardian.attest();
      expect(await subject.guardian.outbox()).toBe(puppet ? 0 : 1);
    }
  });

  it('A16 a compute thread that dies is replaced, and what was accepted counts once', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await scene.withdraw(5_000n);
    await subject.workers.stop();
    await expect(subject.guardian.follow()).rejects.toThrow(/not open/);
    expect(subject.guardian.viewOf(scene.process)).toBeNull();
    await subject.round();
    expect(subject.view).toMatchObject({ minted: UNIT, burned: 5_000n });
    expect([...subject.view.open.keys()]).toEqual([1n]);
    expect(await subject.signed()).toEqual(['1@1']);
  });
});

describe('what a guardian signs', () => {
  it('goes there and back: M mint once, M sign, the vault pays, M settle, and nothing is left to do', async () => {
    const { scene, subjects } = await funded([0, 1, 2]);
    await scene.withdraw(5_000n);
    for (const s of subjects) await s.round();
    for (const s of subjects) await s.look();
    const statement = world.stage.statement({ process: scene.process, recipient: PAYEE, amount: 5_000n, maxFee: 10n });
    const { signatures } = first(subjects).view.open.get(1n)!;
    expect([...signatures.keys()]).toEqual([0, 1, 2].map(guardianAddress));
    const set = first(subjects).view.set.guardians;
    for (const [guardian, signature] of signatures)
      expect(await verifyReleaseSignature(world.stage.domain, statement, signature, set)).toBe(guardian);
    const { epoch: _, ...release } = { ...statement, process: toHex(Buffer.from(scene.process, 'base64url')) };
    const paid = joinSignatures([...signatures.values()].slice(1));
    await world.stage.call('Vault', scene.vault, 'release', [release, 7n, paid]);
    await scene.finalize();
    for (const s of subjects) await s.round();
    for (const s of subjects) {
      await s.look();
      expect(s.view).toMatchObject({ minted: UNIT, burned: 5_000n, released: 5_000n, highestSequence: 1n });
      expect(s.view.open.size).toBe(0);
      expect(await s.guardian.outbox()).toBe(0);
      expect([await s.said('Attest-Deposits'), await s.said('Sign-Release'), await s.said('Attest-Release')]).toEqual([
        [expect.any(String)],
        [expect.any(String)],
        [expect.stringMatching(/^1 0x[0-9a-f]{64} 7 paid$/)],
      ]);
    }
  });

  it('I4 a guardian that lies about amount or recipient changes nothing and is visible', async () => {
    const scene = await world.scene();
    const honest = await Promise.all([0, 1].map((g) => scene.guardian(g)));
    const txHash = await scene.deposited(UNIT);
    const lie = { txHash, amount: UNIT * 2n, recipient: PAYEE };
    await scene.say(2, 'Attest-Deposits', encodeDepositLine(observation(scene, 1n, lie)));
    for (const s of honest) await s.round();
    await scene.withdraw(5_000n);
    await scene.say(2, 'Sign-Release', `1 1 0x02${'cd'.repeat(64)}`);
    for (const s of honest) await s.round();
    for (const s of honest) await s.look();
    const events = await world.events(scene.process);
    const mints = events.filter((e) => e.type === 'deposit.minted');
    expect(mints).toMatchObject([{ recipient: ALICE, amount: UNIT }]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'deposit.conflict', id: observation(scene, 1n).id }));
    const [, g1, g2] = [0, 1, 2].map(guardianAddress);
    const { signatures } = first(honest).view.open.get(1n)!;
    const statement = world.stage.statement({ process: scene.process, recipient: PAYEE, amount: 5_000n, maxFee: 10n });
    const by = (signature: Hex) =>
      verifyReleaseSignature(world.stage.domain, statement, signature, first(honest).view.set.guardians);
    expect(await by(signatures.get(g1!)!)).toBe(g1);
    expect(await by(signatures.get(g2!)!)).toBeNull();
    for (const s of honest) expect(await s.signed()).toEqual(['1@1']);
  });

  it('I4 A1 a messenger that speaks for a wallet moves tokens on AO and gets nothing released', async () => {
    const token = await world.stage.token();
    const { scene, subjects } = await funded([0, 1], { tokens: [token] });
    const subject = first(subjects);
    const process = scene.assets[1]?.process as string;
    const wallet = 'W'.repeat(42) + 'A';
    for (const holder of [process, wallet])
      await world.message(ALICE_KEY, scene.process, { Action: 'Transfer', Quantity: '50000', Recipient: holder });
    const out = { Action: 'Withdraw', Quantity: '5000', Recipient: PAYEE, 'Max-Fee': '10' };
    await scene.push(process, out); // a real process is spoken for as on all of AO
    await subject.round();
    expect(await subject.signed()).toEqual(['1@1']);
    await scene.push(wallet, out);
    const withheld = async () => {
      await subject.guardian.watch();
      await subject.guardian.follow();
      const refused = await subject.guardian.sign();
      return [...refused.values()];
    };
    expect(await withheld()).toEqual(['unverified-sender']);
    expect(await withheld()).toEqual(['unverified-sender']);
    expect(await subject.signed()).toEqual(['1@1']);
    await subject.restart();
    expect(await withheld()).toEqual(['unverified-sender']);
    await subject.restart({ ...subject.config, knownSenders: [wallet] });
    expect(await withheld()).toEqual([]);
    expect(await subject.signed()).toEqual(['1@1', '2@1']);
  });

  it('I4 A1 a sender whose signed item is no spawn is forged, and nothing more is said for the asset', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    const { id: sender } = await world.message(ALICE_KEY, scene.process, { Action: 'Info' });
    await world.message(ALICE_KEY, scene.process, { Action: 'Transfer', Quantity: '50000', Recipient: sender });
    await scene.push(sender, { Action: 'Withdraw', Quantity: '5000', Recipient: PAYEE, 'Max-Fee': '10' });
    await subject.guardian.watch();
    await expect(subject.guardian.follow()).rejects.toEqual(code('forged-sender'));
    await subject.guardian.sign();
    expect(await subject.signed()).toEqual([]);
  });

  it('A9 a sender nobody shows holds up payouts only, and only until it is shown', async () => {
    const token = await world.stage.token();
    const { scene, subjects } = await funded([0, 1], { tokens: [token] });
    const subject = first(subjects);
    const process = scene.assets[1]?.process as string;
    await world.message(ALICE_KEY, scene.process, { Action: 'Transfer', Quantity: '50000', Recipient: process });
    await scene.push(process, { Action: 'Withdraw', Quantity: '5000', Recipient: PAYEE, 'Max-Fee': '10' });
    const assets = [scene.coin];
    await subject.restart({ assets });
    // Its schedule is gone, and in its place stands what this guardian cannot verify.
    const other = await createItem({ tags: [{ name: 'Type', value: 'Module' }], data: 'x' }, rogue);
    scene.gateway.intercept = async ({ path }, forward) => {
      if (path.startsWith(`/su/${process}`)) return { status: 200, body: encodeBundle([]) };
      return path.startsWith(`/raw/${process}`) ? { status: 200, body: spoilt(other).raw } : forward();
    };
    await scene.deposited(77n);
    await subject.guardian.watch();
    await subject.guardian.follow();
    await subject.guardian.attest();
    expect([...(await subject.guardian.sign()).values()]).toEqual(['unverified-sender']);
    expect(await subject.said('Attest-Deposits')).toHaveLength(2);
    scene.gateway.intercept = null;
    await subject.round();
    expect(await subject.signed()).toEqual(['1@1']);
  });

  it('I4 a slow or stopped guardian changes nothing while M are honest, and catches up', async () => {
    const { scene, subjects } = await funded([0, 1]);
    await scene.withdraw(5_000n);
    for (const s of subjects) await s.round();
    const before = (await world.events(scene.process)).filter((e) => /minted|queued|signed/.test(e.type));
    expect(before.map((e) => e.type)).toEqual([
      'deposit.minted',
      'withdrawal.queued',
      'withdrawal.signed',
      'withdrawal.signed',
    ]);
    const slow = await scene.guardian(2);
    await slow.round();
    await slow.look();
    const after = await world.events(scene.process);
    expect(after.filter((e) => e.type === 'deposit.minted')).toHaveLength(1);
    expect(after.filter((e) => e.type === 'withdrawal.signed')).toHaveLength(3);
    expect(after.map((e) => e.type)).not.toContain('deposit.conflict');
    expect(slow.view).toEqual(expect.objectContaining({ minted: UNIT, burned: 5_000n }));
  });

  it('I2 refuses, in the ledger, a second signature of the same withdrawal and epoch over another content', async () => {
    const { scene, subjects } = await funded();
    const { ledger } = first(subjects);
    const item = (data: string) =>
      createItem({ target: scene.process, tags: [], data }, ethereumSigner(guardianKey(0)));
    const before = await first(subjects).guardian.outbox();
    await ledger.keepSigned(scene.process, [signedRow('a')], await item('first'));
    const other = signedRow('c', 1n, 9n);
    const second = ledger.keepSigned(scene.process, [other, signedRow('b')], await item('second'));
    await expect(second).rejects.toThrow(DoubleSignRefused);
    expect(await first(subjects).signed()).toEqual(['8@1']); // nor anything that came with it
    expect(await first(subjects).guardian.outbox()).toBe(before + 1);
    await ledger.keepSigned(scene.process, [signedRow('a')], await item('again'));
    await ledger.keepSigned(scene.process, [signedRow('b', 2n)], await item('next epoch'));
    expect(await first(subjects).signed()).toEqual(['8@1', '8@2']);
  });

  it('I2 a withdrawal that comes with another content is not signed again, before or after a restart; others are', async () => {
    const scene = await world.scene({ puppet: true });
    const subject = await scene.guardian(0);
    await scene.deposited(UNIT);
    await scene.emit(minted(scene, 1n), queued(scene, 1n));
    await subject.round();
    expect(await subject.signed()).toEqual(['1@1']);
    const said = await subject.said('Sign-Release');
    await scene.emit(queued(scene, 1n, { recipient: ALICE }));
    await subject.look();
    await expect(subject.guardian.sign()).rejects.toThrow(DoubleSignRefused);
    await subject.restart();
    await subject.look();
    await expect(subject.guardian.sign()).rejects.toThrow(DoubleSignRefused);
    expect(await subject.said('Sign-Release')).toEqual(said);
    await scene.emit(queued(scene, 2n));
    await subject.look();
    await expect(subject.guardian.sign()).rejects.toThrow(DoubleSignRefused);
    expect(await subject.signed()).toEqual(['1@1', '2@1']);
    const [, later] = await subject.said('Sign-Release');
    expect(later?.split('\n').map((l) => parseSignLine(l).number)).toEqual([2n]);
  });

  it('signs nothing the vault could not or should not pay, and what is sound behind it is signed', async () => {
    const scene = await world.scene({ puppet: true });
    const subject = await scene.guardian(0, { batch: 2 });
    await scene.deposited(UNIT);
    const flawed = [
      { recipient: zeroAddress },
      { recipient: PAYEE.toLowerCase() },
      { recipient: scene.vault },
      { recipient: 'nobody' },
      { amount: 0n, maxFee: 0n },
      { amount: 5n, maxFee: 5n },
      { amount: 5n, maxFee: 6n },
    ];
    const lines = flawed.map((f, i) => queued(scene, BigInt(i + 1), f));
    await scene.emit(minted(scene, 1n, UNIT / 2n), ...lines, ...[8n, 9n, 10n].map((n) => queued(scene, n)));
    await subject.look();
    const refused = await subject.guardian.sign();
    expect([...refused.values()]).toEqual(flawed.map(() => 'bad-withdrawal'));
    expect(await subject.signed()).toEqual(['8@1', '9@1']);
    await subject.guardian.sign();
    expect(await subject.signed()).toEqual(['8@1', '9@1', '10@1']);
    await subject.guardian.sign();
    expect(await subject.said('Sign-Release')).toHaveLength(2);
  });

  it('does not sign what its own watcher has seen released', async () => {
    const { scene, subjects } = await funded([0, 1, 2]);
    const [late, ...quorum] = subjects as [Subject, Subject, Subject];
    await scene.withdraw(5_000n);
    for (const s of quorum) await s.round();
    await quorum[0].look();
    const { signatures } = quorum[0].view.open.get(1n)!;
    const release = {
      process: toHex(Buffer.from(scene.process, 'base64url')),
      number: 1n,
      asset: COIN,
      recipient: PAYEE,
      amount: 5_000n,
      maxFee: 10n,
    };
    await world.stage.call('Vault', scene.vault, 'release', [release, 0n, joinSignatures([...signatures.values()])]);
    await scene.finalize();
    await scene.withdraw(6_000n);
    await late.look();
    const refused = await late.guardian.sign();
    expect([...refused]).toEqual([[withdrawalId(scene.process, 1n), 'already-released']]);
    expect(await late.signed()).toEqual(['2@1']);
  });

  it('waits while AO counts a deposit it has not seen itself', async () => {
    const { scene, subjects } = await funded([0, 1, 2]);
    const [behind, ...others] = subjects as [Subject, Subject, Subject];
    await scene.withdraw(5_000n);
    await scene.deposited(UNIT);
    for (const s of others) await s.round();
    await behind.guardian.follow();
    expect(behind.view.highestSequence).toBe(2n);
    expect([...(await behind.guardian.sign()).values()]).toEqual(['behind']);
    expect(await behind.signed()).toEqual([]);
    await behind.round();
    expect(await behind.signed()).toEqual(['1@1']);
  });

  it('I4 waits for good when M have minted a deposit the vault never had', async () => {
    const { scene, subjects } = await funded([0]);
    const forged = encodeDepositLine(observation(scene, 9n));
    for (const liar of [1, 2]) await scene.say(liar, 'Attest-Deposits', forged);
    await scene.withdraw(5_000n);
    await first(subjects).look();
    expect([...(await first(subjects).guardian.sign()).values()]).toEqual(['behind']);
    expect(await first(subjects).signed()).toEqual([]);
  });
});

describe('books, pauses and rotations', () => {
  /** Finds the books short, and wants what follows from it. */
  async function breach(subject: Subject): Promise<void> {
    await expect(subject.guardian.sign()).rejects.toEqual(code('conservation'));
    await subject.guardian.decide();
  }

  it('I3 one unit short: nothing is signed, a pause is asked once, and again when the pause was lifted too early', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await scene.withdraw(5_000n);
    await setLocked(scene, UNIT - 1n);
    for (let i = 0; i < 3; i += 1) {
      await subject.look();
      await breach(subject);
    }
    expect(await subject.signed()).toEqual([]);
    expect(await subject.said('Attest-Decision')).toHaveLength(1);
    await subject.restart();
    await subject.look();
    await breach(subject);
    expect(await subject.said('Attest-Decision')).toHaveLength(1);

    await subject.guardian.send();
    await subject.look();
    expect(subject.view.paused).toBe(true);
    await breach(subject);
    await scene.decide(2, 'unpause');
    await subject.look();
    expect(subject.view).toMatchObject({ paused: false, decisions: 2n });
    await breach(subject);
    expect(await subject.said('Attest-Decision')).toHaveLength(2);
    await subject.guardian.send();
    await subject.look();
    expect(subject.view).toMatchObject({ paused: true, decisions: 3n });

    await setLocked(scene, UNIT);
    await scene.decide(4, 'unpause');
    await subject.round();
    expect(await subject.signed()).toEqual(['1@1']);
    expect(await subject.said('Attest-Decision')).toHaveLength(2);
  });

  it('I3 the signature it gives for the pause is one the vault takes', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await setLocked(scene, 0n);
    await subject.look();
    await breach(subject); // with no withdrawal waiting
    expect(await subject.said('Attest-Decision')).toEqual(['pause']);
    expect(await subject.said('Sign-Decision')).toEqual([]); // nothing is signed that is not decided
    await subject.guardian.send();
    await subject.look();
    await breach(subject);
    await world.stage.call('Vault', scene.vault, 'pause', [(await subject.said('Sign-Decision'))[0]]);
    expect(await world.stage.read<boolean>('paused')).toBe(true);
  });

  it('I3 asks again when another decision took the number of its pause', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await setLocked(scene, UNIT - 1n);
    await subject.look();
    await breach(subject);
    await scene.decide(1, 'list open 900000 60000 1');
    await subject.guardian.send(); // too late: the process refuses it
    await subject.look();
    expect(subject.view).toMatchObject({ paused: false, decisions: 1n });
    await breach(subject);
    await subject.guardian.send();
    await subject.look();
    expect(subject.view).toMatchObject({ paused: true, decisions: 2n });
  });

  it('I3 signs the pause anew when the vault’s count moved on before the vault was paused', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await setLocked(scene, UNIT - 1n);
    const ask = async () => {
      await subject.look();
      await breach(subject);
      await subject.guardian.send();
    };
    await ask();
    await ask();
    await world.stage.list(COIN); // the vault's next decision: a signature for it is worthless now
    await scene.finalize();
    await ask();
    expect(subject.view).toMatchObject({ paused: true, decisions: 1n });
    const [stale, good, ...more] = await subject.said('Sign-Decision');
    expect(more).toEqual([]);
    await expect(world.stage.call('Vault', scene.vault, 'pause', [stale])).rejects.toThrow(/BadSignature/);
    await world.stage.call('Vault', scene.vault, 'pause', [good]);
    const kept = (await world.events(scene.process)).filter((e) => e.type === 'decision.signed');
    expect(kept).toMatchObject([{ signature: stale }, { signature: good }]);
    await scene.finalize();
    await ask();
    expect(await subject.said('Sign-Decision')).toHaveLength(2);
    expect(await subject.said('Attest-Decision')).toHaveLength(1);
  });

  it.each([
    ['supply beyond what is locked', UNIT + 1n, 5_000n],
    ['withdrawals beyond what is locked, above 2^128', 2n ** 129n, 2n ** 129n],
  ])('I3 E15 a process with %s is a breach', async (_, supply, amount) => {
    const scene = await world.scene({ puppet: true });
    const subject = await scene.guardian(0);
    await scene.deposited(UNIT);
    await scene.emit(minted(scene, 1n, supply), queued(scene, 1n, { amount }));
    await subject.look();
    await expect(subject.guardian.sign()).rejects.toEqual(code('conservation'));
    expect(await subject.signed()).toEqual([]);
  });

  it('I3 E11 a token that takes some of the vault’s balance away is a breach of its own asset only', async () => {
    const token = await world.stage.deploy('RebaseToken');
    const scene = await world.scene({ tokens: [token] });
    const subjects = await Promise.all([0, 1].map((g) => scene.guardian(g)));
    const { account } = world.stage;
    await world.stage.call('RebaseToken', token, 'mint', [account.address, 1000n]);
    await scene.depositedToken(token, 1000n);
    await scene.deposited(UNIT);
    for (const s of subjects) await s.round();
    await scene.withdraw(5_000n);
    await scene.withdraw(1_000n, 10n, scene.assets[1]!.process);
    const [one, two] = subjects as [Subject, Subject];
    await world.stage.call('RebaseToken', token, 'rebase', [150n]);
    await scene.finalize();
    await two.round();
    expect(await two.signed(scene.assets[1]!.process)).toEqual(['1@1']);
    await world.stage.call('RebaseToken', token, 'rebase', [99n]);
    await scene.finalize();
    await one.look();
    await breach(one);
    expect(await one.signed(scene.assets[1]!.process)).toEqual([]);
    expect(await one.signed()).toEqual(['1@1']);
    expect(await one.said('Attest-Decision')).toHaveLength(1);
  });

  it('X11 signs nothing while vault or process is paused, and what was in flight after it', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    const reasons = async () => {
      await subject.look();
      return [...(await subject.guardian.sign()).values()];
    };
    await scene.withdraw(5_000n);
    await world.stage.pause();
    await scene.finalize();
    expect(await reasons()).toEqual(['paused']);
    await scene.decide(1, 'pause');
    await world.stage.unpause();
    await scene.finalize();
    expect(await reasons()).toEqual(['paused']);
    expect(await subject.signed()).toEqual([]);
    await scene.decide(2, 'unpause');
    expect(await reasons()).toEqual([]);
    expect(await subject.signed()).toEqual(['1@1']);
  });

  it('X2 I14 after a rotation it signs anew for the new epoch when it is in the set, and not at all when it is not', async () => {
    const { scene, subjects } = await funded([0, 1, 2]);
    const [stays, , leaves] = subjects as [Subject, Subject, Subject];
    const joins = await scene.guardian(3);
    await joins.round();
    expect(await joins.guardian.outbox()).toBe(0); // not its turn to speak
    await scene.withdraw(5_000n);
    await stays.round();
    const old = await stays.said('Sign-Release');
    const next = [guardianAddress(3), guardianAddress(0), guardianAddress(1)];
    await scene.deposited(77n);
    await scene.decide(1, `rotate 2 2 1 ${next.join(',')}`);
    for (const s of [stays, leaves]) await s.look();
    expect([...(await stays.guardian.sign()).values()]).toEqual(['rotation']); // the vault has not rotated yet
    expect([...(await leaves.guardian.sign()).values()]).toEqual(['not-in-set']);
    await world.stage.rotate(next, 2, 1);
    await scene.finalize();
    for (const s of [stays, leaves, joins]) {
      await s.look();
      await s.guardian.attest();
      await s.guardian.sign();
      await s.guardian.send();
    }
    expect(await stays.signed()).toEqual(['1@1', '1@2']);
    expect(await leaves.signed()).toEqual([]);
    expect(await leaves.said('Attest-Deposits')).toHaveLength(1); // of before
    expect(await joins.signed()).toEqual(['1@2']);
    const [before, after] = [old[0]!, (await stays.said('Sign-Release'))[1]!].map(parseSignLine);
    expect(before!.signature.slice(0, 4)).toBe('0x00');
    expect(after!.signature.slice(0, 4)).toBe('0x01');
    await stays.look();
    expect([...stays.view.open.get(1n)!.signatures.keys()]).toEqual([guardianAddress(0), guardianAddress(3)]);
    // The one that joined has a voice in what was open when it came.
    expect(stays.view.minted).toBe(UNIT + 77n);
  });
});

describe('I14 decisions', () => {
  const open = async (subject: Subject) => (await subject.motions.list(subject.scene.process)).map((m) => m.line);
  /** The newest signatures for the vault of these guardians, joined. */
  const signatures = async (...subjects: readonly Subject[]): Promise<Hex> => {
    const all = await Promise.all(subjects.map(async (s) => (await s.said('Sign-Decision')).at(-1)));
    return `0x${all.map((s) => s?.slice(2)).join('')}`;
  };
  async function rounds(subjects: readonly Subject[], count = 2): Promise<void> {
    for (let i = 0; i < count; i += 1) for (const s of subjects) await s.round();
  }
  async function want(subjects: readonly Subject[], line: string): Promise<void> {
    for (const s of subjects) await s.motions.open(s.scene.process, line, 'operator');
  }

  it('what operators want is voted for once, signed once it is decided, by those who did not vote too', async () => {
    const { scene, subjects } = await funded([0, 1]);
    const [one, two] = subjects as [Subject, Subject];
    await want([one], 'pause');
    await rounds(subjects);
    await one.restart();
    await rounds(subjects);
    expect(one.view).toMatchObject({ paused: true, decisions: 1n });
    expect(await one.said('Attest-Decision')).toEqual(['pause']);
    expect([await one.said('Sign-Decision'), await two.said('Sign-Decision')].map((s) => s.length)).toEqual([1, 1]);
    expect(await open(one)).toEqual(['pause']); // the vault is not paused yet
    await world.stage.call('Vault', scene.vault, 'pause', [await signatures(two)]);
    await scene.finalize();
    await rounds(subjects);
    expect(await open(one)).toEqual([]);

    await want([one], 'unpause');
    await rounds(subjects);
    expect(one.view.paused).toBe(true); // one of two
    await want([two], 'unpause');
    await rounds(subjects);
    expect(one.view).toMatchObject({ paused: false, decisions: 2n });
    await world.stage.call('Vault', scene.vault, 'unpause', [await signatures(one, two)]);
    await scene.finalize();
    await rounds(subjects);
    expect([await open(one), await open(two)]).toEqual([[], []]);
    expect(await one.said('Attest-Decision')).toHaveLength(2);
    expect(await one.said('Sign-Decision')).toHaveLength(2);
  });

  it('nothing is signed for the vault that was wanted and not decided', async () => {
    const { subjects } = await funded([0, 1]);
    const [one, two] = subjects as [Subject, Subject];
    const [gone, taken] = [
      [0, 1, 2],
      [0, 1],
    ].map((set) => `rotate 2 2 1 ${set.map((g) => guardianAddress(g)).join(',')}`) as [string, string];
    await want([one], gone);
    await rounds([one]);
    expect(await one.said('Sign-Decision')).toEqual([]);
    await want(subjects, taken);
    await rounds(subjects);
    expect(one.view.set.guardians).toHaveLength(2);
    expect([await one.said('Sign-Decision'), await two.said('Sign-Decision')].map((s) => s.length)).toEqual([1, 1]);
    expect(await open(one)).toEqual([taken]);
  });

  it('one that votes and withholds its signature does not keep a rotation from the vault', async () => {
    const { scene, subjects } = await funded([0, 2]);
    const [one, silent] = subjects as [Subject, Subject];
    const next = [guardianAddress(2), guardianAddress(0), guardianAddress(1)];
    const line = `rotate 2 2 1 ${next.join(',')}`;
    await scene.say(1, 'Attest-Decision', line, { 'Decision-Nonce': '1' }); // and no signature, ever
    await want([one], line);
    await rounds(subjects, 3);
    expect(await silent.said('Attest-Decision')).toEqual([]);
    await world.stage.call('Vault', scene.vault, 'rotate', [next, 2, 1, await signatures(one, silent)]);
    await scene.finalize();
    await rounds(subjects);
    expect(await world.stage.read('epoch')).toBe(2n);
    await scene.withdraw(5_000n);
    await rounds(subjects);
    expect(await one.signed()).toEqual(['1@2']);
  });

  it('a vault whose set is another than the one decided is said to be', async () => {
    const { scene, subjects } = await funded([0, 1]);
    const next = [guardianAddress(0), guardianAddress(1)];
    await want(subjects, `rotate 2 2 1 ${next.join(',')}`);
    await rounds(subjects);
    await world.stage.rotate([guardianAddress(1), guardianAddress(2)], 2, 1);
    await scene.finalize();
    await first(subjects).look();
    await expect(first(subjects).guardian.decide()).rejects.toEqual(code('vault-diverged'));
  });

  it('two processes that decide different rotations to one epoch get one signature', async () => {
    const token = await world.stage.token();
    const scene = await world.scene({ tokens: [token] });
    const subject = await scene.guardian(0);
    const sets = [
      [0, 1],
      [0, 1, 2],
    ].map((set) => set.map((g) => guardianAddress(g)));
    for (const [i, { process }] of scene.assets.entries())
      for (const guardian of [1, 2])
        await scene.say(
          guardian,
          'Attest-Decision',
          `rotate 2 2 1 ${sets[i]?.join(',')}`,
          { 'Decision-Nonce': '1' },
          process,
        );
    await subject.look();
    await expect(subject.guardian.decide()).rejects.toEqual(code('double-sign'));
    const said = await Promise.all(scene.assets.map((a) => subject.said('Sign-Decision', a.process)));
    expect(said.map((s) => s.length)).toEqual([1, 0]);
  });

  it('the vault is let go on only when none of its assets is paused', async () => {
    const token = await world.stage.token();
    const scene = await world.scene({ tokens: [token] });
    const subject = await scene.guardian(0);
    const say = async (guardians: readonly number[], nonce: number, line: string, at: number) => {
      for (const g of guardians)
        await scene.say(g, 'Attest-Decision', line, { 'Decision-Nonce': String(nonce) }, scene.assets[at]?.process);
    };
    for (const at of [0, 1]) await say([1], 1, 'pause', at);
    await subject.round();
    await world.stage.pause();
    await scene.finalize();
    await say([1, 2], 2, 'unpause', 0);
    await subject.round();
    const signed = async () => (await subject.said('Sign-Decision', scene.assets[0]?.process)).length;
    expect(await signed()).toBe(1); // the pause of before
    await say([1, 2], 2, 'unpause', 1);
    await subject.round();
    expect(await signed()).toBe(2);
  });

  it('a vault that is paused while its process is not can be unpaused by a decision as well', async () => {
    const { scene, subjects } = await funded([0, 1]);
    await world.stage.pause();
    await scene.finalize();
    await want(subjects, 'unpause');
    await rounds(subjects);
    await world.stage.call('Vault', scene.vault, 'unpause', [await signatures(...subjects)]);
    await scene.finalize();
    await rounds(subjects);
    expect(await open(first(subjects))).toEqual([]);
  });

  it('a listing reaches the vault; who is no longer in the set is silent', async () => {
    const { scene, subjects } = await funded([0, 1]);
    await want(subjects, 'list open 900000000000000000 60000 5');
    await rounds(subjects);
    const terms = [true, 900_000_000_000_000_000n, 60, 5n] as const;
    await world.stage.call('Vault', scene.vault, 'list', [COIN, ...terms, await signatures(...subjects)]);
    await scene.finalize();
    await rounds(subjects);
    expect(await open(first(subjects))).toEqual([]);

    const next = [guardianAddress(1), guardianAddress(2)];
    await want(subjects, `rotate 2 2 1 ${next.join(',')}`);
    await rounds(subjects);
    await world.stage.call('Vault', scene.vault, 'rotate', [next, 2, 1, await signatures(...subjects)]);
    await scene.finalize();
    await want([first(subjects)], 'pause');
    await want([first(subjects)], `rotate 7 2 1 ${next.join(',')}`);
    await rounds(subjects);
    expect(await first(subjects).said('Attest-Decision')).toHaveLength(2);
  });

  it('a rotation that cannot be decided now is given up', async () => {
    const { subjects } = await funded([0, 1]);
    await want(subjects, `rotate 7 2 1 ${[0, 1].map((g) => guardianAddress(g)).join(',')}`);
    await rounds(subjects);
    expect(await open(first(subjects))).toEqual([]);
    expect(await first(subjects).said('Attest-Decision')).toEqual([]);
  });

  it('one wish about a subject takes the place of another, and what is no decision is refused', async () => {
    const { scene, subjects } = await funded([0]);
    const { motions } = first(subjects);
    expect(await motions.open(scene.process, 'pause', 'operator')).toBe(true);
    expect(await motions.open(scene.process, 'pause', 'books')).toBe(false);
    await motions.open(scene.process, 'list open 5 1000 1', 'operator');
    await motions.open(scene.process, 'unpause', 'operator');
    expect(await open(first(subjects))).toEqual(['list open 5 1000 1', 'unpause']);
    expect(await motions.withdraw(scene.process, 'unpause')).toBe(true);
    expect(await motions.withdraw(scene.process, 'unpause')).toBe(false);
    for (const line of ['stop', 'list open 5 1500 1', 'rotate 2 9 1 0x12'])
      await expect(motions.open(scene.process, line, 'operator')).rejects.toEqual(code('bad-line'));
  });

  it('books that are whole again want no pause any more; the operator’s wish stays', async () => {
    const { scene, subjects } = await funded();
    const subject = first(subjects);
    await setLocked(scene, UNIT - 1n);
    await subject.look();
    await expect(subject.guardian.sign()).rejects.toEqual(code('conservation'));
    expect(await open(subject)).toEqual(['pause']);
    await setLocked(scene, UNIT);
    await subject.motions.open(scene.process, 'list open 5 1000 1', 'operator');
    await subject.restart();
    await subject.look();
    await subject.guardian.sign();
    expect(await open(subject)).toEqual(['list open 5 1000 1']);
  });
});

describe('restarts and sending', () => {
  it('I12 X4 goes on from its database after any step, and says and signs nothing twice', async () => {
    const scene = await world.scene();
    const [subject, other] = await Promise.all([scene.guardian(0), scene.guardian(1)]);
    const steps = ['watch', 'follow', 'attest', 'sign', 'decide', 'send'] as const;
    const everyStep = async () => {
      for (let until = 1; until <= steps.length; until += 1) {
        await subject.restart();
        for (const step of steps.slice(0, until)) await subject.guardian[step]();
      }
    };
    await scene.deposited(UNIT);
    await everyStep();
    await other.round();
    await scene.withdraw(5_000n);
    await everyStep();
    await everyStep();
    await subject.look();
    expect(await subject.guardian.outbox()).toBe(0);
    expect(await subject.said('Attest-Deposits')).toHaveLength(1);
    expect(await subject.said('Sign-Release')).toHaveLength(1);
    expect(await subject.signed()).toEqual(['1@1']);
    const own = (await world.events(scene.process)).filter((e) => 'guardian' in e && e.guardian === guardianAddress(0));
    expect(own.map((e) => e.type)).toEqual(['deposit.attested', 'withdrawal.signed']);
  });

  it('a message the gateway will not take keeps no other back, and is tried again later', async () => {
    const token = await world.stage.token();
    const scene = await world.scene({ tokens: [token] });
    const subject = await scene.guardian(0);
    await scene.depositedToken(token, 9n);
    await scene.deposited(5n);
    const coin = Buffer.from(scene.process, 'base64url');
    scene.gateway.intercept = ({ method, body }, forward) =>
      method === 'POST' && body.includes(coin) ? { status: 400, body: 'no'.repeat(10_000) } : forward();
    await subject.look();
    await subject.guardian.attest();
    const refused = await subject.guardian.send().catch((error: unknown) => error);
    expect(refused).toEqual(code('message-refused'));
    expect((refused as Error).message.length).toBeLessThan(700);
    await subject.look();
    expect(await subject.guardian.outbox()).toBe(1);
    scene.gateway.intercept = null;
    expect(await subject.guardian.send()).toBe(0); // not at once
    await subject.database.query(`update outbox set sent_at = sent_at - interval '1 minute'`);
    expect(await subject.guardian.send()).toBe(1);
    await subject.look();
    expect(await subject.guardian.outbox()).toBe(0);
  });

  it('says no more than the process has room for, and the rest when a quorum has agreed on the first', async () => {
    const many = Array.from({ length: 64 }, (_, i) => guardianAddress(i));
    const scene = await world.scene({ spawn: { 'Isthmus-Guardians': many.join(',') } });
    const subject = await scene.guardian(0);
    await subject.look();
    const seen = Array.from({ length: 700 }, (_, i) => observation(scene, BigInt(i + 1)));
    await subject.database.query(
      'insert into observed_deposit (id, process, sequence, line) select id, $1, sequence, line from unnest($2::text[], $3::bigint[], $4::text[]) as d(id, sequence, line)',
      [scene.process, seen.map((o) => o.id), seen.map((_, i) => i + 1), seen.map(encodeDepositLine)],
    );
    const said = async () => (await subject.said('Attest-Deposits')).flatMap((d) => d.split('\n'));
    // As often as it likes: neither what is on its way nor what is open there grows beyond its share.
    const sayAll = async () => {
      for (let i = 0; i < 6; i += 1) {
        await subject.guardian.attest();
        await subject.guardian.send();
        await subject.guardian.follow();
      }
      return (await said()).length;
    };
    const most = await sayAll();
    const share = 1.5 * 1024 * 1024;
    expect(most * (seen.map(encodeDepositLine)[0]!.length + 1024)).toBeLessThan(share);
    expect(most).toBeGreaterThan(300);
    const lines = await said();
    for (let at = 0; at < lines.length; at += 250)
      await scene.say(1, 'Attest-Deposits', lines.slice(at, at + 250).join('\n'));
    await subject.guardian.follow();
    expect(subject.view.minted).toBe(BigInt(most) * UNIT);
    expect(await sayAll()).toBe(700);
    expect((await world.events(scene.process)).map((e) => e.type)).not.toContain('guardian.bad-line');
  });

  it('a gateway that never answers, or takes messages and loses them, loses nothing for good', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    await scene.deposited(5n);
    const posted: Buffer[] = [];
    scene.gateway.intercept = ({ method, body }, forward) => {
      if (method !== 'POST') return forward();
      posted.push(body);
      return posted.length === 1 ? 'cut' : { status: 202, body: '{}' };
    };
    await subject.look();
    await subject.guardian.attest();
    await expect(subject.guardian.send()).rejects.toEqual(code('unreachable'));
    expect(await subject.guardian.send()).toBe(1);
    expect(await subject.guardian.send()).toBe(0);
    await subject.look();
    expect(await subject.guardian.outbox()).toBe(1);
    await subject.database.query(`update outbox set sent_at = sent_at - interval '1 minute'`);
    scene.gateway.intercept = null;
    expect(await subject.guardian.send()).toBe(1);
    await subject.look();
    expect(await subject.guardian.outbox()).toBe(0);
    expect(posted[0]).toEqual(posted[1]); // the same message, however often
  });

  it('what was seen of its own in the schedule is not forgotten when the database fails in between', async () => {
    const scene = await world.scene();
    const subject = await scene.guardian(0);
    await scene.deposited(5n);
    await subject.round();
    await subject.database.query('alter table outbox rename to away');
    await expect(subject.guardian.follow()).rejects.toThrow(/outbox/);
    await subject.database.query('alter table away rename to outbox');
    await subject.guardian.follow();
    expect(await subject.guardian.outbox()).toBe(0);
    expect(subject.view.minted).toBe(0n);
  });
});
