-- retired_find.lua  Look for one digest in a shard's compact form of what left the store.
-- USES    _retired
-- KEYS    retired
-- ARGV    digest
-- RETURN  what is kept with it | nil
return retired_in(KEYS[1]).find(ARGV[1])
