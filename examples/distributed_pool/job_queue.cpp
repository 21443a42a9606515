// SPDX-License-Identifier: BSL-1.0
#include "job_queue.hpp"

#include "scripts.hpp"

#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace {

// --- reading replies

/// The value of a field in a list of fields and values.
std::string field(redis_value list, std::string_view name) {
  for (std::size_t i = 0; i + 1 < list.size(); i += 2)
    if (list.at(i).view() == name) return list.at(i + 1).text();
  return {};
}

long long number_in(const std::string& text) {
  long long n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

/// What stands in an entry of the stream, which begins with its id and its fields.
delivered_job job_of(redis_value entry, unsigned deliveries) {
  const redis_value fields = entry.at(1);
  return {entry.at(0).text(),
          {field(fields, "key"), field(fields, "type"), field(fields, "payload")},
          deliveries};
}

/// What INFO says behind "name:".
std::string line_of(const std::string& info, const std::string& name) {
  const auto begin = info.find(name + ':');
  if (begin == info.npos) return {};
  const auto value = begin + name.size() + 1;
  return info.substr(value, info.find_first_of("\r\n", value) - value);
}

}  // namespace

job_queue::job_queue(redis_client redis, job_queue_options options)
    : redis_(std::move(redis)),
      prefix_('{' + options.name + "}:"),
      keep_(options.keep),
      stream_(prefix_ + "jobs"),
      stats_(prefix_ + "stats"),
      dead_(prefix_ + "dead"),
      add_(add_script),
      take_over_(take_over_script),
      renew_(renew_script),
      done_(done_script),
      failed_(failed_script),
      bury_(bury_script),
      give_back_(give_back_script),
      leave_(leave_script),
      tidy_(tidy_script) {}

sluice::task<> job_queue::open() {
  const auto info = co_await redis_.insist(redis_command("INFO", "server"));
  if (info.is_error()) throw redis_error(info.text());
  const std::string version = line_of(info.text(), "redis_version");
  if (number_in(version) < 7)
    throw std::runtime_error("the server is too old: this needs Redis 7.0 or newer, and it is " +
                             (version.empty() ? "none that says its version" : version));
  // Servers that somebody else keeps may refuse to say.
  const auto limit = co_await redis_.insist(redis_command("CONFIG", "GET", "proto-max-bulk-len"));
  if (limit.size() == 2) most_bytes_ = static_cast<std::size_t>(number_in(limit.at(1).text()));
  for (auto* const script :
       {&add_, &take_over_, &renew_, &done_, &failed_, &bury_, &give_back_, &leave_, &tidy_})
    co_await script->load(redis_);
  co_await make_group();
}

sluice::task<> job_queue::make_group() {
  // To make one wants memory, and to work frees it.
  const auto groups = co_await redis_.insist(redis_command("XINFO", "GROUPS", stream_));
  for (std::size_t i = 0; !groups.is_error() && i < groups.size(); ++i)
    if (field(groups.at(i), "name") == group) co_return;
  const auto made =
      co_await redis_.insist(redis_command("XGROUP", "CREATE", stream_, group, "0", "MKSTREAM"));
  if (made.is_error() && !made.is_error("BUSYGROUP")) throw redis_error(made.text());
}

sluice::task<job_queue::outcome> job_queue::add(job j, unsigned limit) {
  auto c = add_.command({stream_, key_of(j)}, limit, keep_.count(), j.key, j.type, j.payload);
  const auto added = co_await add_.run(redis_, std::move(c));
  if (added.text() == "known") co_return outcome::known;
  co_return added.text() == "full" ? outcome::full : outcome::added;
}

sluice::task<std::vector<delivered_job>> job_queue::take(redis_client own, std::string consumer,
                                                         std::size_t count,
                                                         std::chrono::milliseconds block) {
  const redis_command read("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "BLOCK",
                           block.count(), "STREAMS", stream_, ">");
  auto answer = co_await own.send(read).receive();
  if (answer->error()) throw sluice::system_error(answer->error());
  const redis_reply& streams = answer->reply();
  std::vector<delivered_job> jobs;
  if (streams.is_error("NOGROUP"))
    co_await make_group();  // somebody has deleted the stream
  else if (streams.is_error())
    throw redis_error(streams.text());
  if (streams.size() == 0) co_return jobs;
  const redis_value entries = streams.at(0).at(1);
  for (std::size_t i = 0; i < entries.size(); ++i) jobs.push_back(job_of(entries.at(i), 1));
  co_return jobs;
}

