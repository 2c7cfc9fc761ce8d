/** Gas of deposits and releases, whole transactions from their receipts, against Wormhole's token bridge built and run the same way. */
import { releaseTypedData } from '@isthmus/bridge';
import { COIN, PROCESS, RECIPIENT, Stage } from '../contracts/ethereum/stage.js';
import { getAddress, keccak256, slice, stringToHex } from 'viem';
import type { Figure } from './figure.js';

/** Gas of Wormhole's token bridge (EVM contracts, same compiler settings, same node) for the same act. */
const WORMHOLE = {
  'gas.release.eth.5of7': 186_000,
  'gas.release.eth.13of19': 271_000,
  'gas.deposit.eth': 87_500,
  'gas.deposit.erc20': 96_000,
} as const;
const TARGETS = {
  'gas.release.eth': 78_000,
  'gas.release.erc20': 95_000,
  'gas.release.batch20': 28_000,
  'gas.release.eth.5of7': 100_000,
  'gas.release.eth.13of19': 135_000,
  'gas.deposit.eth': 60_000,
  'gas.deposit.erc20': 85_000,
} as const;
type Name = keyof typeof TARGETS;

export async function run(): Promise<Figure[]> {
  return [...(await small()), await large('gas.release.eth.5of7', 7, 5), await large('gas.release.eth.13of19', 19, 13)];
}

async function small(): Promise<Figure[]> {
  const stage = await Stage.open();
  try {
    const token = await stage.token();
    await stage.list(COIN);
    await stage.list(token);
    const depositToken = () => stage.call('Vault', stage.vault, 'deposit', [token, 10n ** 9n, RECIPIENT, '0x']);
    await stage.deposit(10n ** 18n);
    await depositToken();
    const depositEth = (await stage.deposit(10n ** 18n)).gasUsed;
    const depositErc20 = (await depositToken()).gasUsed;
    await stage.call('TestToken', token, 'mint', [stage.other.address, 1n]);
    await stage.release(stage.statement(), 5n);
    const releaseEth = (await stage.release(stage.statement({ number: 2n }), 5n)).gasUsed;
    await stage.release(stage.statement({ number: 3n, asset: token }), 5n);
    const releaseErc20 = (await stage.release(stage.statement({ number: 4n, asset: token }), 5n)).gasUsed;
    return [
      figure('gas.release.eth', releaseEth),
      figure('gas.release.erc20', releaseErc20),
      figure('gas.release.batch20', (await batch(stage)) / 20n),
      figure('gas.deposit.eth', depositEth),
      figure('gas.deposit.erc20', depositErc20),
    ];
  } finally {
    await stage.anvil.stop();
  }
}

/** Twenty releases to twenty accounts that exist. */
async function batch(stage: Stage): Promise<bigint> {
  const statements = Array.from({ length: 20 }, (_, i) =>
    stage.statement({
      number: BigInt(10 + i),
      recipient: getAddress(slice(keccak256(stringToHex(`recipient ${i}`)), 0, 20)),
      amount: 10n ** 15n + BigInt(i),
      maxFee: 10n ** 14n,
    }),
  );
  for (const { recipient } of statements) await stage.chain.setBalance({ address: recipient, value: 1n });
  const data = statements.map((s) => releaseTypedData(stage.domain, s));
  const signatures = await Promise.all(data.map((d) => stage.signatures(d)));
  const receipt = await stage.call('Vault', stage.vault, 'releaseBatch', [
    data.map((d) => d.message),
    data.map(() => 10n ** 13n),
    signatures,
  ]);
  return receipt.gasUsed;
}

async function large(name: Name, n: number, threshold: number): Promise<Figure> {
  const stage = await Stage.open(n, threshold);
  try {
    await stage.list(COIN);
    await stage.deposit(10n ** 18n);
    await stage.release(stage.statement({ process: PROCESS }), 5n);
    return figure(name, (await stage.release(stage.statement({ number: 2n }), 5n)).gasUsed);
  } finally {
    await stage.anvil.stop();
  }
}

function figure(name: Name, gas: bigint): Figure {
  const peer = name in WORMHOLE ? WORMHOLE[name as keyof typeof WORMHOLE] : TARGETS[name];
  const value = Number(gas);
  return {
    area: 'ethereum',
    name,
    value,
    unit: 'gas',
    against: name in WORMHOLE ? 'Wormhole token bridge' : 'the target',
    ratio: value / peer,
    target: `<= ${TARGETS[name]}`,
    ok: value <= TARGETS[name],
  };
}
