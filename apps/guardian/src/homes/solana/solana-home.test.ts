/** Guardians of vaults on Solana, between the real runtime and a real schedule. */
import { depositId, encodeProposalLine, type OpenProposal } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import {
  createCloseAccountInstruction,
  createFreezeAccountInstruction,
  createMintToInstruction,
  createSyncNativeInstruction,
  createThawAccountInstruction,
  createTransferInstruction,
  NATIVE_MINT,
} from '@solana/spl-token';
import { Keypair, PublicKey, SystemProgram } from '@solana/web3.js';
import { ALICE } from '../../../harness.js';
import { addressOf, FEE, SolanaHomeWorld, SOME, type SolanaScene } from '../../../solana-harness.js';
import { guardianAddress, guardianKey, type Subject } from '../../../units.js';

let world: SolanaHomeWorld;
beforeAll(async () => {
  world = await SolanaHomeWorld.open();
});
afterEach(() => world.clear());
afterAll(() => world.close());

/** Rounds until guardians whose turn comes by the clock have done something; a tenth of a second each. */
const MAX_ROUNDS = 60;

const newWallet = (): string => addressOf(Keypair.generate());

async function rounds(subjects: readonly Subject[], done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < MAX_ROUNDS; i += 1) {
    for (const subject of subjects) await subject.round();
    for (const subject of subjects) await subject.look();
    if (await done()) return;
  }
  throw new Error(`Nothing came of ${MAX_ROUNDS} rounds.`);
}

/** A scene with a deposit of SOL minted for Alice. */
async function funded({
  nonces = 2,
  among = [0, 1, 2],
  amount = SOME,
}: { nonces?: number; among?: number[]; amount?: bigint } = {}): Promise<{ scene: SolanaScene; subjects: Subject[] }> {
  const scene = await world.scene(nonces);
  const subjects = await Promise.all(among.map((i) => scene.guardian(i)));
  await scene.deposited(amount);
  for (const subject of subjects) await subject.round();
  for (const subject of subjects) await subject.look();
  expect(first(subjects).view.minted).toBe(amount);
  return { scene, subjects };
}

const first = (subjects: readonly Subject[]): Subject => subjects[0] as Subject;
const openIn = (subject: Subject): bigint[] => [...subject.view.open.keys()];
const proposalsIn = (subject: Subject): OpenProposal[] => [...subject.view.proposals.values()];
const anchorsOf = (subject: Subject): Set<string> => new Set(proposalsIn(subject).map((p) => p.anchor));
const code = (expected: string) => expect.objectContaining({ code: expected });

async function refusedIn(subject: Subject): Promise<string[]> {
  const rows: { reason: string }[] = await subject.database.query('select reason from solana_refused order by reason');
  return rows.map((r) => r.reason);
}

/** Rounds until something has all signatures, and that. */
async function signedBy(scene: SolanaScene, subjects: readonly Subject[], asset = scene.sol): Promise<Uint8Array> {
  const view = () => first(subjects).guardian.viewOf(asset.process);
  const wires = () => {
    const now = view();
    return now ? scene.ready(now, asset) : [];
  };
  await rounds(subjects, () => wires().length > 0);
  return wires()[0] as Uint8Array;
}

/** Pays what has been asked for, and waits until AO knows. */
async function settled(scene: SolanaScene, subjects: readonly Subject[]): Promise<string> {
  const signature = await scene.send(await signedBy(scene, subjects));
  await rounds(subjects, () => openIn(first(subjects)).length === 0);
  return signature;
}

