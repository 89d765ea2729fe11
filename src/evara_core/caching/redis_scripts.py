"""What Redis does in one step. Lua, for Redis 6.2 and later and Valkey.

Keys of a cache, all under one prefix with one hash tag, so that they share a slot:

    e:KEY   an entry: the versions of its tags, its schema, a bar, the envelope
    l:KEY   the lease of whoever loads it, or `hold`
    v:TAG   the version of a tag
    h:TAG   there while an invalidation of the tag is settling
    seq     how many messages there have been
    news    the stream of messages

A version that is missing is seeded from the server's clock in microseconds, and then only
counted up: it is larger than any that was there before, so that entries of before a lost
version (evicted, flushed, failed over) stay dead.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BEAT", "HOLD", "INVALIDATE", "PUT", "RELEASE", "TAKE"]

HOLD: Final = "hold"

# KEYS, for each ask: entry, lease, and for each tag version and hold.
# ARGV: life of versions in ms; for each ask: number of tags, schema, token, lease in ms, refresh in
# ms.
TAKE: Final = """
local found, k, a = {}, 1, 2
while a <= #ARGV do
  local tags, schema, token = tonumber(ARGV[a]), ARGV[a+1], ARGV[a+2]
  local lease_ms, refresh_ms = ARGV[a+3], tonumber(ARGV[a+4])
  a = a + 5
  local entry, lease, first = KEYS[k], KEYS[k+1], k + 2
  k = first + 2 * tags
  local versions = {}
  for i = 1, tags do
    local version = redis.call('GET', KEYS[first + 2 * i - 2])
    if not version then
      local now = redis.call('TIME')
      version = now[1] .. string.format('%06d', now[2])
      redis.call('SET', KEYS[first + 2 * i - 2], version, 'PX', ARGV[1])
    end
    versions[i] = version
  end
  local joined = table.concat(versions, ',')
  local stamp = joined .. ',' .. schema .. '|'
  local value = redis.call('GET', entry)
  local left = 0
  if value and string.sub(value, 1, #stamp) == stamp then
    value = string.sub(value, #stamp + 1)
    left = redis.call('PTTL', entry)
  else
    value = false
  end
  local turn = 0
  if not value or left < refresh_ms then
    if redis.call('SET', lease, token, 'NX', 'PX', lease_ms) then
      turn = 1
      for i = 1, tags do
        if redis.call('EXISTS', KEYS[first + 2 * i - 1]) == 1 then turn = 2 end
        redis.call('PEXPIRE', KEYS[first + 2 * i - 2], ARGV[1])
      end
      if turn == 2 then redis.call('DEL', lease) end
    elseif redis.call('GET', lease) == 'hold' then
      turn = 2
    elseif not value then
      turn = 3
    end
  end
  found[#found + 1] = {turn, value, left, joined}
end
return found
"""

# KEYS: entry, lease, the version of each tag.
# ARGV: token, versions, schema, envelope, life in ms.
PUT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local versions = {}
for i = 3, #KEYS do versions[i - 2] = redis.call('GET', KEYS[i]) or '' end
if table.concat(versions, ',') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ',' .. ARGV[3] .. '|' .. ARGV[4], 'PX', ARGV[5])
return 1
"""

# KEYS: lease. ARGV: token.
RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# KEYS: seq, news; for each key entry and lease; for each tag version and hold.
# ARGV: origin, keys and tags as JSON, length of the stream, life of versions in ms, settle in ms,
#       number of keys, number of tags.
INVALIDATE: Final = """
local life, settle, keys, tags = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local k = 3
for i = 1, keys do
  redis.call('UNLINK', KEYS[k], KEYS[k+1])
  if settle > 0 then redis.call('SET', KEYS[k+1], 'hold', 'PX', settle) end
  k = k + 2
end
local versions = {}
for i = 1, tags do
  if redis.call('EXISTS', KEYS[k]) == 1 then
    redis.call('INCR', KEYS[k])
    redis.call('PEXPIRE', KEYS[k], life)
  else
    local now = redis.call('TIME')
    redis.call('SET', KEYS[k], now[1] .. string.format('%06d', now[2]), 'PX', life)
  end
  versions[i] = redis.call('GET', KEYS[k])
  if settle > 0 then redis.call('SET', KEYS[k+1], '1', 'PX', settle) end
  k = k + 2
end
local seq = redis.call('INCR', KEYS[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*',
  's', seq, 'o', ARGV[1], 'b', ARGV[2], 'v', table.concat(versions, ','))
return versions
"""

# KEYS: seq, news. ARGV: origin, length of the stream.
BEAT: Final = """
local seq = redis.call('INCR', KEYS[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 's', seq, 'o', ARGV[1], 'b', '', 'v', '')
return seq
"""
