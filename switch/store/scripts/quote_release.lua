-- quote_release.lua  End a provider's hold: give the headroom back, or make it plain use when the payment was made.
-- KEYS    agent quotedue quoteheld
-- ARGV    hold_id asset amount_minor paid
-- RETURN  1 ended now | 0 it had ended before
if redis.call('HDEL', KEYS[3], ARGV[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'held:' .. ARGV[2], '-' .. ARGV[3])
if ARGV[4] == '1' then redis.call('HINCRBY', KEYS[1], 'spent:' .. ARGV[2], ARGV[3]) end
return 1
