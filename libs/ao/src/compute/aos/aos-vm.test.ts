/**
 * aos modules. The real ones are not part of this repository: those found in `.cache/aos` (or named by ISTHMUS_AOS_MODULE) are run; what
 * needs none is proven with modules written by hand, which do what no compiler would make them do.
 */
import fs from 'node:fs';
import path from 'node:path';
import v8 from 'node:v8';
import { Worker } from 'node:worker_threads';
import { jest } from '@jest/globals';
import { projectRoot } from '@isthmus/store';
import type { EvaluationResult, MemoryImage, ProcessEnv, Tag, VmInstance, VmMessage } from '../../types.js';
import { changedImage, sameImage } from '../image.js';
import { F64, I32, I64, aosModule, leb, type HandModule } from '../wasm-module.js';
import { WorkerPool } from '../worker-pool.js';
import { HostFailure } from '../traps.js';
import { AosVm, memoryLimit } from './aos-vm.js';
import { givenNames } from './host.js';

const PROCESS = 'p'.repeat(43);
const env: ProcessEnv = {
  Process: { Id: PROCESS, Owner: 'owner', Tags: [] },
  Module: { Id: 'm'.repeat(43), Owner: 'o', Tags: [] },
};
const limited = (limit: string): ProcessEnv => ({
  ...env,
  Module: { ...env.Module, Tags: tagsOf({ 'Memory-Limit': limit }) },
});
const tagsOf = (tags: Record<string, string>): Tag[] => Object.entries(tags).map(([name, value]) => ({ name, value }));
let nonce = 0;
function message(tags: Record<string, string>, data = '', id = `id-${nonce}`): VmMessage {
  nonce += 1;
  return {
    Id: id,
    Owner: 'owner',
    From: 'owner',
    Target: PROCESS,
    Anchor: '',
    Data: data,
    Tags: tagsOf(tags),
    Module: env.Module.Id,
    Epoch: 0,
    Nonce: nonce,
    Timestamp: 1_700_000_000_000 + nonce,
    'Block-Height': '1',
    'Hash-Chain': '',
    Cron: false,
  };
}
const spawn = () => message({ Type: 'Process' }, '', PROCESS);
const evaluate = (source: string) => message({ Action: 'Eval' }, source);
const COUNTER = `n = 0
Handlers.add("count", "Count", function(m) n = n + 1; ao.send({ Target = m.From, Data = tostring(n) .. " " .. tostring(os.time()) .. " " .. tostring(math.random(1000000)), Number = 7 }) end)
Handlers.add("spin", "Spin", function() while true do end end)
Handlers.add("cling", "Cling", function() while true do pcall(function() while true do end end) end end)
Handlers.add("eat", "Eat", function() local t = {} while true do t[#t + 1] = string.rep("x", 1000000) .. #t end end)
Handlers.add("exit", "Exit", function() n = 100; os.exit(1) end)
Handlers.add("recurse", "Recurse", function() n = 100; local function f(s) return (s:gsub(".", f)) end f("x") end)
Handlers.add("large", "Large", function() n = 100; ao.send({ Target = "t", Data = string.rep("x", 9000000) }) end)
Handlers.add("many", "Many", function() n = 100; for i = 1, 1025 do ao.send({ Target = "t" }) end end)
Handlers.add("run", "Run", function(m) ao.send({ Target = "t", Data = tostring(load(m.Data)()) }) end)`;

const WIDTHS = [
  ['wasm32-unknown-emscripten4', false],
  ['wasm64-unknown-emscripten-draft_2024_02_15', true],
] as const;

function modules(): [string, string][] {
  const folder = path.join(projectRoot(), '.cache/aos');
  const found = fs.existsSync(folder) ? fs.readdirSync(folder).map((f) => path.join(folder, f)) : [];
  return [...found, process.env['ISTHMUS_AOS_MODULE'] ?? '']
    .filter((f) => f.endsWith('.wasm'))
    .map((f) => [f, formatOf(f)]);
}
it('there are aos modules to run these tests with: node scripts/aos-module.mjs puts them into .cache/aos', () =>
  expect(modules()).not.toEqual([]));
/** The published 32-bit modules are named so. */
function formatOf(file: string): string {
  return WIDTHS[file.endsWith('_32.wasm') ? 0 : 1][0];
}

