-- The token process of one bridged asset (docs/protocol.md, section 3).
-- M of N guardians mint and settle; holders transfer and withdraw; nobody owns the process. The same file runs on the lean Lua
-- machine (Lua 5.4) and on aos (Lua 5.3); README.md beside it says how it gets there. Nothing observable depends on the order of
-- `pairs`, on floats, or on time. No message costs more than a bounded number of steps, nor can fewer than M guardians fill the memory.

-- Amounts ----------------------------------------------------------------------------------------------------------
-- Canonical decimal strings of at most 39 digits, computed in three limbs of 13 digits: no float, no wrap.

local LIMB = 10000000000000

local function isAmount(s)
  return type(s) == "string" and #s <= 39 and (s == "0" or s:find("^[1-9][0-9]*$") ~= nil) and not s:find("\n", 1, true)
end

local function limbs(s)
  local n = #s
  if n <= 13 then return 0, 0, math.tointeger(tonumber(s)) end
  if n <= 26 then return 0, math.tointeger(tonumber(s:sub(1, n - 13))), math.tointeger(tonumber(s:sub(n - 12))) end
  return math.tointeger(tonumber(s:sub(1, n - 26))), math.tointeger(tonumber(s:sub(n - 25, n - 13))), math.tointeger(tonumber(s:sub(n - 12)))
end

local function fromLimbs(a, b, c)
  if a > 0 then return ("%d%013d%013d"):format(a, b, c) end
  if b > 0 then return ("%d%013d"):format(b, c) end
  return ("%d"):format(c)
end

-- nil when the sum has no 39-digit form.
local function add(x, y)
  local a1, b1, c1 = limbs(x)
  local a2, b2, c2 = limbs(y)
  local c = c1 + c2
  local b = b1 + b2 + c // LIMB
  local a = a1 + a2 + b // LIMB
  if a >= LIMB then return nil end
  return fromLimbs(a, b % LIMB, c % LIMB)
end

local function less(x, y)
  if #x ~= #y then return #x < #y end
  return x < y
end

-- Only for x >= y.
local function subtract(x, y)
  local a1, b1, c1 = limbs(x)
  local a2, b2, c2 = limbs(y)
  local c = c1 - c2
  local b = b1 - b2
  local a = a1 - a2
  if c < 0 then c, b = c + LIMB, b - 1 end
  if b < 0 then b, a = b + LIMB, a - 1 end
  return fromLimbs(a, b, c)
end

-- Keccak-256 -------------------------------------------------------------------------------------------------------
-- Needed for address checksums and withdrawal ids only; FIPS 202's permutation with Ethereum's padding.

