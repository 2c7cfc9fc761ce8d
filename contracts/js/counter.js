/** Counts: `Action: Increment` adds one and answers; `Action: Forward` has another process (tag `To`) count. */
let count = 0n;

globalThis.handle = (msg) => {
  const { Action, To } = msg.Tags;
  if (Action === 'Increment') {
    count += 1n;
    ao.send({ Target: msg.From, Action: 'Count', Data: count });
  } else if (Action === 'Forward') ao.send({ Target: To, Action: 'Increment' });
};
