/** The auditor on Solana's own programs: nothing to say of a sound bridge, and each fault is found and named. */
import { solana } from '@isthmus/chains';
import { createTransferCheckedInstruction, TOKEN_2022_PROGRAM_ID } from '@solana/spl-token';
import { Keypair, PublicKey } from '@solana/web3.js';
import { Source } from '../../../../chains/src/ethereum/harness.js';
import { SolanaWorld } from '../../../../chains/src/solana/harness.js';
import { ALICE, threads, TokenScene } from '../../../token-scene.js';
import { AuditError, hashOf, type AuditorOptions, type AuditReport } from '../../index.js';

let world: SolanaWorld;
let scene: SolanaScene;
const sources: Source[] = [];

interface Held {
  vault: solana.DepositVault;
  multisig: string;
}

class SolanaScene extends TokenScene {
  readonly payee = Keypair.generate().publicKey;

  private constructor(readonly held: Held) {
    super();
    this.now = Date.now();
  }

  static async open({ vault, multisig }: Held): Promise<SolanaScene> {
    const scene = new SolanaScene({ vault, multisig });
    const chain = chainOf();
    await scene.spawn({
      Name: 'Token on AO',
      Ticker: 'aTOK',
      Denomination: String(vault.decimals),
      'Isthmus-Asset': `${chain}/${solana.isNative(vault) ? 'slip44:501' : `token:${vault.mint}`}`,
      'Isthmus-Chain': chain,
      'Isthmus-Vault': vault.address,
      'Isthmus-Guardian-Keys': world.guardians.map((g) => g.publicKey.toBase58()).join(','),
    });
    return scene;
  }

  chainOptions(): AuditorOptions['chain'] {
    return { rpcUrls: [world.chain.url] };
  }

  /** A deposit to Alice; without its memo when told so. Its signature. */
  async deposit(amount: bigint, hasMemo = true): Promise<string> {
    const all = world.instructions(this.held.vault, amount, { recipient: ALICE });
    const signature = await world.run(hasMemo ? all : all.slice(0, 1));
    await world.chain.finalize();
    return signature;
  }

  mint(signature: string, amount: bigint, recipient: string = ALICE): Promise<void> {
    const reference = `${chainOf()}:${signature}:0`;
    return this.mintLine({ reference, tx: signature, sender: world.user.publicKey.toBase58(), recipient, amount });
  }

  async fund(amount: bigint): Promise<void> {
    await this.mint(await this.deposit(amount), amount);
  }

  /** The guardians pay, with a memo for a withdrawal or without any. */
  async pay(amount: bigint, number: bigint | null, to = this.payee): Promise<string> {
    const { mint, address, program, decimals } = this.held.vault;
    const account = await world.makeAccount(new PublicKey(mint), to, new PublicKey(program));
    const signers = world.guardians.slice(0, 2);
    const [source, of, multisig] = [address, mint, this.held.multisig].map((a) => new PublicKey(a)) as Three;
    const by = new PublicKey(program);
    const paying = createTransferCheckedInstruction(source, of, account, multisig, amount, decimals, signers, by);
    const memo = solana.memoInstruction(solana.releaseMemo({ process: this.process, number: number ?? 0n }));
    const signature = await world.run(number === null ? [paying] : [paying, memo], signers);
    await world.chain.finalize();
    return signature;
  }

  /** As guardians make it, all payments in one transaction. */
  async release(...payouts: Partial<solana.Payout>[]): Promise<string> {
    const { vault, multisig } = this.held;
    const base = { process: this.process, recipient: this.payee.toBase58(), amount: 0n, number: 0n, fee: 0n };
    const guardians = world.guardians.map((g) => g.publicKey.toBase58());
    const relayer = world.relayer.publicKey.toBase58();
    const nonce = await world.makeNonce();
    const plan: solana.ReleasePlan = {
      vault,
      custody: { multisig, guardians, threshold: 2 },
      signers: [0, 1],
      relayer,
      nonce: { account: nonce.toBase58(), value: await world.nonceValue(nonce) },
      price: 0n,
      payouts: payouts.map((one) => ({ ...base, create: !solana.isNative(vault), ...one })),
    };
    const message = solana.releaseMessage(plan);
    const parts = plan.signers.map((i) => solana.signPart(message, i, seedOf(world.guardians[i] as Keypair)));
    const wire = solana.assemble(plan, message, parts, seedOf(world.relayer));
    const signature = await world.connection.sendRawTransaction(wire);
    await world.chain.finalize();
    return signature;
  }
}

