-- Reads what follows a position. It only reads, so a server whose writes are paused still answers it.
--
-- KEYS: meta, the lane's records
-- ARGV: lane, epoch, seq, count
-- Returns nil when the channel has no history, else the top 'epoch-seq', the last number of the reader's epoch that is
-- part of this history (-1 when it is no epoch of it), and the records that follow and are not too old, with the number
-- of the first.

local lane, epoch, seq, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local meta = redis.call('GET', KEYS[1])
if not meta then return false end

local history = read_meta(meta)
local top = history[lane]
local survived = -1
if history.e == epoch then
  survived = top
else
  for link, x, n in string.gmatch(history.h, '(%w+):(%d+):(%d+)') do
    if link == epoch then
      survived = tonumber(lane == 'x' and x or n)
      break
    end
  end
end

local start = math.max(0, math.min(seq, survived))
local from, records = top + 1, {}
if start < top then
  local length = redis.call('LLEN', KEYS[2])
  local oldest = top - length + 1
  local index, horizon = math.max(0, start + 1 - oldest), clock() - history.t
  if published(KEYS[2], index) <= horizon then index = first_after(KEYS[2], index, length, horizon) end
  from = oldest + index
  records = redis.call('LRANGE', KEYS[2], index, index + count - 1)
end
return { history.e .. '-' .. top, survived, from, records }
