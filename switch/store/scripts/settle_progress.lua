-- settle_progress.lua  Where the settler is, from one moment.
-- KEYS    epoch offsets digests sequences missing opened filling
-- ARGV    window_prefix
-- RETURN  {epoch {partition offset ...} {partition digest ...} {agent sequence ...} {agent|sequence ...} {{arrangement.number {field value ...}} ...}}
local call = redis.call
local windows = {}
local opened = call('HGETALL', KEYS[6])
for i = 1, #opened, 2 do
  local name = opened[i] .. '.' .. opened[i + 1]
  windows[#windows + 1] = { name, call('HGETALL', ARGV[1] .. name) }
end
for _, name in ipairs(call('SMEMBERS', KEYS[7])) do
  windows[#windows + 1] = { name, call('HGETALL', ARGV[1] .. name) }
end
return {
  call('GET', KEYS[1]) or '0', call('HGETALL', KEYS[2]), call('HGETALL', KEYS[3]), call('HGETALL', KEYS[4]),
  call('SMEMBERS', KEYS[5]), windows,
}
