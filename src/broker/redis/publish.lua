-- Stores one record and tells the subscribers.
--
-- KEYS: meta, records of express, records of normal, and if there is an idempotency key, which is claimed: its mark
-- ARGV: lane, fresh epoch, record, size, ttl, meta ttl, pub/sub channel, id, and for the mark: fingerprint, its ttl, and
-- for how much of that it holds for other ids as well
-- Returns what came of it and 'lane epoch-seq id' of the record that is stored.

-- So often a publish takes away what is too old. Readers are not shown it meanwhile.
local TRIM_EVERY = 32

local lane, record, id, mark = ARGV[1], ARGV[3], ARGV[8], KEYS[4]

if mark then
  local fingerprint, till, stored, first = string.match(redis.call('GET', mark) or '', '^(%x+) (%d+) (.* (%x+))$')
  -- One of another id was left by a claim that is gone: before its time, as by a flush between the claim and this script,
  -- or else the key was forgotten with it. Of another body it is no repeat.
  if fingerprint == ARGV[9] and (first == id or clock() < tonumber(till)) then return { 'duplicate', stored } end
end

local history = enter(KEYS, ARGV[2])
local seq = history[lane] + 1
local records = lane == 'x' and KEYS[2] or KEYS[3]
-- A clock that was set back, or that of another server, must not make a later record the older one.
local now = math.max(clock(), history.a)
-- The first write that the server can refuse. If it does, no number is used up and nobody was told anything.
local length = redis.call('RPUSH', records, seq .. '-' .. now .. ' ' .. record)
local excess = math.max(0, length - ARGV[4])
if seq % TRIM_EVERY == 0 then
  local horizon = now - ARGV[5]
  if published(records, excess) <= horizon then excess = first_after(records, excess, length, horizon) end
end
if excess > 0 then redis.call('LTRIM', records, excess, -1) end
redis.call('PEXPIRE', records, ARGV[5])
history[lane], history.a, history.t = seq, now, ARGV[5]
leave(KEYS, history, ARGV[6])

local position = lane .. ' ' .. history.e .. '-' .. seq
local stored = position .. ' ' .. id
if mark then
  redis.call('SET', mark, string.format('%s %d %s', ARGV[9], clock() + ARGV[11], stored), 'PX', ARGV[10])
end
redis.call('PUBLISH', ARGV[7], position .. '\n' .. record)
return { 'stored', stored }
