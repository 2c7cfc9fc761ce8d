/** The vault's rules, each with what it refuses, on a real node. Every test starts from the same chain state. */
import {
  packSignature,
  releaseTypedData,
  rotateTypedData,
  pauseTypedData,
  unpauseTypedData,
  type ReleaseStatement,
} from '@isthmus/bridge';
import { decodeVaultLogs, VaultLogError, type RawLog, type VaultLog } from '@isthmus/chains';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import {
  BaseError,
  ContractFunctionRevertedError,
  decodeErrorResult,
  encodeFunctionData,
  getAddress,
  getContractAddress,
  hashTypedData,
  hexToBytes,
  keccak256,
  maxUint256,
  numberToHex,
  parseEventLogs,
  RpcRequestError,
  stringToHex,
  zeroAddress,
  type Hex,
  type PrivateKeyAccount,
  type TransactionReceipt,
} from 'viem';
import { receiptOf } from '@isthmus/devnet';
import { privateKeyToAccount, privateKeyToAddress } from 'viem/accounts';
import { COIN, PROCESS, RECIPIENT, Stage } from './stage.js';

const ETHER = 10n ** 18n;
let stage: Stage;
let snapshot: Hex;

beforeAll(async () => {
  stage = await Stage.open();
  await stage.list(COIN);
});
afterAll(() => stage.anvil.stop());
beforeEach(async () => {
  snapshot = await stage.chain.snapshot();
});
afterEach(async () => {
  await stage.chain.revert({ id: snapshot });
  stage.epoch = 1n;
});

/** Name of the typed error a call is refused with, or what happened instead. */
async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'accepted';
  } catch (error) {
    if (!(error instanceof BaseError)) throw error;
    const cause = error.walk((e) => e instanceof ContractFunctionRevertedError);
    if (cause instanceof ContractFunctionRevertedError) return cause.reason ?? cause.data?.errorName ?? 'no reason';
    const answer = error.walk((e) => e instanceof RpcRequestError && typeof e.data === 'string'); // a deployment
    if (!(answer instanceof RpcRequestError)) throw error;
    return decodeErrorResult({ abi: stage.artifact('Vault').abi, data: answer.data as Hex }).errorName;
  }
}

async function rawLogs(receipt: TransactionReceipt): Promise<RawLog[]> {
  const raw = await stage.client.request({ method: 'eth_getTransactionReceipt', params: [receipt.transactionHash] });
  return (raw?.logs ?? []) as RawLog[];
}

const ofVault = (logs: readonly RawLog[]): RawLog[] =>
  logs.filter((log) => log.address.toLowerCase() === stage.vault.toLowerCase());

async function vaultLogs(receipt: TransactionReceipt): Promise<VaultLog[]> {
  return decodeVaultLogs(stage.vault, ofVault(await rawLogs(receipt)));
}

async function held(receipt: TransactionReceipt): Promise<boolean[]> {
  return (await vaultLogs(receipt)).flatMap((log) => (log.type === 'released' ? [log.held] : []));
}

function skipped(receipt: TransactionReceipt): { number: bigint; reason: number }[] {
  const logs = parseEventLogs({ abi: stage.artifact('Vault').abi, logs: receipt.logs, eventName: 'ReleaseSkipped' });
  return logs.map((log) => log.args as unknown as { number: bigint; reason: number });
}

/** A statement signed by any key, packed under any index. */
async function signedBy(account: PrivateKeyAccount, data: unknown, index = 0): Promise<Hex> {
  return packSignature(index, await account.signTypedData(data as Parameters<typeof account.signTypedData>[0]));
}

const depositToken = (asset: Hex, amount: bigint, recipient: Hex = RECIPIENT) =>
  stage.call('Vault', stage.vault, 'deposit', [asset, amount, recipient, '0x']);
const locked = (asset: Hex = COIN) => stage.read<bigint>('locked', [asset]);
const claimable = (who: Hex, asset: Hex = COIN) => stage.read<bigint>('claimable', [who, asset]);
const coins = (address: Hex) => stage.client.getBalance({ address });
const tokens = (name: string, asset: Hex, holder: Hex) =>
  stage.client.readContract({
    abi: stage.artifact(name).abi,
    address: asset,
    functionName: 'balanceOf',
    args: [holder],
  }) as Promise<bigint>;

/** A listed token of some kind, the vault approved for all the holder has. */
async function listed(name: string, args: readonly unknown[] = [], amount = 10n ** 30n): Promise<Hex> {
  const asset = await stage.deploy(name, args);
  await stage.call(name, asset, 'mint', [stage.account.address, amount]);
  await stage.call(name, asset, 'approve', [stage.vault, maxUint256]);
  await stage.list(asset);
  return asset;
}

async function batch(
  statements: readonly ReleaseStatement[],
  fees: readonly bigint[] = statements.map(() => 0n),
  by?: readonly number[],
): Promise<TransactionReceipt> {
  const args = await Promise.all(statements.map((s, i) => stage.releaseArgs(s, fees[i], by)));
  return stage.call('Vault', stage.vault, 'releaseBatch', [args.map((a) => a[0]), fees, args.map((a) => a[2])]);
}

