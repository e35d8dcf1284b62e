-- An agent asks for a pause. It begins at once (a wrap-up ends with it), or,
-- if he is being rung or talks, when he would be ready again.
--
-- ARGV: agent, reason, now
-- Returns 'ok', or 'unregistered'.

local id, reason, now = unpack(ARGV)

local a = get_agent(id)
if not a or a.registered ~= '1' then return 'unregistered' end

local pending = reason ~= '' and reason or 'paused' -- '' is no pause
if a.state == 'reserved' or a.state == 'talking' then
  a.pause = pending
  put_agent(a)
  return 'ok'
end

if a.state == 'wrapup' then
  local v = get_visit(a.visit)
  drop_visit(v)
  a.pause = pending
  release(a, now, now, v)
  send()
  return 'ok'
elseif a.state == 'ready' then
  leave('ready', a.profile, id)
elseif a.state == 'paused' then
  a.reason = reason -- the same pause, with another reason
end
go_paused(a, reason, now)
send()
return 'ok'