const WORK = 100_000_000;
const vm = new AosVm(WORK);
const full = new AosVm();
const dataOf = (result: EvaluationResult | undefined) => result?.Error ?? result?.Messages[0]?.Data ?? '';

it('A16 a module that is no WebAssembly fails its messages, and its worker lives on', async () => {
  const pool = new WorkerPool(1);
  const format = WIDTHS[0][0];
  await pool.open(PROCESS, Buffer.from('no module'), format, env, null);
  expect(await pool.handle(PROCESS, [spawn()])).toMatchObject([{ Error: expect.stringMatching(/WebAssembly/) }]);
  await pool.open('lua', Buffer.from('function handle() end'), 'isthmus-lua-5.4', env, null);
  expect(await pool.handle('lua', [spawn()])).toMatchObject([{ Messages: [] }]);
  await pool.stop();
});

it('A16 a module says how much memory it may have, no more than anybody', () => {
  expect(['500-mb', '1-gb', '7-kb', '12-b', '', 'lots', '1.5-gb'].map((tag) => memoryLimit(limited(tag)))).toEqual([
    500 * 1024 ** 2,
    1024 ** 3,
    7 * 1024,
    12,
    Infinity,
    Infinity,
    Infinity,
  ]);
});

/** The usual answer, and a text that ends at 40,200. */
const withText = (text: string): Buffer => {
  const bytes = Buffer.alloc(39_300);
  bytes.write('{"ok":true,"response":{"Output":"done","Messages":[]}}');
  bytes.write(text, 40_000 + 200 - text.length - 1024);
  return bytes;
};

