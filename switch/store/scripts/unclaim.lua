-- unclaim.lua  Give UETRs back whose prepare was refused without a trace.
-- KEYS    | claim
-- ARGV    items | owner
-- RETURN  per item: 1 free again | 0 still claimed
-- A repeat after a lost answer may take one attempt too many off; so it is never repeated: a claim left is harmless.
-- One that an earlier version made, a hash, stays.
local answers, call = {}, redis.call
for item = 1, tonumber(ARGV[1]) do
  local claim, owner = KEYS[item], ARGV[1 + item]
  answers[item] = 0
  local has = call('TYPE', claim).ok == 'string' and call('GET', claim)
  if has and string.sub(has, 1, #owner) == owner then
    local attempts = (tonumber(string.sub(has, #owner + 1)) or 1) - 1
    if attempts > 0 then
      call('SET', claim, owner .. (attempts > 1 and attempts or ''))
    else
      call('DEL', claim)
      answers[item] = 1
    end
  end
end
return answers
