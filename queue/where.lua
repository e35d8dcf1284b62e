-- Where an agent's call is that another node conducts: the one he talks in, or else
-- the first of those he makes himself.
--
-- ARGV: agent, node
-- Returns the address that node announces, or nothing.

local agent, node = unpack(ARGV)

local a = get_agent(agent)
local v = a and a.visit ~= '' and get_visit(a.visit)
if not v or v.state ~= 'talking' then
  local own = string.match(redis.call('HGET', P .. 'engaged', agent) or '', '^,([^,]+)')
  v = own and get_visit(own)
end
return v and v.node ~= node and redis.call('GET', P .. 'node:' .. v.node .. ':address')
