-- An agent has other skills than before. Whom he is rung for or talks with
-- stays as it is; a ready agent stands among his new equals, in his place, and
-- may fit somebody who waits. Nothing happens unless his session is this
-- node's.
--
-- ARGV: agent, node, profile, now, step
-- Returns nothing, or 'late N'.

local id, node, profile, now, step = unpack(ARGV)

local a = get_agent(id)
if not a or a.node ~= node then return false end
local refused = late(step, a.step)
if refused then return refused end

local regroup = a.state == 'ready' and a.profile ~= profile
if regroup then leave('ready', a.profile, id) end
a.profile, a.step = profile, step
if regroup then
  match_agent(a, now)
else
  put_agent(a)
end
send()
return false
