/** What is remembered of nonces. */
import type { solana } from '@isthmus/chains';
import { Keypair, NONCE_ACCOUNT_LENGTH, SystemProgram } from '@solana/web3.js';
import { Nonces } from './nonces.js';

const authority = Keypair.generate().publicKey;

/** A nonce account as the system program writes it. */
function account(value: number): solana.ChainAccount {
  const data = Buffer.alloc(NONCE_ACCOUNT_LENGTH, value);
  data.writeUInt32LE(1, 0);
  data.writeUInt32LE(1, 4);
  authority.toBuffer().copy(data, 8);
  return { lamports: 1n, owner: SystemProgram.programId.toBase58(), data, executable: false };
}

it('S19 however many others were asked after, those of the pool are known as they were read', async () => {
  let slot = 0;
  const asked: string[] = [];
  const nonces = new Nonces(
    {
      accountsAt: (addresses) => {
        asked.push(...addresses);
        return Promise.resolve({ accounts: addresses.map(() => account(7)), slot: (slot += 1) });
      },
    },
    ['pool 1', 'pool 2'],
  );
  await nonces.read();
  const before = nonces.at('pool 1');
  expect(before).toMatchObject({ authority: authority.toBase58(), slot: 1 });
  for (let i = 0; i < 2_500; i += 1) expect((await nonces.of(`other ${i}`)).value).toBe(before?.value);
  expect([nonces.at('pool 1'), nonces.at('pool 2')]).toEqual([before, before]);
  expect(nonces.at('other 0')).toBeNull();
  expect(asked.filter((a) => a.startsWith('pool'))).toHaveLength(2);
});
