-- changes_trim.lua  Forget the oldest changes of a participant, up to the first whose payment is still in the store.
-- KEYS    changes | payment
-- ARGV    items | place
-- RETURN  how many of the items went
-- Items are the oldest entries of the stream, in its order.
local gone, places = tonumber(ARGV[1]), {}
for item = 1, tonumber(ARGV[1]) do
  if redis.call('EXISTS', KEYS[1 + item]) == 1 then
    gone = item - 1
    break
  end
  places[item] = ARGV[1 + item]
end
if gone > 0 then redis.call('XDEL', KEYS[1], unpack(places)) end
return gone
