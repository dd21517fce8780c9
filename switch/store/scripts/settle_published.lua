-- settle_published.lua  The broker has these positions; one that changed again meanwhile stays due.
-- KEYS    versions due
-- ARGV    (owner sequence)*
-- RETURN  how many are not due any more
local gone = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then gone = gone + redis.call('SREM', KEYS[2], ARGV[i]) end
end
return gone