describe('deposits', () => {
  it('locks what arrives and numbers deposits from 1, for Arweave and Ethereum recipients', async () => {
    const first = await vaultLogs(await stage.deposit(7n, RECIPIENT, stringToHex('X-A=1')));
    const second = await vaultLogs(await stage.deposit(8n, stage.other.address));
    expect(first).toMatchObject([
      { type: 'deposited', sequence: 1n, asset: COIN, sender: stage.account.address, amount: 7n },
    ]);
    expect(first).toMatchObject([{ recipient: Buffer.alloc(32, 0xab), tags: Buffer.from('X-A=1') }]);
    expect(second).toMatchObject([
      { sequence: 2n, amount: 8n, recipient: Buffer.from(hexToBytes(stage.other.address)) },
    ]);
    expect([await locked(), await stage.read('sequence'), await coins(stage.vault)]).toEqual([15n, 2n, 15n]);
  });

  it('E9 two deposits in one transaction are two credits', async () => {
    const router = await stage.deploy('Lookalike');
    const receipt = await stage.call('Lookalike', router, 'twice', [stage.vault, RECIPIENT], 20n);
    expect((await vaultLogs(receipt)).map((l) => l.type === 'deposited' && [l.sequence, l.amount])).toEqual([
      [1n, 10n],
      [2n, 10n],
    ]);
  });

  it('E3 a look-alike’s event and the vault’s code run elsewhere are nobody’s deposits', async () => {
    const router = await stage.deploy('Lookalike');
    const logs = await rawLogs(
      await stage.call('Lookalike', router, 'both', [stage.vault, 99n, 10n ** 30n, RECIPIENT], 5n),
    );
    expect(logs).toHaveLength(2);
    expect(() => decodeVaultLogs(stage.vault, logs)).toThrow(VaultLogError);
    expect(decodeVaultLogs(stage.vault, ofVault(logs))).toMatchObject([{ sequence: 1n, amount: 5n, sender: router }]);
    const data = encodeFunctionData({
      abi: stage.artifact('Vault').abi,
      functionName: 'deposit',
      args: [RECIPIENT, '0x'],
    });
    expect(await refusal(stage.call('Lookalike', router, 'delegated', [stage.vault, data], 5n))).toBe('delegatecall');
  });

  it('E10 a fee-on-transfer token credits what arrived', async () => {
    const asset = await listed('FeeToken');
    const [log] = await vaultLogs(await depositToken(asset, 1000n));
    expect(log).toMatchObject({ amount: 990n });
    expect([await locked(asset), await tokens('FeeToken', asset, stage.vault)]).toEqual([990n, 990n]);
  });

  it('E11 a rebasing token shows locked against balance, both ways', async () => {
    const asset = await listed('RebaseToken');
    await depositToken(asset, 1000n);
    await stage.call('RebaseToken', asset, 'rebase', [150n]);
    expect([await locked(asset), await tokens('RebaseToken', asset, stage.vault)]).toEqual([1000n, 1500n]);
    await stage.call('RebaseToken', asset, 'rebase', [50n]);
    expect([await locked(asset), await tokens('RebaseToken', asset, stage.vault)]).toEqual([1000n, 500n]);
    // What is no longer there cannot be paid: it is held, not lost and not taken from anyone else.
    expect(await held(await stage.release(stage.statement({ asset, amount: 900n })))).toEqual([true]);
    expect([await locked(asset), await claimable(stage.other.address, asset)]).toEqual([100n, 900n]);
  });

  it('E12 a token’s hook cannot get back in, neither for deposits, releases, claims nor decisions', async () => {
    const asset = await listed('HookToken');
    await stage.deposit(ETHER);
    const abi = stage.artifact('Vault').abi;
    const release = await stage.releaseArgs(stage.statement({ number: 50n }));
    const nonce = await stage.read<bigint>('decisions');
    const pause = await stage.signatures(pauseTypedData(stage.domain, { epoch: 1n, nonce }), [0]);
    const inward = [
      encodeFunctionData({ abi, functionName: 'deposit', args: [asset, 1n, RECIPIENT, '0x'] }),
      encodeFunctionData({ abi, functionName: 'release', args: release }),
      encodeFunctionData({ abi, functionName: 'releaseBatch', args: [[release[0]], [0n], [release[2]]] }),
      encodeFunctionData({ abi, functionName: 'claim', args: [asset, asset] }),
      encodeFunctionData({ abi, functionName: 'pause', args: [pause] }),
    ];
    for (const [i, data] of inward.entries()) {
      await stage.call('HookToken', asset, 'hook', [stage.vault, data]);
      await depositToken(asset, 1000n);
      await stage.release(stage.statement({ number: BigInt(i + 1), asset, amount: 500n }));
      await batch([stage.statement({ number: BigInt(i + 101), asset, amount: 500n })]);
    }
    const reentered = await stage.client.readContract({
      abi: stage.artifact('HookToken').abi,
      address: asset,
      functionName: 'reentered',
    });
    expect([reentered, await locked(asset), await stage.read('paused')]).toEqual([false, 0n, false]);
    // The same calls are good from outside: it is the way in that was refused.
    expect(await refusal(stage.call('Vault', stage.vault, 'release', release))).toBe('accepted');
    expect(await refusal(stage.call('Vault', stage.vault, 'pause', [pause]))).toBe('accepted');
  });

  it('E13 a token that returns nothing works, one that returns false is refused or held', async () => {
    const silent = await listed('OddToken', [true]);
    await depositToken(silent, 1000n);
    expect(await held(await stage.release(stage.statement({ asset: silent })))).toEqual([false]);
    expect(await tokens('OddToken', silent, stage.other.address)).toBe(1000n);

    const liar = await listed('OddToken', [false]);
    await depositToken(liar, 1000n);
    await stage.call('OddToken', liar, 'lie', [true]);
    expect(await refusal(depositToken(liar, 5n))).not.toBe('accepted');
    expect(await held(await stage.release(stage.statement({ number: 2n, asset: liar }), 4n))).toEqual([true]);
    expect([await claimable(stage.other.address, liar), await claimable(stage.account.address, liar)]).toEqual([
      996n,
      4n,
    ]);
    const claim = () => stage.call('Vault', stage.vault, 'claim', [liar, stage.other.address], 0n, stage.other);
    expect(await refusal(claim())).toBe('ClaimFailed');
    await stage.call('OddToken', liar, 'lie', [false]);
    await claim();
    expect(await tokens('OddToken', liar, stage.other.address)).toBe(996n);
    expect(await refusal(claim())).toBe('NothingToClaim');
  });

  it('E13 a silent token that moves nothing credits nothing', async () => {
    const silent = await listed('OddToken', [true]);
    await stage.call('OddToken', silent, 'lie', [true]);
    expect(await refusal(depositToken(silent, 5n))).toBe('BelowMinimum');
  });

  it('E14 an address without code is no asset', async () => {
    const nobody: Hex = '0x00000000000000000000000000000000000b0d13';
    const permit = [nobody, 5n, RECIPIENT, '0x', maxUint256, 27, `0x${'11'.repeat(32)}`, `0x${'11'.repeat(32)}`];
    expect(await refusal(stage.list(nobody))).toBe('NoCode');
    expect(await refusal(depositToken(nobody, 5n))).toBe('NoCode');
    expect(await refusal(depositToken(zeroAddress, 5n))).toBe('NoCode');
    expect(await refusal(stage.call('Vault', stage.vault, 'depositWithPermit', permit))).toBe('NoCode');
  });

  it('E15 amounts: zero, one, the last that fits and those beyond', async () => {
    expect(await refusal(stage.deposit(0n))).toBe('BelowMinimum');
    expect(await refusal(stage.deposit(1n))).toBe('accepted');
    const asset = await listed('TestToken', ['Big', 'BIG', 18], maxUint256);
    for (const amount of [2n ** 112n, 2n ** 128n, maxUint256])
      expect(await refusal(depositToken(asset, amount))).toBe('AboveCapacity');
    await depositToken(asset, 2n ** 112n - 1n);
    expect(await refusal(depositToken(asset, 1n))).toBe('AboveCapacity');
    expect(await locked(asset)).toBe(2n ** 112n - 1n);
  });

  it.each([0, 6, 8, 18, 24])('E16 a token with %i decimals goes through in base units', async (decimals) => {
    const asset = await listed('TestToken', ['Token', 'TKN', decimals]);
    const one = 10n ** BigInt(decimals);
    await depositToken(asset, one);
    await stage.list(asset, { limit: one });
    await stage.release(stage.statement({ asset, amount: one, maxFee: 0n }));
    expect([await locked(asset), await tokens('TestToken', asset, stage.other.address)]).toEqual([0n, one]);
  });

  it.each([0, 1, 19, 21, 31, 33, 64, 10_240])('E18 a recipient of %i bytes is refused', async (length) => {
    expect(await refusal(stage.deposit(5n, `0x${'ab'.repeat(length)}`))).toBe('BadRecipient');
  });

  it('tags end at 2,048 bytes', async () => {
    expect(await refusal(stage.deposit(5n, RECIPIENT, `0x${'61'.repeat(2048)}`))).toBe('accepted');
    expect(await refusal(stage.deposit(5n, RECIPIENT, `0x${'61'.repeat(2049)}`))).toBe('TagsTooLong');
  });

  it('an asset is listed first, has its minimum, and when closed still pays out', async () => {
    const asset = await stage.token();
    expect(await refusal(depositToken(asset, 50n))).toBe('AssetNotOpen');
    await stage.list(asset, { minDeposit: 50n });
    expect(await refusal(depositToken(asset, 49n))).toBe('BelowMinimum');
    await depositToken(asset, 50n);
    await stage.list(asset, { open: false });
    expect(await refusal(depositToken(asset, 50n))).toBe('AssetNotOpen');
    expect(await held(await stage.release(stage.statement({ asset, amount: 50n })))).toEqual([false]);
  });

  it('coin sent without a recipient on AO is refused', async () => {
    await expect(stage.wallet().sendTransaction({ to: stage.vault, value: 5n })).rejects.toThrow();
    expect(await coins(stage.vault)).toBe(0n);
  });

  it('a permit somebody else has used first does not break the deposit; without approval it is refused', async () => {
    const asset = await stage.deploy('TestToken', ['Token', 'TKN', 6]);
    await stage.call('TestToken', asset, 'mint', [stage.account.address, 1000n]);
    await stage.list(asset);
    const permit = async (value: bigint, nonce: bigint) => {
      const signature = await stage.account.signTypedData({
        domain: { name: 'Token', version: '1', chainId: stage.domain.chainId, verifyingContract: asset },
        types: {
          Permit: ['owner', 'spender']
            .map((name) => ({ name, type: 'address' }))
            .concat(['value', 'nonce', 'deadline'].map((name) => ({ name, type: 'uint256' }))),
        },
        primaryType: 'Permit',
        message: { owner: stage.account.address, spender: stage.vault, value, nonce, deadline: maxUint256 },
      });
      const bytes = signature.slice(2);
      return [maxUint256, Number(`0x${bytes.slice(128)}`), `0x${bytes.slice(0, 64)}`, `0x${bytes.slice(64, 128)}`];
    };
    const deposit = (value: bigint, signed: unknown[]) =>
      stage.call('Vault', stage.vault, 'depositWithPermit', [asset, value, RECIPIENT, '0x', ...signed]);

    await deposit(100n, await permit(100n, 0n));
    const second = await permit(200n, 1n);
    await stage.call(
      'TestToken',
      asset,
      'permit',
      [stage.account.address, stage.vault, 200n, ...second],
      0n,
      stage.other,
    );
    await deposit(200n, second);
    expect(await locked(asset)).toBe(300n);
    expect(await refusal(deposit(200n, second))).not.toBe('accepted');
  });
});

