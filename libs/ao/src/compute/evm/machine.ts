/** The EVM of one process: Cancun's rules, everything it could ask of its surroundings fixed by the message, and every price such that work is bounded by gas. */
import { createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common';
import {
  EVM,
  EVMError,
  EVMMockBlockchain,
  paramsEVM,
  type CustomPrecompile,
  type ExecResult,
  type PrecompileInput,
} from '@ethereumjs/evm';
import { Address, createZeroAddress } from '@ethereumjs/util';
import { keccak_256 } from '@noble/hashes/sha3.js';
import type { Log } from './interface.js';
import type { World } from './world.js';

/**
 * Gas one message may take: a few seconds of work at the slowest that was found (2.4 million a second: copies of large code, storage that goes to
 * and fro, calls of oneself), at most contracts' a fraction of one.
 */
export const GAS_LIMIT = 10_000_000n;

/** `block.chainid`: "ao" in ASCII. No chain's own, so that what is signed for a contract there is worth nothing here. */
export const CHAIN_ID = 0x616f;

/** What is dearer here than on Ethereum, since it takes this EVM longer for its gas: ecrecover took 5 ms for 3,000. */
const PRICES = { ecRecoverGas: 30_000, copyGas: 12, identityGas: 100 };

/** What a call of a contract costs beside, however small: 0.1 ms of this EVM's time. */
const CALL_GAS = 200;

/**
 * What it costs beside, for each 32 bytes of the code it enters: this EVM looks through all of it for where a jump may lead, each time.
 * Of 24,576 bytes that takes it 0.9 ms at most (all PUSH), for which it has 6,144 gas.
 */
const CODE_WORD_GAS = 8;
const WORD_BYTES = 32;

/** Precompiles whose work here is not bounded well by their gas (modular powers, pairings, KZG, BLAKE2's rounds): a call of them fails. */
const REFUSED = [5, 6, 7, 8, 9, 10];

const MILLISECONDS = 1000n;

/** What a call gave. `error` is the EVM's own word when it failed. */
export interface Call {
  returned: Uint8Array;
  error: string | null;
  gasUsed: bigint;
  logs: Log[];
}

/** The address that stands for a sender or a process: its own when it is an Ethereum one, else the end of the hash of its text. */
export function addressOf(id: string): Address {
  if (/^0x[0-9a-fA-F]{40}$/.test(id)) return new Address(Buffer.from(id.slice(2), 'hex'));
  return new Address(keccak_256(Buffer.from(id)).subarray(12));
}

/** An EVM whose first contract is at a given address: the process' own. */
class ProcessEvm extends EVM {
  constructor(
    world: World,
    private readonly own: Address,
  ) {
    const common = createCustomCommon({ chainId: CHAIN_ID, name: 'isthmus' }, Mainnet, { hardfork: Hardfork.Cancun });
    const params = structuredClone(paramsEVM);
    Object.assign(params[1] ?? {}, PRICES);
    super({
      common,
      stateManager: world,
      blockchain: new EVMMockBlockchain(),
      params,
      customPrecompiles: REFUSED.map(refused),
    });
  }

  protected override async runInterpreter(...[message, options]: Running): Promise<ExecResult> {
    const { code, gasLimit } = message;
    const length = typeof code === 'function' ? 0 : (code?.length ?? 0);
    const price = BigInt(CALL_GAS + CODE_WORD_GAS * Math.ceil(length / WORD_BYTES));
    if (gasLimit < price) return outOfGas(gasLimit);
    message.gasLimit = gasLimit - price; // this message is the interpreter's own: nobody else reads what it has
    const result = await super.runInterpreter(message, options);
    result.executionGasUsed += price;
    return result;
  }

  protected override _generateAddress(message: Parameters<EVM['_generateAddress']>[0]): Promise<Address> {
    return message.depth === 0 ? Promise.resolve(this.own) : super._generateAddress(message);
  }
}

type Running = Parameters<EVM['runInterpreter']>;

function refused(precompile: number): CustomPrecompile {
  return {
    address: `0x${precompile.toString(16).padStart(40, '0')}`,
    function: ({ gasLimit }: PrecompileInput): ExecResult => outOfGas(gasLimit),
  };
}

function outOfGas(gasLimit: bigint): ExecResult {
  return {
    returnValue: new Uint8Array(),
    executionGasUsed: gasLimit,
    exceptionError: new EVMError(EVMError.errorMessages.OUT_OF_GAS),
  };
}

export class EvmMachine {
  private evm: EVM;

  constructor(
    private readonly world: World,
    private readonly own: Address,
    private readonly gasLimit = GAS_LIMIT,
  ) {
    this.evm = new ProcessEvm(world, own);
  }

  /** Makes the process' contract. Everything else happens to it by `call`. */
  create(caller: Address, code: Uint8Array, time: MessageTime): Promise<Call> {
    return this.run({ caller, data: code }, time);
  }

  call(caller: Address, data: Uint8Array, time: MessageTime): Promise<Call> {
    return this.run({ caller, to: this.own, data }, time);
  }

  private async run(message: { caller: Address; to?: Address; data: Uint8Array }, time: MessageTime): Promise<Call> {
    try {
      const options = {
        ...message,
        gasLimit: this.gasLimit,
        block: blockOf(time, this.gasLimit),
        skipNonceIncrement: true,
      };
      const { execResult: result } = await this.evm.runCall(options);
      // As after a transaction: what destroyed itself in the message that made it goes now.
      for (const address of result.selfdestruct?.keys() ?? [])
        await this.world.deleteAccount(new Address(Buffer.from(address.slice(2), 'hex')));
      await this.evm.journal.cleanup();
      this.evm.transientStorage.clear();
      return {
        returned: result.returnValue,
        error: result.exceptionError?.error ?? null,
        gasUsed: result.executionGasUsed,
        logs: (result.logs ?? []).map(([address, topics, data]) => ({ address, topics, data })),
      };
    } catch (error) {
      // Nothing a contract does leads here; what does must leave nothing behind in the EVM's own books.
      this.evm = new ProcessEvm(this.world, this.own);
      throw error;
    }
  }
}

/** When a message was placed. */
export interface MessageTime {
  /** Milliseconds. */
  timestamp: number;
  blockHeight: string;
}

type Block = NonNullable<Parameters<EVM['runCall']>[0]['block']>;

/** Chance is none (`prevrandao` is 0), nobody is paid, and no earlier block has a hash. */
function blockOf({ timestamp, blockHeight }: MessageTime, gasLimit: bigint): Block {
  return {
    header: {
      number: /^[0-9]{1,18}$/.test(blockHeight) ? BigInt(blockHeight) : 0n,
      coinbase: createZeroAddress(),
      timestamp: BigInt(Math.max(0, Math.trunc(timestamp))) / MILLISECONDS,
      difficulty: 0n,
      prevRandao: new Uint8Array(32),
      gasLimit,
      baseFeePerGas: 0n,
      getBlobGasPrice: () => 0n,
    },
  };
}
