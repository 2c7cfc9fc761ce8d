/** The JavaScript machine: exact, undone on error, bounded, closed to the world, and nothing a module redefines reaches what wraps it. */
import fc from 'fast-check';
import type { EvaluationResult, ProcessEnv, VmInstance, VmMessage } from '../../types.js';
import { MAX_RESULT_BYTES, MAX_SENT } from '../bounds.js';
import { changedImage, KeptMemory, sameImage } from '../image.js';
import { QuickJsMachine } from './machine.js';
import { QUICKJS_FORMAT, QuickJsVm } from './quickjs-vm.js';

const env: ProcessEnv = {
  Process: { Id: 'p'.repeat(43), Owner: 'o', Tags: [{ name: 'Authority', value: 'messenger' }] },
  Module: { Id: 'm'.repeat(43), Owner: 'o', Tags: [] },
};
let nonce = 0;
const message = (action: string, data = '', more: Partial<VmMessage> = {}): VmMessage => ({
  Id: `id-${(nonce += 1)}`,
  Owner: 'alice',
  From: 'alice',
  Target: env.Process.Id,
  Anchor: '',
  Data: data,
  Tags: [{ name: 'Action', value: action }],
  Module: env.Module.Id,
  Epoch: 0,
  Nonce: nonce,
  Timestamp: 1_700_000_000_000,
  'Block-Height': '1',
  'Hash-Chain': '',
  Cron: false,
  ...more,
});

/** Keeps what it is told; `Run` evaluates its data half way through a change, so that what fails there must be undone. */
const KEEPER = `
let n = 0;
const kept = [];
function handle(msg) {
  n += 1;
  if (msg.Tags.Action === 'Keep') kept.push(msg.Data);
  if (msg.Tags.Action === 'Run') {
    kept.push('half done');
    const said = (0, eval)(msg.Data);
    ao.send({ Target: msg.From, Data: String(said) });
    kept.pop();
    return;
  }
  ao.send({ Target: msg.From, Data: n + ':' + kept.length, Zed: 'z', Action: 'Count' });
}`;
/** Enough for everything here that is to succeed; what is to end in "out of work" ends sooner. */
const vm = new QuickJsVm(100_000_000);
const load = (source = KEEPER): Promise<VmInstance> => vm.load(Buffer.from(source), QUICKJS_FORMAT, env, null);
const data = async (instance: VmInstance, m: VmMessage) => {
  const result = await instance.handle(m);
  return result.Error ?? result.Messages[0]?.Data;
};
const run = async (code: string): Promise<EvaluationResult> => (await load()).handle(message('Run', code));
/** What a whole module answers to one message. */
const answer = async (source: string, m = message('Go')): Promise<EvaluationResult> => (await load(source)).handle(m);

it('gives messages, spawns and assignments; tags in the order listed, or sorted; texts untouched', async () => {
  const text = 'nul \0, ünïcode 🜁, "quotes" \\ and a half \ud800\n';
  const result = await answer(
    `function handle(msg) {
      ao.send({ Target: msg.From, Data: msg.Data, Tags: [{ name: 'B', value: 1 }, { name: 'A', value: 2n }], Action: 'x' });
      ao.send({ Zed: true, Action: 'y', Tags: { M: 3 }, none: undefined, state: { a: [1, '2'] } });
      ao.spawn('module', { Data: 'd', Name: 'child' });
      ao.assign({ Processes: ['p1', 'p2'], Message: msg.Id });
      return 'said';
    }`,
    message('Go', text, { Id: 'the-id' }),
  );
  expect(result).toEqual({
    GasUsed: expect.any(Number) as number,
    Messages: [
      {
        Target: 'alice',
        Anchor: '1'.padStart(32, '0'),
        Data: text,
        Tags: [
          { name: 'B', value: '1' },
          { name: 'A', value: '2' },
          { name: 'Action', value: 'x' },
        ],
      },
      {
        Anchor: '2'.padStart(32, '0'),
        Data: '',
        Tags: [
          { name: 'Action', value: 'y' },
          { name: 'M', value: '3' },
          { name: 'Zed', value: 'true' },
          { name: 'state', value: '{"a":[1,"2"]}' },
        ],
      },
    ],
    Spawns: [
      {
        Anchor: '3'.padStart(32, '0'),
        Data: 'd',
        Tags: [
          { name: 'Module', value: 'module' },
          { name: 'Name', value: 'child' },
        ],
      },
    ],
    Assignments: [{ Processes: ['p1', 'p2'], Message: 'the-id' }],
    Output: 'said',
  });
});

