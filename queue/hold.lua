-- An agent is taken by name, past every line: he is to be rung for a call that
-- is handed on to him, or talks already. He must be ready or paused, or held by
-- the visit that ARGV names, or by a call of his own, which ends in the same step:
-- nobody else gets him in between. One who was paused is paused again afterwards. Asking twice gives
-- the same answer.
--
-- ARGV: visit, node, epoch, call, group, agent, '1' if he talks already, visit to end ('' for none), now, step
-- Returns the token, 'busy', 'unregistered', or 'late N'.

local id, node, epoch, call, group, agent, talks, from, now, step = unpack(ARGV)

local refused = late(step, fence_of(node))
if refused then return refused end
local v = get_visit(id)
if v then return v.token end

local a = get_agent(agent)
if not a or a.registered ~= '1' then return 'unregistered' end

local own = from ~= '' and get_visit(from)
if own and own.state == 'engaged' and own.agent == agent and a.visit == '' and a.state == 'talking' then
  drop_visit(own)
  detach(own)
elseif from ~= '' and a.visit == from and (a.state == 'reserved' or a.state == 'talking') then
  drop_visit(get_visit(from))
elseif a.state == 'ready' then
  leave('ready', a.profile, a.id)
elseif a.state == 'paused' then
  a.pause, a.idle = a.reason ~= '' and a.reason or 'paused', now
else
  return 'busy'
end

v = {
  id = id, node = node, epoch = epoch, call = call, group = group, score = now, joined = now,
  state = talks == '1' and 'talking' or 'held', agent = agent, token = epoch .. '.' .. stamp(), without = '', step = step,
}
redis.call('SADD', P .. 'node:' .. node .. ':visits', id)
a.visit, a.token = v.id, v.token
change(a, talks == '1' and 'talking' or 'reserved', '', now, v)
put_visit(v)
put_agent(a)
send()
return v.token
