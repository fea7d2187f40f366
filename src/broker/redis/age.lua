-- How old records are. The scripts that need to know have this text before their own.
--
-- The id of a record in its stream is `seq-ms`: its number, and when it was published, in milliseconds of the server's
-- clock. The time never falls from one record to the next, so the too old come first and can be found by halving.

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function place(id)
  local seq, ms = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(seq), tonumber(ms)
end

-- Where the records from `seq` to `top` that were published after `horizon` begin.
local function first_after(stream, seq, top, horizon)
  local low, high = seq, top + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('XRANGE', stream, middle .. '-0', high - 1, 'COUNT', 1)[1]
    local at, published = middle, math.huge
    if found then at, published = place(found[1]) end
    if published > horizon then high = middle else low = at + 1 end
  end
  return low
end