it('the message is all there: its fields, its tags by name with the first counting, no name special', async () => {
  const tags = ['__proto__', 'constructor', 'Action', 'Action'].map((name, i) => ({ name, value: String(i) }));
  const result = await answer(
    `function handle(msg) { return JSON.stringify([msg, Object.keys(msg.Tags), msg.Tags.Action, msg.Tags.toString, ao.env, ao.id]); }`,
    message('Go', 'd', { Tags: tags, From: 'process', 'Forwarded-By': 'messenger', Cron: true }),
  );
  const [seen, names, action, inherited, environment, id] = JSON.parse(String(result.Output)) as unknown[];
  expect(seen).toMatchObject({
    From: 'process',
    Owner: 'alice',
    'Forwarded-By': 'messenger',
    Data: 'd',
    Timestamp: 1_700_000_000_000,
    Cron: true,
    TagArray: tags,
  });
  expect([names, action, inherited, id]).toEqual([['__proto__', 'constructor', 'Action'], '2', null, env.Process.Id]);
  expect(environment).toMatchObject({ Process: { Owner: 'o', Tags: { Authority: 'messenger' } } });
});

it('trusts who signed for itself, and what an authority of the process passes on', async () => {
  const source = 'function handle(msg) { return String(ao.isTrusted(msg)); }';
  const said = async (From: string, Owner: string) => (await answer(source, message('Go', '', { From, Owner }))).Output;
  expect(await said('alice', 'alice')).toBe('true');
  expect(await said('process', 'messenger')).toBe('true');
  expect(await said('process', 'mallory')).toBe('false');
});

it('undoes a message that throws, however far it came', async () => {
  const instance = await load();
  await instance.handle(message('Keep', 'a'));
  const failed = await instance.handle(message('Run', 'ao.send({ Data: "x" }); throw new RangeError("on purpose")'));
  expect(failed).toMatchObject({ Error: expect.stringMatching(/^RangeError: on purpose +at/), Messages: [] });
  expect(await data(instance, message('Count'))).toBe('2:1');
});

it.each([
  ['a loop that finally goes on', 'for (;;) { try { for (;;) {} } finally { for (;;) {} } }', /^out of work$/],
  ['a catastrophic pattern', 'try { /(a*)*b/.test("a".repeat(40)) } catch {}', /^out of work$/],
  ['work of one large number', 'try { (3n ** 40000n) ** 4000n } catch {}', /^out of work$|too large|out of memory/],
  ['a promise that makes the next', 'const f = () => Promise.resolve().then(f); f(); 1', /^out of work$/],
  ['a sort that never agrees', 'try { [3,2,1].sort(() => { for (;;) {} }) } catch {}', /^out of work$/],
  ['a bomb', 'const all = []; for (;;) all.push(new Uint8Array(1e7).fill(1));', /out of memory/],
  ['a bomb of text', 'let s = "x"; for (;;) s += s;', /out of memory|too long/],
  ['recursion', '(function f() { f(); })()', /stack overflow/],
  [
    'recursion through proxies',
    'let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x',
    /stack overflow/,
  ],
  ['a deep source', 'try { eval("(".repeat(1e5)) } catch {}', /^stack overflow$/],
  ['a deep text', 'try { JSON.parse("[".repeat(1e5)) } catch {}', /^stack overflow$/],
  ['a deep pattern', 'RegExp("(?:".repeat(1e5) + ")".repeat(1e5))', /stack overflow/],
])('A16 %s ends in an error and leaves the process as it was', async (_, code, reason) => {
  const instance = await load();
  const first = message('Keep', 'a');
  await instance.handle(first);
  const failed = await instance.handle(message('Run', code));
  expect(failed).toMatchObject({ Error: expect.stringMatching(reason), Messages: [], Output: '' });
  const [keep, count] = [message('Keep', 'b'), message('Count')];
  expect(await data(instance, keep)).toBe('2:2');
  expect(await data(instance, count)).toBe('3:2');
  const undisturbed = await load();
  for (const m of [first, keep, count]) await undisturbed.handle(m);
  expect(sameImage(await instance.snapshot(), await undisturbed.snapshot())).toBe(true);
});

