-- The queue's fair shares, each step whole. Called by `queue.py` only; docs/design.md, "The queue", says why it is so.
--
-- KEYS: P, what all lanes have in common, and the front F of the lane this is about (`keys.lane`). A front holds at most the one task
-- that a worker may take next, with BZPOPMIN. Of each lane F, its line stands behind it, in keys made here:
--   F:waiting    hash: task → its user           F:line:USER    sorted set: the user's tasks, in their own order
--   F:groups     sorted set: organisations that wait, by virtual time; F:users:GROUP the same for the users of one
--   F:times      hash: virtual times to go on from; gone once nobody waits
--   F:first      hash: whose task stands at the front, and its place in that user's order
-- and of all: P:lanes set of the lanes in which anybody waits; P:shares hash: user → JSON share; P:odd:users and P:odd:groups hashes: the weights in them that are not 1, by name;
-- P:held hash: task → [group, user], of tasks that count against a cap; P:running:X set of them.
-- A user without an organisation is a group of its own, "~USER".
-- ARGV: what to do, and what that needs.

local P, F, SCAN = KEYS[1], KEYS[2], 64
local NEAR = 1e-9 -- sums of weights that differ by less are equal
local act = ARGV[1]

local function share(user)
  local said = redis.call('HGET', P .. ':shares', user)
  return said and cjson.decode(said) or {group = '~' .. user, weight = 1, cap = 0, group_weight = 1, group_cap = 0}
end

local function set_share(user, said)
  redis.call('HSET', P .. ':shares', user, said)
  local s = cjson.decode(said)
  for key, known in pairs({users = {user, s.weight}, groups = {s.group, s.group_weight}}) do
    local name, weight = unpack(known)
    if weight == 1 then redis.call('HDEL', P .. ':odd:' .. key, name) else redis.call('HSET', P .. ':odd:' .. key, name, weight) end
  end
end

local function time(F, name) return tonumber(redis.call('HGET', F .. ':times', name) or '0') end

-- Into a ring, unless there: not before the present, nor before what was had already.
local function join(F, ring, name, mine, now)
  if not redis.call('ZSCORE', ring, name) then
    redis.call('ZADD', ring, string.format('%.17g', math.max(time(F, mine), time(F, now))), name)
  end
end

-- One start is charged to a member of a ring; it stays there if it still waits.
local function charge(F, ring, name, weight, mine, now, waits)
  local start = math.max(tonumber(redis.call('ZSCORE', ring, name)), time(F, now))
  local after = string.format('%.17g', start + 1 / weight)
  redis.call('HSET', F .. ':times', now, string.format('%.17g', start))
  if waits then redis.call('ZADD', ring, after, name) else redis.call('ZREM', ring, name); redis.call('HSET', F .. ':times', mine, after) end
end

local function hold(task, group, user)
  redis.call('HSET', P .. ':held', task, cjson.encode({group, user}))
  redis.call('SADD', P .. ':running:user:' .. user, task)
  redis.call('SADD', P .. ':running:group:' .. group, task)
end

local function release(task)
  local held = redis.call('HGET', P .. ':held', task)
  if not held then return end
  local group, user = unpack(cjson.decode(held))
  redis.call('HDEL', P .. ':held', task)
  redis.call('SREM', P .. ':running:user:' .. user, task)
  redis.call('SREM', P .. ':running:group:' .. group, task)
end

local function full(name, cap) return cap > 0 and redis.call('SCARD', P .. ':running:' .. name) >= cap end

-- A ring's members in their order. Most often the first will do, so they are fetched a few at a time.
local function members(ring)
  local page, at, n = nil, 0, SCAN
  return function()
    if n == SCAN then page, n = redis.call('ZRANGE', ring, at, at + SCAN - 1), 0; at = at + SCAN end
    n = n + 1
    return page[n]
  end
end

-- Whose turn it is, of those who may have one more.
local function turn(F)
  for group in members(F .. ':groups') do
    for user in members(F .. ':users:' .. group) do
      local s = share(user)
      if full('group:' .. group, s.group_cap) then break end
      if not full('user:' .. user, s.cap) then return group, user, s end
    end
  end
end

-- Leaves the rings once nobody waits in them.
local function leave(F, group, user, s, paid)
  local waits = redis.call('EXISTS', F .. ':line:' .. user) == 1
  local users = F .. ':users:' .. group
  if paid then charge(F, users, user, s.weight, 'u:' .. user, 'now:' .. group, waits)
  elseif not waits then redis.call('ZREM', users, user) end
  local others = redis.call('EXISTS', users) == 1
  if paid then charge(F, F .. ':groups', group, s.group_weight, 'g:' .. group, 'now', others)
  elseif not others then redis.call('ZREM', F .. ':groups', group) end
  if redis.call('EXISTS', F .. ':groups') == 0 then redis.call('DEL', F .. ':times') end
