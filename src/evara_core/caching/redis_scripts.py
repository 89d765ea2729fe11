"""What Redis does in one step. Lua, for Redis 6.2 and later and Valkey.

Keys of a cache, all under one prefix with one hash tag, so that they share a slot:

    e:KEY   an entry: the versions of its tags, its schema, a bar, when it ends in milliseconds
            of the server's clock (16 digits), the envelope
    l:KEY   the lease of whoever loads it, or `hold`
    v:TAG   the version of a tag
    h:TAG   there while an invalidation of the tag is settling
    seq     how many messages there have been
    news    the stream of messages

A version is the moment of its last change by the server's clock, in microseconds, and grows by
one at least with each. So one that was lost (evicted, flushed, failed over) comes back larger
than any that was there before, and what was stored under those stays dead.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BEAT", "HOLD", "INVALIDATE", "PUT", "RELEASE", "TAKE", "VERSIONS"]

HOLD: Final = "hold"

# KEYS: the versions of all tags that are mentioned, then the entries.
# ARGV: life of versions in ms; prefix; a JSON list with, for each entry: key, token, lease in ms,
#       refresh in ms, schema, places of its tags among the versions. Leases and holds are named
#       after entries and versions; they are looked at only where there is no value.
TAKE: Final = """
local life, prefix, asks = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local tags, kept = #KEYS - #asks, redis.call('MGET', unpack(KEYS))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, tags do
  if not kept[i] then
    kept[i] = time[1] .. string.format('%06d', time[2])
    redis.call('SET', KEYS[i], kept[i], 'PX', life)
  end
end
local found = {}
for i, ask in ipairs(asks) do
  local value, places, mine = kept[tags + i], ask[6], {}
  for j, place in ipairs(places) do mine[j] = kept[place] end
  local joined = table.concat(mine, ',')
  local stamp = joined .. ',' .. ask[5] .. '|'
  local left, turn, body = 0, 0, #stamp + 17
  if value and string.sub(value, 1, #stamp) == stamp then
    left = tonumber(string.sub(value, #stamp + 1, #stamp + 16)) - now
  else
    value = false
  end
  if not value or left < ask[4] then
    local lease = prefix .. 'l:' .. ask[1]
    if redis.call('SET', lease, ask[2], 'NX', 'PX', ask[3]) then
      turn = 1
      for _, place in ipairs(places) do
        local hold = prefix .. 'h:' .. string.sub(KEYS[place], #prefix + 3)
        if redis.call('EXISTS', hold) == 1 then turn = 2 end
        redis.call('PEXPIRE', KEYS[place], life)
      end
      if turn == 2 then redis.call('DEL', lease) end
    elseif redis.call('GET', lease) == 'hold' then
      turn = 2
    elseif not value then
      turn = 3
    end
  end
  found[i] = {turn, value, left, joined, body}
end
return found
"""

# KEYS: versions. ARGV: their life in ms.
VERSIONS: Final = """
local kept, time = redis.call('MGET', unpack(KEYS)), redis.call('TIME')
for i = 1, #KEYS do
  if not kept[i] then
    kept[i] = time[1] .. string.format('%06d', time[2])
    redis.call('SET', KEYS[i], kept[i], 'PX', ARGV[1])
  end
end
return kept
"""

# KEYS: entry, lease, the version of each tag.
# ARGV: token, versions, schema, envelope, life in ms.
PUT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local versions = {}
for i = 3, #KEYS do versions[i - 2] = redis.call('GET', KEYS[i]) or '' end
if table.concat(versions, ',') ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5]
local stamp = ARGV[2] .. ',' .. ARGV[3] .. '|' .. string.format('%016.0f', ends)
redis.call('SET', KEYS[1], stamp .. ARGV[4], 'PX', ARGV[5])
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
local time = redis.call('TIME')
local now, k = time[1] * 1000000 + time[2], 3
for i = 1, keys do
  redis.call('UNLINK', KEYS[k], KEYS[k+1])
  if settle > 0 then redis.call('SET', KEYS[k+1], 'hold', 'PX', settle) end
  k = k + 2
end
local versions = {}
for i = 1, tags do
  local last = tonumber(redis.call('GET', KEYS[k]) or 0)
  versions[i] = string.format('%.0f', math.max(now, last + 1))
  redis.call('SET', KEYS[k], versions[i], 'PX', life)
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
