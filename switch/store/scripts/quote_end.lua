-- quote_end.lua  Before providers' holds are released: end quotes, so that no payment can use them afterwards. Many at once.
-- KEYS    quote payment
-- ARGV    items forget_time_ms | owner_and_id expiry_time_ms
-- RETURN  per item: 'O' open: not due by the server's clock | 'E' nothing can use it any more | the state of the payment
--         that used it, '' when that cannot be told
-- What KEYS has are kinds: keys of items are named after them (keys.py), so they are in their slot. owner_and_id is
-- "<participant>:<quote_id>". What has ended is forgotten some time later; that is written here, before its hold ends, so
-- that a crash in between leaves work, not litter.
local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Of the payment that used a quote: its record is there, or its state stands in the quote since it left.
local function payment_state(uetr, left)
  local state = call('GETRANGE', KEYS[2] .. ':' .. uetr, -1, -1)
  return state ~= '' and state or left or ''
end

local function end_one(key, expiry)
  local quote, state = call('HMGET', key, 'uetr', 'state', 'body'), 'E'
  if quote[1] then
    state = payment_state(quote[1], quote[2])
    if state ~= 'C' and state ~= 'A' then return state end
  elseif now < expiry then
    return 'O'
  elseif quote[3] then
    call('HSET', key, 'ended', '1')
  end
  call('PEXPIREAT', key, ARGV[2])
  return state
end

local answers = {}
for item = 1, tonumber(ARGV[1]) do
  answers[item] = end_one(KEYS[1] .. ':' .. ARGV[2 * item + 1], tonumber(ARGV[2 * item + 2]))
end
return answers
