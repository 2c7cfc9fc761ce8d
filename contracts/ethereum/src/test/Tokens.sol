// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// A plain token with permit; anyone may mint. The devnet's dollar and the base of the misbehaving ones.
contract TestToken is ERC20Permit {
    uint8 private immutable _decimals;

    constructor(string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) ERC20Permit(name_) {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// Takes 1% of every transfer.
contract FeeToken is TestToken("Fee", "FEE", 18) {
    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && to != address(0)) {
            super._update(from, address(0xfee), value / 100);
            value -= value / 100;
        }
        super._update(from, to, value);
    }
}

/// Refuses some accounts, and can stop altogether.
contract BlacklistToken is TestToken("Blacklist", "BLK", 6) {
    mapping(address => bool) public banned;
    bool public stopped;

    function ban(address account, bool yes) external {
        banned[account] = yes;
    }

    function stop(bool yes) external {
        stopped = yes;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!stopped && !banned[from] && !banned[to], "refused");
        super._update(from, to, value);
    }
}

/// Its balances grow and shrink by themselves.
contract RebaseToken {
    uint256 public percent = 100;
    mapping(address => uint256) private _shares;
    mapping(address => mapping(address => uint256)) public allowance;

    function rebase(uint256 percent_) external {
        percent = percent_;
    }

    function mint(address to, uint256 amount) external {
        _shares[to] += amount;
    }

    function balanceOf(address account) public view returns (uint256) {
        return (_shares[account] * percent) / 100;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        uint256 shares = (amount * 100) / percent;
        _shares[msg.sender] -= shares;
        _shares[to] += shares;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        uint256 shares = (amount * 100) / percent;
        _shares[from] -= shares;
        _shares[to] += shares;
        return true;
    }
}

/// Answers as told: nothing at all, or `false` without moving anything.
contract OddToken {
    bool public immutable silent;
    bool public lies;
    mapping(address => uint256) public balanceOf;

    constructor(bool silent_) {
        silent = silent_;
    }

    function lie(bool yes) external {
        lies = yes;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address, uint256) external pure returns (bool) {
        return true;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        if (!lies) {
            balanceOf[from] -= amount;
            balanceOf[to] += amount;
        }
        bool silent_ = silent;
        bool answer = !lies;
        assembly {
            if silent_ {
                return(0, 0)
            }
            mstore(0, answer)
            return(0, 32)
        }
    }
}

/// Calls back into whoever it is told during each transfer, as an ERC-777 does.
contract HookToken is TestToken("Hook", "HOOK", 18) {
    address public target;
    bytes public data;
    bool public reentered;

    function hook(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target != address(0)) {
            (bool ok, ) = target.call(data);
            reentered = reentered || ok;
        }
    }
}

/// Needs nearly all the gas the vault grants a token.
contract GreedyToken is TestToken("Greedy", "GRD", 18) {
    function _update(address from, address to, uint256 value) internal override {
        uint256 start = gasleft();
        super._update(from, to, value);
        if (from != address(0)) while (start - gasleft() < 280_000) {}
    }
}
