-- How old records are. The scripts that need to know have this text before their own.
--
-- A record in its list is `seq-ms`, a space, and what the node wrote: its number, and when it was published, in
-- milliseconds of the server's clock. The time never falls from one record to the next, so the too old come first and
-- can be found by halving. The numbers of a list have no hole, so the number of the last gives the place of each.

-- What is no record is never too old: it is shown, and told to be unreadable.
local function published(records, index)
  local ms = string.match(redis.call('LINDEX', records, index) or '', '^%d+%-(%d+) ')
  return tonumber(ms) or math.huge
end

-- The index between `low` and `high` where the records that were published after `horizon` begin.
local function first_after(records, low, high, horizon)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if published(records, middle) > horizon then high = middle else low = middle + 1 end
  end
  return low
end
