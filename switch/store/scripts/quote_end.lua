-- quote_end.lua  Before a provider's hold is released: end the quote, so that no payment can use it afterwards.
-- KEYS    quote
-- ARGV    expiry_time_ms
-- RETURN  {OPEN} not due by the server's clock | {ENDED} nothing can use it any more | {USED uetr state}, state '' while
--         the payment that used it is in the store
local quote = redis.call('HMGET', KEYS[1], 'uetr', 'state')
if quote[1] then return { 'USED', quote[1], quote[2] or '' } end
local time = redis.call('TIME')
if tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) < tonumber(ARGV[1]) then return { 'OPEN' } end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'ended', '1') end
return { 'ENDED' }
