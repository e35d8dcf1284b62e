-- A talk is over: the agent goes to wrap-up, or is released at once.
-- Ending twice does nothing.
--
-- ARGV: visit, token, '1' if wrap-up is given, now
-- Returns 'wrapup', 'free', or 'stale' if there is no such talk.

local id, token, wrapup, now = unpack(ARGV)

local v = get_visit(id)
if not v or v.token ~= token then return 'stale' end
if v.state == 'wrapup' then return 'wrapup' end
if v.state ~= 'talking' then return 'stale' end

local a = get_agent(v.agent)
if wrapup == '1' and a.registered == '1' then
  v.state = 'wrapup'
  put_visit(v)
  change(a, 'wrapup', '', now, v)
  put_agent(a)
  send()
  return 'wrapup'
end
drop_visit(v)
release(a, now, now, v)
send()
return 'free'
