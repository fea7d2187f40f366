-- Which history a channel is in. The scripts that write begin with this text.
--
-- The meta key holds the epoch (e), the top of each lane (x, n), the replication id of the server that wrote it (r),
-- when the newest record was published (a) and how long records are kept (t), both in milliseconds, and the chain of
-- earlier epochs (h), newest first: epoch:x:n, where x and n are the last numbers of that epoch that this history has.

local CHAIN = 8

-- The history to write in, changed in memory only. keys: meta, express stream, normal stream.
local function enter(keys, fresh)
  local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
  local meta = redis.call('HMGET', keys[1], 'e', 'x', 'n', 'r', 'h', 'a', 't')
  if not meta[1] then
    -- Never used, flushed or evicted. Streams that outlived their meta key belong to no known epoch.
    redis.call('DEL', keys[2], keys[3])
    return { new = true, e = fresh, x = 0, n = 0, r = replid, h = '', a = 0, t = 0 }
  end
  local history = {
    e = meta[1], x = tonumber(meta[2]), n = tonumber(meta[3]), r = replid, h = meta[5] or '', a = tonumber(meta[6] or 0),
    t = meta[7] or 0,
  }
  if meta[4] ~= replid then
    -- The server was restarted or promoted, so another one may have numbered other records from here on: a new epoch,
    -- while the numbers go on. A client cannot see this reliably, as its connection survives a demotion.
    local chain = { history.e .. ':' .. history.x .. ':' .. history.n }
    for link in string.gmatch(history.h, '[^,]+') do
      if #chain < CHAIN then chain[#chain + 1] = link end
    end
    history.new, history.e, history.h = true, fresh, table.concat(chain, ',')
  end
  return history
end

local function leave(keys, history, ttl)
  if history.new then redis.call('HSET', keys[1], 'e', history.e, 'r', history.r, 'h', history.h) end
  redis.call('HSET', keys[1], 'x', history.x, 'n', history.n, 'a', history.a, 't', history.t)
  redis.call('PEXPIRE', keys[1], ttl)
end