describe('the whole way', () => {
  test('SOL is deposited and minted, withdrawn, proposed, signed, paid exactly, and attested as released', async () => {
    const { scene, subjects } = await funded();
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    const signature = await settled(scene, subjects);
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
    expect(await world.events(scene.process)).toContainEqual(
      expect.objectContaining({ type: 'withdrawal.released', txHash: signature, fee: FEE }),
    );
    expect(scene.logged.join('')).not.toContain('"level":50');
  });

  test('a token goes the same way, to an account that is made when it is missing (S20)', async () => {
    const scene = await world.scene();
    const subjects = await scene.guardians();
    const { token } = scene;
    await scene.deposited(SOME, token);
    const view = () => first(subjects).guardian.viewOf(token.process);
    await rounds(subjects, () => view()?.minted === SOME);
    const owner = Keypair.generate();
    await scene.withdraw(20_000n, addressOf(owner), token);
    await scene.send(await signedBy(scene, subjects, token));
    expect(await world.solana.tokens(world.solana.account(owner.publicKey))).toBe(20_000n - FEE);
    await rounds(subjects, () => view()?.open.size === 0);
  });

  test('what is for nobody, or moved by no transfer, is kept and never attested; one guardian alone mints nothing', async () => {
    const { scene, subjects } = await funded();
    const { solana: chain } = world;
    const [transfer] = chain.instructions(scene.vaultOf(scene.sol), 7_000n, { recipient: ALICE });
    if (transfer) await chain.run([transfer]);
    await chain.chain.finalize();
    const before = first(subjects).view.minted;
    for (const subject of subjects) await subject.round();
    for (const subject of subjects) await subject.look();
    expect(first(subjects).view.minted).toBe(before);
    expect(await refusedIn(first(subjects))).toEqual(['no-memo']);
    await scene.deposited(9_000n);
    await first(subjects).round();
    await first(subjects).look();
    expect(first(subjects).view.minted).toBe(before);
  });

  test('several withdrawals go into one transaction, and those of other nonces into others at the same time', async () => {
    const { scene, subjects } = await funded();
    for (let i = 0; i < 5; i += 1) await scene.withdraw(2_000_000n, newWallet());
    await rounds(subjects, () => anchorsOf(first(subjects)).size === 2);
    const sizes = proposalsIn(first(subjects)).map((p) => p.withdrawals.length);
    expect(Math.max(...sizes)).toBeGreaterThan(1);
    await rounds(subjects, async () => {
      for (const wire of scene.ready(first(subjects).view)) await scene.send(wire).catch(() => '');
      return openIn(first(subjects)).length === 0;
    });
  });
});

