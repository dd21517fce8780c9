-- claim.lua  Claim UETRs, each on its own shard, before prepare runs on the debtor agent's: unique over all shards.
-- USES    _retired
-- KEYS    retired claim
-- ARGV    items group
-- RETURN  1 every one is its owner's, now or before | per item: 1 so | 0 another owner's | -1 of a payment that left the
--         store | {owner} a claim as an earlier version made it, a hash: this owner's, "<participant>/<request_id>"
-- The group is its items, one behind the other, each the UETR (36 bytes), its owner and its digest (12 bytes each). Keys
-- of items are named after `claim` (keys.py), so they are in its slot.
-- Attempts are counted, so that one attempt that is refused does not give up what another of the same owner relies on:
-- a claim is its owner's bytes, and behind them the number of attempts when it is more than one.
-- Mostly all are new and different: then they are written with one command, which writes all or nothing.
local UETR, OWNER, DIGEST, ITEM = 36, 48, 60, 60
local call, sub, group, head = redis.call, string.sub, ARGV[2], KEYS[2] .. ':'
local retired, claims, seen, fresh = retired_in(KEYS[1]), {}, {}, true

for item = 1, tonumber(ARGV[1]) do
  local at, n = ITEM * (item - 1), 2 * item
  local claim = head .. sub(group, at + 1, at + UETR)
  if seen[claim] or retired.any and retired.find(sub(group, at + OWNER + 1, at + DIGEST)) then fresh = false end
  claims[n - 1], claims[n], seen[claim] = claim, sub(group, at + UETR + 1, at + OWNER), true
end
if fresh and call('MSETNX', unpack(claims)) == 1 then return 1 end

local function claim_one(claim, owner, digest)
  if call('TYPE', claim).ok == 'hash' then return { call('HGET', claim, 'owner') } end
  local has = call('GET', claim)
  if not has then
    if retired.find(digest) then return -1 end
    call('SET', claim, owner)
    return 1
  end
  if sub(has, 1, #owner) ~= owner then return 0 end
  call('SET', claim, owner .. (tonumber(sub(has, #owner + 1)) or 1) + 1)
  return 1
end

local answers = {}
for item = 1, #claims / 2 do
  local at = ITEM * (item - 1)
  answers[item] = claim_one(claims[2 * item - 1], claims[2 * item], sub(group, at + OWNER + 1, at + DIGEST))
end
return answers
