// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Message, Process} from "./Process.sol";

/// Counts: `Action: Increment` adds one and answers, as a call of `increment()` does; `Action: Forward` has another process count.
contract Counter is Process {
    uint256 public count;

    function handle(Message calldata message) external override {
        if (isAction(message, "Increment")) send(message.from, "Count", textOf(++count));
        else if (isAction(message, "Forward")) send(tagOf(message, "To"), "Increment", "");
    }

    function increment() external returns (uint256) {
        return ++count;
    }
}
