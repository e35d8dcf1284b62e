-- Writes one binding of a user, and forgets those of his that have expired. All of them
-- go an hour after the last has, if nobody is left to tidy up.
-- A binding is its expiry in milliseconds, a space, and the registrar's value.
--
-- Whence it comes is remembered as long, under a key of its own; '' if nobody asks.
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
  local had = redis.call('ZSCORE', senders, sender)
  if not had or tonumber(had) < tonumber(expires) then
    redis.call('ZADD', senders, expires, sender)
  end
end
return false
