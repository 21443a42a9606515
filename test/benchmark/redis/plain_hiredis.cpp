// A loop around hiredis that does what a worker of the example distributed_pool does to Redis:
// takes jobs of a queue, stores each one's payload as its result and deletes it, until the queue is
// empty.
//
//   redis_plain HOST PORT QUEUE COUNT     COUNT: how many jobs to take at a time
//
// It sends all commands of one turn together, and knows nothing of deadlines, takeovers or lost
// connections.
#include "../../../examples/distributed_pool/scripts.hpp"

#include <hiredis/hiredis.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

class connection {
 public:
  connection(const char* host, int port) : context_(redisConnect(host, port), redisFree) {
    if (!context_ || context_->err) throw std::runtime_error("cannot connect");
  }

  void append(const std::vector<std::string>& words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const auto& w : words) {
      texts.push_back(w.data());
      sizes.push_back(w.size());
    }
    redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), texts.data(),
                           sizes.data());
  }
  [[nodiscard]] reply receive() {
    void* r = nullptr;
    if (redisGetReply(context_.get(), &r) != REDIS_OK) throw std::runtime_error(context_->errstr);
    reply owned(static_cast<redisReply*>(r), freeReplyObject);
    if (owned->type == REDIS_REPLY_ERROR) throw std::runtime_error(owned->str);
    return owned;
  }
  [[nodiscard]] reply run(const std::vector<std::string>& words) {
    append(words);
    return receive();
  }

 private:
  std::unique_ptr<redisContext, decltype(&redisFree)> context_;
};

std::string field(const redisReply& fields, std::string_view name) {
  for (std::size_t i = 0; i + 1 < fields.elements; i += 2)
    if (fields.element[i]->str == name)
      return {fields.element[i + 1]->str, fields.element[i + 1]->len};
  return {};
}

std::size_t do_all_jobs(connection& redis, const std::string& queue, const std::string& count) {
  const std::string prefix = '{' + queue + "}:", stream = prefix + "jobs";
  const std::string consumer = "plain-" + std::to_string(::getpid());
  const std::string hash = redis.run({"SCRIPT", "LOAD", done_script})->str;
  const std::vector<std::string> read{"XREADGROUP", "GROUP", group,     consumer, "COUNT", count,
                                      "BLOCK",      "100",   "STREAMS", stream,   ">"};
  std::size_t done = 0;
  redis.append(read);
  for (;;) {
    const reply streams = redis.receive();
    if (streams->type == REDIS_REPLY_NIL) return done;
    const redisReply& entries = *streams->element[0]->element[1];
    for (std::size_t i = 0; i < entries.elements; ++i) {
      const redisReply& fields = *entries.element[i]->element[1];
      redis.append({"EVALSHA", hash, "3", stream, prefix + "job:" + field(fields, "key"),
                    prefix + "stats", group, entries.element[i]->element[0]->str,
                    field(fields, "payload"), "86400"});
    }
    redis.append(read);
    for (std::size_t i = 0; i < entries.elements; ++i) static_cast<void>(redis.receive());
    done += entries.elements;
  }
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc != 5) {
    std::fputs("usage: redis_plain HOST PORT QUEUE COUNT\n", stderr);
    return 2;
  }
  try {
    connection redis(argv[1], std::atoi(argv[2]));
    std::printf("did %zu jobs\n", do_all_jobs(redis, argv[3], argv[4]));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "redis_plain: %s\n", e.what());
    return 1;
  }
}
