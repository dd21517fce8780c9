-- outbox_lease.lua  Take, keep or give back the right to relay a shard's outbox; the server's clock decides.
-- KEYS    lease
-- ARGV    holder ttl_ms
-- RETURN  the fencing token | 0 another holder's has not ended, or it was given back
local lease = redis.call('HMGET', KEYS[1], 'holder', 'token', 'expiry')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ours, token = lease[1] == ARGV[1], tonumber(lease[2] or '0')
if not ours and tonumber(lease[3] or '0') > now then return 0 end
if ARGV[2] == '0' then
  if ours then redis.call('HSET', KEYS[1], 'expiry', '0') end
  return 0
end
if not ours then token = token + 1 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token, 'expiry', string.format('%.0f', now + tonumber(ARGV[2])))
return token
