-- Which history a channel is in. The scripts that write have this text before their own.

local CHAIN = 8

-- What the server's own history is called. It cannot change within one call.
local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
end

-- The history to write in, changed in memory only. keys: meta, records of express, records of normal.
local function enter(keys, fresh, replid)
  local meta = redis.call('GET', keys[1])
  if not meta then
    -- Never used, flushed or evicted. Records that outlived their meta key belong to no known epoch. Asked first, as a
    -- server that is full refuses no write once a script has made another.
    if redis.call('EXISTS', keys[2], keys[3]) > 0 then redis.call('DEL', keys[2], keys[3]) end
    return { e = fresh, x = 0, n = 0, r = replid, a = 0, t = 0, h = '' }
  end
  local history = read_meta(meta)
  if history.r ~= replid then
    -- The server was restarted or promoted, so another one may have numbered other records from here on: a new epoch,
    -- while the numbers go on. A client cannot see this reliably, as its connection survives a demotion.
    local chain = { history.e .. ':' .. history.x .. ':' .. history.n }
    for link in string.gmatch(history.h, '[^,]+') do
      if #chain < CHAIN then chain[#chain + 1] = link end
    end
    history.e, history.r, history.h = fresh, replid, table.concat(chain, ',')
  end
  return history
end

local function leave(keys, history, ttl)
  local words = { 1, history.e, history.x, history.n, history.r, history.a, history.t, history.h }
  redis.call('SET', keys[1], table.concat(words, '|'), 'PX', ttl)
end
