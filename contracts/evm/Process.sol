// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// What a contract needs to be an AO process: messages are calls of `handle`, events are what it sends.

struct Tag {
    string name;
    string value;
}

/// `msg.sender` stands for `from`: its own address when it is an Ethereum one, else the last 20 bytes of keccak256(from).
struct Message {
    string id;
    string from;
    string owner;
    string target;
    string data;
    Tag[] tags;
}

abstract contract Process {
    /// Without a target it is reported only, never delivered.
    event Send(string target, string data, Tag[] tags);
    event Spawn(string module, string data, Tag[] tags);
    event Assign(string[] processes, string messageId);

    error NoTag(string name);
    error NoAmount(string text);

    /// Every message that is not itself a call (tag `Calldata`).
    function handle(Message calldata message) external virtual;

    /// A message that was sent to another process and is only assigned to this one. Nothing may be done on its word alone.
    function assigned(Message calldata) external virtual {}

    /// The address that stands for a sender or a process, as `msg.sender` does.
    function addressOf(string memory id) internal pure returns (address) {
        bytes memory text = bytes(id);
        if (text.length == 42 && text[0] == "0" && text[1] == "x") {
            uint160 value = 0;
            for (uint256 i = 2; i < 42; i++) {
                uint8 c = uint8(text[i]);
                if (c >= 48 && c <= 57) value = value * 16 + (c - 48);
                else if (c >= 65 && c <= 70) value = value * 16 + (c - 55);
                else if (c >= 97 && c <= 102) value = value * 16 + (c - 87);
                else return address(uint160(uint256(keccak256(text))));
            }
            return address(value);
        }
        return address(uint160(uint256(keccak256(text))));
    }

    /// The first tag of this name; empty when there is none.
    function tagOf(Message calldata message, string memory name) internal pure returns (string memory) {
        bytes32 wanted = keccak256(bytes(name));
        for (uint256 i = 0; i < message.tags.length; i++) {
            if (keccak256(bytes(message.tags[i].name)) == wanted) return message.tags[i].value;
        }
        return "";
    }

    function isAction(Message calldata message, string memory action) internal pure returns (bool) {
        return keccak256(bytes(tagOf(message, "Action"))) == keccak256(bytes(action));
    }

    function send(string memory target, string memory action, string memory data) internal {
        Tag[] memory tags = new Tag[](1);
        tags[0] = Tag("Action", action);
        emit Send(target, data, tags);
    }

    /// An amount as AO writes it: decimal digits, no sign, no leading zero.
    function amountOf(string memory text) internal pure returns (uint256 amount) {
        bytes memory digits = bytes(text);
        if (digits.length == 0 || (digits.length > 1 && digits[0] == "0")) revert NoAmount(text);
        for (uint256 i = 0; i < digits.length; i++) {
            uint8 digit = uint8(digits[i]);
            if (digit < 48 || digit > 57) revert NoAmount(text);
            amount = amount * 10 + (digit - 48);
        }
    }

    function textOf(uint256 amount) internal pure returns (string memory) {
        if (amount == 0) return "0";
        uint256 length = 0;
        for (uint256 rest = amount; rest > 0; rest /= 10) length++;
        bytes memory digits = new bytes(length);
        for (; amount > 0; amount /= 10) digits[--length] = bytes1(uint8(48 + (amount % 10)));
        return string(digits);
    }
}
