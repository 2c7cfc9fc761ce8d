/** The lean Lua machine: exact, undone on error, bounded, closed to the world. */
import fc from 'fast-check';
import type { ProcessEnv, VmInstance, VmMessage } from '../../types.js';
import { MAX_RESULT_BYTES, MAX_SENT } from '../bounds.js';
import { sameImage } from '../image.js';
import { LuaVm } from './lua-vm.js';

const env: ProcessEnv = {
  Process: { Id: 'p'.repeat(43), Owner: 'o', Tags: [{ name: 'Name', value: 'test' }] },
  Module: { Id: 'm'.repeat(43), Owner: 'o', Tags: [] },
};
let nonce = 0;
const message = (action: string, data = ''): VmMessage => ({
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
});
const COUNTER = `
-- What is one instruction of Lua and without end, or nearly so, in C.
local RUN = {
  pattern = function() return ("a"):rep(200000):find((".-"):rep(12) .. "b") end,
  concat = function()
    local strings = getmetatable("")
    strings.__index, strings.__len = string.sub, function() return 1e15 end
    table.concat("", "", 1, 1e15)
  end,
  copy = function() local s = ("x"):rep(400000) for i = 1, 2e5 do local t = s .. "y" end end,
}
local LINE = ("x"):rep(1000)
local n, kept = 0, {}
function handle(msg)
  local a = msg.Tags.Action
  n = n + 1
  if a == "Fail" then kept[#kept + 1] = "half done"; error("on purpose") end
  if a == "Loop" then while true do end end
  if a == "Cling" then while true do pcall(function() while true do end end) end end
  if a == "Eat" then local t = {} while true do t[#t + 1] = string.rep(LINE, 1000) end end
  if a == "Recurse" then local function f() return 1 + f() end f() end
  if a == "Order" then local t, s = {}, "" for i = 1, 200 do t["key" .. i] = i end for k in pairs(t) do s = s .. k end ao.send({ Data = s }) return end
  if a == "Globals" then local t = {} for k in pairs(_G) do t[#t + 1] = k end table.sort(t) ao.send({ Data = table.concat(t, " ") }) return end
  if a == "Echo" then ao.send({ Target = msg.From, Data = msg.Data, Tags = { { name = "B", value = "1" }, { name = "A", value = 2 } } }) return end
  if a == "Run" then kept[#kept + 1] = "half done"; pcall(RUN[msg.Data]) end
  if a == "Send" then for i = 1, tonumber(msg.Data) do ao.send({ Target = "t", Data = "x" }) end return end
  if a == "Large" then for i = 1, 8 do ao.send({ Data = string.rep("x", tonumber(msg.Data) // 8) }) end return end
  if a == "Keep" then kept[#kept + 1] = msg.Data end
  ao.send({ Target = msg.From, Data = n .. ":" .. #kept, Zed = "z", Action = "Count" })
end`;
const vm = new LuaVm();
const load = (source = COUNTER): Promise<VmInstance> => vm.load(Buffer.from(source), 'isthmus-lua-5.4', env, null);
const data = async (instance: VmInstance, m: VmMessage) => (await instance.handle(m)).Messages[0]?.Data;

const ARITHMETIC = `
function handle(msg)
  local a, b = msg.Data:match("(%S+) (%S+)")
  a, b = math.tointeger(tonumber(a)), math.tointeger(tonumber(b))
  local difference = a - b
  local kept, keyed = { difference, last = a * b }, { [difference] = -difference }
  local function below() return difference < 0 end
  local out = { a + b, kept[1], keyed[difference], kept.last, a ~ b, a << 3, a >> 3, below() and 1 or 0, ("<i8"):unpack(("<i8"):pack(difference)), nil }
  if b ~= 0 then out[#out + 1] = a // b out[#out + 1] = a % b end
  for i, v in ipairs(out) do out[i] = ("%d"):format(v) end
  ao.send({ Data = table.concat(out, " ") })
end`;

it('I3 whole numbers of 64 bits are exact, below zero too, in variables, tables and closures', async () => {
  const instance = await load(ARITHMETIC);
  const wrapped = (n: bigint) => BigInt.asIntN(64, n);
  const floored = (a: bigint, b: bigint) => a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n);
  const whole = fc.oneof(fc.bigInt({ min: -20n, max: 20n }), fc.bigInt({ min: 1n - 2n ** 63n, max: 2n ** 63n - 1n }));
  await fc.assert(
    fc.asyncProperty(whole, whole, async (a, b) => {
      const difference = wrapped(a - b);
      const expected = [
        ...[a + b, difference, -difference, a * b, a ^ b, a << 3n].map(wrapped),
        wrapped(BigInt.asUintN(64, a) >> 3n),
        difference < 0n ? 1n : 0n,
        difference,
        ...(b === 0n ? [] : [floored(a, b), a - floored(a, b) * b].map(wrapped)),
      ];
      expect(await data(instance, message('', `${a} ${b}`))).toBe(expected.join(' '));
    }),
    { numRuns: 200 },
  );
});

