/**
 * Releases on the real runtime, and a backlog of deposits, minted by guardians that come up. Its source is on loopback: it answers in a
 * fraction of a millisecond, one across the sea in a hundred; pages and batches are those a real one would be asked for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { PROCESS, SolanaWorld } from '../libs/chains/src/solana/harness.js';
import { solana } from '@isthmus/chains';
import { devAccount, type Stack } from '@isthmus/devnet';
import { freePorts } from '@isthmus/store';
import { Connection, Keypair, LAMPORTS_PER_SOL, VersionedTransaction, type PublicKey } from '@solana/web3.js';
import { measureBacklog } from './backlog.js';
import { atMost, type Figure } from './figure.js';

const DEPOSITS = 10_000;
const AT_ONCE = 50;
/** Lamports; above the least deposit of the local stack. */
const LEAST = 2_000_000n;
const SIGNERS = 2;
const { assemble, releaseMessage, signPart, wireSize } = solana;

export async function run(): Promise<Figure[]> {
  const figures: Figure[] = [];
  const world = await SolanaWorld.open(SIGNERS);
  try {
    figures.push(...(await releases(world)));
  } finally {
    await world.chain.stop();
  }
  return [...figures, ...(await backlog())];
}

async function releases(world: SolanaWorld): Promise<Figure[]> {
  await world.deposit(world.sol, 10n ** 12n);
  await world.deposit(world.token, 10n ** 12n);
  const nonce = await world.makeNonce();
  const token = await release(world, nonce, 'token', [await payout(world, true)]);
  const sol = await release(world, nonce, 'sol', [await payout(world, false)]);
  const many = await Promise.all(Array.from({ length: 12 }, () => payout(world, false)));
  const { together } = solana.together(await planOf(world, nonce, 'sol', []), many);
  const batch = await release(world, nonce, 'sol', together);
  return [
    atMost('solana', 'cu.release', Math.max(token.units, sol.units), 'CU', 6_000),
    atMost('solana', 'cu.release.batched', batch.units / together.length, 'CU', 6_000),
    atMost('solana', 'bytes.release', Math.max(token.bytes, sol.bytes), 'bytes', 1_232),
    atMost('solana', 'bytes.payout.batched', batch.bytes / together.length, 'bytes', 1_232),
    atMost('solana', 'signatures.payout.batched', (SIGNERS + 1) / together.length, 'signatures', SIGNERS + 1),
  ];
}

/** SOL from one wallet, each deposit a transaction of its own. */
async function backlog(): Promise<Figure[]> {
  return measureBacklog({
    area: 'solana',
    deposits: DEPOSITS,
    homes: { solana: await freePorts(2) },
    callsOfEach: 1,
    fill,
    processOf: (stack) => solanaOf(stack).assets[0]?.process ?? '',
  });
}

function solanaOf(stack: Stack): Stack['homes'][number] {
  const [home] = stack.homes;
  if (!home) throw new Error('The stack has no Solana.');
  return home;
}

async function fill(stack: Stack): Promise<void> {
  const { rpcUrl, vault } = solanaOf(stack);
  const connection = new Connection(rpcUrl, 'confirmed');
  const wallet = Keypair.generate();
  await connection.requestAirdrop(wallet.publicKey, 900_000 * LAMPORTS_PER_SOL);
  const held = { address: vault, mint: solana.NATIVE, program: solana.TOKEN, decimals: 9 };
  const request = { sender: wallet.publicKey.toBase58(), recipient: devAccount(1).address };
  let last = '';
  for (let sent = 0; sent < DEPOSITS; sent += AT_ONCE) {
    const { blockhash } = await connection.getLatestBlockhash();
    const calls = Array.from({ length: AT_ONCE }, (_, i) => {
      const amount = LEAST + BigInt(sent + i); // no two transactions alike
      const text = solana.depositTransaction(held, { ...request, amount }, blockhash);
      const transaction = VersionedTransaction.deserialize(Buffer.from(text, 'base64'));
      transaction.sign([wallet]);
      const wire = Buffer.from(transaction.serialize()).toString('base64');
      return { jsonrpc: '2.0', id: i, method: 'sendTransaction', params: [wire, { encoding: 'base64' }] };
    });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(rpcUrl, { method: 'POST', headers, body: JSON.stringify(calls) });
    const answers = (await answer.json()) as { result?: string; error?: { message: string } }[];
    const failed = answers.find((a) => a.error);
    if (failed?.error) throw new Error(`The chain refused the load: ${failed.error.message}`);
    last = answers.at(-1)?.result ?? '';
  }
  const status = async () => (await connection.getSignatureStatuses([last])).value[0]?.confirmationStatus;
  while ((await status()) !== 'finalized') await delay(100);
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
