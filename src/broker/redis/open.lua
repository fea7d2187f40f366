-- Gives a channel an epoch when it has none, so that a reader who comes before the first record has a position.
--
-- KEYS: meta, records of express, records of normal
-- ARGV: fresh epoch, meta ttl
-- Returns what GET meta would.

local history = enter(KEYS, ARGV[1], replication_id())
leave(KEYS, history, ARGV[2])
return redis.call('GET', KEYS[1])
