-- settle_close.lua  Seal a window that is cut and filled, with its obligations.
-- KEYS    announce moves window unsettled
-- ARGV    arrangement name time_ms previous_seal seal carried obligations (owner opening_minor)* (owner amount_minor)*
-- RETURN  1 closed | 0 it is not cut and filled, or closed before
local call = redis.call
local window = KEYS[3]
local row = call('HMGET', window, 'state', 'filled')
if row[1] ~= 'U' or row[2] ~= '1' then return 0 end
local carried, obligations = tonumber(ARGV[6]), tonumber(ARGV[7])
local a = 8
for _ = 1, carried do
  call('HSET', window, 'o:' .. ARGV[a], ARGV[a + 1])
  a = a + 2
end
for _ = 1, obligations do
  call('HSET', window, 'b:' .. ARGV[a], ARGV[a + 1], 's:' .. ARGV[a], 'O')
  a = a + 2
end
call('HSET', window, 'state', 'C', 'close', ARGV[3], 'previous', ARGV[4], 'seal', ARGV[5], 'owing', obligations)
if obligations == 0 then
  call('HSET', window, 'state', 'S', 'settled', ARGV[3])
else
  call('SADD', KEYS[4], ARGV[2])
end
local sequence = call('HINCRBY', KEYS[2], ARGV[1], 1)
call('XADD', KEYS[1], '*', 'a', ARGV[2], 'q', sequence, 't', ARGV[3], 'w', cmsgpack.pack(call('HGETALL', window)))
return 1
