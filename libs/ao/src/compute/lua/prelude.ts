/**
 * What a Lua process finds around it: its message as a table, `ao.send`, and a sandbox. Messages cross as packed bytes (string.pack),
 * which costs a microsecond where tables made from outside would cost a hundred.
 */

/** Lua instructions one message may take: about a second of work. */
export const INSTRUCTION_LIMIT = 100_000_000;

export const PRELUDE = `
local unpack, pack, sort, concat = string.unpack, string.pack, table.sort, table.concat
local sethook, error, type, pairs, tostring = debug.sethook, error, type, pairs, tostring
local LIMIT = ${INSTRUCTION_LIMIT}

-- Outside a message's input and the process' own memory there is nothing to ask: no files, clocks, other code or threads.
for _, name in ipairs({ "io", "os", "package", "require", "dofile", "loadfile", "load", "coroutine", "collectgarbage", "debug", "print" }) do
  _G[name] = nil
end
math.random, math.randomseed, string.dump = nil, nil, nil

local outbox, count, reference = {}, 0, 0
ao = { id = "", env = { Process = { Id = "", Owner = "", Tags = {} }, Module = { Id = "" } } }

local function exhausted()
  -- From here on every instruction fails, so that no pcall in the process can hold on.
  sethook(exhausted, "", 1)
  error("out of instructions", 0)
end

local FIELDS = { Target = true, Data = true, Anchor = true, Tags = true }

-- Tags as a list keep their order; tags as a map are sorted by name, so that one message has one form.
local function tagList(message)
  local list, keys = {}, {}
  local tags = message.Tags or {}
  for i = 1, #tags do list[#list + 1] = { tags[i].name, tostring(tags[i].value) } end
  if #tags == 0 then
    for name, value in pairs(tags) do keys[#keys + 1] = { name, tostring(value) } end
  end
  for name, value in pairs(message) do
    if type(name) == "string" and not FIELDS[name] then keys[#keys + 1] = { name, tostring(value) } end
  end
  sort(keys, function(a, b) return a[1] < b[1] end)
  for i = 1, #keys do list[#list + 1] = keys[i] end
  return list
end

function ao.send(message)
  reference = reference + 1
  local tags = tagList(message)
  local anchor = message.Anchor or ("%032d"):format(reference)
  local parts = { pack("<s4s4s4I4", message.Target or "", anchor, tostring(message.Data or ""), #tags) }
  for i = 1, #tags do parts[i + 1] = pack("<s4s4", tags[i][1], tags[i][2]) end
  count = count + 1
  outbox[count] = concat(parts)
end

local function readTags(bytes, at)
  local n
  n, at = unpack("<I4", bytes, at)
  local array, map = {}, {}
  for i = 1, n do
    local name, value
    name, value, at = unpack("<s4s4", bytes, at)
    array[i] = { name = name, value = value }
    if map[name] == nil then map[name] = value end
  end
  return array, map, at
end

function __environment(bytes)
  local id, owner, module, at = unpack("<s4s4s4", bytes)
  local array, map = readTags(bytes, at)
  ao.id = id
  ao.env = { Process = { Id = id, Owner = owner, Tags = map, TagArray = array }, Module = { Id = module } }
  return ""
end

local NEXT = "<s4s4s4s4s4s4s4s4i8i8BB"
function __handle(bytes)
  local m, at = {}, nil
  local cron, readOnly
  m.Id, m.From, m.Owner, m.Target, m.Anchor, m.Data, m.Module, m["Block-Height"], m.Nonce, m.Timestamp, cron, readOnly, at = unpack(NEXT, bytes)
  m.Cron, m["Read-Only"] = cron == 1, readOnly == 1
  m.TagArray, m.Tags = readTags(bytes, at)
  outbox, count = {}, 0
  sethook(exhausted, "", LIMIT)
  local output = handle(m)
  sethook()
  local sent = outbox
  outbox, count = {}, 0
  return pack("<I4s4", #sent, type(output) == "string" and output or "") .. concat(sent)
end
`;
