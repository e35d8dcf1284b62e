-- A visit leaves, in whatever state it is, and the agent it held is released:
-- one who was being rung gets his place among the ready back, one who was
-- talking or in wrap-up is free, or paused if ARGV[2] gives a reason.
-- An agent's own call leaves too (engage.lua, outside.lua): he is released if nothing
-- else holds him.
-- A visit that is gone already is no error; one whose join is still under way
-- will not come to be.
--
-- ARGV: visit, reason to pause an agent who was talking ('' for none), now, node, step
-- Returns the state the visit was in, '' if it was gone.

local id, interrupted, now, node, step = unpack(ARGV)

local v = get_visit(id)
if not v then
  fence(node, step)
  return ''
end

drop_visit(v)
if v.state == 'waiting' then
  leave('waiting', v.group, v.id)
  return v.state
end

local a = get_agent(v.agent)
if v.state == 'engaged' or v.state == 'outside' then
  detach(v)
  if v.state == 'engaged' and a.visit == '' and count('engaged', a.id) == 0 then
    if a.pause == '' then a.pause = interrupted end
    release(a, now, now)
    send()
  end
  return v.state
end
if v.state == 'talking' and a.pause == '' then a.pause = interrupted end
release(a, (v.state == 'offered' or v.state == 'held') and a.idle or now, now, v)
send()
return v.state