describe('releases', () => {
  beforeEach(() => stage.deposit(ETHER));

  it('pays the recipient the amount less the fee and the submitter the fee, from what is locked', async () => {
    const before = await coins(stage.other.address);
    const fees = await coins(stage.account.address);
    const receipt = await stage.release(stage.statement({ amount: 1000n, maxFee: 10n }), 7n);
    expect((await coins(stage.other.address)) - before).toBe(993n);
    expect((await coins(stage.account.address)) - fees).toBe(7n - receipt.gasUsed * receipt.effectiveGasPrice);
    expect([await locked(), await coins(stage.vault)]).toEqual([ETHER - 1000n, ETHER - 1000n]);
    expect(await vaultLogs(receipt)).toMatchObject([
      {
        type: 'released',
        process: PROCESS,
        number: 1n,
        asset: COIN,
        recipient: stage.other.address,
        amount: 1000n,
        fee: 7n,
        held: false,
      },
    ]);
  });

  it('I2 a withdrawal is paid once: alone, again, in a batch, twice in one batch', async () => {
    await stage.release(stage.statement());
    expect(
      await stage.read('isReleased', [releaseTypedData(stage.domain, stage.statement()).message.process, 1n]),
    ).toBe(true);
    expect(await refusal(stage.release(stage.statement()))).toBe('AlreadyReleased');
    expect(await refusal(stage.release(stage.statement({ amount: 5n, maxFee: 0n })))).toBe('AlreadyReleased');
    const twice = stage.statement({ number: 2n });
    const other = stage.statement({ number: 300n });
    const receipt = await batch([stage.statement(), twice, other, twice]);
    expect(skipped(receipt)).toMatchObject([
      { number: 1n, reason: 1 },
      { number: 2n, reason: 1 },
    ]);
    expect(await held(receipt)).toHaveLength(2);
    expect(await locked()).toBe(ETHER - 3000n);
  });

  it('I4 E22 fewer than M guardians release nothing, whoever they are and however they repeat themselves', async () => {
    const statement = stage.statement();
    for (const by of [[], [0], [1], [2], [0, 1, 2]])
      expect(await refusal(stage.release(statement, 0n, by))).toBe('WrongSignatureCount');
    const data = releaseTypedData(stage.domain, statement);
    const one = (await stage.signatures(data, [1])).slice(2);
    const outsider = privateKeyToAccount(keccak256(stringToHex('outsider')));
    const foreign = (await signedBy(outsider, data)).slice(2);
    const named = (index: string, of: string) => index + of.slice(2);
    const tricks: Record<string, string> = {
      'the same signature twice': one + one,
      'the same signer under two names': one + named('02', one),
      'an outsider under a guardian’s name': one + named('02', foreign),
      'an outsider beyond the list': one + named('03', foreign),
      'the last index there is': one + named('ff', foreign),
      'a guardian under another’s name': named('00', one) + one,
      nonsense: one + `02${'00'.repeat(64)}`,
    };
    for (const [trick, signatures] of Object.entries(tricks)) {
      const call = stage.call('Vault', stage.vault, 'release', [data.message, 0n, `0x${signatures}`]);
      expect([trick, await refusal(call)]).toEqual([trick, 'BadSignature']);
    }
    expect(await locked()).toBe(ETHER);
    expect(await refusal(stage.release(statement, 0n, [0, 2]))).toBe('accepted');
  });

  it('E22 unsorted signers are refused', async () => {
    const data = releaseTypedData(stage.domain, stage.statement());
    const [first, second] = await Promise.all([stage.signatures(data, [0]), stage.signatures(data, [1])]);
    const submit = (signatures: Hex) => stage.call('Vault', stage.vault, 'release', [data.message, 0n, signatures]);
    expect(await refusal(submit(`${second}${first.slice(2)}`))).toBe('BadSignature');
    expect(await refusal(submit(`${first}${second.slice(2)}`))).toBe('accepted');
  });

  it('E22 a high-s signature is refused though it recovers to a guardian', async () => {
    // The packed form has room for very few high values of s, so the guardian's key is made to fit one: d = (s·k - z) / r.
    const { Fn } = secp256k1.Point;
    const n = Fn.ORDER;
    const k = 0x1234567n;
    const point = secp256k1.Point.BASE.multiply(k).toAffine();
    const s = n / 2n + 1n;
    const nonce = await stage.client.getTransactionCount({ address: stage.account.address });
    const vault = getContractAddress({ from: stage.account.address, nonce: BigInt(nonce) });
    const data = releaseTypedData({ ...stage.domain, vault }, stage.statement({ amount: 0n, maxFee: 0n })); // the new vault is empty
    const z = BigInt(hashTypedData(data));
    const key = numberToHex(Fn.div(Fn.sub(Fn.mul(s, k), Fn.create(z)), Fn.create(point.x)), { size: 32 });
    const guardian = privateKeyToAddress(key);
    expect(await stage.deploy('Vault', [[guardian], 1, 1])).toBe(vault);
    const packed = (sValue: bigint, parity: bigint): Hex =>
      `0x00${numberToHex(point.x, { size: 32 }).slice(2)}${numberToHex(sValue | (parity << 255n), { size: 32 }).slice(2)}`;
    const parity = point.y & 1n;
    const high = packed(s, parity);
    const low = packed(n - s, 1n - parity);
    const submit = (signature: Hex) => stage.call('Vault', vault, 'release', [data.message, 0n, signature]);
    expect(await refusal(submit(high))).toBe('BadSignature');
    expect(await refusal(submit(low))).toBe('accepted');
  });

  it('E23 signatures are good for exactly one content', async () => {
    const token = await stage.token();
    await stage.list(token);
    await depositToken(token, ETHER);
    const statement = stage.statement();
    const signatures = (await stage.releaseArgs(statement))[2];
    const changes: Partial<ReleaseStatement>[] = [
      { amount: 1001n },
      { recipient: stage.account.address },
      { asset: token },
      { number: 2n },
      { maxFee: 11n },
      { process: 'Q'.repeat(42) + 'A' },
    ];
    for (const change of changes) {
      const { message } = releaseTypedData(stage.domain, { ...statement, ...change });
      expect(await refusal(stage.call('Vault', stage.vault, 'release', [message, 0n, signatures]))).toBe(
        'BadSignature',
      );
    }
    expect(await refusal(stage.release(statement))).toBe('accepted');
  });

  it('E17 X1 E23 signatures for another chain, vault, name, version or epoch are worthless', async () => {
    const data = releaseTypedData(stage.domain, stage.statement());
    const submit = async (changed: unknown) =>
      refusal(stage.call('Vault', stage.vault, 'release', [data.message, 0n, await stage.signatures(changed)]));
    const domains = [
      { chainId: 1 },
      { verifyingContract: stage.other.address },
      { name: 'Isthmus Vault Testnet' },
      { version: '2' },
    ];
    for (const change of domains)
      expect(await submit({ ...data, domain: { ...data.domain, ...change } })).toBe('BadSignature');
    for (const epoch of [0n, 2n, 2n ** 32n + 1n])
      expect(await submit({ ...data, message: { ...data.message, epoch } })).toBe('BadSignature');
    expect(await submit(data)).toBe('accepted');
  });

  it('X1 a vault of the same guardians at another address takes no signature of this one', async () => {
    const twin = await stage.deploy('Vault', [stage.guardians.map((g) => g.address), 2, 1]);
    const args = await stage.releaseArgs(stage.statement({ amount: 0n, maxFee: 0n }));
    expect(await refusal(stage.call('Vault', twin, 'release', args))).toBe('BadSignature');
    expect(await refusal(stage.call('Vault', stage.vault, 'release', args))).toBe('accepted');
  });

  it('the fee stays within what was signed, and that within the amount', async () => {
    expect(await refusal(stage.release(stage.statement({ maxFee: 10n }), 11n))).toBe('FeeTooHigh');
    expect(await refusal(stage.release(stage.statement({ amount: 9n, maxFee: 10n }), 1n))).toBe('FeeTooHigh');
    expect(await refusal(batch([stage.statement({ maxFee: 10n })], [11n]))).toBe('FeeTooHigh');
    expect(await refusal(stage.release(stage.statement({ amount: 10n, maxFee: 10n }), 10n))).toBe('accepted');
  });

  it('no more leaves than is locked of that asset', async () => {
    const token = await stage.token();
    await stage.list(token);
    await depositToken(token, 10n);
    await stage.call('TestToken', token, 'transfer', [stage.vault, 1000n]); // surplus is nobody's to release
    expect(await refusal(stage.release(stage.statement({ asset: token, amount: 11n, maxFee: 0n })))).toBe('NotLocked');
    expect(await refusal(stage.release(stage.statement({ asset: token, amount: 10n, maxFee: 0n })))).toBe('accepted');
  });

  it('X3 withdrawal numbers do not touch each other, from 0 to the last', async () => {
    const numbers = [0n, 1n, 255n, 256n, 257n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
    const { process } = releaseTypedData(stage.domain, stage.statement()).message;
    for (const number of numbers) {
      expect(await stage.read('isReleased', [process, number])).toBe(false);
      await stage.release(stage.statement({ number }));
      expect(await refusal(stage.release(stage.statement({ number })))).toBe('AlreadyReleased');
    }
    expect(await stage.read('isReleased', [process, 2n])).toBe(false);
    await stage.release(stage.statement({ process: 'Q'.repeat(42) + 'A' }));
    expect(await locked()).toBe(ETHER - 9000n);
  });
});

describe('recipients that cannot be paid', () => {
  const MOODS = { accept: 0, revert: 1, burnGas: 2, returnBomb: 3, spend: 4 } as const;
  beforeEach(() => stage.deposit(ETHER));

  it.each([
    ['reverts', MOODS.revert],
    ['burns all gas', MOODS.burnGas],
  ])('a recipient that %s is credited, and takes it once when it can', async (_, mood) => {
    const recipient = await stage.deploy('Recipient', [mood]);
    const receipt = await stage.release(stage.statement({ recipient }), 5n);
    expect(await held(receipt)).toEqual([true]);
    expect([await locked(), await claimable(getAddress(recipient)), await coins(stage.vault)]).toEqual([
      ETHER - 1000n,
      995n,
      ETHER - 5n,
    ]);
    await stage.call('Recipient', recipient, 'setMood', [MOODS.accept]);
    await stage.call('Recipient', recipient, 'claim', [stage.vault, COIN, recipient]);
    expect([await coins(recipient), await claimable(recipient), await coins(stage.vault)]).toEqual([
      995n,
      0n,
      ETHER - 1000n,
    ]);
    expect(await refusal(stage.call('Recipient', recipient, 'claim', [stage.vault, COIN, recipient]))).toBe('claim');
  });

  it('a recipient that returns 100 kB is paid, and nobody pays for copying that', async () => {
    const recipient = await stage.deploy('Recipient', [MOODS.returnBomb]);
    const receipt = await stage.release(stage.statement({ recipient }), 5n);
    expect([await held(receipt), await coins(recipient)]).toEqual([[false], 995n]);
    expect(receipt.gasUsed).toBeLessThan(155_000n); // 28,000 to make the bytes, as many again to take them in
  });

  it('one bad recipient in a batch keeps nobody else from theirs', async () => {
    const bad = await stage.deploy('Recipient', [MOODS.burnGas]);
    const before = await coins(stage.other.address);
    const statements = [1n, 2n, 3n].map((number) =>
      stage.statement({ number, recipient: number === 2n ? bad : stage.other.address }),
    );
    expect(await held(await batch(statements))).toEqual([false, true, false]);
    expect((await coins(stage.other.address)) - before).toBe(2000n);
  });

  /** What a submitter can get by choosing the gas: `paid`, `held` or `reverted`, for many limits. */
  async function outcomes(statement: ReleaseStatement, from: bigint, to: bigint, step: bigint): Promise<Set<string>> {
    const args = await stage.releaseArgs(statement);
    const seen = new Set<string>();
    for (let gas = from; gas <= to; gas += step) {
      const id = await stage.chain.snapshot();
      const hash = await stage.wallet().writeContract({
        abi: stage.artifact('Vault').abi,
        address: stage.vault,
        functionName: 'release',
        args,
        gas,
      });
      const receipt = await receiptOf(stage.client, hash);
      if (receipt.status === 'reverted') seen.add('reverted');
      else seen.add((await held(receipt))[0] ? 'held' : 'paid');
      await stage.chain.revert({ id });
    }
    return seen;
  }

  it('a submitter cannot make a good payment fail by sending too little gas: coin', async () => {
    const recipient = await stage.deploy('Recipient', [MOODS.spend]);
    expect([...(await outcomes(stage.statement({ recipient }), 80_000n, 220_000n, 4_000n))].sort()).toEqual([
      'paid',
      'reverted',
    ]);
  });

  it('a submitter cannot make a good payment fail by sending too little gas: token', async () => {
    const asset = await listed('GreedyToken');
    await depositToken(asset, 1000n);
    expect([...(await outcomes(stage.statement({ asset }), 250_000n, 500_000n, 6_000n))].sort()).toEqual([
      'paid',
      'reverted',
    ]);
  });

  it('a fee its submitter cannot take is credited to it', async () => {
    const router = await stage.deploy('Lookalike'); // takes no coin
    const data = encodeFunctionData({
      abi: stage.artifact('Vault').abi,
      functionName: 'release',
      args: await stage.releaseArgs(stage.statement(), 5n),
    });
    await stage.call('Lookalike', router, 'forward', [stage.vault, data]);
    expect([await claimable(router), await coins(stage.vault)]).toEqual([5n, ETHER - 995n]);
  });

  it('E24 a stopped token and a refused recipient are held, and claimed to wherever the owner says', async () => {
    const asset = await listed('BlacklistToken');
    await depositToken(asset, 10_000n);
    await stage.call('BlacklistToken', asset, 'ban', [stage.other.address, true]);
    expect(await held(await stage.release(stage.statement({ asset })))).toEqual([true]);
    await stage.call('BlacklistToken', asset, 'stop', [true]);
    const elsewhere = stage.guardians[0]?.address as Hex;
    expect(await held(await stage.release(stage.statement({ asset, number: 2n, recipient: elsewhere })))).toEqual([
      true,
    ]);
    await stage.call('BlacklistToken', asset, 'stop', [false]);
    await stage.call('Vault', stage.vault, 'claim', [asset, elsewhere], 0n, stage.other);
    expect(await tokens('BlacklistToken', asset, elsewhere)).toBe(1000n);
    expect([await claimable(elsewhere, asset), await locked(asset)]).toEqual([1000n, 8000n]);
    expect(await tokens('BlacklistToken', asset, stage.vault)).toBe(9000n);
    expect(await refusal(stage.call('Vault', stage.vault, 'claim', [asset, elsewhere], 0n, stage.other))).toBe(
      'NothingToClaim',
    );
  });

  it('E24 the token itself as recipient leaves the books right', async () => {
    const asset = await listed('TestToken', ['Token', 'TKN', 6]);
    await depositToken(asset, 10_000n);
    await stage.release(stage.statement({ asset, recipient: asset }));
    expect([
      await locked(asset),
      await tokens('TestToken', asset, stage.vault),
      await tokens('TestToken', asset, asset),
    ]).toEqual([9000n, 9000n, 1000n]);
  });
});

describe('outflow limits', () => {
  beforeEach(async () => {
    await stage.deposit(ETHER);
    await stage.list(COIN, { limit: 10_000n, window: 1000 });
  });
  const statement = (number: bigint, amount: bigint) => stage.statement({ number, amount, maxFee: 0n });
  const later = async (seconds: number) => {
    await stage.chain.increaseTime({ seconds });
    await stage.chain.mine({ blocks: 1 });
  };

  it('what was used comes back evenly over the window', async () => {
    await stage.release(statement(1n, 10_000n));
    expect(await refusal(stage.release(statement(2n, 5_500n)))).toBe('OutflowLimited');
    await later(500);
    expect(await refusal(stage.release(statement(2n, 5_500n)))).toBe('OutflowLimited');
    await later(100);
    expect(await refusal(stage.release(statement(2n, 5_500n)))).toBe('accepted');
    await later(5000);
    expect(await stage.read('outflow', [COIN])).toEqual([0n, 10_000n]);
  });

  it('a new limit carries over what was used, and an asset never listed pays nothing', async () => {
    await stage.release(statement(1n, 10_000n));
    await stage.list(COIN, { limit: 12_000n, window: 1_000_000 });
    expect(await refusal(stage.release(statement(2n, 3_000n)))).toBe('OutflowLimited');
    await stage.list(COIN, { limit: 5_000n, window: 1_000_000 });
    expect((await stage.read<[bigint, bigint]>('outflow', [COIN]))[1]).toBe(0n);
    const asset = await stage.token();
    expect(await refusal(stage.release(stage.statement({ number: 3n, asset })))).toBe('OutflowLimited');
  });

  it('a batch skips what is over the limit now and pays the rest', async () => {
    const receipt = await batch([statement(1n, 6_000n), statement(2n, 6_000n), statement(3n, 4_000n)]);
    expect(skipped(receipt)).toMatchObject([{ number: 2n, reason: 2 }]);
    expect(await locked()).toBe(ETHER - 10_000n);
    await later(5000);
    expect(await held(await batch([statement(1n, 6_000n), statement(2n, 6_000n)]))).toEqual([false]);
  });

  it('skipping cannot be used to keep the limit from coming back', async () => {
    await stage.list(COIN, { limit: 10n, window: 1000 });
    await later(1);
    await stage.release(statement(1n, 10n));
    for (let i = 0; i < 12; i += 1) {
      await later(90); // less than one unit's worth of time
      await batch([statement(2n, 11n)]);
    }
    expect(await stage.read('outflow', [COIN])).toEqual([0n, 10n]);
  });
});

describe('batches', () => {
  it('one bad signature reverts all of it', async () => {
    await stage.deposit(ETHER);
    const good = await stage.releaseArgs(stage.statement());
    const bad = await stage.releaseArgs(stage.statement({ number: 2n }), 0n, [0]);
    const swapped = await stage.releaseArgs(stage.statement({ number: 3n }));
    const submit = (r: unknown[], fees: bigint[], signatures: Hex[]) =>
      refusal(stage.call('Vault', stage.vault, 'releaseBatch', [r, fees, signatures]));
    expect(await submit([good[0], bad[0]], [0n, 0n], [good[2], bad[2]])).toBe('WrongSignatureCount');
    expect(await submit([good[0], swapped[0]], [0n, 0n], [swapped[2], good[2]])).toBe('BadSignature');
    expect(await submit([good[0], swapped[0]], [0n], [good[2], swapped[2]])).toBe('LengthMismatch');
    expect(await submit([good[0], swapped[0]], [0n, 0n], [good[2]])).toBe('LengthMismatch');
    expect(await locked()).toBe(ETHER);
    expect(await submit([good[0], swapped[0]], [0n, 0n], [good[2], swapped[2]])).toBe('accepted');
    expect(await submit([], [], [])).toBe('accepted');
  });

  it('assets, processes and number ranges may alternate; each fee reaches the submitter', async () => {
    const asset = await stage.token();
    await stage.list(asset);
    await stage.deposit(ETHER);
    await depositToken(asset, ETHER);
    const mix = Array.from({ length: 24 }, (_, i) =>
      stage.statement({
        number: BigInt(250 + (i >> 1)),
        process: (i % 3 === 0 ? 'P' : 'Q').repeat(42) + 'A',
        asset: i % 2 === 0 ? COIN : asset,
      }),
    );
    const unique = new Set(mix.map((s) => `${s.process}${s.number}`));
    const before = await tokens('TestToken', asset, stage.account.address);
    const receipt = await batch(
      mix,
      mix.map(() => 3n),
    );
    const paid = (await vaultLogs(receipt)).filter((l) => l.type === 'released');
    expect([paid.length, skipped(receipt).length]).toEqual([unique.size, mix.length - unique.size]);
    const ofToken = paid.filter((l) => l.asset === getAddress(asset)).length;
    expect([await locked(), await locked(asset)]).toEqual([
      ETHER - BigInt(paid.length - ofToken) * 1000n,
      ETHER - BigInt(ofToken) * 1000n,
    ]);
    expect((await tokens('TestToken', asset, stage.account.address)) - before).toBe(BigInt(ofToken) * 3n);
    expect(await coins(stage.vault)).toBe(await locked());
    expect(skipped(await batch(mix))).toHaveLength(mix.length);
  });
});

describe('decisions of the quorum', () => {
  const fresh = Array.from({ length: 3 }, (_, i) => privateKeyToAccount(keccak256(stringToHex(`new guardian ${i}`))));
  const addresses = fresh.map((g) => g.address);

  it('X2 E22 after a rotation the old set’s signatures release nothing, the new set’s do', async () => {
    await stage.deposit(ETHER);
    const old = await stage.releaseArgs(stage.statement());
    await stage.rotate(addresses, 2, 2);
    stage.epoch = 2n;
    expect(await refusal(stage.call('Vault', stage.vault, 'release', old))).toBe('BadSignature');
    expect(await refusal(stage.release(stage.statement()))).toBe('BadSignature'); // old keys, new epoch
    const data = releaseTypedData(stage.domain, stage.statement());
    const signed = await Promise.all([0, 2].map((i) => signedBy(fresh[i] as PrivateKeyAccount, data, i)));
    const args = [data.message, 0n, `0x${signed.map((s) => s.slice(2)).join('')}`];
    expect(await refusal(stage.call('Vault', stage.vault, 'release', args))).toBe('accepted');
    expect([await stage.read('guardians'), await stage.read('epoch'), await stage.read('pauseThreshold')]).toEqual([
      addresses,
      2n,
      2,
    ]);
  });

  it('X2 a rotation is good once and for the next epoch only', async () => {
    const old = stage.guardians.map((g) => g.address);
    const forEpoch = async (epoch: bigint) => {
      const data = rotateTypedData(stage.domain, { guardians: old, threshold: 2, pauseThreshold: 1, epoch });
      return stage.call('Vault', stage.vault, 'rotate', [old, 2, 1, await stage.signatures(data)]);
    };
    expect(await refusal(forEpoch(1n))).toBe('BadSignature');
    expect(await refusal(forEpoch(3n))).toBe('BadSignature');
    expect(await refusal(forEpoch(2n))).toBe('accepted');
    expect(await refusal(forEpoch(2n))).toBe('BadSignature');
    expect(await stage.read('epoch')).toBe(2n);
  });

  it('I4 fewer than M cannot rotate, list or unpause; K can pause and no more', async () => {
    expect(await refusal(stage.rotate(addresses, 2, 1, [0]))).toBe('WrongSignatureCount');
    const data = { guardians: addresses, threshold: 1, pauseThreshold: 1, epoch: 2n };
    const signatures = await stage.signatures(rotateTypedData(stage.domain, data));
    // signed for threshold 1, submitted with 2; and for one list, submitted with another
    expect(await refusal(stage.call('Vault', stage.vault, 'rotate', [addresses, 2, 1, signatures]))).toBe(
      'BadSignature',
    );
    const other = addresses.toReversed();
    expect(await refusal(stage.call('Vault', stage.vault, 'rotate', [other, 1, 1, signatures]))).toBe('BadSignature');
    const list = [
      COIN,
      true,
      1n,
      1,
      1n,
      await stage.signatures(pauseTypedData(stage.domain, { epoch: 1n, nonce: 1n })),
    ];
    expect(await refusal(stage.call('Vault', stage.vault, 'list', list))).toBe('BadSignature');
    expect(await refusal(stage.pause([]))).toBe('WrongSignatureCount');
    await stage.pause([2]);
    expect(await refusal(stage.unpause([2]))).toBe('WrongSignatureCount');
    expect(await refusal(stage.unpause([0, 2]))).toBe('accepted');
  });

  it.each([
    ['a threshold of zero', addresses, 0, 1],
    ['a threshold above the count', addresses, 4, 1],
    ['a pause threshold of zero', addresses, 2, 0],
    ['a pause threshold above the count', addresses, 2, 4],
    ['nobody', [], 1, 1],
    ['the zero address', [...addresses, zeroAddress], 2, 1],
    ['one guardian twice', [...addresses, addresses[0] as Hex], 2, 1],
    ['too many', Array.from({ length: 65 }, (_, i) => numberToHex(i + 1, { size: 20 })), 2, 1],
  ])('a set with %s is refused, at birth and later', async (_, guardians, threshold, pauseThreshold) => {
    expect(await refusal(stage.rotate(guardians, threshold, pauseThreshold))).toBe('BadGuardianSet');
    expect(await refusal(stage.deploy('Vault', [guardians, threshold, pauseThreshold]))).toBe('BadGuardianSet');
  });

  it('X11 a pause stops deposits and releases until M lift it; what was released before can still be claimed', async () => {
    await stage.deposit(ETHER);
    const recipient = await stage.deploy('Recipient', [1]);
    await stage.release(stage.statement({ number: 9n, recipient }));
    await stage.pause();
    expect(await stage.read('paused')).toBe(true);
    expect(await refusal(stage.deposit(1n))).toBe('VaultPaused');
    expect(await refusal(stage.release(stage.statement()))).toBe('VaultPaused');
    expect(await refusal(batch([stage.statement()]))).toBe('VaultPaused');
    expect(await refusal(stage.pause())).toBe('VaultPaused');
    await stage.call('Recipient', recipient, 'setMood', [0]);
    await stage.call('Recipient', recipient, 'claim', [stage.vault, COIN, recipient]);
    await stage.unpause();
    expect(await refusal(stage.unpause())).toBe('VaultNotPaused');
    expect(await refusal(stage.release(stage.statement()))).toBe('accepted');
    expect(await refusal(stage.deposit(1n))).toBe('accepted');
  });

  it('a decision is good once: nonces move on, and one kind is not another', async () => {
    const nonce = await stage.read<bigint>('decisions');
    const pause = await stage.signatures(pauseTypedData(stage.domain, { epoch: 1n, nonce }), [0]);
    await stage.call('Vault', stage.vault, 'pause', [pause]);
    const wrong = await stage.signatures(pauseTypedData(stage.domain, { epoch: 1n, nonce: nonce + 1n }));
    expect(await refusal(stage.call('Vault', stage.vault, 'unpause', [wrong]))).toBe('BadSignature');
    const right = await stage.signatures(unpauseTypedData(stage.domain, { epoch: 1n, nonce: nonce + 1n }));
    await stage.call('Vault', stage.vault, 'unpause', [right]);
    expect(await refusal(stage.call('Vault', stage.vault, 'pause', [pause]))).toBe('BadSignature');
    expect(await stage.read('decisions')).toBe(nonce + 2n);
  });

  it('a limit and a window of zero are refused', async () => {
    expect(await refusal(stage.list(COIN, { limit: 0n }))).toBe('BadLimit');
    expect(await refusal(stage.list(COIN, { window: 0 }))).toBe('BadLimit');
  });

  it('E26 there is no initializer, owner or upgrade to take: only the protocol’s functions change anything', () => {
    const writers = stage
      .artifact('Vault')
      .abi.flatMap((item) =>
        item.type === 'function' && item.stateMutability !== 'view' && item.stateMutability !== 'pure'
          ? [item.name]
          : [],
      );
    expect([...new Set(writers)].sort()).toEqual([
      'claim',
      'deposit',
      'depositWithPermit',
      'list',
      'pause',
      'release',
      'releaseBatch',
      'rotate',
      'unpause',
    ]);
    expect(stage.artifact('Vault').abi.some((item) => item.type === 'fallback' || item.type === 'receive')).toBe(false);
  });
});