sluice::task<std::vector<delivered_job>> job_queue::take_over(std::string consumer,
                                                              std::size_t count,
                                                              std::chrono::milliseconds idle,
                                                              std::string& cursor) {
  auto c = take_over_.command({stream_, stats_}, group, consumer, idle.count(), cursor, count);
  const auto claimed = co_await take_over_.run(redis_, std::move(c));
  cursor = claimed.at(0).text();
  std::vector<delivered_job> jobs;
  const redis_value entries = claimed.at(1);
  for (std::size_t i = 0; i < entries.size(); ++i)
    jobs.push_back(job_of(entries.at(i), static_cast<unsigned>(entries.at(i).at(2).number())));
  co_return jobs;
}

sluice::task<> job_queue::renew(std::string consumer, std::vector<std::string> ids) {
  if (ids.empty()) co_return;
  redis_command c = renew_.command({stream_}, group, consumer);
  for (const auto& id : ids) c.add(id);
  co_await renew_.run(redis_, std::move(c));
}

sluice::task<> job_queue::done(const delivered_job& j, const std::string& result) {
  auto c = done_.command({stream_, key_of(j.what), stats_}, group, j.id, result, keep_.count());
  co_await done_.run(redis_, std::move(c));
}

sluice::task<> job_queue::failed(const delivered_job& j, const std::string& why) {
  auto c = failed_.command({key_of(j.what)}, why, keep_.count(), j.deliveries);
  co_await failed_.run(redis_, std::move(c));
}

sluice::task<bool> job_queue::has_failed(const delivered_job& j) {
  const redis_command c("HGET", key_of(j.what), "failed");
  const auto last = co_await redis_.insist(c);
  if (last.is_error()) throw redis_error(last.text());
  co_return number_in(last.text()) == static_cast<long long>(j.deliveries) - 1;
}

sluice::task<> job_queue::bury(const delivered_job& j, const std::string& why) {
  auto c = bury_.command({stream_, key_of(j.what), stats_, dead_}, group, j.id, why, keep_.count(),
                         j.what.key, j.what.type, j.what.payload, j.deliveries);
  co_await bury_.run(redis_, std::move(c));
}

sluice::task<> job_queue::give_back(const std::string& consumer, const delivered_job& j) {
  auto c = give_back_.command({stream_}, group, consumer, j.id, j.deliveries - 1);
  co_await give_back_.run(redis_, std::move(c));
}

sluice::task<> job_queue::leave(std::string consumer) {
  auto c = leave_.command({stream_}, group, consumer);
  co_await leave_.run(redis_, std::move(c));
}

sluice::task<> job_queue::tidy(std::chrono::milliseconds idle) {
  auto c = tidy_.command({stream_}, group, idle.count());
  co_await tidy_.run(redis_, std::move(c));
}

sluice::task<job_queue_counts> job_queue::counts() {
  // Given together, they are sent together.
  const auto length = redis_.send(redis_command("XLEN", stream_));
  const auto pending = redis_.send(redis_command("XPENDING", stream_, group));
  const auto consumers = redis_.send(redis_command("XINFO", "CONSUMERS", stream_, group));
  const auto stats = redis_.send(redis_command("HGETALL", stats_));
  const auto dead = redis_.send(redis_command("XREVRANGE", dead_, "+", "-", "COUNT", 1));
  std::vector<redis_reply> replies;
  for (const auto& answer : {length, pending, consumers, stats, dead}) {
    auto a = co_await answer.receive();
    if (a->error()) throw sluice::system_error(a->error());
    if (a->reply().is_error()) throw redis_error(a->reply().text());
    replies.push_back(std::move(a->reply()));
  }
  job_queue_counts c;
  c.length = replies[0].number();
  c.pending = replies[1].at(0).number();
  c.workers = static_cast<long long>(replies[2].size());
  c.stored = number_in(field(replies[3], "stored"));
  c.repeated = number_in(field(replies[3], "repeated"));
  c.taken_over = number_in(field(replies[3], "taken_over"));
  c.dead = number_in(field(replies[3], "dead"));
  if (replies[4].size() > 0) {
    const auto fields = replies[4].at(0).at(1);
    c.last_death = field(fields, "key") + ": " + field(fields, "reason");
  }
  co_return c;
}
