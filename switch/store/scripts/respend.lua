-- respend.lua  What payments of other shards that came back have spent here; each of them once.
-- KEYS    | marker agent
-- ARGV    items | asset amount_minor
-- RETURN  items
for item = 1, tonumber(ARGV[1]) do
  if redis.call('SETNX', KEYS[2 * item - 1], '1') == 1 then
    redis.call('HINCRBY', KEYS[2 * item], 'spent:' .. ARGV[2 * item], ARGV[1 + 2 * item])
  end
end
return tonumber(ARGV[1])