it('gives messages, tags in the order sent or sorted, bytes untouched', async () => {
  const instance = await load();
  const result = await instance.handle(message('Count'));
  expect(result.Error).toBeUndefined();
  expect(result.Messages).toEqual([
    {
      Target: 'alice',
      Anchor: '1'.padStart(32, '0'),
      Data: '1:0',
      Tags: [
        { name: 'Action', value: 'Count' },
        { name: 'Zed', value: 'z' },
      ],
    },
  ]);
  const echo = await instance.handle(message('Echo', 'nul \0 and ünïcode\n'));
  expect(echo.Messages[0]).toMatchObject({
    Data: 'nul \0 and ünïcode\n',
    Tags: [
      { name: 'B', value: '1' },
      { name: 'A', value: '2' },
    ],
  });
});

it('spawns and assigns, each as often as it may', async () => {
  const instance = await load(`function handle(msg)
    for i = 1, tonumber(msg.Data) do
      ao.spawn("the module", { Data = "d", Name = "child", Tags = { { name = "B", value = 1 } } })
      ao.assign({ Processes = { "p1", "p2" }, Message = msg.Id })
    end
    return "said"
  end`);
  const asked = message('Go', '1');
  expect(await instance.handle(asked)).toMatchObject({
    Messages: [],
    Spawns: [
      {
        Anchor: '1'.padStart(32, '0'),
        Data: 'd',
        Tags: [
          { name: 'Module', value: 'the module' },
          { name: 'B', value: '1' },
          { name: 'Name', value: 'child' },
        ],
      },
    ],
    Assignments: [{ Processes: ['p1', 'p2'], Message: asked.Id }],
    Output: 'said',
  });
  expect((await instance.handle(message('Go', String(MAX_SENT)))).Spawns).toHaveLength(MAX_SENT);
  const many = await instance.handle(message('Go', String(MAX_SENT + 1)));
  expect(many).toMatchObject({ Error: expect.stringContaining('at most'), Spawns: [], Assignments: [] });
});

it('undoes a message that raises an error, however far it came', async () => {
  const instance = await load();
  await instance.handle(message('Keep', 'a'));
  const failed = await instance.handle(message('Fail'));
  expect(failed).toMatchObject({ Error: expect.stringContaining('on purpose'), Messages: [] });
  expect(await data(instance, message('Count'))).toBe('2:1');
});

it.each([
  ['Loop', /out of work/],
  ['Cling', /out of work/],
  ['Eat', /not enough memory/],
  ['Recurse', /stack overflow/],
])('A16 %s ends in an error and leaves the process as it was', async (action, reason) => {
  const instance = await load();
  await instance.handle(message('Keep', 'a'));
  const failed = await instance.handle(message(action));
  expect(failed.Error).toMatch(reason);
  expect(failed.Messages).toEqual([]);
  expect(await data(instance, message('Count'))).toBe('2:1');
});

it.each(['pattern', 'concat', 'copy'])(
  'A16 I13 what C does for one instruction (%s) is counted too, and no pcall holds on',
  async (work) => {
    const instance = await load();
    await instance.handle(message('Keep', 'a'));
    const failed = await instance.handle(message('Run', work));
    expect(failed).toMatchObject({ Error: 'out of work', Messages: [] });
    expect(await data(instance, message('Count'))).toBe('2:1');
  },
);

it('A16 I11 work is counted alike, and memory the same, whether a message that failed had made it grow or not', async () => {
  const [fresh, grown] = [await load(), await load()];
  expect((await grown.handle(message('Eat'))).Error).toMatch(/not enough memory/);
  for (const m of [message('Keep', 'x'.repeat(1_000_000)), message('Order'), message('Count')]) {
    const result = await fresh.handle(m);
    expect(result.GasUsed).toBeGreaterThan(0);
    expect(await grown.handle(m)).toEqual(result);
  }
  expect(sameImage(await grown.snapshot(), await fresh.snapshot())).toBe(true);
});

it('A16 a source that loads without end is refused', async () => {
  await expect(async () => load('while true do end')).rejects.toThrow(/out of work/);
});

it('A16 a message gives so much and no more, or has no effect', async () => {
  const instance = await load();
  expect((await instance.handle(message('Send', String(MAX_SENT)))).Messages).toHaveLength(MAX_SENT);
  const many = await instance.handle(message('Send', String(MAX_SENT + 1)));
  expect(many).toMatchObject({ Error: expect.stringContaining('at most'), Messages: [] });
  const large = await instance.handle(message('Large', String(MAX_RESULT_BYTES - 1024)));
  expect(large.Error).toBeUndefined();
  const larger = await instance.handle(message('Large', String(MAX_RESULT_BYTES)));
  expect(larger).toMatchObject({ Error: expect.stringContaining('bytes'), Messages: [] });
  expect(await data(instance, message('Count'))).toBe('3:0');
});

