-- Writes one binding of a user, and forgets those of his that have expired. All of them
-- go an hour after the last has, if nobody is left to tidy up.
-- A binding is its expiry in milliseconds, a space, and the registrar's value.
--
-- Whence it comes is remembered as long, under a key for all; '' if nobody asks. Of one user
-- 20 such places are, those that last longest: his phones, and where they were before.
--
-- ARGV: user, contact, expires, value, now, sender
-- Returns nothing.

local user, contact, expires, value, now, sender = unpack(ARGV)
local key = P .. 'bind:' .. user
now = tonumber(now)

redis.call('HSET', key, contact, expires .. ' ' .. value)
local all, last = redis.call('HGETALL', key), now
for i = 1, #all, 2 do
  local till = tonumber(string.match(all[i + 1], '^%d+'))
  if till <= now then
    redis.call('HDEL', key, all[i])
  else
    last = math.max(last, till)
  end
end
redis.call('PEXPIRE', key, last - now + 3600000)

if sender ~= '' then
  local senders = P .. 'senders'
  redis.call('ZREMRANGEBYSCORE', senders, '-inf', now)
  local own, place = P .. 'senders:' .. user, user .. ' ' .. sender
  redis.call('ZREMRANGEBYSCORE', own, '-inf', now)
  local had = redis.call('ZSCORE', own, place)
  if not had or tonumber(had) < tonumber(expires) then
    redis.call('ZADD', own, expires, place)
    redis.call('ZADD', senders, expires, place)
  end
  local over = redis.call('ZCARD', own) - 20
  if over > 0 then
    for _, gone in ipairs(redis.call('ZRANGE', own, 0, over - 1)) do
      redis.call('ZREM', own, gone)
      redis.call('ZREM', senders, gone)
    end
  end
  redis.call('PEXPIRE', own, last - now + 3600000)
end
return false
