// SPDX-License-Identifier: BSL-1.0
// The steps of a job queue that Redis does as one, in Lua.
//
// To run one twice does no harm, as it happens when a connection is lost before its reply has come.
#pragma once

/// The consumer group of a queue.
inline constexpr const char* group = "workers";

/// Appends a job. KEYS: the stream, the job. ARGV: most jobs, seconds to keep, key, type, payload.
inline constexpr const char* add_script = R"lua(
if redis.call('EXISTS', KEYS[2]) == 1 then return 'known' end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 'full' end
local id = redis.call('XADD', KEYS[1], '*', 'key', ARGV[3], 'type', ARGV[4], 'payload', ARGV[5])
redis.call('HSET', KEYS[2], 'id', id)
if ARGV[2] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return 'added'
)lua";

/// Claims what has been idle. KEYS: the stream, the statistics. ARGV: group, consumer, idle time,
/// cursor, count. Gives the next cursor, and id, fields and deliveries of each job.
inline constexpr const char* take_over_script = R"lua(
local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local jobs = {}
for _, entry in ipairs(claimed[2]) do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
  jobs[#jobs + 1] = {entry[1], entry[2], pending[1][4]}
end
if #jobs > 0 then redis.call('HINCRBY', KEYS[2], 'taken_over', #jobs) end
return {claimed[1], jobs}
)lua";

/// Begins the idle time of jobs anew. KEYS: the stream. ARGV: group, consumer, ids.
inline constexpr const char* renew_script = R"lua(
for i = 3, #ARGV do
  local mine = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #mine > 0 then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID') end
end
)lua";

/// Stores a result and deletes the job. KEYS: the stream, the job, the statistics. ARGV: group, id,
/// result, seconds to keep. It frees memory, and so may run when there is none left.
inline constexpr const char* done_script = R"lua(#!lua flags=allow-oom
local first = redis.call('HSETNX', KEYS[2], 'result', ARGV[3])
redis.call('HDEL', KEYS[2], 'dead')
if ARGV[4] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[4]) end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HINCRBY', KEYS[3], first == 1 and 'stored' or 'repeated', 1)
)lua";

/// Notes why an attempt has failed. KEYS: the job. ARGV: why, seconds to keep, which delivery. Only
/// then the job ends up where it frees memory.
inline constexpr const char* failed_script = R"lua(#!lua flags=allow-oom
redis.call('HSET', KEYS[1], 'error', ARGV[1], 'failed', ARGV[3])
if ARGV[2] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
)lua";

/// Moves a job to the dead letters. KEYS: the stream, the job, the statistics, the dead letters.
/// ARGV: group, id, why, seconds to keep, key, type, payload, deliveries.
inline constexpr const char* bury_script = R"lua(#!lua flags=allow-oom
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return end
local why = ARGV[3]
local failure = redis.call('HGET', KEYS[2], 'error')
if failure then why = why .. ': ' .. failure end
redis.call('XADD', KEYS[4], '*', 'key', ARGV[5], 'type', ARGV[6], 'payload', ARGV[7],
           'deliveries', ARGV[8], 'reason', why)
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], 'dead', why)
if ARGV[4] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[4]) end
redis.call('HINCRBY', KEYS[3], 'dead', 1)
)lua";

/// Makes a job look as if it had not been delivered. KEYS: the stream. ARGV: group, consumer, id,
/// deliveries.
inline constexpr const char* give_back_script = R"lua(
local mine = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #mine == 0 then return end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', 86400000,
           'RETRYCOUNT', ARGV[4], 'JUSTID')
)lua";

/// Forgets a consumer that has nothing. KEYS: the stream. ARGV: group, consumer.
inline constexpr const char* leave_script = R"lua(
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
)lua";

/// Forgets all such consumers that have been silent. KEYS: the stream. ARGV: group, milliseconds.
inline constexpr const char* tidy_script = R"lua(
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for i = 1, #consumer, 2 do of[consumer[i]] = consumer[i + 1] end
  if of.pending == 0 and of.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end
)lua";
