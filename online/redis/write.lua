-- Stores a row in the hash KEYS[1] unless a newer one, or one of the same time, is there.
--
-- ARGV: seconds and nanoseconds of the row's event time; seconds that the key lives, or 0; 1 when the row may have been
-- stored by an attempt before, else 0; then fields and values, beginning with the field of the event time and the time as
-- a google.protobuf.Timestamp.
--
-- Answers 1 for a row that is stored, 0 for one that is not, and the stored event time where that is not in the plain
-- form: the caller decides then. Seconds and nanoseconds are compared apart, since a number here is a double.
local stored = redis.pcall('HGET', KEYS[1], ARGV[5])
if type(stored) == 'table' then return stored end
if stored and stored ~= '' then
  local at, time = 1, {0, 0}
  for field = 1, 2 do
    if string.byte(stored, at) == field * 8 then
      local value, unit, size, byte = 0, 1, 0
      repeat
        at, size = at + 1, size + 1
        byte = string.byte(stored, at)
        if not byte or size > 10 then return stored end
        value, unit = value + byte % 128 * unit, unit * 128
      until byte < 128
      at = at + 1
      if size == 10 and field == 1 and byte == 1 then
        value = -1 -- any time before 1970 is alike
      elseif size > 7 then
        return stored
      end
      time[field] = value
    end
  end
  if at <= #stored or time[2] > 999999999 then return stored end
  if time[1] > 0 or time[1] == 0 and time[2] > 0 then -- 1970 and before is no time
    local seconds, nanos = tonumber(ARGV[1]), tonumber(ARGV[2])
    if seconds == time[1] and nanos == time[2] and ARGV[4] == '1' then
      for i = 7, #ARGV, 2 do
        if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then return 0 end
      end
      return 1
    end
    if seconds < time[1] or seconds == time[1] and nanos <= time[2] then return 0 end
  end
end
local unpack = table.unpack or unpack -- in Lua 5.4, which Dragonfly has, and in 5.1
for i = 5, #ARGV, 4000 do -- no more than about 8000 can be unpacked
  local done = redis.pcall('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 3999, #ARGV)))
  if type(done) == 'table' then return done end
end
if ARGV[3] ~= '0' then
  local done = redis.pcall('EXPIRE', KEYS[1], ARGV[3])
  if type(done) == 'table' then return redis.error_reply('NOEXPIRE ' .. done.err) end
end
return 1
