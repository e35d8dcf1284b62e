-- The agent did not take the offer: he is paused with the reason given, or
-- with his own if he asked for a pause meanwhile, or with no reason is ready
-- again behind the others; and the visit is matched anew or is back in its
-- place in line. A talk may be refused too: its answer
-- was recorded, but whoever asked for it never heard so.
--
-- ARGV: visit, token, reason, now
-- Returns 'ok', or 'stale' if the token is no longer the visit's.

local id, token, reason, now = unpack(ARGV)

local v = get_visit(id)
if not v or v.token ~= token then return 'stale' end
if v.state ~= 'offered' and v.state ~= 'talking' then return 'stale' end

local a = get_agent(v.agent)
if a.pause == '' then a.pause = reason end
release(a, now, now, v)

if not failed(v, a.id) then
  v.without = (v.without == '' and ',' or v.without) .. a.id .. ','
end
match_visit(v, now)
send()
return 'ok'
