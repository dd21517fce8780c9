-- settle_default.lua  A participant does not pay: what it owes is marked, the window is partially settled.
-- KEYS    announce moves window
-- ARGV    arrangement name time_ms participant
-- RETURN  how many obligations were marked now | -1 the participant owes nothing in this window
local call = redis.call
local window, owner = KEYS[3], ARGV[4] .. '|'
local fields, marked, owes = call('HGETALL', window), 0, false
for i = 1, #fields, 2 do
  local name = string.sub(fields[i], 3)
  if string.sub(fields[i], 1, 2) == 'b:' and string.sub(name, 1, #owner) == owner and tonumber(fields[i + 1]) > 0 then
    local state = call('HGET', window, 's:' .. name)
    owes = owes or state ~= 'C'
    if state == 'O' then
      call('HSET', window, 's:' .. name, 'D')
      marked = marked + 1
    end
  end
end
if not owes then return -1 end
if marked > 0 then
  call('HSET', window, 'state', 'P')
  local sequence = call('HINCRBY', KEYS[2], ARGV[1], 1)
  call('XADD', KEYS[1], '*', 'a', ARGV[2], 'q', sequence, 't', ARGV[3], 'w', cmsgpack.pack(call('HGETALL', window)))
end
return marked