type Three = [PublicKey, PublicKey, PublicKey];
const seedOf = (pair: Keypair): Uint8Array => pair.secretKey.subarray(0, 32);

/** A new vault of what the user has: of a plain token, or of SOL. */
async function vaultOf(of: solana.DepositVault): Promise<Held> {
  const address = await world.makePlainAccount(new PublicKey(of.mint), world.multisig.publicKey);
  return { vault: { ...of, address: address.toBase58() }, multisig: world.multisig.publicKey.toBase58() };
}

/** Another asset for this test. */
async function scenery(held: Held): Promise<void> {
  await scene.close();
  scene = await SolanaScene.open(held);
}

const chainOf = (): string => `solana:${world.chain.genesisHash.slice(0, 32)}`;

beforeAll(async () => {
  world = await SolanaWorld.open();
}, 60_000);
afterAll(async () => {
  await world.chain.stop();
  await threads.stop();
});
beforeEach(async () => {
  scene = await SolanaScene.open(await vaultOf(world.token));
});
afterEach(async () => {
  await scene.close();
  for (const source of sources.splice(0)) await source.close();
});

const audit = async (options: Partial<AuditorOptions> = {}): Promise<AuditReport> =>
  (await scene.auditor(options)).audit();
const codes = (report: AuditReport): string[] => [...new Set(report.findings.map((f) => f.code))];
const found = async (): Promise<string[]> => codes(await audit());

it('I3 a sound bridge has no findings, its figures are exact, and going on gives the same report', async () => {
  await scene.fund(1_000n);
  const going = await scene.auditor();
  expect(codes(await going.audit())).toEqual([]);
  await scene.deposit(7n, false);
  await scene.deposit(40n);
  await scene.withdrawTo(scene.payee.toBase58(), 100n, 5n);
  await scene.attest(1n, await scene.pay(100n, 1n), 0n);
  const report = await audit();
  expect(report.result).toBe('fine');
  expect(hashOf(await going.audit())).toBe(hashOf(report));
  expect(report.assets[0]).toMatchObject({
    balance: '947',
    supply: '900',
    waiting: '40',
    unmintable: '7',
    surplus: '0',
  });
});

it('I4 I7 mint-without-deposit, mint-of-refused, mint-differs: no transfer, one without a memo, another recipient', async () => {
  await scene.fund(100n);
  await scene.mint('5'.repeat(88), 5n);
  expect(await found()).toEqual(['mint-without-deposit', 'undercollateralised']);
  await scene.mint(await scene.deposit(50n, false), 50n);
  await scene.mint(await scene.deposit(50n), 50n, Buffer.alloc(32, 3).toString('base64url'));
  const { findings } = await audit();
  expect(findings.map((f) => f.code)).toEqual(expect.arrayContaining(['mint-differs', 'mint-of-refused']));
  expect(findings.find((f) => f.code === 'mint-of-refused')?.detail).toContain('nobody is credited: no-memo');
});

it('I2 double-release, release-differs, unknown-spend: paid twice, to somebody else, for nothing', async () => {
  await scene.fund(1_000n);
  await scene.withdrawTo(scene.payee.toBase58(), 100n, 0n);
  await scene.pay(100n, 1n);
  expect(await found()).toEqual([]);
  await scene.pay(100n, 1n);
  expect(await found()).toEqual(['double-release', 'undercollateralised']);
  await scene.withdrawTo(scene.payee.toBase58(), 50n, 0n);
  await scene.pay(50n, 2n, Keypair.generate().publicKey);
  await scene.pay(9n, null);
  const report = await audit();
  expect(codes(report)).toEqual(['double-release', 'release-differs', 'undercollateralised', 'unknown-spend']);
  expect(report.findings.find((f) => f.code === 'release-differs')?.detail).toContain(': recipient is');
});

it('a transaction that a source withholds shows in the balance: no audit', async () => {
  await scene.fund(100n);
  const hidden = await scene.deposit(50n);
  await scene.deposit(60n);
  const liar = await Source.open(world.chain.url);
  sources.push(liar);
  const chain = { rpcUrls: [liar.url] };
  expect(codes(await audit({ chain }))).toEqual([]);
  liar.lie('getSignaturesForAddress', (page) =>
    (page as { signature: string }[]).filter(({ signature }) => signature !== hidden),
  );
  const refused = await audit({ chain }).catch((error: unknown) => error);
  expect(refused instanceof AuditError && refused.code).toBe('incomplete');
});

