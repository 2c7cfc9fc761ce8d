/** The auditor on Solana's own programs: nothing to say of a sound bridge, and each fault is found and named. */
import { solana } from '@isthmus/chains';
import { createTransferCheckedInstruction } from '@solana/spl-token';
import { Keypair, PublicKey } from '@solana/web3.js';
import { Source } from '../../../../chains/src/ethereum/harness.js';
import { DECIMALS, SolanaWorld } from '../../../../chains/src/solana/harness.js';
import { ALICE, TokenScene } from '../../../token-scene.js';
import { AuditError, hashOf, type AuditorOptions, type AuditReport } from '../../index.js';

let world: SolanaWorld;
let scene: SolanaScene;
const sources: Source[] = [];

class SolanaScene extends TokenScene {
  vault = '';
  readonly payee = Keypair.generate().publicKey;

  static async open(): Promise<SolanaScene> {
    const scene = new SolanaScene();
    scene.now = Date.now();
    const chain = chainOf();
    scene.vault = (await world.makePlainAccount(world.mint.publicKey, world.multisig.publicKey)).toBase58();
    await scene.spawn({
      Name: 'Token on AO',
      Ticker: 'aTOK',
      Denomination: String(DECIMALS),
      'Isthmus-Asset': `${chain}/token:${world.mint.publicKey.toBase58()}`,
      'Isthmus-Chain': chain,
      'Isthmus-Vault': scene.vault,
      'Isthmus-Guardian-Keys': world.guardians.map((g) => g.publicKey.toBase58()).join(','),
    });
    return scene;
  }

  chainOptions(): AuditorOptions['chain'] {
    return { rpcUrls: [world.chain.url] };
  }

  /** A deposit to Alice; without its memo when told so. Its signature. */
  async deposit(amount: bigint, hasMemo = true): Promise<string> {
    const all = world.instructions({ ...world.token, address: this.vault }, amount, { recipient: ALICE });
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
    const account = await world.makeAccount(world.mint.publicKey, to);
    const signers = world.guardians.slice(0, 2);
    const [source, mint, multisig] = [new PublicKey(this.vault), world.mint.publicKey, world.multisig.publicKey];
    const paying = createTransferCheckedInstruction(source, mint, account, multisig, amount, DECIMALS, signers);
    const memo = solana.memoInstruction(solana.releaseMemo({ process: this.process, number: number ?? 0n }));
    const signature = await world.run(number === null ? [paying] : [paying, memo], signers);
    await world.chain.finalize();
    return signature;
  }
}

const chainOf = (): string => `solana:${world.chain.genesisHash.slice(0, 32)}`;

beforeAll(async () => {
  world = await SolanaWorld.open();
}, 60_000);
afterAll(() => world.chain.stop());
beforeEach(async () => {
  scene = await SolanaScene.open();
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
