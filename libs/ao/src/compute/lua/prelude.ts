/**
 * What a Lua process finds around it: its message as a table, `ao.send`, and a sandbox. Messages cross as packed bytes (string.pack),
 * which costs a microsecond where tables made from outside would cost a hundred.
 */

/** Lua instructions one message may take: about a second of work. */
export const INSTRUCTION_LIMIT = 100_000_000;

export const PRELUDE = `
local unpack, pack, sort, concat = string.unpack, string.pack, table.sort, table.concat
local gsub, format, byte, next, rawget, math_type = string.gsub, string.format, string.byte, next, rawget, math.type
local sethook, error, type, pairs, tostring = debug.sethook, error, type, pairs, tostring
local LIMIT = ${INSTRUCTION_LIMIT}

-- Outside a message's input and the process' own memory there is nothing to ask: no files, clocks, other code or threads.
for _, name in ipairs({ "io", "os", "package", "require", "dofile", "loadfile", "load", "coroutine", "collectgarbage", "debug", "print" }) do
  _G[name] = nil
end
math.random, math.randomseed, string.dump = nil, nil, nil

-- What is sent, spawned and assigned, each packed; and how many messages and spawns there have ever been, for their anchors.
local messages, spawns, assignments, reference = {}, {}, {}, 0
ao = { id = "", env = { Process = { Id = "", Owner = "", Tags = {} }, Module = { Id = "" } } }

local function exhausted()
  -- From here on every instruction fails, so that no pcall in the process can hold on.
  sethook(exhausted, "", 1)
  error("out of instructions", 0)
end

-- Values of tags: text as it is, tables as JSON with keys in order, so that one table has one form. As on aos an empty table is a list.
local ESCAPED = { ['"'] = '\\\\"', ["\\\\"] = "\\\\\\\\" }
local function quote(text)
  return '"' .. gsub(text, '[%c"\\\\]', function(c) return ESCAPED[c] or format("\\\\u%04x", byte(c)) end) .. '"'
end

local MAX_DEPTH = 32
local encode
local function encodeTable(value, depth)
  if depth > MAX_DEPTH then error("a table in a tag is at most " .. MAX_DEPTH .. " deep", 0) end
  local count, keys, parts = 0, {}, {}
  for _ in next, value do count = count + 1 end
  while count > #parts and rawget(value, #parts + 1) ~= nil do parts[#parts + 1] = encode(rawget(value, #parts + 1), depth) end
  if count == #parts then return "[" .. concat(parts, ",") .. "]" end
  parts = {}
  for key, inner in next, value do
    if type(key) ~= "string" and math_type(key) ~= "integer" then error("a table in a tag has texts or whole numbers as keys", 0) end
    keys[#keys + 1] = { tostring(key), inner }
  end
  sort(keys, function(a, b) return a[1] < b[1] end)
  for i = 1, #keys do parts[i] = quote(keys[i][1]) .. ":" .. encode(keys[i][2], depth) end
  return "{" .. concat(parts, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if kind == "table" then return encodeTable(value, depth + 1) end
  if kind == "string" then return quote(value) end
  if kind == "boolean" or math_type(value) == "integer" then return tostring(value) end
  if kind == "number" and value == value and value ~= 1 / 0 and value ~= -1 / 0 then return format("%.14g", value) end
  error("a " .. kind .. " has no place in a tag", 0)
end

local function tagValue(value)
  if type(value) == "table" then return encodeTable(value, 1) end
  return tostring(value)
end

local FIELDS = { Target = true, Data = true, Anchor = true, Tags = true }

-- Tags as a list keep their order; tags as a map are sorted by name, so that one message has one form.
local function tagList(message)
  local list, keys = {}, {}
  local tags = message.Tags or {}
  for i = 1, #tags do list[#list + 1] = { tags[i].name, tagValue(tags[i].value) } end
  if #tags == 0 then
    for name, value in pairs(tags) do keys[#keys + 1] = { name, tagValue(value) } end
  end
  for name, value in pairs(message) do
    if type(name) == "string" and not FIELDS[name] then keys[#keys + 1] = { name, tagValue(value) } end
  end
  sort(keys, function(a, b) return a[1] < b[1] end)
  for i = 1, #keys do list[#list + 1] = keys[i] end
  return list
end

local function packed(target, message, tags)
  reference = reference + 1
  local anchor = message.Anchor or format("%032d", reference)
  local parts = { pack("<s4s4s4I4", target, anchor, tostring(message.Data or ""), #tags) }
  for i = 1, #tags do parts[i + 1] = pack("<s4s4", tags[i][1], tags[i][2]) end
  return concat(parts)
end

function ao.send(message)
  messages[#messages + 1] = packed(message.Target or "", message, tagList(message))
end

-- A new process of a module; the message's data and tags become the process'.
function ao.spawn(module, message)
  message = message or {}
  local tags = { { "Module", tostring(module) } }
  for _, tag in next, tagList(message) do tags[#tags + 1] = tag end
  spawns[#spawns + 1] = packed("", message, tags)
end

-- Places a message that is known here on the schedules of further processes.
function ao.assign(assignment)
  local processes = assignment.Processes
  local parts = { pack("<s4I4", assignment.Message, #processes) }
  for i = 1, #processes do parts[i + 1] = pack("<s4", processes[i]) end
  assignments[#assignments + 1] = concat(parts)
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
  messages, spawns, assignments = {}, {}, {}
  sethook(exhausted, "", LIMIT)
  local output = handle(m)
  sethook()
  local counts = pack("<I4I4I4s4", #messages, #spawns, #assignments, type(output) == "string" and output or "")
  local sent = counts .. concat(messages) .. concat(spawns) .. concat(assignments)
  messages, spawns, assignments = {}, {}, {}
  return sent
end
`;
