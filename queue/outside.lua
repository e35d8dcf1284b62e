-- An agent is about to call outside, or to send a caller there: it is counted, if
-- he may. The call counts as one of those at once until it leaves (leave.lua).
--
-- ARGV: id, node, epoch, call, agent, most in an hour, most at once, now, step
-- Returns 'ok', 'per_hour', 'at_once', or 'late N'.

local id, node, epoch, call, agent, per_hour, at_once, now, step = unpack(ARGV)
local HOUR = 3600000

local refused = late(step, fence_of(node))
if refused then return refused end
if redis.call('SISMEMBER', P .. 'node:' .. node .. ':visits', id) == 1 then return 'ok' end

local key = P .. 'hour:' .. agent
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - HOUR)
if count('outside', agent) >= tonumber(at_once) then return 'at_once' end
if redis.call('ZCARD', key) >= tonumber(per_hour) then return 'per_hour' end
redis.call('ZADD', key, now, id)
redis.call('PEXPIRE', key, 2 * HOUR) -- nothing in it counts by then
attach('outside', { id = id, node = node, epoch = epoch, call = call, agent = agent, joined = now, step = step })
return 'ok'