describe('SOL', () => {
  beforeEach(async () => scenery(await vaultOf(world.sol)));

  it('I3 payments of guardians, several in one transaction, are fine; the rent that keeps the vault is nobody’s cover', async () => {
    await scene.fund(50_000_000n);
    await scene.withdrawTo(scene.payee.toBase58(), 10_000_000n, 5_000n);
    await scene.withdrawTo(world.user.publicKey.toBase58(), 20_000_000n, 5_000n);
    const recipient = world.user.publicKey.toBase58();
    const paid = await scene.release(
      { number: 1n, amount: 10_000_000n, fee: 5_000n },
      { number: 2n, amount: 20_000_000n, recipient },
    );
    await scene.attest(1n, paid, 5_000n);
    await scene.attest(2n, paid);
    const report = await audit();
    expect(report.findings).toEqual([]);
    expect(report.assets[0]).toMatchObject({ balance: '20000000', supply: '20000000', surplus: '0' });
    await scene.mint('5'.repeat(88), 1n);
    expect(await found()).toEqual(['mint-without-deposit', 'undercollateralised']);
  });

  it('I2 release-differs, double-release: too little is paid, to another, and twice', async () => {
    await scene.fund(50_000_000n);
    await scene.withdrawTo(scene.payee.toBase58(), 10_000_000n, 5_000n);
    await scene.withdrawTo(scene.payee.toBase58(), 5_000_000n, 0n);
    await scene.release({ number: 1n, amount: 9_000_000n });
    expect(await found()).toContain('release-differs');
    await scene.release({ number: 2n, amount: 5_000_000n, recipient: world.user.publicKey.toBase58() });
    await scene.release({ number: 2n, amount: 5_000_000n });
    const report = await audit();
    expect(codes(report)).toEqual(expect.arrayContaining(['double-release', 'release-differs', 'undercollateralised']));
    expect(report.findings.some((f) => f.detail.includes(': recipient is'))).toBe(true);
  });
});

describe('S9 v0 transactions whose accounts come from a lookup table', () => {
  const sent = async (named: string[]): Promise<string> => {
    const instructions = world.instructions(scene.held.vault, 500n, { recipient: ALICE });
    const signature = await world.runV0(instructions, [await world.lookupTable(named)]);
    await world.chain.finalize();
    return signature;
  };

  it('a deposit is one like any other; minted to somebody else it is found', async () => {
    const { address, mint } = scene.held.vault;
    await scene.mint(await sent([address, mint]), 500n);
    const report = await audit();
    expect(report.findings).toEqual([]);
    expect(report.assets[0]).toMatchObject({ balance: '500', supply: '500' });
    await scene.mint(await sent([address, mint]), 500n, Buffer.alloc(32, 3).toString('base64url'));
    expect(await found()).toEqual(['mint-differs']);
  });
});

describe('Token-2022', () => {
  beforeEach(async () => {
    await scenery(await world.token2022());
    await world.makeAccount(new PublicKey(scene.held.vault.mint), world.relayer.publicKey, TOKEN_2022_PROGRAM_ID);
  });

  it('payments with a memo before their transfers are fine, each under its own name, less what the relayer keeps', async () => {
    await scene.fund(1_000_000n);
    const strict = Keypair.generate();
    await world.wantsMemo(scene.held.vault, strict);
    const recipient = strict.publicKey.toBase58();
    await scene.withdrawTo(scene.payee.toBase58(), 300_000n, 100n);
    await scene.withdrawTo(recipient, 200_000n, 100n);
    const paid = await scene.release(
      { number: 1n, amount: 300_000n, fee: 100n },
      { number: 2n, amount: 200_000n, fee: 50n, recipient, create: false },
    );
    await scene.attest(1n, paid, 100n);
    await scene.attest(2n, paid, 50n);
    const report = await audit();
    expect(report.findings).toEqual([]);
    expect(report.assets[0]).toMatchObject({ balance: '500000', supply: '500000', surplus: '0' });
  });

  it('I2 release-differs, double-release, unknown-spend', async () => {
    await scene.fund(1_000_000n);
    await scene.withdrawTo(scene.payee.toBase58(), 300_000n, 0n);
    await scene.release({ number: 1n, amount: 300_000n, recipient: world.user.publicKey.toBase58() });
    expect(await found()).toContain('release-differs');
    await scene.release({ number: 1n, amount: 300_000n });
    await scene.pay(9n, null);
    expect(await found()).toEqual(expect.arrayContaining(['double-release', 'undercollateralised', 'unknown-spend']));
  });
});