describe.each(WIDTHS)('a hostile module: %s', (format, wide) => {
  v8.setFlagsFromString('--experimental-wasm-memory64');
  const word = wide ? I64 : I32;
  const at = (value: number) => [wide ? 0x42 : 0x41, ...leb(value)];
  const load = (handle: number[], more: Parameters<typeof aosModule>[1] = {}, image: MemoryImage | null = null) =>
    vm.load(aosModule(handle, { wide, ...more }), format, env, image);
  const said = async (instance: VmInstance) => instance.handle(message({}));
  const ANSWER = at(1024);

  it('A16 that loops, recurses or traps gives an Error, as it was before', async () => {
    // Writes a byte, then does it.
    const spoil = [...at(70_000), 0x41, 1, 0x3a, 0, 0];
    const ways: [number[], RegExp][] = [
      [[...spoil, 0x03, 0x40, 0x0c, 0, 0x0b, ...ANSWER], /out of work/],
      [[...spoil, 0x00], /unreachable/],
      [[...spoil, ...at(2 ** 30), wide ? 0x29 : 0x28, 2, 0], /out of bounds/],
    ];
    for (const [handle, reason] of ways) {
      const instance = await load(handle);
      const before = await instance.snapshot();
      const [first, second] = [await said(instance), await said(instance)];
      expect(first.Error).toMatch(reason);
      expect(second.GasUsed).toBe(first.GasUsed);
      expect(sameImage(await instance.snapshot(), before)).toBe(true);
    }
  });

  it('A16 that recurses without end gives an Error at a depth of its own, in a thread with room for it', async () => {
    const pool = new WorkerPool(1);
    await pool.open(PROCESS, aosModule([...at(0), ...at(0), 0x10, 0], { wide }), format, env, null);
    const [first, second] = await pool.handle(PROCESS, [message({}), message({})]);
    expect(first?.Error).toMatch(/stack overflow/);
    expect(second).toEqual(first);
    await pool.stop();
  });

  it('A16 what it keeps in globals is gone with the message; what it keeps in memory goes on, wherever that is', async () => {
    // The global and a byte at the end of memory count messages; both are told in the answer's digits.
    const answer = '{"ok":true,"response":{"Output":"00"}}';
    const digit = 1024 + answer.indexOf('00');
    const add = (address: number, value: number[]) => [...at(address), ...value, 0x41, 48, 0x6a, 0x3a, 0, 0];
    const last = 3 * 65_536 - 1;
    const handle = [
      // global += 1
      0x23,
      0,
      0x41,
      1,
      0x6a,
      0x24,
      0,
      // byte += 1
      ...at(last),
      ...at(last),
      0x2d,
      0,
      0,
      0x41,
      1,
      0x6a,
      0x3a,
      0,
      0,
      ...add(digit, [0x23, 0]),
      ...add(digit + 1, [...at(last), 0x2d, 0, 0]),
      ...ANSWER,
    ];
    const more = { globals: [I32], answer, memory: { initial: 3 } };
    const instance = await load(handle, more);
    expect((await said(instance)).Output).toBe('11');
    expect((await said(instance)).Output).toBe('12');
    const other = await load(handle, more, await instance.snapshot());
    const next = message({});
    expect((await other.handle(next)).Output).toBe('13');
    expect((await instance.dryRun(message({}))).Output).toBe('13');
    expect((await instance.handle(next)).Output).toBe('13');
    expect(sameImage(await instance.snapshot(), await other.snapshot())).toBe(true);
  });

  it('A16 memory it takes is given back when its message fails', async () => {
    const grow = [...at(5), 0x40, 0, 0x1a, 0x00];
    const instance = await load(grow);
    const before = await instance.snapshot();
    for (let i = 0; i < 3; i += 1) expect((await said(instance)).Error).toMatch(/unreachable/);
    expect(sameImage(await instance.snapshot(), before)).toBe(true);
  });

  it.each([
    ['no end', 'x'.repeat(3000), /is no JSON/],
    ['too deep', `{"ok":true,"response":${'['.repeat(100)}${']'.repeat(100)}}`, /may give/],
    ['no object', '7', /without saying why/],
    ['no lists', '{"ok":true,"response":{"Messages":7,"Spawns":{"a":1}}}', null],
    ['odd messages', '{"ok":true,"response":{"Messages":[null,7,{"Tags":[3,{"name":1}]}]}}', null],
  ])('A16 an answer that is no answer (%s) is an Error, or what can be read of it', async (_, answer, reason) => {
    const result = await said(await load(ANSWER, { answer }));
    if (reason) expect(result.Error).toMatch(reason);
    else expect(result.Error).toBeUndefined();
  });

  it('A16 an answer outside its memory, or without an end, is an Error', async () => {
    for (const pointer of [at(2 ** 30), at(2 * 65_536 - 1)]) {
      const result = await said(await load([...at(131_071), 0x41, 1, 0x3a, 0, 0, ...pointer]));
      expect(result.Error).toMatch(/no end/);
    }
  });

  it('A14 A16 what it may not ask for, it is refused or fails', async () => {
    const asks = (name: string, from = 'env', params: number[] = [], results: number[] = []) =>
      load(ANSWER, { imports: [{ module: from, name, params, results }] });
    for (const [name, from] of [
      ['fetch', 'env'],
      ['constructor', 'env'],
      ['__proto__', 'env'],
      ['emscripten_run_script', 'env'],
      ['emscripten_date_now', 'process'],
    ] as const)
      await expect((async () => asks(name, from))()).rejects.toThrow(`asks for ${from}.${name}`);
    // A known name in a form nobody knows.
    await expect((async () => asks('emscripten_date_now', 'env', [F64], [F64]))()).rejects.toThrow(/asks for/);
    const call = (name: string, params: number[], args: number[], results: number[] = [I32]): Promise<VmInstance> => {
      const imports: HandModule['imports'] = [{ module: 'env', name, params, results }];
      return load([...args, 0x10, 0, 0x41, 0, 0x48, 0x04, 0x40, 0x00, 0x0b, ...ANSWER], { imports });
    };
    // Files and commands: an error number, below zero, which the code traps on.
    expect(
      (await said(await call('__syscall_openat', [I32, word, I32, word], [0x41, 0, ...at(0), 0x41, 0, ...at(0)])))
        .Error,
    ).toMatch(/unreachable/);
    expect(
      (await said(await call('__syscall_unlinkat', [I32, word, I32], [0x41, 0, ...at(0), 0x41, 0]))).Error,
    ).toMatch(/unreachable/);
    expect((await said(await call('_emscripten_system', [word], at(1024)))).Error).toMatch(/unreachable/);
    const exits = await load([0x41, 0, 0x10, 0, ...ANSWER], {
      imports: [{ module: 'env', name: 'exit', params: [I32] }],
    });
    expect((await said(exits)).Error).toMatch(/exit is not available/);
  });

  it('I13 that recurses through what its host calls gives an Error at a depth of its own, whatever it did before', async () => {
    // emscripten_stack_get_current calls invoke_v, for which the host calls emscripten_stack_get_current, as often as memory says.
    const left = [...at(0), 0x28, 2, 0];
    const down = [...left, 0x04, 0x40, ...at(0), ...left, 0x41, 1, 0x6b, 0x36, 2, 0, ...at(0), 0x10, 0, 0x0b];
    const deep = (depth: number) =>
      aosModule([...at(0), 0x41, ...leb(depth), 0x36, 2, 0, ...at(0), 0x10, 0, ...ANSWER], {
        wide,
        imports: [{ module: 'env', name: 'invoke_v', params: [word] }],
        functions: [{ name: 'nothing', body: [] }],
        stackSave: [...down, ...at(8192)],
        sections: [
          { id: 4, body: [1, 0x70, 0, 1] },
          { id: 9, body: [1, 0, 0x41, 0, 0x0b, 1, 1] },
        ],
      });
    const pool = new WorkerPool(1);
    const results: EvaluationResult[] = [];
    for (const [process, depth] of [
      ['shallow', 1000],
      ['deep', 30_000],
      ['deeper', 300_000],
    ] as const) {
      await pool.open(process, deep(depth), format, env, null);
      results.push(...(await pool.handle(process, [message({}), message({})])));
    }
    await pool.stop();
    expect(results.map(({ Error: reason, Output }) => reason ?? Output)).toEqual([
      'done',
      'done',
      ...Array.from({ length: 4 }, () => 'stack overflow'),
    ]);
    expect(new Set(results.slice(2).map((r) => r.GasUsed)).size).toBe(1);
  });

  it('I13 what fails for its host’s sake has no result, and no effect', async () => {
    const imports = [{ module: 'env', name: 'emscripten_resize_heap', params: [word], results: [I32] }];
    const count = [...at(70_000), ...at(70_000), 0x2d, 0, 0, 0x41, 1, 0x6a, 0x3a, 0, 0];
    const instance = await load([...count, ...at(5 * 65_536), 0x10, 0, 0x1a, ...ANSWER], { imports });
    const before = await instance.snapshot();
    const next = message({});
    const failing = jest.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(() => {
      throw new RangeError('WebAssembly.Memory.grow(): Unable to grow instance memory');
    });
    await expect((async () => instance.handle(next))()).rejects.toThrow(HostFailure);
    await expect((async () => instance.dryRun(next))()).rejects.toThrow(HostFailure);
    failing.mockRestore();
    const parsing = jest.spyOn(JSON, 'parse').mockImplementation(() => {
      throw new RangeError('Array buffer allocation failed');
    });
    await expect((async () => instance.handle(next))()).rejects.toThrow(HostFailure);
    parsing.mockRestore();
    expect(sameImage(await instance.snapshot(), before)).toBe(true);
    const other = await load([...count, ...at(5 * 65_536), 0x10, 0, 0x1a, ...ANSWER], { imports });
    expect(await instance.handle(next)).toEqual(await other.handle(next));
    expect(sameImage(await instance.snapshot(), await other.snapshot())).toBe(true);
  });

  it('I13 whose exports take or give something else than their names say is refused', async () => {
    for (const name of ['handle', 'setThrew', '__wasm_call_ctors', '_emscripten_tempret_set', 'stackSave'])
      await expect((async () => load(ANSWER, { odd: name }))()).rejects.toThrow(`${name} takes or gives`);
  });

  it('A16 what its host does for it costs by its size, each function in this table', async () => {
    const same = (...names: string[]) => names;
    // How much a function has to do, as an argument or in memory at 40,000; twice that costs more.
    const grows: Record<string, [number[], (much: number) => number[], string]> = {
      _emscripten_memcpy_js: [[word, word, word], (much) => [...at(0), ...at(0), ...at(1024 * much)], ''],
      fd_write: [[I32, word, word, word], (much) => [0x41, 1, ...at(0), ...at(100 * much), ...at(0)], ''],
      strftime: [
        [word, word, word, word],
        (much) => [...at(50_000), ...at(9000), ...at(40_200 - 100 * much), ...at(0)],
        '%c'.repeat(100),
      ],
      strftime_l: [
        [word, word, word, word, word],
        (much) => [...at(50_000), ...at(9000), ...at(40_200 - 100 * much), ...at(0), ...at(0)],
        '%c'.repeat(100),
      ],
    };
    const constant = [
      // A number, or two words written.
      ...same(
        'emscripten_date_now',
        'emscripten_get_now',
        '_emscripten_get_now_is_monotonic',
        'emscripten_get_heap_max',
      ),
      ...same('emscripten_err', 'emscripten_out', 'metering_gasUsed', 'environ_sizes_get', 'environ_get', '_tzset_js'),
      // One date.
      ...same('_gmtime_js', '_localtime_js', '_mktime_js', '_timegm_js'),
      // Memory is only promised; it costs where it is used.
      ...same('emscripten_resize_heap'),
      ...same('_emscripten_throw_longjmp'), // as deep as the stack can be
      // An error number, or the end of the message.
      ...same('_abort_js', 'abort', 'exit', 'proc_exit', '__assert_fail', '__cxa_throw', '_emscripten_system'),
      ...same('fd_read', 'fd_close', 'fd_seek', 'fd_sync', 'fd_fdstat_get', '__syscall_openat', '__syscall_ioctl'),
      ...same('__asyncjs__weavedrive_open', '__asyncjs__weavedrive_read', '__asyncjs__weavedrive_close'),
    ];
    expect([...constant, ...Object.keys(grows)].sort()).toEqual(givenNames().sort());
    for (const [name, [params, args, text]] of Object.entries(grows)) {
      const results = name.startsWith('_') ? [] : [name === 'fd_write' ? I32 : word];
      const cost = async (much: number) => {
        const instance = await load([...args(much), 0x10, 0, ...results.map(() => 0x1a), ...ANSWER], {
          imports: [{ module: 'env', name, params, results }],
          data: { at: 1024, bytes: withText(text) },
        });
        const { Error: reason, GasUsed = 0 } = await said(instance);
        expect(reason).toBeUndefined();
        return GasUsed;
      };
      const [none, one, two] = [await cost(0), await cost(1), await cost(2)] as const;
      if (text === '') expect(two - one).toBe(one - none);
      else expect(two - one).toBeGreaterThan(40 * 3000);
      expect(one).toBeGreaterThan(none);
    }
  });

  it('A16 what its host does for it is bounded like its own work', async () => {
    const copying = await load(
      [0x03, 0x40, ...at(0), ...at(65_536), ...at(65_536), 0x10, 0, 0x0c, 0, 0x0b, ...ANSWER],
      { imports: [{ module: 'env', name: '_emscripten_memcpy_js', params: [word, word, word] }] },
    );
    const result = await said(copying);
    expect(result).toMatchObject({ Error: 'out of work', GasUsed: WORK + 1 });
  });

  it('A14 time is the message’s; memory no module may begin with, or grow to, is refused', async () => {
    const answer = '{"ok":true,"response":{"Output":"0000000000000"}}';
    // The thousands of the time, as one digit each: enough to see it move.
    const handle = [
      ...at(1024 + answer.indexOf('0000')),
      0x10,
      0,
      0xb0,
      0x42,
      10,
      0x82,
      0x42,
      48,
      0x7c,
      0x3c,
      0,
      0,
      ...ANSWER,
    ];
    const instance = await load(handle, {
      answer,
      imports: [{ module: 'env', name: 'emscripten_date_now', results: [F64] }],
    });
    for (let i = 0; i < 3; i += 1) {
      const next = message({});
      expect(String((await instance.handle(next)).Output)[0]).toBe(String(next.Timestamp).at(-1));
    }
    const large = aosModule(ANSWER, { wide, memory: { initial: 2000 } });
    await expect((async () => vm.load(large, format, limited('64-mb'), null))()).rejects.toThrow(/may have/);
  });
});