it('a script calls some 700 deep and reads what is nested as deeply; who goes further may catch it', async () => {
  const down = (depth: number) => `(function f(n) { return n === 0 ? 'down' : f(n - 1); })(${depth})`;
  expect((await run(down(600))).Messages[0]?.Data).toBe('down');
  expect((await run(`try { ${down(5000)} } catch (error) { error.message }`)).Messages[0]?.Data).toBe('stack overflow');
  const nested = 'JSON.stringify(JSON.parse("[".repeat(600) + "]".repeat(600))).length';
  expect((await run(nested)).Messages[0]?.Data).toBe('1200');
});

it('A16 what ends by count takes what JavaScript holds with it: no catch, no finally, no promise goes on', async () => {
  const instance = await load(`let after = 0;
    function handle(msg) {
      if (msg.Tags.Action === 'Count') return String(after);
      Promise.resolve().then(() => { after += 1; });
      try { for (;;) {} } catch { after += 1; } finally { after += 1; }
    }`);
  expect((await instance.handle(message('Go'))).Error).toBe('out of work');
  expect((await instance.handle(message('Count'))).Output).toBe('0');
});

it('A16 I11 work is counted alike in a fresh machine and in one whose memory was another one’s', () => {
  const [fresh, other] = [new QuickJsMachine(), new QuickJsMachine(100_000_000)];
  const kept = new KeptMemory(null);
  kept.keep(fresh.memory);
  expect(() => other.run('let all = []; for (let i = 0; ; i++) all.push("x" + i);', 'eat')).toThrow();
  const put = new QuickJsMachine();
  put.restore(kept);
  const work =
    'const t = []; for (let i = 0; i < 5000; i++) t.push(i + "x"); t.sort(); "x".repeat(1e6).split("x").length';
  for (const machine of [fresh, put]) machine.run(work, 'work');
  expect(put.workDone).toBe(fresh.workDone);
  expect(fresh.workDone).toBeGreaterThan(0);
  expect(Buffer.compare(put.memory, fresh.memory)).toBe(0);
});

it('A16 a script that does not end, does not parse or holds U+0000 is refused', async () => {
  await expect(load('for (;;) {}')).rejects.toThrow(/out of work/);
  await expect(load('this is not JavaScript')).rejects.toThrow(/SyntaxError/);
  await expect(load('function handle() {}\0 more')).rejects.toThrow(/U\+0000/);
  await expect(load('throw new Error("no")')).rejects.toThrow(/no/);
  expect((await answer('const x = 1;')).Error).toMatch(/defines no function handle/);
});

