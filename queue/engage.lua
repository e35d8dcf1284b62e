-- An agent makes a call himself. However many he makes, and whatever else becomes
-- of him, he is neither ready nor paused nor offline before the last of them leaves
-- (leave.lua); then he is what he was, or has asked to be meanwhile. Who is rung,
-- talks or wraps up goes on with it. Asking twice does nothing.
--
-- ARGV: id, node, epoch, call, agent, now, step
-- Returns 'ok', 'unregistered', or 'late N'.

local id, node, epoch, call, agent, now, step = unpack(ARGV)

local refused = late(step, fence_of(node))
if refused then return refused end
if redis.call('SISMEMBER', P .. 'node:' .. node .. ':visits', id) == 1 then return 'ok' end
local a = get_agent(agent)
if not a or a.registered ~= '1' then return 'unregistered' end

attach('engaged', { id = id, node = node, epoch = epoch, call = call, agent = agent, joined = now, step = step })
if a.state == 'ready' then
  leave('ready', a.profile, agent)
elseif a.state == 'paused' then
  a.pause, a.idle = a.reason ~= '' and a.reason or 'paused', now
else
  return 'ok'
end
change(a, 'talking', '', now)
put_agent(a)
send()
return 'ok'
