-- An agent's phone registered, for the first time or again. An offline agent
-- becomes paused, or ready if the site wants that; any other stays what he is.
-- His session belongs to the node he registered at last.
--
-- ARGV: agent, node, profile, '1' for ready at once, now
-- Returns nothing.

local id, node, profile, ready, now = unpack(ARGV)

local a = get_agent(id) or {
  id = id, node = node, registered = '0', profile = profile, state = 'offline',
  since = now, reason = '', idle = now, pause = '', visit = '', token = '',
}
local regroup = a.state == 'ready' and a.profile ~= profile
if a.state ~= 'offline' and a.registered == '1' and a.node == node and not regroup
    and a.profile == profile then
  return false
end

if regroup then leave('ready', a.profile, a.id) end
if a.node ~= node then
  redis.call('SREM', P .. 'node:' .. a.node .. ':agents', id)
end
redis.call('SADD', P .. 'node:' .. node .. ':agents', id)
a.node, a.registered, a.profile = node, '1', profile

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
