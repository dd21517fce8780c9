-- retire_claim.lua  Keep UETRs in the compact form, each on its own shard, in the place of their claims.
-- USES    _retired
-- KEYS    retired | claim
-- ARGV    items | uetr_digest
-- RETURN  items
local retired = retired_in(KEYS[1])
for item = 1, tonumber(ARGV[1]) do
  retired.add(ARGV[1 + item], '')
  redis.call('DEL', KEYS[1 + item])
end
return tonumber(ARGV[1])
