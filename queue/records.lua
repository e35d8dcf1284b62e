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

-- A node numbers the steps that make something of its own or take it away (see
-- order.go). A visit's record keeps the number of its join, an agent's that of
-- the last step about his session; the node's fence stands for what has no
-- record of this node any more. What is no later than that is refused.
local function fence(node, number)
  redis.call('ZADD', P .. 'fences', 'GT', number, node)
end

local function fence_of(node) return redis.call('ZSCORE', P .. 'fences', node) end

-- The word that refuses a step unless it is later than another; nil if it is.
local function late(number, than)
  return than and tonumber(number) <= tonumber(than) and 'late ' .. than or nil
end

local VISIT = '^' .. string.rep('(.-)' .. US, 10) .. '(.*)$'

local function get_visit(id)
  local s = redis.call('HGET', P .. 'visits', id)
  if not s then return nil end
  local v = { id = id }
  v.node, v.epoch, v.call, v.group, v.score, v.joined,
    v.state, v.agent, v.token, v.without, v.step = string.match(s, VISIT)
  return v
end

local function put_visit(v)
  redis.call('HSET', P .. 'visits', v.id, table.concat({
    v.node, v.epoch, v.call, v.group, v.score, v.joined,
    v.state, v.agent, v.token, v.without, v.step }, US))
end

local function drop_visit(v)
  redis.call('HDEL', P .. 'visits', v.id)
  redis.call('SREM', P .. 'node:' .. v.node .. ':visits', v.id)
  fence(v.node, v.step)
end

local AGENT = '^' .. string.rep('(.-)' .. US, 10) .. '(.*)$'

-- node owns the agent's session; registered is '0' once the phone is gone but
-- its talk is not; idle is his place among the ready; pause is the reason of a
-- pause that waits for the end of the talk.
local function get_agent(id)
  local s = redis.call('HGET', P .. 'agents', id)
  if not s then return nil end
  local a = { id = id }
  a.node, a.registered, a.profile, a.state, a.since, a.reason,
    a.idle, a.pause, a.visit, a.token, a.step = string.match(s, AGENT)
  return a
end

local function put_agent(a)
  redis.call('HSET', P .. 'agents', a.id, table.concat({
    a.node, a.registered, a.profile, a.state, a.since, a.reason,
    a.idle, a.pause, a.visit, a.token, a.step }, US))
end

-- An agent's own call is 'engaged' or 'outside': its record is among the visits, so
-- that it ends with its node as they do, and KIND is a hash of agent -> ids. He is
-- engaged by calls he makes (engage.lua), and has calls outside (outside.lua).
local function attach(kind, v)
  v.group, v.score, v.token, v.without, v.state = '', 0, '', '', kind
  redis.call('SADD', P .. 'node:' .. v.node .. ':visits', v.id)
  put_visit(v)
  local ids = redis.call('HGET', P .. kind, v.agent) or ','
  redis.call('HSET', P .. kind, v.agent, ids .. v.id .. ',')
end

local function detach(v)
  local ids = redis.call('HGET', P .. v.state, v.agent)
  local from, to = string.find(ids, ',' .. v.id .. ',', 1, true)
  ids = string.sub(ids, 1, from) .. string.sub(ids, to + 1)
  if ids == ',' then
    redis.call('HDEL', P .. v.state, v.agent)
  else
    redis.call('HSET', P .. v.state, v.agent, ids)
  end
end

-- How many calls of a kind an agent has.
local function count(kind, agent)
  local _, commas = string.gsub(redis.call('HGET', P .. kind, agent) or ',', ',', '')
  return commas - 1
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