it('A16 why a message failed is told in a few words', async () => {
  const instance = await load('function handle(msg) error(string.rep("x", 10000000)) end');
  expect((await instance.handle(message('Count'))).Error).toHaveLength(1000);
});

it('A7 a dry-run changes nothing', async () => {
  const instance = await load();
  await instance.handle(message('Keep', 'a'));
  const before = await instance.snapshot();
  expect((await instance.dryRun(message('Keep', 'b'))).Messages[0]?.Data).toBe('2:2');
  expect((await instance.dryRun(message('Fail'))).Error).toMatch(/on purpose/);
  expect(sameImage(await instance.snapshot(), before)).toBe(true);
  expect(await data(instance, message('Count'))).toBe('2:1');
});

it('goes on from a snapshot exactly, in another instance', async () => {
  const one = await load();
  for (let i = 0; i < 600; i += 1) await one.handle(message('Keep', `value ${i}`));
  const other = await vm.load(Buffer.from(COUNTER), 'isthmus-lua-5.4', env, await one.snapshot());
  const next = [message('Keep', 'x'), message('Fail'), message('Order'), message('Count')];
  for (const m of next) expect(await other.handle(m)).toEqual(await one.handle(m));
  expect(sameImage(await other.snapshot(), await one.snapshot())).toBe(true);
});

it('the same messages give the same memory, byte for byte, whatever failed or was read in between', async () => {
  const messages = Array.from({ length: 40 }, (_, i) => message(i % 7 === 3 ? 'Order' : 'Keep', `v${i}`));
  const [plain, disturbed] = [await load(), await load()];
  for (const m of messages) {
    await plain.handle(m);
    await disturbed.dryRun(m);
    await disturbed.handle(message('Fail'));
    await disturbed.handle(m);
  }
  const last = message('Order');
  expect(await data(disturbed, last)).toBe(await data(plain, last));
  expect(sameImage(await plain.snapshot(), await disturbed.snapshot())).toBe(true);
});

it('has nothing of the world outside', async () => {
  const instance = await load();
  const names = await data(instance, message('Globals'));
  expect(names).toBe(
    '_G _VERSION ao assert error getmetatable handle ipairs math next pairs pcall rawequal rawget rawlen rawset select setmetatable string table tonumber tostring type utf8 warn xpcall',
  );
});

it('a source that does not load is refused', async () => {
  await expect(async () => load('this is not Lua')).rejects.toThrow(/syntax error/);
  await expect(async () => load('error("no")')).rejects.toThrow(/no/);
});

it('tables in tags are JSON in one form, whatever is in them', async () => {
  const source = `
local CASES = {
  nested = function() return { b = { [7] = 1, a = true }, a = { 1, 2.5, "x" } } end,
  empty = function() return {} end,
  escaped = function() return { ['q"\\\\'] = "line\\nnul\\0tab\\t\\127" } end,
  gaps = function() return { 1, nil, 3, x = 1 } end,
  meta = function() return setmetatable({ "a" }, { __len = function() return 1e15 end, __index = function() return "b" end, __pairs = function() error("asked") end }) end,
  cyclic = function() local t = {} t.t = t return t end,
  deep = function() local t = {} for i = 1, 100000 do t = { t } end return t end,
  alien = function() return { pairs } end,
  infinite = function() return { 1 / 0 } end,
  key = function() return { [1.5] = 1 } end,
}
function handle(msg)
  string.gsub, string.format, table.concat = nil, nil, nil
  ao.send({ state = CASES[msg.Tags.Action](), Tags = { { name = "listed", value = { 1 } } } })
end`;
  const instance = await load(source);
  const tag = async (action: string) => {
    const result = await instance.handle(message(action));
    return result.Error ?? result.Messages[0]?.Tags.find((t) => t.name === 'state')?.value;
  };
  expect(await tag('nested')).toBe('{"a":[1,2.5,"x"],"b":{"7":1,"a":true}}');
  expect(await tag('empty')).toBe('[]');
  expect(JSON.parse((await tag('escaped')) ?? '')).toEqual({ 'q"\\': 'line\nnul\0tab\t\x7f' });
  expect(await tag('gaps')).toBe('{"1":1,"3":3,"x":1}');
  expect(await tag('meta')).toBe('["a"]');
  for (const action of ['cyclic', 'deep']) expect(await tag(action)).toBe('a table in a tag is at most 32 deep');
  expect(await tag('alien')).toBe('a function has no place in a tag');
  expect(await tag('infinite')).toBe('a number has no place in a tag');
  expect(await tag('key')).toBe('a table in a tag has texts or whole numbers as keys');
});
