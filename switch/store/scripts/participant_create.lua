-- participant_create.lua  Enter a participant in the register, with its caps and the first line of its record.
-- KEYS    agent members audit
-- ARGV    participant record state created_time_ms actor reason detail (asset cap_minor)*
-- RETURN  1 entered, now or before with the same data | 0 it is there with other data
local record = redis.call('HGET', KEYS[1], 'record')
if record then return record == ARGV[2] and 1 or 0 end
redis.call('XADD', KEYS[3], '*', 'time', ARGV[4], 'actor', ARGV[5], 'action', 'create', 'reason', ARGV[6], 'detail', ARGV[7])
redis.call('HSET', KEYS[1], 'record', ARGV[2], 'state', ARGV[3], 'created', ARGV[4])
redis.call('SADD', KEYS[2], ARGV[1])
for i = 8, #ARGV, 2 do
  redis.call('HSET', KEYS[1], 'cap:' .. ARGV[i], ARGV[i + 1])
end
return 1
