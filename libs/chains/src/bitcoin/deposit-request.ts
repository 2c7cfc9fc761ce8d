/** What a person who asks for a deposit address gets: how to pay it, what its script says in clear, and the recovery file to keep. */
import { script as scripts } from 'bitcoinjs-lib';
import { chainOf } from './network.js';
import { writeRecoveryFile } from './recovery.js';
import { commitment, depositScript, writeRefundOwner, type DepositTerms } from './vault-script.js';

/** A part of a script, and what it means. */
export interface ScriptLine {
  /** Opcodes, and pushes in hex. */
  code: string;
  means: string;
}

export interface DepositRequest {
  /** CAIP-2. */
  chain: string;
  address: string;
  /** Output script in hex. */
  script: string;
  /** What the output script is the hash of, in hex. */
  witnessScript: string;
  /** SHA-256 over network, process, recipient and tags, in hex. */
  commitment: string;
  lines: ScriptLine[];
  /** BIP 21. */
  uri: string;
  /** The same for a QR code: capitals, which make it smaller. */
  qr: string;
  recovery: { fileName: string; content: string };
}

/** @throws BitcoinError `bad-terms`; BridgeError for a recipient, process or tags that break a rule */
export function depositRequest(terms: DepositTerms): DepositRequest {
  const { address, script, witnessScript } = depositScript(terms);
  return {
    chain: chainOf(terms.network),
    address,
    script: Buffer.from(script).toString('hex'),
    witnessScript: Buffer.from(witnessScript).toString('hex'),
    commitment: commitment(terms).toString('hex'),
    lines: scriptLines(terms),
    uri: paymentUri(address),
    qr: qrPayload(address),
    recovery: { fileName: `isthmus-recovery-${address}.json`, content: writeRecoveryFile(terms) },
  };
}

/** A deposit's script line by line. @throws as `depositScript` */
export function scriptLines(terms: DepositTerms): ScriptLine[] {
  const { network, vault, refund, refundAfter } = terms;
  const owner = writeRefundOwner(refund, network);
  const means = [
    `commits to network, token process, recipient and tags (${commitmentWords(terms)}): with another of them the address is another`,
    `${vault.threshold} of ${vault.keys.length} guardians may move it, to credit it`,
    `or else, once the payment has ${refundAfter} confirmations,`,
    `whoever has the key ${refund.kind === 'key' ? owner : `of ${owner}`}, and needs nobody for it`,
  ];
  // The library has the opcode by its older name.
  const asm = scripts.toASM(depositScript(terms).witnessScript).replace('OP_NOP3', 'OP_CHECKSEQUENCEVERIFY');
  const code = asm.split(/ (?=OP_IF|OP_ELSE|OP_ENDIF)/);
  const [commits = '', guardians = '', depositor = '', end = ''] = code;
  const at = depositor.indexOf('OP_DROP') + 'OP_DROP'.length;
  const parts = [commits, guardians, depositor.slice(0, at), `${depositor.slice(at + 1)} ${end}`];
  return parts.map((part, i) => ({ code: part, means: means[i] as string })); // as many of both
}

/** A link wallets open (BIP 21); the payer chooses the amount. */
export const paymentUri = (address: string): string => `bitcoin:${address}`;

/** The same link for a QR code: what capitals may say is in capitals, which takes a third less of the picture. */
export const qrPayload = (address: string): string => `BITCOIN:${isBech32(address) ? address.toUpperCase() : address}`;

const isBech32 = (address: string): boolean => /^(?:bc|tb|bcrt)1/.test(address);

function commitmentWords({ network, process, recipient, tags }: DepositTerms): string {
  const named = tags.map(({ name, value }) => `${name}=${value}`).join(', ');
  return `${network.name}, ${process}, ${recipient}, ${named || 'no tags'}`;
}
