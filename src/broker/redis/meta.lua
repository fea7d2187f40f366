-- How a channel's meta key is read. Every script has this text first.
--
-- One string, its words divided by '|': the version 1; the epoch (e); the top of each lane (x, n); the replication id of
-- the server that wrote it (r); when the newest record was published (a) and how long records are kept (t), both in
-- milliseconds; and the chain of earlier epochs (h), newest first: epoch:x:n, where x and n are the last numbers of that
-- epoch that this history has.

-- Fails before anything is written, so a publish that ends here is known not to be stored.
local function read_meta(text)
  local e, x, n, r, a, t, h = string.match(text, '^1|([^|]+)|(%d+)|(%d+)|(%x+)|(%d+)|(%d+)|([^|]*)$')
  if e then
    return { e = e, x = tonumber(x), n = tonumber(n), r = r, a = tonumber(a), t = tonumber(t), h = h }
  end
  if (tonumber(string.match(text, '^(%d+)|')) or 0) > 1 then error({ err = 'NEWER a later release wrote what is here' }) end
  error({ err = 'MALFORMED what is here was not written by this product' })
end
