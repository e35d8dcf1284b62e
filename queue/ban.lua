-- Remembers that a source is banned, and forgets those that are not any more.
-- Of too many it keeps the longest.
--
-- ARGV: source, until, now, most
-- Returns nothing.

local source, till, now, most = unpack(ARGV)
local key = P .. 'bans'

redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
local had = redis.call('ZSCORE', key, source)
if not had or tonumber(had) < tonumber(till) then
  redis.call('ZADD', key, till, source)
end
redis.call('ZREMRANGEBYRANK', key, 0, -1 - tonumber(most))
return false
