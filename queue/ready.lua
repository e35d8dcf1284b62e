-- An agent asks to be ready. A wrap-up ends with it, a pause that waits for
-- the end of a talk is forgotten.
--
-- ARGV: agent, now
-- Returns 'ok', or 'unregistered'.

local id, now = unpack(ARGV)

local a = get_agent(id)
if not a or a.registered ~= '1' then return 'unregistered' end

a.pause = ''
if a.state == 'paused' then
  go_ready(a, now, now)
elseif a.state == 'wrapup' then
  local v = get_visit(a.visit)
  drop_visit(v)
  release(a, now, now, v)
elseif a.state ~= 'ready' then
  put_agent(a)
end
send()
return 'ok'
