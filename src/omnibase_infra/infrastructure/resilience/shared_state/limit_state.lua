-- What one key of a rate limit holds now, by the server's own clock; changes nothing.
--
-- KEYS    the key, and for a sliding window that of the window before
-- ARGV    "bucket", or the calls and the seconds of a window of `limits`
-- Returns for a bucket what is owed and its depth, for a window the calls in it, the time until it moves on, and
--         "list" for one that keeps the time of every call; times in microseconds, all as text

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kind = redis.call('TYPE', KEYS[1]).ok

if ARGV[1] == 'bucket' then
  local kept = kind == 'string' and redis.call('GET', KEYS[1])
  if not kept or #kept < 24 then
    return false
  end
  local stamp, owed, depth = struct.unpack('<ddd', kept)
  return { tostring(math.max(0, owed - math.max(0, now - stamp))), tostring(depth) }
end

local calls, seconds = tonumber(ARGV[1]), tonumber(ARGV[2])
if kind == 'list' then
  local taken, oldest = 0, now
  for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, calls - 1)) do
    local at = entry * 1000000
    if at > now - seconds * 1000000 then
      taken, oldest = taken + 1, at
    end
  end
  return { tostring(taken), tostring(taken > 0 and oldest + seconds * 1000000 - now or 0), kind }
end
local taken, left = tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('PTTL', KEYS[1])
if #KEYS == 1 then
  return { tostring(taken), tostring(math.max(0, left) * 1000) }
end
-- A window of `limits` that slides lives twice its length: once as the current one, once as the one before.
local before, fading = tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('PTTL', KEYS[2])
if left < seconds * 1000 then
  before, fading, taken = taken, left, 0
end
local weight = math.max(0, fading) / (seconds * 1000)
return { tostring(taken + before * weight), tostring(math.max(0, math.max(left - seconds * 1000, fading)) * 1000) }
