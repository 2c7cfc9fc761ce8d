/** S5, S7, S8: mints of every kind, made by the token programs themselves. */
import {
  AccountState,
  createInitializeDefaultAccountStateInstruction,
  createInitializeInterestBearingMintInstruction,
  createInitializeMetadataPointerInstruction,
  createInitializeMint2Instruction,
  createInitializeMintCloseAuthorityInstruction,
  createInitializeNonTransferableMintInstruction,
  createInitializePermanentDelegateInstruction,
  createInitializeTransferFeeConfigInstruction,
  createInitializeTransferHookInstruction,
  ExtensionType,
  getMintLen,
  TOKEN_2022_PROGRAM_ID as P,
} from '@solana/spl-token';
import { Keypair, PublicKey, type TransactionInstruction } from '@solana/web3.js';
import { SolanaWorld } from './harness.js';
import { judgeMint } from './mints.js';
import type { ChainAccount } from './rpc.js';

let world: SolanaWorld;
beforeAll(async () => {
  world = await SolanaWorld.open();
});
afterAll(() => world.chain.stop());

async function accountAt(address: PublicKey | string): Promise<ChainAccount | null> {
  await world.chain.finalize();
  const pool = world.pool();
  await pool.finalized();
  return (await pool.accounts([new PublicKey(address).toBase58()]))[0] ?? null;
}

type Make = (mint: PublicKey, by: PublicKey) => TransactionInstruction;
const CASES: [string, ExtensionType, Make, RegExp | null][] = [
  [
    'S7 transfer fee, even of nothing',
    ExtensionType.TransferFeeConfig,
    (m, by) => createInitializeTransferFeeConfigInstruction(m, by, by, 0, 0n, P),
    /transfer fee/,
  ],
  [
    'S8 transfer hook',
    ExtensionType.TransferHook,
    (m, by) => createInitializeTransferHookInstruction(m, by, PublicKey.default, P),
    /transfer hook/,
  ],
  [
    'S8 permanent delegate',
    ExtensionType.PermanentDelegate,
    (m, by) => createInitializePermanentDelegateInstruction(m, by, P),
    /permanent delegate/,
  ],
  [
    'S8 frozen by default',
    ExtensionType.DefaultAccountState,
    (m) => createInitializeDefaultAccountStateInstruction(m, AccountState.Frozen, P),
    /default account state/,
  ],
  [
    'close authority',
    ExtensionType.MintCloseAuthority,
    (m, by) => createInitializeMintCloseAuthorityInstruction(m, by, P),
    /close authority/,
  ],
  [
    'non-transferable',
    ExtensionType.NonTransferable,
    (m) => createInitializeNonTransferableMintInstruction(m, P),
    /never be paid out/,
  ],
  [
    'interest',
    ExtensionType.InterestBearingConfig,
    (m, by) => createInitializeInterestBearingMintInstruction(m, by, 5, P),
    /interest/,
  ],
  [
    'metadata pointer',
    ExtensionType.MetadataPointer,
    (m, by) => createInitializeMetadataPointerInstruction(m, by, m, P),
    null,
  ],
];

test.each(CASES)('Token-2022 mint with %s', async (_, type, make, reason) => {
  const mint = Keypair.generate();
  const by = world.user.publicKey;
  const create = await world.create(mint, getMintLen([type]), P);
  await world.run(
    [create, make(mint.publicKey, by), createInitializeMint2Instruction(mint.publicKey, 6, by, by, P)],
    [mint],
  );
  const verdict = judgeMint(await accountAt(mint.publicKey));
  if (reason === null) expect(verdict).toEqual({ listable: true, program: P.toBase58(), decimals: 6, freezable: true });
  else expect(verdict).toEqual({ listable: false, code: 'extension', reason: expect.stringMatching(reason) });
});

test('S5 a plain mint may be listed; an account, a multisig, a wallet and nothing at all are no mints', async () => {
  expect(judgeMint(await accountAt(world.mint.publicKey))).toMatchObject({
    listable: true,
    decimals: 6,
    freezable: false,
  });
  for (const at of [world.token.address, world.multisig.publicKey, world.user.publicKey, Keypair.generate().publicKey])
    expect(judgeMint(await accountAt(at))).toMatchObject({ listable: false, code: 'not-a-mint' });
});

test('S8 an extension nobody knows, and a list that does not end, are refused', async () => {
  const mint = await accountAt(world.mint.publicKey);
  const data = Buffer.alloc(166 + 8);
  data.set(mint?.data ?? []);
  data[165] = 1;
  const at = (type: number, length: number) => {
    data.writeUInt16LE(type, 166);
    data.writeUInt16LE(length, 168);
    return judgeMint({ lamports: 1n, owner: P.toBase58(), executable: false, data });
  };
  expect(at(999, 4)).toMatchObject({ listable: false, reason: expect.stringContaining('999') });
  expect(at(ExtensionType.MetadataPointer, 500)).toMatchObject({ listable: false, code: 'not-a-mint' });
  expect(at(ExtensionType.MetadataPointer, 4)).toMatchObject({ listable: true });
});
