-- Says how many listen to a channel on one node.
--
-- KEYS: presence, a hash with `count:ms` for each node, which counts until then by the server's clock
-- ARGV: node, count, how long it counts

local now = clock()
local told = redis.call('HGETALL', KEYS[1])
for i = 1, #told, 2 do
  local till = tonumber(string.match(told[i + 1], ':(%d+)$')) or 0
  -- Of a node that died. While others go on, the key does not expire.
  if till <= now then redis.call('HDEL', KEYS[1], told[i]) end
end
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. (now + ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return redis.status_reply('OK')
