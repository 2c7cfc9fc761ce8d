/** Tokens of assets whose home is Bitcoin or Solana: what is minted for deposits there, and where it may be withdrawn to. */
import { WorkerPool } from '@isthmus/ao';
import {
  depositId,
  depositReference,
  encodeDepositLine,
  isRecipientOn,
  NOBODYS,
  RESERVED_KEYS,
  toBase58,
  type DepositObservation,
  type DepositPlace,
} from '@isthmus/bridge';
import { addressOfScript, isBitcoinAddress, networkOf, NETWORKS, chainOf, parseAddress } from '@isthmus/chains';
import { address as bitcoin } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { isXOnlyPoint } from 'tiny-secp256k1';
import { getAddress, type Hex } from 'viem';
import { GUARDIANS, SPAWN_TAGS, tag, TokenProcess } from './harness.js';
import { aosModules, HostedToken, LEAN } from './machines.js';

const [G1, G2] = GUARDIANS as [Hex, Hex];
const ALICE = getAddress(`0x${'ab'.repeat(20)}`);
const BITCOIN = 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328';
const SOLANA = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
const fill = (byte: number, size = 32): Uint8Array => new Uint8Array(size).fill(byte);
const MINT = toBase58(fill(9));

interface Home {
  chain: string;
  asset: string;
  vault: string;
  tx: string;
  place: DepositPlace;
  sender: string;
  recipient: string;
}
const homes: Home[] = [
  {
    chain: BITCOIN,
    asset: `${BITCOIN}/slip44:0`,
    vault: bitcoin.toBech32(fill(5), 0, 'bcrt'),
    tx: 'ab'.repeat(32),
    place: { chain: BITCOIN, txid: 'ab'.repeat(32), vout: 1 },
    sender: '-',
    recipient: bitcoin.toBech32(fill(2), 1, 'bcrt'),
  },
  {
    chain: SOLANA,
    asset: `${SOLANA}/token:${MINT}`,
    vault: toBase58(fill(5)),
    tx: toBase58(fill(7, 64)),
    place: { chain: SOLANA, signature: toBase58(fill(7, 64)), path: '1.2' },
    sender: toBase58(fill(8)),
    recipient: toBase58(fill(6)),
  },
];

/** A key on the chain for each of the three guardians. */
const keysOn = (chain: string): string =>
  [1, 2, 3].map((n) => (chain === SOLANA ? toBase58(fill(n)) : `02${Buffer.from(fill(n)).toString('hex')}`)).join(',');

const tagsOf = ({ chain, asset, vault }: Home): Record<string, string> => ({
  'Isthmus-Chain': chain,
  'Isthmus-Asset': asset,
  'Isthmus-Vault': vault,
  'Isthmus-Guardian-Keys': keysOn(chain),
});
const spawn = (home: Home, more: Record<string, string> = {}): Promise<TokenProcess> =>
  TokenProcess.spawn({ ...SPAWN_TAGS, ...tagsOf(home), ...more });

function observed({ place, tx, sender }: Home): DepositObservation {
  const reference = depositReference(place);
  return { id: depositId(reference), reference, txHash: tx, sender, recipient: ALICE, amount: 1000n, tags: '-' };
}
const attest = (token: TokenProcess, guardian: string, line: string) =>
  token.send(guardian, { Action: 'Attest-Deposits' }, line);
const asking = (recipient: string) => ({ Action: 'Withdraw', Quantity: '100', Recipient: recipient, 'Max-Fee': '5' });
const withdraw = (token: TokenProcess, recipient: string) => token.send(ALICE, asking(recipient));

