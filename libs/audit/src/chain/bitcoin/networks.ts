/** Bitcoin's networks by CAIP-2: the forms of their addresses (Bitcoin Core, src/kernel/chainparams.cpp). */
import { address as addresses } from 'bitcoinjs-lib';
import { AuditError } from '../../domain/error.js';

export interface Network {
  /** CAIP-2 */
  chain: string;
  bech32: string;
  /** First bytes of addresses that pay to a key's hash and to a script's. */
  keyHash: number;
  scriptHash: number;
  /** Least blocks before a refund opens. */
  leastRefund: number;
}

const TEST = { bech32: 'tb', keyHash: 0x6f, scriptHash: 0xc4, leastRefund: 144 };
const NETWORKS: readonly Network[] = [
  { chain: 'bip122:000000000019d6689c085ae165831e93', bech32: 'bc', keyHash: 0, scriptHash: 5, leastRefund: 144 },
  { chain: 'bip122:000000000933ea01ad0ee984209779ba', ...TEST },
  { chain: 'bip122:00000000da84f2bafbbc53dee25a72ae', ...TEST },
  { chain: 'bip122:00000008819873e925422c1ff0f99f7c', ...TEST },
  { chain: 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328', ...TEST, bech32: 'bcrt', leastRefund: 1 },
];

/** @throws AuditError `bad-request` */
export function networkOf(chain: string): Network {
  const found = NETWORKS.find((one) => one.chain === chain);
  if (!found) throw new AuditError('bad-request', `${chain.slice(0, 60)} is no network of Bitcoin known here.`);
  return found;
}

/** Whom an output pays, as a withdrawal names it; a script of no such form is shown as it is. */
export function payeeOf(script: Uint8Array, { bech32, keyHash, scriptHash }: Network): string {
  const bytes = Buffer.from(script);
  const [hex, length] = [bytes.toString('hex'), bytes.length];
  if (length === 25 && hex.startsWith('76a914') && hex.endsWith('88ac'))
    return addresses.toBase58Check(bytes.subarray(3, 23), keyHash);
  if (length === 23 && hex.startsWith('a914') && hex.endsWith('87'))
    return addresses.toBase58Check(bytes.subarray(2, 22), scriptHash);
  if (hex.startsWith('0014') && length === 22) return addresses.toBech32(bytes.subarray(2), 0, bech32);
  if (hex.startsWith('0020') && length === 34) return addresses.toBech32(bytes.subarray(2), 0, bech32);
  if (hex.startsWith('5120') && length === 34) return addresses.toBech32(bytes.subarray(2), 1, bech32);
  return `script ${hex.slice(0, 80)}`;
}
