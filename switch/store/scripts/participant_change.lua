-- participant_change.lua  Set one field of a participant's row, or of a table of rates, and record who and why.
-- KEYS    agent audit target
-- ARGV    field value time_ms actor action reason detail
-- RETURN  1 changed | 0 it was so before, nothing is recorded | -1 no such participant
if redis.call('HEXISTS', KEYS[1], 'record') == 0 then return -1 end
if redis.call('HGET', KEYS[3], ARGV[1]) == ARGV[2] then return 0 end
redis.call('XADD', KEYS[2], '*', 'time', ARGV[3], 'actor', ARGV[4], 'action', ARGV[5], 'reason', ARGV[6], 'detail', ARGV[7])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
return 1