it('A16 a message gives so much and no more, or has no effect', async () => {
  const instance = await new QuickJsVm().load(Buffer.from(KEEPER), QUICKJS_FORMAT, env, null);
  const send = (count: number, size: number) =>
    instance.handle(message('Run', `for (let i = 1; i < ${count}; i++) ao.send({ Data: "x".repeat(${size}) }); 1`));
  expect((await send(MAX_SENT, 1)).Messages).toHaveLength(MAX_SENT);
  expect(await send(MAX_SENT + 1, 1)).toMatchObject({ Error: expect.stringContaining('at most'), Messages: [] });
  expect(await send(9, MAX_RESULT_BYTES / 8 - 1024)).toMatchObject({ Messages: { length: 9 } });
  expect(await send(9, MAX_RESULT_BYTES / 8)).toMatchObject({ Error: expect.stringContaining('bytes'), Messages: [] });
  for (const what of ['spawn("m")', 'assign({ Processes: [], Message: "m" })'])
    expect((await run(`for (let i = 0; i < ${MAX_SENT + 1}; i++) ao.${what}; 1`)).Error).toMatch(/at most/);
  expect(await data(instance, message('Count'))).toBe('3:0');
});

it('promises are kept within the message, or refused with a reason', async () => {
  const source = (body: string) => `let kept = 0; ${body}`;
  const asked = source(`async function handle(msg) {
    for (let i = 0; i < 3; i++) { await null; kept += 1; }
    ao.send({ Target: msg.From, Data: kept });
    return 'done';
  }`);
  const instance = await load(asked);
  for (const n of ['3', '6'])
    expect(await instance.handle(message('Go'))).toMatchObject({ Output: 'done', Messages: [{ Data: n }] });
  const fails = await answer(source('async function handle() { await null; kept = 1; throw new Error("late"); }'));
  expect(fails).toMatchObject({ Error: expect.stringMatching(/^Error: late/), Messages: [] });
  expect((await answer('function handle() { return new Promise(() => {}); }')).Error).toMatch(/nothing ever keeps/);
  expect((await answer('function handle() { return { then(ok) { ok("x"); } }; }')).Output).toBe('');
});

it('has nothing of the world outside, no clock and no chance', async () => {
  const instance = await load();
  const seen = await data(instance, message('Run', 'Object.getOwnPropertyNames(globalThis).sort().join(" ")'));
  expect(seen).toBe(
    'AggregateError Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean DataView Error EvalError Float16Array Float32Array Float64Array ' +
      'Function Infinity Int16Array Int32Array Int8Array InternalError Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError ' +
      'Reflect RegExp Set SharedArrayBuffer String Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakSet ' +
      'ao decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis handle isFinite isNaN parseFloat parseInt undefined unescape',
  );
  expect(await data(instance, message('Run', '[typeof Date, typeof Math.random, typeof Atomics].join()'))).toBe(
    'undefined,undefined,undefined',
  );
});

it.each([
  ['files', 'require("fs")', /ReferenceError/],
  ['the network', 'fetch("http://127.0.0.1")', /ReferenceError/],
  ['the process', 'process.exit(1)', /ReferenceError/],
  ['the host through a constructor', 'ao.send.constructor.constructor("return process")()', /ReferenceError/],
  [
    'the host through an error',
    'try { null.x } catch (e) { e.constructor.constructor("return process")() }',
    /ReferenceError/,
  ],
  ['the way in through a caller', '(function f() { return f.caller.caller; })().x', /TypeError/],
  ['the way in through arguments', '(function () { return arguments.callee.caller; })().x', /TypeError/],
  ['another id', '"use strict"; ao.env.Process.Tags.Authority = "mallory"', /TypeError/],
])('escape: %s is not to be had', async (_, code, reason) => {
  expect((await run(code)).Error).toMatch(reason);
});

it('escape: ao stays what it is, whoever writes to it', async () => {
  const attempts = [
    'ao = 1',
    'globalThis.ao = 1',
    'delete globalThis.ao',
    'ao.id = "x"',
    'ao.send = 1',
    'ao.env.Process = 1',
  ].concat(
    'Object.defineProperty(globalThis, "ao", { value: 1 })',
    'Object.setPrototypeOf(ao, { id: "x" })',
    'ao.env.Process.Tags.Authority = "mallory"; ao.env.Process.TagArray[0].value = "mallory"',
  );
  const code = attempts.map((attempt) => `try { ${attempt}; } catch {}`).join('\n');
  const instance = await load();
  const seen = '[typeof ao.send, ao.id, ao.env.Process.Tags.Authority, ao.env.Process.TagArray[0].value].join()';
  expect(await data(instance, message('Run', `${code}\n${seen}`))).toBe(
    `function,${env.Process.Id},messenger,messenger`,
  );
});

