-- settle_published.lua  The broker has these positions; one that changed again meanwhile is due.
-- KEYS    versions due
-- ARGV    (owner sequence)*
-- RETURN  how many are not due any more
local gone = 0
-- Another announcer may have published the newer one before this older one: then it has to come once more, last.
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    gone = gone + redis.call('SREM', KEYS[2], ARGV[i])
  else
    redis.call('SADD', KEYS[2], ARGV[i])
  end
end
return gone
