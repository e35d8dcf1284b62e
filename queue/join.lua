-- A visit joins: it is matched at once if an agent who fits is ready, and
-- stands in its line otherwise. Joining twice does nothing; a join that comes
-- after its visit has left is refused.
--
-- ARGV: visit, node, epoch, call, group, score, joined, now, step
-- Returns nothing, or 'late N'; a match is in the inbox of node.

local id, node, epoch, call, group, score, joined, now, step = unpack(ARGV)

local refused = late(step, fence_of(node))
if refused then return refused end
if redis.call('SADD', P .. 'node:' .. node .. ':visits', id) == 0 then return false end

match_visit({
  id = id, node = node, epoch = epoch, call = call, group = group,
  score = score, joined = joined, without = '', step = step,
}, now)
send()
return false