it('escape: a module that is imported is told to nobody', async () => {
  const source = `let said = 'nothing';
    async function handle() { try { said = await import('node:fs'); } catch (error) { said = String(error); } return said; }`;
  expect((await answer(source)).Output).toMatch(/could not load module|not available/);
});

it('escape: whatever a module redefines, what it is given and what it sends stay what they are', async () => {
  const poison = `
    const { getOwnPropertyNames, defineProperty } = Object;
    const evil = () => { throw new Error('reached'); };
    const trap = { configurable: true, get: evil, set: evil };
    for (const prototype of [Object.prototype, Array.prototype, String.prototype, Number.prototype, BigInt.prototype, Boolean.prototype, Function.prototype, Promise.prototype, Error.prototype, RegExp.prototype, Map.prototype]) {
      for (const name of getOwnPropertyNames(prototype))
        if (name !== '__proto__') try { defineProperty(prototype, name, { __proto__: null, configurable: true, writable: true, value: evil }); } catch {}
      for (const name of ['toJSON', '0', '1', 'name', 'value', 'Target', 'Data', 'Tags', 'TagArray', 'Anchor', 'Id', 'get', 'set', 'length', 'Process', 'then'])
        try { Reflect.defineProperty(prototype, name, trap); } catch {}
    }
    for (const holder of [Object, Array, JSON, Reflect, String, Promise, Symbol, Number, BigInt, RegExp])
      for (const name of getOwnPropertyNames(holder))
        if (name !== 'prototype') try { holder[name] = evil; } catch {}
    globalThis.TypeError = globalThis.Error = evil;
    globalThis.JSON = globalThis.Object = globalThis.Array = globalThis.Reflect = globalThis.String = globalThis.Promise = evil;
    globalThis.stringify = globalThis.parse = globalThis.keys = evil;
    function handle(msg) { ao.send({ Target: msg.From, Data: msg.Data, Tags: { B: 1n, A: msg.Tags.Action } , Anchor: 'a' }); return msg.TagArray[0].value; }`;
  const result = await answer(poison, message('Go', 'data'));
  expect(result).toEqual({
    GasUsed: expect.any(Number) as number,
    Messages: [
      {
        Target: 'alice',
        Anchor: 'a',
        Data: 'data',
        Tags: [
          { name: 'A', value: 'Go' },
          { name: 'B', value: '1' },
        ],
      },
    ],
    Spawns: [],
    Assignments: [],
    Output: 'Go',
  });
  // What fails there fails with a reason too, and is undone.
  expect(
    (await answer(poison.replace('function handle(msg) {', 'function handle(msg) { ao.send(1);'))).Error,
  ).toBeDefined();
});

it.each([
  ['a getter', '{ get Data() { return "got"; } }', 'got'],
  ['a getter that throws', '{ get Data() { throw new Error("on purpose"); } }', /on purpose/],
  ['a proxy', 'new Proxy({ Data: "real" }, { get: (t, k) => (k === "Data" ? "proxied" : undefined) })', 'proxied'],
  ['a proxy without keys', 'new Proxy({}, { ownKeys() { throw new Error("on purpose"); } })', /on purpose/],
  ['a toJSON', '{ Data: "d", toJSON() { return { Data: "other" }; } }', /TypeError: A tag must be/],
  ['a tag with toJSON', '{ Data: "d", x: { toJSON() { return () => {}; } } }', /TypeError: A tag must be/],
  ['a symbol as a name', '{ Data: "d", [Symbol.iterator]: 1, [Symbol.toPrimitive]: 2 }', 'd'],
  ['a symbol as a value', '{ Data: Symbol("x") }', /TypeError: Data must be/],
  ['an object as a text', '{ Data: { toString() { return "x"; } } }', /TypeError: Data must be/],
  ['a list that lies', '{ Data: "d", Tags: Object.defineProperty([], "length", { value: 3 }) }', /TypeError/],
  ['nothing', 'null', /TypeError: ao.send takes an object/],
])('escape: %s in what is sent is what it says or an error', async (_, sent, expected) => {
  const result = await answer(`function handle() { ao.send(${sent}); }`);
  expect(result.Error ?? result.Messages[0]?.Data).toMatch(expected);
});