end

-- The next task of whose turn it is: task, its score, group, user, share. Who has gone (to another organisation, say) leaves.
local function take(F)
  while true do
    local group, user, s = turn(F)
    if not group then return end
    local popped = redis.call('ZPOPMIN', F .. ':line:' .. user)
    if popped[1] then return popped[1], popped[2], group, user, s end
    leave(F, group, user, s)
  end
end

-- From the line to the front, if that is empty. A front's score: 4 × the milliseconds it was enqueued at, + 2 if it counts against
-- a cap, + 1 if more wait behind it, so that whoever takes it knows, without asking, whether to come back here.
local function promote(F)
  local first = redis.call('ZRANGE', F, 0, 0, 'WITHSCORES')
  local more = redis.call('EXISTS', F .. ':groups')
  if first[1] then
    if more == 1 and first[2] % 2 == 0 then redis.call('ZADD', F, string.format('%.17g', first[2] + 1), first[1]) end
    return
  end
  local task, score, group, user, s = take(F)
  if not task then return end
  redis.call('HDEL', F .. ':waiting', task)
  leave(F, group, user, s, true)
  local capped = 0
  if s.cap > 0 or s.group_cap > 0 then
    capped = 2
    hold(task, group, user)
  end
  local flags = capped + redis.call('EXISTS', F .. ':groups')
  redis.call('ZADD', F, string.format('%.17g', 4 * math.floor(score % 1e13) + flags), task)
  redis.call('HSET', F .. ':first', 'task', task, 'user', user, 'score', score)
end

-- A task that goes before the one at the front, both the same user's, takes its place: the turn is the user's, not the task's.
local function overtake(F, user, task, score)
  local first = redis.call('ZRANGE', F, 0, 0, 'WITHSCORES')
  local known = redis.call('HMGET', F .. ':first', 'task', 'user', 'score')
  if not first[1] or known[1] ~= first[1] or known[2] ~= user or tonumber(known[3]) <= tonumber(score) then return end
  redis.call('ZREM', F, first[1])
  redis.call('ZADD', F .. ':line:' .. user, known[3], first[1])
  redis.call('HSET', F .. ':waiting', first[1], user)
  redis.call('ZREM', F .. ':line:' .. user, task)
  redis.call('HDEL', F .. ':waiting', task)
  if redis.call('HEXISTS', P .. ':held', first[1]) == 1 then release(first[1]); hold(task, share(user).group, user) end
  redis.call('ZADD', F, string.format('%.17g', 4 * math.floor(score % 1e13) + first[2] % 4), task)
  redis.call('HSET', F .. ':first', 'task', task, 'score', score)
end

local function add(F, user, task, score)
  if redis.call('HEXISTS', F .. ':waiting', task) == 1 or redis.call('ZSCORE', F, task) then return end
  local group = share(user).group
  redis.call('ZADD', F .. ':line:' .. user, score, task)
  redis.call('HSET', F .. ':waiting', task, user)
  join(F, F .. ':users:' .. group, user, 'u:' .. user, 'now:' .. group)
  join(F, F .. ':groups', group, 'g:' .. group, 'now')
  overtake(F, user, task, score)
end

-- The weights that are not 1, by name: few, so that a look at a thousand users is one question and not a thousand.
local function odd(key)
  local weights, flat = {}, redis.call('HGETALL', P .. ':odd:' .. key)
  for i = 1, #flat, 2 do weights[flat[i]] = tonumber(flat[i + 1]) end
  return weights
end

-- A virtual time as a bound of a ring; `but`: without it.
local function bound(at) return string.format('%.17g', at) end
local function but(at) return '(' .. bound(at) end

