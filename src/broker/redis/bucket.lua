-- Takes a token from a bucket that nodes share, by the generic cell rate algorithm.
--
-- KEYS: the bucket, which holds when it will be full, in microseconds of the server's clock; a full one is not there
-- ARGV: between two tokens, how long an empty bucket takes to be full, both in microseconds, and 'take' or 'look'
-- Returns whether there is a token (1 or 0), and in how many microseconds the bucket will be full.

local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
-- A bucket is empty at most: a clock that was set back must not lock anybody out for longer.
local debt = math.min(window, math.max(0, full_at - now))
local after = debt + interval
if after > window then return { 0, debt } end
if ARGV[3] == 'look' then return { 1, debt } end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / 1000))
return { 1, after }
