// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Message, Process, Tag} from "./Process.sol";

/// A small token with AO's messages: `Transfer` (Recipient, Quantity), `Balance` (Recipient, default the sender). Who spawned it holds all of it.
contract Token is Process {
    mapping(string holder => uint256) private balances;

    constructor(string memory holder, uint256 supply) {
        balances[holder] = supply;
    }

    function handle(Message calldata message) external override {
        if (isAction(message, "Transfer")) transfer(message);
        else if (isAction(message, "Balance")) {
            string memory holder = tagOf(message, "Recipient");
            send(message.from, "Balance", textOf(balances[bytes(holder).length == 0 ? message.from : holder]));
        }
    }

    function transfer(Message calldata message) private {
        string memory recipient = tagOf(message, "Recipient");
        string memory text = tagOf(message, "Quantity");
        if (bytes(recipient).length == 0) revert("Recipient is missing");
        uint256 quantity = amountOf(text);
        if (quantity > balances[message.from]) {
            send(message.from, "Transfer-Error", "Insufficient Balance!");
            return;
        }
        balances[message.from] -= quantity;
        balances[recipient] += quantity;
        notice(message.from, "Debit-Notice", "Recipient", recipient, text);
        notice(recipient, "Credit-Notice", "Sender", message.from, text);
    }

    function notice(string memory to, string memory action, string memory name, string memory other, string memory quantity) private {
        Tag[] memory tags = new Tag[](3);
        tags[0] = Tag("Action", action);
        tags[1] = Tag("Quantity", quantity);
        tags[2] = Tag(name, other);
        emit Send(to, "", tags);
    }
}
