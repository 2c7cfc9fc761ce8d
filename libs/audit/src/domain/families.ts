/** Each family of home chains as docs/protocol.md section 1 writes it: references, transactions, addresses, assets. Read here by the auditor's own code. */
import { getAddress, isAddress, zeroAddress } from 'viem';
import { AuditError } from './error.js';
import type { AssetPlace } from './facts.js';

export type FamilyName = 'eip155' | 'bip122' | 'solana';

interface Family {
  /** The rest of a reference, behind the chain. */
  isReference(rest: string, vault: string): boolean;
  isTx(text: string): boolean;
  /** The address in its one form; null for what is none. */
  address(text: string): string | null;
  /** What the chain calls an asset (`AssetPlace.address`); null for what is none of it. */
  asset(asset: string, chain: string): string | null;
}

const BASE58 = '[1-9A-HJ-NP-Za-km-z]';
const SOLANA_ADDRESS = new RegExp(`^${BASE58}{32,44}$`);
const SOLANA_SIGNATURE = new RegExp(`^${BASE58}{64,88}$`);
const SOLANA_REFERENCE = new RegExp(`^${BASE58}{64,88}:(?:0|[1-9][0-9]{0,2})(?:\\.(?:0|[1-9][0-9]{0,4}))?$`);
const BITCOIN_REFERENCE = /^[0-9a-f]{64}:(?:0|[1-9][0-9]{0,9})$/;
const SEQUENCE = /^[1-9][0-9]{0,18}$/;

const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  eip155: {
    isReference: (rest, vault) => rest.startsWith(`${vault}:`) && SEQUENCE.test(rest.slice(vault.length + 1)),
    isTx: (text) => /^0x[0-9a-f]{64}$/.test(text),
    address: (text) => (isAddress(text, { strict: false }) ? getAddress(text) : null),
    asset: (asset, chain) => {
      if (asset === `${chain}/slip44:60`) return zeroAddress;
      const [, address] = /^\/erc20:(0x[0-9a-fA-F]{40})$/.exec(asset.slice(chain.length)) ?? [];
      return address !== undefined && asset.startsWith(chain) ? getAddress(address) : null;
    },
  },
  bip122: {
    isReference: (rest) => BITCOIN_REFERENCE.test(rest),
    isTx: (text) => /^[0-9a-f]{64}$/.test(text),
    address: (text) => (/^[0-9A-Za-z]{25,90}$/.test(text) ? text : null),
    asset: (asset, chain) => (asset === `${chain}/slip44:0` ? asset : null),
  },
  solana: {
    isReference: (rest) => SOLANA_REFERENCE.test(rest),
    isTx: (text) => SOLANA_SIGNATURE.test(text),
    address: (text) => (SOLANA_ADDRESS.test(text) ? text : null),
    asset: (asset, chain) => {
      const rest = asset.startsWith(chain) ? asset.slice(chain.length) : '';
      const mint = rest.startsWith('/token:') ? rest.slice('/token:'.length) : '';
      return rest === '/slip44:501' || SOLANA_ADDRESS.test(mint) ? asset : null;
    },
  },
};

/** @throws AuditError `malformed` for a chain that no auditor reads */
export function familyOf(chain: string): FamilyName {
  const name = chain.split(':', 1)[0] ?? '';
  if (Object.hasOwn(FAMILIES, name)) return name as FamilyName; // a key of the table
  throw new AuditError('malformed', `${chain.slice(0, 60)} is no chain this auditor reads.`);
}

/** Whether a reference has the form of a deposit to this vault. */
export function isReferenceOf({ chain, vault }: Pick<AssetPlace, 'chain' | 'vault'>, reference: string): boolean {
  return (
    reference.startsWith(`${chain}:`) && FAMILIES[familyOf(chain)].isReference(reference.slice(chain.length + 1), vault)
  );
}

export const isTxOn = (chain: string, text: string): boolean => FAMILIES[familyOf(chain)].isTx(text);

/** An address in its one form; null for what is none. */
export const addressOn = (chain: string, text: string): string | null => FAMILIES[familyOf(chain)].address(text);

/** Asset of CAIP-19 as the chain calls it. @throws AuditError `malformed` */
export function addressOfAsset(asset: string, chain: string): string {
  const address = FAMILIES[familyOf(chain)].asset(asset, chain);
  if (address === null) throw new AuditError('malformed', `${asset.slice(0, 100)} is no asset of ${chain}.`);
  return address;
}
