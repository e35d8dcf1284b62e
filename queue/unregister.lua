-- An agent's last phone is gone. He is offline at once, or, if he is being
-- rung or talks, when that is over. An agent whose session has moved to
-- another node is left alone. No registration from before will be taken.
--
-- ARGV: agent, node, now, step
-- Returns nothing, or 'late N'.

local id, node, now, step = unpack(ARGV)

local a = get_agent(id)
if not a or a.node ~= node then
  fence(node, step)
  return false
end
local refused = late(step, a.step)
if refused then return refused end
a.step = step

if a.state == 'offline' then
  put_agent(a)
  return false
elseif a.state == 'reserved' or a.state == 'talking' then
  a.registered = '0'
  put_agent(a)
  return false
end

local v
a.registered = '0'
if a.state == 'ready' then
  leave('ready', a.profile, id)
elseif a.state == 'wrapup' then
  v = get_visit(a.visit)
  drop_visit(v)
end
release(a, now, now, v)
send()
return false
