/**
 * Releases on the real runtime, and a watcher that comes to 10,000 deposits at once. The backlog's source is on loopback: it
 * answers in a fraction of a millisecond, one across the sea in a hundred; pages and batches are those a real one would be asked for.
 */
import { catchUp, PROCESS, SolanaWorld } from '../libs/chains/src/solana/harness.js';
import { solana } from '@isthmus/chains';
import { Keypair, type PublicKey } from '@solana/web3.js';
import { atLeast, atMost, type Figure } from './figure.js';

const DEPOSITS = 10_000;
const SIGNERS = 2;
const { assemble, pack, releaseMessage, signPart, wireSize } = solana;

export async function run(): Promise<Figure[]> {
  const world = await SolanaWorld.open(SIGNERS, 3, DEPOSITS + 1_000);
  try {
    return [...(await releases(world)), ...(await backlog(world))];
  } finally {
    await world.chain.stop();
  }
}

async function releases(world: SolanaWorld): Promise<Figure[]> {
  await world.deposit(world.sol, 10n ** 12n);
  await world.deposit(world.token, 10n ** 12n);
  const nonce = await world.makeNonce();
  const token = await release(world, nonce, 'token', [await payout(world, true)]);
  const sol = await release(world, nonce, 'sol', [await payout(world, false)]);
  const many = await Promise.all(Array.from({ length: 12 }, () => payout(world, false)));
  const [together = []] = pack(await planOf(world, nonce, 'sol', []), many);
  const batch = await release(world, nonce, 'sol', together);
  return [
    atMost('solana', 'cu.release', Math.max(token.units, sol.units), 'CU', 6_000),
    atMost('solana', 'cu.release.batched', batch.units / together.length, 'CU', 6_000),
    atMost('solana', 'bytes.release', Math.max(token.bytes, sol.bytes), 'bytes', 1_232),
    atMost('solana', 'bytes.payout.batched', batch.bytes / together.length, 'bytes', 1_232),
    atMost('solana', 'signatures.payout.batched', (SIGNERS + 1) / together.length, 'signatures', SIGNERS + 1),
  ];
}

async function backlog(world: SolanaWorld): Promise<Figure[]> {
  await world.chain.finalize();
  const { cursor } = await catchUp(world.watcher(world.token));
  for (let i = 1; i <= DEPOSITS; i += 1) {
    await world.deposit(world.token, BigInt(i));
    if (i % 200 === 0) await world.chain.tick();
  }
  await world.chain.finalize();
  const pool = world.pool();
  const began = performance.now();
  const { events } = await catchUp(world.watcher(world.token, pool), cursor);
  const seconds = (performance.now() - began) / 1_000;
  const whole = events.filter((e, i) => e.type === 'deposited' && e.amount === BigInt(i + 1)).length;
  if (whole !== DEPOSITS) throw new Error(`${whole} of ${DEPOSITS} deposits were found in order.`);
  return [
    atLeast('solana', 'backlog.per_second', DEPOSITS / seconds, 'deposits/s', 300),
    atMost('solana', 'backlog.rpc_per_deposit', (pool.calls - DEPOSITS) / DEPOSITS, 'calls', 0.05),
  ];
}

async function payout(world: SolanaWorld, account: boolean): Promise<solana.Payout> {
  const recipient = Keypair.generate().publicKey;
  if (account) await world.makeAccount(world.mint.publicKey, recipient);
  number += 1n;
  return { process: PROCESS, number, recipient: recipient.toBase58(), amount: 5_000_000n, fee: 0n, create: false };
}
let number = 0n;

async function planOf(
  world: SolanaWorld,
  nonce: PublicKey,
  asset: 'sol' | 'token',
  payouts: solana.Payout[],
): Promise<solana.ReleasePlan> {
  const guardians = world.guardians.map((g) => g.publicKey.toBase58());
  return {
    vault: world[asset],
    custody: { multisig: world.multisig.publicKey.toBase58(), guardians, threshold: SIGNERS },
    signers: [0, 1],
    relayer: world.relayer.publicKey.toBase58(),
    nonce: { account: nonce.toBase58(), value: await world.nonceValue(nonce) },
    price: 1_000n,
    payouts,
  };
}

async function release(world: SolanaWorld, nonce: PublicKey, asset: 'sol' | 'token', payouts: solana.Payout[]) {
  const plan = await planOf(world, nonce, asset, payouts);
  const message = releaseMessage(plan);
  const seed = (pair: Keypair | undefined) => (pair ?? world.relayer).secretKey.subarray(0, 32);
  const parts = plan.signers.map((i) => signPart(message, i, seed(world.guardians[i])));
  const signature = await world.connection.sendRawTransaction(assemble(plan, message, parts, seed(world.relayer)));
  await world.chain.tick();
  const read = await world.connection.getTransaction(signature, {
    maxSupportedTransactionVersion: 0,
    commitment: 'confirmed',
  });
  if (!read?.meta || read.meta.err !== null) throw new Error(`The release failed: ${JSON.stringify(read?.meta?.err)}.`);
  return { units: read.meta.computeUnitsConsumed ?? 0, bytes: wireSize(plan, message) };
}
