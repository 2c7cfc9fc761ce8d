/**
 * Which mints may be listed: those whose token moves whole, is seen whole, and is taken from the vault by nobody but the guardians. An
 * extension that is not known to be harmless is refused, whatever it is set to now: its authority may set it otherwise.
 */
import { ExtensionType } from '@solana/spl-token';
import { TOKEN, TOKEN_2022 } from './programs.js';
import type { ChainAccount } from './rpc.js';

export type MintVerdict =
  /** `freezable`: its issuer can freeze the vault; a listing should say so. */
  | { listable: true; program: string; decimals: number; freezable: boolean }
  | { listable: false; code: MintRefusal; reason: string };

export type MintRefusal = 'not-a-mint' | 'decimals' | 'extension';

const MINT_SIZE = 82;
/** Under Token-2022 a mint with extensions is padded to an account's size; a byte says what it is, then they follow, each with type and length. */
const TYPE_AT = 165;
const TYPE_MINT = 1;
/** More decimals leave no whole unit in 64 bits. */
const MAX_DECIMALS = 18;

/** The rest is empty. */
const NO_MORE: number = ExtensionType.Uninitialized;

const HARMLESS: readonly number[] = [
  ExtensionType.MetadataPointer,
  ExtensionType.TokenMetadata,
  ExtensionType.GroupPointer,
  ExtensionType.TokenGroup,
  ExtensionType.GroupMemberPointer,
  ExtensionType.TokenGroupMember,
];

const REASONS: { readonly [type: number]: string } = {
  [ExtensionType.TransferFeeConfig]: 'transfer fee: the vault would receive, and pay out, less than was moved',
  [ExtensionType.MintCloseAuthority]: 'close authority: the mint could be replaced by another with other decimals',
  [ExtensionType.ConfidentialTransferMint]: 'confidential transfers: amounts nobody can see',
  [ExtensionType.DefaultAccountState]: 'default account state: a recipient’s new account may begin frozen',
  [ExtensionType.NonTransferable]: 'non-transferable: it could never be paid out',
  [ExtensionType.InterestBearingConfig]: 'interest: amounts shown are not those held',
  [ExtensionType.ScaledUiAmountConfig]: 'scaled amounts: amounts shown are not those held',
  [ExtensionType.PermanentDelegate]: 'permanent delegate: its issuer can take the vault’s tokens',
  [ExtensionType.TransferHook]: 'transfer hook: a foreign program decides about each transfer',
  [ExtensionType.PausableConfig]: 'pausable: its issuer can stop all transfers',
  [ExtensionType.PermissionedBurn]: 'permissioned burn: its issuer decides about burns',
};

/** Whether what is at an address may be listed, and if not why. */
export function judgeMint(account: ChainAccount | null): MintVerdict {
  const program = account?.owner;
  if (account === null || (program !== TOKEN && program !== TOKEN_2022)) return notAMint('no token program owns it');
  const { data } = account;
  const plain = data.length === MINT_SIZE;
  const extended = program === TOKEN_2022 && data.length > TYPE_AT && data[TYPE_AT] === TYPE_MINT;
  if ((!plain && !extended) || data[45] !== 1)
    return notAMint('it is another account of the token program, or not initialized');
  const decimals = data[44] ?? 0;
  if (decimals > MAX_DECIMALS)
    return { listable: false, code: 'decimals', reason: `It has ${decimals} decimals, more than ${MAX_DECIMALS}.` };
  const types = extended ? extensionsOf(data) : [];
  const bad = types?.find((type) => !HARMLESS.includes(type));
  if (types === null) return notAMint('its extensions cannot be read');
  if (bad !== undefined)
    return {
      listable: false,
      code: 'extension',
      reason: `It has the extension ${REASONS[bad] ?? `${bad}, which is not known to be harmless`}.`,
    };
  return { listable: true, program, decimals, freezable: data.readUInt32LE(46) === 1 };
}

/** Types of a mint's extensions; null when they do not end where the data does. */
function extensionsOf(data: Buffer): number[] | null {
  const types: number[] = [];
  let at = TYPE_AT + 1;
  while (at + 4 <= data.length) {
    const type = data.readUInt16LE(at);
    if (type === NO_MORE) return types;
    types.push(type);
    at += 4 + data.readUInt16LE(at + 2);
  }
  return at <= data.length ? types : null;
}

function notAMint(reason: string): MintVerdict {
  return { listable: false, code: 'not-a-mint', reason: `It is no mint: ${reason}.` };
}
