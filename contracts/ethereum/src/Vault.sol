// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
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

    /// @dev What a transaction's releases are checked against.
    struct Quorum {
        bytes32 domain;
        uint256 epoch;
        uint256 threshold;
        bytes guardians;
    }

    /// @dev The words a run of releases works on, in memory: one load and one store for as many as touch them in a row.
    struct Ledger {
        bytes32 process;
        uint256 word; // which 256 withdrawals of the process `bits` stands for
        uint256 bits;
        bool loaded; // the asset's words below are in
        bool moved; // a release has taken from them
        address asset;
        uint256 locked;
        uint256 used;
        uint256 limit;
    }

    /// @dev Gas a recipient may use for receiving coin, enough for a smart wallet, too little to hurt the submitter.
    uint256 private constant RECIPIENT_GAS = 50_000;
    /// @dev Gas a token may use for one transfer.
    uint256 private constant TOKEN_GAS = 300_000;
    /// @dev Left over after a capped call to finish the release's bookkeeping.
    uint256 private constant RESERVE_GAS = 30_000;
    /// @dev What must be there for a call to get its full share: it is given at most 63/64 of what is left.
    uint256 private constant COIN_GAS_NEEDED = RECIPIENT_GAS + RECIPIENT_GAS / 63 + RESERVE_GAS;
    uint256 private constant TOKEN_GAS_NEEDED = TOKEN_GAS + TOKEN_GAS / 63 + RESERVE_GAS;
    uint256 private constant MAX_TAGS = 2048;
    uint256 private constant MAX_GUARDIANS = 64;
    /// @dev index, r, yParityAndS (EIP-2098)
    uint256 private constant SIGNATURE = 65;
    /// @dev Half the order of secp256k1: a signature's other form has an s above it and is refused.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    address private constant COIN = address(0);
    /// @dev No withdrawal's word: numbers have 64 bits.
    uint256 private constant NO_WORD = type(uint256).max;

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
        if (asset.code.length == 0) revert NoCode(asset);
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
        Quorum memory quorum = _quorum();
        Ledger memory ledger = _emptyLedger();
        uint8 obstacle = _book(ledger, r, fee, signatures, quorum);
        if (obstacle == SKIPPED_USED) revert AlreadyReleased(r.process, r.number);
        if (obstacle == SKIPPED_LIMIT) revert OutflowLimited(r.asset, _left(ledger.used, ledger.limit));
        _write(ledger);
        _payFee(_pay(r, fee), fee);
    }

    /// @notice Pays many withdrawals; what is used already or over a limit now is skipped, anything unsigned reverts it all.
    /// Cheapest when releases of one asset stand next to each other.
    function releaseBatch(
        Release[] calldata r,
        uint256[] calldata fees,
        bytes[] calldata signatures
    ) external nonReentrant {
        uint256 n = r.length;
        if (n != fees.length || n != signatures.length) revert LengthMismatch();
        bool[] memory skipped = _bookAll(r, fees, signatures);
        address feeAsset;
        uint256 feeSum;
        for (uint256 i = 0; i < n; ++i) {
            if (skipped[i]) continue;
            uint256 fee = _at(fees, i);
            address asset = _pay(r[i], fee);
            if (asset != feeAsset) {
                _payFee(feeAsset, feeSum);
                (feeAsset, feeSum) = (asset, 0);
            }
            unchecked {
                feeSum += fee; // each is within an amount that was locked
            }
        }
        _payFee(feeAsset, feeSum);
    }

    /// @dev Checks and writes down all that can be paid, before anyone outside is called.
    function _bookAll(
        Release[] calldata r,
        uint256[] calldata fees,
        bytes[] calldata signatures
    ) private returns (bool[] memory skipped) {
        Quorum memory quorum = _quorum();
        Ledger memory ledger = _emptyLedger();
        skipped = new bool[](r.length);
        for (uint256 i = 0; i < r.length; ++i) {
            Release calldata one = r[i];
            uint8 obstacle = _book(ledger, one, _at(fees, i), _at(signatures, i), quorum);
            if (obstacle != 0) {
                skipped[i] = true;
                emit ReleaseSkipped(one.process, one.number, obstacle);
            }
        }
        _write(ledger);
    }

    /// @dev `values[i]` without a second bounds check: the lengths were compared.
    function _at(uint256[] calldata values, uint256 i) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := calldataload(add(values.offset, shl(5, i)))
        }
    }

    /// @dev `values[i]` without Solidity's checks of where it lies: bytes from elsewhere are just signatures that do not verify.
    function _at(bytes[] calldata values, uint256 i) private pure returns (bytes calldata value) {
        assembly ("memory-safe") {
            let at := add(values.offset, calldataload(add(values.offset, shl(5, i))))
            value.length := calldataload(at)
            value.offset := add(at, 32)
        }
    }

    /// @dev Refuses while paused.
    function _quorum() private view returns (Quorum memory) {
        State memory state = _state;
        if (state.paused) revert VaultPaused();
        return Quorum(_domainSeparatorV4(), state.epoch, state.threshold, state.guardians.code);
    }

    function _emptyLedger() private pure returns (Ledger memory ledger) {
        ledger.word = NO_WORD;
    }

    /// @dev Checks one release and writes it into the ledger, or says what stands in its way now: a reason for skipping it.
    function _book(
        Ledger memory ledger,
        Release calldata r,
        uint256 fee,
        bytes calldata signatures,
        Quorum memory quorum
    ) private returns (uint8) {
        (uint256 number, uint256 amount) = (r.number, r.amount);
        _turnTo(ledger, r.process, number >> 8, r.asset);
        uint256 bit = 1 << (number & 0xff);
        if (ledger.bits & bit != 0) return SKIPPED_USED;
        if (amount > _left(ledger.used, ledger.limit)) return SKIPPED_LIMIT;
        _checkRelease(r, fee, signatures, quorum);
        uint256 locked_ = ledger.locked;
        if (amount > locked_) revert NotLocked(r.asset, locked_);
        ledger.bits |= bit;
        ledger.moved = true;
        unchecked {
            ledger.locked = locked_ - amount;
            ledger.used += amount; // not above the limit
        }
        return 0;
    }

    /// @dev Opens the ledger at the words of a withdrawal and an asset, closing it where it was open before.
    function _turnTo(Ledger memory ledger, bytes32 process, uint256 word, address asset) private {
        if (ledger.word != word || ledger.process != process) {
            _writeBits(ledger);
            (ledger.process, ledger.word, ledger.bits) = (process, word, _released[process][word]);
        }
        if (!ledger.loaded || ledger.asset != asset) {
            _writeFlow(ledger);
            Flow memory flow = _flows[asset];
            Listing memory listing_ = _listings[asset];
            (ledger.loaded, ledger.asset) = (true, asset);
            (ledger.locked, ledger.used, ledger.limit) = (flow.locked, _decayed(listing_, flow), listing_.limit);
        }
    }

    function _left(uint256 used, uint256 limit) private pure returns (uint256) {
        unchecked {
            return limit > used ? limit - used : 0;
        }
    }

    function _write(Ledger memory ledger) private {
        _writeBits(ledger);
        _writeFlow(ledger);
    }

    function _writeBits(Ledger memory ledger) private {
        if (ledger.word != NO_WORD) _released[ledger.process][ledger.word] = ledger.bits;
    }

    /// @dev Nothing is written for what was only skipped: else anyone could keep rounding the meter's decay down to nothing.
    function _writeFlow(Ledger memory ledger) private {
        if (!ledger.moved) return;
        _flows[ledger.asset] = Flow(uint112(ledger.locked), uint104(ledger.used), uint40(block.timestamp));
        ledger.moved = false;
    }

    function _checkRelease(
        Release calldata r,
        uint256 fee,
        bytes calldata signatures,
        Quorum memory quorum
    ) private view {
        if (fee > r.maxFee || r.maxFee > r.amount) revert FeeTooHigh(fee, r.maxFee);
        bytes32 type_ = RELEASE_TYPE;
        bytes32 content;
        // The struct's six words lie in calldata as EIP-712 encodes them; each is also read as its type, which refuses dirty bits.
        assembly ("memory-safe") {
            let encoded := mload(0x40)
            mstore(encoded, type_)
            calldatacopy(add(encoded, 32), r, 192)
            mstore(add(encoded, 224), mload(add(quorum, 32)))
            content := keccak256(encoded, 256)
        }
        bytes32 digest = MessageHashUtils.toTypedDataHash(quorum.domain, content);
        _checkSignatures(digest, signatures, quorum.guardians, quorum.threshold);
    }

    /// @dev A recipient that cannot be paid is credited instead. The fee is within the amount: it was checked.
    function _pay(Release calldata r, uint256 fee) private returns (address asset) {
        asset = r.asset;
        (address recipient, uint256 amount) = (r.recipient, r.amount);
        uint256 payout;
        unchecked {
            payout = amount - fee;
        }
        bool held = !_push(asset, recipient, payout);
        if (held) claimable[recipient][asset] += payout;
        bytes32 topic = Released.selector;
        // emit Released(r.process, r.number, asset, recipient, amount, fee, held), from words that were checked when it was booked.
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, add(r, 96), 64) // recipient, amount
            mstore(add(data, 64), fee)
            mstore(add(data, 96), held)
            log4(data, 128, topic, calldataload(r), calldataload(add(r, 32)), asset)
        }
    }

    /// @dev Used outflow falls linearly from `limit` to zero over `window`.
    function _decayed(Listing memory listing_, Flow memory flow) private view returns (uint256) {
        uint256 used = flow.used;
        uint256 window = listing_.window;
        if (window == 0) return used;
        uint256 regained = (uint256(listing_.limit) * (block.timestamp - flow.at)) / window;
        return used > regained ? used - regained : 0;
    }

    /// @dev A fee that cannot be paid becomes claimable too: nothing is lost.
    function _payFee(address asset, uint256 fee) private {
        if (fee != 0 && !_push(asset, msg.sender, fee)) claimable[msg.sender][asset] += fee;
    }

    /// @dev Pays without ever reverting for the recipient's or the token's reasons. Enough gas is demanded first, so that
    /// a submitter cannot turn a good payment into a held one by sending too little.
    function _push(address asset, address to, uint256 amount) private returns (bool) {
        if (amount == 0) return true;
        if (asset == COIN) return _sendCoin(to, amount);
        return asset.code.length != 0 && _sendToken(asset, abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    /// @dev Copies nothing of what the recipient returns.
    function _sendCoin(address to, uint256 amount) private returns (bool ok) {
        if (gasleft() < COIN_GAS_NEEDED) revert NotEnoughGas(COIN_GAS_NEEDED);
        assembly ("memory-safe") {
            ok := call(RECIPIENT_GAS, to, amount, 0, 0, 0, 0)
        }
    }

    /// @dev True when the call succeeded and returned nothing or `true`. Copies at most one word back.
    function _sendToken(address asset, bytes memory data) private returns (bool ok) {
        if (gasleft() < TOKEN_GAS_NEEDED) revert NotEnoughGas(TOKEN_GAS_NEEDED);
        assembly ("memory-safe") {
            mstore(0, 1)
            ok := call(TOKEN_GAS, asset, 0, add(data, 32), mload(data), 0, 32)
            if returndatasize() {
                ok := and(ok, and(gt(returndatasize(), 31), eq(mload(0), 1)))
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
    ) external nonReentrant {
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
    ) external nonReentrant {
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
    function pause(bytes calldata signatures) external nonReentrant {
        if (_state.paused) revert VaultPaused();
        uint64 nonce = decisions++;
        _decide(keccak256(abi.encode(PAUSE_TYPE, _state.epoch, nonce)), signatures, _state.pauseThreshold);
        _state.paused = true;
        emit Paused(nonce);
    }

    /// @notice Lets deposits and releases go on; M guardians are needed.
    function unpause(bytes calldata signatures) external nonReentrant {
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
    ) private view {
        uint256 count;
        unchecked {
            if (signatures.length != required * SIGNATURE) revert WrongSignatureCount(required);
            count = (guardians_.length - 1) / 20; // never empty: the zero byte is there
        }
        uint256 bad = 0; // position of the first bad one, from 1
        assembly ("memory-safe") {
            let input := mload(0x40) // ecrecover's: digest, v, r, s
            mstore(input, digest)
            let next := 0
            let at := signatures.offset
            for {
                let i := 0
            } lt(i, required) {
                i := add(i, 1)
                at := add(at, SIGNATURE)
            } {
                let index := byte(0, calldataload(at))
                let vs := calldataload(add(at, 33))
                let s := shr(1, shl(1, vs))
                mstore(add(input, 32), add(27, shr(255, vs)))
                calldatacopy(add(input, 64), add(at, 1), 32)
                mstore(add(input, 96), s)
                mstore(0, 0)
                // A malformed signature leaves the zero, and no guardian is the zero address.
                pop(staticcall(gas(), 1, input, 128, 0, 32))
                // Reads past the list only for an index that is refused here.
                let guardian := shr(96, mload(add(add(guardians_, 33), mul(index, 20))))
                let known := and(iszero(lt(index, next)), lt(index, count))
                if iszero(and(known, and(iszero(gt(s, HALF_ORDER)), eq(mload(0), guardian)))) {
                    bad := add(i, 1)
                    break
                }
                next := add(index, 1)
            }
        }
        if (bad != 0) revert BadSignature(bad - 1);
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

        /// @notice Whether withdrawal `number` of a token process has been paid (or held) here.
    function isReleased(bytes32 process, uint64 number) external view returns (bool) {
        return (_released[process][number >> 8] >> (number & 0xff)) & 1 == 1;
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
        uint256 limit = _listings[asset].limit;
        used = _decayed(_listings[asset], _flows[asset]);
        available = _left(used, limit);
    }
}