for (const [file, format] of modules()) {
  describe(path.basename(file), () => {
    const module = fs.readFileSync(file);
    const begun = async (options = env): Promise<VmInstance> => {
      const instance = await vm.load(module, format, options, null);
      for (const m of [spawn(), evaluate(COUNTER)]) expect((await instance.handle(m)).Error).toBeUndefined();
      return instance;
    };
    let ready: MemoryImage;
    beforeAll(async () => {
      nonce = 0;
      ready = await (await begun()).snapshot();
    });
    const from = (image: MemoryImage) => vm.load(module, format, env, image);

    it('keeps state, undoes failures, dry-runs without effect, goes on from a snapshot exactly', async () => {
      const pool = new WorkerPool(1);
      const data = async (...messages: VmMessage[]) => (await pool.handle(PROCESS, messages)).map(dataOf);
      await pool.open(PROCESS, module, format, env, null);
      await data(spawn(), evaluate(COUNTER));
      const [first] = await pool.handle(PROCESS, [message({ Action: 'Count' })]);
      expect(first?.Messages[0]?.Data).toMatch(/^1 /);
      expect(first?.Messages[0]?.Tags).toContainEqual({ name: 'Number', value: '7' });
      const failing = evaluate('n = 100; error("on purpose")');
      expect((await pool.handle(PROCESS, [failing]))[0]?.Error).toMatch(/on purpose/);
      const dry = message({ Action: 'Count' });
      expect((await pool.dryRun(PROCESS, dry)).Messages[0]?.Data).toMatch(/^2 /);
      expect((await pool.dryRun(PROCESS, dry)).Messages[0]?.Data).toMatch(/^2 /);
      const image = changedImage(null, await pool.checkpoint(PROCESS));
      const next = [message({ Action: 'Count' }), message({ Action: 'Count' })];
      const went = await data(...next);
      expect(went.map((d) => d.split(' ')[0])).toEqual(['2', '3']);
      await pool.close(PROCESS);
      await pool.open(PROCESS, module, format, env, image);
      expect(await data(...next)).toEqual(went);
      await pool.stop();
    });

    it.each([
      ['Spin', /out of work/],
      ['Cling', /out of work/],
      ['Eat', /not enough memory|out of work/],
      ['Exit', /exit is not available/],
      ['Recurse', /stack overflow/],
      ['Large', /bytes|out of work/],
      ['Many', /at most/],
    ])(
      'A16 I13 %s ends in an Error, at the same step every time, and leaves the process as it was',
      async (action, reason) => {
        const instance = await from(ready);
        const counted = await instance.handle(message({ Action: 'Count' }));
        const before = await instance.snapshot();
        const hostile = message({ Action: action });
        const failed = await instance.handle(hostile);
        expect(failed.Error).toMatch(reason);
        expect(failed.Messages).toEqual([]);
        expect(sameImage(await instance.snapshot(), before)).toBe(true);
        expect((await (await from(before)).handle(hostile)).GasUsed).toBe(failed.GasUsed);
        expect(dataOf(counted)).toMatch(/^1 /);
        expect(dataOf(await instance.handle(message({ Action: 'Count' })))).toMatch(/^2 /);
      },
    );

    it('A16 memory is what the module’s tag allows', async () => {
      const small = await full.load(module, format, limited('128-mb'), ready);
      const take = (mb: number) => message({ Action: 'Run' }, `return #("x"):rep(${mb} << 20)`);
      expect(dataOf(await small.handle(take(60)))).toMatch(/not enough memory/);
      expect(dataOf(await (await full.load(module, format, env, ready)).handle(take(60)))).toBe(String(60 << 20));
      expect(dataOf(await (await full.load(module, format, env, ready)).handle(take(500)))).toMatch(
        /not enough memory/,
      );
    });

    it('I11 I12 the same messages lead to the same results and memory, whatever failed, was read, or restarted in between', async () => {
      const plain = await from(ready);
      let disturbed = await from(ready);
      let stored = ready;
      for (let i = 0; i < 30; i += 1) {
        const next = message({ Action: 'Count' });
        const expected = await plain.handle(next);
        await disturbed.dryRun(message({ Action: 'Count' }));
        if (i % 3 === 0) await disturbed.handle(message({ Action: 'Exit' }));
        expect(await disturbed.handle(next)).toEqual(expected);
        stored = changedImage(stored, await disturbed.checkpoint());
        if (i % 10 === 9) disturbed = await from(stored);
      }
      expect(sameImage(await plain.snapshot(), await disturbed.snapshot())).toBe(true);
      expect(sameImage(stored, await plain.snapshot())).toBe(true);
    });

    it('A14 a process finds nothing of the world: no files, environment, commands, clock or chance', async () => {
      const instance = await from(ready);
      const run = async (expression: string) =>
        dataOf(await instance.handle(message({ Action: 'Run' }, `return ${expression}`)));
      expect(await run('os.getenv("PATH")')).toBe('nil');
      expect(await run('os.getenv("HOME")')).toBe('nil');
      for (const name of ['/etc/passwd', '/dev/urandom', '/dev/stdin', '/proc/self/environ', '/data/x'])
        expect(await run(`io.open("${name}")`)).toBe('nil');
      expect(await run('io.open("x", "w")')).toBe('nil');
      expect(await run('os.execute()')).toBe('false');
      expect(await run('os.execute("true")')).toBe('nil');
      expect(await run('os.remove("x")')).toBe('nil');
      expect(await run('os.clock() == os.clock()')).toBe('true');
      expect(await run('os.date("%Y-%m-%d %H:%M:%S %j %a %B %p %Z", 0)')).toBe(
        '1970-01-01 00:00:00 001 Thu January AM UTC',
      );
      expect(await run('os.date("!%c", 1e9)')).toBe('Sun Sep  9 01:46:40 2001');
      expect(await run('io.write("told to nobody") and 1')).toBe('1');
    });
  });
}

