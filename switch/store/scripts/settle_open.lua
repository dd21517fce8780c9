-- settle_open.lua  See that an arrangement has an open window; its first begins where the settler is.
-- KEYS    opened offsets announce moves window
-- ARGV    arrangement time_ms
-- RETURN  1 opened | 0 it has one
local call = redis.call
if call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
call('HSET', KEYS[1], ARGV[1], 1)
call('HSET', KEYS[5], 'state', 'O', 'open', ARGV[2])
local offsets = call('HGETALL', KEYS[2])
for i = 1, #offsets, 2 do call('HSET', KEYS[5], 'f:' .. offsets[i], offsets[i + 1]) end
local sequence = call('HINCRBY', KEYS[4], ARGV[1], 1)
call('XADD', KEYS[3], '*', 'a', ARGV[1] .. '.1', 'q', sequence, 't', ARGV[2], 'w', cmsgpack.pack(call('HGETALL', KEYS[5])))
return 1
