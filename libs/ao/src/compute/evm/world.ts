/**
 * Accounts, code and storage of the contracts of one process, as the EVM asks for them. Every change can be undone to any checkpoint; what a message has
 * changed in the end is written into the ledger when the message has succeeded. There is no coin: balances are zero.
 */
import type { AccountFields, StateManagerInterface } from '@ethereumjs/common';
import { Account, type Address } from '@ethereumjs/util';
import { keccak_256 } from '@noble/hashes/sha3.js';
import type { MemoryImage } from '../../types.js';
import { KEY_BYTES, Ledger, RECORD_BYTES, type Change } from './ledger.js';

const VALUE_BYTES = RECORD_BYTES - KEY_BYTES;
const KIND = { account: 1, code: 2, storage: 3 } as const;
const ADDRESS_BYTES = 20;
const SLOT_BYTES = 32;
const NOTHING = new Uint8Array();

interface Contract {
  nonce: bigint;
  code: Uint8Array;
  codeHash: Uint8Array;
  /** By slot, both hex; no value is zero. */
  storage: Map<string, Uint8Array>;
}

export class World implements StateManagerInterface {
  private readonly contracts = new Map<string, Contract>();
  private readonly ledger: Ledger;
  /** How to take back each change since the message began, the newest last. */
  private undo: (() => void)[] = [];
  private checkpoints: number[] = [];
  /** Keys of records the message may have changed. */
  private touched = new Set<string>();
  private original = new Map<string, Uint8Array>();

  /** Values as they were when the message began: what storage costs is reckoned from them. */
  readonly originalStorageCache = {
    get: (address: Address, slot: Uint8Array): Promise<Uint8Array> => {
      const key = storageKey(hex(address.bytes), hex(slot));
      return this.original.has(key)
        ? Promise.resolve(this.original.get(key) ?? NOTHING)
        : this.getStorage(address, slot);
    },
    clear: (): void => this.original.clear(),
  };

  /** @throws RangeError when it is no image of a world */
  constructor(image: MemoryImage | null) {
    this.ledger = new Ledger(image);
    const chunks: { address: string; index: number; bytes: Buffer }[] = [];
    const sizes = new Map<string, number>();
    for (const [key, value] of this.ledger.records()) {
      const address = key.toString('hex', 1, 1 + ADDRESS_BYTES);
      const contract = this.contractAt(address);
      if (key[0] === KIND.account) {
        contract.nonce = value.readBigUInt64BE(0);
        sizes.set(address, value.readUInt32BE(8));
      } else if (key[0] === KIND.code) chunks.push({ address, index: key.readUInt32BE(SLOT_BYTES), bytes: value });
      else if (key[0] === KIND.storage)
        contract.storage.set(
          key.toString('hex', SLOT_BYTES),
          withoutZeros(Uint8Array.from(value.subarray(0, SLOT_BYTES))),
        );
      else throw new RangeError(`The image has a record of kind ${key[0]}.`);
    }
    for (const [address, size] of sizes) this.contractAt(address).code = new Uint8Array(size);
    for (const { address, index, bytes } of chunks) {
      const { code } = this.contractAt(address);
      const at = index * VALUE_BYTES;
      code.set(bytes.subarray(0, code.length - at), at);
    }
    for (const contract of this.contracts.values()) contract.codeHash = keccak_256(contract.code);
  }

  get memory(): Uint8Array {
    return this.ledger.memory;
  }

  begin(): void {
    this.undo = [];
    this.checkpoints = [];
    this.touched = new Set();
    this.original = new Map();
  }

  /** Writes down what the message has changed. @returns false when there is no room for it: nothing is written, and it is to be undone */
  keep(): boolean {
    const changes = [...this.touched].map((key): Change => [key, this.valueOf(key)]);
    if (!this.ledger.fits(changes)) return false;
    this.ledger.apply(changes);
    this.forget();
    return true;
  }

  /** Everything is as it was when the message began. */
  undoAll(): void {
    this.undoTo(0);
    this.forget();
  }

  checkpoint(): Promise<void> {
    this.checkpoints.push(this.undo.length);
    return Promise.resolve();
  }

  commit(): Promise<void> {
    this.checkpoints.pop();
    return Promise.resolve();
  }

  revert(): Promise<void> {
    this.undoTo(this.checkpoints.pop() ?? 0);
    return Promise.resolve();
  }

  getAccount(address: Address): Promise<Account | undefined> {
    const contract = this.contracts.get(hex(address.bytes));
    if (!contract || isNothing(contract)) return Promise.resolve(undefined);
    return Promise.resolve(new Account(contract.nonce, 0n, undefined, contract.codeHash));
  }

  putAccount(address: Address, account?: Account): Promise<void> {
    if (!account) return this.deleteAccount(address);
    if (account.balance !== 0n) throw new Error('An account of a process has no balance.');
    this.setNonce(hex(address.bytes), account.nonce);
    return Promise.resolve();
  }

  deleteAccount(address: Address): Promise<void> {
    const at = hex(address.bytes);
    const contract = this.contracts.get(at);
    if (!contract) return Promise.resolve();
    for (const slot of contract.storage.keys()) this.setSlot(at, slot, NOTHING);
    this.setCode(at, NOTHING);
    this.setNonce(at, 0n);
    return Promise.resolve();
  }

  async modifyAccountFields(address: Address, { nonce, balance }: AccountFields): Promise<void> {
    const account = (await this.getAccount(address)) ?? new Account();
    await this.putAccount(address, new Account(nonce ?? account.nonce, balance ?? account.balance));
  }

