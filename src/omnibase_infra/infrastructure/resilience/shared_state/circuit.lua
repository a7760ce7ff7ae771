-- The circuit that all workers share: one step of it, atomic, by the server's clock.
-- It is the machine of rules/circuit.py with two things more: a trip counts once enough workers report it, and a probe
-- holds a lease that expires with its holder. `state`, the counters and `opened_at` are pybreaker's own keys and values.

local state_key, failures_key, successes_key, opened_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local own_key, reports_key, leases_key = KEYS[5], KEYS[6], KEYS[7]
local list_key = KEYS[8]  -- of the circuits of one breaker with keys; others have none
local step, worker, token = ARGV[1], ARGV[2], ARGV[3]
local recovery, hold = tonumber(ARGV[4]), tonumber(ARGV[5])
local quorum, needed, places = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local lease, expiry, failures = tonumber(ARGV[9]), ARGV[10], ARGV[11]
local channel, name = ARGV[12], ARGV[13]

local now = tonumber(ARGV[14])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Changes nothing once it is known, but a store that is full or a replica refuses it: so every poll finds that out, not
-- only a trip. A circuit of its own is known from then on, for people to see and trip; one of many keys once it opens.
if list_key then
  redis.call('SETRANGE', state_key, 0, '')
else
  redis.call('SET', state_key, 'closed', 'PX', expiry, 'NX')
end

local state = redis.call('GET', state_key) or 'closed'
redis.call('ZREMRANGEBYSCORE', reports_key, '-inf', now)
redis.call('ZREMRANGEBYSCORE', leases_key, '-inf', now)

-- When, and for how long, the circuit opened. A time that is not ours was written by pybreaker, in whole seconds and
-- without a recovery time: then the asking worker's own counts.
local opened = (tonumber(redis.call('GET', opened_key)) or 0) * 1000
local own = redis.call('HMGET', own_key, 'opened', 'recovery', 'hold')
if own[1] and math.floor(own[1] / 1000) * 1000 == opened then
  opened = tonumber(own[1])
  own = { recovery = tonumber(own[2]), hold = tonumber(own[3]) }
else
  own = { recovery = recovery, hold = recovery }
end

local function set(key, value)
  redis.call('SET', key, value, 'PX', expiry)
end

local function tell()
  redis.call('PUBLISH', channel, name)
end

local function open()
  state, opened, own = 'open', now, { recovery = recovery, hold = hold }
  set(state_key, state)
  set(opened_key, string.format('%d', math.floor(now / 1000)))
  set(failures_key, failures)
  set(successes_key, '0')
  redis.call('HSET', own_key, 'opened', string.format('%d', now), 'recovery', recovery, 'hold', hold)
  redis.call('PEXPIRE', own_key, expiry)
  redis.call('DEL', reports_key, leases_key)
  tell()
end

local function close()
  state = 'closed'
  set(state_key, state)
  set(failures_key, '0')
  set(successes_key, '0')
  redis.call('HDEL', own_key, 'opened', 'recovery', 'hold')
  redis.call('DEL', reports_key, leases_key)
  tell()
end

local function report()
  redis.call('ZADD', reports_key, now + math.max(hold, lease), worker)
  redis.call('PEXPIRE', reports_key, expiry)
  if redis.call('ZCARD', reports_key) >= quorum then
    open()
  end
end

local granted, wait = 0, 0
if step == 'report' then
  if state == 'closed' then
    report()
  end
elseif step == 'withdraw' then
  redis.call('ZREM', reports_key, worker)
elseif step == 'trip' then
  open()
elseif step == 'reset' then
  close()
  redis.call('HINCRBY', own_key, 'resets', 1)
  redis.call('PEXPIRE', own_key, expiry)
elseif step == 'ask' then
  if state == 'open' and now >= opened + own.hold then
    state = 'half-open'
    set(state_key, state)
    set(successes_key, '0')
    redis.call('DEL', reports_key, leases_key)
  end
  if state == 'half-open' then
    if redis.call('ZCARD', leases_key) < places then
      redis.call('ZADD', leases_key, now + lease, token)
      redis.call('PEXPIRE', leases_key, expiry)
      granted = 1
    else
      wait = redis.call('ZRANGE', leases_key, 0, 0, 'WITHSCORES')[2] - now
    end
  end
elseif step == 'renew' then
  redis.call('ZADD', leases_key, 'XX', now + lease, token)
elseif redis.call('ZREM', leases_key, token) == 1 and state == 'half-open' then
  -- The end of a probe; one whose lease has gone is of an earlier state and changes nothing.
  if step == 'success' then
    if redis.call('INCR', successes_key) >= needed then
      close()
    end
  elseif step == 'failure' then
    report()
  end
end

if list_key then
  if state == 'closed' then
    redis.call('ZREM', list_key, name)
  elseif redis.call('ZADD', list_key, 'CH', opened, name) == 1 then
    redis.call('PEXPIRE', list_key, expiry)
  end
end

local left = 0
if state == 'open' then
  left = math.max(0, opened + own.hold - now)
end
return {
  state, tostring(opened), tostring(left), tostring(own.recovery), granted, tostring(wait),
  redis.call('ZCARD', reports_key), redis.call('ZCARD', leases_key), redis.call('HGET', own_key, 'resets') or '0',
}
