-- settle_restore.lua  Put settlement back into a store that lost it, whole.
-- KEYS    epoch offsets digests sequences missing totals versions due opened filling unsettled moves transfers counters | window
-- ARGV    content
-- RETURN  1 restored | 0 something is there already, nothing was done
-- content: {epoch, offsets, digests, sequences, missing, totals, opened, filling, unsettled, moves, transfers, windows, version},
-- msgpack; what becomes a hash is flat: field, value, field, value.
-- Where nothing was ever cut, while the log has cuts, a settler began anew on the store that was lost: that gives way.
local call = redis.call
local content = cmsgpack.unpack(ARGV[1])
if call('EXISTS', KEYS[2], KEYS[9]) > 0 then
  if tonumber(call('GET', KEYS[1]) or '0') > 0 or tonumber(content[1]) == 0 then return 0 end
  for i = 2, #KEYS do call('DEL', KEYS[i]) end
end

local function fill(key, flat)
  for i = 1, #flat, 2 do call('HSET', key, flat[i], flat[i + 1]) end
end

call('SET', KEYS[1], content[1])
fill(KEYS[2], content[2])
fill(KEYS[3], content[3])
fill(KEYS[4], content[4])
for _, name in ipairs(content[5]) do call('SADD', KEYS[5], name) end
fill(KEYS[6], content[6])
for i = 1, #content[6], 2 do
  call('HSET', KEYS[7], content[6][i], content[13])
  call('SADD', KEYS[8], content[6][i])
end
fill(KEYS[9], content[7])
for _, name in ipairs(content[8]) do call('SADD', KEYS[10], name) end
for _, name in ipairs(content[9]) do call('SADD', KEYS[11], name) end
fill(KEYS[12], content[10])
for number, row in ipairs(content[11]) do
  call('HSET', KEYS[14], 'transfer', number)
  call('XADD', KEYS[13], '*', 'n', number, 'p', row[1], 'g', row[2], 'm', row[3])
end
for i, fields in ipairs(content[12]) do fill(KEYS[14 + i], fields) end
return 1