describe('bad input', () => {
  test('S13: a deposit that was confirmed and then dropped is never attested', async () => {
    const { scene, subjects } = await funded();
    const signature = await scene.deposited(3_000_000n, scene.sol, true);
    for (const subject of subjects) await subject.round();
    world.solana.chain.fork([signature]);
    await world.solana.chain.finalize();
    for (const subject of subjects) await subject.round();
    expect((await first(subjects).said('Attest-Deposits')).join()).not.toContain(signature);
    const stays = await scene.deposited(3_000_001n);
    for (const subject of subjects) await subject.round();
    expect((await first(subjects).said('Attest-Deposits')).join()).toContain(stays);
  });

  test('S20: who cannot be paid now waits, and holds up nobody who shares its transaction; later it is paid', async () => {
    const { solana: chain } = world;
    const mint = Keypair.generate();
    await chain.makeMint(mint, chain.user.publicKey);
    const userAccount = await chain.makeAccount(mint.publicKey, chain.user.publicKey);
    await chain.makeAccount(mint.publicKey, chain.relayer.publicKey);
    await chain.run([createMintToInstruction(mint.publicKey, userAccount, chain.user.publicKey, 10n ** 12n)]);
    const scene = await world.scene(1, mint.publicKey);
    const subjects = await scene.guardians();
    const { token } = scene;
    await scene.deposited(SOME, token);
    const view = () => first(subjects).guardian.viewOf(token.process);
    await rounds(subjects, () => view()?.minted === SOME);
    const [frozen, good] = [Keypair.generate(), Keypair.generate()];
    const account = await chain.makeAccount(mint.publicKey, frozen.publicKey);
    await chain.run([createFreezeAccountInstruction(account, mint.publicKey, chain.user.publicKey)]);
    await chain.chain.finalize();
    await scene.withdraw(20_000n, addressOf(frozen), token);
    await scene.withdraw(30_000n, addressOf(good), token);
    await scene.send(await signedBy(scene, subjects, token));
    await rounds(subjects, () => view()?.open.size === 1);
    expect([...(view()?.open.keys() ?? [])]).toEqual([1n]);
    await chain.run([createThawAccountInstruction(account, mint.publicKey, chain.user.publicKey)]);
    await chain.chain.finalize();
    await scene.send(await signedBy(scene, subjects, token));
    await rounds(subjects, () => view()?.open.size === 0);
    expect(await chain.tokens(account)).toBe(20_000n - FEE);
  });

  test('S20: whom only a trial shows to be unpayable gives way to who shares its nonce, and is paid when that can be', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const [heavy, good] = [newWallet(), newWallet()];
    unpayable(heavy);
    await scene.withdraw(2_000_000n, heavy);
    await scene.withdraw(3_000_000n, good);
    await scene.send(await signedBy(scene, subjects));
    await rounds(subjects, () => openIn(first(subjects)).length === 1);
    expect([openIn(first(subjects)), scene.lamports(good)]).toEqual([[1n], 3_000_000n - FEE]);
    expect(scene.logged.join('')).toContain('a trial of its payment failed');
    world.solana.chain.ledger.runtime.put(heavy, null);
    await settled(scene, subjects);
    expect(scene.lamports(heavy)).toBe(2_000_000n - FEE);
  });

  test('S20: a payee that closes its account each time before it is paid keeps nobody waiting for long who shared its transaction', async () => {
    const { solana: chain } = world;
    const scene = await world.scene(1);
    const subjects = await scene.guardians();
    const { token } = scene;
    await scene.deposited(SOME, token);
    const view = () => first(subjects).guardian.viewOf(token.process);
    await rounds(subjects, () => view()?.minted === SOME);
    const [thief, good] = [Keypair.generate(), Keypair.generate()];
    const account = await chain.makeAccount(chain.mint.publicKey, thief.publicKey);
    await chain.makeAccount(chain.mint.publicKey, good.publicKey);
    await chain.chain.finalize();
    await scene.withdraw(20_000n, addressOf(thief), token);
    await scene.withdraw(30_000n, addressOf(good), token);
    const failed = [];
    for (let i = 0; i < 3; i += 1) {
      const wire = await signedBy(scene, subjects, token);
      await chain.run([createCloseAccountInstruction(account, thief.publicKey, thief.publicKey)], [thief]);
      failed.push(await scene.send(wire));
      await chain.makeAccount(chain.mint.publicKey, thief.publicKey);
      await chain.chain.finalize();
      for (const subject of subjects) await subject.round();
    }
    expect(await chain.tokens(chain.account(good.publicKey))).toBe(30_000n - FEE);
    await scene.send(await signedBy(scene, subjects, token));
    await rounds(subjects, () => view()?.open.size === 0);
    expect(await chain.tokens(account)).toBe(20_000n - FEE);
  });

  test('S20: what others propose is not signed while a payment in it cannot be made', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const [one] = subjects as [Subject];
    const [heavy, [nonce = '']] = [newWallet(), scene.nonces];
    unpayable(heavy);
    await scene.withdraw(2_000_000n, heavy);
    await scene.withdraw(3_000_000n, newWallet());
    await one.look();
    const line = await forged(scene, one, nonce);
    await say(scene, 2, 'Propose-Release', line);
    const signatures = async (): Promise<number | undefined> => {
      await one.look();
      await one.guardian.sign();
      await one.guardian.send();
      await one.look();
      return proposalsIn(one).find((p) => line.endsWith(p.content))?.signatures.size;
    };
    expect(await signatures()).toBe(0);
    scene.source.intercept = ({ body }, forward) =>
      body.includes('simulateTransaction') ? { status: 500, body: '{}' } : forward();
    expect(await signatures()).toBe(1); // a source that tries nothing stops nobody
  });

  test('S19: a release whose nonce is used up without it is signed anew over another value, and is paid once', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    const lost = await signedBy(scene, subjects);
    const [nonce = ''] = scene.nonces;
    await burn(nonce);
    await scene.send(lost).catch(() => ''); // refused: its nonce is another now
    expect(scene.lamports(wallet)).toBe(0n);
    await settled(scene, subjects);
    await scene.send(lost).catch(() => '');
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
  });

  test('S19: over an anchor that may still be, nothing else is signed; nor over another nonce than the withdrawal’s', async () => {
    const { scene, subjects } = await funded({ nonces: 2 });
    await scene.withdraw(10_000_000n, newWallet());
    await signedBy(scene, subjects);
    const [anchor] = anchorsOf(first(subjects));
    const account = scene.nonces.find((n) => !anchor?.startsWith(n)) ?? '';
    const other = await forged(scene, first(subjects), account);
    await say(scene, 2, 'Propose-Release', other);
    for (let i = 0; i < 3; i += 1) for (const subject of subjects) await subject.round();
    await first(subjects).look();
    const proposed = proposalsIn(first(subjects)).find((p) => p.anchor.startsWith(account));
    expect(proposed).toBeDefined();
    expect(proposed?.signatures.size).toBe(0);
  });

  test('S19: a proposal over an account that sources never agree on is passed over, and they are not asked about it', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const [one] = subjects as [Subject];
    const [[nonce = ''], hot] = [scene.nonces, newWallet()];
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    await one.look();
    for (let i = 0; i < 3; i += 1)
      await say(
        scene,
        2,
        'Propose-Release',
        await forged(scene, one, nonce, { nonce: { account: hot, value: newWallet() } }),
      );
    const asked = unreadable(scene, hot);
    await one.look();
    expect(proposalsIn(one)).toHaveLength(3);
    await one.guardian.sign();
    await settled(scene, subjects);
    expect([asked(), scene.lamports(wallet)]).toEqual([0, 10_000_000n - FEE]);
  });

  test('S19: a nonce used up later than the history is read to leaves it unsure whether it paid, and nothing is signed anew', async () => {
    const { scene, subjects } = await funded({ nonces: 2 });
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    const wire = await signedBy(scene, subjects);
    const [anchor = ''] = anchorsOf(first(subjects));
    const nonces = scene.nonces.filter((n) => !anchor.startsWith(n)); // the pool is another now
    const later = await scene.guardians({ chain: { nonces } });
    const one = first(later);
    await one.look();
    const standing = async (): Promise<unknown> =>
      one.home.custody === 'proposals' ? one.home.anchor(scene.sol, anchor) : null;
    expect(await standing()).toBe('open');
    await scene.send(wire);
    expect(await standing()).toBe('unsure');
    scene.source.intercept = ({ body }, forward) =>
      body.includes('getSignaturesForAddress') ? { status: 500, body: '{}' } : forward();
    await expect(one.guardian.watch()).rejects.toEqual(code('agreement-lost'));
    expect(await standing()).toBe('unsure');
    scene.source.intercept = null;
    await one.look();
    expect(await standing()).toBe('void');
    await rounds(later, () => openIn(one).length === 0);
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
  });

  test('a fee above what this guardian takes, a price nobody pays, or another relayer, is not signed', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const [one] = subjects as [Subject];
    await scene.withdraw(10_000_000n, newWallet(), scene.sol, 9_000_000n);
    await one.look();
    const [nonce = ''] = scene.nonces;
    const lines = [
      await forged(scene, one, nonce, { fee: FEE + 1n }),
      await forged(scene, one, nonce, { relayer: newWallet() }),
      await forged(scene, one, nonce, { price: 10_001n }),
      await forged(scene, one, nonce, { fee: FEE - 1n }),
    ];
    for (const line of lines) await say(scene, 2, 'Propose-Release', line);
    await one.look();
    await one.guardian.sign();
    await one.guardian.send();
    await one.look();
    const signatures = (line: string) => proposalsIn(one).find((p) => line.endsWith(p.content))?.signatures.size;
    expect(lines.map(signatures)).toEqual([0, 0, 0, 1]);
  });

  test('I2: guardians that have lost their databases pay nothing a second time, nor under another anchor while the first may be', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    const wire = await signedBy(scene, subjects);
    const fresh = await scene.guardians();
    await rounds(fresh, () => proposalsIn(first(fresh)).length > 0);
    expect(anchorsOf(first(fresh)).size).toBe(1);
    await scene.send(wire);
    const later = await scene.guardians();
    for (let i = 0; i < 5; i += 1) for (const subject of later) await subject.round();
    await rounds(later, () => openIn(first(later)).length === 0);
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
    expect(scene.logged.join('')).not.toContain('"level":50');
  });

  test('X10: sources that do not agree stop everything, and it goes on when they do', async () => {
    const { scene } = await funded();
    const other = await scene.anotherSource();
    const subject = await scene.guardian(0, { chain: { rpcUrls: [scene.source.url, other.url], agreement: 2 } });
    await subject.round();
    await scene.deposited(4_000_000n);
    other.intercept = () => ({ status: 500, body: '{}' });
    await expect(subject.guardian.watch()).rejects.toEqual(code('agreement-lost'));
    await subject.guardian.attest();
    expect(await subject.said('Attest-Deposits')).toHaveLength(1);
    other.intercept = null;
    await subject.round();
    expect(await subject.said('Attest-Deposits')).toHaveLength(2);
  });

  test('I3: what the vault lost by no withdrawal stops payments and asks for a pause', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    await steal(scene, 1_000_000n);
    await scene.withdraw(2_000_000n, newWallet());
    const [one] = subjects as [Subject];
    await one.guardian.watch();
    await one.guardian.follow();
    await expect(one.guardian.sign()).rejects.toEqual(code('conservation'));
    await one.guardian.decide();
    expect(await one.said('Attest-Decision')).toEqual(['pause']);
    expect(await refusedIn(one)).toEqual(['unexplained']);
  });

  test('X4: guardians that begin anew between any two steps mint once and pay once', async () => {
    const scene = await world.scene(1);
    const subjects = await Promise.all([0, 1].map((i) => scene.guardian(i)));
    const wallet = newWallet();
    await scene.deposited(SOME);
    const steps = ['watch', 'follow', 'attest', 'sign', 'decide', 'send'] as const;
    const crawl = async (): Promise<void> => {
      for (let cut = 0; cut <= steps.length; cut += 1)
        for (const subject of subjects) {
          for (const step of steps.slice(0, cut)) await subject.guardian[step]();
          await subject.restart();
        }
    };
    await crawl();
    await scene.withdraw(10_000_000n, wallet);
    await crawl();
    await scene.send(await signedBy(scene, subjects));
    await crawl();
    await rounds(subjects, () => openIn(first(subjects)).length === 0);
    expect(first(subjects).view.minted).toBe(SOME);
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
  });
});

