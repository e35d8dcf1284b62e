-- A wrap-up is over, because the agent said so (any token) or because its
-- limit has passed (its own token).
--
-- ARGV: agent, token ('' for any), now
-- Returns 'ok', or 'stale' if the agent is not in that wrap-up.

local id, token, now = unpack(ARGV)

local a = get_agent(id)
if not a or a.state ~= 'wrapup' then return 'stale' end
if token ~= '' and a.token ~= token then return 'stale' end

local v = get_visit(a.visit)
drop_visit(v)
release(a, now, now, v)
send()
return 'ok'
