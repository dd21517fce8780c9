-- retire.lua  Let final payments go that the archive has; what must be unique for ever stays, in the compact form.
-- USES    _retired
-- KEYS    retired | payment request agent quote
-- ARGV    items | request_digest uetr_digest uetr_bytes sequence
-- RETURN  per item: 1 gone, now or before | 0 stays: not final, not acknowledged by the broker, or was never here
-- uetr_digest is '' where the UETR is kept on another shard. Without a quote the request's key stands in.
local call = redis.call
local retired = retired_in(KEYS[1])

local function retire_one(k, a)
  local state = call('GETRANGE', KEYS[k], -1, -1)
  if state == '' then return retired.find(ARGV[a]) and 1 or 0 end
  if state ~= 'C' and state ~= 'A' then return 0 end
  if tonumber(call('HGET', KEYS[k + 2], 'acked') or '0') < tonumber(ARGV[a + 3]) then return 0 end
  retired.add(ARGV[a], ARGV[a + 2])
  if ARGV[a + 1] ~= '' then retired.add(ARGV[a + 1], '') end
  -- Whoever ends the provider's hold of a quote asks what became of its payment.
  if KEYS[k + 3] ~= KEYS[k + 1] and call('EXISTS', KEYS[k + 3]) == 1 then call('HSET', KEYS[k + 3], 'state', state) end
  call('DEL', KEYS[k], KEYS[k + 1])
  return 1
end

local answers = {}
for item = 1, tonumber(ARGV[1]) do
  answers[item] = retire_one(4 * item - 2, 4 * item - 2)
end
return answers
