-- Stores one record and tells the subscribers.
--
-- KEYS: meta, express stream, normal stream, and the idempotency key if there is one
-- ARGV: lane, fresh epoch, record, size, ttl, meta ttl, pub/sub channel, id, and if there is a key: fingerprint, its ttl
-- Returns what came of it and 'lane epoch-seq id' of the record that is stored.

local lane, record, key = ARGV[1], ARGV[3], KEYS[4]

if key then
  local first = redis.call('GET', key)
  if first then
    local fingerprint, place = string.match(first, '^(%x+) (.*)$')
    if fingerprint ~= ARGV[9] then return { 'reused', '' } end
    return { 'duplicate', place }
  end
end

local history = enter(KEYS, ARGV[2])
local seq = history[lane] + 1
local stream = lane == 'x' and KEYS[2] or KEYS[3]
-- The first write that the server can refuse. If it does, no number is used up and nobody was told anything.
redis.call('XADD', stream, 'MAXLEN', '~', ARGV[4], seq .. '-0', 'd', record)
redis.call('PEXPIRE', stream, ARGV[5])
history[lane] = seq
leave(KEYS, history, ARGV[6])

local position = lane .. ' ' .. history.e .. '-' .. seq
local place = position .. ' ' .. ARGV[8]
if key then redis.call('SET', key, ARGV[9] .. ' ' .. place, 'PX', ARGV[10]) end
redis.call('PUBLISH', ARGV[7], position .. '\n' .. record)
return { 'stored', place }
