-- settle_confirm.lua  An obligation was paid: the window, the positions of the log, and the transfer to be carried into the books.
-- KEYS    announce moves window unsettled totals versions due transfers counters
-- ARGV    arrangement name time_ms owner agent_owner reference
-- RETURN  1 confirmed | 0 it was before | -1 the window has no such obligation
local call = redis.call
local window, owner, agent = KEYS[3], ARGV[4], ARGV[5]
local row = call('HMGET', window, 'b:' .. owner, 's:' .. owner)
if not row[1] then return -1 end
if row[2] == 'C' then return 0 end
call('HSET', window, 's:' .. owner, 'C', 'r:' .. owner, ARGV[3] .. ' ' .. ARGV[6])
local back = string.sub(row[1], 1, 1) == '-' and string.sub(row[1], 2) or '-' .. row[1]
call('HINCRBY', KEYS[5], owner, back)
call('HINCRBY', KEYS[5], agent, row[1])
for _, each in ipairs({ owner, agent }) do
  call('HINCRBY', KEYS[6], each, 1)
  call('SADD', KEYS[7], each)
end
local number = call('HINCRBY', KEYS[9], 'transfer', 1)
call('XADD', KEYS[8], '*', 'n', number, 'p', owner, 'g', agent, 'm', row[1])
if call('HINCRBY', window, 'owing', -1) == 0 then
  call('HSET', window, 'state', 'S', 'settled', ARGV[3])
  call('SREM', KEYS[4], ARGV[2])
end
local sequence = call('HINCRBY', KEYS[2], ARGV[1], 1)
call('XADD', KEYS[1], '*', 'a', ARGV[2], 'q', sequence, 't', ARGV[3], 'w', cmsgpack.pack(call('HGETALL', window)))
return 1
