/** The vault's interface, as solc gives it for contracts/ethereum/src/Vault.sol; a test compares the two. */
export const vaultAbi = [
  {
    inputs: [
      {
        name: 'guardians_',
        type: 'address[]',
      },
      {
        name: 'threshold_',
        type: 'uint8',
      },
      {
        name: 'pauseThreshold_',
        type: 'uint8',
      },
    ],
    stateMutability: 'nonpayable',
    type: 'constructor',
  },
  {
    inputs: [
      {
        name: 'received',
        type: 'uint256',
      },
    ],
    name: 'AboveCapacity',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'process',
        type: 'bytes32',
      },
      {
        name: 'number',
        type: 'uint64',
      },
    ],
    name: 'AlreadyReleased',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
    ],
    name: 'AssetNotOpen',
    type: 'error',
  },
  {
    inputs: [],
    name: 'BadGuardianSet',
    type: 'error',
  },
  {
    inputs: [],
    name: 'BadLimit',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'length',
        type: 'uint256',
      },
    ],
    name: 'BadRecipient',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'position',
        type: 'uint256',
      },
    ],
    name: 'BadSignature',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'received',
        type: 'uint256',
      },
      {
        name: 'minimum',
        type: 'uint256',
      },
    ],
    name: 'BelowMinimum',
    type: 'error',
  },
  {
    inputs: [],
    name: 'ClaimFailed',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'fee',
        type: 'uint256',
      },
      {
        name: 'maxFee',
        type: 'uint256',
      },
    ],
    name: 'FeeTooHigh',
    type: 'error',
  },
  {
    inputs: [],
    name: 'InvalidShortString',
    type: 'error',
  },
  {
    inputs: [],
    name: 'LengthMismatch',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
    ],
    name: 'NoCode',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'required',
        type: 'uint256',
      },
    ],
    name: 'NotEnoughGas',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
      {
        name: 'locked',
        type: 'uint256',
      },
    ],
    name: 'NotLocked',
    type: 'error',
  },
  {
    inputs: [],
    name: 'NothingToClaim',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
      {
        name: 'available',
        type: 'uint256',
      },
    ],
    name: 'OutflowLimited',
    type: 'error',
  },
  {
    inputs: [],
    name: 'ReentrancyGuardReentrantCall',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'token',
        type: 'address',
      },
    ],
    name: 'SafeERC20FailedOperation',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'str',
        type: 'string',
      },
    ],
    name: 'StringTooLong',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'length',
        type: 'uint256',
      },
    ],
    name: 'TagsTooLong',
    type: 'error',
  },
  {
    inputs: [],
    name: 'VaultNotPaused',
    type: 'error',
  },
  {
    inputs: [],
    name: 'VaultPaused',
    type: 'error',
  },
  {
    inputs: [
      {
        name: 'required',
        type: 'uint256',
      },
    ],
    name: 'WrongSignatureCount',
    type: 'error',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: true,
        name: 'recipient',
        type: 'address',
      },
      {
        indexed: true,
        name: 'asset',
        type: 'address',
      },
      {
        indexed: false,
        name: 'to',
        type: 'address',
      },
      {
        indexed: false,
        name: 'amount',
        type: 'uint256',
      },
    ],
    name: 'Claimed',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: true,
        name: 'sequence',
        type: 'uint64',
      },
      {
        indexed: true,
        name: 'asset',
        type: 'address',
      },
      {
        indexed: true,
        name: 'sender',
        type: 'address',
      },
      {
        indexed: false,
        name: 'amount',
        type: 'uint256',
      },
      {
        indexed: false,
        name: 'recipient',
        type: 'bytes',
      },
      {
        indexed: false,
        name: 'tags',
        type: 'bytes',
      },
    ],
    name: 'Deposited',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [],
    name: 'EIP712DomainChanged',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: true,
        name: 'epoch',
        type: 'uint64',
      },
      {
        indexed: false,
        name: 'guardians',
        type: 'address[]',
      },
      {
        indexed: false,
        name: 'threshold',
        type: 'uint8',
      },
      {
        indexed: false,
        name: 'pauseThreshold',
        type: 'uint8',
      },
    ],
    name: 'GuardiansRotated',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: true,
        name: 'asset',
        type: 'address',
      },
      {
        indexed: false,
        name: 'open',
        type: 'bool',
      },
      {
        indexed: false,
        name: 'limit',
        type: 'uint104',
      },
      {
        indexed: false,
        name: 'window',
        type: 'uint32',
      },
      {
        indexed: false,
        name: 'minDeposit',
        type: 'uint104',
      },
    ],
    name: 'Listed',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: false,
        name: 'nonce',
        type: 'uint64',
      },
    ],
    name: 'Paused',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: true,
        name: 'process',
        type: 'bytes32',
      },
      {
        indexed: true,
        name: 'number',
        type: 'uint64',
      },
      {
        indexed: false,
        name: 'reason',
        type: 'uint8',
      },
    ],
    name: 'ReleaseSkipped',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: true,
        name: 'process',
        type: 'bytes32',
      },
      {
        indexed: true,
        name: 'number',
        type: 'uint64',
      },
      {
        indexed: true,
        name: 'asset',
        type: 'address',
      },
      {
        indexed: false,
        name: 'recipient',
        type: 'address',
      },
      {
        indexed: false,
        name: 'amount',
        type: 'uint256',
      },
      {
        indexed: false,
        name: 'fee',
        type: 'uint256',
      },
      {
        indexed: false,
        name: 'held',
        type: 'bool',
      },
    ],
    name: 'Released',
    type: 'event',
  },
  {
    anonymous: false,
    inputs: [
      {
        indexed: false,
        name: 'nonce',
        type: 'uint64',
      },
    ],
    name: 'Unpaused',
    type: 'event',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
      {
        name: 'to',
        type: 'address',
      },
    ],
    name: 'claim',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'recipient',
        type: 'address',
      },
      {
        name: 'asset',
        type: 'address',
      },
    ],
    name: 'claimable',
    outputs: [
      {
        name: '',
        type: 'uint256',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [],
    name: 'decisions',
    outputs: [
      {
        name: '',
        type: 'uint64',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
      {
        name: 'amount',
        type: 'uint256',
      },
      {
        name: 'recipient',
        type: 'bytes',
      },
      {
        name: 'tags',
        type: 'bytes',
      },
    ],
    name: 'deposit',
    outputs: [
      {
        name: '',
        type: 'uint64',
      },
    ],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'recipient',
        type: 'bytes',
      },
      {
        name: 'tags',
        type: 'bytes',
      },
    ],
    name: 'deposit',
    outputs: [
      {
        name: '',
        type: 'uint64',
      },
    ],
    stateMutability: 'payable',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
      {
        name: 'amount',
        type: 'uint256',
      },
      {
        name: 'recipient',
        type: 'bytes',
      },
      {
        name: 'tags',
        type: 'bytes',
      },
      {
        name: 'deadline',
        type: 'uint256',
      },
      {
        name: 'v',
        type: 'uint8',
      },
      {
        name: 'r',
        type: 'bytes32',
      },
      {
        name: 's',
        type: 'bytes32',
      },
    ],
    name: 'depositWithPermit',
    outputs: [
      {
        name: '',
        type: 'uint64',
      },
    ],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [],
    name: 'eip712Domain',
    outputs: [
      {
        name: 'fields',
        type: 'bytes1',
      },
      {
        name: 'name',
        type: 'string',
      },
      {
        name: 'version',
        type: 'string',
      },
      {
        name: 'chainId',
        type: 'uint256',
      },
      {
        name: 'verifyingContract',
        type: 'address',
      },
      {
        name: 'salt',
        type: 'bytes32',
      },
      {
        name: 'extensions',
        type: 'uint256[]',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [],
    name: 'epoch',
    outputs: [
      {
        name: '',
        type: 'uint64',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [],
    name: 'guardians',
    outputs: [
      {
        name: 'list_',
        type: 'address[]',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'process',
        type: 'bytes32',
      },
      {
        name: 'number',
        type: 'uint64',
      },
    ],
    name: 'isReleased',
    outputs: [
      {
        name: '',
        type: 'bool',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
      {
        name: 'open',
        type: 'bool',
      },
      {
        name: 'limit',
        type: 'uint104',
      },
      {
        name: 'window',
        type: 'uint32',
      },
      {
        name: 'minDeposit',
        type: 'uint104',
      },
      {
        name: 'signatures',
        type: 'bytes',
      },
    ],
    name: 'list',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
    ],
    name: 'listing',
    outputs: [
      {
        components: [
          {
            name: 'open',
            type: 'bool',
          },
          {
            name: 'limit',
            type: 'uint104',
          },
          {
            name: 'window',
            type: 'uint32',
          },
          {
            name: 'minDeposit',
            type: 'uint104',
          },
        ],
        name: '',
        type: 'tuple',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
    ],
    name: 'locked',
    outputs: [
      {
        name: '',
        type: 'uint256',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'asset',
        type: 'address',
      },
    ],
    name: 'outflow',
    outputs: [
      {
        name: 'used',
        type: 'uint256',
      },
      {
        name: 'available',
        type: 'uint256',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'signatures',
        type: 'bytes',
      },
    ],
    name: 'pause',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [],
    name: 'pauseThreshold',
    outputs: [
      {
        name: '',
        type: 'uint8',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [],
    name: 'paused',
    outputs: [
      {
        name: '',
        type: 'bool',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        components: [
          {
            name: 'process',
            type: 'bytes32',
          },
          {
            name: 'number',
            type: 'uint64',
          },
          {
            name: 'asset',
            type: 'address',
          },
          {
            name: 'recipient',
            type: 'address',
          },
          {
            name: 'amount',
            type: 'uint256',
          },
          {
            name: 'maxFee',
            type: 'uint256',
          },
        ],
        name: 'r',
        type: 'tuple',
      },
      {
        name: 'fee',
        type: 'uint256',
      },
      {
        name: 'signatures',
        type: 'bytes',
      },
    ],
    name: 'release',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [
      {
        components: [
          {
            name: 'process',
            type: 'bytes32',
          },
          {
            name: 'number',
            type: 'uint64',
          },
          {
            name: 'asset',
            type: 'address',
          },
          {
            name: 'recipient',
            type: 'address',
          },
          {
            name: 'amount',
            type: 'uint256',
          },
          {
            name: 'maxFee',
            type: 'uint256',
          },
        ],
        name: 'r',
        type: 'tuple[]',
      },
      {
        name: 'fees',
        type: 'uint256[]',
      },
      {
        name: 'signatures',
        type: 'bytes[]',
      },
    ],
    name: 'releaseBatch',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'guardians_',
        type: 'address[]',
      },
      {
        name: 'threshold_',
        type: 'uint8',
      },
      {
        name: 'pauseThreshold_',
        type: 'uint8',
      },
      {
        name: 'signatures',
        type: 'bytes',
      },
    ],
    name: 'rotate',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
  {
    inputs: [],
    name: 'sequence',
    outputs: [
      {
        name: '',
        type: 'uint64',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [],
    name: 'threshold',
    outputs: [
      {
        name: '',
        type: 'uint8',
      },
    ],
    stateMutability: 'view',
    type: 'function',
  },
  {
    inputs: [
      {
        name: 'signatures',
        type: 'bytes',
      },
    ],
    name: 'unpause',
    outputs: [],
    stateMutability: 'nonpayable',
    type: 'function',
  },
] as const;
