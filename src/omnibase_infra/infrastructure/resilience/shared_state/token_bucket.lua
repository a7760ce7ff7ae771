-- The token bucket of rules/token_bucket.py, as one atomic step on the server's own clock.
--
-- KEYS[1]  the bucket: stamp, owed, depth, as doubles; it expires when it is full
-- ARGV[1]  cost, depth, slack, patience, unit, extra, as doubles: microseconds, but for extra, the tokens to take beside
-- Returns  "<granted> <wait> <extra tokens taken> <stamp> <owed>", wait and owed in nanoseconds
--
-- Packed doubles are exact, and they and whole numbers take a fraction of the time that decimal ones do; a status is
-- the reply that a client reads fastest.
--
-- What is kept is when the bucket was last looked at (whole microseconds since 1970, exact in a double until 2255) and
-- how long it was from full then. The second number stays small, so that a take is booked to 1e-16 of the depth, at any
-- date; and a clock that is set back delays nobody: the time owed then counts from the new now.

local cost, depth, slack, patience, unit, extra = struct.unpack('<dddddd', ARGV[1])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owed, changed = 0, false

local kept = redis.call('GET', KEYS[1])
if kept then
  local stamp, owed_then, depth_then = struct.unpack('<ddd', kept)
  local passed = now - stamp
  owed = math.max(0, owed_then - math.max(0, passed))
  changed = passed < 0
  -- After smaller limits, what the earlier ones still owe counts at most as an empty bucket.
  if depth < depth_then and owed > depth then
    owed, changed = depth, true
  end
end

local wait = owed + cost - depth
local granted = wait <= math.max(slack, patience)
local taken = 0
if granted and cost > 0 then
  owed, changed = owed + cost, true
  if extra > 0 then
    taken = math.max(0, math.min(extra, math.floor((depth + slack - owed) / unit)))
    owed = owed + taken * unit
  end
end

if changed then
  redis.call('SET', KEYS[1], struct.pack('<ddd', now, owed, depth), 'PX', math.max(1, math.ceil(owed / 1000)))
end
if wait <= slack then
  wait = 0
end
local reply = '%d %d %d %d %d'
return {ok = reply:format(granted and 1 or 0, math.ceil(wait * 1000), taken, now, owed * 1000 + 0.5)}
