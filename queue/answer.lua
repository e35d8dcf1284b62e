-- The agent's phone answered: the offer with this token, or what he is held for,
-- becomes a talk.
-- Asking twice gives the same answer.
--
-- ARGV: visit, token, now
-- Returns 'ok', or 'stale' if the token is no longer the visit's.

local id, token, now = unpack(ARGV)

local v = get_visit(id)
if not v or v.token ~= token then return 'stale' end
if v.state == 'talking' then return 'ok' end
if v.state ~= 'offered' and v.state ~= 'held' then return 'stale' end

local a = get_agent(v.agent)
v.state = 'talking'
put_visit(v)
change(a, 'talking', '', now, v)
put_agent(a)
send()
return 'ok'
