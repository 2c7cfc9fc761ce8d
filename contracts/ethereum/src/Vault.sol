// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title Vault
/// @notice Holds what is bridged to AO. Anyone deposits; only M of N guardians' signatures pay out, each withdrawal at most once.
/// There is no owner, no upgrade and no initializer: the guardian set changes itself by quorum, and that is all.
contract Vault is EIP712("Isthmus Vault", "1"), ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What guardians sign for one withdrawal, together with the set's epoch. `amount` is what was burned on AO, base units.
    struct Release {
        bytes32 process;
        uint64 number;
        address asset;
        address recipient;
        uint256 amount;
        uint256 maxFee;
    }

    /// @notice A quorum's decision on one asset. `window` in seconds, amounts in base units.
    struct Listing {
        bool open;
        uint104 limit;
        uint32 window;
        uint104 minDeposit;
    }

    /// @dev One slot: who decides, whether anything moves, and the last deposit's number.
    struct State {
        address guardians; // a contract whose code is a zero byte and the packed addresses
        uint32 epoch;
        uint8 threshold;
        uint8 pauseThreshold;
        bool paused;
        uint40 sequence;
    }

    /// @dev One slot per asset: what deposits brought and releases have not taken, and the outflow meter.
    struct Flow {
        uint112 locked;
        uint104 used;
        uint40 at;
    }

    /// @dev Gas a recipient may use for receiving coin, enough for a smart wallet, too little to hurt the submitter.
    uint256 private constant RECIPIENT_GAS = 50_000;
    /// @dev Gas a token may use for one transfer.
    uint256 private constant TOKEN_GAS = 300_000;
    /// @dev Left over after a capped call to finish the release's bookkeeping.
    uint256 private constant RESERVE_GAS = 30_000;
    uint256 private constant MAX_TAGS = 2048;
    uint256 private constant MAX_GUARDIANS = 64;
    /// @dev index, r, yParityAndS (EIP-2098)
    uint256 private constant SIGNATURE = 65;
    address private constant COIN = address(0);

    uint8 private constant SKIPPED_USED = 1;
    uint8 private constant SKIPPED_LIMIT = 2;

    bytes32 private constant RELEASE_TYPE =
        keccak256(
            "Release(bytes32 process,uint64 number,address asset,address recipient,uint256 amount,uint256 maxFee,uint64 epoch)"
        );
    bytes32 private constant ROTATE_TYPE =
        keccak256("Rotate(address[] guardians,uint8 threshold,uint8 pauseThreshold,uint64 epoch)");
    bytes32 private constant LIST_TYPE =
        keccak256(
            "List(address asset,bool open,uint104 limit,uint32 window,uint104 minDeposit,uint64 epoch,uint64 nonce)"
        );
    bytes32 private constant PAUSE_TYPE = keccak256("Pause(uint64 epoch,uint64 nonce)");
    bytes32 private constant UNPAUSE_TYPE = keccak256("Unpause(uint64 epoch,uint64 nonce)");

    State private _state;
    /// @notice Number of decisions (list, pause, unpause) taken: the nonce of the next one.
    uint64 public decisions;
    mapping(address asset => Listing) private _listings;
    mapping(address asset => Flow) private _flows;
    mapping(bytes32 process => mapping(uint256 word => uint256)) private _released;
    /// @notice Money of releases that could not be paid, waiting for its owner.
    mapping(address recipient => mapping(address asset => uint256)) public claimable;

    event Deposited(
        uint64 indexed sequence,
        address indexed asset,
        address indexed sender,
        uint256 amount,
        bytes recipient,
        bytes tags
    );
    event Released(
        bytes32 indexed process,
        uint64 indexed number,
        address indexed asset,
        address recipient,
        uint256 amount,
        uint256 fee,
        bool held
    );
    event ReleaseSkipped(bytes32 indexed process, uint64 indexed number, uint8 reason);
    event GuardiansRotated(uint64 indexed epoch, address[] guardians, uint8 threshold, uint8 pauseThreshold);
    event Listed(address indexed asset, bool open, uint104 limit, uint32 window, uint104 minDeposit);
    event Paused(uint64 nonce);
    event Unpaused(uint64 nonce);
    event Claimed(address indexed recipient, address indexed asset, address to, uint256 amount);

    /// The vault is paused; nothing moves until M guardians unpause it.
    error VaultPaused();
    error VaultNotPaused();
    /// The guardians have not listed this asset, or closed it for deposits.
    error AssetNotOpen(address asset);
    error NoCode(address asset);
    /// Name the AO recipient by 32 bytes (Arweave) or 20 (Ethereum).
    error BadRecipient(uint256 length);
    error TagsTooLong(uint256 length);
    error BelowMinimum(uint256 received, uint256 minimum);
    error AboveCapacity(uint256 received);
    error AlreadyReleased(bytes32 process, uint64 number);
    /// The asset's rolling outflow limit leaves only `available` now.
    error OutflowLimited(address asset, uint256 available);
    error FeeTooHigh(uint256 fee, uint256 maxFee);
    error NotLocked(address asset, uint256 locked);
    error WrongSignatureCount(uint256 required);
    /// Signature `position` is not by the guardian it names, is out of order, or is malformed.
    error BadSignature(uint256 position);
    error NotEnoughGas(uint256 required);
    error LengthMismatch();
    error BadGuardianSet();
    error BadLimit();
    error NothingToClaim();
    error ClaimFailed();

    constructor(address[] memory guardians_, uint8 threshold_, uint8 pauseThreshold_) {
        _setGuardians(guardians_, threshold_, pauseThreshold_, 1);
    }

    // --- deposits ---------------------------------------------------------------------------------------------

    /// @notice Locks the chain's coin for an AO recipient.
    /// @param recipient 32 bytes (Arweave address) or 20 (Ethereum address)
    /// @param tags `X-Name=value` lines for the recipient, at most 2,048 bytes
    function deposit(bytes calldata recipient, bytes calldata tags) external payable nonReentrant returns (uint64) {
        return _credit(COIN, msg.value, recipient, tags);
    }

    /// @notice Locks `amount` of an ERC-20 the sender has approved; what arrives is what counts.
    function deposit(
        address asset,
        uint256 amount,
        bytes calldata recipient,
        bytes calldata tags
    ) external nonReentrant returns (uint64) {
        return _credit(asset, _pull(asset, amount), recipient, tags);
    }

    /// @notice Like `deposit`, with an EIP-2612 approval in the same transaction.
    function depositWithPermit(
        address asset,
        uint256 amount,
        bytes calldata recipient,
        bytes calldata tags,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (uint64) {
        // Someone may have used the permit before us: then the approval is there already, and if not, the pull fails.
        try IERC20Permit(asset).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        return _credit(asset, _pull(asset, amount), recipient, tags);
    }

    function _pull(address asset, uint256 amount) private returns (uint256) {
        if (asset.code.length == 0) revert NoCode(asset);
        uint256 before = IERC20(asset).balanceOf(address(this));
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
        return IERC20(asset).balanceOf(address(this)) - before;
    }

    function _credit(
        address asset,
        uint256 received,
        bytes calldata recipient,
        bytes calldata tags
    ) private returns (uint64 sequence_) {
        if (recipient.length != 32 && recipient.length != 20) revert BadRecipient(recipient.length);
        if (tags.length > MAX_TAGS) revert TagsTooLong(tags.length);
        State storage state = _state;
        if (state.paused) revert VaultPaused();
        Listing storage listing_ = _listings[asset];
        if (!listing_.open) revert AssetNotOpen(asset);
        uint256 minimum = listing_.minDeposit;
        if (received == 0 || received < minimum) revert BelowMinimum(received, minimum);
        Flow storage flow = _flows[asset];
        if (received > type(uint112).max - flow.locked) revert AboveCapacity(received);
        flow.locked += uint112(received);
        sequence_ = ++state.sequence;
        emit Deposited(sequence_, asset, msg.sender, received, recipient, tags);
    }

    // --- releases ---------------------------------------------------------------------------------------------

    /// @notice Pays one withdrawal: `amount - fee` to its recipient, `fee` to the submitter. Anyone may submit.
    /// @param signatures exactly `threshold` packed signatures, ascending by guardian index
    function release(Release calldata r, uint256 fee, bytes calldata signatures) external nonReentrant {
        State memory state = _state;
        if (state.paused) revert VaultPaused();
        if (_isReleased(r.process, r.number)) revert AlreadyReleased(r.process, r.number);
        uint256 available = _available(_listings[r.asset], _flows[r.asset]);
        if (r.amount > available) revert OutflowLimited(r.asset, available);
        _execute(r, fee, signatures, state, state.guardians.code);
        _payFee(r.asset, fee);
    }

    /// @notice Pays many withdrawals; what is used already or over a limit now is skipped, anything unsigned reverts it all.
    function releaseBatch(
        Release[] calldata r,
        uint256[] calldata fees,
        bytes[] calldata signatures
    ) external nonReentrant {
        if (r.length != fees.length || r.length != signatures.length) revert LengthMismatch();
        State memory state = _state;
        if (state.paused) revert VaultPaused();
        bytes memory guardians_ = state.guardians.code;
        address feeAsset;
        uint256 feeSum;
        for (uint256 i = 0; i < r.length; ++i) {
            Release calldata one = r[i];
            if (_isReleased(one.process, one.number)) {
                emit ReleaseSkipped(one.process, one.number, SKIPPED_USED);
                continue;
            }
            if (one.amount > _available(_listings[one.asset], _flows[one.asset])) {
                emit ReleaseSkipped(one.process, one.number, SKIPPED_LIMIT);
                continue;
            }
            if (one.asset != feeAsset) {
                _payFee(feeAsset, feeSum);
                (feeAsset, feeSum) = (one.asset, 0);
            }
            _execute(one, fees[i], signatures[i], state, guardians_);
            feeSum += fees[i];
        }
        _payFee(feeAsset, feeSum);
    }

    /// @dev Everything is written down before anyone outside is called.
    function _execute(
        Release calldata r,
        uint256 fee,
        bytes calldata signatures,
        State memory state,
        bytes memory guardians_
    ) private {
        if (fee > r.maxFee || r.maxFee > r.amount) revert FeeTooHigh(fee, r.maxFee);
        _checkSignatures(_releaseDigest(r, state.epoch), signatures, guardians_, state.threshold);
        _released[r.process][r.number >> 8] |= 1 << (r.number & 0xff);
        _meter(r.asset, r.amount);
        uint256 payout = r.amount - fee;
        bool held = !_push(r.asset, r.recipient, payout);
        if (held) claimable[r.recipient][r.asset] += payout;
        emit Released(r.process, r.number, r.asset, r.recipient, r.amount, fee, held);
    }

    function _releaseDigest(Release calldata r, uint64 epoch_) private view returns (bytes32) {
        return
            _hashTypedDataV4(
                keccak256(abi.encode(RELEASE_TYPE, r.process, r.number, r.asset, r.recipient, r.amount, r.maxFee, epoch_))
            );
    }

    /// @dev The caller has checked `amount <= _available`, so `used + amount <= limit` fits.
    function _meter(address asset, uint256 amount) private {
        Flow storage flow = _flows[asset];
        uint256 locked_ = flow.locked;
        if (amount > locked_) revert NotLocked(asset, locked_);
        uint256 used = _decayed(_listings[asset], flow);
        flow.locked = uint112(locked_ - amount);
        flow.used = uint104(used + amount);
        flow.at = uint40(block.timestamp);
    }

    /// @dev Used outflow falls linearly from `limit` to zero over `window`.
    function _decayed(Listing storage listing_, Flow storage flow) private view returns (uint256) {
        uint256 used = flow.used;
        uint256 window = listing_.window;
        if (window == 0) return used;
        uint256 regained = (uint256(listing_.limit) * (block.timestamp - flow.at)) / window;
        return used > regained ? used - regained : 0;
    }

    function _available(Listing storage listing_, Flow storage flow) private view returns (uint256) {
        uint256 used = _decayed(listing_, flow);
        uint256 limit = listing_.limit;
        return limit > used ? limit - used : 0;
    }

    /// @dev A fee that cannot be paid becomes claimable too: nothing is lost.
    function _payFee(address asset, uint256 fee) private {
        if (fee != 0 && !_push(asset, msg.sender, fee)) claimable[msg.sender][asset] += fee;
    }

    /// @dev Pays without ever reverting for the recipient's or the token's reasons. Enough gas is demanded first, so that
    /// a submitter cannot turn a good payment into a held one by sending too little.
    function _push(address asset, address to, uint256 amount) private returns (bool) {
        if (amount == 0) return true;
        if (asset == COIN) return _call(to, amount, "", RECIPIENT_GAS);
        return asset.code.length != 0 && _call(asset, 0, abi.encodeCall(IERC20.transfer, (to, amount)), TOKEN_GAS);
    }

    /// @dev True when the call succeeded and returned nothing or `true`. Copies at most one word back.
    function _call(address to, uint256 value, bytes memory data, uint256 gasCap) private returns (bool ok) {
        uint256 required = gasCap + gasCap / 63 + RESERVE_GAS;
        if (gasleft() < required) revert NotEnoughGas(required);
        assembly ("memory-safe") {
            mstore(0, 1)
            ok := call(gasCap, to, value, add(data, 32), mload(data), 0, 32)
            // Coin is sent without data: whatever the recipient returns means nothing.
            if mload(data) {
                switch returndatasize()
                case 0 {}
                default {
                    ok := and(ok, and(gt(returndatasize(), 31), eq(mload(0), 1)))
                }
            }
        }
    }

    /// @notice Takes what a release could not pay to the caller.
    function claim(address asset, address to) external nonReentrant {
        uint256 amount = claimable[msg.sender][asset];
        if (amount == 0) revert NothingToClaim();
        claimable[msg.sender][asset] = 0;
        if (!_push(asset, to, amount)) revert ClaimFailed();
        emit Claimed(msg.sender, asset, to, amount);
    }

    // --- decisions of the quorum ------------------------------------------------------------------------------

    /// @notice Replaces the guardian set; M of the current one sign. Signatures of the old epoch are worthless from here on.
    function rotate(
        address[] calldata guardians_,
        uint8 threshold_,
        uint8 pauseThreshold_,
        bytes calldata signatures
    ) external {
        uint32 next = _state.epoch + 1;
        bytes32 list_ = keccak256(abi.encodePacked(guardians_));
        _decide(keccak256(abi.encode(ROTATE_TYPE, list_, threshold_, pauseThreshold_, next)), signatures, _state.threshold);
        _setGuardians(guardians_, threshold_, pauseThreshold_, next);
    }

    /// @notice Lists, limits or closes an asset. A closed asset takes no deposits but still pays out.
    function list(
        address asset,
        bool open,
        uint104 limit,
        uint32 window,
        uint104 minDeposit,
        bytes calldata signatures
    ) external {
        if (window == 0 || limit == 0) revert BadLimit();
        if (asset != COIN && asset.code.length == 0) revert NoCode(asset);
        bytes32 content = keccak256(
            abi.encode(LIST_TYPE, asset, open, limit, window, minDeposit, _state.epoch, decisions++)
        );
        _decide(content, signatures, _state.threshold);
        Listing storage listing_ = _listings[asset];
        Flow storage flow = _flows[asset];
        // What was used so far is carried over under the new limit.
        flow.used = uint104(_decayed(listing_, flow));
        flow.at = uint40(block.timestamp);
        (listing_.open, listing_.limit, listing_.window, listing_.minDeposit) = (open, limit, window, minDeposit);
        emit Listed(asset, open, limit, window, minDeposit);
    }

    /// @notice Stops deposits and releases; K guardians are enough.
    function pause(bytes calldata signatures) external {
        if (_state.paused) revert VaultPaused();
        uint64 nonce = decisions++;
        _decide(keccak256(abi.encode(PAUSE_TYPE, _state.epoch, nonce)), signatures, _state.pauseThreshold);
        _state.paused = true;
        emit Paused(nonce);
    }

    /// @notice Lets deposits and releases go on; M guardians are needed.
    function unpause(bytes calldata signatures) external {
        if (!_state.paused) revert VaultNotPaused();
        uint64 nonce = decisions++;
        _decide(keccak256(abi.encode(UNPAUSE_TYPE, _state.epoch, nonce)), signatures, _state.threshold);
        _state.paused = false;
        emit Unpaused(nonce);
    }

    function _decide(bytes32 structHash, bytes calldata signatures, uint256 required) private view {
        _checkSignatures(_hashTypedDataV4(structHash), signatures, _state.guardians.code, required);
    }

    /// @dev `guardians_` is the set's code: a zero byte, then 20 bytes each.
    function _checkSignatures(
        bytes32 digest,
        bytes calldata signatures,
        bytes memory guardians_,
        uint256 required
    ) private pure {
        if (signatures.length != required * SIGNATURE) revert WrongSignatureCount(required);
        uint256 count = (guardians_.length - 1) / 20;
        uint256 next = 0;
        for (uint256 i = 0; i < required; ++i) {
            uint256 index;
            bytes32 r;
            bytes32 vs;
            address guardian;
            assembly ("memory-safe") {
                let at := add(signatures.offset, mul(i, SIGNATURE))
                index := byte(0, calldataload(at))
                r := calldataload(add(at, 1))
                vs := calldataload(add(at, 33))
                // Reads past the list only for an index that is refused below.
                guardian := shr(96, mload(add(add(guardians_, 33), mul(index, 20))))
            }
            (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecover(digest, r, vs);
            if (index < next || index >= count || failure != ECDSA.RecoverError.NoError || signer != guardian) {
                revert BadSignature(i);
            }
            next = index + 1;
        }
    }

    function _setGuardians(address[] memory list_, uint8 threshold_, uint8 pauseThreshold_, uint32 epoch_) private {
        uint256 n = list_.length;
        bool fits = n <= MAX_GUARDIANS && threshold_ != 0 && threshold_ <= n && pauseThreshold_ != 0 && pauseThreshold_ <= n;
        if (!fits) revert BadGuardianSet();
        bytes memory packed = hex"00"; // STOP: the set's code can never be run
        for (uint256 i = 0; i < n; ++i) {
            if (list_[i] == address(0)) revert BadGuardianSet();
            for (uint256 j = 0; j < i; ++j) if (list_[i] == list_[j]) revert BadGuardianSet();
            packed = abi.encodePacked(packed, list_[i]);
        }
        // Init code that returns what follows it: PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN.
        bytes memory creation = abi.encodePacked(hex"61", uint16(packed.length), hex"80600a3d393df3", packed);
        address stored;
        assembly ("memory-safe") {
            stored := create(0, add(creation, 32), mload(creation))
        }
        if (stored == address(0)) revert BadGuardianSet();
        State storage state = _state;
        (state.guardians, state.epoch, state.threshold, state.pauseThreshold) = (stored, epoch_, threshold_, pauseThreshold_);
        emit GuardiansRotated(epoch_, list_, threshold_, pauseThreshold_);
    }

    // --- views ------------------------------------------------------------------------------------------------

    function _isReleased(bytes32 process, uint64 number) private view returns (bool) {
        return (_released[process][number >> 8] >> (number & 0xff)) & 1 == 1;
    }

    /// @notice Whether withdrawal `number` of a token process has been paid (or held) here.
    function isReleased(bytes32 process, uint64 number) external view returns (bool) {
        return _isReleased(process, number);
    }

    /// @notice Number of the last deposit; the first is 1.
    function sequence() external view returns (uint64) {
        return _state.sequence;
    }

    function epoch() external view returns (uint64) {
        return _state.epoch;
    }

    function threshold() external view returns (uint8) {
        return _state.threshold;
    }

    function pauseThreshold() external view returns (uint8) {
        return _state.pauseThreshold;
    }

    function paused() external view returns (bool) {
        return _state.paused;
    }

    /// @notice The current guardians; the position is the index their signatures name.
    function guardians() external view returns (address[] memory list_) {
        bytes memory packed = _state.guardians.code;
        list_ = new address[]((packed.length - 1) / 20);
        for (uint256 i = 0; i < list_.length; ++i) {
            address guardian;
            assembly ("memory-safe") {
                guardian := shr(96, mload(add(add(packed, 33), mul(i, 20))))
            }
            list_[i] = guardian;
        }
    }

    function listing(address asset) external view returns (Listing memory) {
        return _listings[asset];
    }

    /// @notice Deposited and not yet released, base units.
    function locked(address asset) external view returns (uint256) {
        return _flows[asset].locked;
    }

    /// @notice The outflow meter now: what counts as used, and what may still leave.
    function outflow(address asset) external view returns (uint256 used, uint256 available) {
        return (_decayed(_listings[asset], _flows[asset]), _available(_listings[asset], _flows[asset]));
    }
}
