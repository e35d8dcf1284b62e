-- Forgets one binding of a user, unless a later one has taken its place: whoever
-- removes what has expired may be too late.
--
-- ARGV: user, contact, expires
-- Returns nothing.

local user, contact, expires = unpack(ARGV)
local key = P .. 'bind:' .. user

local there = redis.call('HGET', key, contact)
if there and tonumber(string.match(there, '^%d+')) <= tonumber(expires) then
  redis.call('HDEL', key, contact)
end
return false