-- How many of a ring start before virtual time `at`; `own` is not counted. Who starts once by then is counted and not looked at. Those with
-- time for a second start need a task for it: of more than SCAN, every second, third, … is looked at and stands for the others. So a
-- thousand users cost what ten do; only the position of a task that is far behind many users is an estimate then.
local function before(ring, own, at, weights, count_of)
  local once, tie = at - 1 + NEAR, at - NEAR -- a weight of 1 starts once between these, and not twice
  local function starts(name, score)
    local ahead = (at - score) * (weights[name] or 1)
    local n = math.ceil(ahead - NEAR)
    if math.abs(ahead - n) < NEAR and name < own then n = n + 1 end
    return n > 1 and math.min(n, count_of(name, n)) or n
  end
  local early, looked, found = redis.call('ZCOUNT', ring, '-inf', bound(once)), 0, 0
  for i = 0, early - 1, math.max(1, math.ceil(early / SCAN)) do
    local name, score = unpack(redis.call('ZRANGE', ring, i, i, 'WITHSCORES'))
    looked = looked + 1
    if name ~= own then found = found + starts(name, tonumber(score)) end
  end
  local sum = redis.call('ZCOUNT', ring, but(once), but(tie)) + math.floor(found * early / math.max(looked, 1) + 0.5)
  local mine = tonumber(redis.call('ZSCORE', ring, own) or '-inf')
  if mine > once and mine < tie then sum = sum - 1 end
  for name in pairs(weights) do
    local score = tonumber(name ~= own and redis.call('ZSCORE', ring, name) or '-inf')
    if score > once and score < tie then sum = sum - 1 + starts(name, score) end
  end
  if mine >= tie and mine <= at then return sum + redis.call('ZRANK', ring, own) - redis.call('ZCOUNT', ring, '-inf', but(tie)) end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ring, bound(tie), bound(at))) do -- ties go by name, as in the ring itself
    if name < own then sum = sum + 1 end
  end
  return sum
end

-- 1 for what starts next in its lane; false for what does not wait.
local function place(F, task)
  if redis.call('ZSCORE', F, task) then return 1 end
  local user = redis.call('HGET', F .. ':waiting', task)
  if not user then return false end
  local s = share(user)
  local group = s.group
  local users, groups = F .. ':users:' .. group, F .. ':groups'
  local function length(name) return redis.call('ZCARD', F .. ':line:' .. name) end
  local function all_of(name, enough)
    if name:sub(1, 1) == '~' then return length(name:sub(2)) end
    local sum = 0
    for one in members(F .. ':users:' .. name) do
      if sum < enough then sum = sum + length(one) else break end
    end
    return sum
  end
  local mine = redis.call('ZRANK', F .. ':line:' .. user, task)
  local at = math.max(tonumber(redis.call('ZSCORE', users, user) or '0'), time(F, 'now:' .. group)) + mine / s.weight
  local within = mine + before(users, user, at, odd('users'), length)
  at = math.max(tonumber(redis.call('ZSCORE', groups, group) or '0'), time(F, 'now')) + within / s.group_weight
  return redis.call('ZCARD', F) + within + before(groups, group, at, odd('groups'), all_of) + 1
end

-- The front of each lane is filled where it is empty; a lane in which nobody waits is forgotten.
local function fill_all()
  for _, each in ipairs(redis.call('SMEMBERS', P .. ':lanes')) do
    promote(each)
    if redis.call('EXISTS', each, each .. ':groups') == 0 then redis.call('SREM', P .. ':lanes', each) end
  end
end

if act == 'add' then -- user, share or '', then task, score, …
  local user = ARGV[2]
  if ARGV[3] ~= '' then set_share(user, ARGV[3]) end
  redis.call('SADD', P .. ':lanes', F)
  for i = 4, #ARGV, 2 do add(F, user, ARGV[i], ARGV[i + 1]) end
  promote(F)
  return #ARGV == 5 and place(F, ARGV[4])
elseif act == 'next' then
  promote(F)
elseif act == 'fill' then
  fill_all()
elseif act == 'place' then -- task
  return {place(F, ARGV[2]), redis.call('ZCARD', F) + redis.call('HLEN', F .. ':waiting')}
elseif act == 'shares' then -- user, share, … as they are now; who is in another organisation by now moves with the next task
  for i = 2, #ARGV, 2 do
    local user, said = ARGV[i], ARGV[i + 1]
    local changed = redis.call('HGET', P .. ':shares', user) ~= said -- most often not, and this is asked every second
    if changed and share(user).group == cjson.decode(said).group then set_share(user, said) end
  end
  fill_all()
elseif act == 'hold' then -- user, share, tasks that run and count
  local user = ARGV[2]
  set_share(user, ARGV[3])
  for i = 4, #ARGV do hold(ARGV[i], share(user).group, user) end
else -- 'remove' from wherever it waits, 'release' what counted against a cap: tasks
  local done, lanes = 0, act == 'remove' and redis.call('SMEMBERS', P .. ':lanes') or {}
  for i = 2, #ARGV do
    local task = ARGV[i]
    for _, each in ipairs(lanes) do
      local user = redis.call('HGET', each .. ':waiting', task)
      if user then
        redis.call('ZREM', each .. ':line:' .. user, task)
        redis.call('HDEL', each .. ':waiting', task)
        leave(each, share(user).group, user)
        done = done + 1
      end
      done = done + redis.call('ZREM', each, task)
    end
    release(task)
  end
  fill_all()
  return done
end
