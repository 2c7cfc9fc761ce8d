/**
 * What a Lua process finds around it: its message as a table, `ao.send`, and a sandbox. Messages cross as packed bytes (string.pack),
 * which costs a microsecond where tables made from outside would cost a hundred.
 */

export const PRELUDE = `
local unpack, pack, sort, concat = string.unpack, string.pack, table.sort, table.concat
local rep, spread, min = string.rep, table.unpack, math.min
local gsub, format, byte, next, rawget, math_type = string.gsub, string.format, string.byte, next, rawget, math.type
local error, type, pairs, tostring = error, type, pairs, tostring

-- Outside a message's input and the process' own memory there is nothing to ask: no files, clocks, other code or threads.
for _, name in ipairs({ "io", "os", "package", "require", "dofile", "loadfile", "load", "coroutine", "collectgarbage", "debug", "print" }) do
  _G[name] = nil
end
math.random, math.randomseed, string.dump = nil, nil, nil

-- What is sent, spawned and assigned, each packed; and how many messages and spawns there have ever been, for their anchors.
local messages, spawns, assignments, reference = {}, {}, {}, 0
ao = { id = "", env = { Process = { Id = "", Owner = "", Tags = {} }, Module = { Id = "" } } }

-- Values of tags: text as it is, tables as JSON with keys in order, so that one table has one form. As on aos an empty table is a list.
local ESCAPED = { ['"'] = '\\\\"', ["\\\\"] = "\\\\\\\\" }
-- What %q has only put between quotes needs nothing more: it looks at a text several times as fast as a pattern does.
local function quote(text)
  local quoted = format("%q", text)
  if #quoted == #text + 2 then return quoted end
  return '"' .. gsub(text, '[%c"\\\\]', function(c) return ESCAPED[c] or format("\\\\u%04x", byte(c)) end) .. '"'
end

local MAX_DEPTH = 32
local encode
local function byName(a, b) return a[1] < b[1] end

-- Of texts and whole numbers, or of numbers alone that do not count on from 1.
local function encodeMixed(value, depth)
  local keys, parts = {}, {}
  for key, inner in next, value do
    if type(key) ~= "string" and math_type(key) ~= "integer" then error("a table in a tag has texts or whole numbers as keys", 0) end
    keys[#keys + 1] = { tostring(key), inner }
  end
  sort(keys, byName)
  for i = 1, #keys do parts[i] = quote(keys[i][1]) .. ":" .. encode(keys[i][2], depth) end
  return "{" .. concat(parts, ",") .. "}"
end

local function encodeTable(value, depth)
  if depth > MAX_DEPTH then error("a table in a tag is at most " .. MAX_DEPTH .. " deep", 0) end
  local keys, count, texts = {}, 0, 0
  for key in next, value do
    count = count + 1
    keys[count] = key
    if type(key) == "string" then texts = texts + 1 end
  end
  if texts == 0 then
    local parts = {}
    while count > #parts and rawget(value, #parts + 1) ~= nil do parts[#parts + 1] = encode(rawget(value, #parts + 1), depth) end
    if count == #parts then return "[" .. concat(parts, ",") .. "]" end
  end
  if texts < count then return encodeMixed(value, depth) end
  sort(keys)
  for i = 1, count do keys[i] = quote(keys[i]) .. ":" .. encode(rawget(value, keys[i]), depth) end
  return "{" .. concat(keys, ",") .. "}"
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
local NO_TAGS = {}

-- Names and values of tags in turn, and how many tags. A list keeps its order; a map is sorted by name, so that one message has one form.
local function tagList(message, list, count)
  local keys
  local tags = message.Tags or NO_TAGS
  local listed = #tags
  for i = 1, listed do
    local tag = tags[i]
    local value = tag.value
    list[count + 1], list[count + 2] = tag.name, type(value) == "string" and value or tagValue(value)
    count = count + 2
  end
  if listed == 0 then
    for name, value in pairs(tags) do
      keys = keys or {}
      keys[#keys + 1] = { name, tagValue(value) }
    end
  end
  for name, value in pairs(message) do
    if type(name) == "string" and not FIELDS[name] then
      keys = keys or {}
      keys[#keys + 1] = { name, tagValue(value) }
    end
  end
  if not keys then return list, count end
  sort(keys, byName)
  for i = 1, #keys do
    list[count + 1], list[count + 2] = keys[i][1], keys[i][2]
    count = count + 2
  end
  return list, count
end

-- As many tags cross at once: a call has room for few arguments, and one call is several times as fast as many.
local AT_ONCE = 16
local HEAD, TAGS = "<s4s4s4I4", {}
for n = 0, AT_ONCE do TAGS[n] = "<" .. rep("s4s4", n) end

local function packed(target, message, tags, count)
  reference = reference + 1
  local head = pack(HEAD, target, message.Anchor or format("%032d", reference), tostring(message.Data or ""), count // 2)
  if count <= 2 * AT_ONCE then return head .. pack(TAGS[count // 2], spread(tags, 1, count)) end
  local parts = { head }
  for at = 1, count, 2 * AT_ONCE do
    local last = min(at + 2 * AT_ONCE - 1, count)
    parts[#parts + 1] = pack(TAGS[(last - at + 1) // 2], spread(tags, at, last))
  end
  return concat(parts)
end

function ao.send(message)
  messages[#messages + 1] = packed(message.Target or "", message, tagList(message, {}, 0))
end

-- A new process of a module; the message's data and tags become the process'.
function ao.spawn(module, message)
  message = message or {}
  spawns[#spawns + 1] = packed("", message, tagList(message, { "Module", tostring(module) }, 2))
end

-- Places a message that is known here on the schedules of further processes.
function ao.assign(assignment)
  local processes = assignment.Processes
  local parts = { pack("<s4I4", assignment.Message, #processes) }
  for i = 1, #processes do parts[i + 1] = pack("<s4", processes[i]) end
  assignments[#assignments + 1] = concat(parts)
end

-- Tags as a list, and by name, the first of each. The list is the table they were unpacked into.
local function readTags(bytes, at)
  local n
  n, at = unpack("<I4", bytes, at)
  local array, map = {}, {}
  for first = 1, n, AT_ONCE do
    local count = min(n - first + 1, AT_ONCE)
    local flat = { unpack(TAGS[count], bytes, at) }
    at = flat[2 * count + 1]
    if first == 1 then array = flat end
    for i = 1, count do
      local name, value = flat[2 * i - 1], flat[2 * i]
      array[first + i - 1] = { name = name, value = value }
      if map[name] == nil then map[name] = value end
    end
    if first == 1 then for i = count + 1, 2 * count + 1 do array[i] = nil end end
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
  local id, from, owner, target, anchor, data, module, height, nonce, time, cron, readOnly, at = unpack(NEXT, bytes)
  local array, map = readTags(bytes, at)
  local m = {
    Id = id, From = from, Owner = owner, Target = target, Anchor = anchor, Data = data, Module = module, ["Block-Height"] = height,
    Nonce = nonce, Timestamp = time, Cron = cron == 1, ["Read-Only"] = readOnly == 1, TagArray = array, Tags = map,
  }
  messages, spawns, assignments = {}, {}, {}
  local output = handle(m)
  local counts = pack("<I4I4I4s4", #messages, #spawns, #assignments, type(output) == "string" and output or "")
  local sent = counts .. concat(messages) .. concat(spawns) .. concat(assignments)
  messages, spawns, assignments = {}, {}, {}
  return sent
end
`;
