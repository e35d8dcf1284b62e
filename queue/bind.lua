-- Writes one binding of a user, and forgets those of his that have expired.
-- A binding is its expiry in milliseconds, a space, and the registrar's value.
--
-- ARGV: user, contact, expires, value, now
-- Returns nothing.

local user, contact, expires, value, now = unpack(ARGV)
local key = P .. 'bind:' .. user

redis.call('HSET', key, contact, expires .. ' ' .. value)
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%d+')) <= tonumber(now) then
    redis.call('HDEL', key, all[i])
  end
end
return false
