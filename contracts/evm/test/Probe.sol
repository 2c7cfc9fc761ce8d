// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Message, Process, Tag} from "../Process.sol";

contract Child {
    uint256 public value = 7;

    event Send(string target, string data, Tag[] tags);

    function speak() external {
        Tag[] memory tags = new Tag[](0);
        emit Send("x", "not the process' word", tags);
    }

    function end() external {
        selfdestruct(payable(msg.sender));
    }
}

/// What a test asks of a contract: what it was told, and everything it should not get away with.
contract Probe is Process {
    uint256 public count;
    address public caller;
    address public child;
    uint256 public given;
    address public spawner = msg.sender;

    error Refused(uint256 code);

    constructor(uint256 value) {
        require(value != 13, "unlucky");
        given = value;
    }

    function handle(Message calldata message) external override {
        count++;
        caller = msg.sender;
        Tag[] memory tags = new Tag[](message.tags.length + 3);
        tags[0] = Tag("Id", message.id);
        tags[1] = Tag("Owner", message.owner);
        tags[2] = Tag("Target", message.target);
        for (uint256 i = 0; i < message.tags.length; i++) tags[i + 3] = message.tags[i];
        require(msg.sender == addressOf(message.from), "another caller");
        emit Send(message.from, message.data, tags);
        emit Spawn("the module", message.data, tags);
        string[] memory processes = new string[](2);
        (processes[0], processes[1]) = ("one", "two");
        emit Assign(processes, message.id);
        emit Send("", "public", new Tag[](0));
    }

    function assigned(Message calldata message) external override {
        count += 100;
        emit Send(message.from, message.target, new Tag[](0));
    }

    function world() external view returns (uint256, uint256, uint256, uint256, uint256, address, bytes32, uint256) {
        return (block.timestamp, block.number, block.chainid, block.prevrandao, block.basefee, block.coinbase, blockhash(block.number - 1), gasleft());
    }

    function refuse(uint256 how) external {
        count += 1000;
        if (how == 0) revert("on purpose");
        if (how == 1) revert Refused(5);
        if (how == 2) assert(false);
        if (how == 3) revert();
        if (how == 4) count = 1 / (how - 4);
        if (how == 5) assembly { invalid() }
    }

    function loop() external {
        count = 1;
        while (true) {}
    }

    /// Calls itself and holds on to whatever is left.
    function cling() external {
        count = 1;
        while (true) {
            try this.loop() {} catch {}
        }
    }

    function recurse() external {
        this.recurse();
    }

    function grow(uint256 size) external pure returns (uint256) {
        bytes memory bomb = new bytes(size);
        return bomb.length;
    }

    function sendMany(uint256 number) external {
        count = 1;
        Tag[] memory tags = new Tag[](0);
        for (uint256 i = 0; i < number; i++) emit Send("t", "", tags);
    }

    /// One text, and a list of tags that all point to it.
    function amplify(uint256 tags, uint256 size) external {
        count = 1;
        bytes memory data = new bytes(32 * (6 + tags + 3) + size + 64);
        assembly {
            let at := add(data, 32)
            mstore(at, 0x60)
            mstore(add(at, 32), 0x60)
            mstore(add(at, 64), 0x80)
            mstore(add(at, 0x60), 0)
            mstore(add(at, 0x80), tags)
            let heads := add(at, 0xa0)
            let element := mul(tags, 32)
            for { let i := 0 } lt(i, tags) { i := add(i, 1) } { mstore(add(heads, mul(i, 32)), element) }
            let one := add(heads, element)
            mstore(one, 0x40)
            mstore(add(one, 32), 0x40)
            mstore(add(one, 64), size)
        }
        bytes32 topic = Send.selector;
        assembly { log1(add(data, 32), mload(data), topic) }
    }

    function badEvent(uint256 how) external {
        count = 1;
        bytes32 topic = Send.selector;
        assembly {
            if eq(how, 1) { mstore(0, not(0)) }
            if eq(how, 2) { mstore(0, 0x1000000) }
            log1(0, mul(how, 32), topic)
        }
    }

    function precompile(address which, uint256 size) external view returns (bool ok, bytes memory out) {
        (ok, out) = which.staticcall(new bytes(size));
    }

    function pay(address to) external returns (bool ok) {
        (ok, ) = to.call{value: 1}("");
    }

    function bear() external returns (address) {
        Child born = new Child();
        born.speak();
        child = address(born);
        return child;
    }

    function bearAndEnd() external returns (address) {
        Child born = new Child();
        born.end();
        child = address(born);
        return child;
    }

    function childValue() external view returns (uint256) {
        return Child(child).value();
    }

    function childCode() external view returns (uint256) {
        return child.code.length;
    }

    function keep(uint256 from, uint256 number, bytes1 value) external {
        for (uint256 i = 0; i < number; i++) {
            assembly { sstore(add(add(from, i), 0x1000000), shr(248, value)) }
        }
    }

    function sumOf(uint256 from, uint256 number) external view returns (uint256 sum) {
        for (uint256 i = 0; i < number; i++) {
            uint256 one;
            assembly { one := sload(add(add(from, i), 0x1000000)) }
            sum += one * (i + 1);
        }
    }
}
