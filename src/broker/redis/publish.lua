-- Stores one record and tells the subscribers.
--
-- KEYS: meta, express stream, normal stream, and if there is an idempotency key, which is claimed: its mark
-- ARGV: lane, fresh epoch, record, size, ttl, meta ttl, pub/sub channel, id, and for the mark: fingerprint, its ttl
-- Returns what came of it and 'lane epoch-seq id' of the record that is stored.

local lane, record, id, mark = ARGV[1], ARGV[3], ARGV[8], KEYS[4]

if mark then
  local fingerprint, place, first = string.match(redis.call('GET', mark) or '', '^(%x+) (.* (%x+))$')
  -- One of another id or body was left by a claim that is forgotten.
  if first == id and fingerprint == ARGV[9] then return { 'duplicate', place } end
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
local place = position .. ' ' .. id
if mark then redis.call('SET', mark, ARGV[9] .. ' ' .. place, 'PX', ARGV[10]) end
redis.call('PUBLISH', ARGV[7], position .. '\n' .. record)
return { 'stored', place }