/** Runs a module in ao-loader, as AO's own units do, in a thread of its own: the loader replaces its thread's clock and chance. */
const LOADER = `
const { parentPort, workerData } = require('node:worker_threads');
require('node:v8').setFlagsFromString('--experimental-wasm-memory64');
(async () => {
  const load = require('@permaweb/ao-loader');
  const handle = await load(workerData.module, { format: workerData.format, UNSAFE_MEMORY: true });
  const results = [];
  for (const message of workerData.messages) {
    Date.now = () => message.Timestamp;
    const { Messages, Spawns, Assignments, Output, Error } = await handle(null, message, workerData.env);
    results.push({ Messages, Spawns, Assignments, Output, Error });
  }
  parentPort.postMessage(results);
})();`;

it.each(modules().map(([file, format]) => [path.basename(file), file, format]))(
  '%s gives what it gives in ao-loader',
  async (_, file, format) => {
    const module = fs.readFileSync(file);
    const messages = [
      spawn(),
      evaluate(COUNTER),
      ...Array.from({ length: 5 }, () => message({ Action: 'Count' })),
      message(
        { Action: 'Run' },
        'return os.date("!%Y-%m-%dT%H:%M:%SZ", 1700000000) .. require("json").encode({ 1, { a = 0.1 } })',
      ),
      evaluate('return Handlers.list'),
      message({ Action: 'Unheard of', 'X-Tag': 'ünï' }, 'text \u0001 "quoted"\n'),
      evaluate('return #Inbox .. " " .. require("json").encode(Inbox[#Inbox].Data)'),
      evaluate(
        'spawned = ao.spawn("m", { Tags = { A = "1" } }); assigned = ao.assign({ Processes = { "p" }, Message = "m" }); return 7 // 2',
      ),
    ];
    const worker = new Worker(LOADER, { eval: true, workerData: { module, format, messages, env }, stdout: true });
    const theirs = await new Promise<EvaluationResult[]>((resolve, reject) => {
      worker.on('message', resolve).on('error', reject);
    });
    await worker.terminate();
    const instance = await vm.load(module, format, env, null);
    for (const [i, next] of messages.entries()) {
      const { GasUsed, Error: error, ...ours } = await instance.handle(next);
      expect(error).toBeUndefined();
      expect(GasUsed).toBeGreaterThan(0);
      expect(JSON.parse(JSON.stringify(ours))).toEqual(textual(theirs[i] as EvaluationResult));
    }
  },
);

/** Texts where processes put numbers: as items carry them. */
function textual({ Messages, Spawns, Assignments, Output }: EvaluationResult): unknown {
  const sent = (messages: EvaluationResult['Messages']) =>
    messages.map(({ Target, Anchor, Data, Tags }) => ({
      ...(Target ? { Target } : {}),
      Anchor: Anchor ?? '',
      Data: Data ?? '',
      Tags: Tags.map(({ name, value }) => ({ name, value: typeof value === 'string' ? value : JSON.stringify(value) })),
    }));
  return { Messages: sent(Messages), Spawns: sent(Spawns), Assignments, Output };
}