describe('guardians', () => {
  test.each([0, 1, 2])('guardian %i down: the others sign, whoever was named first', async (down) => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const up = subjects.filter((s) => s.index !== down);
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    const [nonce = ''] = scene.nonces;
    const pair = [down, (down + 1) % 3].toSorted((a, b) => a - b);
    for (const subject of up) await subject.look();
    await say(scene, down, 'Propose-Release', await forged(scene, first(up), nonce, { signers: pair }));
    await settled(scene, up);
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
  });

  test('X2: the vault is handed to the next set, and what the old one signed is worth nothing then', async () => {
    const { scene, subjects } = await funded({ nonces: 2 });
    const { solana: chain } = world;
    const wallet = newWallet();
    await scene.withdraw(10_000_000n, wallet);
    const old = await signedBy(scene, subjects);
    const joins = Keypair.generate();
    const keys = [...chain.guardians.slice(0, 2).map(addressOf), addressOf(joins)];
    await rotate(scene, keys);
    const newcomer = await scene.guardian(3, {}, joins);
    const all = [...subjects, newcomer];
    for (let i = 0; i < 3; i += 1) for (const subject of all) await subject.round();
    await first(all).look();
    expect(proposalsIn(first(all))).toEqual([]); // there is no multisig of the next set yet, and nothing is paid meanwhile
    const relayer = addressOf(chain.relayer);
    const next = { guardians: keys, threshold: 2 };
    const made = solana.makeMultisig(relayer, next, solana.TOKEN, solana.MULTISIG_RENT);
    await chain.run(made, [chain.relayer]);
    await chain.chain.finalize();
    const ready = (): Uint8Array[] => scene.ready(first(all).view, scene.sol, true);
    await rounds(all, () => ready().length > 0);
    await scene.send(ready()[0] as Uint8Array);
    const state = await solana.readVault(chain.pool(), scene.sol.vault, null);
    expect(state.custody).toEqual({ ...next, multisig: solana.multisigAddress(relayer, next, solana.TOKEN) });
    await scene.send(old);
    expect(scene.lamports(wallet)).toBe(0n);
    const before = chain.multisig;
    (chain as { multisig: unknown }).multisig = { publicKey: { toBase58: () => state.custody?.multisig } };
    try {
      await settled(scene, [first(all), newcomer]);
    } finally {
      (chain as { multisig: Keypair }).multisig = before;
    }
    expect(scene.lamports(wallet)).toBe(10_000_000n - FEE);
  });

  test('X2: a hand-over to an account that sources never agree on is passed over, and they are not asked about it', async () => {
    const { scene, subjects } = await funded({ nonces: 1 });
    const { guardians } = world.solana;
    const keys = [...guardians.slice(0, 2).map(addressOf), newWallet()];
    await rotate(scene, keys);
    const [one] = subjects as [Subject];
    await one.round();
    const [[nonce = ''], hot] = [scene.nonces, newWallet()];
    await one.look();
    await say(scene, 1, 'Propose-Release', await forgedHandOver(scene, one, nonce, hot));
    const asked = unreadable(scene, hot);
    await one.look();
    expect(proposalsIn(one)).toHaveLength(1);
    await one.guardian.decide();
    expect(asked()).toBe(0);
    expect(scene.logged.join('')).toContain('"why":"rotation"');
  });

  test('the key file must be of the key the set names', async () => {
    const scene = await world.scene(1);
    const wrong = await scene.guardian(0, {}, Keypair.generate());
    await wrong.guardian.watch();
    await expect(wrong.guardian.follow()).rejects.toEqual(code('home-key'));
    expect(wrong.guardian.viewOf(scene.process)).toBeNull();
  });

  test('I1: a minted deposit that is not on the chain stops payments', async () => {
    const { scene, subjects } = await funded();
    const signature = solana.signatureOfWire(Buffer.alloc(65, 3));
    const reference = `${world.id}:${signature}:0`;
    const made = `${depositId(reference)} ${reference} ${signature} ${newWallet()} ${ALICE} 1000 -`;
    for (const i of [1, 2]) await say(scene, i, 'Attest-Deposits', made);
    await scene.withdraw(10_000_000n, newWallet());
    const [one] = subjects as [Subject];
    await one.look();
    expect(one.view.minted).toBe(SOME + 1_000n);
    const refused = await one.guardian.sign();
    expect([...refused.values()]).toEqual(['behind']);
  });
});

