-- Reads what follows a position. It only reads, so a server whose writes are paused still answers it.
--
-- KEYS: meta, the lane's stream
-- ARGV: lane, epoch, seq, count
-- Returns nil when the channel has no history, else the top 'epoch-seq', the last number of the reader's epoch that is
-- part of this history (-1 when it is no epoch of it), and the records that follow and are not too old.

local lane, epoch, seq = ARGV[1], ARGV[2], tonumber(ARGV[3])
local meta = redis.call('HMGET', KEYS[1], 'e', lane, 'h', 't')
if not meta[1] then return false end

local top = tonumber(meta[2])
local survived = -1
if meta[1] == epoch then
  survived = top
else
  for link, x, n in string.gmatch(meta[3], '(%w+):(%d+):(%d+)') do
    if link == epoch then
      survived = tonumber(lane == 'x' and x or n)
      break
    end
  end
end

local start = math.max(0, math.min(seq, survived))
local records = {}
if start < top then
  local horizon = clock() - (meta[4] or math.huge)
  local from = start + 1
  records = redis.call('XRANGE', KEYS[2], from, top, 'COUNT', ARGV[4])
  if records[1] and select(2, place(records[1][1])) <= horizon then
    from = first_after(KEYS[2], from, top, horizon)
    records = redis.call('XRANGE', KEYS[2], from, top, 'COUNT', ARGV[4])
  end
end
return { meta[1] .. '-' .. top, survived, records }
