-- Counts who listens to a channel on other nodes. It only reads.
--
-- KEYS: presence, as `announce.lua` writes it
-- ARGV: the node that asks
-- Returns how many.

local now = clock()
local sum = 0
local told = redis.call('HGETALL', KEYS[1])
for i = 1, #told, 2 do
  local count, till = string.match(told[i + 1], '^(%d+):(%d+)$')
  if told[i] ~= ARGV[1] and count and tonumber(till) > now then sum = sum + count end
end
return sum