/** Has more at an address than what is paid there could keep: the look at it alone does not say so. */
function unpayable(address: string): void {
  const account = { lamports: 890_880n, owner: SystemProgram.programId.toBase58(), data: Buffer.alloc(1_000) };
  world.solana.chain.ledger.runtime.put(address, { ...account, executable: false });
}

/** What a guardian says by hand. */
async function say(
  scene: SolanaScene,
  index: number,
  action: string,
  data: string,
  more: Record<string, string> = {},
): Promise<void> {
  await world.message(guardianKey(index), scene.process, { Action: action, ...more }, data);
}

/** Guardian 3 takes the place of guardian 2, with these keys on Solana. */
/** From now on the source answers nothing about an account; gives how often it was asked. */
function unreadable(scene: SolanaScene, account: string): () => number {
  let asked = 0;
  scene.source.intercept = ({ body }, forward) => {
    if (!body.includes(account)) return forward();
    asked += 1;
    return { status: 500, body: '{}' };
  };
  return () => asked;
}

async function rotate(scene: SolanaScene, keys: readonly string[]): Promise<void> {
  const line = `rotate 2 2 1 ${[guardianAddress(0), guardianAddress(1), guardianAddress(3)].join(',')} ${keys.join(',')}`;
  for (const i of [0, 1]) await say(scene, i, 'Attest-Decision', line, { 'Decision-Nonce': '1' });
}

