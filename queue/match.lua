-- Prepended to every script after records.lua: the lines of those who wait,
-- the match, and what becomes of an agent who is free again.
--
-- A line is the sorted set SET:GROUP; SET itself is a sorted set of its
-- non-empty groups, each scored as its head. SET is 'waiting' (groups of
-- visits, scored joined - head start) or 'ready' (profiles of agents, scored
-- by when they became ready). The lowest score is first.

local CHUNK = 16 -- groups looked at in one go
local HEADS = 8  -- of a line looked at in one go

local function enter(set, group, id, score)
  redis.call('ZADD', P .. set .. ':' .. group, score, id)
  redis.call('ZADD', P .. set, 'LT', score, group)
end

-- Scores a group as its new head; without one the line is empty.
local function behead(set, group, score)
  if score then
    redis.call('ZADD', P .. set, score, group)
  else
    redis.call('ZREM', P .. set, group)
  end
end

local function leave(set, group, id)
  local line = P .. set .. ':' .. group
  redis.call('ZREM', line, id)
  behead(set, group, redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')[2])
end

-- '1' if the profile has every skill of the group's requirement.
local function meets(profile, group)
  local has = {}
  for skill, level in string.gmatch(profile, '([^:,]+):(%d+)') do
    has[skill] = tonumber(level)
  end
  for skill, level in string.gmatch(string.match(group, '[^|]*$'), '([^:,]+):(%d+)') do
    if (has[skill] or 0) < tonumber(level) then return '0' end
  end
  return '1'
end

-- Which of names fit, as a list of '1' and '0'; pair(name) gives profile and
-- group. What was worked out once is remembered in the hash "fits".
local function fitting(names, pair)
  if #names == 0 then return {} end
  local fields = {}
  for i, name in ipairs(names) do
    local profile, group = pair(name)
    fields[i] = profile .. US .. group
  end
  local known = redis.call('HMGET', P .. 'fits', unpack(fields))
  for i, name in ipairs(names) do
    if not known[i] then
      known[i] = meets(pair(name))
      redis.call('HSET', P .. 'fits', fields[i], known[i])
    end
  end
  return known
end

-- Gives the first of a line with a score below limit (nil for none) that has not
-- failed before, and the first that has, if one comes before it. load is as in
-- take. However many have failed, the line is looked through until one has not:
-- they are no more than the refusals of this agent, or of this visit.
local function first(set, group, load, limit)
  local line, stale, from = P .. set .. ':' .. group, nil, 0
  while true do
    local heads = redis.call('ZRANGE', line, from, from + HEADS - 1, 'WITHSCORES')
    for h = 1, #heads, 2 do
      local score = tonumber(heads[h + 1])
      if limit and score >= limit then return nil, stale end
      local record, failed = load(heads[h])
      local head = from == 0 and h == 1
      local found = { record = record, score = score, group = group, head = head, next = head and heads[4] }
      if not failed then return found, stale end
      stale = stale or found
    end
    if #heads < 2 * HEADS then return nil, stale end
    from = from + HEADS
  end
end

-- Takes the first that fits out of all lines of SET. load(id) gives the record
-- and whether this agent and this visit have failed each other before: such a
-- pair is taken only when there is no other, told by a second result of true.
local function take(set, pair, load)
  local best, again -- as first gives them
  local from, more = 0, true
  while more do
    local index = redis.call('ZRANGE', P .. set, from, from + CHUNK - 1, 'WITHSCORES')
    local names = {}
    for i = 1, #index, 2 do names[#names + 1] = index[i] end
    local fits = fitting(names, pair)
    for i, name in ipairs(names) do
      -- Groups come in the order of their heads: none from here on is better.
      if best and tonumber(index[2 * i]) >= best.score then
        more = false
        break
      end
      if fits[i] == '1' then
        local fresh, stale = first(set, name, load, best and best.score)
        best = fresh or best
        if stale and (not again or stale.score < again.score) then again = stale end
      end
    end
    more = more and #names == CHUNK
    from = from + CHUNK
  end
  local found = best or again
  if not found then return nil end
  redis.call('ZREM', P .. set .. ':' .. found.group, found.record.id)
  if found.head then behead(set, found.group, found.next) end
  return found.record, not best
end

local function failed(v, agent)
  return string.find(v.without, ',' .. agent .. ',', 1, true) ~= nil
end

-- Moves an agent to a state and tells the node that owns his session.
-- about is the visit he leaves or takes, nil if none.
local function change(a, to, reason, now, about)
  if a.state == to and a.reason == reason then return end
  tell(a.node, 'change', a.id, a.state, to, reason, now - a.since,
    about and about.id or '', about and about.group or '', stamp())
  a.state, a.reason, a.since = to, reason, now
end

-- Tells both nodes that an agent's session leaves the one for the other. Neither
-- is told of a visit: nothing ends by this, and how long he has been what he is
-- will be told by the node he went to.
local function move(a, node)
  redis.call('SREM', P .. 'node:' .. a.node .. ':agents', a.id)
  if a.state == 'offline' then return end
  tell(a.node, 'change', a.id, a.state, 'offline', '', 0, '', '', stamp())
  tell(node, 'change', a.id, 'offline', a.state, a.reason, 0, '', '', stamp())
end

local function offer(v, a, why, now)
  v.token = v.epoch .. '.' .. stamp()
  v.state, v.agent = 'offered', a.id
  a.visit, a.token = v.id, v.token
  change(a, 'reserved', '', now, v)
  put_visit(v)
  put_agent(a)
  tell(v.node, 'offer', v.id, a.id, v.token, why, now - a.idle, now - v.joined, stamp())
end

-- Rings the longest-ready agent for a visit that stands in no line, or puts it
-- in its line.
local function match_visit(v, now)
  local a, again = take('ready',
    function(profile) return profile, v.group end,
    function(id) return get_agent(id), failed(v, id) end)
  if a then
    offer(v, a, again and 'again' or 'agent', now)
    return
  end
  v.state, v.agent, v.token = 'waiting', '', ''
  put_visit(v)
  enter('waiting', v.group, v.id, v.score)
end

-- Gives a ready agent who stands in no line the first visit he fits, or puts
-- him in his line.
local function match_agent(a, now)
  local v, again = take('waiting',
    function(group) return a.profile, group end,
    function(id)
      local v = get_visit(id)
      return v, failed(v, a.id)
    end)
  if v then
    offer(v, a, again and 'again' or 'line', now)
    return
  end
  put_agent(a)
  enter('ready', a.profile, a.id, a.idle)
end

local function go_offline(a, now, about)
  change(a, 'offline', '', now, about)
  a.registered, a.pause, a.visit, a.token = '0', '', '', ''
  put_agent(a)
  redis.call('SREM', P .. 'node:' .. a.node .. ':agents', a.id)
end

local function go_paused(a, reason, now, about)
  change(a, 'paused', reason, now, about)
  a.pause, a.visit, a.token = '', '', ''
  put_agent(a)
end

-- since is his place among the ready: now, or an earlier time he gets back.
local function go_ready(a, since, now, about)
  change(a, 'ready', '', now, about)
  a.idle, a.pause, a.visit, a.token = since, '', '', ''
  match_agent(a, now)
end

-- What an agent becomes when a visit holds him no longer, or no call of his own.
local function release(a, since, now, about)
  if count('engaged', a.id) > 0 then
    change(a, 'talking', '', now, about)
    a.visit, a.token = '', ''
    put_agent(a)
  elseif a.registered ~= '1' then
    go_offline(a, now, about)
  elseif a.pause ~= '' then
    go_paused(a, a.pause, now, about)
  else
    go_ready(a, since, now, about)
  end
end
