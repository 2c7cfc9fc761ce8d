/**
 * The EVM as a virtual machine: a process is one contract. Its module is what creates it (solc's bytecode, as bytes or as 0x-hex), messages are calls, what
 * it sends are events. docs/machines.md tells how; contracts/evm/Process.sol is it in Solidity.
 */
import { bytesOfHex } from './hex.js';
import { ProcessError } from '../traps.js';
import type { MemoryImage, ProcessEnv, Vm, VmInstance } from '../../types.js';

export const EVM_FORMAT = 'isthmus-evm';

const MAX_MODULE_BYTES = 1024 * 1024;

export class EvmVm implements Vm {
  readonly formats = [EVM_FORMAT];
  // A contract sees what gas it has left: it cannot be given less first.
  readonly yields = false;

  /** @param gasLimit gas one message may take, the same wherever its process runs; the machine's own by default */
  constructor(private readonly gasLimit?: bigint) {}

  /** @throws ProcessError when the module is no bytecode, or the process' arguments are no hex */
  async load(module: Uint8Array, _format: string, env: ProcessEnv, image: MemoryImage | null): Promise<VmInstance> {
    // Loaded when first needed: an EVM takes its time, and most threads have none.
    const { EvmProcess } = await import('./evm-process.js');
    return new EvmProcess(bytecodeOf(module), env, image, this.gasLimit);
  }
}

/** What solc prints, or its bytes. */
function bytecodeOf(module: Uint8Array): Uint8Array {
  if (module.length === 0 || module.length > MAX_MODULE_BYTES)
    throw new ProcessError(`A module of this machine has 1 to ${MAX_MODULE_BYTES} bytes.`);
  const bytes = Buffer.from(module);
  if (bytes.toString('latin1', 0, 2) !== '0x') return bytes;
  const code = bytesOfHex(bytes.toString('latin1').trim());
  if (!code) throw new ProcessError('The module begins with 0x, but is not hex.');
  return code;
}
