-- A visit joins: it is matched at once if an agent who fits is ready, and
-- stands in its line otherwise. Joining twice does nothing.
--
-- ARGV: visit, node, epoch, call, group, score, joined, now
-- Returns nothing; a match is in the inbox of node.

local id, node, epoch, call, group, score, joined, now = unpack(ARGV)

if redis.call('SADD', P .. 'node:' .. node .. ':visits', id) == 0 then return false end

match_visit({
  id = id, node = node, epoch = epoch, call = call, group = group,
  score = score, joined = joined, without = '',
}, now)
send()
return false