it.each([
  ['a symbol', 'throw Symbol("x")'],
  ['nothing', 'throw undefined'],
  ['what throws when it is asked', 'throw { toString() { throw 1; } }'],
  ['a proxy', 'throw new Proxy({}, { get() { throw 1; } })'],
])('escape: %s that is thrown is an error like any other', async (_, code) => {
  expect((await run(code)).Error).toBeTruthy();
});

it('A16 why a message failed is told in a few words', async () => {
  expect((await run('throw new Error("x".repeat(1e6))')).Error).toHaveLength(1000);
});

it('A7 a dry-run changes nothing', async () => {
  const instance = await load();
  await instance.handle(message('Keep', 'a'));
  const before = await instance.snapshot();
  expect((await instance.dryRun(message('Keep', 'b'))).Messages[0]?.Data).toBe('2:2');
  expect((await instance.dryRun(message('Run', 'throw 1'))).Error).toBe('1');
  expect(
    (await instance.dryRun(message('Run', 'globalThis.big = new Uint8Array(1e8).fill(1); 1'))).Error,
  ).toBeUndefined();
  expect(sameImage(await instance.snapshot(), before)).toBe(true);
  expect(await data(instance, message('Count'))).toBe('2:1');
});

it('handling thousands of messages holds no more memory than handling a few', async () => {
  const instance = await load();
  const pages = async (count: number) => {
    for (let i = 0; i < count; i += 1) await instance.handle(message('Count', 'x'.repeat(500)));
    return (await instance.snapshot()).pages.size;
  };
  expect(await pages(4000)).toBe(await pages(50));
});

it('I11 the same messages give the same results and the same memory, whatever failed, was read, checkpointed or moved in between', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('Keep'), data: fc.string({ maxLength: 20 }) }),
    fc.record({
      kind: fc.constant('Run'),
      data: fc.constantFrom(
        'globalThis.m ??= new Map(); m.set(n, String(n)); m.size',
        'throw new Error("x")',
        'kept.sort(); kept.join().length',
        'globalThis.b = (globalThis.b ?? 1n) * 12345678901234567890n; String(b).length',
        'new Array(2e6).fill(1.5); 1',
        'Promise.resolve().then(() => { kept.push("later"); }); 1',
        '(function f() { f(); })()',
        '[0.1 + 0.2, Math.sin(1e6), 0 / 0, -(0 / 0), 1e21, (25).toString(36)].join()',
      ),
    }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 0, max: 11 }),
      async (steps, at) => {
        const messages = steps.map(({ kind, data: d }) => message(kind, d));
        const plain = await load();
        let moved = await load();
        let image = changedImage(null, await moved.checkpoint());
        for (const [i, m] of messages.entries()) {
          await moved.dryRun(message('Keep', 'read'));
          if (i === at) {
            image = changedImage(image, await moved.checkpoint());
            moved = await vm.load(Buffer.from(KEEPER), QUICKJS_FORMAT, env, image);
          }
          await moved.handle(message('Run', 'throw 1'));
          expect(await moved.handle(m)).toEqual(await plain.handle(m));
        }
        expect(sameImage(await moved.snapshot(), await plain.snapshot())).toBe(true);
      },
    ),
    { numRuns: 25 },
  );
});
