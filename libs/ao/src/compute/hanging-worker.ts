/** For tests: source of a compute worker whose processes count messages, and hang (for ever, or until there is a file), crash or take their time when they are told to, or hang when they are opened, as no lean process can. */
export const HANGING_WORKER = `
const { parentPort } = require('node:worker_threads');
const fs = require('node:fs');
const counts = new Map();
// The thread does nothing else meanwhile, as in a loop, but takes no processor from other tests.
const wait = (milliseconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
const failed = (Error) => ({ Messages: [], Spawns: [], Assignments: [], Output: '', Error });
function handle(process, message, keep) {
  const action = message.Tags.find((t) => t.name === 'Action')?.value;
  if (action === 'Hang') wait(Infinity);
  if (action === 'Loop') for (;;);
  if (action === 'Slow') while (!fs.existsSync(message.Data)) wait(5);
  if (action === 'Crash') globalThis.process.exit(1);
  if (action === 'Environment') return { ...failed(''), Output: Object.keys(globalThis.process.env).join(' ') };
  if (action === 'Work') wait(Number(message.Data));
  if (action === 'Fail') return failed('on purpose');
  const count = counts.get(process) + (action === 'Count' ? 1 : 0);
  if (keep) counts.set(process, count);
  return { Messages: [{ Anchor: '', Tags: [], Data: String(count) }], Spawns: [], Assignments: [], Output: '' };
}
function page(process) {
  const bytes = new Uint8Array(65536);
  bytes[0] = counts.get(process);
  return bytes;
}
// Of packed entries this reads no more than whether a message says Count.
function replay(process, entries) {
  const bytes = Buffer.from(entries);
  let count = 0;
  for (let at = 0; at < bytes.length;) {
    at += 12 + bytes.readUInt32BE(at + 8);
    const end = at + 4 + bytes.readUInt32BE(at);
    if (bytes.subarray(at, end).includes('Count')) counts.set(process, counts.get(process) + 1);
    at = end;
    count += 1;
  }
  return { count, bytes: bytes.length, milliseconds: 0, takesLong: false };
}
function perform({ op, process, module, image, message, messages, entries }) {
  if (op === 'open' && Buffer.from(module).includes('Hang')) wait(Infinity);
  if (op === 'open') return counts.set(process, image ? image.pages.get(0)[0] : 0), { takesLong: false };
  if (op === 'close') return counts.delete(process), null;
  if (op === 'snapshot') return { size: 65536, pages: new Map([[0, page(process)]]) };
  if (op === 'checkpoint') return { size: 65536, changed: [[0, page(process)]] };
  if (op === 'dry-run') return { result: handle(process, message, false), milliseconds: 0 };
  if (op === 'replay') return replay(process, entries);
  const begun = performance.now();
  const results = messages.map((m) => handle(process, m, true));
  return op === 'follow' ? null : { results, milliseconds: performance.now() - begun, takesLong: false };
}
parentPort.on('message', (request) => parentPort.postMessage({ id: request.id, usage: 0, value: perform(request) }));
`;
