-- Prepended to every script: how a visit, an agent and a message are written.
--
-- KEYS[1] of every script is the domain's prefix, "bugle:{DOMAIN}:". Every key
-- is made from it, so all of them lie in the slot that KEYS[1] declares.
--
-- Visits and agents are one hash each, id -> record; a record is its fields
-- joined by US. Few keys, because the embedded Redis remembers every key name
-- it ever saw.

local P, US, RS = KEYS[1], '\31', '\30'

-- One number for all a script decides, counted over the whole domain.
local seq
local function stamp()
  seq = seq or redis.call('INCR', P .. 'seq')
  return seq
end

local VISIT = '^' .. string.rep('(.-)' .. US, 9) .. '(.*)$'

local function get_visit(id)
  local s = redis.call('HGET', P .. 'visits', id)
  if not s then return nil end
  local v = { id = id }
  v.node, v.epoch, v.call, v.group, v.score, v.joined,
    v.state, v.agent, v.token, v.without = string.match(s, VISIT)
  return v
end

local function put_visit(v)
  redis.call('HSET', P .. 'visits', v.id, table.concat({
    v.node, v.epoch, v.call, v.group, v.score, v.joined,
    v.state, v.agent, v.token, v.without }, US))
end

local function drop_visit(v)
  redis.call('HDEL', P .. 'visits', v.id)
  redis.call('SREM', P .. 'node:' .. v.node .. ':visits', v.id)
end

local AGENT = '^' .. string.rep('(.-)' .. US, 9) .. '(.*)$'

-- node owns the agent's session; registered is '0' once the phone is gone but
-- its talk is not; idle is his place among the ready; pause is the reason of a
-- pause that waits for the end of the talk.
local function get_agent(id)
  local s = redis.call('HGET', P .. 'agents', id)
  if not s then return nil end
  local a = { id = id }
  a.node, a.registered, a.profile, a.state, a.since, a.reason,
    a.idle, a.pause, a.visit, a.token = string.match(s, AGENT)
  return a
end

local function put_agent(a)
  redis.call('HSET', P .. 'agents', a.id, table.concat({
    a.node, a.registered, a.profile, a.state, a.since, a.reason,
    a.idle, a.pause, a.visit, a.token }, US))
end

-- Messages are gathered by node and sent in one entry each at the end.
local outbox = {}

local function tell(node, ...)
  local m = table.concat({ ... }, US)
  outbox[node] = outbox[node] and (outbox[node] .. RS .. m) or m
end

local function send()
  for node, messages in pairs(outbox) do
    redis.call('XADD', P .. 'node:' .. node .. ':inbox', '*', 'm', messages)
  end
end