local ROUND = {
  0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B, 0x0000000080000001,
  0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
  0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
  0x000000000000800A, 0x800000008000000A, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
}
-- Lane x + 5y rotates by ROTATION and moves to TARGET (both 1-based here).
local ROTATION, TARGET = {}, {}
do
  local x, y = 1, 0
  ROTATION[1], TARGET[1] = 0, 1
  for t = 0, 23 do
    ROTATION[x + 5 * y + 1] = ((t + 1) * (t + 2) // 2) % 64
    x, y = y, (2 * x + 3 * y) % 5
  end
  for i = 0, 24 do
    local lx, ly = i % 5, i // 5
    TARGET[i + 1] = ly + 5 * ((2 * lx + 3 * ly) % 5) + 1
  end
end

local function permute(s)
  local c, b = {}, {}
  for round = 1, 24 do
    for x = 1, 5 do c[x] = s[x] ~ s[x + 5] ~ s[x + 10] ~ s[x + 15] ~ s[x + 20] end
    for x = 1, 5 do
      local n = c[x % 5 + 1]
      local d = c[(x + 3) % 5 + 1] ~ (n << 1 | n >> 63)
      for i = x, 25, 5 do s[i] = s[i] ~ d end
    end
    for i = 1, 25 do
      local v, r = s[i], ROTATION[i]
      if r > 0 then v = v << r | v >> (64 - r) end
      b[TARGET[i]] = v
    end
    for row = 0, 20, 5 do
      for x = 1, 5 do s[row + x] = b[row + x] ~ (~b[row + x % 5 + 1] & b[row + (x + 1) % 5 + 1]) end
    end
    s[1] = s[1] ~ ROUND[round]
  end
end

local function keccak256(message)
  local padding = 136 - #message % 136
  local padded = padding == 1 and message .. "\129" or message .. "\1" .. ("\0"):rep(padding - 2) .. "\128"
  local s = {}
  for i = 1, 25 do s[i] = 0 end
  for at = 1, #padded, 136 do
    for i = 1, 17 do s[i] = s[i] ~ (("<i8"):unpack(padded, at + 8 * (i - 1))) end
    permute(s)
  end
  local hex = {}
  for i = 1, 4 do hex[i] = (("<i8"):pack(s[i]):gsub(".", function(ch) return ("%02x"):format(ch:byte()) end)) end
  return table.concat(hex)
end

-- Addresses --------------------------------------------------------------------------------------------------------

local function isEthereumAddress(s)
  if type(s) ~= "string" or #s ~= 42 or not s:find("^0x%x+$") or s:find("^0x0+$") then return false end
  local lower = s:sub(3):lower()
  local hash = keccak256(lower)
  for i = 1, 40 do
    local ch = lower:sub(i, i)
    if tonumber(hash:sub(i, i), 16) >= 8 then ch = ch:upper() end
    if s:sub(i + 2, i + 2) ~= ch then return false end
  end
  return true
end

-- 43 characters of base64url whose last one has no spare bits set.
local function isArweaveAddress(s)
  return type(s) == "string" and #s == 43 and s:find("^[%w_-]+$") ~= nil and s:find("[AEIMQUYcgkosw048]$") ~= nil
end

local function isAoAddress(s)
  return isArweaveAddress(s) or isEthereumAddress(s)
end

-- Home chains ------------------------------------------------------------------------------------------------------
-- What texts of each family of chains look like, each thing in one spelling. A recipient is checked to the last bit, since tokens burn
-- for it; of what M guardians say alike only as much as keeps the state well-formed.

local families = {}

do
  local SHA = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
  }

  local function turn(v, n) return (v >> n | v << (32 - n)) & 0xffffffff end

  -- SHA-256 (FIPS 180-4) of a text shorter than one block: all a checksum needs.
  local function sha256(text)
    local block = text .. "\128" .. ("\0"):rep(55 - #text) .. (">I8"):pack(#text * 8)
    local w = {}
    for i = 1, 16 do w[i] = (">I4"):unpack(block, 4 * i - 3) end
    for i = 17, 64 do
      local a, b = w[i - 15], w[i - 2]
      w[i] = (w[i - 16] + (turn(a, 7) ~ turn(a, 18) ~ a >> 3) + w[i - 7] + (turn(b, 17) ~ turn(b, 19) ~ b >> 10)) & 0xffffffff
    end
    local first = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }
    local a, b, c, d, e, f, g, h = table.unpack(first)
    for i = 1, 64 do
      local t1 = h + (turn(e, 6) ~ turn(e, 11) ~ turn(e, 25)) + (e & f ~ ~e & g) + SHA[i] + w[i]
      local t2 = (turn(a, 2) ~ turn(a, 13) ~ turn(a, 22)) + (a & b ~ a & c ~ b & c)
      h, g, f, e, d, c, b, a = g, f, e, (d + t1) & 0xffffffff, c, b, a, (t1 + t2) & 0xffffffff
    end
    local digest = {}
    for i, value in ipairs({ a, b, c, d, e, f, g, h }) do digest[i] = (">I4"):pack((first[i] + value) & 0xffffffff) end
    return table.concat(digest)
  end

  local LETTERS = "^[1-9A-HJ-NP-Za-km-z]+$"
  local BASE58 = {}
  for i, letter in utf8.codes("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz") do BASE58[letter] = i - 1 end

  -- The bytes a text of at most 90 letters stands for; nil when it is no base58.
  local function fromBase58(text)
    if type(text) ~= "string" or #text > 90 then return nil end
    local bytes, zeros = {}, #text:match("^1*")
    for i = 1, #text do
      local carry = BASE58[text:byte(i)]
      if not carry then return nil end
      for j = 1, #bytes do
        carry = carry + bytes[j] * 58
        bytes[j], carry = carry & 255, carry >> 8
      end
      if carry > 0 then bytes[#bytes + 1] = carry end
    end
    for i = 1, #bytes // 2 do bytes[i], bytes[#bytes + 1 - i] = bytes[#bytes + 1 - i], bytes[i] end
    return ("\0"):rep(zeros) .. string.char(table.unpack(bytes))
  end

  local function isKey(text)
    local bytes = fromBase58(text)
    return bytes ~= nil and #bytes == 32
  end

  local function isCount(text, most) return isAmount(text) and #text <= 10 and tonumber(text) <= most end

  families.eip155 = {
    name = "an Ethereum address with its EIP-55 checksum",
    isRecipient = isEthereumAddress,
    isVault = isEthereumAddress,
    isTx = function(text) return #text == 66 and text:find("^0x[0-9a-f]+$") ~= nil end,
    isSender = function(text) return #text == 42 and text:find("^0x%x+$") ~= nil end,
    isReference = function(rest, vault)
      local named, sequence = rest:match("^(0x%x+):([1-9]%d*)$")
      return named == vault and #sequence <= 19
    end,
    token = "/erc20:(0x%x+)$",
  }

  -- Prefix of segwit addresses, and first bytes of those that pay to a key's hash and to a script's, by the genesis block of the network.
  local NETWORKS = {
    ["bip122:000000000019d6689c085ae165831e93"] = { "bc", 0, 5 }, ["bip122:000000000933ea01ad0ee984209779ba"] = { "tb", 111, 196 },
    ["bip122:00000000da84f2bafbbc53dee25a72ae"] = { "tb", 111, 196 }, ["bip122:00000008819873e925422c1ff0f99f7c"] = { "tb", 111, 196 },
    ["bip122:0f9188f13cb7b2c71f2a335e3a4fc328"] = { "bcrt", 111, 196 },
  }
  local NETWORK = NETWORKS[ao.env.Process.Tags["Isthmus-Chain"]]
  local BECH32 = {}
  for i, letter in utf8.codes("qpzry9x8gf2tvdw0s3jn54khce6mua7l") do BECH32[letter] = i - 1 end
  local GENERATORS = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 }

  -- Numbers modulo p = 2^256 - 2^32 - 977, over which Bitcoin's curve is: ten limbs of 26 bits, the lowest first. 2^260 is 1024 * 2^26 + 15632 there.
  local LIMB = 0x3ffffff
  local PRIME = { 0x3fffc2f, 0x3ffffbf, LIMB, LIMB, LIMB, LIMB, LIMB, LIMB, LIMB, 0x3fffff }

  -- a * b + more, below 2^260: of those that are alike modulo p, any.
  local function times(a, b, more)
    local product, high = { more }, true
    for i = 2, 21 do product[i] = 0 end
    for i = 1, 10 do
      for j = 1, 10 do product[i + j - 1] = product[i + j - 1] + a[i] * b[j] end
    end
    while high do
      for i = 1, 20 do product[i], product[i + 1] = product[i] & LIMB, product[i + 1] + (product[i] >> 26) end
      high = false
      for i = 21, 11, -1 do
        local limb = product[i]
        if limb > 0 then
          product[i], product[i - 9], product[i - 10], high = 0, product[i - 9] + limb * 1024, product[i - 10] + limb * 15632, true
        end
      end
    end
    return product
  end

  local function isLess(a, b, limbs)
    for i = limbs, 1, -1 do
      if a[i] ~= b[i] then return a[i] < b[i] end
    end
    return false
  end

  -- Whether a number that is not 0 modulo p is a square there: the Jacobi symbol, by halving and subtracting. Uses up the number.
  local function isSquare(a)
    local b, limbs, square = { table.unpack(PRIME) }, 10, true
    while true do
      while limbs > 1 and a[limbs] == 0 and b[limbs] == 0 do limbs = limbs - 1 end
      local halvings = a[1] == 0 and 26 or 0
      while halvings < 26 and a[1] >> halvings & 1 == 0 do halvings = halvings + 1 end
      for i = 1, limbs do a[i] = (a[i] | (i < limbs and a[i + 1] or 0) << 26) >> halvings & LIMB end
      local eighth = b[1] & 7
      if halvings & 1 == 1 and (eighth == 3 or eighth == 5) then square = not square end
      if halvings < 26 then
        if isLess(a, b, limbs) then
          if a[1] & b[1] & 3 == 3 then square = not square end
          a, b = b, a
        end
        local borrow, rest = 0, 0
        for i = 1, limbs do
          local limb = a[i] - b[i] - borrow
          a[i], borrow, rest = limb & LIMB, limb < 0 and 1 or 0, rest | limb
        end
        if rest == 0 then return square end
      end
    end
  end

  -- Whether a witness program of 32 bytes, in letters' values from its last byte on, is a key of taproot (BIP 341): below p, and x^3 + 7 a square.
  -- What is paid to another nobody could ever spend; no wallet makes one.
  local function isTaprootKey(letters)
    local x, pending, bits = {}, letters[1] >> 4, 1
    for i = 2, 52 do
      pending, bits = pending | letters[i] << bits, bits + 5
      if bits >= 26 then x[#x + 1], pending, bits = pending & LIMB, pending >> 26, bits - 26 end
    end
    x[10] = pending
    if not isLess(x, PRIME, 10) then return false end
    return isSquare(times(times(x, x, 0), x, 7)) -- never 0: the curve's order is odd, so no point has a y of 0
  end

  -- A witness program of version 0 (a key's hash or a script's) or 1 (taproot), in small letters (BIP 173, BIP 350).
  local function isSegwit(text, prefix)
    local data = text:match("^" .. prefix .. "1([a-z0-9]+)$")
    if not data or #text > 90 then return false end
    local check = 1
    local function take(value)
      local top = check >> 25
      check = (check & 0x1ffffff) << 5 ~ value
      for i = 1, 5 do if top >> (i - 1) & 1 == 1 then check = check ~ GENERATORS[i] end end
    end
    for i = 1, #prefix do take(prefix:byte(i) >> 5) end
    take(0)
    for i = 1, #prefix do take(prefix:byte(i) & 31) end
    for i = 1, #data do
      local value = BECH32[data:byte(i)]
      if not value then return false end
      take(value)
    end
    -- One letter for the version, 32 or 52 for the program, 6 for the checksum; of the 52nd letter four bits are spare, and none of them set.
    local version, size = BECH32[data:byte(1)], #data - 7
    if size ~= 32 and size ~= 52 or size == 52 and BECH32[data:byte(53)] & 15 ~= 0 then return false end
    if version == 0 then return check == 1 end
    if version ~= 1 or size ~= 52 or check ~= 0x2bc830a3 then return false end
    local letters = {}
    for i = 53, 2, -1 do letters[#letters + 1] = BECH32[data:byte(i)] end
    return isTaprootKey(letters)
  end

  local function isBitcoinAddress(text)
    if type(text) ~= "string" or not NETWORK then return false end
    if isSegwit(text, NETWORK[1]) then return true end
    local bytes = fromBase58(text)
    if not bytes or #bytes ~= 25 or sha256(sha256(bytes:sub(1, 21))):sub(1, 4) ~= bytes:sub(22) then return false end
    return bytes:byte(1) == NETWORK[2] or bytes:byte(1) == NETWORK[3]
  end

  families.bip122 = {
    name = "a Bitcoin address of this network: P2PKH, P2SH, P2WPKH, P2WSH or P2TR",
    isRecipient = isBitcoinAddress,
    isVault = isBitcoinAddress,
    isTx = function(text) return #text == 64 and text:find("^[0-9a-f]+$") ~= nil end,
    isSender = function(text) return text == "-" or #text <= 90 and text:find("^%w+$") ~= nil end,
    proposes = true,
    -- Compressed; that it lies on the curve is for the guardians to see, whose vault it makes.
    isGuardianKey = function(text) return #text == 66 and text:find("^0[23][0-9a-f]+$") ~= nil end,
    mostGuardians = 15, -- keys of a script
    isReference = function(rest)
      local tx, output = rest:match("^([0-9a-f]+):(%d+)$")
      return tx ~= nil and #tx == 64 and isCount(output, 4294967295)
    end,
  }

  local function isSignature(text) return #text >= 64 and #text <= 88 and text:find(LETTERS) ~= nil end

  -- Keys no transaction may write (anza-xyz/agave, reserved-account-keys), and where else nobody is paid on any cluster; libs/bridge has the same.
  local UNPAYABLE = {}
  for key in ([[
    AddressLookupTab1e1111111111111111111111111 BPFLoader1111111111111111111111111111111111 BPFLoader2111111111111111111111111111111111
    BPFLoaderUpgradeab1e11111111111111111111111 ComputeBudget111111111111111111111111111111 Config1111111111111111111111111111111111111
    Ed25519SigVerify111111111111111111111111111 Feature111111111111111111111111111111111111 KeccakSecp256k11111111111111111111111111111
    LoaderV411111111111111111111111111111111111 NativeLoader1111111111111111111111111111111 Secp256r1SigVerify1111111111111111111111111
    Stake11111111111111111111111111111111111111 StakeConfig11111111111111111111111111111111 11111111111111111111111111111111
    Sysvar1111111111111111111111111111111111111 Sysvar1nstructions1111111111111111111111111 SysvarC1ock11111111111111111111111111111111
    SysvarEpochRewards1111111111111111111111111 SysvarEpochSchedu1e111111111111111111111111 SysvarFees111111111111111111111111111111111
    SysvarLastRestartS1ot1111111111111111111111 SysvarRecentB1ockHashes11111111111111111111 SysvarRent111111111111111111111111111111111
    SysvarRewards111111111111111111111111111111 SysvarS1otHashes111111111111111111111111111 SysvarS1otHistory11111111111111111111111111
    SysvarStakeHistory1111111111111111111111111 Vote111111111111111111111111111111111111111 ZkE1Gama1Proof11111111111111111111111111111
    ZkTokenProof1111111111111111111111111111111 1nc1nerator11111111111111111111111111111111 ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL
    Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA
    TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb
  ]]):gmatch("%S+") do UNPAYABLE[key] = true end

  families.solana = {
    name = "a Solana address, and no program or sysvar of the cluster",
    isRecipient = function(text) return isKey(text) and not UNPAYABLE[text] end,
    isVault = isKey,
    isTx = isSignature,
    isSender = function(text) return #text >= 32 and #text <= 44 and text:find(LETTERS) ~= nil end,
    isReference = function(rest)
      local tx, outer, inner = rest:match("^(%w+):(%d+)%.?(%d*)$")
      if not tx or not isSignature(tx) or not isCount(outer, 255) then return false end
      return inner == "" and not rest:find("%.$") or inner ~= "" and isCount(inner, 65535)
    end,
    proposes = true,
    isGuardianKey = isKey,
    mostGuardians = 11, -- signers of a multisig
    token = "/token:(%w+)$",
  }
end

-- JSON, written only -----------------------------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
-- What %q has only put between quotes needs nothing more: it looks at a text several times as fast as a pattern does.
local function quote(s)
  local quoted = ("%q"):format(s)
  if #quoted == #s + 2 then return quoted end
  return '"' .. s:gsub('[%c"\\\127]', function(ch) return ESCAPES[ch] or ("\\u%04x"):format(ch:byte()) end) .. '"'
end

-- A list of {key, value} pairs, keeping its order; values are JSON text already.
local function object(fields)
  local parts = {}
  for i, field in ipairs(fields) do parts[i] = quote(field[1]) .. ":" .. field[2] end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function array(items)
  return "[" .. table.concat(items, ",") .. "]"
end

-- Configuration, from the spawn message's tags -----------------------------------------------------------------------

local TAGS = ao.env.Process.Tags

local function required(name, check)
  local value = TAGS[name]
  if not check(value) then error("spawn tag " .. name .. " is missing or wrong: " .. tostring(value), 0) end
  return value
end

local function isText(s) return type(s) == "string" and #s > 0 and #s <= 128 and not s:find("[%c\127]") end
local function isPositive(s) return isAmount(s) and s ~= "0" end
local function isSmall(s) return isPositive(s) and #s <= 15 end

local NAME = required("Name", isText)
local TICKER = required("Ticker", isText)
local DENOMINATION = required("Denomination", function(s) return isAmount(s) and #s <= 2 end)
local LOGO = TAGS["Logo"] or ""
local ASSET = required("Isthmus-Asset", isText)
local CHAIN = required("Isthmus-Chain", function(s) return isText(s) and families[s:match("^(%w+):[%w-]+$")] ~= nil end)
local HOME = families[CHAIN:match("^%w+")]
local VAULT = required("Isthmus-Vault", HOME.isVault)
local MINIMUM = required("Isthmus-Min-Withdrawal", isPositive)
local TOKEN = HOME.token and ASSET:match(HOME.token)

-- State ------------------------------------------------------------------------------------------------------------

local set = { epoch = 0, threshold = 0, pauseThreshold = 0, guardians = {}, index = {} }
local outgoing                          -- the set before, which hands the vault over where no contract does: only where releases are proposed
local limit = { amount = required("Isthmus-Limit", isPositive), window = required("Isthmus-Limit-Window", isSmall) }
local paused = false
local balances = {}
local holders, holderAt = {}, {}
local freePlaces = {}                   -- in holders, left by who has nothing any more
local wallets = {}                      -- Arweave addresses that are keys, not processes: true, or the place in `emptied` where that is to be forgotten
local emptied, emptiedCount = {}, 0     -- the newest wallets left with nothing, in a ring
local totals = { minted = "0", burned = "0", released = "0" }
local minted = {}                       -- deposit id -> the line that was minted, or true when that is long ago
local lastMinted = {}                   -- the newest of them, in a ring
local mintedCount = 0
local pending, pendingOrder = {}, {}    -- deposit id -> votes; ids as they first came, minted ones dropped now and then
local pendingCount = 0
local claimed = {}                      -- guardian -> bytes its votes hold on deposits that no quorum has agreed on
local withdrawals = {}                  -- number -> withdrawal
local firstOpen = 1                     -- every withdrawal before this one is released
local reviewFrom, settleFrom            -- where in pendingOrder and withdrawals to go on with what a decision made due
local proposals, proposalCount = {}, 0   -- id -> what a guardian proposed to submit
local proposalOrder, proposed = {}, {}  -- ids as they came, dropped ones taken out now and then; guardian -> ring of its newest
local signedBytes = {}                  -- guardian -> bytes its signatures of proposals hold
local decisions = {}                    -- nonce -> decision
local applied = 0                       -- decisions taken so far

local MAX_GUARDIANS = 64

-- Keys of the guardians on the home chain, in their order: where no contract knows them by their addresses. nil when they are wrong.
local function keysOf(text, n)
  if not HOME.isGuardianKey then return text == "" and {} or nil end
  if n > HOME.mostGuardians or #text > n * 67 then return nil end
  local keys, known = {}, {}
  for key in (text .. ","):gmatch("([^,]*),") do
    if not HOME.isGuardianKey(key) or known[key] then return nil end
    keys[#keys + 1], known[key] = key, true
  end
  return #keys == n and keys or nil
end

local function setGuardians(epoch, threshold, pauseThreshold, list, keyList)
  if #list > MAX_GUARDIANS * 43 then return "bad-guardian" end
  local guardians, index = {}, {}
  for address in (list .. ","):gmatch("([^,]*),") do
    if not isEthereumAddress(address) or index[address] then return "bad-guardian" end
    guardians[#guardians + 1] = address
    index[address] = #guardians
  end
  local n = #guardians
  local m, k = tonumber(threshold), tonumber(pauseThreshold)
  if n > MAX_GUARDIANS or m < 1 or m > n or k < 1 or k > n then return "bad-threshold" end
  local keys = keysOf(keyList, n)
  if not keys then return "bad-keys" end
  set = { epoch = math.tointeger(tonumber(epoch)), threshold = math.tointeger(m), pauseThreshold = math.tointeger(k), guardians = guardians, index = index, keys = keys }
  return nil
end

do
  local epoch = required("Isthmus-Epoch", isSmall)
  local threshold = required("Isthmus-Threshold", isSmall)
  local pauseThreshold = required("Isthmus-Pause-Threshold", isSmall)
  local problem = setGuardians(epoch, threshold, pauseThreshold, TAGS["Isthmus-Guardians"] or "", TAGS["Isthmus-Guardian-Keys"] or "")
  if problem then error("spawn tags name no guardian set that could decide: " .. problem, 0) end
end

local authorities = {}
do
  local list = ao.env.Process.TagArray
  if list then
    for _, tag in ipairs(list) do if tag.name == "Authority" then authorities[tag.value] = true end end
  else
    for _, address in ipairs(ao.authorities or { TAGS["Authority"] }) do authorities[address] = true end
  end
end

-- What a message leads to: replies, notices, events -------------------------------------------------------------------

local events = {}
local function event(...)
  events[#events + 1] = table.concat({ ... }, " ")
end

local function send(target, tags, data)
  ao.send({ Target = target, Tags = tags, Data = data or "" })
end

local function flushEvents()
  if #events == 0 then return end
  local data = table.concat(events, "\n")
  events = {}
  ao.send({ Tags = { { name = "Action", value = "Isthmus-Events" } }, Data = data })
end

-- Alternating names and values, as a list of tags in this order.
local function tagList(...)
  local values, list = { ... }, {}
  for i = 1, #values, 2 do list[#list + 1] = { name = values[i], value = values[i + 1] } end
  return list
end

local MAX_FORWARDED, MAX_FORWARDED_TAGS = 2048, 64
local forwarded = {}                    -- tags of this message that go on to whoever is told of it

-- Finds the X- tags the sender wants passed on. A notice is an item with at most 4 KiB and 128 tags: what would not fit beside its own is
-- refused before anything moves.
local function takeForwarded(msg)
  forwarded = {}
  local bytes = #(msg.Tags.Reference or "")
  for _, tag in ipairs(msg.TagArray or {}) do
    local name = tag.name
    if name:find("X-", 1, true) == 1 and name ~= "X-Reference" then
      forwarded[#forwarded + 1] = { name = name, value = tag.value }
      bytes = bytes + #name + #tag.value
    end
  end
  return bytes <= MAX_FORWARDED and #forwarded <= MAX_FORWARDED_TAGS
end

local function withForwarded(list)
  for i = 1, #forwarded do list[#list + 1] = forwarded[i] end
  return list
end

local function reply(msg, list, data)
  if msg.Tags.Reference then list[#list + 1] = { name = "X-Reference", value = msg.Tags.Reference } end
  send(msg.From, list, data)
end

local function refuse(msg, code, text)
  reply(msg, tagList("Action", (msg.Tags.Action or "Message") .. "-Error", "Error", code, "Message-Id", msg.Id), text)
end

-- Balances -----------------------------------------------------------------------------------------------------------

local changed, isChanged = {}, {}       -- accounts whose balance this message changed

local WALLETS_KEPT = 20000

-- A wallet that has nothing is remembered for a while: it would be paid again before it signs again. For good would be memory for nothing.
local function leaveEmpty(account)
  emptiedCount = emptiedCount + 1
  local place = emptiedCount % WALLETS_KEPT
  local oldest = emptied[place]
  if oldest and not holderAt[oldest] and wallets[oldest] == emptiedCount - WALLETS_KEPT then wallets[oldest] = nil end
  emptied[place], wallets[account] = account, emptiedCount
end

local function touch(account)
  if not isChanged[account] then changed[#changed + 1], isChanged[account] = account, true end
end

local function credit(account, amount)
  touch(account)
  local before = balances[account]
  if not before then
    local place = table.remove(freePlaces) or #holders + 1
    holders[place], holderAt[account] = account, place
  end
  balances[account] = before and add(before, amount) or amount
end

local function debit(account, amount)
  touch(account)
  local left = subtract(balances[account], amount)
  if left ~= "0" then
    balances[account] = left
    return
  end
  local place = holderAt[account]
  freePlaces[#freePlaces + 1] = place
  holders[place], holderAt[account], balances[account] = false, nil, nil
  if wallets[account] then leaveEmpty(account) end
end

local supplyOf = {}                     -- the supply as it was last asked for, and the totals it is of
local function supply()
  if supplyOf.minted ~= totals.minted or supplyOf.burned ~= totals.burned then
    supplyOf = { minted = totals.minted, burned = totals.burned, amount = subtract(totals.minted, totals.burned) }
  end
  return supplyOf.amount
end

-- Public state: one patch with what this message changed, and nothing else, so that anyone reads it without asking the process. A
-- balance that is gone is shown as "0", which every reader knows what to make of.

local shownSupply, shownPaused          -- as they were last shown; nothing before the first time

local function showState()
  local total, stopped = supply(), tostring(paused)
  local tags = tagList("device", "patch@1.0")
  if not shownSupply then tags = tagList("device", "patch@1.0", "name", NAME, "ticker", TICKER, "logo", LOGO, "denomination", DENOMINATION, "asset", ASSET) end
  if total ~= shownSupply then tags[#tags + 1] = { name = "totalsupply", value = total } end
  if stopped ~= shownPaused then tags[#tags + 1] = { name = "paused", value = stopped } end
  if #changed > 0 then
    local amounts = {}
    for _, account in ipairs(changed) do amounts[account] = balances[account] or "0" end
    tags[#tags + 1] = { name = "balances", value = amounts }
  end
  shownSupply, shownPaused, changed, isChanged = total, stopped, {}, {}
  if #tags > 1 then ao.send({ Tags = tags }) end
end

-- Votes: distinct guardians of the current set per whole content. `contents` keeps what was said in the order it came, `choice` which
-- of them each guardian chose. -------------------------------------------------------------------------------------------

local function newBallot()
  return { contents = {}, choice = {} }
end

local function count(ballot, at)
  local n = 0
  for _, guardian in ipairs(set.guardians) do
    if ballot.choice[guardian] == at then n = n + 1 end
  end
  return n
end

-- Adds a vote. Returns the votes its content has now, or nil and what is wrong with the vote: "repeated" or "double-vote".
local function vote(ballot, guardian, content)
  local before = ballot.choice[guardian]
  if before then return nil, ballot.contents[before] == content and "repeated" or "double-vote" end
  local at = 1
  while ballot.contents[at] and ballot.contents[at] ~= content do at = at + 1 end
  if not ballot.contents[at] then ballot.contents[at] = content end
  ballot.choice[guardian] = at
  return count(ballot, at)
end

-- The content that has its quorum, if any.
local function winner(ballot, quorum)
  for at, content in ipairs(ballot.contents) do
    if count(ballot, at) >= quorum then return content end
  end
  return nil
end

-- Deposits -------------------------------------------------------------------------------------------------------------

local DEPOSIT = "^(0x[0-9a-f]+) (%S+) (%S+) (%S+) (%S+) (%d+) (%S+)$"
-- What votes without a quorum may hold in memory, all guardians together, and what one takes beside its line. A guardian that invents
-- deposits reaches its share and is heard on them no more; deposits a quorum agrees on are never refused.
local OPEN_BYTES = 96 * 1024 * 1024
local VOTE_BYTES = 1024
local LINES_KEPT = 20000

-- nil, or the code of what is wrong. Cheap on purpose: what M guardians say alike is checked by them; this keeps state well-formed.
local function checkDeposit(id, reference, tx, sender, recipient, amount, tags)
  if not id then return "bad-line" end
  if #id ~= 66 or not HOME.isTx(tx) or not HOME.isSender(sender) then return "bad-line" end
  if reference:sub(1, #CHAIN + 1) ~= CHAIN .. ":" or not HOME.isReference(reference:sub(#CHAIN + 2), VAULT) then return "foreign-reference" end
  if #recipient ~= 42 and not isArweaveAddress(recipient) or #recipient == 42 and not recipient:find("^0x%x+$") then return "bad-recipient" end
  if not isPositive(amount) then return "bad-amount" end
  if tags ~= "-" and (#tags > 4096 or #tags % 2 == 1 or not tags:find("^[0-9a-f]+$")) then return "bad-tags" end
  return nil
end

-- The length of the UTF-8 text is counted only to learn whether it is one. Encoded surrogates are none, but Lua 5.3 lets them pass.
local function isUtf8(s)
  return utf8.len(s) ~= nil and not s:find("\xED[\xA0-\xBF]")
end

-- Tags of a deposit, or nil when its bytes break the rules.
local function depositTags(hex)
  local list, seen = {}, {}
  if hex == "-" then return list end
  local text = hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
  if not isUtf8(text) then return nil end
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    local name, value = line:match("^(X%-[%w-]+)=(.+)$")
    if not name or #name > 63 or #value > 1024 or value:find("[%c\127]") or seen[name] or #list == 16 then return nil end
    seen[name] = true
    list[#list + 1] = { name = name, value = value }
  end
  return list
end

-- A quorum has agreed: what the votes hold is no longer at any guardian's charge.
local function agree(ballot)
  if ballot.agreed then return end
  ballot.agreed = true
  for guardian, at in pairs(ballot.choice) do
    local bytes = claimed[guardian]
    if bytes then claimed[guardian] = math.max(bytes - #ballot.contents[at] - VOTE_BYTES, 0) end
  end
end

local function mint(id, line)
  local _, reference, tx, sender, recipient, amount, tags = line:match(DEPOSIT)
  local sum = add(totals.minted, amount)
  if not sum then return end -- beyond 39 digits: stays pending, visible, and never wraps
  totals.minted = sum
  agree(pending[id])
  minted[id], pending[id] = line, nil
  mintedCount, pendingCount = mintedCount + 1, pendingCount - 1
  -- What was in a deposit is told apart from a late lie for a while; that it was minted is known for good.
  local place = mintedCount % LINES_KEPT
  if lastMinted[place] then minted[lastMinted[place]] = true end
  lastMinted[place] = id
  credit(recipient, amount)
  local notice = tagList("Action", "Credit-Notice", "Quantity", amount, "Sender", sender, "Deposit-Id", id, "Deposit-Reference", reference)
  local extra = depositTags(tags)
  for _, tag in ipairs(extra or {}) do notice[#notice + 1] = tag end
  if not extra then notice[#notice + 1] = { name = "Tags-Error", value = "malformed" } end
  send(recipient, notice, "You were credited " .. amount .. " from " .. sender)
  event("deposit.minted", id, recipient, amount, reference, tx, sender, tags)
end

local function attestDeposit(guardian, line, number)
  local id, reference, tx, sender, recipient, amount, tags = line:match(DEPOSIT)
  local done = id and minted[id]
  if done then
    if done ~= true and done ~= line then event("deposit.conflict", id, guardian) end
    return
  end
  local problem = checkDeposit(id, reference, tx, sender, recipient, amount, tags)
  if problem then return event("guardian.bad-line", guardian, number, problem) end
  local ballot = pending[id]
  if not (ballot and (ballot.agreed or ballot.choice[guardian])) then
    local claim = (claimed[guardian] or 0) + #line + VOTE_BYTES
    if claim > OPEN_BYTES // #set.guardians then return event("guardian.bad-line", guardian, number, "too-much-open") end
    claimed[guardian] = claim
  end
  if not ballot then
    ballot = newBallot()
    pending[id] = ballot
    pendingOrder[#pendingOrder + 1] = id
    pendingCount = pendingCount + 1
  end
  local votes, problemWithVote = vote(ballot, guardian, line)
  if problemWithVote == "double-vote" then event("guardian.double-vote", guardian, "deposit", id) end
  if not votes then return end
  event("deposit.attested", id, guardian, votes)
  if #ballot.contents > 1 then event("deposit.conflict", id, guardian) end
  if votes < set.threshold then return end
  agree(ballot)
  if not paused then mint(id, line) end
end

local function forgetMinted()
  local waiting = {}
  for _, id in ipairs(pendingOrder) do
    if pending[id] then waiting[#waiting + 1] = id end
  end
  pendingOrder = waiting
end

-- After an unpause or a rotation: votes of guardians that left are dropped, and what has its quorum now is minted.
local function review(id)
  local ballot = pending[id]
  if not ballot then return end
  local heard = false
  for guardian in pairs(ballot.choice) do
    if set.index[guardian] then heard = true else ballot.choice[guardian] = nil end
  end
  if not heard then
    pending[id], pendingCount = nil, pendingCount - 1
    return
  end
  local line = not paused and winner(ballot, set.threshold)
  if line then mint(id, line) end
end

-- Withdrawals ------------------------------------------------------------------------------------------------------------

local function withdraw(msg)
  local quantity, recipient, fee = msg.Tags.Quantity, msg.Tags.Recipient, msg.Tags["Max-Fee"]
  if paused then return refuse(msg, "paused", "The asset is paused by its guardians; try again when it is not.") end
  if not isPositive(quantity) then return refuse(msg, "bad-quantity", "Quantity is a whole number of base units above 0, as decimal digits.") end
  if not isAmount(fee) then return refuse(msg, "bad-max-fee", "Max-Fee is a whole number of base units, as decimal digits.") end
  if not HOME.isRecipient(recipient) then return refuse(msg, "bad-recipient", "Recipient is " .. HOME.name .. ".") end
  if recipient == VAULT or recipient == TOKEN then return refuse(msg, "forbidden-recipient", "The vault and the token itself cannot be paid.") end
  if less(quantity, MINIMUM) then return refuse(msg, "below-minimum", "The least withdrawal is " .. MINIMUM .. ".") end
  if less(limit.amount, quantity) then return refuse(msg, "above-limit", "The most one withdrawal can pay is " .. limit.amount .. ".") end
  if not less(fee, quantity) then return refuse(msg, "fee-not-below-quantity", "Max-Fee must be less than Quantity.") end
  if less(balances[msg.From] or "0", quantity) then return refuse(msg, "insufficient-balance", "The balance is " .. (balances[msg.From] or "0") .. ".") end
  debit(msg.From, quantity)
  totals.burned = add(totals.burned, quantity)
  local number = #withdrawals + 1
  local id = "0x" .. keccak256("isthmus/withdrawal/1\n" .. ao.id .. "\n" .. number)
  withdrawals[number] = { id = id, holder = msg.From, recipient = recipient, amount = quantity, maxFee = fee, epoch = set.epoch, signatures = {}, ballot = newBallot() }
  local notice = tagList("Action", "Withdraw-Notice", "Withdrawal", tostring(number), "Withdrawal-Id", id, "Quantity", quantity, "Recipient", recipient, "Max-Fee", fee)
  reply(msg, withForwarded(notice), "Withdrawal " .. number .. " is queued")
  event("withdrawal.queued", number, id, msg.From, recipient, quantity, fee)
end

local function numbered(text)
  if not isSmall(text) then return nil end
  local number = math.tointeger(tonumber(text))
  return withdrawals[number], number
end

-- A packed signature, as the vault takes it, that names this guardian's place. Whether it is good is for whoever submits it to check.
local function isSignatureBy(guardian, text, signers)
  return #text == 132 and text:find("^0x[0-9a-f]+$") ~= nil and tonumber(text:sub(3, 4), 16) == (signers or set).index[guardian] - 1
end

local function signRelease(guardian, line, at)
  local digits, epoch, signature = line:match("^(%d+) (%d+) (0x[0-9a-f]+)$")
  local withdrawal, number = numbered(digits)
  if not withdrawal then return event("guardian.bad-line", guardian, at, digits and "unknown-withdrawal" or "bad-line") end
  if withdrawal.released then return end
  if epoch ~= tostring(set.epoch) then return event("guardian.bad-line", guardian, at, "other-epoch") end
  if not isSignatureBy(guardian, signature) then return event("guardian.bad-line", guardian, at, "bad-signature") end
  -- Signatures of an older set are worthless at the vault; the new set signs again.
  if withdrawal.epoch ~= set.epoch then withdrawal.epoch, withdrawal.signatures = set.epoch, {} end
  local before = withdrawal.signatures[guardian]
  if before then
    if before ~= signature then event("guardian.double-vote", guardian, "signature", number) end
    return
  end
  withdrawal.signatures[guardian] = signature
  local n = 0
  for _, g in ipairs(set.guardians) do if withdrawal.signatures[g] then n = n + 1 end end
  event("withdrawal.signed", number, set.epoch, guardian, signature, n)
end

-- Proposals: on chains where no contract refuses a second payment, a release is a transaction that uses up an anchor (a coin, a nonce), so
-- that of all that name one anchor only one can ever be. Any guardian proposes one; what M of them sign, anyone may submit. What to sign is
-- each guardian's own care: this keeps what was said. A rotation drops all of them. --------------------------------------------------------

local MAX_PROPOSAL, MAX_PAID, PROPOSALS_KEPT = 16384, 256, 32
-- What signatures of proposals may hold in memory, an equal share for each guardian.
local SIGNED_BYTES = 32 * 1024 * 1024

-- Ids of the proposals of this epoch that pay a withdrawal.
local function proposalsOf(withdrawal)
  if withdrawal.proposedIn ~= set.epoch then withdrawal.proposals, withdrawal.proposedIn = {}, set.epoch end
  return withdrawal.proposals
end

local function drop(id)
  local proposal = proposals[id]
  if not proposal then return end
  proposals[id], proposalCount = nil, proposalCount - 1
  for guardian, text in pairs(proposal.signatures) do signedBytes[guardian] = signedBytes[guardian] - #text end
  for _, number in ipairs(proposal.numbers) do
    local list = withdrawals[number].released and {} or proposalsOf(withdrawals[number])
    for at, other in ipairs(list) do
      if other == id then
        table.remove(list, at)
        break
      end
    end
  end
  event("proposal.dropped", id)
end

-- Numbers of open withdrawals in rising order, none for `-`: a transaction that only moves what the vault has. nil for anything else.
local function numbersOf(text)
  local numbers = {}
  if text == "-" then return numbers end
  for digits in (text .. ","):gmatch("([^,]*),") do
    local withdrawal, number = numbered(digits)
    if not withdrawal or withdrawal.released or number <= (numbers[#numbers] or 0) or #numbers == MAX_PAID then return nil end
    numbers[#numbers + 1] = number
  end
  return numbers
end

-- A guardian's newest are kept: one that proposes without end crowds out nobody but itself.
local function keepProposal(id, proposal)
  proposals[id], proposalCount = proposal, proposalCount + 1
  proposalOrder[#proposalOrder + 1] = id
  for _, number in ipairs(proposal.numbers) do
    local list = proposalsOf(withdrawals[number])
    list[#list + 1] = id
  end
  local ring = proposed[proposal.by] or { count = 0 }
  proposed[proposal.by] = ring
  ring.count = ring.count + 1
  local place = ring.count % PROPOSALS_KEPT
  if ring[place] then drop(ring[place]) end
  ring[place] = id
end

local function proposeRelease(msg)
  local line = msg.Data
  if not HOME.proposes then return refuse(msg, "not-proposed", "The vault of this chain refuses a second payment by itself: sign releases.") end
  local epoch, anchor, list, content = line:match("^(%d+) ([%w:.-]+) ([%d,-]+) (%w+)$")
  if not epoch or #line > MAX_PROPOSAL or #anchor > 256 then return refuse(msg, "bad-line", "Data is one line: epoch, anchor, withdrawals and content.") end
  local signers = epoch == tostring(set.epoch) and set or outgoing and epoch == tostring(outgoing.epoch) and outgoing
  if not signers then return refuse(msg, "other-epoch", "The epoch is " .. set.epoch .. ".") end
  if not signers.index[msg.From] then return refuse(msg, "not-a-guardian", "Only a guardian of that epoch may propose this.") end
  if signers ~= set and list ~= "-" then return refuse(msg, "bad-withdrawals", "A set that leaves only hands the vault over: it pays nobody.") end
  local numbers = numbersOf(list)
  if not numbers then return refuse(msg, "bad-withdrawals", "Numbers of at most " .. MAX_PAID .. " open withdrawals, rising, or -.") end
  local id = "0x" .. keccak256("isthmus/proposal/1\n" .. ao.id .. "\n" .. line)
  if proposals[id] then return end
  event("proposal.made", id, msg.From, line)
  keepProposal(id, { line = line, by = msg.From, set = signers, numbers = numbers, left = #numbers, signatures = {} })
end

local function signProposal(guardian, line, at)
  local id, signatures = line:match("^(0x[0-9a-f]+) ([%w,]+)$")
  if not id or #line > MAX_PROPOSAL then return event("guardian.bad-line", guardian, at, "bad-line") end
  local proposal = proposals[id]
  if not proposal then return event("guardian.bad-line", guardian, at, "unknown-proposal") end
  if not proposal.set.index[guardian] then return event("guardian.bad-line", guardian, at, "other-epoch") end
  local before = proposal.signatures[guardian]
  if before then
    if before ~= signatures then event("guardian.double-vote", guardian, "proposal", id) end
    return
  end
  local held = (signedBytes[guardian] or 0) + #signatures
  if held > SIGNED_BYTES // #proposal.set.guardians then return event("guardian.bad-line", guardian, at, "too-much-open") end
  proposal.signatures[guardian], signedBytes[guardian] = signatures, held
  local n = 0
  for _, g in ipairs(proposal.set.guardians) do if proposal.signatures[g] then n = n + 1 end end
  event("proposal.signed", id, guardian, signatures, n)
end

local function forgetDropped()
  local open = {}
  for _, id in ipairs(proposalOrder) do if proposals[id] then open[#open + 1] = id end end
  proposalOrder = open
end

local function settle(number, withdrawal, content)
  withdrawal.released = content
  if HOME.proposes then
    local paidBy = proposalsOf(withdrawal)
    withdrawal.proposals, withdrawal.proposedIn = nil, nil
    for _, id in ipairs(paidBy) do
      proposals[id].left = proposals[id].left - 1
      if proposals[id].left == 0 then drop(id) end -- nothing is left to pay
    end
  end
  withdrawal.signatures, withdrawal.ballot = {}, nil
  totals.released = add(totals.released, withdrawal.amount)
  while withdrawals[firstOpen] and withdrawals[firstOpen].released do firstOpen = firstOpen + 1 end
  event("withdrawal.released", number, content)
end

local function attestRelease(guardian, line, at)
  local digits, content = line:match("^(%d+) (%S+ %d+ %a+)$")
  local tx, fee, outcome
  if content then tx, fee, outcome = content:match("^(%S+) (%S+) (%S+)$") end
  local withdrawal, number = numbered(digits)
  if not withdrawal then return event("guardian.bad-line", guardian, at, digits and "unknown-withdrawal" or "bad-line") end
  if not HOME.isTx(tx) or not isAmount(fee) or outcome ~= "paid" and outcome ~= "held" then return event("guardian.bad-line", guardian, at, "bad-line") end
  if withdrawal.released then
    if withdrawal.released ~= content then event("withdrawal.conflict", number, guardian) end
    return
  end
  local votes, problem = vote(withdrawal.ballot, guardian, content)
  if problem == "double-vote" then event("guardian.double-vote", guardian, "release", number) end
  if not votes then return end
  event("withdrawal.attested", number, guardian, votes)
  if #withdrawal.ballot.contents > 1 then event("withdrawal.conflict", number, guardian) end
  if votes >= set.threshold then settle(number, withdrawal, content) end
end

-- Decisions of the quorum ---------------------------------------------------------------------------------------------------

local MOST_AMOUNT, MOST_WINDOW = "20282409603651670423947251286015", 4294967295000

-- Epoch, threshold, pause threshold, guardians, and where releases are proposed their keys.
local function readRotation(line)
  local epoch, threshold, pauseThreshold, list, keys = line:match("^rotate (%d+) (%d+) (%d+) (%S+) ?(%S*)$")
  if epoch and (keys ~= "") == (line:find("^%S+ %S+ %S+ %S+ %S+ ") ~= nil) then return epoch, threshold, pauseThreshold, list, keys end
end

-- nil, or why this line cannot be decided now.
local function checkDecision(line)
  if line == "pause" then return paused and "already-paused" or nil end
  -- Also where it changes nothing here: the vault may be paused.
  if line == "unpause" then return nil end
  local listed, amount, window, least = line:match("^list (%a+) (%d+) (%d+) (%d+)$")
  if listed then
    -- The vault counts windows in whole seconds, 32 bits of them, and amounts in 104 bits.
    local whole = isSmall(window) and window:match("000$") and tonumber(window) <= MOST_WINDOW
    local good = (listed == "open" or listed == "closed") and isPositive(amount) and whole and isAmount(least)
      and not less(MOST_AMOUNT, amount) and not less(MOST_AMOUNT, least)
    return not good and "bad-limit" or nil
  end
  local epoch, threshold, pauseThreshold, list, keys = readRotation(line)
  if not epoch or not (isSmall(epoch) and isSmall(threshold) and isSmall(pauseThreshold)) then return "bad-decision" end
  if tonumber(epoch) ~= set.epoch + 1 then return "other-epoch" end
  local current = set
  local problem = setGuardians(epoch, threshold, pauseThreshold, list, keys)
  set = current
  return problem
end

local function apply(line)
  local amount, window = line:match("^list %a+ (%d+) (%d+) %d+$")
  local epoch, threshold, pauseThreshold, list, keys = readRotation(line)
  if line == "pause" then paused = true end
  if line == "unpause" then paused, reviewFrom = false, 1 end
  -- Open or closed, and the least deposit, are the vault's to apply.
  if amount then limit = { amount = amount, window = window } end
  if epoch then
    outgoing = HOME.proposes and set or nil
    setGuardians(epoch, threshold, pauseThreshold, list, keys)
    for guardian in pairs(claimed) do if not set.index[guardian] then claimed[guardian] = nil end end
    reviewFrom, settleFrom = 1, firstOpen
    proposals, proposalOrder, proposed, signedBytes, proposalCount = {}, {}, {}, {}, 0
  end
end

-- What a decision makes due is done in portions, after this message and the next ones, so that no backlog can be too long to work off.
local PORTION = 500

local function catchUp()
  if reviewFrom then
    local last = math.min(reviewFrom + PORTION - 1, #pendingOrder)
    for at = reviewFrom, last do review(pendingOrder[at]) end
    reviewFrom = last < #pendingOrder and last + 1 or nil
    if not reviewFrom then forgetMinted() end
  elseif #pendingOrder > 1000 and #pendingOrder > 2 * pendingCount then
    forgetMinted() -- half of the list and more is done with: dropping it costs what made it grow
  end
  if #proposalOrder > 1000 and #proposalOrder > 2 * proposalCount then forgetDropped() end
  if settleFrom then
    local last = math.min(settleFrom + PORTION - 1, #withdrawals)
    for number = settleFrom, last do
      local withdrawal = withdrawals[number]
      local content = not withdrawal.released and winner(withdrawal.ballot, set.threshold)
      if content then settle(number, withdrawal, content) end
    end
    settleFrom = last < #withdrawals and last + 1 or nil
  end
end

local function votesFor(decision, line)
  local n = 0
  for _, guardian in ipairs(set.guardians) do if decision.votes[guardian] == line then n = n + 1 end end
  return n
end

-- A guardian's newest voice is the one that counts, so that guardians who began apart can still come together.
local function voteOn(decision, nonce, guardian, line)
  if decision.votes[guardian] == line then return end
  if not decision.votes[guardian] then decision.voters[#decision.voters + 1] = guardian end
  decision.votes[guardian] = line
  event("decision.attested", nonce, guardian, votesFor(decision, line), line)
end

local function attestDecision(msg)
  local digits, line = msg.Tags["Decision-Nonce"], msg.Data
  if not isSmall(digits) then return refuse(msg, "bad-nonce", "Decision-Nonce is the number of the next decision.") end
  local nonce = math.tointeger(tonumber(digits))
  local decision = decisions[nonce]
  if decision and decision.applied then
    if decision.applied == line then voteOn(decision, nonce, msg.From, line) end
    return
  end
  if nonce ~= applied + 1 then return refuse(msg, "bad-nonce", "The next decision has number " .. (applied + 1) .. ".") end
  local problem = checkDecision(line)
  if problem then return refuse(msg, problem, "This cannot be decided now: " .. problem .. ".") end
  if not decision then
    decision = { votes = {}, voters = {}, signatures = {}, signers = {} }
    decisions[nonce] = decision
  end
  voteOn(decision, nonce, msg.From, line)
  if votesFor(decision, line) >= (line == "pause" and set.pauseThreshold or set.threshold) then
    decision.applied, applied = line, nonce
    -- The vault carries out a rotation by the signatures of the set that leaves.
    if line:find("^rotate ") then decision.electors = set end
    event("decision.applied", nonce, line)
    apply(line)
  end
end

-- A signature for the vault to carry out what is decided: never before it is, or what was given up could still be carried out. Each
-- guardian's newest counts: one made before the vault took another decision is worthless there.
local function signDecision(msg)
  local digits, signature = msg.Tags["Decision-Nonce"], msg.Data
  local nonce = isSmall(digits) and math.tointeger(tonumber(digits))
  local decision = nonce and decisions[nonce]
  if not (decision and decision.applied) then return refuse(msg, "not-decided", "Decision-Nonce is the number of a decision that was taken.") end
  local signers = decision.electors or set
  if not signers.index[msg.From] then return refuse(msg, "not-a-guardian", "Only a guardian of the set that carries this out may sign it.") end
  if not isSignatureBy(msg.From, signature, signers) then return refuse(msg, "bad-signature", "Data is a signature of 65 bytes that begins with your index.") end
  if decision.signatures[msg.From] == signature then return end
  if not decision.signatures[msg.From] then decision.signers[#decision.signers + 1] = msg.From end
  decision.signatures[msg.From] = signature
  event("decision.signed", nonce, msg.From, signature)
end

-- Transfers ----------------------------------------------------------------------------------------------------------------

local function transfer(msg)
  local quantity, recipient = msg.Tags.Quantity, msg.Tags.Recipient
  if not isPositive(quantity) then return refuse(msg, "bad-quantity", "Quantity is a whole number of base units above 0, as decimal digits.") end
  -- Who holds the token has passed this check before.
  if not holderAt[recipient or ""] and not isAoAddress(recipient) then return refuse(msg, "bad-recipient", "Recipient is a 43-character AO address or a 0x address in the capitals of its checksum (EIP-55).") end
  -- Memory is taken only by what could be withdrawn: a crowd of holders of next to nothing would fill it for next to nothing.
  if not holderAt[recipient] and less(quantity, MINIMUM) then return refuse(msg, "below-minimum", "Who holds nothing yet is sent at least " .. MINIMUM .. ", the least withdrawal.") end
  if recipient == ao.id then return refuse(msg, "forbidden-recipient", "The token itself could never send them on.") end
  if less(balances[msg.From] or "0", quantity) then return refuse(msg, "insufficient-balance", "The balance is " .. (balances[msg.From] or "0") .. ".") end
  debit(msg.From, quantity)
  credit(recipient, quantity)
  event("transfer", msg.From, recipient, quantity)
  if msg.Tags.Cast then return end
  reply(msg, withForwarded(tagList("Action", "Debit-Notice", "Recipient", recipient, "Quantity", quantity)), "You transferred " .. quantity .. " to " .. recipient)
  send(recipient, withForwarded(tagList("Action", "Credit-Notice", "Sender", msg.From, "Quantity", quantity)), "You received " .. quantity .. " from " .. msg.From)
end

-- Reads ------------------------------------------------------------------------------------------------------------------------

local function info(msg)
  reply(msg, tagList("Action", "Info-Response", "Name", NAME, "Ticker", TICKER, "Logo", LOGO, "Denomination", DENOMINATION,
    "name", NAME, "ticker", TICKER, "logo", LOGO, "denomination", DENOMINATION, "supply", supply(), "Asset", ASSET))
end

local function balance(msg)
  local named = msg.Tags.Target or msg.Tags.Recipient
  -- Accounts go by their text: an address in other letters would read as 0, whatever it holds.
  if named and not holderAt[named] and not isAoAddress(named) then
    return refuse(msg, "bad-recipient", "Whose balance is named by a 43-character AO address or a 0x address in the capitals of its checksum (EIP-55).")
  end
  local account = named or msg.From
  local amount = balances[account] or "0"
  reply(msg, tagList("Action", "Balance-Response", "Balance", amount, "Ticker", TICKER, "Account", account), amount)
end

-- A page's first position and size; positions are those of a list that only grows.
local function page(msg)
  local from = isSmall(msg.Tags.Cursor) and math.tointeger(tonumber(msg.Tags.Cursor)) or 1
  local size = isSmall(msg.Tags.Limit) and math.tointeger(tonumber(msg.Tags.Limit)) or 100
  return from, math.min(size, 1000)
end

local function paged(msg, action, list, read, finish)
  local from, size = page(msg)
  local parts = {}
  for at = from, math.min(from + size - 1, #list) do
    local text = read(list[at], at)
    if text then parts[#parts + 1] = text end
  end
  local tags = tagList("Action", action)
  if from + size <= #list then tags[#tags + 1] = { name = "Next-Cursor", value = tostring(from + size) } end
  reply(msg, tags, finish(parts))
end

local function balancesPage(msg)
  paged(msg, "Balances-Response", holders, function(account)
    return account and quote(account) .. ":" .. quote(balances[account])
  end, function(parts) return "{" .. table.concat(parts, ",") .. "}" end)
end

local function describe(number, w)
  local signatures = {}
  for _, guardian in ipairs(w.epoch == set.epoch and set.guardians or {}) do
    if w.signatures[guardian] then
      signatures[#signatures + 1] = object({ { "guardian", quote(guardian) }, { "signature", quote(w.signatures[guardian]) } })
    end
  end
  local fields = {
    { "number", tostring(number) }, { "id", quote(w.id) }, { "holder", quote(w.holder) }, { "recipient", quote(w.recipient) },
    { "amount", quote(w.amount) }, { "maxFee", quote(w.maxFee) }, { "state", quote(w.released and "released" or "queued") },
    { "epoch", tostring(set.epoch) }, { "signatures", array(signatures) },
  }
  if w.released then fields[#fields + 1] = { "release", quote(w.released) } end
  return object(fields)
end

local function withdrawalRead(msg)
  local withdrawal, number = numbered(msg.Tags.Number)
  if not withdrawal then return refuse(msg, "unknown-withdrawal", "There is no withdrawal of this number.") end
  reply(msg, tagList("Action", "Withdrawal-Response"), describe(number, withdrawal))
end

local function withdrawalsPage(msg)
  local state = msg.Tags.State
  paged(msg, "Withdrawals-Response", withdrawals, function(w, number)
    if state and state ~= (w.released and "released" or "queued") then return nil end
    return describe(number, w)
  end, array)
end

local function proposalsPage(msg)
  paged(msg, "Proposals-Response", proposalOrder, function(id)
    local proposal = proposals[id]
    if not proposal then return nil end
    local signatures = {}
    for _, guardian in ipairs(proposal.set.guardians) do
      local text = proposal.signatures[guardian]
      if text then signatures[#signatures + 1] = object({ { "guardian", quote(guardian) }, { "signatures", quote(text) } }) end
    end
    return object({ { "id", quote(id) }, { "guardian", quote(proposal.by) }, { "line", quote(proposal.line) }, { "signed", array(signatures) } })
  end, array)
end

local function ballotText(ballot)
  local parts = {}
  for i, content in ipairs(ballot.contents) do
    parts[i] = object({ { "content", quote(content) }, { "votes", tostring(count(ballot, i)) } })
  end
  return array(parts)
end

local function depositRead(msg)
  local id = msg.Tags["Deposit-Id"]
  local line, ballot = minted[id or ""], pending[id or ""]
  if not line and not ballot then return refuse(msg, "unknown-deposit", "No guardian has attested a deposit of this id.") end
  local fields = { { "id", quote(id) }, { "state", quote(line and "minted" or "attesting") } }
  if line ~= true then fields[#fields + 1] = line and { "content", quote(line) } or { "votes", ballotText(ballot) } end
  reply(msg, tagList("Action", "Deposit-Response"), object(fields))
end

local function pendingPage(msg)
  paged(msg, "Pending-Deposits-Response", pendingOrder, function(id)
    return pending[id] and object({ { "id", quote(id) }, { "votes", ballotText(pending[id]) } })
  end, array)
end

local function decisionsPage(msg)
  paged(msg, "Decisions-Response", decisions, function(d, nonce)
    local votes = {}
    for i, guardian in ipairs(d.voters) do votes[i] = object({ { "guardian", quote(guardian) }, { "line", quote(d.votes[guardian]) } }) end
    local signatures = {}
    for i, guardian in ipairs(d.signers) do
      signatures[i] = object({ { "guardian", quote(guardian) }, { "signature", quote(d.signatures[guardian]) } })
    end
    return object({ { "nonce", tostring(nonce) }, { "applied", d.applied and quote(d.applied) or "null" }, { "votes", array(votes) }, { "signatures", array(signatures) } })
  end, array)
end

local function bridgeInfo(msg)
  local guardians = {}
  for i, guardian in ipairs(set.guardians) do guardians[i] = quote(guardian) end
  local keys = {}
  for i, key in ipairs(set.keys) do keys[i] = quote(key) end
  reply(msg, tagList("Action", "Bridge-Info-Response"), object({
    { "asset", quote(ASSET) }, { "chain", quote(CHAIN) }, { "vault", quote(VAULT) }, { "epoch", tostring(set.epoch) },
    { "threshold", tostring(set.threshold) }, { "pauseThreshold", tostring(set.pauseThreshold) }, { "guardians", array(guardians) }, { "keys", array(keys) },
    { "paused", tostring(paused) }, { "minWithdrawal", quote(MINIMUM) }, { "limit", quote(limit.amount) }, { "limitWindow", quote(limit.window) },
    { "decisions", tostring(applied) }, { "withdrawals", tostring(#withdrawals) }, { "deposits", tostring(mintedCount) },
    { "minted", quote(totals.minted) }, { "burned", quote(totals.burned) }, { "released", quote(totals.released) },
    { "supply", quote(supply()) }, { "inFlight", quote(subtract(totals.burned, totals.released)) },
  }))
end

local function totalSupply(msg)
  reply(msg, tagList("Action", "Total-Supply-Response", "Total-Supply", supply(), "Ticker", TICKER), supply())
end

-- Who may ask what -----------------------------------------------------------------------------------------------------------

local MAX_LINES = 500

-- Every line of a guardian's message, each on its own: a bad one is reported and the others count.
local function eachLine(act)
  return function(msg)
    local number = 0
    for line in (msg.Data .. "\n"):gmatch("([^\n]*)\n") do
      number = number + 1
      if number > MAX_LINES then return event("guardian.bad-line", msg.From, number, "too-many-lines") end
      act(msg.From, line, number)
    end
  end
end

local GUARDIANS = {
  ["Attest-Deposits"] = eachLine(attestDeposit),
  ["Propose-Release"] = proposeRelease,
  ["Sign-Release"] = eachLine(HOME.proposes and signProposal or signRelease),
  ["Attest-Release"] = eachLine(attestRelease),
  ["Attest-Decision"] = attestDecision, ["Sign-Decision"] = signDecision,
}
local function handsOver(msg, act)
  local hands = act == signDecision or act == proposeRelease or msg.Tags.Action == "Sign-Release"
  return hands and (act == signDecision or outgoing and outgoing.index[msg.From])
end
local HOLDERS = { Transfer = transfer, Withdraw = withdraw }
local READS = {
  Info = info, Balance = balance, Balances = balancesPage, ["Total-Supply"] = totalSupply, Withdrawal = withdrawalRead, Withdrawals = withdrawalsPage,
  Proposals = proposalsPage, Deposit = depositRead, ["Pending-Deposits"] = pendingPage, Decisions = decisionsPage, ["Bridge-Info"] = bridgeInfo,
}

-- aos decodes such Data before any process sees it.
local function hasLines(msg)
  return type(msg.Data) == "string" and msg.Tags["Content-Type"] ~= "application/json"
end

-- An authority passes on what processes sent. It cannot speak for a key, which signs for itself: not for a guardian, not for an Ethereum
-- account, and not for an Arweave wallet once that has signed here, since no process ever signs.
local function isTrusted(msg)
  if msg.From == msg.Owner then
    if #msg.From == 43 and holderAt[msg.From] then wallets[msg.From] = true end -- who never held anything has nothing to lose, and takes no memory
    return true
  end
  return authorities[msg.Owner] and isArweaveAddress(msg.From) and not wallets[msg.From]
end

local function receive(msg)
  local action = msg.Tags.Action or ""
  local guarded, held, read = GUARDIANS[action], HOLDERS[action], READS[action]
  if not (guarded or held or read) then return end
  if msg.Target ~= ao.id then return end -- said to another process, whoever has it assigned here
  if read then return read(msg) end
  if msg.Cron or msg.Tags.Cron then return end -- nobody signed it; on aos a tag can pass for the mark
  -- Who has just left still signs for the vault what made it leave, or hands it over: those ask for themselves.
  if guarded and (msg.From ~= msg.Owner or not set.index[msg.From] and not handsOver(msg, guarded)) then
    return refuse(msg, "not-a-guardian", "Only a guardian of the current set, signing itself, may say this.")
  end
  if guarded and not hasLines(msg) then return refuse(msg, "bad-data", "Data is lines of text, not JSON.") end
  if held and not isTrusted(msg) then
    return refuse(msg, "not-trusted", "This message speaks for another and its signer is no authority of this process.")
  end
  if held and not takeForwarded(msg) then
    return refuse(msg, "too-many-tags", "X- tags and Reference together take at most " .. MAX_FORWARDED .. " bytes, in at most " .. MAX_FORWARDED_TAGS .. " tags.")
  end
  local act = guarded or held
  act(msg)
  catchUp()
  flushEvents()
  showState()
end

if Handlers then
  -- On aos this is asked before any other handler, and the last. (A global `handle` would replace aos' own way in.)
  Handlers.prepend("isthmus", function() return true end, function(msg)
    -- A tag called Nonce takes the slot's place in `msg`, and aos 2.0.4 counts on from what it finds there: text would end the process.
    if not tonumber(msg.Nonce) then msg.Nonce = ao.Nonce end
    receive(msg)
  end)
  -- What is no text is no message's sender: neither a signer nor a name an authority could forge. A process with no owner at all would
  -- go to the first who gives his message the process' id.
  Owner = true
  showState()
else
  function handle(msg)
    if msg.Id ~= ao.id then receive(msg) else showState() end -- the first message is the spawn itself
  end
end
