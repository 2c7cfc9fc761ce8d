/** The virtual machines there are. A new one is a folder here, and a line in this list. */
import type { Vm } from '../types.js';
import { AosVm } from './aos/aos-vm.js';
import { EvmVm } from './evm/evm-vm.js';
import { LuaVm } from './lua/lua-vm.js';
import { QuickJsVm } from './quickjs/quickjs-vm.js';

const MACHINES: readonly Vm[] = [new LuaVm(), new QuickJsVm(), new EvmVm(), new AosVm()];

/** Every Module-Format that runs here. */
export const FORMATS: readonly string[] = MACHINES.flatMap((machine) => machine.formats);

/** The machine for a Module-Format; undefined when there is none. */
export function machineFor(format: string): Vm | undefined {
  return MACHINES.find((machine) => machine.formats.includes(format));
}
