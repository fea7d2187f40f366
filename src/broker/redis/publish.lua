-- Stores records, each in its channel, and tells the subscribers. One call takes many, so that what is the same for all is
-- asked of the server once.
--
-- KEYS: for each record: meta, records of express, records of normal, and if there is an idempotency key, which is
--   claimed: its mark
-- ARGV: fresh epoch; for each record: lane, record, size, ttl, meta ttl, pub/sub channel, id, and for the mark:
--   fingerprint (empty without a key), its ttl, and for how much of that it holds for other ids as well
-- Returns for each record 'outcome lane epoch-seq id', of what is stored, or the error that it ended with.

-- So often a publish takes away what is too old. Readers are not shown it meanwhile.
local TRIM_EVERY = 32
local WORDS = 10

local replid, time = replication_id(), clock()

local function store(keys, lane, record, size, ttl, meta_ttl, pubsub, id, fingerprint, mark_ttl, key_ttl)
  local mark = keys[4]
  if mark then
    local claimed, till, stored, first = string.match(redis.call('GET', mark) or '', '^(%x+) (%d+) (.* (%x+))$')
    -- One of another id was left by a claim that is gone: before its time, as by a flush between the claim and this
    -- script, or else the key was forgotten with it. Of another body it is no repeat.
    if claimed == fingerprint and (first == id or time < tonumber(till)) then return 'duplicate ' .. stored end
  end

  local history = enter(keys, ARGV[1], replid)
  local seq = history[lane] + 1
  local records = lane == 'x' and keys[2] or keys[3]
  -- A clock that was set back, or that of another server, must not make a later record the older one.
  local now = math.max(time, history.a)
  -- The first write that the server can refuse. If it does, no number is used up and nobody was told anything.
  local length = redis.call('RPUSH', records, seq .. '-' .. now .. ' ' .. record)
  local excess = math.max(0, length - size)
  if seq % TRIM_EVERY == 0 then
    local horizon = now - ttl
    if published(records, excess) <= horizon then excess = first_after(records, excess, length, horizon) end
  end
  if excess > 0 then redis.call('LTRIM', records, excess, -1) end
  redis.call('PEXPIRE', records, ttl)
  history[lane], history.a, history.t = seq, now, ttl
  leave(keys, history, meta_ttl)

  local position = lane .. ' ' .. history.e .. '-' .. seq
  local stored = position .. ' ' .. id
  if mark then redis.call('SET', mark, string.format('%s %d %s', fingerprint, time + key_ttl, stored), 'PX', mark_ttl) end
  redis.call('PUBLISH', pubsub, position .. '\n' .. record)
  return 'stored ' .. stored
end

local outcomes, key = {}, 1
for word = 2, #ARGV, WORDS do
  local keys = { KEYS[key], KEYS[key + 1], KEYS[key + 2] }
  key = key + 3
  if ARGV[word + 7] ~= '' then
    keys[4], key = KEYS[key], key + 1
  end
  -- What one channel ends with is not the others' concern.
  local done, outcome = pcall(store, keys, unpack(ARGV, word, word + WORDS - 1))
  if not done then
    -- A refusal comes as a table or as its text, depending on the release; a defect as where it is.
    local why = type(outcome) == 'table' and outcome.err or tostring(outcome)
    outcome = { err = string.match(why, '^%u+ ') and why or 'ERR ' .. why }
  end
  outcomes[#outcomes + 1] = outcome
end
return outcomes
