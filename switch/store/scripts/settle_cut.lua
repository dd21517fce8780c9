-- settle_cut.lua  Fix the ranges of an open window and open the next, in one step.
-- KEYS    epoch offsets digests opened filling announce moves window next
-- ARGV    arrangement number time_ms cut_by first_digest (partition end)*
-- RETURN  1 cut | 0 it is not open any more, or was never there
-- A partition is cut at the end that was asked for, or where the settler is when that is further: what it has put into
-- this window stays there. The epoch counts cuts: a chunk parted by older cuts is not applied after this.
local call = redis.call
local window, next_window = KEYS[8], KEYS[9]
local arrangement, number = ARGV[1], ARGV[2]
if call('HGET', window, 'state') ~= 'O' then return 0 end

local function announce(key, name)
  local sequence = call('HINCRBY', KEYS[7], arrangement, 1)
  call('XADD', KEYS[6], '*', 'a', name, 'q', sequence, 't', ARGV[3], 'w', cmsgpack.pack(call('HGETALL', key)))
end

local left = 0
for i = 6, #ARGV, 2 do
  local partition, ends = ARGV[i], tonumber(ARGV[i + 1])
  local at = tonumber(call('HGET', KEYS[2], partition) or '0')
  local to = string.format('%.0f', math.max(ends, at))
  call('HSETNX', window, 'f:' .. partition, '0')
  call('HSET', window, 't:' .. partition, to)
  call('HSET', next_window, 'f:' .. partition, to)
  if at >= ends then
    call('HSET', window, 'g:' .. partition, call('HGET', KEYS[3], partition) or ARGV[5])
  else
    left = left + 1
  end
end
call('HSET', window, 'state', 'U', 'cut', ARGV[3], 'cut_by', ARGV[4], 'left', left, 'filled', left == 0 and 1 or 0)
if left > 0 then call('SADD', KEYS[5], arrangement .. '.' .. number) end
local following = string.format('%.0f', tonumber(number) + 1)
call('HSET', next_window, 'state', 'O', 'open', ARGV[3])
call('HSET', KEYS[4], arrangement, following)
call('INCR', KEYS[1])
announce(window, arrangement .. '.' .. number)
announce(next_window, arrangement .. '.' .. following)
return 1
