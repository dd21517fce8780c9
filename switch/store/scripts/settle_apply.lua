-- settle_apply.lua  A run of records of one partition: its effects and its offset together, or neither.
-- KEYS    epoch offsets digests sequences missing totals versions due filling | window
-- ARGV    epoch partition from_offset to_offset digest sequences missing found windows (agent sequence)* missing* found* (name payments reached nets (owner debits credits)*)*
-- RETURN  1 applied | 0 the offset or the epoch is another by now, nothing was done
-- A window takes figures only while it is open, or cut and not filled; another is our own fault and stops everything.
local call = redis.call
local sequences, missing, found, windows = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

if (call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
if (call('HGET', KEYS[2], ARGV[2]) or '0') ~= ARGV[3] then return 0 end
for i = 1, windows do
  local row = call('HMGET', KEYS[9 + i], 'state', 'filled')
  if row[1] ~= 'O' and not (row[1] == 'U' and row[2] == '0') then
    return redis.error_reply('FAULT this window takes nothing any more')
  end
end

call('HSET', KEYS[2], ARGV[2], ARGV[4])
call('HSET', KEYS[3], ARGV[2], ARGV[5])
local a = 10
for _ = 1, sequences do
  call('HSET', KEYS[4], ARGV[a], ARGV[a + 1])
  a = a + 2
end
for _ = 1, missing do
  call('SADD', KEYS[5], ARGV[a])
  a = a + 1
end
for _ = 1, found do
  call('SREM', KEYS[5], ARGV[a])
  a = a + 1
end
for i = 1, windows do
  local window, nets = KEYS[9 + i], tonumber(ARGV[a + 3])
  if ARGV[a + 1] ~= '0' then call('HINCRBY', window, 'payments', ARGV[a + 1]) end
  local b = a + 4
  for _ = 1, nets do
    local owner, debits, credits = ARGV[b], ARGV[b + 1], ARGV[b + 2]
    call('HINCRBY', window, 'd:' .. owner, debits)
    call('HINCRBY', window, 'c:' .. owner, credits)
    call('HINCRBY', KEYS[6], owner, debits)
    if credits ~= '0' then call('HINCRBY', KEYS[6], owner, '-' .. credits) end
    call('HINCRBY', KEYS[7], owner, 1)
    call('SADD', KEYS[8], owner)
    b = b + 3
  end
  if ARGV[a + 2] == '1' then
    call('HSET', window, 'g:' .. ARGV[2], ARGV[5])
    if call('HINCRBY', window, 'left', -1) == 0 then
      call('HSET', window, 'filled', 1)
      call('SREM', KEYS[9], ARGV[a])
    end
  end
  a = b
end
return 1
