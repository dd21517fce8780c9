-- claim.lua  Claim UETRs, each on its own shard, before prepare runs on the debtor agent's: unique over all shards.
-- USES    _retired
-- KEYS    retired | claim
-- ARGV    items | owner uetr_digest
-- RETURN  per item: 1 the owner's, now or before | 0 another owner's | -1 of a payment that left the store
-- Attempts are counted, so that one attempt that is refused does not give up what another of the same owner relies on.
local answers, retired = {}, retired_in(KEYS[1])
for item = 1, tonumber(ARGV[1]) do
  local claim, owner = KEYS[1 + item], ARGV[2 * item]
  local has = redis.call('HGET', claim, 'owner')
  if has and has ~= owner then
    answers[item] = 0
  elseif not has and retired.find(ARGV[2 * item + 1]) then
    answers[item] = -1
  else
    if not has then redis.call('HSET', claim, 'owner', owner) end
    redis.call('HINCRBY', claim, 'attempts', 1)
    answers[item] = 1
  end
end
return answers
