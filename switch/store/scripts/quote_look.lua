-- quote_look.lua  A quote and its state at the server's time.
-- KEYS    quote
-- ARGV
-- RETURN  {} unknown | {body state uetr}, state one of OPEN, USED, EXPIRED
local quote = redis.call('HMGET', KEYS[1], 'body', 'expiry', 'uetr', 'ended')
if not quote[1] then return {} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if quote[3] then return { quote[1], 'USED', quote[3] } end
if quote[4] or now >= tonumber(quote[2]) then return { quote[1], 'EXPIRED', '' } end
return { quote[1], 'OPEN', '' }