describe.each(homes)('a token whose home is $chain', (home) => {
  it('I1 I4 mints a deposit once a quorum names it, says where it came from, and pays out there', async () => {
    const token = await spawn(home);
    const line = encodeDepositLine(observed(home));
    expect((await attest(token, G1, line)).events.map((e) => e.type)).toEqual(['deposit.attested']);
    const { sent, events } = await attest(token, G2, line);
    const { reference, txHash, sender } = observed(home);
    expect(events.at(-1)).toMatchObject({ type: 'deposit.minted', reference, txHash, sender, amount: 1000n });
    expect([tag(sent[0], 'Sender'), tag(sent[0], 'Deposit-Reference')]).toEqual([sender, reference]);
    expect((await attest(token, G1, line)).events).toEqual([]);
    expect((await withdraw(token, home.recipient)).events).toMatchObject([
      { type: 'withdrawal.queued', recipient: home.recipient },
    ]);
    const done = `1 ${home.tx} 3 paid`;
    for (const guardian of [G1, G2]) await token.send(guardian, { Action: 'Attest-Release' }, done);
    expect(await token.read('Bridge-Info')).toMatchObject({ supply: '900', inFlight: '0', released: '100' });
  });

  it('E17 X1 takes no deposit of another chain, nor a line that names none', async () => {
    const token = await spawn(home);
    const [other] = homes.filter((h) => h !== home) as [Home];
    const good = encodeDepositLine(observed(home)).split(' ');
    const foreign = encodeDepositLine(observed(other)).split(' ');
    const codes: unknown[] = [];
    for (const line of [
      good.with(1, foreign[1] ?? ''),
      good.with(2, '0x00'),
      good.with(3, '*'),
      good.with(1, `${home.chain}:x:1`),
    ]) {
      const { events } = await attest(token, G1, line.join(' '));
      codes.push(...events.map((e) => e.type === 'guardian.bad-line' && e.code));
    }
    expect(codes).toEqual(['foreign-reference', 'bad-line', 'bad-line', 'foreign-reference']);
  });

  it('A10 I8 burns nothing for a recipient of another chain, the vault, or the asset itself', async () => {
    const token = await spawn(home);
    for (const guardian of [G1, G2]) await attest(token, guardian, encodeDepositLine(observed(home)));
    const [other] = homes.filter((h) => h !== home) as [Home];
    const asked = [other.recipient, ALICE, '', home.vault, ...(home.chain === SOLANA ? [MINT, '1'.repeat(32)] : [])];
    const codes = [];
    for (const recipient of asked) codes.push(tag((await withdraw(token, recipient)).sent[0], 'Error'));
    const own = home.chain === SOLANA ? ['forbidden-recipient', 'bad-recipient'] : [];
    expect(codes).toEqual(['bad-recipient', 'bad-recipient', 'bad-recipient', 'forbidden-recipient', ...own]);
    expect(await token.read('Bridge-Info')).toMatchObject({ supply: '1000', inFlight: '0' });
  });
});

it.each([
  ['Isthmus-Chain', 'cosmos:hub'],
  ['Isthmus-Chain', 'bip122'],
  ['Isthmus-Vault', getAddress(`0x${'5a'.repeat(20)}`)],
])('a process with %s = %p never starts', async (name, value) => {
  await expect(async () => spawn(homes[0] as Home, { [name]: value })).rejects.toThrow(/spawn tag/);
});

