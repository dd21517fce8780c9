-- unclaim.lua  Give UETRs back whose prepare was refused without a trace.
-- KEYS    | claim
-- ARGV    items | owner
-- RETURN  per item: 1 free again | 0 still claimed
-- A repeat after a lost answer may take one attempt too many off; so it is never repeated: a claim left is harmless.
local answers = {}
for item = 1, tonumber(ARGV[1]) do
  local claim, owner = KEYS[item], ARGV[1 + item]
  answers[item] = 0
  if redis.call('HGET', claim, 'owner') == owner and redis.call('HINCRBY', claim, 'attempts', -1) <= 0 then
    redis.call('DEL', claim)
    answers[item] = 1
  end
end
return answers
