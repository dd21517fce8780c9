-- changes_trim.lua  Forget the oldest changes of a participant, up to the first entry with a payment that is in the store.
-- KEYS    changes | payment*
-- ARGV    items | place changes
-- RETURN  how many of the items went
-- Items are the oldest entries of the stream, in its order; each of its changes has its payment in KEYS.
local gone, places, k = 0, {}, 1
local function all_left(changes)
  for i = 1, changes do
    if redis.call('EXISTS', KEYS[k + i]) == 1 then return false end
  end
  return true
end

for item = 1, tonumber(ARGV[1]) do
  local changes = tonumber(ARGV[1 + 2 * item])
  if not all_left(changes) then break end
  gone, places[item], k = item, ARGV[2 * item], k + changes
end
if gone > 0 then redis.call('XDEL', KEYS[1], unpack(places)) end
return gone