/** A proposal of a hand-over by the set that leaves, as somebody else would have it. */
async function forgedHandOver(scene: SolanaScene, { view }: Subject, account: string, to: string): Promise<string> {
  const { multisig, relayer, guardians } = world.solana;
  const custody = { multisig: addressOf(multisig), guardians: guardians.map(addressOf), threshold: 2 };
  const nonce = { account, value: await world.solana.nonceValue(new PublicKey(account)) };
  const plan = { vault: scene.vaultOf(scene.sol), custody, signers: [0, 1], relayer: addressOf(relayer), price: 0n };
  const fields = solana.encodeProposal({ ...plan, nonce, to });
  return encodeProposalLine({ epoch: view.outgoing?.epoch ?? 0n, ...fields });
}

/** A proposal of the open withdrawals as somebody else would have it. */
async function forged(
  scene: SolanaScene,
  { view }: Subject,
  account: string,
  change: Partial<solana.TransactionPlan> & { fee?: bigint } = {},
): Promise<string> {
  const { fee = FEE, ...more } = change;
  const { process } = scene;
  const value = await world.solana.nonceValue(new PublicKey(account));
  const payouts = [...view.open.values()].map(({ number, recipient, amount }) => ({
    process,
    number,
    recipient,
    amount,
    fee,
    create: false,
  }));
  const custody = { multisig: addressOf(world.solana.multisig), guardians: view.set.keys, threshold: 2 };
  const relayer = addressOf(world.solana.relayer);
  const plan = { vault: scene.vaultOf(scene.sol), custody, signers: [0, 1], relayer, price: 0n, payouts };
  const fields = solana.encodeProposal({ ...plan, nonce: { account, value }, ...more });
  return encodeProposalLine({ epoch: view.set.epoch, ...fields });
}

/** The relayer uses a nonce up for nothing. */
async function burn(account: string): Promise<void> {
  const { chain, relayer } = world.solana;
  const advance = SystemProgram.nonceAdvance({
    noncePubkey: new PublicKey(account),
    authorizedPubkey: relayer.publicKey,
  });
  await world.solana.run([advance], [relayer]);
  await chain.finalize();
}

/** M guardians take something out of the vault that no withdrawal asked for. */
async function steal(scene: SolanaScene, amount: bigint): Promise<void> {
  const { solana: chain } = world;
  const [vault, to] = [new PublicKey(scene.sol.vault), await chain.makePlainAccount(NATIVE_MINT, chain.user.publicKey)];
  const thieves = chain.guardians.slice(0, 2);
  await chain.run(
    [
      createSyncNativeInstruction(vault),
      createTransferInstruction(vault, to, chain.multisig.publicKey, amount, thieves),
    ],
    thieves,
  );
  await chain.chain.finalize();
}
