/** The vault's events and views, as docs/protocol.md section 2 writes them. */
import { parseAbi } from 'viem';

export const vaultEvents = parseAbi([
  'event Deposited(uint64 indexed sequence, address indexed asset, address indexed sender, uint256 amount, bytes recipient, bytes tags)',
  'event Released(bytes32 indexed process, uint64 indexed number, address indexed asset, address recipient, uint256 amount, uint256 fee, bool held)',
  'event Claimed(address indexed recipient, address indexed asset, address to, uint256 amount)',
]);

export const vaultViews = parseAbi([
  'function sequence() view returns (uint64)',
  'function paused() view returns (bool)',
  'function locked(address asset) view returns (uint256)',
  'function claimable(address recipient, address asset) view returns (uint256)',
]);

export const tokenViews = parseAbi(['function balanceOf(address holder) view returns (uint256)']);