  putCode(address: Address, code: Uint8Array): Promise<void> {
    this.setCode(hex(address.bytes), Uint8Array.from(code));
    return Promise.resolve();
  }

  getCode(address: Address): Promise<Uint8Array> {
    return Promise.resolve(this.contracts.get(hex(address.bytes))?.code ?? NOTHING);
  }

  getCodeSize(address: Address): Promise<number> {
    return Promise.resolve(this.contracts.get(hex(address.bytes))?.code.length ?? 0);
  }

  /** Without leading zeros. */
  getStorage(address: Address, slot: Uint8Array): Promise<Uint8Array> {
    return Promise.resolve(this.contracts.get(hex(address.bytes))?.storage.get(hex(slot)) ?? NOTHING);
  }

  putStorage(address: Address, slot: Uint8Array, value: Uint8Array): Promise<void> {
    this.setSlot(hex(address.bytes), hex(slot), withoutZeros(Uint8Array.from(value)));
    return Promise.resolve();
  }

  clearStorage(address: Address): Promise<void> {
    const at = hex(address.bytes);
    for (const slot of this.contracts.get(at)?.storage.keys() ?? []) this.setSlot(at, slot, NOTHING);
    return Promise.resolve();
  }

  clearCaches(): void {
    this.originalStorageCache.clear();
  }

  getStateRoot(): Promise<Uint8Array> {
    throw withoutRoots();
  }

  setStateRoot(): Promise<void> {
    throw withoutRoots();
  }

  hasStateRoot(): Promise<boolean> {
    throw withoutRoots();
  }

  shallowCopy(): StateManagerInterface {
    throw new Error('The state of a process is not copied.');
  }

  private contractAt(address: string): Contract {
    let contract = this.contracts.get(address);
    if (!contract) {
      contract = { nonce: 0n, code: NOTHING, codeHash: NO_CODE, storage: new Map() };
      this.contracts.set(address, contract);
    }
    return contract;
  }

  private setNonce(address: string, nonce: bigint): void {
    const before = this.contracts.get(address)?.nonce ?? 0n;
    if (before === nonce) return;
    const contract = this.contractAt(address);
    contract.nonce = nonce;
    this.undo.push(() => (contract.nonce = before));
    this.touched.add(accountKey(address));
  }

  private setCode(address: string, code: Uint8Array): void {
    const contract = this.contractAt(address);
    const { code: before, codeHash } = contract;
    contract.code = code;
    contract.codeHash = keccak_256(code);
    this.undo.push(() => Object.assign(contract, { code: before, codeHash }));
    this.touched.add(accountKey(address));
    const chunks = Math.ceil(Math.max(before.length, code.length) / VALUE_BYTES);
    for (let index = 0; index < chunks; index += 1) this.touched.add(codeKey(address, index));
  }

  private setSlot(address: string, slot: string, value: Uint8Array): void {
    const { storage } = this.contractAt(address);
    const before = storage.get(slot);
    const key = storageKey(address, slot);
    if (!this.original.has(key)) this.original.set(key, before ?? NOTHING);
    const put = (to: Uint8Array | undefined) => {
      if (to && to.length > 0) storage.set(slot, to);
      else storage.delete(slot);
    };
    put(value);
    this.undo.push(() => put(before));
    this.touched.add(key);
  }

  /** Addresses that came to nothing. */
  private forget(): void {
    for (const key of this.touched) {
      const address = addressOf(key);
      const contract = this.contracts.get(address);
      if (contract && isNothing(contract) && contract.storage.size === 0) this.contracts.delete(address);
    }
  }

  private undoTo(length: number): void {
    while (this.undo.length > length) this.undo.pop()?.();
  }

  /** What a record is to hold now. */
  private valueOf(key: string): Buffer | null {
    const contract = this.contracts.get(addressOf(key));
    const value = Buffer.alloc(VALUE_BYTES);
    const rest = key.slice(2 * SLOT_BYTES);
    if (!contract) return null;
    switch (Number.parseInt(key.slice(0, 2), 16)) {
      case KIND.account:
        if (isNothing(contract)) return null;
        value.writeBigUInt64BE(contract.nonce, 0);
        value.writeUInt32BE(contract.code.length, 8);
        return value;
      case KIND.code: {
        const at = Number.parseInt(rest.slice(0, 8), 16) * VALUE_BYTES;
        value.set(contract.code.subarray(at, at + VALUE_BYTES));
        return at < contract.code.length ? value : null;
      }
      default: {
        const held = contract.storage.get(rest);
        if (!held) return null;
        value.set(held, SLOT_BYTES - held.length);
        return value;
      }
    }
  }
}

const NO_CODE = keccak_256(NOTHING);

function isNothing({ nonce, code }: Contract): boolean {
  return nonce === 0n && code.length === 0;
}

/** Keys of records: kind and address in the first 32 bytes, then a slot, or the number of a piece of code. */
function accountKey(address: string): string {
  return keyOf(KIND.account, address, '');
}

function codeKey(address: string, index: number): string {
  return keyOf(KIND.code, address, index.toString(16).padStart(8, '0'));
}

function storageKey(address: string, slot: string): string {
  return keyOf(KIND.storage, address, slot);
}

function keyOf(kind: number, address: string, rest: string): string {
  const first = `0${kind}${address}`.padEnd(2 * SLOT_BYTES, '0');
  return (first + rest).padEnd(2 * KEY_BYTES, '0');
}

function addressOf(key: string): string {
  return key.slice(2, 2 + 2 * ADDRESS_BYTES);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

function withoutZeros(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? NOTHING : bytes.subarray(first);
}

const withoutRoots = () => new Error('The state of a process has no root: its image is compared.');
