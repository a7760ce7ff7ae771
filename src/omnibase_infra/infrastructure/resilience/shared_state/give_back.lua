-- Gives back what a caller took and did not use, if nobody has taken since: else it would move those behind.
--
-- KEYS[1]  the bucket
-- ARGV     cost and slack in microseconds, and what the take returned as stamp and owed
-- Returns  1 when it was given back

local cost, slack = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('GET', KEYS[1])
if not kept then
  return 0
end
local stamp, owed, depth = struct.unpack('<ddd', kept)
local taken_since = (stamp - tonumber(ARGV[3])) + (owed - ARGV[4] / 1000)
if math.abs(taken_since) > slack then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local left = owed - math.max(0, now - stamp) - cost
if left <= 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], struct.pack('<ddd', now, left, depth), 'PX', math.max(1, math.ceil(left / 1000)))
end
return 1