it('every recipient the rules take, the process takes, and no other: whatever letter is changed', async () => {
  const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
  const prefix = fc.constantFrom('bc', 'tb', 'bcrt');
  const texts = fc.oneof(
    fc
      .tuple(fc.uint8Array({ minLength: 2, maxLength: 40 }), fc.constantFrom(0, 1, 2, 16), prefix)
      .map(([b, v, p]) => bitcoin.toBech32(b, v, p)),
    fc
      .tuple(fc.constantFrom(20, 32).chain(bytes), fc.constantFrom(0, 1), prefix)
      .map(([b, v, p]) => bitcoin.toBech32(b, v, p)),
    fc.tuple(bytes(20), fc.constantFrom(0, 5, 0x6f, 0xc4)).map(([b, v]) => bitcoin.toBase58Check(b, v)),
    fc.uint8Array({ minLength: 30, maxLength: 34 }).map(toBase58),
    fc.constantFrom(...RESERVED_KEYS, ...NOBODYS),
    fc.string({ maxLength: 95 }),
  );
  const tokens = await Promise.all(homes.map((home) => spawn(home)));
  await fc.assert(
    fc.asyncProperty(
      texts,
      fc.nat(),
      fc.option(fc.constantFrom(...Array.from('01bilqpzryOIlZ '))),
      async (text, at, letter) => {
        const said =
          letter === null || text === ''
            ? text
            : Array.from(text)
                .with(at % Array.from(text).length, letter)
                .join('');
        for (const [i, token] of tokens.entries()) {
          const home = homes[i] as Home;
          const code = tag((await withdraw(token, said)).sent[0], 'Error');
          const expected = isRecipientOn(home.chain, said) && said !== home.vault && said !== MINT;
          expect([said, code !== 'bad-recipient' && code !== 'forbidden-recipient']).toEqual([said, expected]);
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('S20 A10 burns nothing for a key of Solana’s runtime, whatever the key', async () => {
  const token = await spawn(homes[1] as Home);
  const codes = [];
  for (const key of [...RESERVED_KEYS, ...NOBODYS]) codes.push(tag((await withdraw(token, key)).sent[0], 'Error'));
  expect(new Set(codes)).toEqual(new Set(['bad-recipient']));
  const near = toBase58(fill(6));
  expect(tag((await withdraw(token, near)).sent[0], 'Error')).toBe('insufficient-balance');
});

/** Whether the process would burn for a recipient: other refusals are of something else, such as the balance. */
const takes = async (token: TokenProcess, recipient: string): Promise<boolean> =>
  tag((await withdraw(token, recipient)).sent[0], 'Error') !== 'bad-recipient';

describe('A10 a recipient on Bitcoin', () => {
  it.each(Object.values(NETWORKS))(
    'that the process burns for is one that can be paid, and the other way round, on $name',
    async (network) => {
      const [chain, prefix] = [chainOf(network), network.bech32];
      const vault = bitcoin.toBech32(fill(5), 0, prefix);
      const token = await spawn({ ...(homes[0] as Home), chain, asset: `${chain}/slip44:0`, vault });
      const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
      const met = { taken: 0, refused: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(
            bytes(32).map((key) => bitcoin.toBech32(key, 1, prefix)),
            fc.tuple(fc.constantFrom(20, 32).chain(bytes), fc.nat(16)).map(([b, v]) => bitcoin.toBech32(b, v, prefix)),
            fc.tuple(bytes(20), fc.constantFrom(0, 5, 0x6f, 0xc4)).map(([b, v]) => bitcoin.toBase58Check(b, v)),
            bytes(20).map((b) => bitcoin.toBech32(b, 0, 'bc')),
          ),
          async (text) => {
            const taken = await takes(token, text);
            met[taken ? 'taken' : 'refused'] += 1;
            expect([text, isBitcoinAddress(text, network), isRecipientOn(chain, text)]).toEqual([text, taken, taken]);
            if (taken) expect(addressOfScript(parseAddress(text, networkOf(chain)).script)).not.toBeNull();
          },
        ),
        { numRuns: 200 },
      );
      expect(Math.min(met.taken, met.refused)).toBeGreaterThan(20);
    },
  );

  it.each([LEAN, ...aosModules()])('is no taproot key off the curve, the same on $name', async (machine) => {
    const [home] = homes as [Home, Home];
    const tags = { ...SPAWN_TAGS, ...tagsOf(home) };
    const pool = new WorkerPool(1);
    const token = await HostedToken.live(machine, pool, { tags });
    const prime = 2n ** 256n - 2n ** 32n - 977n;
    const keys = [
      0n,
      1n,
      2n,
      3n,
      4n,
      5n,
      6n,
      prime - 1n,
      prime - 2n,
      prime - 3n,
      prime,
      prime + 1n,
      2n ** 256n - 1n,
      2n ** 255n,
    ]
      .map((x) => x.toString(16).padStart(64, '0'))
      .concat(
        'eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34', // on no curve
        '79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798', // the generator
      )
      .map((hex) => Buffer.from(hex, 'hex'));
    const verdicts = [];
    for (const key of keys) {
      const { Messages } = await token.send(ALICE, asking(bitcoin.toBech32(key, 1, 'bcrt')));
      verdicts.push(tag(Messages[0], 'Error') === 'insufficient-balance');
    }
    await pool.stop();
    expect(verdicts).toEqual(keys.map((key) => isXOnlyPoint(key)));
    expect(verdicts.slice(-2)).toEqual([false, true]);
    expect(new Set(verdicts.slice(0, 10)).size).toBe(2);
    expect(verdicts.slice(10, 13)).toEqual([false, false, false]);
  });
});
