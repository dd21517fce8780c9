-- changes_left.lua  Count the entries of a participant's changes, from the first on, whose payments have all left the store.
-- KEYS    | payment*
-- ARGV    items | changes
-- RETURN  how many of the items, before the first with a payment that is in the store
-- Items are the oldest entries of the stream, in its order; each of its changes has its payment in KEYS.
local left, k = 0, 0
for item = 1, tonumber(ARGV[1]) do
  local changes = tonumber(ARGV[1 + item])
  for i = k + 1, k + changes do
    if redis.call('EXISTS', KEYS[i]) == 1 then return left end
  end
  left, k = item, k + changes
end
return left
