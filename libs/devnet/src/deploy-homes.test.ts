/** What the local stack deploys on Bitcoin and Solana, on their real nodes. */
import { createHash } from 'node:crypto';
import { publicKeyOf, solana } from '@isthmus/chains';
import { AccountLayout, MultisigLayout } from '@solana/spl-token';
import { Connection, PublicKey } from '@solana/web3.js';
import { Purse, startBitcoin } from './bitcoin/index.js';
import { call, deployBitcoin, hasBitcoin } from './deploy-bitcoin.js';
import { deploySolana, hasSolana } from './deploy-solana.js';
import { devWallet } from './accounts.js';
import { Solana } from './solana/index.js';

const secret = (words: string): Buffer => createHash('sha256').update(words).digest();

it('Bitcoin: the wallet pays the vault of the guardians’ keys its first coin, and refuses in Core’s words what it cannot pay', async () => {
  const bitcoin = await startBitcoin({ wallet: Purse.of('faucet') });
  try {
    const rpcUrl = bitcoin.url.replace('http://', `http://${bitcoin.credentials}@`);
    const keys = ['a', 'b', 'c'].map((name) => publicKeyOf(secret(name)));
    const deployed = await deployBitcoin({ rpcUrl, keys, threshold: 2 });
    expect(deployed).toEqual({ vault: expect.stringMatching(/^bcrt1q[a-z0-9]{58}$/), startHeight: 433 });
    const [hash] = await bitcoin.mine();
    const { tx } = await call<{ tx: { vout: { value: number; scriptPubKey: { address: string } }[] }[] }>(
      rpcUrl,
      'getblock',
      hash,
      2,
    );
    expect(tx[1]?.vout[0]).toMatchObject({ value: 0.05, scriptPubKey: { address: deployed.vault } });
    expect(await hasBitcoin(rpcUrl, deployed)).toBe(true);
    expect(await hasBitcoin(rpcUrl, { ...deployed, startHeight: 600 })).toBe(false);
    for (const [address, amount, words] of [
      ['bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq', 1, 'Invalid address'],
      [deployed.vault, 0, 'Invalid amount'],
      [deployed.vault, '1e3', 'Invalid amount'],
      [deployed.vault, 21_000_000, 'does not cover'],
    ] as const)
      await expect(call(rpcUrl, 'sendtoaddress', address, amount)).rejects.toThrow(words);
  } finally {
    await bitcoin.stop();
  }
  const plain = await startBitcoin();
  try {
    const rpcUrl = plain.url.replace('http://', `http://${plain.credentials}@`);
    await expect(call(rpcUrl, 'sendtoaddress', 'x', 1)).rejects.toThrow('Method not found');
  } finally {
    await plain.stop();
  }
});

it('Solana: vaults belong to a multisig of exactly the guardians, and wallets have something to spend', async () => {
  const chain = await Solana.start({ finalizedAfter: 4 });
  try {
    const keys = ['a', 'b', 'c'].map((name) => solana.publicKeyOf(secret(name)));
    const relayer = solana.publicKeyOf(secret('relayer'));
    const deployed = await deploySolana({ rpcUrl: chain.url, keys, threshold: 2, relayer });
    const connection = new Connection(chain.url, 'processed');
    const dataOf = async (address: string): Promise<Buffer> =>
      (await connection.getAccountInfo(new PublicKey(address)))?.data ?? Buffer.alloc(0);
    const { m, n, signer1, signer2, signer3 } = MultisigLayout.decode(await dataOf(deployed.multisig));
    expect([m, n, ...[signer1, signer2, signer3].map((k) => k.toBase58())]).toEqual([2, 3, ...keys]);
    for (const vault of Object.values(deployed.vaults))
      expect(AccountLayout.decode(await dataOf(vault)).owner.toBase58()).toBe(deployed.multisig);
    expect(await connection.getBalance(devWallet(0).publicKey)).toBe(1_000_000_000_000);
    expect(await hasSolana(chain.url, deployed)).toBe(true);
    const nowhere = { ...deployed.vaults, sol: devWallet(9).publicKey.toBase58() };
    expect(await hasSolana(chain.url, { ...deployed, vaults: nowhere })).toBe(false);
    expect(await (await fetch(`${chain.url}/health`)).text()).toBe('ok');
  } finally {
    await chain.stop();
  }
});
