/** A small token with AO's messages: `Transfer` (Recipient, Quantity), `Balance` (Recipient, default the sender). Who spawned it holds all of it (tag `Supply`). */
const balances = new Map([[ao.env.Process.Owner, BigInt(ao.env.Process.Tags.Supply ?? 0)]]);
const balanceOf = (holder) => balances.get(holder) ?? 0n;

function amountOf(text) {
  if (!/^(0|[1-9][0-9]*)$/.test(text ?? '')) throw new Error('Quantity is no amount');
  return BigInt(text);
}

function transfer({ From, Tags: { Recipient, Quantity } }) {
  if (!Recipient) throw new Error('Recipient is missing');
  const quantity = amountOf(Quantity);
  if (quantity > balanceOf(From)) {
    ao.send({ Target: From, Action: 'Transfer-Error', Data: 'Insufficient Balance!' });
    return;
  }
  balances.set(From, balanceOf(From) - quantity);
  balances.set(Recipient, balanceOf(Recipient) + quantity);
  ao.send({ Target: From, Action: 'Debit-Notice', Quantity, Recipient });
  ao.send({ Target: Recipient, Action: 'Credit-Notice', Quantity, Sender: From });
}

globalThis.handle = (msg) => {
  const { Action, Recipient } = msg.Tags;
  if (Action === 'Transfer') transfer(msg);
  else if (Action === 'Balance')
    ao.send({ Target: msg.From, Action: 'Balance', Data: balanceOf(Recipient || msg.From) });
};
