// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A recipient that behaves as told when coin arrives.
contract Recipient {
    enum Mood {
        Accept,
        Revert,
        BurnGas,
        ReturnBomb,
        Spend
    }
    Mood public mood;

    constructor(Mood mood_) {
        mood = mood_;
    }

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function claim(address vault, address asset, address to) external {
        (bool ok, ) = vault.call(abi.encodeWithSignature("claim(address,address)", asset, to));
        require(ok, "claim");
    }

    receive() external payable {
        if (mood == Mood.Revert) revert("no");
        if (mood == Mood.BurnGas) while (true) {}
        if (mood == Mood.Spend) {
            // Nearly all that a recipient is promised.
            uint256 start = gasleft();
            while (start - gasleft() < 45_000) {}
        }
        if (mood == Mood.ReturnBomb) {
            assembly {
                return(0, 100000)
            }
        }
    }
}

/// Emits the vault's own event from its own address, and passes calls on.
contract Lookalike {
    event Deposited(
        uint64 indexed sequence,
        address indexed asset,
        address indexed sender,
        uint256 amount,
        bytes recipient,
        bytes tags
    );

    function fake(uint64 sequence, uint256 amount, bytes calldata recipient) public {
        emit Deposited(sequence, address(0), msg.sender, amount, recipient, "");
    }

    /// A genuine deposit and a fake log in one receipt.
    function both(address vault, uint64 sequence, uint256 amount, bytes calldata recipient) external payable {
        fake(sequence, amount, recipient);
        forward(vault, abi.encodeWithSignature("deposit(bytes,bytes)", recipient, ""));
    }

    /// The vault's code run in this contract's place: its event comes from here.
    function delegated(address vault, bytes calldata data) external payable {
        (bool ok, ) = vault.delegatecall(data);
        require(ok, "delegatecall");
    }

    function forward(address vault, bytes memory data) public payable {
        (bool ok, ) = vault.call{value: msg.value}(data);
        require(ok, "call");
    }

    /// Two deposits in one transaction.
    function twice(address vault, bytes calldata recipient) external payable {
        bytes memory data = abi.encodeWithSignature("deposit(bytes,bytes)", recipient, "");
        (bool first, ) = vault.call{value: msg.value / 2}(data);
        (bool second, ) = vault.call{value: msg.value / 2}(data);
        require(first && second, "call");
    }
}
