-- Gives a channel an epoch when it has none, so that a reader who comes before the first record has a position.
--
-- KEYS: meta, express stream, normal stream
-- ARGV: fresh epoch, meta ttl
-- Returns what HMGET meta e x n would.

local history = enter(KEYS, ARGV[1])
leave(KEYS, history, ARGV[2])
return { history.e, tostring(history.x), tostring(history.n) }
