-- An agent's phone registered, for the first time or again. An offline agent
-- becomes paused, or ready if the site wants that; any other stays what he is.
-- His session belongs to the node he registered at last; if it moves, the node
-- he leaves is told that he is offline, and the new one what he is.
--
-- ARGV: agent, node, profile, '1' for ready at once, now, step
-- Returns nothing, or 'late N'.

local id, node, profile, ready, now, step = unpack(ARGV)

local a = get_agent(id) or {
  id = id, node = node, registered = '0', profile = profile, state = 'offline',
  since = now, reason = '', idle = now, pause = '', visit = '', token = '', step = '0',
}
local refused = late(step, fence_of(node)) or a.node == node and late(step, a.step)
if refused then return refused end

local regroup = a.state == 'ready' and a.profile ~= profile
if regroup then leave('ready', a.profile, a.id) end
if a.node ~= node then move(a, node) end
redis.call('SADD', P .. 'node:' .. node .. ':agents', id)
a.node, a.registered, a.profile, a.step = node, '1', profile, step

if a.state == 'offline' and ready == '1' then
  go_ready(a, now, now)
elseif a.state == 'offline' then
  go_paused(a, 'registered', now)
elseif regroup then
  match_agent(a, now)
else
  put_agent(a)
end
send()
return false
